//! What Produce accepts, what it refuses and how.

use std::io::Read as _;

use klamm_tests::client::{batch, produce_request};
use log_engine::TimestampMs;
use log_engine::batch::{BatchBuilder, BatchView, Compression, NewRecord};
use wire::ErrorCode;
use wire::messages::ProduceRequest;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::primitives::{RecordsRef, Uuid};

use crate::in_process::{Klamm, NAMED, NOW, code, create, fetch, produce, topic_id};

/// Error and offset of one partition's answer.
fn try_produce(klamm: &Klamm, topic: &str, partition: i32, acks: i16, records: &[u8]) -> (ErrorCode, i64) {
    klamm
        .client()
        .produce(topic, partition, acks, records, |answer| (code(answer.error_code), answer.base_offset))
        .expect("an answer")
}

#[test]
fn records_come_back_byte_for_byte_with_their_offsets_stamped() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    for (acks, codec) in [
        (1, Compression::None),
        (-1, Compression::Gzip { level: -1 }),
        (1, Compression::Lz4 { level: 9 }),
        (-1, Compression::Snappy),
        (1, Compression::Zstd { level: 3 }),
    ] {
        let records = batch(codec, NOW, &[b"one", b"two", b"three"]);
        let base = client.produce("t", 0, acks, &records, |answer| answer.base_offset).expect("an answer");
        let (error, stored) = fetch(&mut client, "t", base + 1);
        assert_eq!(error, ErrorCode::None);
        assert_eq!(i64::from_be_bytes(stored[..8].try_into().expect("8 bytes")), base);
        // Base offset and leader epoch are stamped; everything the checksum covers is as it came.
        assert_eq!(stored[16..], records[16..], "with {codec:?}");
    }
}

#[test]
fn an_answer_says_where_the_records_are() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    assert_eq!(produce(&mut client, "t", &[b"a", b"b"]), 0);
    assert_eq!(produce(&mut client, "t", &[b"c"]), 2);
    let records = batch(Compression::None, NOW, &[b"d"]);
    let (append_time, start) = client
        .produce("t", 0, 1, &records, |answer| (answer.log_append_time_ms, answer.log_start_offset))
        .expect("an answer");
    assert_eq!((append_time, start), (-1, 0));
}

#[test]
fn every_partition_of_a_request_has_its_own_answer() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 2);
    let (good, mut bad) = (batch(Compression::None, NOW, &[b"x"]), batch(Compression::None, NOW, &[b"x"]));
    *bad.last_mut().expect("bytes") ^= 1;
    let data = |index, records| PartitionProduceData {
        index,
        records: Some(RecordsRef::new(records)),
        ..Default::default()
    };
    let partitions = vec![data(0, &good[..]), data(1, &bad[..]), data(7, &good[..]), data(1, &good[..])];
    let topic = TopicProduceData { name: "t".into(), partition_data: partitions, ..Default::default() };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
    let codes: Vec<_> = client
        .call(&request, NAMED, |response| {
            let partitions = response.responses[0].partition_responses.iter();
            partitions.map(|partition| (partition.index, code(partition.error_code))).collect()
        })
        .expect("an answer");
    assert_eq!(
        codes,
        [
            (0, ErrorCode::None),
            (1, ErrorCode::CorruptMessage),
            (7, ErrorCode::UnknownTopicOrPartition),
            (1, ErrorCode::None)
        ]
    );
}

