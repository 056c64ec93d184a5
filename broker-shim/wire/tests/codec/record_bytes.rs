//! Record bytes in requests are found in their frame; those of responses may lie elsewhere.

use wire::frame;
use wire::messages::{FetchResponse, ProduceRequest};
use wire::primitives::{Encoded, Piece, Reader, RecordsSlot, ResponseRecords};

use crate::samples::{Kind, samples};

#[test]
fn records_of_a_produce_request_can_be_cut_out_of_its_frame() {
    for sample in
        samples().iter().filter(|sample| sample.name == "ProduceRequest" && sample.kind == Kind::Full)
    {
        let before = b"a header of some length";
        let frame = [before.as_slice(), &sample.bytes].concat();
        let mut r = Reader::new(&frame);
        for _ in before {
            r.i8().expect("a byte of the header");
        }
        let request = ProduceRequest::decode(&mut r, sample.version).expect("Kafka wrote it");
        let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
        let records: Vec<_> = partitions.map(|partition| partition.records.expect("a full sample")).collect();
        assert_eq!(records.len(), 4);
        for records in records {
            assert_eq!(&frame[records.range_in_frame()], records.bytes);
            assert!(!records.bytes.is_empty());
        }
    }
}

#[test]
fn a_fetch_response_with_slots_is_the_one_with_its_records_inside() {
    let samples = samples();
    let fetches = samples.iter().filter(|sample| sample.name == "FetchResponse" && sample.kind == Kind::Full);
    let mut compared = 0;
    for sample in fetches {
        let inside =
            FetchResponse::decode(&mut Reader::new(&sample.bytes), sample.version).expect("Kafka wrote it");
        let mut elsewhere = inside.clone();
        let mut stored = Vec::new();
        let topics = elsewhere.responses.iter_mut();
        for partition in topics.flat_map(|topic| &mut topic.partitions) {
            let bytes = partition.records.and_then(|records| records.inline().map(<[u8]>::to_vec));
            stored.push(bytes.expect("a full sample"));
            let slot = stored.len() - 1;
            partition.records = Some(ResponseRecords::Elsewhere { slot, len: stored[slot].len() });
        }
        let encode =
            |response| frame::encode_response(response, sample.version, 1, Vec::new()).expect("written");
        let (inside, elsewhere) = (encode(&inside), encode(&elsewhere));
        assert_eq!(elsewhere.len(), inside.len());
        assert_eq!(elsewhere.slots.len(), stored.len());
        assert_eq!(filled(&elsewhere, &stored), inside.bytes, "{sample}");
        compared += 1;
    }
    assert!(compared > 0);
}

fn filled(encoded: &Encoded, stored: &[Vec<u8>]) -> Vec<u8> {
    let pieces = encoded.pieces().map(|piece| match piece {
        Piece::Bytes(bytes) => bytes,
        Piece::Records { slot, len } => &stored[slot][..len],
    });
    pieces.collect::<Vec<_>>().concat()
}

#[test]
fn pieces_of_no_length_are_left_out_and_their_slots_are_not() {
    let slot = |at, slot, len| RecordsSlot { at, slot, len };
    let encoded = Encoded {
        bytes: b"abcd".to_vec(),
        slots: vec![slot(0, 0, 3), slot(2, 1, 0), slot(2, 2, 5), slot(4, 3, 1)],
    };
    let records = |slot, len| Piece::Records { slot, len };
    let expected = [records(0, 3), Piece::Bytes(b"ab"), records(2, 5), Piece::Bytes(b"cd"), records(3, 1)];
    assert_eq!(encoded.pieces().collect::<Vec<_>>(), expected);
    assert_eq!(encoded.len(), 4 + 3 + 5 + 1);
}
