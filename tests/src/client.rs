//! A minimal Kafka client over the wire package: one connection, one request after the other, every field in reach.
//!
//! It does what tests need and real clients hide: any version, any bytes, acks without an answer.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::types::TimestampMs;
use wire::frame::encode_request;
use wire::header::ResponseHeader;
use wire::message::{ApiMessage, Decode, Encode, RequestMessage};
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::fetch_response::PartitionData;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::produce_response::PartitionProduceResponse;
use wire::messages::{FetchRequest, ProduceRequest};
use wire::primitives::{Reader, RecordsRef};

/// The last version of Produce and of Fetch that names topics instead of giving their ids.
pub const BY_NAME: i16 = 12;
/// A broker that does not answer for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// No answer of a test is larger.
const ANSWER_MAX: usize = 256 << 20;

/// One connection.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    correlation_id: i32,
}

impl Client {
    /// Connects to `host:port`.
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, correlation_id: 0 })
    }

    /// The socket, for bytes that are no request.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Sends a request and does not wait; returns its correlation id.
    pub fn send<R: ApiMessage + Encode>(&mut self, request: &R, version: i16) -> io::Result<i32> {
        self.correlation_id += 1;
        let frame = encode_request(request, version, self.correlation_id, Some("klamm-tests"));
        self.socket.write_all(&frame.map_err(io::Error::other)?)?;
        Ok(self.correlation_id)
    }

    /// The next answer's frame, without its length.
    pub fn receive_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut prefix = [0; 4];
        self.socket.read_exact(&mut prefix)?;
        let len = u32::from_be_bytes(prefix) as usize;
        if len > ANSWER_MAX {
            return Err(io::Error::other(format!("an answer of {len} bytes")));
        }
        let mut frame = vec![0; len];
        self.socket.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Sends a request and hands the answer, which must be the one to it, to `read`.
    pub fn call<R, T>(
        &mut self,
        request: &R,
        version: i16,
        read: impl FnOnce(R::Response<'_>) -> T,
    ) -> io::Result<T>
    where
        R: RequestMessage + Encode,
        for<'r> R::Response<'r>: Decode<'r>,
    {
        let sent = self.send(request, version)?;
        let frame = self.receive_frame()?;
        let mut reader = Reader::new(&frame);
        let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version));
        let header = header.map_err(io::Error::other)?;
        if header.correlation_id != sent {
            return Err(io::Error::other(format!("answer {} to request {sent}", header.correlation_id)));
        }
        let response = R::Response::decode(&mut reader, version).map_err(io::Error::other)?;
        if !reader.remaining().is_empty() {
            return Err(io::Error::other(format!("{} bytes behind the answer", reader.remaining().len())));
        }
        Ok(read(response))
    }

    /// Produces `records`, one batch as a client has it, and hands the partition's answer to `read`.
    pub fn produce<T>(
        &mut self,
        topic: &str,
        partition: i32,
        acks: i16,
        records: &[u8],
        read: impl FnOnce(&PartitionProduceResponse<'_>) -> T,
    ) -> io::Result<T> {
        let request = produce_request(topic, partition, acks, records);
        self.call(&request, BY_NAME, |response| {
            let partition = response.responses.first().and_then(|topic| topic.partition_responses.first());
            partition.map(read).ok_or_else(|| io::Error::other("an answer without the partition"))
        })?
    }

    /// Fetches from one partition, waiting for nothing, and hands the partition's answer to `read`.
    pub fn fetch<T>(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        max_bytes: i32,
        read: impl FnOnce(&PartitionData<'_>) -> T,
    ) -> io::Result<T> {
        let request = fetch_request(topic, partition, offset, max_bytes);
        self.call(&request, BY_NAME, |response| {
            let partition = response.responses.first().and_then(|topic| topic.partitions.first());
            partition.map(read).ok_or_else(|| io::Error::other("an answer without the partition"))
        })?
    }
}

/// A Produce request for one partition.
pub fn produce_request<'a>(
    topic: &'a str,
    partition: i32,
    acks: i16,
    records: &'a [u8],
) -> ProduceRequest<'a> {
    let data = PartitionProduceData {
        index: partition,
        records: Some(RecordsRef::new(records)),
        ..Default::default()
    };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() }
}

/// A Fetch request for one partition, outside of any session, that is answered at once.
pub fn fetch_request(topic: &str, partition: i32, offset: i64, max_bytes: i32) -> FetchRequest<'_> {
    let partition = FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: max_bytes,
        ..Default::default()
    };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_bytes, session_epoch: -1, topics: vec![topic], ..Default::default() }
}

/// A batch as a client sends it: base offset 0, one record a value, created at `timestamp`.
pub fn batch(compression: Compression, timestamp: TimestampMs, values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    for value in values {
        let record = NewRecord { timestamp, value: Some(value), ..NewRecord::default() };
        builder.append(&record).expect("a test's batch stays below the limits");
    }
    builder.finish().expect("a test's batch compresses")
}
