#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

const CODECS: [CompressionType; 4] =
    [CompressionType::Gzip, CompressionType::Snappy, CompressionType::Lz4, CompressionType::Zstd];

fn fold(compression: Compression, plain: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(compression, Vec::new()).unwrap();
    for piece in plain.chunks(10_000) {
        compressor.write(piece).unwrap();
    }
    compressor.finish().unwrap()
}

fn unfold(codec: CompressionType, folded: &[u8], cap: u64) -> Result<Vec<u8>, DecompressError> {
    let mut decompressor = Decompressor::new(codec, folded, DecompressionCap::new(cap))?.unwrap();
    let (mut plain, mut piece) = (Vec::new(), [0; 777]);
    loop {
        match decompressor.read(&mut piece)? {
            0 => return Ok(plain),
            n => plain.extend_from_slice(&piece[..n]),
        }
    }
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| b"the same words again, and then not: "[i % 36] ^ (i / 5000) as u8).collect()
}

#[test]
fn every_codec_gives_back_what_it_was_given() {
    for codec in CODECS {
        for len in [0, 1, 100, 32 * 1024, 64 * 1024 + 1, 300_000] {
            let plain = text(len);
            let folded = fold(Compression::of(codec), &plain);
            assert_eq!(unfold(codec, &folded, 1 << 20).unwrap(), plain, "{codec} {len}");
        }
    }
}

#[test]
fn a_body_folded_as_a_whole_is_one_that_any_reader_reads() {
    for codec in CompressionType::ALL {
        let mut kept = Vec::new();
        for len in [0, 1, 100, 65_535, 64 * 1024 + 1, 300_000, 16_000, 17] {
            let noise = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[5];
            for plain in [text(len), (0..len).map(noise).collect()] {
                let mut folded = b"before".to_vec();
                whole::fold(Compression::of(codec), &plain, &mut folded).unwrap();
                assert_eq!(&folded[..6], b"before");
                let body = &folded[6..];
                let unfolded = whole::unfold(codec, body, DecompressionCap::new(1 << 20), &mut kept).unwrap();
                match unfolded {
                    None => assert_eq!((codec, body), (CompressionType::None, &plain[..])),
                    Some(len) => {
                        assert_eq!(kept[..len], plain, "{codec}");
                        assert_eq!(unfold(codec, body, 1 << 20).unwrap(), plain, "{codec}");
                        let refused =
                            whole::unfold(codec, body, DecompressionCap::new(len as u64 / 2), &mut kept);
                        assert!(refused.is_err() || len < 2, "{codec} {len}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_whole_body_that_is_damaged_is_refused_or_unfolds_to_something_under_the_cap() {
    for codec in CODECS {
        let folded = fold(Compression::of(codec), &text(5_000));
        let mut kept = vec![0; 1 << 20];
        for at in 0..folded.len() {
            let mut damaged = folded.clone();
            damaged[at] ^= 0x5a;
            if let Ok(len) = whole::unfold(codec, &damaged, DecompressionCap::new(10_000), &mut kept) {
                assert!(len.unwrap() <= 10_000, "{codec}, byte {at}");
            }
            let cut = whole::unfold(codec, &folded[..at], DecompressionCap::new(10_000), &mut kept);
            assert!(
                cut.is_err() || at == 0 || kept[..cut.unwrap().unwrap()] != text(5_000),
                "{codec}, cut at {at}"
            );
        }
    }
}

#[test]
fn a_batch_that_unfolds_to_more_than_the_cap_is_refused() {
    for codec in CODECS {
        let folded = fold(Compression::of(codec), &vec![0; 1 << 20]);
        assert!(unfold(codec, &folded, 1 << 20).is_ok(), "{codec}");
        let refused = unfold(codec, &folded, (1 << 20) - 1);
        assert!(matches!(refused, Err(DecompressError::OverCap { .. })), "{codec}");
    }
}

#[test]
fn lz4_frames_begin_as_kafka_begins_them() {
    // Version 1, independent blocks, 64 KiB, no checksums, no content size, and the checksum of these two bytes.
    let folded = fold(Compression::of(CompressionType::Lz4), b"hello");
    assert_eq!(folded[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
    assert_eq!(folded[folded.len() - 4..], [0; 4]);
}

#[test]
fn lz4_frames_with_linked_blocks_are_refused_and_content_checksums_are_checked() {
    use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
    let plain = text(200_000);
    let frame = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    let linked = frame(FrameInfo::new().block_mode(BlockMode::Linked));
    assert!(unfold(CompressionType::Lz4, &linked, 1 << 20).is_err());
    let mut checked = frame(FrameInfo::new().content_checksum(true).block_checksums(true));
    assert_eq!(unfold(CompressionType::Lz4, &checked, 1 << 20).unwrap(), plain);
    *checked.last_mut().unwrap() ^= 1;
    assert!(unfold(CompressionType::Lz4, &checked, 1 << 20).is_err());
}

#[test]
fn snappy_is_framed_as_xerial_does_and_bare_blocks_are_read_too() {
    let plain = text(70_000);
    let folded = fold(Compression::Snappy, &plain);
    assert_eq!(folded[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let first = u32::from_be_bytes(folded[16..20].try_into().unwrap()) as usize;
    assert_eq!(snap::raw::decompress_len(&folded[20..20 + first]).unwrap(), 32 * 1024);
    let bare = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(unfold(CompressionType::Snappy, &bare, 1 << 20).unwrap(), plain);
    let twice = [folded.as_slice(), folded.as_slice()].concat();
    assert_eq!(unfold(CompressionType::Snappy, &twice, 1 << 20).unwrap().len(), 140_000);
}

#[test]
fn a_snappy_block_that_claims_gigabytes_is_refused_before_they_are_reserved() {
    // A varint of 2^32 - 1 bytes and nothing behind it, bare and framed.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    assert!(unfold(CompressionType::Snappy, &claim, u64::MAX).is_err());
    let framed = [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x07".as_slice(), &claim].concat();
    assert!(unfold(CompressionType::Snappy, &framed, u64::MAX).is_err());
}

#[test]
fn zstd_frames_one_after_another_are_read_and_a_cut_one_is_refused() {
    let zstd = CompressionType::Zstd;
    let folded = fold(Compression::of(zstd), b"hello ");
    assert_eq!(unfold(zstd, &[folded.as_slice(), &folded].concat(), 100).unwrap(), b"hello hello ");
    for len in 0..folded.len() {
        assert!(unfold(zstd, &folded[..len], 100).is_err(), "{len}");
    }
    // The context that saw the broken frames is used again.
    assert_eq!(unfold(zstd, &folded, 100).unwrap(), b"hello ");
}

proptest! {
    #[test]
    fn mutilated_data_never_panics(codec in 0..4usize, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let codec = CODECS[codec];
        let mut folded = fold(Compression::of(codec), &text(5000));
        *at.get_mut(&mut folded) = byte;
        folded.truncate(cut.index(folded.len()).max(1));
        let _ = unfold(codec, &folded, 1 << 16);
    }

    #[test]
    fn arbitrary_data_never_panics(codec in 0..4usize, bytes: Vec<u8>) {
        let _ = unfold(CODECS[codec], &bytes, 1 << 16);
    }
}
