//! CRC32C, the checksum of batches and producer snapshots.

use crc_fast::{CrcAlgorithm, Digest};

/// The Castagnoli checksum of `bytes` (RFC 3720, appendix B.4), by the widest instructions the processor has.
pub fn crc32c(bytes: &[u8]) -> u32 {
    // The crate answers in 64 bits for all algorithms; those of a 32-bit one are the lower.
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The same checksum of bytes that come piece by piece.
#[derive(Clone, Debug)]
pub struct Crc32c(Digest);

impl Crc32c {
    /// The checksum of nothing.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all that was taken in.
    pub fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Crc32c, crc32c};

    #[test]
    fn the_checksum_is_that_of_rfc_3720_at_every_length() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        // Against another implementation, over the sizes at which the instructions change.
        let bytes: Vec<u8> = (0..5000_u32).map(|i| ((i * i) >> 3) as u8).collect();
        for len in (0..1100).chain(4000..4100) {
            assert_eq!(crc32c(&bytes[..len]), ::crc32c::crc32c(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn pieces_of_any_length_come_to_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..3000_u32).map(|i| ((i * 31) >> 2) as u8).collect();
        assert_eq!(Crc32c::new().value(), crc32c(&[]));
        for len in [1, 2, 7, 64, 255, 256, 1000, 2999, 3000] {
            let mut pieces = Crc32c::new();
            bytes.chunks(len).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.value(), crc32c(&bytes), "{len}");
        }
    }
}
