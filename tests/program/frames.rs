//! Bytes that are no request close their connection, and nothing else happens.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use klamm_tests::broker::{self, Running};
use klamm_tests::client::{BY_NAME, batch, fetch_request, produce_request};
use klamm_tests::properties::Properties;
use log_engine::batch::Compression;
use log_engine::types::TimestampMs;
use wire::frame::encode_request;
use wire::messages::{ApiVersionsRequest, MetadataRequest};

/// Connections; each carries a mutated frame and one behind it.
const CONNECTIONS: u32 = 4000;
/// What a broker may hold on to after all of it: caches and allocator, not requests.
const GROWTH_MAX_BYTES: u64 = 24 << 20;

#[test]
fn mutilated_frames_close_their_connection_and_cost_no_memory() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let klamm = broker::start(&Properties::new(&place.path().join("data")));
    let frames = whole_frames();
    let mut random = Random(0x5eed_0fac_e0ff);
    println!("seed {:#x}", random.0);
    storm(&klamm, &frames, &mut random, CONNECTIONS / 8);
    let before = resident_bytes(klamm.pid());
    storm(&klamm, &frames, &mut random, CONNECTIONS);
    let after = resident_bytes(klamm.pid());
    assert!(after < before + GROWTH_MAX_BYTES, "{before} bytes before, {after} after");
    assert!(!klamm.output().contains("panicked"), "{}", klamm.output());
    klamm.stop();
}

/// Requests as clients send them.
fn whole_frames() -> Vec<Vec<u8>> {
    let records = batch(Compression::None, TimestampMs::new(1), &[b"value", b"another"]);
    vec![
        encode_request(&ApiVersionsRequest::default(), 3, 1, Some("c")).expect("encodes"),
        encode_request(&MetadataRequest::default(), 12, 1, Some("c")).expect("encodes"),
        encode_request(&MetadataRequest::default(), 1, 1, None).expect("encodes"),
        encode_request(&produce_request("t", 0, -1, &records), BY_NAME, 1, Some("c")).expect("encodes"),
        encode_request(&produce_request("t", 0, 1, &records), 3, 1, Some("c")).expect("encodes"),
        encode_request(&fetch_request("t", 0, 0, 1000), BY_NAME, 1, Some("c")).expect("encodes"),
    ]
}

fn storm(klamm: &Running, frames: &[Vec<u8>], random: &mut Random, connections: u32) {
    for _ in 0..connections {
        let mut bytes = Vec::new();
        for _ in 0..2 {
            let frame = &frames[random.below(frames.len())];
            bytes.extend(mutilated(frame, random));
        }
        send_and_read_to_the_end(klamm.bootstrap(), &bytes);
    }
}

/// Flipped bytes, lengths that lie, frames cut off, noise.
fn mutilated(frame: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    match random.below(5) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let lie = random.next().to_be_bytes();
            bytes[..4].copy_from_slice(&lie[..4]);
        }
        2 => bytes.iter_mut().skip(4).for_each(|byte| *byte = random.next().to_le_bytes()[0]),
        _ => {
            for _ in 0..=random.below(4) {
                let at = 4 + random.below(bytes.len() - 4);
                // Lengths and counts are what hurts: often all ones.
                bytes[at] = if random.below(3) == 0 { 0xff } else { random.next().to_le_bytes()[0] };
            }
        }
    }
    bytes
}

/// A broker answers or closes; after our end of sending it has no reason to keep the connection.
fn send_and_read_to_the_end(bootstrap: &str, bytes: &[u8]) {
    let mut socket = TcpStream::connect(bootstrap).expect("the broker accepts a connection");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket takes a timeout");
    // The broker may have closed after the first of two frames.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it neither answers nor closes");
    }
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the broker runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel says");
    let kib = line.split_whitespace().nth(1).expect("a number follows");
    kib.parse::<u64>().expect("it is a number") * 1024
}

/// xorshift64*: enough to mutate frames, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }
}
