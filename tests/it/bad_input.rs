//! Bytes that are no requests: the connection closes, the broker goes on, and holds no more memory than before.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use klamm_tests::broker::{self, Running};
use klamm_tests::client::{Client, batch, fetch_request, produce_request};
use klamm_tests::properties::Properties;
use log_engine::batch::Compression;
use wire::ApiKey;
use wire::frame::encode_request;
use wire::header::{Admission, IncomingHeader};
use wire::message::Decode;
use wire::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest,
};
use wire::primitives::Reader;

use crate::in_process::{NAMED, NOW, create, produce, until};

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
fn frames_that_cannot_be_requests_close_their_connection_with_a_log_line_each() {
    let place = tempfile::tempdir().expect("a directory");
    let properties = Properties::new(&place.path().join("data")).with("socket.request.max.bytes", "100000");
    let klamm = broker::start(&properties);
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
    for (before, frame) in frames.into_iter().enumerate() {
        let mut socket = TcpStream::connect(klamm.bootstrap()).expect("a connection");
        socket.write_all(frame).expect("sent");
        assert!(is_closed(&mut socket), "{frame:02x?}");
        let told = || klamm.output().matches("connection closed").count();
        until("the line of a frame", || told() > before);
        assert_eq!(told(), before + 1, "{frame:02x?}");
    }
    let mut client = Client::connect(klamm.bootstrap()).expect("a connection");
    assert!(client.call(&MetadataRequest::default(), 9, |_| ()).is_ok(), "the broker goes on");
    klamm.stop();
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
    if random.below(5) == 0 {
        let lie = wrong_length(random, frame.len() - 4);
        frame[..4].copy_from_slice(&lie.to_be_bytes());
        return frame;
    }
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

/// A length that is not that of a frame of `len` bytes.
fn wrong_length(random: &mut Random, len: usize) -> i32 {
    let below = |random: &mut Random, bound| i32::try_from(random.below(bound)).expect("small");
    let len = i32::try_from(len).expect("small");
    match random.below(6) {
        0 => -1 - below(random, 1 << 30),
        1 => i32::MIN,
        // Shorter than a header.
        2 => below(random, 10),
        3 => below(random, len as usize),
        4 => REQUEST_BYTES_MAX + 1 + below(random, 1 << 30),
        // More than is ever sent.
        _ => len + 1 + below(random, (REQUEST_BYTES_MAX - len) as usize),
    }
}

/// Of a broker in a process of its own: other tests share the memory of this one.
fn resident_kib(klamm: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", klamm.pid())).expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("there");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

/// What the broker owes a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Answer,
    /// The connection ends without one.
    End,
    /// Either: a fetch that waits for records, a produce request that wants no answer, an API that no template has.
    Either,
}

/// As shipped.
const REQUEST_BYTES_MAX: i32 = 100 << 20;

/// Judged by length and codec alone, without the broker.
fn due(frame: &[u8]) -> Due {
    let (length, sent) = frame.split_at(4);
    let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
    match usize::try_from(length).ok().and_then(|length| sent.get(..length)) {
        // The rest begins another frame, on which the connection may end before the answer is read.
        Some(frame) if frame.len() < sent.len() && due_to_whole(frame) != Due::End => Due::Either,
        Some(frame) => due_to_whole(frame),
        None => Due::End,
    }
}

fn due_to_whole(frame: &[u8]) -> Due {
    let mut reader = Reader::new(frame);
    let Ok(header) = IncomingHeader::decode(&mut reader) else { return Due::End };
    match header.admission() {
        Admission::Refused => return Due::End,
        Admission::UnknownApiVersionsVersion => return Due::Answer,
        Admission::Accepted => {}
    }
    fn decodes<'a, R: Decode<'a>>(mut reader: Reader<'a>, version: i16) -> Option<R> {
        R::decode(&mut reader, version).ok()
    }
    let answered = match header.key {
        ApiKey::Produce => match decodes::<ProduceRequest<'_>>(reader, header.version) {
            Some(request) if request.acks == 0 => return Due::Either,
            request => request.is_some(),
        },
        ApiKey::Fetch => match decodes::<FetchRequest<'_>>(reader, header.version) {
            Some(request) if request.max_wait_ms > 0 => return Due::Either,
            request => request.is_some(),
        },
        ApiKey::Metadata => decodes::<MetadataRequest<'_>>(reader, header.version).is_some(),
        ApiKey::CreateTopics => decodes::<CreateTopicsRequest<'_>>(reader, header.version).is_some(),
        ApiKey::ListOffsets => decodes::<ListOffsetsRequest<'_>>(reader, header.version).is_some(),
        ApiKey::ApiVersions => decodes::<ApiVersionsRequest<'_>>(reader, header.version).is_some(),
        _ => return Due::Either,
    };
    if answered { Due::Answer } else { Due::End }
}

