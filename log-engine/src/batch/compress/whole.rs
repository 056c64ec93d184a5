//! Bodies that are in memory as a whole, folded and unfolded for compaction: without the copies of a stream, and with
//! buffers that are kept.

use std::io;

use super::{
    Compression, CompressionType, Compressor, DecompressError, DecompressionCap, Decompressor, lz4, zstd,
};

/// Room for what is unfolded grows by so much at least.
const STEP: usize = 64 * 1024;

/// Unfolds `body` into the beginning of `out`, which grows as needed. Answers the length; `None` where the codec is none.
pub(crate) fn unfold(
    codec: CompressionType,
    body: &[u8],
    cap: DecompressionCap,
    out: &mut Vec<u8>,
) -> Result<Option<usize>, DecompressError> {
    if codec == CompressionType::Zstd {
        let room = out.len().min(usize::try_from(cap.get()).unwrap_or(usize::MAX));
        if let Some(len) = zstd::unfold_whole(body, &mut out[..room]) {
            return Ok(Some(len));
        }
    }
    let Some(mut decompressor) = Decompressor::new(codec, body, cap)? else { return Ok(None) };
    let mut filled = 0;
    loop {
        if filled == out.len() {
            out.resize(filled + filled.max(STEP), 0);
        }
        match decompressor.read(&mut out[filled..])? {
            0 => return Ok(Some(filled)),
            n => filled += n,
        }
    }
}

/// Appends `plain`, folded.
pub(crate) fn fold(compression: Compression, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match compression {
        Compression::Lz4 { .. } => lz4::fold_whole(plain, out),
        Compression::Zstd { level } => zstd::fold_whole(plain, level, out),
        _ => {
            let mut compressor = Compressor::new(compression, std::mem::take(out))?;
            compressor.write(plain)?;
            *out = compressor.finish()?;
            Ok(())
        }
    }
}
