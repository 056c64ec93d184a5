//! LZ4 frames as Kafka's own block streams write and read them (KIP-57): blocks of 64 KiB that stand alone, no
//! checksums, no content size.
//!
//! ```text
//! magic u32 LE | flags | block size | { content size u64 LE }? | header checksum
//! { length u32 LE, top bit: stored as is | block | { block checksum u32 LE }? }* | 0 u32 | { content checksum u32 LE }?
//! ```
//! What other clients put in is read: larger blocks, a content size, checksums, which are verified.

use std::cell::Cell;
use std::hash::Hasher;
use std::io;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::malformed;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const VERSION_1: u8 = 0b01 << 6;
const VERSION_BITS: u8 = 0b11 << 6;
const BLOCKS_INDEPENDENT: u8 = 1 << 5;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED_FLAGS: u8 = 0b11;
const RESERVED_BLOCK_SIZE: u8 = 0b1000_1111;
const STORED: u32 = 1 << 31;

/// No block unfolds to more than this many times its size: each byte of a length stands for 255 bytes.
const RATIO_MAX: usize = 255;

/// Buffers up to this length stay with their thread.
const SPARE_LEN_MAX: usize = 64 * 1024;

pub(super) type Writer = FrameEncoder<Vec<u8>>;

pub(super) fn writer(out: Vec<u8>) -> Writer {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    FrameEncoder::with_frame_info(info, out)
}

thread_local! {
    /// The block of this thread's last reader, for its next one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    frame: Frame,
    block: Vec<u8>,
    ready: std::ops::Range<usize>,
    content: Option<XxHash32>,
    ended: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> io::Result<Self> {
        Ok(Self::of(Frame::read(body, HeaderChecksum::Checked)?))
    }

    /// A frame in a message of format 0, whose writers took the header's checksum over the magic too: Kafka does not
    /// look at it there.
    pub(super) fn of_format_0(body: &'a [u8]) -> io::Result<Self> {
        Ok(Self::of(Frame::read(body, HeaderChecksum::Ignored)?))
    }

    fn of((frame, rest): (Frame, &'a [u8])) -> Self {
        let content = frame.content_checksum.then(|| XxHash32::with_seed(0));
        Self { rest, frame, block: SPARE.take(), ready: 0..0, content, ended: false }
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() && !self.ended {
            self.next_block()?;
        }
        let n = self.ready.len().min(out.len());
        let end = self.ready.start + n;
        out[..n].copy_from_slice(&self.block[self.ready.start..end]);
        self.ready.start = end;
        Ok(n)
    }

    /// Unfolds the next block, or finds the end. Like Kafka, leaves alone what follows the first frame.
    fn next_block(&mut self) -> io::Result<()> {
        let word = self.take_u32()?;
        if word == 0 {
            self.ended = true;
            return match self.content.take() {
                Some(content) => self.expect_checksum(content.finish_32()),
                None => Ok(()),
            };
        }
        let (raw, rest) = self
            .rest
            .split_at_checked((word & !STORED) as usize)
            .filter(|(raw, _)| raw.len() <= self.frame.block_len_max)
            .ok_or_else(|| malformed("lz4 block too long"))?;
        self.rest = rest;
        if self.frame.block_checksums {
            self.expect_checksum(XxHash32::oneshot(0, raw))?;
        }
        let len = self.unfold(raw, word & STORED != 0)?;
        self.ready = 0..len;
        if let Some(content) = &mut self.content {
            content.write(&self.block[..len]);
        }
        Ok(())
    }

    fn unfold(&mut self, raw: &[u8], stored: bool) -> io::Result<usize> {
        let room = if stored { raw.len() } else { self.frame.block_len_max.min(raw.len() * RATIO_MAX) };
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        if stored {
            self.block[..room].copy_from_slice(raw);
            return Ok(room);
        }
        lz4_flex::block::decompress_into(raw, &mut self.block[..room])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn expect_checksum(&mut self, computed: u32) -> io::Result<()> {
        if self.take_u32()? != computed {
            return Err(malformed("lz4 checksum does not fit"));
        }
        Ok(())
    }

    fn take_u32(&mut self) -> io::Result<u32> {
        let (word, rest) = self.rest.split_first_chunk().ok_or_else(|| malformed("lz4 frame cut short"))?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*word))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if self.block.len() <= SPARE_LEN_MAX {
            SPARE.set(std::mem::take(&mut self.block));
        }
    }
}

/// What is done about the checksum of a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderChecksum {
    Checked,
    Ignored,
}

/// What the header of a frame says of its blocks.
#[derive(Debug, Clone, Copy)]
struct Frame {
    block_len_max: usize,
    block_checksums: bool,
    content_checksum: bool,
}

impl Frame {
    /// Reads a header; the frames that Kafka reads are fewer than those of the format: version 1, blocks that stand
    /// alone, no dictionary.
    fn read(body: &[u8], header_checksum: HeaderChecksum) -> io::Result<(Self, &[u8])> {
        let Some([flags, block_size, ..]) = body.strip_prefix(&MAGIC) else {
            return Err(malformed("not an lz4 frame"));
        };
        if flags & VERSION_BITS != VERSION_1 {
            return Err(malformed("lz4 frame of an unknown version"));
        }
        if flags & BLOCKS_INDEPENDENT == 0 {
            return Err(malformed("lz4 frame with linked blocks"));
        }
        if flags & RESERVED_FLAGS != 0 || block_size & RESERVED_BLOCK_SIZE != 0 {
            return Err(malformed("lz4 frame with reserved flags"));
        }
        let block_len_max = match block_size >> 4 {
            exponent @ 4..=7 => 1 << (8 + 2 * exponent),
            _ => return Err(malformed("lz4 frame with an unknown block size")),
        };
        let checked_len = if flags & CONTENT_SIZE == 0 { 2 } else { 10 };
        let after_magic = &body[MAGIC.len()..];
        let Some((checked, [checksum, rest @ ..])) = after_magic.split_at_checked(checked_len) else {
            return Err(malformed("lz4 frame header cut short"));
        };
        let computed = (XxHash32::oneshot(0, checked) >> 8) as u8;
        if header_checksum == HeaderChecksum::Checked && computed != *checksum {
            return Err(malformed("lz4 frame header checksum does not fit"));
        }
        let block_checksums = flags & BLOCK_CHECKSUMS != 0;
        let content_checksum = flags & CONTENT_CHECKSUM != 0;
        Ok((Self { block_len_max, block_checksums, content_checksum }, rest))
    }
}