/// Sends one frame and nothing more: whether it was answered before the connection ended.
fn is_answered(address: SocketAddr, frame: &[u8]) -> bool {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    socket.write_all(frame).expect("the broker reads a frame whole");
    drop(socket.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "neither answered nor closed: {frame:02x?}");
    }
    !answer.is_empty()
}

/// One frame a connection, each judged: how many were answered, and how many were malformed.
fn storm(address: SocketAddr, seed: u64, frames: usize) -> (usize, usize) {
    let (mut random, templates) = (Random(seed), templates());
    let (mut answered, mut malformed) = (0, 0);
    for _ in 0..frames {
        let frame = damaged(&mut random, &templates);
        let was_answered = is_answered(address, &frame);
        answered += usize::from(was_answered);
        match due(&frame) {
            Due::Answer => assert!(was_answered, "valid, and not answered: {frame:02x?}"),
            Due::End => {
                assert!(!was_answered, "malformed, and answered: {frame:02x?}");
                malformed += 1;
            }
            Due::Either => {}
        }
    }
    (answered, malformed)
}

const STORMS: u64 = 4;

#[test]
fn each_of_a_hundred_thousand_random_and_damaged_frames_is_answered_or_ends_its_connection_with_a_log_line() {
    let place = tempfile::tempdir().expect("a directory");
    let klamm = broker::start(
        &Properties::new(&place.path().join("data")).with("auto.create.topics.enable", "false"),
    );
    let address: SocketAddr = klamm.bootstrap().parse().expect("an address");
    let mut client = Client::connect(address).expect("a connection");
    create(&mut client, "t", 1, &[]);
    let seed = 0x6b6c_616d_6d21_0001;
    println!("seed {seed:#x}");
    let (mut answered, mut malformed) = storm(address, seed, 10_000);
    let before = resident_kib(&klamm);
    let storms: Vec<_> = (1..=STORMS)
        .map(|number| std::thread::spawn(move || storm(address, seed + number, 22_500)))
        .collect();
    for storm in storms {
        let (more_answered, more_malformed) = storm.join().expect("every frame gets what it is due");
        (answered, malformed) = (answered + more_answered, malformed + more_malformed);
    }
    let grown = resident_kib(&klamm).saturating_sub(before);
    assert!(grown < 8 << 10, "grew by {grown} KiB");
    assert!(answered > 10_000 && malformed > 30_000, "{answered} answered, {malformed} malformed");
    produce(&mut client, "t", &[b"still there"]);
    let output = klamm.output();
    let lines = output.matches("connection closed").count();
    assert!(lines >= malformed, "{lines} lines for {malformed} malformed frames");
    assert!(!output.contains("panicked"), "it panicked");
    klamm.stop();
}

#[test]
fn announced_lengths_reserve_no_memory() {
    let place = tempfile::tempdir().expect("a directory");
    let klamm = broker::start(&Properties::new(&place.path().join("data")));
    let before = resident_kib(&klamm);
    let sockets: Vec<_> = (0..100)
        .map(|_| {
            let mut socket = TcpStream::connect(klamm.bootstrap()).expect("a connection");
            socket.write_all(&REQUEST_BYTES_MAX.to_be_bytes()).expect("sent");
            socket.write_all(&[0; 100]).expect("sent");
            socket
        })
        .collect();
    let mut client = Client::connect(klamm.bootstrap()).expect("a connection");
    assert!(client.call(&MetadataRequest::default(), 9, |_| ()).is_ok());
    let grown = resident_kib(&klamm).saturating_sub(before);
    assert!(grown < 16 << 10, "grew by {grown} KiB");
    drop(sockets);
    klamm.stop();
}

#[test]
fn who_announces_more_than_is_sent_and_falls_silent_is_closed_with_a_log_line() {
    let place = tempfile::tempdir().expect("a directory");
    let properties = Properties::new(&place.path().join("data")).with("connections.max.idle.ms", "1000");
    let klamm = broker::start(&properties);
    let mut sockets: Vec<_> = [1, 2, 9, 10, 100, 5000, 1 << 20]
        .into_iter()
        .flat_map(|announced: usize| [(announced, 0), (announced, announced - 1)])
        .map(|(announced, sent)| {
            let mut socket = TcpStream::connect(klamm.bootstrap()).expect("a connection");
            socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
            let prefix = u32::try_from(announced).expect("small").to_be_bytes();
            socket.write_all(&[&prefix[..], &vec![0; sent]].concat()).expect("sent");
            socket
        })
        .collect();
    assert!(sockets.iter_mut().all(is_closed));
    let output = klamm.output();
    assert_eq!(output.matches("a frame stopped arriving half way").count(), sockets.len(), "{output}");
    klamm.stop();
}
