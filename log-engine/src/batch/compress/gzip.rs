//! gzip, one member or several one after another, as `GZIPInputStream` reads them.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

pub(super) type Writer = GzEncoder<Vec<u8>>;

pub(super) fn writer(out: Vec<u8>, level: i32) -> Writer {
    // zlib's own default is 6; Kafka's configuration spells it -1.
    let level = u32::try_from(level).map_or(6, |level| level.min(9));
    GzEncoder::new(out, flate2::Compression::new(level))
}

pub(super) struct Reader<'a> {
    decoder: MultiGzDecoder<&'a [u8]>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { decoder: MultiGzDecoder::new(body) }
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(out)
    }
}
