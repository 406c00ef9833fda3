//! `weir wal check|show|repair`: the log of a stopped node, looked at from outside.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};
use weir_ingest::wal::{
    self, CheckReport, Damage, FrameSummary, RepairReport, SegmentReport, ShowOptions,
};

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::Place;

/// What can be done with a log.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Read every frame under its checksum; exit code 1 where something is lost or damaged.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Describe frames: which rows of which tables, which batches.
    Show {
        /// The first frame's number.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: u64,
        /// The most frames.
        #[arg(long, value_name = "FRAMES", default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Rewrite damaged segments from their good frames, after copying them aside.
    Repair {
        #[command(flatten)]
        place: Place,
    },
}

/// The data directory, where it has a log.
fn log_dir(place: &Place) -> anyhow::Result<PathBuf> {
    let dir = place.data_dir()?;
    let there = dir.join("wal").try_exists()?;
    anyhow::ensure!(
        there,
        "there is no log in {}; name one with --data-dir",
        dir.display()
    );
    Ok(dir)
}

/// Runs it.
pub(crate) fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Check { place } => {
            let report = wal::check(&log_dir(&place)?)?;
            if place.json() {
                out::line(&check_json(&report).to_string())?;
            } else {
                out::line(&check_text(&report))?;
            }
            Ok(if report.is_sound() {
                Exit::OK
            } else {
                Exit::FAILURE
            })
        }
        Command::Show { from, limit, place } => {
            let options = ShowOptions {
                from_seq: from,
                frames_max: limit,
            };
            for frame in wal::show(&log_dir(&place)?, &options)? {
                let text = if place.json() {
                    frame_json(&frame).to_string()
                } else {
                    frame_text(&frame)
                };
                out::line(&text)?;
            }
            Ok(Exit::OK)
        }
        Command::Repair { place } => {
            let report = wal::repair(&log_dir(&place)?)?;
            if place.json() {
                out::line(&repair_json(&report).to_string())?;
            } else {
                out::line(&repair_text(&report))?;
            }
            Ok(Exit::OK)
        }
    }
}

fn check_text(report: &CheckReport) -> String {
    let mut lines = Vec::new();
    for segment in &report.segments {
        lines.push(segment_text(segment));
    }
    lines.push(format!(
        "{} segments, {} bytes, {} frames, {} requests, {} rows",
        report.segments.len(),
        report.bytes,
        report.frames,
        report.requests,
        report.rows
    ));
    for (first, last) in &report.lost {
        lines.push(format!("LOST: frames {first} to {last}"));
    }
    for file in &report.damaged_files {
        lines.push(format!("DAMAGED: {file}"));
    }
    if let Some(tail) = report.torn_tail {
        lines.push(format!(
            "an unfinished write of {} bytes at the end: normal after a crash, never acknowledged",
            tail.to.saturating_sub(tail.from)
        ));
    }
    lines.push(match (report.is_sound(), report.is_spotless()) {
        (true, _) => "sound: nothing is lost or damaged".to_owned(),
        (false, _) => "NOT sound: `weir wal repair` copies the damaged segments aside and keeps \
                       what is good; what is lost stays lost and is counted"
            .to_owned(),
    });
    lines.join("\n")
}

fn segment_text(segment: &SegmentReport) -> String {
    let mut line = format!(
        "{} {:>10} bytes {:>8} frames",
        segment.file, segment.file_bytes, segment.frames
    );
    if let Some((first, last)) = segment.seqs {
        line.push_str(&format!(" {first}..{last}"));
    }
    if !segment.header {
        line.push_str(" HEADER DAMAGED");
    }
    if segment.short {
        line.push_str(" SHORT");
    }
    for Damage { from, to } in &segment.damage {
        line.push_str(&format!(" DAMAGED {from}..{to}"));
    }
    line
}

fn check_json(report: &CheckReport) -> Value {
    let segments: Vec<Value> = report
        .segments
        .iter()
        .map(|segment| {
            json!({
                "file": segment.file, "bytes": segment.file_bytes, "header": segment.header,
                "frames": segment.frames, "seqs": segment.seqs, "short": segment.short,
                "damage": segment.damage.iter().map(range).collect::<Vec<_>>(),
                "tail": segment.tail.as_ref().map(range), "lost": segment.lost,
            })
        })
        .collect();
    json!({
        "sound": report.is_sound(), "segments": segments, "bytes": report.bytes,
        "frames": report.frames, "requests": report.requests, "rows": report.rows,
        "lost": report.lost, "torn_tail": report.torn_tail.as_ref().map(range),
        "damaged_files": report.damaged_files,
    })
}

fn range(damage: &Damage) -> [u64; 2] {
    [damage.from, damage.to]
}

fn frame_text(frame: &FrameSummary) -> String {
    let time = chrono::DateTime::from_timestamp_micros(frame.time_us);
    let time = time.map(|t| t.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    let mut line = format!(
        "frame {:>6} {} {}+{} {} bytes, {} requests",
        frame.seq,
        time.unwrap_or_default(),
        frame.file,
        frame.offset,
        frame.bytes,
        frame.requests
    );
    for (table, batch, rows) in &frame.blocks {
        line.push_str(&format!("; {table} batch {batch}: {rows} rows"));
    }
    for (table, batch, rows) in &frame.seals {
        line.push_str(&format!("; seals {table} batch {batch}: {rows} rows"));
    }
    line
}

fn frame_json(frame: &FrameSummary) -> Value {
    let blocks = frame.blocks.iter();
    let seals = frame.seals.iter();
    json!({
        "seq": frame.seq, "time_us": frame.time_us, "file": frame.file, "offset": frame.offset,
        "bytes": frame.bytes, "requests": frame.requests,
        "blocks": blocks.map(|(table, batch, rows)| json!({
            "dataset": table, "batch": batch, "rows": rows,
        })).collect::<Vec<_>>(),
        "seals": seals.map(|(table, batch, rows)| json!({
            "dataset": table, "batch": batch, "rows": rows,
        })).collect::<Vec<_>>(),
    })
}

fn repair_text(report: &RepairReport) -> String {
    if report.rewritten.is_empty() && report.lost.is_empty() {
        return "nothing to repair".to_owned();
    }
    let mut lines = Vec::new();
    for copy in &report.copies {
        lines.push(format!("kept a copy as wal/quarantine/{copy}"));
    }
    for file in &report.rewritten {
        lines.push(format!("rewrote {file} from its good frames"));
    }
    for (first, last) in &report.lost {
        lines.push(format!("LOST: frames {first} to {last}"));
    }
    lines.join("\n")
}

fn repair_json(report: &RepairReport) -> Value {
    json!({ "copies": report.copies, "rewritten": report.rewritten, "lost": report.lost })
}