#[test]
fn what_breaks_a_rule_is_refused_with_kafkas_error_and_harms_nothing_that_is_stored() {
    const TOPICS: [&str; 3] = ["t", "compacted", "small"];
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    create(&mut client, "compacted", 1, &[("cleanup.policy", "compact")]);
    create(&mut client, "small", 1, &[("max.message.bytes", "200")]);
    let good = batch(Compression::None, NOW, &[b"good"]);
    let keyed = batch_of(&[(Some(b"key"), b"good")]);
    for offset in 0..3 {
        for (topic, records) in [("t", &good), ("compacted", &keyed), ("small", &good)] {
            assert_eq!(try_produce(&klamm, topic, 0, -1, records), (ErrorCode::None, offset));
        }
    }
    // What clients read, and what lies on the disk.
    let stored = |klamm: &Klamm| {
        TOPICS.map(|topic| {
            let log = klamm.directory().join(format!("data/{topic}-0/00000000000000000000.log"));
            (fetch(&mut klamm.client(), topic, 0), std::fs::read(log).expect("the segment"))
        })
    };
    let before = stored(&klamm);
    assert!(before.iter().all(|((error, read), written)| *error == ErrorCode::None && read == written));

    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let two = [&good[..], &good[..]].concat();
    let large = batch(Compression::None, NOW, &[&[b'x'; 1000]]);
    let future = batch(Compression::None, TimestampMs::new(i64::MAX / 2), &[b"x"]);
    let mut unknown_codec = good.clone();
    unknown_codec[22] |= 5;
    reseal(&mut unknown_codec);
    let rows: [(&str, &[u8], ErrorCode); 11] = [
        ("t", &changed(good.len() - 1, b'!'), ErrorCode::CorruptMessage),
        ("t", &changed(16, 1), ErrorCode::InvalidRecord),
        ("t", &changed(16, 7), ErrorCode::CorruptMessage),
        ("t", &good[..40], ErrorCode::InvalidRecord),
        ("t", &[], ErrorCode::InvalidRecord),
        ("t", &two, ErrorCode::InvalidRecord),
        ("t", &unknown_codec, ErrorCode::UnknownServerError),
        ("t", &future, ErrorCode::InvalidTimestamp),
        ("small", &large, ErrorCode::MessageTooLarge),
        ("compacted", &good, ErrorCode::InvalidRecord),
        ("nowhere", &good, ErrorCode::UnknownTopicOrPartition),
    ];
    for (number, (topic, records, error)) in rows.into_iter().enumerate() {
        assert_eq!(try_produce(&klamm, topic, 0, -1, records), (error, -1), "row {number}");
        assert!(stored(&klamm) == before, "row {number} changed what is stored");
    }
    assert_eq!(try_produce(&klamm, "t", 0, 2, &good).0, ErrorCode::InvalidRequiredAcks);
    assert!(stored(&klamm) == before);
    drop(client);
    klamm.restart();
    assert!(stored(&klamm) == before);
    assert_eq!(try_produce(&klamm, "t", 0, 1, &good), (ErrorCode::None, 3), "nothing was stored meanwhile");
}

/// One batch of records with these keys and values.
fn batch_of(records: &[(Option<&[u8]>, &[u8])]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for &(key, value) in records {
        let record = NewRecord { timestamp: NOW, key, value: Some(value), ..NewRecord::default() };
        builder.append(&record).expect("fits");
    }
    builder.finish().expect("a batch")
}

#[test]
fn zstd_is_refused_in_versions_that_came_before_it() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let zstd = batch(Compression::Zstd { level: 3 }, NOW, &[b"one"]);
    let gzip = batch(Compression::Gzip { level: -1 }, NOW, &[b"one"]);
    let rows = [
        (6, &zstd, ErrorCode::UnsupportedCompressionType),
        (7, &zstd, ErrorCode::None),
        (6, &gzip, ErrorCode::None),
    ];
    for (version, records, error) in rows {
        let answer = client.call(&produce_request("t", 0, 1, records), version, |response| {
            code(response.responses[0].partition_responses[0].error_code)
        });
        assert_eq!(answer.expect("an answer"), error, "version {version}");
    }
}

/// Makes the checksum fit again.
fn reseal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn refused_records_are_named_one_by_one() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.client();
    create(&mut client, "compacted", 1, &[("cleanup.policy", "compact")]);
    let records = batch_of(&[(Some(b"k"), b"v"), (None, b"v"), (Some(b"k"), b"v"), (None, b"v")]);
    let (error, message, problems) = client
        .produce("compacted", 0, -1, &records, |answer| {
            let problems: Vec<_> = answer
                .record_errors
                .iter()
                .map(|problem| {
                    (
                        problem.batch_index,
                        problem.batch_index_error_message.as_deref().unwrap_or_default().to_owned(),
                    )
                })
                .collect();
            (code(answer.error_code), answer.error_message.as_deref().map(ToOwned::to_owned), problems)
        })
        .expect("an answer");
    assert_eq!(error, ErrorCode::InvalidRecord);
    assert_eq!(
        message.as_deref(),
        Some("One or more records have been rejected due to 2 record errors in total")
    );
    let text = "Compacted topic cannot accept message without key in topic partition compacted-0";
    assert_eq!(problems, [(1, text.to_owned()), (3, text.to_owned())]);
}

#[test]
fn acks_0_has_no_answer_and_an_error_ends_the_connection() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let good = batch(Compression::None, NOW, &[b"x"]);
    for _ in 0..3 {
        client.send(&produce_request("t", 0, 0, &good), NAMED).expect("sent");
    }
    // The next answer is that of the fetch: the produce requests had none.
    assert_eq!(BatchView::read(&fetch(&mut client, "t", 2).1).expect("a batch").base_offset().get(), 2);
    client.send(&produce_request("t", 9, 0, &good), NAMED).expect("sent");
    assert_eq!(
        client.socket().read(&mut [0; 1]).expect("no time-out, no reset"),
        0,
        "the connection is closed"
    );
}

