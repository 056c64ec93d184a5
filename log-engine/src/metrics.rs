//! Plain counters of an engine; exporting them is somebody else's business.

use crate::commit::CommitCounts;

/// Totals of an engine since it was opened.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct EngineCounts {
    /// Logs open.
    pub logs: u64,
    /// What the committers did, summed over the data directories.
    pub commits: CommitCounts,
    /// Segments rolled.
    pub segments_rolled: u64,
    /// Recovery points moved up.
    pub recovery_points: u64,
    /// Bytes that the scrubber read.
    pub scrubbed_bytes: u64,
    /// Stretches of logs that are damaged, as far as the scrubber found them.
    pub damaged_ranges: u64,
}
