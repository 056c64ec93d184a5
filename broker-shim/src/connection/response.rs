//! What a handler hands back, and how it goes out: bytes by write, file slices by sendfile.

use std::{io, time::Duration};

use bytes::Bytes;
use log_engine::FileSlice;
use rustix::net::{SendFlags, send, sockopt::set_tcp_cork};
use tokio::{io::Interest, net::TcpStream, task::spawn_blocking, time::timeout};

/// A response, its length prefix included.
#[derive(Debug)]
pub(crate) enum Response {
    /// Nothing but bytes.
    Bytes(Bytes),
    /// Bytes and slices of files, in order.
    Pieces(Vec<Piece>),
}

/// A part of a response.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    File(FileSlice),
}

/// Most that one sendfile call is asked for: a socket takes less, and the runtime's thread is given back in between.
const SEND_AT_ONCE: usize = 1 << 20;

/// The sending half of a connection.
#[derive(Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) stream: &'a TcpStream,
    /// How long a client may leave the socket full.
    pub(crate) stall: Option<Duration>,
}

impl Sender<'_> {
    pub(crate) async fn send(&self, response: Response) -> io::Result<()> {
        match response {
            Response::Bytes(bytes) => self.send_bytes(&bytes).await,
            Response::Pieces(pieces) => self.send_pieces(pieces).await,
        }
    }

    /// Corked, so that header, records and the few bytes behind them share segments: each segment wakes the client.
    async fn send_pieces(&self, pieces: Vec<Piece>) -> io::Result<()> {
        set_tcp_cork(self.stream, true)?;
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => self.send_bytes(&bytes).await?,
                Piece::File(slice) => self.send_file(slice).await?,
            }
        }
        Ok(set_tcp_cork(self.stream, false)?)
    }

    pub(crate) async fn send_bytes(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.when_writable(|| Ok(send(self.stream, bytes, SendFlags::NOSIGNAL)?)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// What is not in the page cache is brought in elsewhere: sendfile would wait for the disk on the runtime's thread.
    /// Asked piece by piece, because pages can leave the cache while a slow client takes its time.
    async fn send_file(&self, slice: FileSlice) -> io::Result<()> {
        let mut from = 0;
        while from < slice.len() {
            let piece = slice.part(from, SEND_AT_ONCE);
            from += piece.len();
            self.send_piece(if piece.is_resident()? { piece } else { brought_in(piece).await? }).await?;
        }
        Ok(())
    }

    async fn send_piece(&self, piece: FileSlice) -> io::Result<()> {
        let mut from = 0;
        while from < piece.len() {
            let sent = self.when_writable(|| piece.send_to(self.stream, from, piece.len() - from)).await?;
            if sent == 0 {
                // The length was promised in the header: only closing the connection is left.
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file was truncated while it was sent",
                ));
            }
            from += sent;
            if from < piece.len() {
                self.filled();
            }
        }
        Ok(())
    }

    /// A send that took less than it was given has filled the socket. Trying again would only find that out, after having
    /// gathered pages for nothing; when there is space, the kernel says so.
    fn filled(&self) {
        let _ = self.stream.try_io::<()>(Interest::WRITABLE, || Err(io::ErrorKind::WouldBlock.into()));
    }

    async fn when_writable(&self, mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match self.stream.try_io(Interest::WRITABLE, &mut attempt) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self.stall {
            Some(limit) => timeout(limit, self.stream.writable()).await?,
            None => self.stream.writable().await,
        }
    }
}

async fn brought_in(slice: FileSlice) -> io::Result<FileSlice> {
    spawn_blocking(move || slice.bring_in().map(|()| slice)).await?
}
