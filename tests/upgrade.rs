//! What older weirs wrote is read, what newer ones wrote is refused, and `weir upgrade --check`
//! says which of the two it is.
//!
//! `testdata/node/v1` is a whole data directory of the first layout, written by
//! `WEIR_WRITE_FIXTURE=<folder> cargo test --workspace --test upgrade`: rows of three receivers in
//! the log and in the lake, a cursor, a key. It is copied before it is opened.

#![cfg(test)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use support::folder::copy;
use support::http;
use support::server::{Settings, Weir, run_cli};
use support::traffic::{KINDS, TABLES};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/node/v1")
}

/// A copy of the fixture that is gone with the returned folder.
fn copied() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    copy(&fixture(), &dir);
    (folder, dir)
}

fn check(dir: &Path) -> (Output, String) {
    let output = run_cli(&["upgrade", "--check", "--data-dir", &dir.to_string_lossy()]);
    let said = [output.stdout.clone(), output.stderr.clone()].concat();
    (output, String::from_utf8(said).unwrap())
}

/// Every file with its bytes, for seeing that nothing was changed.
fn everything(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
    all.sort();
    all
}

/// Twenty rows of each kind; the first half in the lake, all of it in the log.
fn write(dir: &Path) {
    let small = Settings::hasty(dir).with("WEIR_WAL_SEGMENT_SIZE", "64KiB");
    let small = small
        .with("WEIR_WAL_GROUP_SIZE", "32KiB")
        .with("WEIR_WAL_RESERVE", "4KiB");
    let mut server = small.clone().with("WEIR_WAL_RETAIN", "1h").start();
    send(&server, 0);
    server.wait_stored();
    let (status, _) = server.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    let late = small
        .with("WEIR_WAL_RETAIN", "1h")
        .with("WEIR_LAKE_FLUSH_INTERVAL", "1h");
    let mut server = late.start();
    send(&server, 1_000);
    let (status, _) = server.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    let dir = dir.to_string_lossy();
    let made = run_cli(&["keys", "create", "--data-dir", &dir, "--tenant", "default"]);
    assert!(made.status.success(), "{made:?}");
}

fn send(server: &Weir, first: u64) {
    for (place, kind) in (0_u64..).zip(KINDS) {
        let body = kind.body(first + place * 100, 10);
        let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
        assert!(answer.is_success(), "{kind:?}: {}", answer.text());
    }
}

/// What a directory written by [`write`] must say.
fn assert_reads(dir: &Path) {
    let before = everything(dir);
    let (output, said) = check(dir);
    assert!(output.status.success(), "{said}");
    for format in [
        "log segment",
        "node file",
        "cursor",
        "state database",
        "Delta table",
    ] {
        assert!(said.contains(format), "{format}: {said}");
    }
    assert!(everything(dir) == before, "the check changed something");
    let url_or_dir = dir.to_string_lossy();
    let verified = run_cli(&["verify", "--json", "--data-dir", &url_or_dir]);
    assert!(verified.status.success(), "{verified:?}");
    let keys = run_cli(&["keys", "list", "--data-dir", &url_or_dir]);
    assert!(
        String::from_utf8_lossy(&keys.stdout).contains("default"),
        "{keys:?}"
    );
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    let accepted = |name: &str| {
        let lines = report["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["dataset"] == name).unwrap();
        line["accepted"].as_u64().unwrap()
    };
    let wanted = TABLES.into_iter().zip([40, 20, 20]);
    for (table, rows) in wanted {
        assert_eq!(accepted(table.name), rows, "{}: {report}", table.name);
    }
}

#[test]
fn a_directory_of_the_first_layout_is_read_whole() {
    let (_folder, dir) = copied();
    assert_reads(&dir);
}

#[test]
fn what_is_written_today_reads_alike() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    write(&dir);
    if let Some(target) = std::env::var_os("WEIR_WRITE_FIXTURE") {
        copy(&dir, Path::new(&target));
    }
    assert_reads(&dir);
}

/// Writes one file as a newer weir would.
type Forge = fn(&Path);

fn replaced(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{}: {text}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

/// A small file of the log with another layout, under its checksum.
fn small_file(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let mut body: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    body.insert("layout".into(), 7.into());
    body.remove("crc32c");
    let sum = crc32c::crc32c(
        serde_json::Value::Object(body.clone())
            .to_string()
            .as_bytes(),
    );
    body.insert("crc32c".into(), format!("{sum:08x}").into());
    fs::write(path, serde_json::Value::Object(body).to_string()).unwrap();
}

fn first_segment(dir: &Path) -> PathBuf {
    let mut names: Vec<PathBuf> = fs::read_dir(dir.join("wal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "wal"))
        .collect();
    names.sort();
    names.remove(0)
}

const NEWER: [(&str, &str, Forge); 6] = [
    ("log segment", "wal/", |dir| {
        let segment = first_segment(dir);
        let mut bytes = fs::read(&segment).unwrap();
        bytes[8] = 7;
        let crc = crc32c::crc32c(&bytes[..124]);
        bytes[124..128].copy_from_slice(&crc.to_le_bytes());
        fs::write(&segment, bytes).unwrap();
    }),
    ("schema of rows in the log", "wal/", |dir| {
        let segment = first_segment(dir);
        let mut bytes = fs::read(&segment).unwrap();
        let length = u32::from_le_bytes(bytes[132..136].try_into().unwrap()) as usize;
        bytes[128 + 26] = 7;
        let frame = &bytes[128..128 + 40 + length];
        let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..8]), &frame[12..]);
        bytes[136..140].copy_from_slice(&crc.to_le_bytes());
        fs::write(&segment, bytes).unwrap();
    }),
    ("node file", "node.json", |dir| {
        small_file(&dir.join("node.json"))
    }),
    ("cursor", "cursors/lake.json", |dir| {
        small_file(&dir.join("cursors/lake.json"))
    }),
    ("state database", "state.db", |dir| {
        let path = dir.join("state.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[63] = 77;
        fs::write(&path, bytes).unwrap();
    }),
    ("Delta table", "spans", |dir| {
        let first = dir.join("lake/spans/_delta_log/00000000000000000000.json");
        replaced(&first, "\"weir.layout\":\"1\"", "\"weir.layout\":\"7\"");
    }),
];

#[test]
fn each_newer_format_is_refused_by_name_with_what_to_do() {
    for (format, file, forge) in NEWER {
        let (_folder, dir) = copied();
        forge(&dir);
        let forged = everything(&dir);
        let (output, said) = check(&dir);
        assert_eq!(output.status.code(), Some(1), "{format}: {said}");
        assert!(
            said.contains("REFUSED") && said.contains(format),
            "{format}: {said}"
        );
        assert!(
            everything(&dir) == forged,
            "{format}: the check changed something"
        );
        let (status, log) = Settings::hasty(&dir).launch().try_ready().unwrap_err();
        assert!(
            status.is_some_and(|s| !s.success()),
            "{format}: {status:?} {log}"
        );
        assert!(log.contains(file) && log.contains('7'), "{format}: {log}");
        assert!(log.contains("newer"), "{format}: {log}");
        for (path, bytes) in forged {
            let kept = fs::read(&path).unwrap_or_default();
            assert!(kept == bytes, "{format}: {} was changed", path.display());
        }
    }
}

#[test]
fn an_empty_directory_and_none_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (output, said) = check(folder.path());
    assert!(
        output.status.success() && said.contains("nothing is there yet"),
        "{said}"
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it made something"
    );
    let (output, said) = check(&folder.path().join("nowhere"));
    assert!(
        !output.status.success() && said.contains("there is no directory"),
        "{said}"
    );
}
