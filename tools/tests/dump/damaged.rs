//! Files of Kafka's with one wound each: the same text as Kafka's tool prints up to the wound, then which file, where and
//! which rule, then what comes behind it, and an exit code that is not zero.

use std::{env, fs};

use super::{Expected, corpus, dump_in, expected_runs};

/// A directory of the corpus, which file of it is wounded, and what is to be said of that, as far as Kafka's tool says
/// nothing or something else.
struct Wound {
    directory: &'static str,
    suffix: &'static str,
    told: Told,
}

/// What standard error begins with.
#[derive(Copy, Clone)]
enum Told {
    /// The file, and this.
    Place(&'static str),
    /// What Kafka's tool says there.
    AsKafka,
}

const fn wound(directory: &'static str, suffix: &'static str, told: Told) -> Wound {
    Wound { directory, suffix, told }
}

const WOUNDS: [Wound; 22] = {
    use Told::{AsKafka, Place};
    [
        wound(
            "crc-field-0",
            ".log",
            Place("position 567: the checksum is 3001715255, the batch says 2733279799"),
        ),
        wound(
            "gzip-stream-0",
            ".log",
            Place("position 1414: the checksum is 2923688022, the batch says 1051975613"),
        ),
        wound(
            "index-length-0",
            ".index",
            Place("position 72: the size 77 is no multiple of 8, the size of an entry"),
        ),
        wound("index-order-0", ".index", AsKafka),
        wound(
            "index-position-0",
            ".index",
            Place(
                "position 16: the index entry for offset 18 points to position 33 of the log, where no batch begins",
            ),
        ),
        wound(
            "length-huge-0",
            ".log",
            Place("position 567: the last batch is not whole: 24442 bytes to the end of the file"),
        ),
        wound(
            "length-negative-0",
            ".log",
            Place("position 567: the batch's size -5 is smaller than the smallest possible, 14"),
        ),
        wound(
            "length-tiny-0",
            ".log",
            Place("position 567: the batch's size 10 is smaller than the smallest possible, 14"),
        ),
        wound("magic-0", ".log", Place("position 567: the format (magic) 3 is unknown")),
        wound(
            "record-byte-0",
            ".log",
            Place("position 567: the checksum is 2856778421, the batch says 3001715255"),
        ),
        wound(
            "text-tail-0",
            ".log",
            Place("position 25009: the last batch is not whole: 300 bytes to the end of the file"),
        ),
        wound(
            "time-length-0",
            ".timeindex",
            Place("position 108: the size 115 is no multiple of 12, the size of an entry"),
        ),
        wound("time-offset-0", ".timeindex", AsKafka),
        wound("time-order-0", ".timeindex", AsKafka),
        wound(
            "torn-batch-0",
            ".log",
            Place("position 567: the last batch is not whole: 90 bytes to the end of the file"),
        ),
        wound(
            "torn-header-0",
            ".log",
            Place("position 567: the last batch is not whole: 9 bytes to the end of the file"),
        ),
        wound(
            "txnsnapshot-byte-0",
            ".snapshot",
            Place("position 2: the checksum is 2060515708, the batch says 266037923"),
        ),
        wound("txnsnapshot-cut-0", ".snapshot", Place("position 95: the file ends before its last entry")),
        wound("txnsnapshot-version-0", ".snapshot", Place("position 0: version 9 is unknown")),
        wound(
            "txntxnindex-cut-0",
            ".txnindex",
            Place("position 68: the size 95 is no multiple of 34, the size of an entry"),
        ),
        wound("txntxnindex-version-0", ".txnindex", Place("position 0: version 9 is unknown")),
        wound(
            "zero-tail-0",
            ".log",
            Place("position 25009: the batch's size 0 is smaller than the smallest possible, 14"),
        ),
    ]
};

/// Wounds at which Kafka's tool stops, by an exception or without a word: the wounded file, its healthy original, and
/// where in it whole batches begin again. All that Kafka prints of the original from there on is to be shown.
const GOES_ON: [(&str, &str, u32); 4] = [
    ("gzip-stream-0", "codec-gzip-0", 1811),
    ("length-huge-0", "codec-none-0", 930),
    ("length-negative-0", "codec-none-0", 930),
    ("length-tiny-0", "codec-none-0", 930),
];

impl Expected {
    /// The file that it is about.
    fn file(&self) -> &str {
        self.arguments.split(' ').find(|argument| argument.contains('/')).unwrap()
    }

