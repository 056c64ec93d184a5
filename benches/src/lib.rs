//! What the benchmarks share: the bare loops that stand for the machine's limit, the recorder and replayer of
//! client frames, process measurements, and the table of results.
//!
//! A figure here is always a ratio between programs measured in one run on one machine.

pub mod bare;
pub mod frames;
pub mod limits;
pub mod process;
pub mod raw_fetch;
pub mod report;
pub mod rows;
pub mod subject;