#[test]
fn pipelined_requests_are_stored_and_answered_in_order() {
    for overrides in [&[][..], &["klamm.flush.policy=sync"], &["klamm.flush.policy=group"]] {
        let klamm = Klamm::start(overrides);
        let mut client = klamm.with_topic("t", 1);
        let total = 300;
        let batches: Vec<_> =
            (0..total).map(|number: i32| batch(Compression::None, NOW, &[&number.to_be_bytes()])).collect();
        let sent: Vec<_> = batches
            .iter()
            .map(|records| client.send(&produce_request("t", 0, -1, records), NAMED).expect("sent"))
            .collect();
        for correlation_id in sent {
            let frame = client.receive_frame().expect("an answer");
            assert_eq!(i32::from_be_bytes(frame[..4].try_into().expect("4 bytes")), correlation_id);
        }
        let stored = fetch(&mut client, "t", 0).1;
        let mut rest = &stored[..];
        for records in &batches {
            assert_eq!(rest[16..records.len()], records[16..], "under {overrides:?}");
            rest = &rest[records.len()..];
        }
        assert!(rest.is_empty());
    }
}

#[test]
fn a_repeated_batch_is_answered_with_its_first_offset_and_stored_once() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let sequenced = |sequence: i32| {
        let mut bytes = batch(Compression::None, NOW, &[b"x"]);
        bytes[43..51].copy_from_slice(&7i64.to_be_bytes());
        bytes[51..53].copy_from_slice(&0i16.to_be_bytes());
        bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
        reseal(&mut bytes);
        bytes
    };
    assert_eq!(try_produce(&klamm, "t", 0, -1, &sequenced(0)), (ErrorCode::None, 0));
    assert_eq!(try_produce(&klamm, "t", 0, -1, &sequenced(1)), (ErrorCode::None, 1));
    assert_eq!(try_produce(&klamm, "t", 0, -1, &sequenced(0)), (ErrorCode::None, 0));
    assert_eq!(try_produce(&klamm, "t", 0, -1, &sequenced(5)), (ErrorCode::OutOfOrderSequenceNumber, -1));
    assert_eq!(produce(&mut client, "t", &[b"next"]), 2);
}

#[test]
fn a_topic_that_wants_the_brokers_time_gets_it() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.client();
    create(&mut client, "t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let records = batch(Compression::None, NOW, &[b"x"]);
    let time = client.produce("t", 0, 1, &records, |answer| answer.log_append_time_ms).expect("an answer");
    assert!(time > NOW.get());
    let stored = fetch(&mut client, "t", 0).1;
    let view = BatchView::read(&stored).expect("a batch");
    assert_eq!(view.max_timestamp().get(), time);
    assert!(view.crc_is_valid());
}

#[test]
fn acks_all_needs_the_replicas_that_the_topic_asks_for() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.client();
    create(&mut client, "t", 1, &[("min.insync.replicas", "2")]);
    let records = batch(Compression::None, NOW, &[b"x"]);
    assert_eq!(try_produce(&klamm, "t", 0, -1, &records).0, ErrorCode::NotEnoughReplicas);
    assert_eq!(try_produce(&klamm, "t", 0, 1, &records).0, ErrorCode::None);
}

#[test]
fn topics_can_be_named_by_id() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let id = topic_id(&mut client, "t").expect("the topic exists");
    for (id, error) in [(id, ErrorCode::None), (Uuid([9; 16]), ErrorCode::UnknownTopicId)] {
        let records = batch(Compression::None, NOW, &[b"x"]);
        let mut request = produce_request("", 0, 1, &records);
        request.topic_data[0].topic_id = id;
        let answered = client
            .call(&request, 13, |response| {
                (
                    response.responses[0].topic_id,
                    code(response.responses[0].partition_responses[0].error_code),
                )
            })
            .expect("an answer");
        assert_eq!(answered, (id, error));
    }
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    produce(&mut client, "t", &[b"before"]);
    drop(client);
    klamm.restart();
    let mut client = klamm.client();
    assert_eq!(produce(&mut client, "t", &[b"after"]), 1);
    let stored = fetch(&mut client, "t", 0).1;
    assert_eq!(BatchView::read(&stored).expect("a batch").base_offset().get(), 0);
}
