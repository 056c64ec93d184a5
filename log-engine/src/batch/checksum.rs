//! CRC32C, the checksum of batches and producer snapshots.

use crc_fast::CrcAlgorithm;

/// The Castagnoli checksum of `bytes`, by the widest instructions the processor has.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    // The crate answers in 64 bits for all algorithms; those of a 32-bit one are the lower.
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::crc32c;

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
}
