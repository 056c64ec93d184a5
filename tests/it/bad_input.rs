//! Bytes that are no requests: the connection closes, the broker goes on, and holds no more memory than before.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use klamm_tests::client::{batch, fetch_request, produce_request};
use log_engine::batch::Compression;
use wire::frame::encode_request;
use wire::messages::{ApiVersionsRequest, CreateTopicsRequest, ListOffsetsRequest, MetadataRequest};

use crate::in_process::{Klamm, NAMED, NOW, produce};

/// A small generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }
}

fn is_closed(socket: &mut TcpStream) -> bool {
    let mut sink = [0; 4096];
    loop {
        match socket.read(&mut sink) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn frames_that_cannot_be_requests_close_their_connection() {
    let klamm = Klamm::start(&["socket.request.max.bytes=100000"]);
    let frames: [&[u8]; 9] = [
        &[0xff, 0xff, 0xff, 0xff],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 1, 0x86, 0xa1],
        &[0, 0, 0, 0],
        &[0, 0, 0, 4, 0, 3, 0, 9],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        // An API that does not exist, one that is not offered, and a version that is not.
        &[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        &[0, 0, 0, 10, 0, 11, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        &[0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff],
    ];
    for frame in frames {
        let mut client = klamm.client();
        client.socket().write_all(frame).expect("sent");
        assert!(is_closed(client.socket()), "{frame:02x?}");
    }
    assert!(klamm.client().call(&MetadataRequest::default(), 9, |_| ()).is_ok(), "the broker goes on");
}

/// Valid frames to damage: one of each kind that says much.
fn templates() -> Vec<Vec<u8>> {
    let records = batch(Compression::Lz4 { level: 9 }, NOW, &[b"one", b"two"]);
    let encoded = [
        encode_request(&produce_request("t", 0, 1, &records), NAMED, 1, Some("fuzz")),
        encode_request(&fetch_request("t", 0, 0, 1000), NAMED, 1, Some("fuzz")),
        encode_request(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() }, 12, 1, None),
        encode_request(&CreateTopicsRequest::default(), 7, 1, Some("fuzz")),
        encode_request(&ListOffsetsRequest::default(), 7, 1, Some("fuzz")),
        encode_request(&ApiVersionsRequest::default(), 3, 1, Some("fuzz")),
    ];
    encoded.into_iter().map(|frame| frame.expect("encodes")).collect()
}

fn damaged(random: &mut Random, templates: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = templates[random.below(templates.len())].clone();
    match random.below(4) {
        0 => {
            let len = random.below(200);
            frame = (0..4 + len).map(|_| random.next() as u8).collect();
        }
        1 => frame.truncate(4 + random.below(frame.len() - 4)),
        _ => {
            for _ in 0..=random.below(8) {
                let at = 4 + random.below(frame.len() - 4);
                frame[at] = random.next() as u8;
            }
        }
    }
    // The length is that of the frame, so that what is damaged is looked at.
    let len = u32::try_from(frame.len() - 4).expect("small");
    frame[..4].copy_from_slice(&len.to_be_bytes());
    frame
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("there");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

#[test]
fn a_hundred_thousand_random_and_damaged_frames_neither_panic_nor_leak() {
    let seed = 0x6b6c_616d_6d21_0001;
    println!("seed {seed:#x}");
    let klamm = Klamm::start(&["auto.create.topics.enable=false", "max.message.bytes=100000"]);
    let mut client = klamm.with_topic("t", 1);
    let mut random = Random(seed);
    let templates = templates();
    let mut sent = 0;
    let mut after_warmup = 0;
    while sent < 100_000 {
        let mut socket = TcpStream::connect(klamm.address()).expect("a connection");
        socket.set_nodelay(true).expect("set");
        // A damaged fetch may be a valid one that waits for days: then nobody waits for its answer.
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
        // Several frames a connection: it ends at the first one that is malformed.
        let frames: Vec<u8> = (0..50).flat_map(|_| damaged(&mut random, &templates)).collect();
        sent += 50;
        // The broker may have closed the connection half way.
        drop(socket.write_all(&frames));
        drop(socket.shutdown(std::net::Shutdown::Write));
        is_closed(&mut socket);
        if sent == 20_000 {
            after_warmup = resident_kib();
        }
    }
    let grown = resident_kib().saturating_sub(after_warmup);
    assert!(grown < 32 << 10, "grew by {grown} KiB");
    produce(&mut client, "t", &[b"still there"]);
}

#[test]
fn announced_lengths_reserve_no_memory() {
    let klamm = Klamm::start(&[]);
    let before = resident_kib();
    let sockets: Vec<_> = (0..100)
        .map(|_| {
            let mut socket = TcpStream::connect(klamm.address()).expect("a connection");
            socket.write_all(&(100i32 << 20).to_be_bytes()).expect("sent");
            socket.write_all(&[0; 100]).expect("sent");
            socket
        })
        .collect();
    assert!(klamm.client().call(&MetadataRequest::default(), 9, |_| ()).is_ok());
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "grew by {grown} KiB");
    drop(sockets);
}
