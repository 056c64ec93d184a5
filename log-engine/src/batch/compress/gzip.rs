//! gzip: one member or several one after another, and whatever follows them is left alone, as `GZIPInputStream` does.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

pub(super) type Writer = GzEncoder<Vec<u8>>;

/// What a member begins with: magic and the deflate method.
const MEMBER_START: [u8; 3] = [0x1f, 0x8b, 8];

pub(super) fn writer(out: Vec<u8>, level: i32) -> Writer {
    // zlib's own default is 6; Kafka's configuration spells it -1.
    let level = u32::try_from(level).map_or(6, |level| level.min(9));
    GzEncoder::new(out, flate2::Compression::new(level))
}

pub(super) struct Reader<'a> {
    member: GzDecoder<&'a [u8]>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { member: GzDecoder::new(body) }
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.member.read(out)?;
            let rest = *self.member.get_ref();
            // Ends after the last member: what is left is empty or no member.
            if n > 0 || !rest.starts_with(&MEMBER_START) {
                return Ok(n);
            }
            self.member = GzDecoder::new(rest);
        }
    }
}
