//! LZ4 frames as Kafka's own block streams write and read them (KIP-57): blocks of 64 KiB that stand alone, no
//! checksums, no content size.

use std::io::{self, Read};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::malformed;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const VERSION_1: u8 = 0b01 << 6;
const VERSION_BITS: u8 = 0b11 << 6;
const BLOCKS_INDEPENDENT: u8 = 1 << 5;
const RESERVED: u8 = 0b11;

pub(super) type Writer = FrameEncoder<Vec<u8>>;

pub(super) fn writer(out: Vec<u8>) -> Writer {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    FrameEncoder::with_frame_info(info, out)
}

pub(super) struct Reader<'a> {
    decoder: FrameDecoder<&'a [u8]>,
    ended: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> io::Result<Self> {
        check_frame_header(body)?;
        Ok(Self { decoder: FrameDecoder::new(body), ended: false })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Kafka stops at the end mark of the first frame and leaves what follows alone.
        if self.ended {
            return Ok(0);
        }
        let n = self.decoder.read(out)?;
        self.ended = n == 0;
        Ok(n)
    }
}

/// The frames that Kafka reads are fewer than those of the format: version 1, blocks that stand alone, no dictionary.
/// What remains of the header is checked by the decoder.
fn check_frame_header(body: &[u8]) -> io::Result<()> {
    let Some(flags) = body.strip_prefix(&MAGIC).and_then(|rest| rest.first()) else {
        return Err(malformed("not an lz4 frame"));
    };
    if flags & VERSION_BITS != VERSION_1 {
        return Err(malformed("lz4 frame of an unknown version"));
    }
    if flags & BLOCKS_INDEPENDENT == 0 {
        return Err(malformed("lz4 frame with linked blocks"));
    }
    if flags & RESERVED != 0 {
        return Err(malformed("lz4 frame with reserved flags"));
    }
    Ok(())
}
