//! The broker as a program, and what it promises to whoever starts it or sends it bytes. Files are named by promise.
//!
//! Needs nothing but the build, and kcat where the README does: what only Kafka or a real client can judge is in
//! `tests/interop`.

mod frames;
mod full_disk;
mod limits;
mod offline;
mod read_only;
mod readme;
mod requests;
mod restart;
mod start;
