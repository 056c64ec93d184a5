//! A fetch leaves the records where they are: the kernel moves them from the file to the socket.

use std::sync::Arc;

use klamm_tests::hooked_disk::{HookedDisk, Hooks};
use wire::ErrorCode;

use crate::copied_bytes::CopiedBytes;
use crate::in_process::{Klamm, fetch, produce};

/// Between an index entry and the batch that is wanted lie at most so many bytes, plus the batch that crosses the line.
const INDEX_INTERVAL_BYTES: usize = 4096;
const RECORD_BYTES: usize = 10_000;

#[test]
fn of_a_fetch_only_batch_headers_within_an_index_interval_are_read() {
    let copied = Arc::new(CopiedBytes::default());
    let disk = Arc::new(HookedDisk::new(Arc::clone(&copied) as Arc<dyn Hooks>));
    let klamm = Klamm::start_on(&[], disk);
    let mut client = klamm.with_topic("t", 1);
    for _ in 0..50 {
        produce(&mut client, "t", &[&[b'v'; RECORD_BYTES]]);
    }
    let before = copied.so_far();
    for offset in [0, 7, 25, 49] {
        let (code, records) = fetch(&mut client, "t", offset);
        assert_eq!(code, ErrorCode::None);
        assert_eq!(records.len() / RECORD_BYTES, usize::try_from(50 - offset).expect("small"));
    }
    let read = copied.so_far() - before;
    assert!(read <= 4 * INDEX_INTERVAL_BYTES, "{read} bytes of records were copied for four fetches");
}

#[test]
fn a_slice_of_several_pieces_arrives_as_it_lies_in_the_file() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    for i in 0..6_u8 {
        produce(&mut client, "t", &[&vec![i; 600_000]]);
    }
    let fetched = client.fetch("t", 0, 0, 8 << 20, |answer| {
        answer.records.as_ref().and_then(|records| records.inline()).unwrap_or_default().to_vec()
    });
    let stored =
        std::fs::read(klamm.directory().join("data/t-0/00000000000000000000.log")).expect("the segment");
    assert!(stored.len() > 3 << 20);
    assert!(fetched.expect("an answer") == stored, "what arrived is not what lies there");
}
