//! Requests and responses on a connection: each with its length before it.

use crate::header::ResponseHeader;
use crate::message::{ApiMessage, Encode, EncodeError};
use crate::primitives::{Encoded, Writer};

/// Bytes of the length before a frame.
pub const PREFIX_LEN: usize = 4;

/// A length that no frame may have. The connection is of no more use.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Below zero.
    #[error("a frame announces {0} bytes")]
    Negative(i32),
    /// More than the limit.
    #[error("a frame announces {announced} bytes, where {limit} are allowed")]
    TooLarge {
        /// What the prefix says.
        announced: usize,
        /// The most that is allowed.
        limit: usize,
    },
}

/// The length of the frame that begins what was received, without its prefix; nothing before the prefix is whole. The
/// length is judged before a byte of the frame is waited for.
pub fn announced(received: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = received.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Err(_) => Err(FrameError::Negative(length)),
        Ok(announced) if announced > limit => Err(FrameError::TooLarge { announced, limit }),
        Ok(announced) => Ok(Some(announced)),
    }
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
    fn the_length_is_known_once_its_prefix_is_whole() {
        let frame = [0, 0, 0, 3, b'a', b'b', b'c', b'd'];
        for received in 0..PREFIX_LEN {
            assert_eq!(announced(&frame[..received], 100), Ok(None));
        }
        for received in PREFIX_LEN..=frame.len() {
            assert_eq!(announced(&frame[..received], 100), Ok(Some(3)));
        }
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_the_frame_arrives() {
        assert_eq!(announced(&[0xff; 4], 100), Err(FrameError::Negative(-1)));
        assert_eq!(announced(&[0, 0, 0, 101], 100), Err(FrameError::TooLarge { announced: 101, limit: 100 }));
        assert_eq!(announced(&[0, 0, 0, 100], 100), Ok(Some(100)));
    }
}
