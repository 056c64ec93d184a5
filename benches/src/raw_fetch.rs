//! The raw fetch loop: the cheapest client there is, so that what is measured is the broker.
//!
//! One Fetch request after the other for one partition, the answer read into one buffer, batch headers walked to
//! find the next offset, records not looked at.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wire::ApiKey;
use wire::frame::encode_request;
use wire::header::ResponseHeader;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::{FetchRequest, FetchResponse};
use wire::primitives::{Reader, ResponseRecords};

use crate::bare;

/// The last version that names topics; later ones want their id.
const VERSION: i16 = 12;
/// Bytes of a v2 batch before its first record.
const HEADER_LEN: usize = 61;
const FRAME_MAX: usize = 256 << 20;

/// What a run over one partition took.
#[derive(Debug, Clone, Copy)]
pub struct Fetched {
    /// Bytes of record batches.
    pub bytes: u64,
    /// First request to last answer.
    pub elapsed: Duration,
}

impl Fetched {
    /// Gigabytes of record batches.
    pub fn gigabytes(&self) -> f64 {
        self.bytes as f64 / 1e9
    }

    /// Megabytes in a second.
    pub fn megabytes_per_second(&self) -> f64 {
        self.gigabytes() * 1e3 / self.elapsed.as_secs_f64()
    }
}

/// Fetches the partition from its first offset until the high watermark, at most `max_bytes` an answer.
pub fn fetch_all(broker: SocketAddr, topic: &str, partition: i32, max_bytes: i32) -> io::Result<Fetched> {
    let mut socket = bare::connect(broker)?;
    let mut answer = Vec::new();
    let (mut offset, mut bytes) = (0, 0);
    let started = Instant::now();
    loop {
        socket.write_all(&request(topic, partition, offset, max_bytes)?)?;
        read_frame(&mut socket, &mut answer)?;
        let next = records_end(&answer, &mut bytes)?;
        match next {
            Some(next) if next > offset => offset = next,
            _ => return Ok(Fetched { bytes, elapsed: started.elapsed() }),
        }
    }
}

/// Asks a bare loop for slices until it has no more.
pub fn fetch_bare(server: SocketAddr) -> io::Result<Fetched> {
    let mut socket = bare::connect(server)?;
    let request = request("bare", 0, 0, 1 << 20)?;
    let mut answer = Vec::new();
    let mut bytes = 0;
    let started = Instant::now();
    while socket.write_all(&request).is_ok() && read_frame(&mut socket, &mut answer).is_ok() {
        bytes += answer.len() as u64;
    }
    Ok(Fetched { bytes, elapsed: started.elapsed() })
}

fn request(topic: &str, partition: i32, offset: i64, max_bytes: i32) -> io::Result<Vec<u8>> {
    let partition = FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: max_bytes,
        ..FetchPartition::default()
    };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    encode_request(&request, VERSION, 1, Some("raw-fetch")).map_err(io::Error::other)
}

fn read_frame(from: &mut impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix)?;
    let len = u32::from_be_bytes(prefix) as usize;
    if len > FRAME_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    into.resize(len, 0);
    from.read_exact(into)
}

/// The offset behind the last whole batch of the answer; None if it holds none.
fn records_end(answer: &[u8], bytes: &mut u64) -> io::Result<Option<i64>> {
    let mut reader = Reader::new(answer);
    let header_version = ApiKey::Fetch.response_header_version(VERSION);
    ResponseHeader::decode(&mut reader, header_version).map_err(io::Error::other)?;
    let response = FetchResponse::decode(&mut reader, VERSION).map_err(io::Error::other)?;
    let partition = response.responses.first().and_then(|topic| topic.partitions.first());
    let Some(partition) = partition else { return Ok(None) };
    if partition.error_code != 0 {
        return Err(io::Error::other(format!("fetch answered error {}", partition.error_code)));
    }
    let records = partition.records.as_ref().and_then(ResponseRecords::inline).unwrap_or_default();
    *bytes += records.len() as u64;
    Ok(last_whole_batch_end(records))
}

fn last_whole_batch_end(mut records: &[u8]) -> Option<i64> {
    let mut end = None;
    while let Some(header) = records.get(..HEADER_LEN) {
        let base_offset = i64::from_be_bytes(header[..8].try_into().ok()?);
        let len = 12 + u32::from_be_bytes(header[8..12].try_into().ok()?) as usize;
        let last_delta = i32::from_be_bytes(header[23..27].try_into().ok()?);
        let Some(rest) = records.get(len..) else { break };
        end = Some(base_offset + i64::from(last_delta) + 1);
        records = rest;
    }
    end
}
