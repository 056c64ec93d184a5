//! `bare receive FILE CONNECTIONS`, `bare send FILE SLICE_BYTES [SEND_BUFFER_BYTES]`, `bare read FILE`: the bare loops as a process of their own, so that
//! their CPU time can be told from the client's. Prints the port it listens on.

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;

use benches::bare;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["receive", file, connections] => bare::receive(&listen()?, Path::new(file), connections.parse()?)?,
        ["send", file, slice_len] => bare::send(&listen()?, Path::new(file), slice_len.parse()?, None)?,
        ["send", file, slice_len, buffer] => {
            bare::send(&listen()?, Path::new(file), slice_len.parse()?, Some(buffer.parse()?))?;
        }
        ["read", file] => println!("{:08x}", bare::read(Path::new(file))?),
        _ => return Err("usage: bare receive FILE CONNECTIONS | send FILE SLICE_BYTES | read FILE".into()),
    }
    Ok(())
}

fn listen() -> std::io::Result<TcpListener> {
    let listener = bare::listen()?;
    println!("{}", listener.local_addr()?.port());
    Ok(listener)
}
