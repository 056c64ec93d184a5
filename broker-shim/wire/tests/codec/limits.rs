//! Values at the edge of what an encoding can say.

use wire::message::{DecodeError, EncodeError};
use wire::messages::{
    ApiVersionsRequest, MetadataRequest, MetadataResponse, metadata_request::MetadataRequestTopic,
};
use wire::primitives::{RawTaggedField, Reader, UnknownTaggedFields, Writer};

#[test]
fn variable_length_numbers_are_kafkas_up_to_the_largest() {
    let cases: [(u32, &[u8]); 6] = [
        (0, &[0]),
        (127, &[0x7f]),
        (128, &[0x80, 0x01]),
        (300, &[0xac, 0x02]),
        (1 << 28, &[0x80, 0x80, 0x80, 0x80, 0x01]),
        (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    for (value, bytes) in cases {
        let mut w = Writer::new();
        w.uvarint(value);
        assert_eq!(w.into_bytes(), bytes);
        assert_eq!(Reader::new(bytes).uvarint(), Ok(value));
    }
    assert_eq!(Reader::new(&[0x80; 6]).uvarint(), Err(DecodeError::EndlessVarint { at: 5 }));
    assert_eq!(Reader::new(&[0x80; 4]).uvarint(), Err(DecodeError::UnexpectedEnd { at: 4, needed: 1 }));
}

#[test]
fn a_string_has_at_most_32767_bytes() {
    for flexible in [false, true] {
        let longest = "x".repeat(i16::MAX as usize);
        let mut w = Writer::new();
        w.string(flexible, &longest).expect("it fits");
        let bytes = w.into_bytes();
        assert_eq!(Reader::new(&bytes).string(flexible, "Name").expect("it is whole"), longest);
        let too_long = Writer::new().string(flexible, &(longest + "x"));
        assert_eq!(too_long, Err(EncodeError::TooLong { length: 32768 }));
    }
}

#[test]
fn text_that_is_not_utf_8_becomes_replacement_characters_as_in_java() {
    let mut r = Reader::new(&[0, 3, b'a', 0xff, b'b']);
    assert_eq!(r.string(false, "Name").expect("it is a string"), "a\u{fffd}b");
}

#[test]
fn lengths_below_null_and_nulls_where_there_is_none_are_errors() {
    let mut r = Reader::new(&[0xff, 0xfe]);
    assert_eq!(r.nullable_string(false), Err(DecodeError::NegativeLength { at: 2, length: -2 }));
    let mut r = Reader::new(&[0xff, 0xff]);
    assert_eq!(r.string(false, "Name"), Err(DecodeError::UnexpectedNull { field: "Name" }));
}

#[test]
fn a_value_that_a_version_cannot_carry_is_refused_unless_it_may_be_dropped() {
    let all_topics = MetadataRequest { topics: None, ..MetadataRequest::default() };
    assert_eq!(all_topics.encode(&mut Writer::new(), 0), Err(EncodeError::Null { field: "Topics" }));
    assert_eq!(all_topics.encode(&mut Writer::new(), 1), Ok(()));

    let manual = MetadataRequest { allow_auto_topic_creation: false, ..MetadataRequest::default() };
    let error = EncodeError::FieldNotInVersion { field: "AllowAutoTopicCreation", version: 3 };
    assert_eq!(manual.encode(&mut Writer::new(), 3), Err(error));
    assert_eq!(manual.encode(&mut Writer::new(), 4), Ok(()));

    let throttled = MetadataResponse { throttle_time_ms: 5, ..MetadataResponse::default() };
    assert_eq!(throttled.encode(&mut Writer::new(), 0), Ok(()));
}

#[test]
fn tagged_fields_that_nobody_knows_are_written_again() {
    let mut unknown_tagged_fields = UnknownTaggedFields::default();
    unknown_tagged_fields.push(RawTaggedField { tag: 9, value: b"later".as_slice().into() });
    let topic = MetadataRequestTopic { name: Some("t".into()), unknown_tagged_fields, ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
    let mut w = Writer::new();
    request.encode(&mut w, 12).expect("written");
    let bytes = w.into_bytes();
    assert_eq!(MetadataRequest::decode(&mut Reader::new(&bytes), 12), Ok(request));
}

#[test]
fn a_tagged_field_takes_exactly_the_bytes_that_it_says() {
    let mut r = Reader::new(&[1, 2, 3, 4]);
    assert_eq!(r.within(2, |r| r.i16()), Ok(0x0102));
    assert_eq!(r.within(2, |r| r.i8()), Err(DecodeError::TaggedFieldSize { at: 3 }));
    let mut r = Reader::new(&[1, 2, 3, 4]);
    assert_eq!(r.within(1, |r| r.i16()), Err(DecodeError::UnexpectedEnd { at: 1, needed: 1 }));
    assert!(matches!(r.within(5, |r| r.i8()), Err(DecodeError::UnexpectedEnd { .. })));
}

#[test]
fn a_count_beyond_the_frame_is_refused_before_memory_is_taken() {
    let mut r = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0, 1]);
    let error = DecodeError::CountTooLarge { at: 4, count: 0x7fff_ffff, possible: 1 };
    assert_eq!(r.array(false, 2, "Topics", |r| r.i16()), Err(error));
}

/// The body of ApiVersions is not looked at in a version that we do not have; in one that we have it must be whole.
#[test]
fn an_empty_body_of_a_flexible_version_is_an_error() {
    assert!(ApiVersionsRequest::decode(&mut Reader::new(&[]), 3).is_err());
    assert_eq!(ApiVersionsRequest::decode(&mut Reader::new(&[]), 0), Ok(ApiVersionsRequest::default()));
}
