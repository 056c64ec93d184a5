//! Which waiting appends form the next group, and which writes it takes. Pure.

/// What grouping has to know of an append.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Equal for appends to the same open file.
    pub(super) file: usize,
    /// Where the bytes begin.
    pub(super) position: u64,
    /// How many there are.
    pub(super) len: u64,
    /// Whether the file has to be flushed.
    pub(super) sync: bool,
}

/// How large a group may become.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct GroupBounds {
    pub(super) bytes_max: u64,
    pub(super) appends_max: usize,
}

/// How many of the waiting appends, from the front, make the next group: at least one where any waits.
pub(super) fn next_group(lens: impl Iterator<Item = u64>, bounds: GroupBounds) -> usize {
    let mut bytes: u64 = 0;
    let mut appends = 0;
    for len in lens.take(bounds.appends_max.max(1)) {
        bytes = bytes.saturating_add(len);
        if appends > 0 && bytes > bounds.bytes_max {
            break;
        }
        appends += 1;
    }
    appends
}

/// The writes of a group: files in order of first appearance, their runs in order of position.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Plan {
    pub(super) files: Vec<FilePlan>,
}

/// What one file gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FilePlan {
    pub(super) sync: bool,
    pub(super) runs: Vec<RunPlan>,
}

/// A contiguous stretch made of one append or several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RunPlan {
    pub(super) position: u64,
    /// Indexes of the appends, in order of position.
    pub(super) members: Vec<usize>,
}

/// Joins what lies end to end in one file into one write of at most `parts_max` pieces.
pub(super) fn plan(places: &[Place], parts_max: usize) -> Plan {
    let mut by_place: Vec<usize> = (0..places.len()).collect();
    // Stable and usually sorted already: appends of a partition arrive in order of position.
    by_place.sort_by_key(|&index| (places[index].file, places[index].position));
    let mut plan = Plan::default();
    let mut previous: Option<Place> = None;
    for index in by_place {
        let place = places[index];
        match plan.files.last_mut() {
            Some(file) if previous.is_some_and(|p| p.file == place.file) => {
                file.sync |= place.sync;
                let contiguous = previous.is_some_and(|p| p.position + p.len == place.position);
                match file.runs.last_mut() {
                    Some(run) if contiguous && run.members.len() < parts_max => run.members.push(index),
                    _ => file.runs.push(RunPlan { position: place.position, members: vec![index] }),
                }
            }
            _ => plan.files.push(FilePlan {
                sync: place.sync,
                runs: vec![RunPlan { position: place.position, members: vec![index] }],
            }),
        }
        previous = Some(place);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: usize, position: u64, len: u64) -> Place {
        Place { file, position, len, sync: false }
    }

    #[test]
    fn a_group_ends_at_the_bound_of_bytes_or_of_appends_but_is_never_empty() {
        let cases: [(&[u64], u64, usize, usize); 6] = [
            (&[], 100, 10, 0),
            (&[500], 100, 10, 1),
            (&[60, 40, 1], 100, 10, 2),
            (&[60, 41, 1], 100, 10, 1),
            (&[1, 1, 1], 100, 2, 2),
            (&[u64::MAX, u64::MAX], u64::MAX, 10, 2),
        ];
        for (lens, bytes, appends, expected) in cases {
            let bounds = GroupBounds { bytes_max: bytes, appends_max: appends };
            assert_eq!(next_group(lens.iter().copied(), bounds), expected, "{lens:?}");
        }
    }

    #[test]
    fn appends_that_lie_end_to_end_in_one_file_become_one_write() {
        let places = [place(1, 0, 10), place(2, 0, 5), place(1, 10, 7), place(1, 18, 1), place(2, 5, 5)];
        let plan = plan(&places, 1024);
        assert_eq!(
            plan.files,
            vec![
                FilePlan {
                    sync: false,
                    runs: vec![
                        RunPlan { position: 0, members: vec![0, 2] },
                        RunPlan { position: 18, members: vec![3] }
                    ]
                },
                FilePlan { sync: false, runs: vec![RunPlan { position: 0, members: vec![1, 4] }] },
            ]
        );
    }

    #[test]
    fn a_file_is_flushed_once_if_any_of_its_appends_asks_for_it() {
        let mut places = [place(1, 0, 10), place(1, 10, 10), place(1, 30, 10), place(2, 0, 1)];
        places[1].sync = true;
        let syncs: Vec<bool> = plan(&places, 1024).files.iter().map(|file| file.sync).collect();
        assert_eq!(syncs, [true, false]);
    }

    #[test]
    fn a_write_has_no_more_pieces_than_the_kernel_takes() {
        let places: Vec<Place> = (0..5).map(|i| place(1, i * 10, 10)).collect();
        let runs: Vec<usize> = plan(&places, 2).files[0].runs.iter().map(|run| run.members.len()).collect();
        assert_eq!(runs, [2, 2, 1]);
    }

    #[test]
    fn appends_that_were_enqueued_out_of_order_are_written_in_order_of_position() {
        let places = [place(1, 10, 5), place(1, 0, 10)];
        assert_eq!(plan(&places, 1024).files[0].runs, vec![RunPlan { position: 0, members: vec![1, 0] }]);
    }
}
