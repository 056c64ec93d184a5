//! A segmented append-only log whose files are Apache Kafka's files, bit for bit.

pub mod batch;
pub mod commit;
pub mod io;
pub mod limits;
pub mod producer;
pub mod types;
