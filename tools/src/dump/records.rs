//! The records of a batch: a line each.

use log_engine::batch::{BatchView, DecompressionCap, RecordView, TimestampType, legacy::LegacyView};

use super::{
    Session,
    control::ControlRecord,
    coordinator_log::{CoordinatorLog, CoordinatorText},
    damage::Rule,
    decoder::{Decoder, MessageParser},
    json::{Line, push_array},
    log::{LogDump, timestamp_type_name},
    text::{push_java_string, push_json_string},
};

/// A record of any format, as it is shown.
pub(super) struct Shown<'r> {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) timestamp_type: Option<TimestampType>,
    pub(super) key: Option<&'r [u8]>,
    pub(super) value: Option<&'r [u8]>,
    pub(super) format: Format<'r>,
    pub(super) is_control: bool,
    pub(super) index: i32,
}

/// What only one of the formats has.
#[derive(Clone, Copy)]
pub(super) enum Format<'r> {
    /// Formats 0 and 1: a checksum for every record.
    Legacy { crc: u32, is_valid: bool },
    /// Format 2: sequence and headers.
    Modern(&'r RecordView<'r>),
}

impl Session<'_> {
    /// Shows every record; a batch whose records do not read to the end is a damage at the batch's position.
    pub(super) fn dump_records(&mut self, dump: &mut LogDump<'_>, batch: &BatchView<'_>, position: u64) {
        let mut records = match batch.records(DecompressionCap::default()) {
            Ok(records) => records,
            Err(error) => return self.damage(dump.file, position, Rule::Decompression(error)),
        };
        let mut index = 0;
        while let Some(record) = records.next_record() {
            let record = match record {
                Ok(record) => record,
                Err(error) => return self.damage(dump.file, position, Rule::Records(error)),
            };
            let shown = Shown {
                offset: record.offset.get(),
                timestamp: record.timestamp.get(),
                timestamp_type: Some(batch.timestamp_type()),
                key: record.key,
                value: record.value,
                format: Format::Modern(&record),
                is_control: batch.is_control(),
                index,
            };
            self.dump_record(dump, &shown, position);
            index += 1;
        }
    }

    /// Shows one record.
    pub(super) fn dump_record(&mut self, dump: &mut LogDump<'_>, record: &Shown<'_>, position: u64) {
        if dump.last_offset.wrapping_add(1) != record.offset
            && let Some(text) = self.non_consecutive.add(dump.file, dump.last_offset, record.offset)
        {
            let _ = self.errors.write_all(text.as_bytes());
        }
        dump.last_offset = record.offset;
        let problem = if self.options.is_json() {
            self.json_record(dump, record)
        } else {
            let problem = if dump.skips_metadata { None } else { self.record_metadata(record) };
            let undecodable = self.record_contents(dump, record);
            self.out.end_line();
            problem.or(undecodable)
        };
        if let Some(rule) = problem {
            self.damage(dump.file, position, rule);
        }
    }

    fn record_metadata(&mut self, record: &Shown<'_>) -> Option<Rule> {
        self.out
            .str("| offset: ")
            .int(record.offset)
            .str(" ")
            .str(record.timestamp_type.map_or("NoTimestampType", timestamp_type_name))
            .str(": ")
            .int(record.timestamp)
            .str(" keySize: ")
            .int(size_of(record.key))
            .str(" valueSize: ")
            .int(size_of(record.value));
        match record.format {
            Format::Modern(modern) => {
                self.out.str(" sequence: ").int(modern.sequence.get()).str(" headerKeys: [");
                for (index, header) in modern.headers.enumerate() {
                    self.out.str(if index > 0 { "," } else { "" }).java_string(header.key);
                }
                self.out.str("]");
            }
            Format::Legacy { crc, is_valid } => {
                self.out.str(" isValid: ").bool(is_valid).str(" crc: ").int(crc);
            }
        }
        if record.is_control { self.control_record(record) } else { None }
    }

    fn control_record(&mut self, record: &Shown<'_>) -> Option<Rule> {
        match ControlRecord::read(record.key, record.value) {
            Ok(control) => {
                self.out.with(|out| control.push_text(out));
                None
            }
            Err(what) => Some(Rule::ControlRecord { index: record.index, what }),
        }
    }

    /// Key and payload, with what stands before the first of them.
    fn record_contents(&mut self, dump: &LogDump<'_>, record: &Shown<'_>) -> Option<Rule> {
        if !dump.prints_data || record.is_control {
            return None;
        }
        let first = if dump.skips_metadata { "| " } else { " " };
        if let MessageParser::Coordinator(log) = dump.parser {
            return self.coordinator_record(log, record, first);
        }
        let MessageParser::Decoders { key, value } = dump.parser else {
            let text =
                dump.parser.topic_record(record.value, record.offset).unwrap_or_else(|sentence| sentence);
            self.out.str(first).str("payload: ").str(&text);
            return None;
        };
        let (shown_key, bad_key) = decodable(key, record.key, "key", record.index);
        let (shown_value, bad_value) = decodable(value, record.value, "payload", record.index);
        if let Some(bytes) = shown_key {
            self.out.str(first).str("key: ");
            self.decoded(key, bytes);
        }
        if let Some(bytes) = shown_value {
            self.out.str(if shown_key.is_some() { " " } else { first }).str("payload: ");
            self.decoded(value, bytes);
        }
        bad_key.or(bad_value)
    }

    /// Kafka's tool stops at a record without a key.
    fn coordinator_record(&mut self, log: CoordinatorLog, record: &Shown<'_>, first: &str) -> Option<Rule> {
        let Some(key) = record.key else {
            return Some(Rule::Undecodable { index: record.index, part: "key", length: 0 });
        };
        let CoordinatorText { key, payload } = log.text(key, record.value, record.offset);
        self.out.str(first).str("key: ").str(&key);
        if let Some(payload) = payload {
            self.out.str(" payload: ").str(&payload);
        }
        None
    }

    fn decoded(&mut self, decoder: Decoder, bytes: &[u8]) {
        if decoder == Decoder::String {
            self.out.java_string(bytes);
        } else {
            self.out.with(|out| decoder.push(out, bytes));
        }
    }

    fn json_record(&mut self, dump: &LogDump<'_>, record: &Shown<'_>) -> Option<Rule> {
        let control = record.is_control.then(|| ControlRecord::read(record.key, record.value));
        self.json_line("record", |line| {
            let line = if dump.skips_metadata { line } else { json_metadata(line, record) };
            match &control {
                Some(Ok(control)) if !dump.skips_metadata => {
                    line.value("control", |out| control.push_json(out))
                }
                Some(_) => line,
                None if dump.prints_data => json_contents(line, dump.parser, record),
                None => line,
            }
        });
        match control {
            Some(Err(what)) => Some(Rule::ControlRecord { index: record.index, what }),
            _ => None,
        }
    }
}

