//! A segmented append-only log whose files are Apache Kafka's files, bit for bit.

pub mod commit;
pub mod io;
