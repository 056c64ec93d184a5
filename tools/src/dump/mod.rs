//! `kafka-dump-log`: what Kafka's files hold, in the words of Kafka's own tool.
//!
//! Standard output is Kafka's byte for byte, up to the first damage. A damage is told on standard error with file,
//! position and rule, reading goes on where the next whole batch begins, and the run fails in the end. With `--json` each
//! line is an object instead, damages included.
//!
//! Nothing is written, created or repaired, and logs and indexes are read in pieces: see `segment`.

mod checkpoint;
mod control;
mod coordinator_log;
mod damage;
mod decoder;
mod extent;
mod framed;
mod index_file;
mod json;
mod legacy;
mod log;
mod offset_index;
mod options;
mod records;
mod remote_log;
mod report;
mod resume;
mod segment;
mod snapshot;
mod text;
mod text_files;
mod time_index;
mod txn_index;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;

use self::{
    damage::{Damage, Rule},
    decoder::MessageParser,
    options::{Command, OptionError, Options},
    report::{Findings, Order},
    text::Text,
};

/// Why a file could not be dumped to its end.
#[derive(Debug, Error)]
enum DumpError {
    /// The name of a file must begin with its base offset.
    #[error("{0}: the name does not begin with an offset")]
    Name(PathBuf),
    /// The file system refused.
    #[error("{file}: {source}")]
    File { file: PathBuf, source: io::Error },
    /// An option's value, converted when first needed.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// `--max-bytes` below zero.
    #[error("--max-bytes {0} is less than nothing")]
    NegativeLimit(i32),
}

/// Whether a run found everything in order. Kafka's tool ends with 1 where it fails, also after `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Success,
    /// Exit code 1.
    Failure,
}

/// Runs the tool with the arguments that follow its name.
pub fn run(
    arguments: impl IntoIterator<Item = String>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> Outcome {
    match Command::parse(arguments) {
        Ok(Command::Help) => {
            let _ = write!(errors, "{}\n{}", options::INTRODUCTION, options::HELP);
            Outcome::Failure
        }
        Ok(Command::Version) => {
            let _ = writeln!(out, "{}", options::KAFKA_VERSION);
            Outcome::Success
        }
        Ok(Command::Dump(options)) => Session::new(&options, out, errors).run(),
        Err(OptionError::MissingFiles) => {
            let _ = write!(errors, "{}\n{}", OptionError::MissingFiles, options::HELP);
            Outcome::Failure
        }
        Err(error) => {
            let _ = writeln!(errors, "kafka-dump-log: {error}");
            Outcome::Failure
        }
    }
}

/// One run over all files: where the text goes, and what was found so far.
struct Session<'w> {
    options: &'w Options,
    out: Text<'w>,
    errors: &'w mut dyn Write,
    is_damaged: bool,
    index_mismatches: Findings,
    timestamp_mismatches: Findings,
    timestamps_out_of_order: Findings,
    offsets_not_found: Findings,
    non_consecutive: Findings,
}

impl<'w> Session<'w> {
    fn new(options: &'w Options, out: &'w mut dyn Write, errors: &'w mut dyn Write) -> Self {
        Self {
            options,
            out: Text::new(out),
            errors,
            is_damaged: false,
            index_mismatches: Findings::new(
                "Mismatches in :",
                ["  Index offset: ", ", log offset: "],
                Order::Descending,
            ),
            timestamp_mismatches: Findings::new(
                "Found timestamp mismatch in :",
                ["  Index timestamp: ", ", log timestamp: "],
                Order::Found,
            ),
            timestamps_out_of_order: Findings::new(
                "Found out of order timestamp in :",
                ["  Index timestamp: ", ", Previously indexed timestamp: "],
                Order::Found,
            ),
            offsets_not_found: Findings::new(
                "The following indexed offsets are not found in :",
                ["Indexed offset: ", ", found log offset: "],
                Order::Found,
            ),
            non_consecutive: Findings::new(
                "Non-consecutive offsets in ",
                ["  ", " is followed by "],
                Order::Ascending,
            ),
        }
    }

