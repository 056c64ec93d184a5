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

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
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

/// Plain bytes of a block that is written.
const BLOCK_LEN: usize = 64 * 1024;

/// Buffers up to this length stay with their thread.
const SPARE_LEN_MAX: usize = 64 * 1024;

pub(super) type Writer = FrameEncoder<Vec<u8>>;

pub(super) fn writer(out: Vec<u8>) -> Writer {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    FrameEncoder::with_frame_info(info, out)
}

/// Appends the frame of a body that is there as a whole, with a table that stays with its thread.
pub(super) fn fold_whole(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    const FLAGS: u8 = VERSION_1 | BLOCKS_INDEPENDENT;
    const BLOCK_SIZE: u8 = 4 << 4;
    let descriptor = [FLAGS, BLOCK_SIZE];
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&descriptor);
    out.push((XxHash32::oneshot(0, &descriptor) >> 8) as u8);
    let mut table = TABLE.take().unwrap_or_default();
    let folded = plain.chunks(BLOCK_LEN).try_for_each(|block| fold_block(block, &mut table, out));
    TABLE.set(Some(table));
    folded?;
    out.extend_from_slice(&0_u32.to_le_bytes());
    Ok(())
}

fn fold_block(block: &[u8], table: &mut CompressTable, out: &mut Vec<u8>) -> io::Result<()> {
    let (at, start) = (out.len(), out.len() + size_of::<u32>());
    out.resize(start + get_maximum_output_size(block.len()), 0);
    let len = compress_into_with_table(block, &mut out[start..], table)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let word = if len < block.len() {
        out.truncate(start + len);
        len as u32
    } else {
        out.truncate(start);
        out.extend_from_slice(block);
        block.len() as u32 | STORED
    };
    out[at..start].copy_from_slice(&word.to_le_bytes());
    Ok(())
}

fn unfold(raw: &[u8], stored: bool, out: &mut [u8]) -> io::Result<usize> {
    if stored {
        out[..raw.len()].copy_from_slice(raw);
        return Ok(raw.len());
    }
    lz4_flex::block::decompress_into(raw, out)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

thread_local! {
    static TABLE: Cell<Option<CompressTable>> = const { Cell::new(None) };

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
            if let Some(n) = self.next_block(out)? {
                return Ok(n);
            }
        }
        let n = self.ready.len().min(out.len());
        let end = self.ready.start + n;
        out[..n].copy_from_slice(&self.block[self.ready.start..end]);
        self.ready.start = end;
        Ok(n)
    }

    /// Unfolds the next block, or finds the end. Like Kafka, leaves alone what follows the first frame. Answers the
    /// block's length where it went straight to `out`.
    fn next_block(&mut self, out: &mut [u8]) -> io::Result<Option<usize>> {
        let word = self.take_u32()?;
        if word == 0 {
            self.ended = true;
            return match self.content.take() {
                Some(content) => self.expect_checksum(content.finish_32()).map(|()| None),
                None => Ok(None),
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
        let stored = word & STORED != 0;
        let room = if stored { raw.len() } else { self.frame.block_len_max.min(raw.len() * RATIO_MAX) };
        if room <= out.len() {
            let len = unfold(raw, stored, &mut out[..room])?;
            if let Some(content) = &mut self.content {
                content.write(&out[..len]);
            }
            // An empty block is no end.
            return Ok(Some(len).filter(|len| *len > 0));
        }
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        let len = unfold(raw, stored, &mut self.block[..room])?;
        self.ready = 0..len;
        if let Some(content) = &mut self.content {
            content.write(&self.block[..len]);
        }
        Ok(None)
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
