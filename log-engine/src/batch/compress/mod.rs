//! The five codecs behind one enum, in the framings that Kafka gives them.
//!
//! Unfolding is a stream of pieces under a cap: what an untrusted batch claims about its size is never believed, and
//! what it does unfold to is never held as a whole. Contexts and buffers of the costly codecs stay with their thread.

mod gzip;
mod lz4;
mod snappy;
pub(super) mod whole;
mod zstd;

use std::fmt;
use std::io::{self, Write};

use crate::limits;

/// A codec, as the attributes of a batch name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CompressionType {
    /// Records as they are.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Snappy blocks in the framing of the xerial library.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

impl CompressionType {
    /// Every codec, by rising number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of this number; the number itself where there is none.
    pub const fn from_id(id: u8) -> Result<Self, u8> {
        Ok(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return Err(id),
        })
    }

    /// The number in the attributes.
    #[must_use]
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The codec's name, as Kafka spells it in configurations and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd].into_iter().find(|c| c.name() == name)
    }
}

impl fmt::Display for CompressionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A codec and how hard it shall try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Records as they are.
    #[default]
    None,
    /// gzip with zlib's level 1 to 9, or -1 for zlib's default.
    Gzip {
        /// `compression.gzip.level`
        level: i32,
    },
    /// Snappy, which knows no levels.
    Snappy,
    /// LZ4. The level is kept but changes nothing: the fast mode writes every level.
    Lz4 {
        /// `compression.lz4.level`
        level: i32,
    },
    /// Zstandard.
    Zstd {
        /// `compression.zstd.level`
        level: i32,
    },
}

impl Compression {
    /// The codec at Kafka's default level.
    #[must_use]
    pub const fn of(codec: CompressionType) -> Self {
        match codec {
            CompressionType::None => Self::None,
            CompressionType::Gzip => Self::Gzip { level: -1 },
            CompressionType::Snappy => Self::Snappy,
            CompressionType::Lz4 => Self::Lz4 { level: 9 },
            CompressionType::Zstd => Self::Zstd { level: 3 },
        }
    }

    /// The codec without its level.
    #[must_use]
    pub const fn codec(self) -> CompressionType {
        match self {
            Self::None => CompressionType::None,
            Self::Gzip { .. } => CompressionType::Gzip,
            Self::Snappy => CompressionType::Snappy,
            Self::Lz4 { .. } => CompressionType::Lz4,
            Self::Zstd { .. } => CompressionType::Zstd,
        }
    }
}

/// How many bytes one batch may unfold to before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecompressionCap(u64);

impl DecompressionCap {
    /// A cap of `bytes`.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The cap in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Default for DecompressionCap {
    fn default() -> Self {
        Self(limits::DECOMPRESSED_BATCH_BYTES_MAX)
    }
}

/// Why a batch does not unfold.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// The attributes name a codec that does not exist.
    #[error("unknown compression codec {id}")]
    UnknownCodec {
        /// The number in the attributes.
        id: u8,
    },
    /// The bytes are not what the codec writes.
    #[error("the {codec} data of the batch cannot be decompressed")]
    Corrupt {
        /// The codec.
        codec: CompressionType,
        /// What the codec says.
        #[source]
        source: io::Error,
    },
    /// The batch unfolds to more than it may.
    #[error("the {codec} batch unfolds to more than {cap} bytes")]
    OverCap {
        /// The codec.
        codec: CompressionType,
        /// The bytes allowed.
        cap: u64,
    },
}

/// A compressed batch body, unfolding piece by piece.
pub(super) struct Decompressor<'a> {
    stream: Stream<'a>,
    codec: CompressionType,
    cap: u64,
    left: u64,
}

