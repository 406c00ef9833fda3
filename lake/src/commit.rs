//! A commit as bytes: what an append adds to the log.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{LakeFile, Partition};

/// A file that a commit adds.
#[derive(Clone, Debug)]
pub(crate) struct AddedFile {
    /// Below the table's folder; of an alphabet that needs no URL encoding.
    pub(crate) path: String,
    pub(crate) part_date: String,
    pub(crate) tenant: Option<String>,
    pub(crate) size: u64,
    pub(crate) rows: u64,
    pub(crate) stats: String,
}

/// The lines of a commit that adds `files` and moves the transactions `txns` (name and number), at
/// `now_ms` milliseconds since the epoch.
pub(crate) fn lines(
    files: &[AddedFile],
    txns: &[(String, i64)],
    partition: Partition,
    now_ms: i64,
) -> Vec<u8> {
    let rows: u64 = files.iter().map(|f| f.rows).sum();
    let mut lines = vec![json!({"commitInfo": {
        "timestamp": now_ms,
        "operation": "WRITE",
        "operationParameters": {"mode": "Append", "partitionBy": folders(partition)},
        "isBlindAppend": true,
        "engineInfo": concat!("weir/", env!("CARGO_PKG_VERSION")),
        "operationMetrics": {"numFiles": files.len(), "numOutputRows": rows},
    }})];
    lines.extend(files.iter().map(|file| add(file, now_ms, true)));
    lines.extend(txns.iter().map(
        |(app, version)| json!({"txn": {"appId": app, "version": version, "lastUpdated": now_ms}}),
    ));
    spell(&lines)
}

/// The lines of a commit that puts `new` in the place of `old`, which hold the same data.
pub(crate) fn replacement(
    old: &[Arc<LakeFile>],
    new: &[AddedFile],
    partition: Partition,
    now_ms: i64,
) -> Vec<u8> {
    let mut lines = vec![json!({"commitInfo": {
        "timestamp": now_ms,
        "operation": "OPTIMIZE",
        "operationParameters": {"partitionBy": folders(partition)},
        "isBlindAppend": false,
        "engineInfo": concat!("weir/", env!("CARGO_PKG_VERSION")),
        "operationMetrics": {"numRemovedFiles": old.len(), "numAddedFiles": new.len()},
    }})];
    lines.extend(old.iter().map(|file| {
        json!({"remove": {
            "path": file.path,
            "deletionTimestamp": now_ms,
            "dataChange": false,
            "size": file.size,
        }})
    }));
    lines.extend(new.iter().map(|file| add(file, now_ms, false)));
    spell(&lines)
}

fn folders(partition: Partition) -> String {
    let by: Vec<Value> = partition.columns().iter().map(|c| json!(c)).collect();
    Value::from(by).to_string()
}

fn add(file: &AddedFile, now_ms: i64, data_change: bool) -> Value {
    let mut values = json!({"part_date": file.part_date});
    if let (Some(tenant), Some(map)) = (&file.tenant, values.as_object_mut()) {
        map.insert("tenant_id".to_owned(), json!(tenant));
    }
    json!({"add": {
        "path": file.path,
        "partitionValues": values,
        "size": file.size,
        "modificationTime": now_ms,
        "dataChange": data_change,
        "stats": file.stats,
    }})
}

fn spell(lines: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line.to_string().as_bytes());
        bytes.push(b'\n');
    }
    bytes
}