    fn has(&self, flag: &str) -> bool {
        self.arguments.split(' ').any(|argument| argument == flag)
    }

    /// Kafka's tool cuts an index to whole entries when it closes it. The dump before this one did, so that the check found
    /// nothing amiss; we leave files as they are.
    fn came_too_late(&self) -> bool {
        self.has("--index-sanity-check") && self.file().ends_with("index-length-0/00000000000000000000.index")
    }
}

#[test]
fn a_damaged_file_is_shown_as_kafka_shows_it_then_what_is_wrong_where_then_what_lies_behind() {
    let runs = expected_runs();
    let (mut wounds_seen, mut went_on) = (0, 0);
    for run in runs.iter().filter(|run| run.arguments.contains("damaged/")) {
        let ours = dump_in(&corpus(), &run.arguments.split(' ').collect::<Vec<_>>());
        let told = String::from_utf8(ours.stderr).unwrap();
        let context = format!("{}: {told}", run.arguments);
        if run.came_too_late() {
            assert_eq!(ours.status.code(), Some(1), "{context}");
            continue;
        }
        let rest = ours.stdout.strip_prefix(&run.stdout[..]).unwrap_or_else(|| panic!("{context}"));
        let is_whole = told.is_empty() && run.exit_code == 0;
        assert_eq!(ours.status.code(), Some(i32::from(!is_whole)), "{context}");
        wounds_seen += usize::from(tells_its_wound(run, &told));
        if !rest.is_empty() {
            goes_on_rightly(&runs, run, std::str::from_utf8(rest).unwrap());
            went_on += 1;
        }
    }
    assert!(wounds_seen >= 40, "only {wounds_seen} runs saw a wound");
    assert!(went_on > 2 * GOES_ON.len(), "only {went_on} runs went on");
}

/// Whether the run is about a wounded file, of which it then says the right thing; of another it says what Kafka's says.
fn tells_its_wound(run: &Expected, told: &str) -> bool {
    let here = format!("{}/", env::current_dir().unwrap().join(corpus()).display());
    let kafkas = run.stderr.replace("@/", &here);
    let wound = WOUNDS.iter().find(|wound| {
        run.file().contains(&format!("damaged/{}/", wound.directory)) && run.file().ends_with(wound.suffix)
    });
    if run.has("--max-message-size") && run.exit_code != 0 {
        // Kafka's tool reads no batch larger than that where an entry points, and ends at the first.
        let first = format!(
            "{}: position 0: the index entry for offset 6 points to position 216 of the log",
            run.file()
        );
        assert!(told.starts_with(&first), "{}: {told}", run.arguments);
        return false;
    }
    match wound.map(|wound| wound.told) {
        // The sanity check asks for less than a comparison with the log.
        Some(Told::Place(_)) if run.has("--index-sanity-check") && told.is_empty() => false,
        Some(Told::Place(place)) => {
            assert_eq!(told.lines().next(), Some(&*format!("{}: {place}", run.file())), "{}", run.arguments);
            true
        }
        Some(Told::AsKafka) => {
            assert_eq!(told, kafkas, "{}", run.arguments);
            !told.is_empty()
        }
        None => {
            assert_eq!(told, kafkas, "{}", run.arguments);
            false
        }
    }
}

/// What is shown beyond what Kafka's tool shows: of a log, the original from where batches are whole again; of an index, the
/// entries that are left.
fn goes_on_rightly(runs: &[Expected], run: &Expected, rest: &str) {
    let Some((directory, original, position)) = GOES_ON
        .iter()
        .find(|(directory, _, _)| run.file().ends_with(&format!("{directory}/{}", super::SEGMENT)))
    else {
        let entries = fs::metadata(corpus().join(run.file())).unwrap().len() as usize / 8;
        let kafkas = String::from_utf8_lossy(&run.stdout).matches("\noffset: ").count();
        assert_eq!(rest.lines().filter(|line| line.starts_with("offset: ")).count(), entries - kafkas);
        assert_eq!(rest.lines().count(), entries - kafkas, "{}: {rest}", run.arguments);
        return;
    };
    let of_original = run.arguments.replace(&format!("damaged/{directory}"), &format!("stopped/{original}"));
    let healthy = runs.iter().find(|run| run.arguments == of_original).unwrap();
    assert!(healthy.stdout.ends_with(rest.as_bytes()), "{}: {rest}", run.arguments);
    let first = rest.lines().next().unwrap();
    assert!(first.contains(&format!(" position: {position} ")), "{}: {first}", run.arguments);
}