fn size_of(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

fn decodable<'b>(
    decoder: Decoder,
    bytes: Option<&'b [u8]>,
    part: &'static str,
    index: i32,
) -> (Option<&'b [u8]>, Option<Rule>) {
    match bytes {
        Some(bytes) if !decoder.accepts(bytes) => {
            (None, Some(Rule::Undecodable { index, part, length: bytes.len() }))
        }
        shown => (shown, None),
    }
}

fn json_metadata<'o>(line: Line<'o>, record: &Shown<'_>) -> Line<'o> {
    let line = line
        .int("offset", record.offset)
        .int("timestamp", record.timestamp)
        .int("keySize", size_of(record.key))
        .int("valueSize", size_of(record.value));
    let modern = match record.format {
        Format::Modern(modern) => modern,
        Format::Legacy { crc, is_valid } => return line.bool("isValid", is_valid).int("crc", crc),
    };
    line.int("sequence", modern.sequence.get()).value("headers", |out| {
        push_array(out, modern.headers, |out, header| {
            out.extend_from_slice(b"{\"key\":");
            json_bytes(out, Decoder::String, Some(header.key));
            out.extend_from_slice(b",\"value\":");
            json_bytes(out, Decoder::String, header.value);
            out.push(b'}');
        });
    })
}

fn json_contents<'o>(line: Line<'o>, parser: MessageParser, record: &Shown<'_>) -> Line<'o> {
    match parser {
        MessageParser::Decoders { key, value } => line
            .value("key", |out| json_bytes(out, key, record.key))
            .value("payload", |out| json_bytes(out, value, record.value)),
        MessageParser::Coordinator(log) => {
            let text = log.text(record.key.unwrap_or_default(), record.value, record.offset);
            match text.payload {
                Some(payload) => line.value("key", |out| out.extend_from_slice(text.key.as_bytes())).value(
                    "payload",
                    |out| match record.value {
                        Some(_) => out.extend_from_slice(payload.as_bytes()),
                        None => out.extend_from_slice(b"null"),
                    },
                ),
                None => line.str("key", &text.key),
            }
        }
        MessageParser::ClusterMetadata => match parser.topic_record(record.value, record.offset) {
            Ok(json) => line.value("payload", |out| out.extend_from_slice(json.as_bytes())),
            Err(sentence) => line.str("payload", &sentence),
        },
        MessageParser::RemoteLogMetadata => line.str(
            "payload",
            &parser.topic_record(record.value, record.offset).unwrap_or_else(|sentence| sentence),
        ),
    }
}

/// Numbers as numbers, text as text, bytes as text in hexadecimal; null for no bytes and for too few of them.
fn json_bytes(out: &mut Vec<u8>, decoder: Decoder, bytes: Option<&[u8]>) {
    match (decoder, bytes.filter(|bytes| decoder.accepts(bytes))) {
        (_, None) => out.extend_from_slice(b"null"),
        (Decoder::Integer | Decoder::Long, Some(bytes)) => decoder.push(out, bytes),
        (Decoder::String, Some(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => push_json_string(out, text),
            Err(_) => {
                let mut text = Vec::with_capacity(bytes.len());
                push_java_string(&mut text, bytes);
                push_json_string(out, &String::from_utf8_lossy(&text));
            }
        },
        (Decoder::Default, Some(bytes)) => {
            out.push(b'"');
            super::decoder::push_hex(out, bytes);
            out.push(b'"');
        }
    }
}

/// The largest timestamp of the records, which the time index names.
pub(super) fn max_timestamp(batch: &BatchView<'_>) -> Result<i64, Rule> {
    let mut records = batch.records(DecompressionCap::default()).map_err(Rule::Decompression)?;
    let mut max = -1;
    while let Some(record) = records.skim() {
        let delta = record.map_err(Rule::Records)?.timestamp_delta;
        max = max.max(match batch.timestamp_type() {
            TimestampType::CreateTime => batch.base_timestamp().get().wrapping_add(delta),
            TimestampType::LogAppendTime => batch.max_timestamp().get(),
        });
    }
    Ok(max)
}

/// The same of a message of format 0 or 1.
pub(super) fn legacy_max_timestamp(message: &LegacyView<'_>) -> Result<i64, Rule> {
    let mut records = message.records(DecompressionCap::default()).map_err(Rule::Legacy)?;
    let mut max = -1;
    while let Some(record) = records.next_record() {
        max = max.max(record.map_err(Rule::Legacy)?.timestamp.get());
    }
    Ok(max)
}
