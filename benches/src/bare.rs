//! The bare loops: the least a server can do with a Kafka client's bytes on this machine.
//!
//! `receive` takes length-prefixed frames from a socket, computes CRC-32C over each, writes it behind the last one
//! into a file through the page cache, and answers. `send` answers each request frame with a slice of a file by
//! sendfile. `read` runs over a file with a bounded buffer and CRC-32C. None of them parses, validates, indexes or
//! remembers anything; what a broker costs above them is what being a broker costs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;

use log_engine::batch::{Crc32c, crc32c};
use rustix::net::sockopt::set_tcp_congestion;
use socket2::{Domain, Protocol, Socket, Type};

const RECEIVE_BUFFER: usize = 1 << 20;
/// What a Produce response for one partition takes, so that the answer costs the network the same.
const ANSWER_BODY: usize = 58;

/// A listener whose connections are not paced: some systems' default congestion control does that with a timer for each
/// segment, and then the timers are what is measured. The broker does the same on loopback (docs/adr/0012).
pub fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    set_tcp_congestion(&listener, "reno")?;
    Ok(listener)
}

/// The client's end of a connection whose server is measured, prepared like the server's.
pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    set_tcp_congestion(&socket, "reno")?;
    socket.set_tcp_nodelay(true)?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// Serves one connection after the other with the receive loop until `connections` have ended.
pub fn receive(listener: &TcpListener, out: &Path, connections: usize) -> io::Result<()> {
    let file = File::create(out)?;
    let mut position = 0;
    for _ in 0..connections {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        position = receive_connection(socket, &file, position)?;
    }
    Ok(())
}

fn receive_connection(mut socket: TcpStream, file: &File, mut position: u64) -> io::Result<u64> {
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let mut filled = 0;
    loop {
        let received = socket.read(&mut buffer[filled..])?;
        if received == 0 {
            return Ok(position);
        }
        filled += received;
        let mut start = 0;
        while let Some(frame) = whole_frame(&buffer[start..filled]) {
            std::hint::black_box(crc32c(&frame[4..]));
            file.write_all_at(&frame[4..], position)?;
            position += (frame.len() - 4) as u64;
            answer(&mut socket, frame)?;
            start += frame.len();
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if let Some(needed) = frame_length(&buffer[..filled]).filter(|needed| *needed > buffer.len()) {
            buffer.resize(needed, 0);
        }
    }
}

fn frame_length(bytes: &[u8]) -> Option<usize> {
    let prefix: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    Some(4 + u32::from_be_bytes(prefix) as usize)
}

fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..frame_length(bytes)?)
}

/// Length, the request's correlation id, and as many bytes as a real answer has.
fn answer(socket: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    let mut answer = [0; 4 + 4 + ANSWER_BODY];
    answer[..4].copy_from_slice(&((4 + ANSWER_BODY) as u32).to_be_bytes());
    if let Some(correlation_id) = request.get(8..12) {
        answer[4..8].copy_from_slice(correlation_id);
    }
    socket.write_all(&answer)
}

/// Serves one connection: each request frame is answered with the next `slice_len` bytes of the file, by sendfile,
/// behind a header of the size of a Fetch response's. Ends when the file or the connection does. `send_buffer` sets the
/// socket's, as a broker's `socket.send.buffer.bytes` does; without it the system adapts it.
pub fn send(
    listener: &TcpListener,
    file: &Path,
    slice_len: usize,
    send_buffer: Option<usize>,
) -> io::Result<()> {
    const HEADER: usize = 100;
    let file = File::open(file)?;
    let file_len = file.metadata()?.len();
    let (mut socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    if let Some(len) = send_buffer {
        rustix::net::sockopt::set_socket_send_buffer_size(&socket, len)?;
    }
    let mut request = vec![0; 4096];
    let mut position = 0;
    while position < file_len {
        let mut prefix = [0; 4];
        if socket.read_exact(&mut prefix).is_err() {
            return Ok(());
        }
        let request_len = (u32::from_be_bytes(prefix) as usize).min(request.len());
        socket.read_exact(&mut request[..request_len])?;
        let slice = slice_len.min((file_len - position) as usize);
        let mut header = [0; 4 + HEADER];
        header[..4].copy_from_slice(&((HEADER + slice) as u32).to_be_bytes());
        rustix::net::send(&socket, &header, rustix::net::SendFlags::MORE)?;
        send_range(&socket, &file, position, slice)?;
        position += slice as u64;
    }
    Ok(())
}

fn send_range(socket: &TcpStream, file: &File, position: u64, len: usize) -> io::Result<()> {
    let mut at = position;
    let mut left = len;
    while left > 0 {
        let sent = rustix::fs::sendfile(socket, file, Some(&mut at), left)?;
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= sent;
    }
    Ok(())
}

/// Reads the file from front to back through a buffer of 1 MiB and returns the CRC-32C of all of it.
pub fn read(path: &Path) -> io::Result<u32> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; RECEIVE_BUFFER];
    let mut crc = Crc32c::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crc.value()),
            n => crc.update(&buffer[..n]),
        }
    }
}
