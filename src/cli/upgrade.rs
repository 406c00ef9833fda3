//! `weir upgrade --check`: what a node's directory and lake hold, and whether this program reads it.
//!
//! There is no command that upgrades: each format is read in every version that was ever released,
//! and written in the newest one when it is next written. So the check is all there is to do
//! before a new binary is started on old data, and before an old one is put back.

use std::path::Path;

use serde_json::{Value, json};
use weir_model::FoundLayout;
use weir_model::layout::Verdict;

use crate::app::layouts;
use crate::app::parts::lakes;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::Place;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Look and change nothing; data itself is upgraded as it is written.
    #[arg(long)]
    check: bool,
    /// Leave the lake out, where it cannot be reached from here.
    #[arg(long)]
    no_lake: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs it; exit code 1 where something cannot be read by this program.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    if !args.check {
        out::complain(
            "weir: data is upgraded as it is written, so there is nothing to run; `weir upgrade \
             --check` says whether this weir reads what is there",
        );
        return Ok(Exit::USAGE);
    }
    let mut config = args.place.config()?;
    let dir = &config.data_dir.clone();
    anyhow::ensure!(
        dir.try_exists()?,
        "there is no directory {}; name one with --data-dir",
        dir.display()
    );
    let mut found = layouts::in_directory(dir)?;
    if !args.no_lake && is_there(&config.lake_url())? {
        let own = &mut config.lake.tenants;
        own.retain(|_, lake| is_there(&lake.url).unwrap_or(true));
        found.extend(lakes(&config)?.layouts().await?);
    }
    let ok = found.iter().all(is_readable);
    if args.place.json() {
        out::line(&as_json(&found, ok).to_string())?;
    } else {
        out::line(&text(&found, ok))?;
    }
    Ok(if ok { Exit::OK } else { Exit::FAILURE })
}

/// A lake in a folder that is not there would be made by looking at it.
fn is_there(url: &str) -> std::io::Result<bool> {
    let folder = url.strip_prefix("file://").unwrap_or(url);
    if folder.contains("://") {
        return Ok(!url.starts_with("memory:"));
    }
    Path::new(folder).try_exists()
}

fn is_readable(layout: &FoundLayout) -> bool {
    match layout.verdict() {
        Verdict::Current | Verdict::Older => true,
        Verdict::Newer | Verdict::Unreadable => false,
    }
}

/// What there is to say of one format.
fn advice(layout: &FoundLayout) -> String {
    let change = layout.change.clone();
    match layout.verdict() {
        Verdict::Current => change.unwrap_or_else(|| "stays as it is".to_owned()),
        Verdict::Older => {
            change.unwrap_or_else(|| format!("is read; next written in version {}", layout.known))
        }
        Verdict::Newer => format!(
            "REFUSED: this weir reads up to {}; use the newer weir, or a copy from before its upgrade",
            layout.known
        ),
        Verdict::Unreadable => {
            "UNREADABLE: damaged; for the log, `weir wal check` says more".into()
        }
    }
}

fn word(layout: &FoundLayout) -> &'static str {
    match layout.verdict() {
        Verdict::Current => "current",
        Verdict::Older => "older",
        Verdict::Newer => "newer",
        Verdict::Unreadable => "unreadable",
    }
}

fn as_json(found: &[FoundLayout], ok: bool) -> Value {
    let lines: Vec<Value> = found
        .iter()
        .map(|layout| {
            json!({
                "format": layout.format,
                "file": layout.file,
                "files": layout.files,
                "found": layout.found,
                "known": layout.known,
                "verdict": word(layout),
                "readable": is_readable(layout),
                "change": layout.change,
            })
        })
        .collect();
    json!({ "version": env!("CARGO_PKG_VERSION"), "ok": ok, "formats": lines })
}

fn text(found: &[FoundLayout], ok: bool) -> String {
    let mut out = String::new();
    if found.is_empty() {
        return "nothing is there yet; this weir begins anew".to_owned();
    }
    for layout in found {
        let version = layout.found.map_or("?".to_owned(), |v| v.to_string());
        let more = match layout.files {
            1 => String::new(),
            files => format!(" (and {} more)", files - 1),
        };
        out.push_str(&format!(
            "{:<26} version {version:<3} {}{more}\n{:<26} {}\n",
            layout.format,
            layout.file,
            "",
            advice(layout)
        ));
    }
    out.push_str(if ok {
        "this weir reads all of it; nothing was changed"
    } else {
        "this weir must not be started on it; nothing was changed"
    });
    out
}
