//! LZ4 frames as Kafka's own block streams write and read them (KIP-57): blocks of 64 KiB that stand alone, no
//! checksums, no content size.

use std::io::{self, Chain, Cursor, Read};

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

/// Magic, flags, block descriptor, header checksum.
const FRAME_HEADER_LEN: usize = 7;

pub(super) struct Reader<'a> {
    decoder: FrameDecoder<Chain<Cursor<[u8; FRAME_HEADER_LEN]>, &'a [u8]>>,
    ended: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> io::Result<Self> {
        let (header, rest) = split_frame_header(body)?;
        Ok(Self::of(header, rest))
    }

    /// A frame in a message of format 0, whose writers took the header's checksum over the magic too: Kafka does not
    /// look at it there.
    pub(super) fn of_format_0(body: &'a [u8]) -> io::Result<Self> {
        let (mut header, rest) = split_frame_header(body)?;
        let [.., flags, descriptor, checksum] = &mut header;
        *checksum = header_checksum([*flags, *descriptor]);
        Ok(Self::of(header, rest))
    }

    fn of(header: [u8; FRAME_HEADER_LEN], rest: &'a [u8]) -> Self {
        Self { decoder: FrameDecoder::new(Cursor::new(header).chain(rest)), ended: false }
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
fn split_frame_header(body: &[u8]) -> io::Result<([u8; FRAME_HEADER_LEN], &[u8])> {
    let whole = body.split_first_chunk::<FRAME_HEADER_LEN>().filter(|_| body.starts_with(&MAGIC));
    let Some((header, rest)) = whole else {
        return Err(malformed("not an lz4 frame"));
    };
    let [_, _, _, _, flags, ..] = header;
    if flags & VERSION_BITS != VERSION_1 {
        return Err(malformed("lz4 frame of an unknown version"));
    }
    if flags & BLOCKS_INDEPENDENT == 0 {
        return Err(malformed("lz4 frame with linked blocks"));
    }
    if flags & RESERVED != 0 {
        return Err(malformed("lz4 frame with reserved flags"));
    }
    Ok((*header, rest))
}

/// The second byte of xxHash32 over two bytes, without a seed: what the frame format puts behind a header without sizes.
fn header_checksum(bytes: [u8; 2]) -> u8 {
    const PRIME: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let mut hash = PRIME[4].wrapping_add(bytes.len() as u32);
    for byte in bytes {
        hash =
            hash.wrapping_add(u32::from(byte).wrapping_mul(PRIME[4])).rotate_left(11).wrapping_mul(PRIME[0]);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIME[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIME[2]);
    ((hash ^ (hash >> 16)) >> 8) as u8
}