    fn run(mut self) -> Outcome {
        let dumped = self.dump_files();
        self.out.flush();
        if let Err(error) = &dumped {
            let _ = writeln!(self.errors, "kafka-dump-log: {error}");
        } else {
            for findings in [
                &mut self.index_mismatches,
                &mut self.timestamp_mismatches,
                &mut self.timestamps_out_of_order,
                &mut self.offsets_not_found,
                &mut self.non_consecutive,
            ] {
                let _ = self.errors.write_all(findings.take_text().as_bytes());
            }
        }
        let is_written = self.out.finish().is_ok();
        if dumped.is_ok() && is_written && !self.is_damaged { Outcome::Success } else { Outcome::Failure }
    }

    fn dump_files(&mut self) -> Result<(), DumpError> {
        for file in self.options.files()? {
            self.dump_file(&as_java_path(file))?;
            if self.out.is_closed() {
                break;
            }
        }
        Ok(())
    }

    /// Dumps one file by its suffix. What Kafka's tool stops at, the run stops at: a missing file, a wrong option.
    fn dump_file(&mut self, file: &Path) -> Result<(), DumpError> {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.begin_file(file);
        let suffix = name.rfind('.').map(|dot| &name[dot..]);
        match suffix {
            Some(".log" | ".checkpoint") => self.dump_log(file, &name),
            Some(".index") => self.dump_offset_index(file, &name),
            Some(".timeindex") => self.dump_time_index(file, &name),
            Some(".txnindex") => self.dump_txn_index(file, &name),
            Some(".snapshot") => self.dump_snapshot(file),
            _ if self.options.is_json() => self.dump_text_file(file, &name),
            _ => {
                self.tell(&format!("Ignoring unknown file {}", file.display()));
                Ok(())
            }
        }
    }

    fn begin_file(&mut self, file: &Path) {
        if self.options.is_json() {
            self.json_line("file", |line| line.str("file", &file.display().to_string()));
        } else {
            self.out.str("Dumping ").str(&file.to_string_lossy()).end_line();
        }
    }

    /// A sentence on standard error, after everything that was printed before it.
    fn tell(&mut self, sentence: &str) {
        self.out.flush();
        let _ = writeln!(self.errors, "{sentence}");
    }

    /// Tells a damage; the run has failed from now on.
    fn damage(&mut self, file: &Path, position: u64, rule: Rule) {
        self.is_damaged = true;
        let damage = Damage { file: file.to_owned(), position, rule };
        if self.options.is_json() {
            self.json_line("damage", |line| {
                line.str("file", &damage.file.display().to_string())
                    .int("position", position as i64)
                    .str("rule", &damage.rule.to_string())
            });
        }
        self.tell(&damage.to_string());
    }

    fn parser(&self) -> Result<MessageParser, DumpError> {
        Ok(self.options.message_parser()?)
    }

    fn json_line(&mut self, kind: &str, fill: impl FnOnce(json::Line<'_>) -> json::Line<'_>) {
        self.out.with(|out| fill(json::Line::begin(out, kind)).end());
        self.out.end_line();
    }
}

/// A name as `java.io.File` shows it: no doubled and no trailing slashes.
fn as_java_path(name: &str) -> PathBuf {
    let mut path = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter != '/' || !path.ends_with('/') {
            path.push(letter);
        }
    }
    if path.len() > 1 && path.ends_with('/') {
        path.pop();
    }
    PathBuf::from(path)
}

/// The number that the name begins with, up to the first dot.
fn base_offset(file: &Path, name: &str) -> Result<i64, DumpError> {
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().map_err(|_| DumpError::Name(file.to_owned()))
}

/// What the file system refused, with the file's name.
fn refused(file: &Path) -> impl FnOnce(io::Error) -> DumpError + '_ {
    move |source| DumpError::File { file: file.to_owned(), source }
}
