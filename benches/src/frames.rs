//! Recording what a client sends and sending it again.
//!
//! The recorder is a proxy between a real client and a broker; it keeps the Produce frames. The replayer sends them
//! to any server that answers each frame with a frame, with a bounded number unanswered, as fast as the server goes
//! or at a given rate.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bare;

const API_KEY_PRODUCE: [u8; 2] = [0, 0];
/// No client under test sends larger frames; a longer prefix means the stream is not what we think.
const FRAME_MAX: usize = 128 << 20;

/// Produce frames as sent, each with its length prefix.
#[derive(Debug, Default, Clone)]
pub struct Recording {
    frames: Vec<Vec<u8>>,
    /// When the first frame came, and the last.
    came: Option<(Instant, Instant)>,
}

impl Recording {
    /// Bytes of all frames, prefixes included.
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }

    /// The pace of the client that was recorded.
    pub fn bytes_per_second(&self) -> u64 {
        let took = self.came.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        if took > 0.0 { (self.bytes() as f64 / took) as u64 } else { 0 }
    }

    fn keep(&mut self, frame: Vec<u8>) {
        let now = Instant::now();
        self.came = Some((self.came.map_or(now, |(first, _)| first), now));
        self.frames.push(frame);
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// A proxy that records. Its threads end with the connections they serve.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    recording: Arc<Mutex<Recording>>,
}

impl Recorder {
    /// Listens on `listener` and passes every connection on to `broker`, keeping at most `bytes_max` of Produce frames.
    pub fn start(listener: TcpListener, broker: SocketAddr, bytes_max: u64) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let recording = Arc::new(Mutex::new(Recording::default()));
        let shared = Arc::clone(&recording);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || pass_connection(client, broker, &shared, bytes_max));
            }
        });
        Ok(Recorder { address, recording })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was recorded until now.
    pub fn recording(&self) -> Recording {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn pass_connection(
    client: TcpStream,
    broker: SocketAddr,
    recording: &Mutex<Recording>,
    bytes_max: u64,
) -> io::Result<()> {
    let mut server = TcpStream::connect(broker)?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut answers, &mut back));
    let mut requests = BufReader::with_capacity(1 << 20, client);
    let mut kept = 0;
    while let Some(frame) = read_frame(&mut requests)? {
        server.write_all(&frame)?;
        if frame.get(4..6) == Some(&API_KEY_PRODUCE) && kept < bytes_max {
            kept += frame.len() as u64;
            recording.lock().unwrap_or_else(PoisonError::into_inner).keep(frame);
        }
    }
    server.shutdown(std::net::Shutdown::Write)
}

fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; 4];
    match from.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let len = u32::from_be_bytes(prefix) as usize;
    if len > FRAME_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; 4 + len];
    frame[..4].copy_from_slice(&prefix);
    from.read_exact(&mut frame[4..])?;
    Ok(Some(frame))
}

/// What a replay took.
#[derive(Debug, Clone, Copy)]
pub struct Replayed {
    /// Bytes sent.
    pub bytes: u64,
    /// From the first byte sent to the last answer.
    pub elapsed: Duration,
}

/// Sends the recording `rounds` times over one connection, with at most `window` frames unanswered, at most at
/// `bytes_per_second` (0: as fast as the server answers).
pub fn replay(
    to: SocketAddr,
    recording: &Recording,
    rounds: usize,
    window: usize,
    bytes_per_second: u64,
) -> io::Result<Replayed> {
    let mut socket = bare::connect(to)?;
    let mut answers = BufReader::new(socket.try_clone()?);
    let mut answer = Vec::new();
    let started = Instant::now();
    let (mut bytes, mut unanswered) = (0, 0);
    for frame in (0..rounds).flat_map(|_| &recording.frames) {
        if unanswered == window {
            read_answer(&mut answers, &mut answer)?;
            unanswered -= 1;
        }
        if bytes_per_second > 0 {
            let due = Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        socket.write_all(frame)?;
        bytes += frame.len() as u64;
        unanswered += 1;
    }
    for _ in 0..unanswered {
        read_answer(&mut answers, &mut answer)?;
    }
    Ok(Replayed { bytes, elapsed: started.elapsed() })
}

fn read_answer(from: &mut impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix)?;
    into.resize((u32::from_be_bytes(prefix) as usize).min(FRAME_MAX), 0);
    from.read_exact(into)
}
