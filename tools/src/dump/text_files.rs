//! The text files beside the segments, which only `--json` shows: Kafka's tool calls them unknown.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use super::{DumpError, Session, damage::Rule, json::push_array, refused, text::push_json_string};

/// A line longer than this is none of Kafka's.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What a checkpoint's lines are: names for the words of a line, the last of them numbers.
struct Checkpoint {
    kind: &'static str,
    words: &'static [&'static str],
}

const LEADER_EPOCHS: Checkpoint = Checkpoint { kind: "leaderEpoch", words: &["epoch", "startOffset"] };
const OFFSETS: Checkpoint = Checkpoint { kind: "partitionOffset", words: &["topic", "partition", "offset"] };

impl Session<'_> {
    /// Shows a text file that has a place in a data directory; any other is named as unknown.
    pub(super) fn dump_text_file(&mut self, file: &Path, name: &str) -> Result<(), DumpError> {
        match name {
            "leader-epoch-checkpoint" => self.dump_text_checkpoint(file, &LEADER_EPOCHS),
            "recovery-point-offset-checkpoint"
            | "replication-offset-checkpoint"
            | "log-start-offset-checkpoint"
            | "cleaner-offset-checkpoint" => self.dump_text_checkpoint(file, &OFFSETS),
            "partition.metadata" => self.dump_properties(file, ':'),
            "meta.properties" => self.dump_properties(file, '='),
            _ => {
                self.tell(&format!("Ignoring unknown file {}", file.display()));
                Ok(())
            }
        }
    }

    /// Version, number of entries, entries.
    fn dump_text_checkpoint(&mut self, file: &Path, checkpoint: &Checkpoint) -> Result<(), DumpError> {
        let mut lines = Lines::open(file)?;
        let Some(0) = lines.next_line()?.and_then(|line| line.parse().ok()) else {
            return self.bad_line(file, &lines, "the version, 0");
        };
        let Some(count) = lines.next_line()?.and_then(|line| line.parse::<u32>().ok()) else {
            return self.bad_line(file, &lines, "the number of entries");
        };
        for _ in 0..count {
            let Some(line) = lines.next_line()? else {
                return self.bad_line(file, &lines, "an entry");
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            let [names @ .., _] = checkpoint.words else { return Ok(()) };
            let numbers = words.get(names.len() - 1..).unwrap_or_default();
            if words.len() != checkpoint.words.len()
                || numbers.iter().any(|word| word.parse::<i64>().is_err())
            {
                self.bad_line(file, &lines, "an entry")?;
                continue;
            }
            self.json_line(checkpoint.kind, |mut entry| {
                for (name, word) in checkpoint.words.iter().zip(&words) {
                    entry = match word.parse::<i64>() {
                        Ok(number) if *name != "topic" => entry.int(name, number),
                        _ => entry.str(name, word),
                    };
                }
                entry
            });
        }
        match lines.next_line()? {
            Some(line) if !line.is_empty() => self.bad_line(file, &lines, "the end of the file"),
            _ => Ok(()),
        }
    }

    /// A key and a value per line; what begins with `#` is a comment.
    fn dump_properties(&mut self, file: &Path, separator: char) -> Result<(), DumpError> {
        let mut lines = Lines::open(file)?;
        let mut pairs = Vec::new();
        while let Some(line) = lines.next_line()? {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once(separator) {
                Some((key, value)) => pairs.push((key.trim().to_owned(), value.trim().to_owned())),
                None => self.bad_line(file, &lines, "a key and a value")?,
            }
        }
        self.json_line("properties", |line| {
            line.value("entries", |out| {
                push_array(out, &pairs, |out, (key, value)| {
                    out.extend_from_slice(b"{\"key\":");
                    push_json_string(out, key);
                    out.extend_from_slice(b",\"value\":");
                    push_json_string(out, value);
                    out.push(b'}');
                });
            })
        });
        Ok(())
    }

    fn bad_line(&mut self, file: &Path, lines: &Lines<'_>, expected: &'static str) -> Result<(), DumpError> {
        self.damage(file, lines.start, Rule::Line { line: lines.number, expected });
        Ok(())
    }
}

/// A text file read line by line.
struct Lines<'f> {
    file: &'f Path,
    reader: BufReader<File>,
    /// Where the line read last begins.
    start: u64,
    end: u64,
    number: usize,
}

impl<'f> Lines<'f> {
    fn open(file: &'f Path) -> Result<Self, DumpError> {
        let reader = BufReader::new(File::open(file).map_err(refused(file))?);
        Ok(Self { file, reader, start: 0, end: 0, number: 0 })
    }

    fn next_line(&mut self) -> Result<Option<String>, DumpError> {
        let mut bytes = Vec::new();
        let mut limited = std::io::Read::take(&mut self.reader, LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut bytes).map_err(refused(self.file))?;
        self.start = self.end;
        self.end += read as u64;
        self.number += 1;
        Ok((read > 0).then(|| String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned()))
    }
}
