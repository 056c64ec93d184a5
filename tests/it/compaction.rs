//! Topics with `cleanup.policy=compact`, seen by clients.

use std::thread::sleep;
use std::time::Duration;

use klamm_tests::client::Client;
use log_engine::batch::{BatchBuilder, BatchView, Compression, NewRecord};
use wire::ErrorCode;

use crate::in_process::{Klamm, NOW, create, fetch};

fn put(client: &mut Client, topic: &str, key: &[u8], value: &[u8]) -> i64 {
    let mut batch = BatchBuilder::new(Compression::None);
    let record = NewRecord { timestamp: NOW, key: Some(key), value: Some(value), headers: &[] };
    batch.append(&record).expect("the record fits");
    let records = batch.finish().expect("a batch");
    client.produce(topic, 0, 1, &records, |answer| answer.base_offset).expect("an answer")
}

/// The base offset of the first batch that a fetch from the beginning finds.
fn first_offset(client: &mut Client, topic: &str) -> i64 {
    let (error, records) = fetch(client, topic, 0);
    assert_eq!(error, ErrorCode::None);
    BatchView::read(&records).expect("a whole batch").base_offset().get()
}

#[test]
fn a_compacted_topic_loses_what_was_overwritten_while_the_broker_runs_and_keeps_its_offsets() {
    let mut klamm = Klamm::start(&["log.cleaner.backoff.ms=10"]);
    let mut client = klamm.client();
    let configs = [("segment.bytes", "1048576"), ("min.cleanable.dirty.ratio", "0")];
    create(&mut client, "table", 1, &[configs[0], configs[1], ("cleanup.policy", "compact")]);
    create(&mut client, "log", 1, &configs);
    let large = vec![7; 600_000];
    for topic in ["table", "log"] {
        for offset in 0..4 {
            assert_eq!(put(&mut client, topic, b"key", &large), offset);
        }
    }
    // Offsets 0 to 2 are closed segments; the last of the key among them stays.
    let mut looks = 0;
    while first_offset(&mut client, "table") != 2 {
        sleep(Duration::from_millis(10));
        looks += 1;
        assert!(looks < 3_000, "nobody compacts");
    }
    assert_eq!(first_offset(&mut client, "log"), 0);
    assert_eq!(put(&mut client, "table", b"key", b"small"), 4);
    klamm.restart();
    let mut client = klamm.client();
    assert_eq!(first_offset(&mut client, "table"), 2);
    assert_eq!(put(&mut client, "table", b"key", b"small"), 5);
}

#[test]
fn without_the_cleaner_nothing_is_compacted() {
    let klamm = Klamm::start(&["log.cleaner.backoff.ms=10", "log.cleaner.enable=false"]);
    let mut client = klamm.client();
    let configs =
        [("segment.bytes", "1048576"), ("min.cleanable.dirty.ratio", "0"), ("cleanup.policy", "compact")];
    create(&mut client, "table", 1, &configs);
    let large = vec![7; 600_000];
    for offset in 0..3 {
        assert_eq!(put(&mut client, "table", b"key", &large), offset);
    }
    sleep(Duration::from_millis(200));
    assert_eq!(first_offset(&mut client, "table"), 0);
}
