//! Requests and responses on a connection: each with its length before it.

use crate::header::ResponseHeader;
use crate::message::{ApiMessage, Encode, EncodeError};
use crate::primitives::{Encoded, Writer};

/// Bytes of the length before a frame.
pub const PREFIX_LEN: usize = 4;

/// What the bytes received so far amount to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The next frame is not whole; this many more bytes are needed before it is worth looking again.
    Incomplete {
        /// At least this many.
        needed: usize,
    },
    /// The next frame is whole: the prefix, then this many bytes.
    Whole {
        /// Length of the frame without its prefix.
        len: usize,
    },
}

/// A length that no frame may have. The connection is of no more use.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Below zero.
    #[error("a frame says that it has {len} bytes")]
    Negative {
        /// What the prefix says.
        len: i32,
    },
    /// More than the limit.
    #[error("a frame says that it has {len} bytes, where {limit} are allowed")]
    TooLong {
        /// What the prefix says.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
}

/// Looks at the begin of what was received. A length is judged before a byte of its frame is waited for.
pub fn progress(received: &[u8], limit: usize) -> Result<Progress, FrameError> {
    let Some((prefix, rest)) = received.split_first_chunk::<PREFIX_LEN>() else {
        return Ok(Progress::Incomplete { needed: PREFIX_LEN - received.len() });
    };
    let len = i32::from_be_bytes(*prefix);
    let len = usize::try_from(len).map_err(|_| FrameError::Negative { len })?;
    if len > limit {
        return Err(FrameError::TooLong { len, limit });
    }
    Ok(match len.checked_sub(rest.len()) {
        None | Some(0) => Progress::Whole { len },
        Some(needed) => Progress::Incomplete { needed },
    })
}

/// A whole response: prefix, header, body. `buffer` gives its memory.
pub fn encode_response<R: ApiMessage + Encode>(
    response: &R,
    version: i16,
    correlation_id: i32,
    buffer: Vec<u8>,
) -> Result<Encoded, EncodeError> {
    let header = ResponseHeader { correlation_id, ..ResponseHeader::default() };
    with_prefix(buffer, |w| {
        header.encode(w, R::KEY.response_header_version(version))?;
        response.encode(w, version)
    })
}

/// A whole request: prefix, header, body.
#[cfg(feature = "client")]
pub fn encode_request<R: ApiMessage + Encode>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Vec<u8>, EncodeError> {
    let header = crate::header::RequestHeader {
        request_api_key: R::KEY.code(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(Into::into),
        ..Default::default()
    };
    let encoded = with_prefix(Vec::new(), |w| {
        header.encode(w, R::KEY.request_header_version(version))?;
        request.encode(w, version)
    });
    encoded.map(|encoded| encoded.bytes)
}

fn with_prefix(
    buffer: Vec<u8>,
    write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<Encoded, EncodeError> {
    let mut w = Writer::reuse(buffer);
    w.i32(0);
    write(&mut w)?;
    let length = w.len() - PREFIX_LEN;
    w.patch_i32(0, i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?);
    Ok(w.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_whole_once_its_last_byte_is_there() {
        let frame = [0, 0, 0, 3, b'a', b'b', b'c', b'd'];
        for (received, needed) in [(0, 4), (3, 1), (4, 3), (6, 1)] {
            assert_eq!(progress(&frame[..received], 100), Ok(Progress::Incomplete { needed }));
        }
        for received in [7, 8] {
            assert_eq!(progress(&frame[..received], 100), Ok(Progress::Whole { len: 3 }));
        }
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_the_frame_arrives() {
        assert_eq!(progress(&[0xff; 4], 100), Err(FrameError::Negative { len: -1 }));
        assert_eq!(progress(&[0, 0, 0, 101], 100), Err(FrameError::TooLong { len: 101, limit: 100 }));
        assert_eq!(progress(&[0, 0, 0, 100], 100), Ok(Progress::Incomplete { needed: 100 }));
    }
}
