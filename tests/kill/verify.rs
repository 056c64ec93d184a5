//! Reading back: every acknowledged record at its offset, all records in the order of sending, none twice, none that
//! was not sent.

use klamm_tests::client::Client;
use log_engine::batch::{BatchView, DecompressionCap};

use crate::Random;
use crate::ledger::{Acknowledged, Ledger, TOPIC};

const FETCH_BYTES: i32 = 1 << 18;
/// Lookups into the middle of the log, which go through the offset index.
const LOOKUPS: usize = 5;

/// Reads every partition, from its begin if `whole`, otherwise from what was read before, and compares.
pub(crate) fn read_back(
    ledger: &Ledger,
    bootstrap: &str,
    whole: bool,
    random: &mut Random,
) -> Result<(), String> {
    let mut client = Client::connect(bootstrap).map_err(|error| format!("no connection: {error}"))?;
    for partition in 0..ledger.partitions() {
        let from = if whole { 0 } else { ledger.with(partition, |known| known.verified) };
        let read = read_partition(ledger, &mut client, partition, from)?;
        let end = read.last().map_or(from, |(offset, _)| offset + 1);
        let expected: Vec<Acknowledged> = ledger.with(partition, |known| {
            known.verified = end;
            known.acknowledged.iter().copied().filter(|batch| batch.offset >= from).collect()
        });
        compare(partition, from, &read, &expected)?;
        look_up(ledger, &mut client, partition, random)?;
    }
    Ok(())
}

/// Offset and number of each record from `from` to the end.
fn read_partition(
    ledger: &Ledger,
    client: &mut Client,
    partition: i32,
    from: i64,
) -> Result<Vec<(i64, u64)>, String> {
    let mut all = Vec::new();
    let mut next = from;
    loop {
        let read = fetch(ledger, client, partition, next)?;
        let Some((last, _)) = read.last() else { return Ok(all) };
        let last = *last;
        all.extend(read.into_iter().filter(|(offset, _)| *offset >= next));
        next = last + 1;
    }
}

fn fetch(
    ledger: &Ledger,
    client: &mut Client,
    partition: i32,
    offset: i64,
) -> Result<Vec<(i64, u64)>, String> {
    let answer = client.fetch(TOPIC, partition, offset, FETCH_BYTES, |answer| {
        if answer.error_code != 0 {
            return Err(format!("partition {partition}: fetch at {offset} answers {}", answer.error_code));
        }
        let records = answer.records.as_ref().and_then(|records| records.inline()).unwrap_or_default();
        decode(ledger, partition, records)
    });
    answer.map_err(|error| format!("partition {partition}: fetch at {offset}: {error}"))?
}

fn decode(ledger: &Ledger, partition: i32, mut records: &[u8]) -> Result<Vec<(i64, u64)>, String> {
    let mut decoded = Vec::new();
    // A fetch may end inside a batch; what follows comes with the next one.
    while let Ok(batch) = BatchView::read(records) {
        let base = batch.header().base_offset().get();
        if !batch.crc_is_valid() {
            return Err(format!("partition {partition}: the batch at {base} has a wrong CRC"));
        }
        let mut inner = batch.records(DecompressionCap::default()).map_err(|error| error.to_string())?;
        while let Some(record) = inner.next_record() {
            let record = record.map_err(|error| error.to_string())?;
            let offset = base + i64::from(record.offset_delta);
            let number = ledger.number_of(partition, record.value.unwrap_or_default());
            let number = number
                .ok_or_else(|| format!("partition {partition}: what lies at {offset} was never sent"))?;
            decoded.push((offset, number));
        }
        records = records.get(batch.as_bytes().len()..).unwrap_or_default();
    }
    Ok(decoded)
}

fn compare(partition: i32, from: i64, read: &[(i64, u64)], expected: &[Acknowledged]) -> Result<(), String> {
    for (index, pair) in read.windows(2).enumerate() {
        let [(offset, number), (next_offset, next_number)] = pair else { continue };
        if *next_offset != offset + 1 {
            return Err(format!("partition {partition}: offset {next_offset} follows {offset}"));
        }
        if next_number <= number {
            return Err(format!("partition {partition}: record {next_number} follows {number} ({index})"));
        }
    }
    for batch in expected {
        for i in 0..batch.count {
            let offset = batch.offset + i as i64;
            let found = usize::try_from(offset - from).ok().and_then(|index| read.get(index));
            if found != Some(&(offset, batch.first + i)) {
                return Err(format!(
                    "partition {partition}: record {} was acknowledged at {offset}, where {found:?} is",
                    batch.first + i
                ));
            }
        }
    }
    Ok(())
}

/// Some acknowledged batches, each asked for by its last offset: the answer begins with the batch that holds it.
fn look_up(ledger: &Ledger, client: &mut Client, partition: i32, random: &mut Random) -> Result<(), String> {
    for _ in 0..LOOKUPS {
        let picked = ledger.with(partition, |known| {
            let index = random.next() as usize % known.acknowledged.len().max(1);
            known.acknowledged.get(index).copied()
        });
        let Some(batch) = picked else { return Ok(()) };
        let wanted = (batch.offset + batch.count as i64 - 1, batch.first + batch.count - 1);
        let read = fetch(ledger, client, partition, wanted.0)?;
        let first = read.first().map(|(offset, _)| *offset);
        if first != Some(batch.offset) || !read.contains(&wanted) {
            return Err(format!(
                "partition {partition}: a fetch at {} begins with {first:?} instead of {}",
                wanted.0, batch.offset
            ));
        }
    }
    Ok(())
}
