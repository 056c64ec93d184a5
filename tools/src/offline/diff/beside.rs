//! What lies beside the batches of two partitions: topic id, leader epochs, producers, configuration, indexes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
};

use log_engine::{
    Offset,
    checkpoint::{LEADER_EPOCH_FILE, parse_epochs},
    inspect::{FileType, OFFSET_INDEX_ENTRY_LEN, TIME_INDEX_ENTRY_LEN, TXN_INDEX_ENTRY_LEN},
    log_dir::{PARTITION_METADATA_FILE, parse_partition_metadata},
    producer::{ProducerEntry, snapshot},
};

use super::{Side, name};
use crate::offline::{OfflineError, layout::PartitionDir};

/// A line for each thing that differs; answers whether none does.
pub(super) fn compare(left: &Side<'_>, right: &Side<'_>, out: &mut dyn Write) -> Result<bool, OfflineError> {
    let partition = name(&left.dir.path);
    let mut same = true;
    let mut differ = |what: &str, left: String, right: String| {
        same &= left == right;
        if left == right { Ok(()) } else { writeln!(out, "{partition}: {what}: left {left}, right {right}") }
    };
    differ("topic id", topic_id(left.dir), topic_id(right.dir))?;
    differ("leader epochs", epochs(left.dir), epochs(right.dir))?;
    for (key, left, right) in configs(left, right) {
        differ(&format!("config {key}"), left, right)?;
    }
    let (left, right) = (left.dir, right.dir);
    match (newest_snapshot(left), newest_snapshot(right)) {
        (Some((at, left)), Some((other, right))) if at == other => {
            for id in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
                let text =
                    |of: &BTreeMap<i64, ProducerEntry>| of.get(id).map_or("unknown".to_owned(), producer);
                differ(&format!("producer {id} at offset {at}"), text(&left), text(&right))?;
            }
        }
        (left, right) => {
            let at = |of: Option<(Offset, _)>| of.map_or("none".to_owned(), |(at, _)| at.to_string());
            let (left, right) = (at(left), at(right));
            if left != right {
                writeln!(
                    out,
                    "{partition}: producers are not compared: newest snapshot left {left}, right {right}"
                )?;
            }
        }
    }
    // Derived, and cut as each side likes.
    let (left, right) = (shape(left), shape(right));
    if left != right {
        writeln!(out, "{partition}: {left} left, {right} right: no difference in what is stored")?;
    }
    Ok(same)
}

fn topic_id(dir: &PartitionDir) -> String {
    let path = dir.path.join(PARTITION_METADATA_FILE);
    let text = fs::read_to_string(&path).ok();
    let id = text.and_then(|text| parse_partition_metadata(&path, &text).ok());
    id.map_or("none".to_owned(), |id| id.to_string())
}

fn epochs(dir: &PartitionDir) -> String {
    let path = dir.path.join(LEADER_EPOCH_FILE);
    let text = fs::read_to_string(&path).ok();
    let Some(entries) = text.and_then(|text| parse_epochs(&path, &text).ok()) else {
        return "none".to_owned();
    };
    let each: Vec<String> =
        entries.iter().map(|entry| format!("{} from {}", entry.epoch, entry.start_offset)).collect();
    each.join(" ")
}

// Only where both sides have a metadata log.
fn configs(left: &Side<'_>, right: &Side<'_>) -> Vec<(String, String, String)> {
    let (Some(left_facts), Some(right_facts)) = (left.facts, right.facts) else { return Vec::new() };
    let of = |side: &Side<'_>, facts: &super::ClusterFacts| {
        side.dir.partition.as_ref().map(|tp| facts.topic_config(&tp.topic)).unwrap_or_default()
    };
    let (left, right) = (of(left, left_facts), of(right, right_facts));
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let value = |of: &BTreeMap<String, String>, key: &String| {
        of.get(key).map_or("not set", String::as_str).to_owned()
    };
    keys.into_iter().map(|key| (key.clone(), value(&left, key), value(&right, key))).collect()
}

fn newest_snapshot(dir: &PartitionDir) -> Option<(Offset, BTreeMap<i64, ProducerEntry>)> {
    let newest = dir.offsets(FileType::ProducerSnapshot).last()?;
    let bytes = fs::read(dir.file(FileType::ProducerSnapshot, newest)).ok()?;
    let entries = snapshot::decode(&bytes).ok()?;
    Some((newest, entries.into_iter().map(|entry| (entry.producer_id.get(), entry)).collect()))
}

fn producer(entry: &ProducerEntry) -> String {
    let open = entry.current_txn_first_offset.map_or("none".to_owned(), |offset| offset.to_string());
    format!("epoch {} sequence {} open transaction {open}", entry.producer_epoch, entry.last_sequence())
}

fn shape(dir: &PartitionDir) -> String {
    let entries = |file_type, entry_len: usize| -> u64 {
        let lengths = dir.offsets(file_type).map(|base| fs::metadata(dir.file(file_type, base)));
        lengths.map(|metadata| metadata.map_or(0, |metadata| metadata.len() / entry_len as u64)).sum()
    };
    format!(
        "{} segments with {} offset, {} time and {} transaction index entries",
        dir.offsets(FileType::Log).count(),
        entries(FileType::OffsetIndex, OFFSET_INDEX_ENTRY_LEN),
        entries(FileType::TimeIndex, TIME_INDEX_ENTRY_LEN),
        entries(FileType::TxnIndex, TXN_INDEX_ENTRY_LEN)
    )
}
