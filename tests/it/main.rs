//! Integration tests: a broker in this process, and a client that speaks the protocol byte by byte. Files are named by what
//! they promise.

mod admin;
mod bad_input;
mod cold_disk;
mod compaction;
mod connections;
mod copied_bytes;
mod directories;
mod failed_disk;
mod fetch;
mod full_disk;
mod fuzz_seeds;
#[path = "../../log-engine/fuzz/src/targets.rs"]
pub mod fuzz_targets;
mod groups;
mod in_process;
mod list_offsets;
mod move_replica;
mod offsets;
mod produce;
mod quotas;
mod refusals;
mod sendfile;
mod sendfile_trace;
mod slow_disk;
mod start;
mod topics;
mod transactions;
mod unharmed;
