//! `weir ocsf validate FILE`: what a server would say of security events.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};
use weir_ingest::decode::Limits;
use weir_ingest::decode::ocsf::{Inspected, inspect};
use weir_ocsf::{DEFAULT_VERSION, Edition, Finding, Level};

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::Format;

/// How many findings of an event a line for people names.
const SHOWN_MAX: usize = 5;

/// What can be done with security events.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what is wrong with events, one line each; exit code 2 where one breaks its schema.
    Validate(Args),
}

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Files of events in any form that the server takes: one event, an array, a bundle, lines,
    /// objects one after the other, HEC. `-` or none is stdin.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Judge as a server with `ocsf.validation: strict` does.
    #[arg(long)]
    strict: bool,
    /// Warn also of recommended attributes that are missing.
    #[arg(long)]
    recommended: bool,
    /// How to print: text, or a JSON object a line for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How many events came out how.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    ok: usize,
    warn: usize,
    invalid: usize,
    refused: usize,
    errors: usize,
    warnings: usize,
}

/// Runs it.
pub(crate) fn run(command: &Command) -> anyhow::Result<Exit> {
    let Command::Validate(args) = command;
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() {
        stdin.as_slice()
    } else {
        args.files.as_slice()
    };
    let mut tally = Tally::default();
    for file in files {
        let name = file.display().to_string();
        let body = read(file).with_context(|| name.clone())?;
        // One file among many is named on each line.
        let shown = (files.len() > 1).then_some(name.as_str());
        let lines = args
            .lines(&body, shown, &mut tally)
            .with_context(|| name.clone());
        for line in lines? {
            out::line(&line)?;
        }
    }
    out::line(&match args.format {
        Format::Text => tally.text(),
        Format::Json => tally.json().to_string(),
    })?;
    Ok(tally.exit())
}

impl Args {
    /// A line for each event of a body.
    fn lines(
        &self,
        body: &[u8],
        file: Option<&str>,
        tally: &mut Tally,
    ) -> anyhow::Result<Vec<String>> {
        let mut limits = Limits::default();
        limits.ocsf.strict = self.strict;
        limits.ocsf.recommended = self.recommended;
        let mut lines = Vec::new();
        inspect(body, &limits, |event| {
            tally.add(&event);
            lines.push(match self.format {
                Format::Text => text(&event, file),
                Format::Json => json_of(&event, file).to_string(),
            });
        })?;
        Ok(lines)
    }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return std::fs::read(file);
    }
    let mut body = Vec::new();
    std::io::stdin().lock().read_to_end(&mut body)?;
    Ok(body)
}

/// The verdict: that of the schema, or that the event would not be stored.
fn verdict(event: &Inspected) -> &'static str {
    if event.refused.is_some() {
        "refused"
    } else {
        event.report.status().as_str()
    }
}

fn class(event: &Inspected) -> String {
    let Some(uid) = event.class_uid else {
        return "no class".to_owned();
    };
    let caption = Edition::of(event.schema)
        .ok()
        .and_then(|edition| edition.class_caption(uid));
    match caption {
        Some(caption) => format!("{uid} {caption}"),
        None => uid.to_string(),
    }
}

fn text(event: &Inspected, file: Option<&str>) -> String {
    let file = file.map(|file| format!("{file} ")).unwrap_or_default();
    let schema = event.schema.unwrap_or(DEFAULT_VERSION);
    let (index, class, verdict) = (event.index, class(event), verdict(event));
    let mut line = format!("{file}{index}: {class}, OCSF {schema}: {verdict}");
    if let Some(refused) = event.refused {
        line.push_str(&format!(" ({})", refused.reason()));
    }
    let mut findings: Vec<&Finding> = event.report.findings.iter().collect();
    findings.sort_by_key(|finding| finding.code.level());
    for (place, finding) in findings.iter().take(SHOWN_MAX).enumerate() {
        line.push_str(if place == 0 { ": " } else { "; " });
        line.push_str(finding.code.as_str());
        if !finding.path.is_empty() {
            line.push_str(&format!(" at {}", finding.path));
        }
    }
    let all = event.report.errors + event.report.warnings;
    if all > SHOWN_MAX {
        line.push_str(&format!("; and {} more", all - SHOWN_MAX));
    }
    line
}

