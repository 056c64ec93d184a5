//! What a message may take in memory.

use wire::ApiKey;
use wire::message::DecodeError;
use wire::messages::Request;
use wire::primitives::Reader;

/// An array may claim as many elements as the frame has bytes, and each takes far more in memory.
#[test]
fn a_frame_that_would_swell_in_memory_exceeds_its_budget() {
    let mut frame = vec![0xff; 5_000_000];
    let count = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&count.to_be_bytes());
    let mut r = Reader::with_budget(&frame, 1_000_000);
    let error = r.array(false, 1, "Topics", |r| r.i8()).expect_err("five million bytes are over the budget");
    assert_eq!(error, DecodeError::OverBudget { at: 4, needed: 4_999_996, left: 1_000_000 });

    // Topics of one byte each: null names in the compact form. Each would be dozens of bytes in memory.
    let mut metadata = vec![0xff, 0xff, 0xff, 0x01];
    metadata.extend(std::iter::repeat_n([0_u8; 18], 2_097_150).flatten());
    let error = Request::decode(&mut Reader::with_budget(&metadata, 1_000_000), ApiKey::Metadata, 12);
    assert!(matches!(error, Err(DecodeError::OverBudget { .. })), "{error:?}");
}
