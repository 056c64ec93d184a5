//! The segments of a log, in order. Never empty: the last one is active.

use std::sync::Arc;

use crate::types::Offset;

use super::Segment;

#[derive(Debug)]
pub(crate) struct SegmentSet {
    // By base offset. Logs have few segments, and lookups end with one of the last: a sorted list does.
    segments: Vec<Arc<Segment>>,
}

impl SegmentSet {
    pub(crate) fn new(mut segments: Vec<Arc<Segment>>) -> Self {
        assert!(!segments.is_empty(), "a log has a segment");
        segments.sort_by_key(|segment| segment.base_offset);
        Self { segments }
    }

    pub(crate) fn active(&self) -> &Arc<Segment> {
        self.segments.last().expect("a log has a segment")
    }

    pub(crate) fn first(&self) -> &Arc<Segment> {
        self.segments.first().expect("a log has a segment")
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> + ExactSizeIterator {
        self.segments.iter()
    }

    /// The segment that `offset` lies in, if it lies in any: the last that begins at or before it.
    pub(crate) fn floor(&self, offset: Offset) -> Option<&Arc<Segment>> {
        let behind = self.segments.partition_point(|segment| segment.base_offset <= offset);
        self.segments.get(behind.checked_sub(1)?)
    }

    /// The segment after `segment`, or the one that has taken its place.
    pub(crate) fn behind(&self, segment: &Arc<Segment>) -> Option<&Arc<Segment>> {
        match self.position(segment) {
            Some(index) => self.segments.get(index + 1),
            None => self.floor(segment.base_offset).or(self.segments.first()),
        }
    }

    /// The segments from `segment` on; `None` where it is no longer here.
    pub(crate) fn from(&self, segment: &Arc<Segment>) -> Option<&[Arc<Segment>]> {
        self.segments.get(self.position(segment)?..)
    }

    fn position(&self, segment: &Arc<Segment>) -> Option<usize> {
        let index = self.segments.partition_point(|here| here.base_offset < segment.base_offset);
        self.segments.get(index).filter(|here| Arc::ptr_eq(here, segment)).map(|_| index)
    }

    /// The segments from the one that `offset` lies in.
    pub(crate) fn floor_and_after(&self, offset: Offset) -> impl Iterator<Item = &Arc<Segment>> {
        let behind = self.segments.partition_point(|segment| segment.base_offset <= offset);
        self.segments.iter().skip(behind.saturating_sub(1))
    }

    /// A new active segment.
    pub(crate) fn push(&mut self, segment: Arc<Segment>) {
        assert!(segment.base_offset > self.active().base_offset, "segments follow one another");
        self.segments.push(segment);
    }

    /// Takes out the segments before `base`; the last one always stays.
    pub(crate) fn take_before(&mut self, base: Offset) -> Vec<Arc<Segment>> {
        let count = self.segments.partition_point(|segment| segment.base_offset < base);
        self.segments.drain(..count.min(self.segments.len() - 1)).collect()
    }

    /// Takes out the segments at or after `base`; the first one always stays.
    pub(crate) fn take_from(&mut self, base: Offset) -> Vec<Arc<Segment>> {
        let from = self.segments.partition_point(|segment| segment.base_offset < base);
        self.segments.split_off(from.max(1))
    }

    /// Whether these segments stand here, one behind the other, none of them active.
    pub(crate) fn holds_closed(&self, sources: &[Arc<Segment>]) -> bool {
        let Some(first) = sources.first() else { return false };
        let from = self.segments.partition_point(|segment| segment.base_offset < first.base_offset);
        let closed = self.segments.get(from..self.segments.len() - 1).unwrap_or_default();
        closed.len() >= sources.len()
            && closed.iter().zip(sources).all(|(here, source)| Arc::ptr_eq(here, source))
    }

    /// Puts `segment` in the place of `sources`, of which [`SegmentSet::holds_closed`] is true.
    pub(crate) fn replace(&mut self, sources: &[Arc<Segment>], segment: Arc<Segment>) {
        let from = self.segments.partition_point(|old| old.base_offset < segment.base_offset);
        self.segments.splice(from..from + sources.len(), [segment]);
    }

    /// Puts `segment` in the place of all others, which are answered.
    pub(crate) fn replace_all(&mut self, segment: Arc<Segment>) -> Vec<Arc<Segment>> {
        std::mem::replace(&mut self.segments, vec![segment])
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::commit::DirState;
    use crate::io::sim::SimDisk;
    use crate::segment::LogPath;
    use crate::segment::open_files::OpenFiles;
    use crate::segment::place::Site;
    use crate::types::TimestampMs;

    fn segment(path: &Arc<LogPath>, base: i64) -> Arc<Segment> {
        Segment::create(path, Offset::new(base), TimestampMs::new(0)).expect("created")
    }

    #[test]
    fn a_search_that_ends_in_a_segment_that_was_replaced_begins_again_in_what_took_its_place() {
        let flusher = Arc::new(DirState::new(Path::new("/")));
        let disk = Arc::new(SimDisk::new());
        let site = Arc::new(Site { disk, open_files: OpenFiles::new(100), flusher });
        let path = LogPath::new(&site, PathBuf::from("/"));
        let old: Vec<_> = [0, 10, 20].map(|base| segment(&path, base)).into();
        let mut set = SegmentSet::new(old.clone());
        set.push(segment(&path, 30));
        let base = |found: Option<&Arc<Segment>>| found.map(|segment| segment.base_offset.get());
        assert_eq!(base(set.behind(&old[1])), Some(20));
        assert_eq!(set.from(&old[1]).map(<[_]>::len), Some(3));
        set.replace(&old[1..], segment(&path, 10));
        assert_eq!(base(set.behind(&old[1])), Some(10), "not 30: 20 to 29 are here");
        assert!(set.from(&old[1]).is_none());
        assert_eq!(base(set.behind(&old[0])), Some(10));
    }
}
