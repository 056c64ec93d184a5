//! Zstandard frames. A context costs far more to make than a small batch costs to fold, so each thread keeps one of
//! each kind.

use std::cell::Cell;
use std::io;

use ::zstd::zstd_safe::{
    CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, SafeResult, compress_bound, get_error_name,
};

use super::malformed;

/// Kafka's `compression.zstd.level` allows libzstd's whole range.
const LEVEL_MAX: i32 = 22;
const LEVEL_MIN: i32 = -131_072;

/// Room that is made in the output at a time.
const OUT_STEP: usize = 16 * 1024;

thread_local! {
    static UNFOLDING: Cell<Option<Box<DCtx<'static>>>> = const { Cell::new(None) };
    static FOLDING: Cell<Option<Box<CCtx<'static>>>> = const { Cell::new(None) };
}

pub(super) struct Reader<'a> {
    context: Option<Box<DCtx<'static>>>,
    rest: &'a [u8],
    within_frame: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> io::Result<Self> {
        let mut context = match UNFOLDING.take() {
            Some(kept) => kept,
            None => Box::new(DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?),
        };
        checked(context.reset(ResetDirective::SessionOnly))?;
        Ok(Self { context: Some(context), rest: body, within_frame: true })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(context) = self.context.as_mut() else { return Ok(0) };
        let mut output = OutBuffer::around(out);
        // Ends after each frame, and where no input is left.
        while output.pos() == 0 {
            if self.rest.is_empty() && !self.within_frame {
                return Ok(0);
            }
            let mut input = InBuffer::around(self.rest);
            let hint = checked(context.decompress_stream(&mut output, &mut input))?;
            let taken = input.pos();
            self.within_frame = hint != 0;
            if self.within_frame && taken == self.rest.len() && output.pos() == 0 {
                return Err(malformed("zstd frame cut short"));
            }
            self.rest = &self.rest[taken..];
        }
        Ok(output.pos())
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        UNFOLDING.set(self.context.take());
    }
}

/// Unfolds a body that is there as a whole, straight into `out`, where it fits there. `None`: it does not, or is damaged,
/// and a [`Reader`] has to tell.
pub(super) fn unfold_whole(body: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut reader = Reader::new(body).ok()?;
    reader.context.as_mut()?.decompress(out, body).ok()
}

/// Appends the frame of a body that is there as a whole. The codec then takes tables no larger than the body needs.
pub(super) fn fold_whole(plain: &[u8], level: i32, out: &mut Vec<u8>) -> io::Result<()> {
    let mut writer = Writer::new(Vec::new(), level)?;
    let Some(context) = writer.context.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
    let at = out.len();
    out.resize(at + compress_bound(plain.len()), 0);
    let folded = checked(context.compress2(&mut out[at..], plain));
    out.truncate(at + folded.as_ref().copied().unwrap_or(0));
    folded.map(drop)
}

pub(super) struct Writer {
    context: Option<Box<CCtx<'static>>>,
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn new(out: Vec<u8>, level: i32) -> io::Result<Self> {
        let mut context = match FOLDING.take() {
            Some(kept) => kept,
            None => Box::new(CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?),
        };
        checked(context.reset(ResetDirective::SessionOnly))?;
        let level = level.clamp(LEVEL_MIN, LEVEL_MAX);
        checked(context.set_parameter(CParameter::CompressionLevel(level)))?;
        Ok(Self { context: Some(context), out })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(context) = self.context.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            self.out.reserve(OUT_STEP);
            let at = self.out.len();
            checked(context.compress_stream(&mut OutBuffer::around_pos(&mut self.out, at), &mut input))?;
        }
        Ok(())
    }

    pub(super) fn written(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        let Some(context) = self.context.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
        loop {
            self.out.reserve(OUT_STEP);
            let at = self.out.len();
            if checked(context.end_stream(&mut OutBuffer::around_pos(&mut self.out, at)))? == 0 {
                break;
            }
        }
        Ok(std::mem::take(&mut self.out))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        FOLDING.set(self.context.take());
    }
}

fn checked(result: SafeResult) -> io::Result<usize> {
    result.map_err(|code| io::Error::new(io::ErrorKind::InvalidData, get_error_name(code)))
}