fn json_of(event: &Inspected, file: Option<&str>) -> Value {
    let of = |level: Level| -> Vec<Value> {
        let findings = event.report.findings.iter();
        findings
            .filter(|finding| finding.code.level() == level)
            .map(|finding| json!({"code": finding.code.as_str(), "path": finding.path}))
            .collect()
    };
    let mut line = json!({
        "index": event.index,
        "class_uid": event.class_uid,
        "schema": event.schema,
        "status": verdict(event),
        "errors": of(Level::Error),
        "warnings": of(Level::Warning),
    });
    if let Some(members) = line.as_object_mut() {
        if let Some(refused) = event.refused {
            members.insert("refused".into(), refused.code().into());
        }
        if let Some(file) = file {
            members.insert("file".into(), file.into());
        }
    }
    line
}

impl Tally {
    fn exit(&self) -> Exit {
        if self.errors + self.refused > 0 {
            Exit::INVALID
        } else {
            Exit::OK
        }
    }

    fn add(&mut self, event: &Inspected) {
        let count = match verdict(event) {
            "refused" => &mut self.refused,
            "ok" => &mut self.ok,
            "warn" => &mut self.warn,
            _ => &mut self.invalid,
        };
        *count += 1;
        self.errors += event.report.errors;
        self.warnings += event.report.warnings;
    }

    fn text(&self) -> String {
        format!(
            "{} events: {} ok, {} with warnings, {} invalid, {} refused; {} errors, {} warnings",
            self.ok + self.warn + self.invalid + self.refused,
            self.ok,
            self.warn,
            self.invalid,
            self.refused,
            self.errors,
            self.warnings
        )
    }

    fn json(&self) -> Value {
        json!({
            "events": self.ok + self.warn + self.invalid + self.refused,
            "ok": self.ok,
            "warn": self.warn,
            "invalid": self.invalid,
            "refused": self.refused,
            "errors": self.errors,
            "warnings": self.warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"{"class_uid":0,"category_uid":0,"activity_id":0,"type_uid":0,
        "severity_id":1,"time":1763719200000,
        "metadata":{"version":"1.8.0","product":{"name":"gateway"}}}"#;

    fn lines(body: &str, strict: bool, format: Format) -> (Vec<String>, Tally) {
        let args = Args {
            files: Vec::new(),
            strict,
            recommended: false,
            format,
        };
        let mut tally = Tally::default();
        let lines = args.lines(body.as_bytes(), None, &mut tally).unwrap();
        (lines, tally)
    }

    #[test]
    fn a_sound_event_is_told_with_its_class_and_its_version() {
        let (lines, tally) = lines(SOUND, true, Format::Text);
        assert_eq!(lines, ["0: 0 Base Event, OCSF 1.8.0: ok"]);
        assert_eq!(tally.exit(), Exit::OK);
        assert!(tally.text().starts_with("1 events: 1 ok"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_code_and_path_and_never_by_its_value() {
        let broken = SOUND.replace("\"severity_id\":1", "\"severity_id\":\"hidden\"");
        let body = format!(
            "{SOUND}\n{broken}\n{}",
            SOUND.replace("\"time\"", "\"when\"")
        );
        let (told, tally) = lines(&body, false, Format::Text);
        assert_eq!(
            told[1],
            "1: 0 Base Event, OCSF 1.8.0: invalid: attribute_wrong_type at severity_id; \
             attribute_enum_value_unknown at severity_id"
        );
        assert!(
            told[2].contains("refused (the event has no time"),
            "{}",
            told[2]
        );
        assert!(!told.concat().contains("hidden"));
        assert_eq!(tally.exit(), Exit::INVALID);
        let (strict, _) = lines(&body, true, Format::Text);
        assert!(strict[1].contains(": refused ("), "{}", strict[1]);
        let (json, tally) = lines(&body, false, Format::Json);
        let line: Value = serde_json::from_str(&json[1]).unwrap();
        assert_eq!(line["status"], "invalid");
        assert_eq!(line["errors"][0]["path"], "severity_id");
        assert_eq!(tally.json()["refused"], 1);
    }

    #[test]
    fn a_warning_alone_is_no_failure() {
        let odd = SOUND.replace(
            "\"severity_id\":1",
            "\"severity_id\":1,\"severity\":\"High\"",
        );
        let (lines, tally) = lines(&odd, true, Format::Text);
        assert!(lines[0].contains(": warn: attribute_enum_sibling_incorrect at severity"));
        assert_eq!(tally.exit(), Exit::OK);
    }
}
