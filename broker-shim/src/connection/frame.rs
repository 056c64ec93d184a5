//! Bytes from a socket to frames: four bytes of length, then that many bytes.
//!
//! One buffer serves a connection. It is sized by the frame that is arriving, so a large one is received in place and handed
//! on without a copy; once its bytes are released, the same memory receives the next. While a client sends faster than it is
//! served, more than one frame is received at a time.

use bytes::{Buf as _, BytesMut};
use wire::frame::{self, FrameError, PREFIX_LEN};

/// Room that is offered to a connection of which nothing is known yet.
const FIRST_ROOM: usize = 4 << 10;
/// Offered beyond what is missing of a frame.
const LEAST_ROOM: usize = 512;
/// Most room that is offered beyond the frame that is arriving.
const AHEAD_MAX: usize = 128 << 10;
/// Most memory that a connection keeps between two frames.
const KEPT: usize = 1 << 20;

/// The buffer of one connection.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: BytesMut,
    /// Size of the allocation behind `bytes`.
    allocated: usize,
    /// The last frame's size: a guess at the next one's.
    expected: usize,
    /// Room offered beyond the frame that is arriving: grows while receive calls fill what they are offered.
    ahead: usize,
    /// What the last receive call was offered.
    offered: usize,
    limit: usize,
}

