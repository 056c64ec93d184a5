//! How many aborted transactions the index of each segment knows. Most segments have no such index, so that one which was lost
//! does not show: readers of committed records would be shown aborted ones. The list lies beside the segments, under a name that
//! Kafka passes over.
//!
//! It is written before the recovery point moves over what it lists. A crash before leaves a list without it, and a start that
//! looks behind the point, where it makes the index anyway. A list that has more than there is, after a cleaning, a cut or a
//! visit of Kafka's, costs a start the reading of those segments, until the next flush.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::{ReadCheckpointError, TxnIndexEntries, format_txn_indexes, read_txn_indexes};
use crate::io::{Disk, atomic_replace};
use crate::log_dir::TXN_INDEXES_FILE;

use super::Log;

impl Log {
    /// Writes the list where it is another one than `listed`.
    pub(super) fn list_txn_indexes(&self, listed: &mut Vec<TxnIndexEntries>) -> io::Result<()> {
        let present: Vec<TxnIndexEntries> = self
            .segments()
            .iter()
            .map(|segment| (segment.base_offset, segment.aborted_count()))
            .filter(|(_, entries)| *entries > 0)
            .collect();
        if present != *listed {
            let path = self.path.get().join(TXN_INDEXES_FILE);
            atomic_replace(&*self.home.disk, &path, format_txn_indexes(&present).as_bytes())?;
            *listed = present;
        }
        Ok(())
    }
}

/// The list in a log's directory; nothing where there is none, or none that can be read.
pub(super) fn listed_txn_indexes(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<Vec<TxnIndexEntries>> {
    match read_txn_indexes(disk, &dir.join(TXN_INDEXES_FILE)) {
        Ok(listed) => Ok(listed),
        Err(ReadCheckpointError::Corrupt(damage)) => {
            tracing::warn!("it is not known which segments have an index of aborted transactions: {damage}");
            Ok(Vec::new())
        }
        Err(ReadCheckpointError::Io(error)) => Err(error),
    }
}