enum Stream<'a> {
    Gzip(gzip::Reader<'a>),
    Snappy(Box<snappy::Reader<'a>>),
    Lz4(lz4::Reader<'a>),
    Zstd(zstd::Reader<'a>),
}

impl<'a> Decompressor<'a> {
    /// Opens `body`; `None` where the codec is none and there is nothing to unfold.
    pub(super) fn new(
        codec: CompressionType,
        body: &'a [u8],
        cap: DecompressionCap,
    ) -> Result<Option<Self>, DecompressError> {
        let corrupt = |source| DecompressError::Corrupt { codec, source };
        let stream = match codec {
            CompressionType::None => return Ok(None),
            CompressionType::Gzip => Stream::Gzip(gzip::Reader::new(body)),
            CompressionType::Snappy => Stream::Snappy(Box::new(snappy::Reader::new(body).map_err(corrupt)?)),
            CompressionType::Lz4 => Stream::Lz4(lz4::Reader::new(body).map_err(corrupt)?),
            CompressionType::Zstd => Stream::Zstd(zstd::Reader::new(body).map_err(corrupt)?),
        };
        Ok(Some(Self { stream, codec, cap: cap.0, left: cap.0 }))
    }

    /// Opens the lz4 value of a message of format 0, which differs in the checksum of its header.
    pub(super) fn lz4_of_format_0(body: &'a [u8], cap: DecompressionCap) -> Result<Self, DecompressError> {
        let codec = CompressionType::Lz4;
        let reader =
            lz4::Reader::of_format_0(body).map_err(|source| DecompressError::Corrupt { codec, source })?;
        Ok(Self { stream: Stream::Lz4(reader), codec, cap: cap.0, left: cap.0 })
    }

    /// Unfolds the next bytes into `out`, which is not empty; 0 at the end.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, DecompressError> {
        let read = match &mut self.stream {
            Stream::Gzip(reader) => reader.read(out),
            Stream::Snappy(reader) => reader.read(out),
            Stream::Lz4(reader) => reader.read(out),
            Stream::Zstd(reader) => reader.read(out),
        };
        let n = read.map_err(|source| DecompressError::Corrupt { codec: self.codec, source })?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or(DecompressError::OverCap { codec: self.codec, cap: self.cap })?;
        Ok(n)
    }
}

/// A batch body being folded; what is written comes out behind the bytes it was opened with.
pub(super) struct Compressor(Folding);

enum Folding {
    None(Vec<u8>),
    Gzip(Box<gzip::Writer>),
    Snappy(Box<snappy::Writer>),
    Lz4(Box<lz4::Writer>),
    Zstd(zstd::Writer),
}

impl Compressor {
    pub(super) fn new(compression: Compression, out: Vec<u8>) -> io::Result<Self> {
        Ok(Self(match compression {
            Compression::None => Folding::None(out),
            Compression::Gzip { level } => Folding::Gzip(Box::new(gzip::writer(out, level))),
            Compression::Snappy => Folding::Snappy(Box::new(snappy::Writer::new(out))),
            Compression::Lz4 { .. } => Folding::Lz4(Box::new(lz4::writer(out))),
            Compression::Zstd { level } => Folding::Zstd(zstd::Writer::new(out, level)?),
        }))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Folding::None(out) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Folding::Gzip(writer) => writer.write_all(bytes),
            Folding::Snappy(writer) => writer.write(bytes),
            Folding::Lz4(writer) => writer.write_all(bytes),
            Folding::Zstd(writer) => writer.write(bytes),
        }
    }

    /// Bytes that have come out so far; what a codec still holds back is not counted.
    pub(super) fn written(&self) -> usize {
        match &self.0 {
            Folding::None(out) => out.len(),
            Folding::Gzip(writer) => writer.get_ref().len(),
            Folding::Snappy(writer) => writer.written(),
            Folding::Lz4(writer) => writer.get_ref().len(),
            Folding::Zstd(writer) => writer.written(),
        }
    }

    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Folding::None(out) => Ok(out),
            Folding::Gzip(writer) => writer.finish(),
            Folding::Snappy(writer) => writer.finish(),
            Folding::Lz4(writer) => writer.finish().map_err(io::Error::from),
            Folding::Zstd(writer) => writer.finish(),
        }
    }
}

/// The bytes do not follow the codec's format.
fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
