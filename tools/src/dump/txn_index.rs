//! `.txnindex` files: the aborted transactions of a segment.
//!
//! ```text
//! version i16 | producer id i64 | first offset i64 | last offset i64 | last stable offset i64
//! ```

use std::path::Path;

use super::{DumpError, Session, base_offset, damage::Rule, index_file::IndexFile, refused};

const ENTRY: usize = 34;

/// The only version there is.
const VERSION: i16 = 0;

impl Session<'_> {
    pub(super) fn dump_txn_index(&mut self, file: &Path, name: &str) -> Result<(), DumpError> {
        base_offset(file, name)?;
        let mut index = match IndexFile::<ENTRY>::open(file) {
            Ok(index) => index,
            // A segment without aborted transactions has no such file, and Kafka's tool prints none.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(refused(file)(error)),
        };
        for number in 0..index.entries() {
            let entry = index.entry(number).map_err(refused(file))?;
            let version = i16::from_be_bytes([entry[0], entry[1]]);
            if version != VERSION {
                self.damage(file, number * ENTRY as u64, Rule::UnknownVersion(version));
            }
            self.aborted_transaction(&entry);
        }
        if index.length() % ENTRY as u64 != 0 {
            let position = index.entries() * ENTRY as u64;
            self.damage(file, position, Rule::IndexSize { size: index.length(), entry: ENTRY as u64 });
        }
        Ok(())
    }

    fn aborted_transaction(&mut self, entry: &[u8; ENTRY]) {
        // Kafka's AbortedTxn takes the first of the two bytes for the version.
        let version = entry[0] as i8;
        let field = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&entry[at..at + 8]);
            i64::from_be_bytes(bytes)
        };
        let [producer_id, first_offset, last_offset, last_stable_offset] =
            [field(2), field(10), field(18), field(26)];
        if self.options.is_json() {
            return self.json_line("abortedTransaction", |line| {
                line.int("version", version)
                    .int("producerId", producer_id)
                    .int("firstOffset", first_offset)
                    .int("lastOffset", last_offset)
                    .int("lastStableOffset", last_stable_offset)
            });
        }
        self.out
            .str("version: ")
            .int(version)
            .str(" producerId: ")
            .int(producer_id)
            .str(" firstOffset: ")
            .int(first_offset)
            .str(" lastOffset: ")
            .int(last_offset)
            .str(" lastStableOffset: ")
            .int(last_stable_offset)
            .end_line();
    }
}
