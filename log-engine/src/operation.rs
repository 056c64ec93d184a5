//! What operating an engine for long takes, beyond appending and reading: settings of the background work, what was found at the
//! start and since, moves between disks, the finer facts in errors and answers.

pub use crate::clean::{CleanerConfig, CleaningError, CleaningReport};
pub use crate::commit::Durability;
pub use crate::config::{DiskChoice, InvalidConfig, TargetCompression, Upkeep};
pub use crate::engine::{DirectoryReport, LogMove, MoveListener, OfflineDirectory};
pub use crate::error::{Corruption, MoveLogError, Rule};
pub use crate::log::{DamagedRange, LogOpening};
pub use crate::metrics::EngineCounts;
pub use crate::scrub::{ScrubConfig, ScrubReport};
pub use crate::segment::SegmentInfo;
pub use crate::segment::name::is_legal_topic_name;
pub use crate::segment::txn_index::AbortedTransaction;
pub use crate::types::{FilePosition, ProducerEpoch, ProducerId, RelativeOffset, Sequence};