impl FrameBuffer {
    /// A buffer for frames of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), allocated: 0, expected: FIRST_ROOM, ahead: 0, offered: 0, limit }
    }

    /// The frame that is complete, if one is: its bytes without the length.
    pub(crate) fn take(&mut self) -> Result<Option<BytesMut>, FrameError> {
        let Some(length) = self.announced()? else { return Ok(None) };
        if self.bytes.len() < PREFIX_LEN + length {
            return Ok(None);
        }
        self.bytes.advance(PREFIX_LEN);
        self.expected = (PREFIX_LEN + length).clamp(FIRST_ROOM, KEPT);
        Ok(Some(self.bytes.split_to(length)))
    }

    /// Size of the frame that is arriving, once its length is there.
    pub(crate) fn announced(&self) -> Result<Option<usize>, FrameError> {
        frame::announced(&self.bytes, self.limit)
    }

    /// Bytes of the frame that is arriving, as far as its length is there, that are still to come.
    pub(crate) fn missing(&self) -> Result<usize, FrameError> {
        Ok((PREFIX_LEN + self.announced()?.unwrap_or_default()).saturating_sub(self.bytes.len()))
    }

    /// Whether a frame has begun to arrive.
    pub(crate) fn is_inside_frame(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Takes note of how much a receive call took.
    pub(crate) fn received(&mut self, taken: usize) {
        self.ahead = if taken == self.offered {
            (self.ahead * 2).clamp(self.expected.min(AHEAD_MAX), AHEAD_MAX)
        } else if taken < self.ahead {
            self.ahead / 2
        } else {
            self.ahead
        };
    }

    /// The buffer with room for what is missing of the frame that is arriving, and for what follows it.
    pub(crate) fn room(&mut self) -> Result<&mut BytesMut, FrameError> {
        self.reserve()?;
        self.offered = self.spare();
        Ok(&mut self.bytes)
    }

    fn reserve(&mut self) -> Result<(), FrameError> {
        let missing = match self.announced()? {
            // A little more than is missing at least: a receive call that is not filled tells the runtime that the socket
            // is empty, which one that is filled has to find out by another call.
            Some(_) => self.missing()? + self.ahead.max(LEAST_ROOM),
            None if self.spare() >= (self.expected / 4).max(self.ahead) => return Ok(()),
            None => self.expected.max(self.ahead) + LEAST_ROOM,
        };
        if self.spare() < missing && !self.bytes.try_reclaim(missing) {
            let mut larger = BytesMut::with_capacity(self.bytes.len() + missing);
            larger.extend_from_slice(&self.bytes);
            self.allocated = larger.capacity();
            self.bytes = larger;
        }
        Ok(())
    }

    /// Whether memory is held that an idle connection does not need.
    pub(crate) fn holds_spare_memory(&self) -> bool {
        self.bytes.is_empty() && self.allocated > 0
    }

    /// Gives the memory back, if no frame is arriving.
    pub(crate) fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.allocated = 0;
            self.expected = FIRST_ROOM;
            self.ahead = 0;
        }
    }

    /// Gives memory back at once that only an unusually large frame needed.
    pub(crate) fn release_excess(&mut self) {
        if self.allocated > KEPT + AHEAD_MAX + PREFIX_LEN {
            self.release();
        }
    }

    /// Memory that is held.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.allocated
    }

    fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    /// Feeds bytes as a socket would: as many as there is room for, at most `step` at a time.
    fn feed(buffer: &mut FrameBuffer, mut bytes: &[u8], step: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let room = buffer.room().unwrap();
            let taken = bytes.len().min(room.capacity() - room.len()).min(step);
            room.extend_from_slice(&bytes[..taken]);
            buffer.received(taken);
            bytes = &bytes[taken..];
            while let Some(frame) = buffer.take().unwrap() {
                frames.push(frame.to_vec());
            }
        }
        frames
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_the_bytes_arrive() {
        let bodies: Vec<Vec<u8>> = [0, 1, 3, 4096, 5000, 70_000, 2_000_000, 7]
            .iter()
            .map(|&length| (0..length).map(|at: usize| (at % 251) as u8).collect())
            .collect();
        let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        for step in [1000, 4097, usize::MAX] {
            assert!(feed(&mut FrameBuffer::new(4 << 20), &stream, step) == bodies, "step {step}");
        }
        assert!(feed(&mut FrameBuffer::new(4 << 20), &stream[..9000], 1) == bodies[..4]);
    }

    #[test]
    fn a_length_that_no_frame_may_have_is_an_error_and_reserves_nothing() {
        let rows = [
            ([0xff, 0xff, 0xff, 0xff], FrameError::Negative(-1)),
            ([0, 0, 4, 1], FrameError::TooLarge { announced: 1025, limit: 1024 }),
        ];
        for (prefix, error) in rows {
            let mut buffer = FrameBuffer::new(1024);
            buffer.room().unwrap().extend_from_slice(&prefix);
            assert_eq!(buffer.take(), Err(error));
            assert!(buffer.room().is_err());
            assert!(buffer.allocated <= FIRST_ROOM + LEAST_ROOM);
        }
    }

    #[test]
    fn the_memory_of_a_released_frame_receives_the_next_one() {
        let mut buffer = FrameBuffer::new(1 << 20);
        let bytes = frame(&[7; 100_000]);
        // Until the room fits.
        for _ in 0..8 {
            assert_eq!(feed(&mut buffer, &bytes, usize::MAX).len(), 1);
        }
        let place = buffer.room().unwrap().spare_capacity_mut().as_ptr();
        assert_eq!(feed(&mut buffer, &bytes, usize::MAX).len(), 1);
        assert_eq!(buffer.room().unwrap().spare_capacity_mut().as_ptr(), place);
    }

    #[test]
    fn frames_that_arrive_together_are_received_together() {
        let mut buffer = FrameBuffer::new(1 << 20);
        let stream: Vec<u8> = (0..40).flat_map(|_| frame(&[5; 16 << 10])).collect();
        assert_eq!(feed(&mut buffer, &stream, usize::MAX).len(), 40);
        assert!(buffer.ahead >= 64 << 10, "{}", buffer.ahead);
        for _ in 0..20 {
            assert_eq!(feed(&mut buffer, &frame(&[5; 16 << 10]), usize::MAX).len(), 1);
        }
        assert!(buffer.ahead <= 32 << 10, "{}", buffer.ahead);
        assert!(buffer.room().unwrap().capacity() <= 2 * AHEAD_MAX);
    }

    #[test]
    fn a_frame_that_is_still_in_use_keeps_its_bytes() {
        let mut buffer = FrameBuffer::new(1 << 20);
        buffer.room().unwrap().extend_from_slice(&frame(b"first"));
        let first = buffer.take().unwrap().unwrap();
        for _ in 0..2000 {
            buffer.room().unwrap().extend_from_slice(&frame(b"other"));
            buffer.take().unwrap().unwrap();
        }
        assert_eq!(&first[..], b"first");
    }

    #[test]
    fn an_idle_connection_gives_its_memory_back() {
        let mut buffer = FrameBuffer::new(8 << 20);
        assert!(!buffer.holds_spare_memory());
        feed(&mut buffer, &frame(&[1; 3 << 20]), usize::MAX);
        assert!(buffer.holds_spare_memory());
        buffer.release_excess();
        assert!(!buffer.holds_spare_memory());
    }
}
