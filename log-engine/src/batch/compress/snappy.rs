//! Snappy in the framing of the xerial library, which the Java clients write, and bare snappy, which others do.
//!
//! ```text
//! 82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | version i32 = 1 | compatible with i32 = 1
//! { length i32 | raw snappy block of up to 32 KiB }*
//! ```
//! Without the magic the whole body is one raw block. The frame format of the snappy project is a third thing and
//! not spoken by Kafka.

use std::io;

use super::malformed;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const VERSION: i32 = 1;
const HEADER_LEN: usize = MAGIC.len() + 8;

/// Plain bytes of a block: what Kafka's `SnappyCompression` and the xerial library use.
const BLOCK_LEN: usize = 32 * 1024;

/// No snappy block unfolds to more than this many times its size: the densest element, a copy, is 3 bytes for 64.
const RATIO_MAX: usize = 22;

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    taken: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> io::Result<Self> {
        let framed = body.starts_with(&MAGIC);
        let rest = if framed { skip_header(body)? } else { body };
        Ok(Self { rest, framed, block: Vec::new(), taken: 0 })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() {
            let Some(raw) = self.next_raw_block()? else { return Ok(0) };
            self.unfold(raw)?;
        }
        let ready = &self.block[self.taken..];
        let n = ready.len().min(out.len());
        out[..n].copy_from_slice(&ready[..n]);
        self.taken += n;
        Ok(n)
    }

    fn next_raw_block(&mut self) -> io::Result<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if !self.framed {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        // Streams that were written one after another carry a header each.
        while self.rest.starts_with(&MAGIC) {
            self.rest = skip_header(self.rest)?;
        }
        let Some((length, rest)) = self.rest.split_first_chunk() else {
            return if self.rest.is_empty() {
                Ok(None)
            } else {
                Err(malformed("length of a snappy block cut short"))
            };
        };
        let length = usize::try_from(i32::from_be_bytes(*length))
            .map_err(|_| malformed("negative length of a snappy block"))?;
        let (raw, rest) = rest.split_at_checked(length).ok_or_else(|| malformed("snappy block cut short"))?;
        self.rest = rest;
        Ok(Some(raw))
    }

    fn unfold(&mut self, raw: &[u8]) -> io::Result<()> {
        self.taken = 0;
        self.block.clear();
        let len = snap::raw::decompress_len(raw)?;
        if len / RATIO_MAX > raw.len() {
            return Err(malformed("snappy block claims more than snappy can fold"));
        }
        self.block.resize(len, 0);
        snap::raw::Decoder::new().decompress(raw, &mut self.block)?;
        Ok(())
    }
}

/// What the header says of versions is ignored, as by the xerial library.
fn skip_header(bytes: &[u8]) -> io::Result<&[u8]> {
    bytes.get(HEADER_LEN..).ok_or_else(|| malformed("snappy header cut short"))
}

pub(super) struct Writer {
    out: Vec<u8>,
    encoder: snap::raw::Encoder,
    pending: Vec<u8>,
}

impl Writer {
    pub(super) fn new(mut out: Vec<u8>) -> Self {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&VERSION.to_be_bytes());
        Self { out, encoder: snap::raw::Encoder::new(), pending: Vec::with_capacity(BLOCK_LEN) }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_LEN - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == BLOCK_LEN {
                self.write_block()?;
            }
        }
        Ok(())
    }

    pub(super) fn written(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        if !self.pending.is_empty() {
            self.write_block()?;
        }
        Ok(self.out)
    }

    fn write_block(&mut self) -> io::Result<()> {
        let length_at = self.out.len();
        let block_at = length_at + 4;
        self.out.resize(block_at + snap::raw::max_compress_len(self.pending.len()), 0);
        let length = self.encoder.compress(&self.pending, &mut self.out[block_at..])?;
        self.out.truncate(block_at + length);
        self.out[length_at..block_at].copy_from_slice(&(length as u32).to_be_bytes());
        self.pending.clear();
        Ok(())
    }
}
