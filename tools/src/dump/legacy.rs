//! Message formats 0 and 1, where every record, or every compressed set of them, is a batch of its own.

use log_engine::batch::{DecompressionCap, TimestampType, legacy::LegacyView};

use super::{
    DumpError, Session,
    damage::Rule,
    log::{LogDump, timestamp_type_name},
    records::{Format, Shown},
    refused,
    segment::Segment,
};

impl Session<'_> {
    pub(super) fn dump_legacy_batch(
        &mut self,
        dump: &mut LogDump<'_>,
        segment: &mut Segment,
        position: u64,
        size: u64,
    ) -> Result<(), DumpError> {
        let file = dump.file;
        let bytes = segment.bytes(position, size as usize).map_err(refused(file))?;
        let message = match LegacyView::read(bytes) {
            Ok(message) => message,
            Err(error) => {
                self.damage(file, position, Rule::Legacy(error));
                return Ok(());
            }
        };
        let is_valid = message.crc_is_valid();
        self.legacy_line(&message, position, is_valid);
        // Of a compressed set this is the last offset, which also only grows.
        self.check_order(dump, message.offset().get(), message.offset().get(), position);
        if let Err(codec) = message.compression() {
            self.damage(file, position, Rule::UnknownCodec(codec));
        } else if !is_valid {
            self.damage(file, position, Rule::LegacyCrcMismatch(message.crc()));
        }
        if dump.is_deep && message.compression().is_ok() {
            self.dump_legacy_records(dump, &message, position);
        }
        Ok(())
    }

    fn dump_legacy_records(&mut self, dump: &mut LogDump<'_>, message: &LegacyView<'_>, position: u64) {
        let mut records = match message.records(DecompressionCap::default()) {
            Ok(records) => records,
            Err(error) => return self.damage(dump.file, position, Rule::Legacy(error)),
        };
        let mut index = 0;
        while let Some(record) = records.next_record() {
            let record = match record {
                Ok(record) => record,
                Err(error) => return self.damage(dump.file, position, Rule::Legacy(error)),
            };
            let shown = Shown {
                offset: record.offset.get(),
                timestamp: record.timestamp.get(),
                timestamp_type: message.timestamp_type(),
                key: record.key,
                value: record.value,
                format: Format::Legacy { crc: record.crc, is_valid: record.crc_is_valid },
                is_control: false,
                index,
            };
            self.dump_record(dump, &shown, position);
            index += 1;
        }
    }

    fn legacy_line(&mut self, message: &LegacyView<'_>, position: u64, is_valid: bool) {
        let codec = message.compression().map_or("unknown", |codec| codec.name());
        if self.options.is_json() {
            return self.json_line("batch", |line| {
                line.int("lastOffset", message.offset().get())
                    .int("position", position as i64)
                    .str("timestampType", name_of(message.timestamp_type()))
                    .int("maxTimestamp", message.timestamp().get())
                    .int("size", message.size_in_bytes() as i64)
                    .int("magic", message.magic())
                    .str("codec", codec)
                    .int("crc", message.crc())
                    .bool("isValid", is_valid)
            });
        }
        self.out
            .str("offset: ")
            .int(message.offset().get())
            .str(" position: ")
            .int(position as i64)
            .str(" ")
            .str(name_of(message.timestamp_type()))
            .str(": ")
            .int(message.timestamp().get())
            .str(" size: ")
            .int(message.size_in_bytes() as i64)
            .str(" magic: ")
            .int(message.magic())
            .str(" compresscodec: ")
            .str(codec)
            .str(" crc: ")
            .int(message.crc())
            .str(" isvalid: ")
            .bool(is_valid)
            .end_line();
    }
}

fn name_of(timestamp_type: Option<TimestampType>) -> &'static str {
    timestamp_type.map_or("NoTimestampType", timestamp_type_name)
}
