//! `weir explain`: how weir reads what it is sent.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use arrow_array::{Array as _, RecordBatch};
use arrow_cast::display::array_value_to_string;
use clap::Subcommand;
use serde_json::{Map, Value, json};
use weir_ingest::decode::Acceptance;
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_model::{Clock as _, SystemClock, TenantId};
use weir_transforms::{ColumnSource, Enricher, Explained};

use crate::app::{parts, prices};
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::Place;
use crate::cli::tail::out_of;

/// The first bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What can be explained.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Say of each span in an OTLP file which source filled which column.
    Span(Args),
}

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The body of an export request: OTLP/JSON or protobuf, also with gzip.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// At whose prices.
    #[arg(long, value_name = "TENANT", default_value = "local")]
    tenant: String,
    #[command(flatten)]
    place: Place,
}

/// Runs it.
pub(crate) fn run(command: Command) -> anyhow::Result<Exit> {
    let Command::Span(args) = command;
    let config = args.place.config()?;
    let tenant = TenantId::new(&args.tenant)?;
    let tariff = prices::tariff_of(&config, &tenant)?;
    let additions = parts::additions(&config)?;
    let enricher = Enricher::new(&additions, std::sync::Arc::clone(&tariff))
        .context("the attribute mapping cannot be used")?;
    let limits = parts::decode_limits(&config);
    let most = u64::try_from(limits.decoded_bytes_max).unwrap_or(u64::MAX);
    let body = read(&args.file, most)?;
    let at = Acceptance {
        tenant,
        received_at_us: SystemClock.now_us(),
    };
    let decoded = decode_traces(&body, encoding(&body), &at, &limits);
    let decoded = decoded.with_context(|| format!("{} is no OTLP", args.file.display()))?;
    if let Some(reason) = &decoded.reason {
        out::complain(&format!("weir: some spans are refused: {reason}"));
    }
    let explained = enricher.explain_spans_at(&decoded.rows, &tariff)?;
    if args.place.json() {
        out::line(&serde_json::to_string_pretty(&as_json(&explained)?)?)?;
    } else {
        out::bytes(text(&explained)?.as_bytes())?;
    }
    Ok(Exit::OK)
}

/// The file's bytes, decompressed to at most `most`.
fn read(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("{shown} cannot be read"))?;
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(&*bytes).take(most.saturating_add(1));
    reader
        .read_to_end(&mut plain)
        .with_context(|| format!("{shown} is damaged gzip"))?;
    anyhow::ensure!(
        u64::try_from(plain.len()).unwrap_or(u64::MAX) <= most,
        "{shown} is larger than `limits.decoded` once decompressed"
    );
    Ok(plain)
}

fn encoding(body: &[u8]) -> OtlpEncoding {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match body.trim_ascii_start().first() {
        // A request of protobuf begins with the tag of its one field, a line feed.
        Some(b'{' | b'[') if !body.starts_with(b"\n") => OtlpEncoding::Json,
        Some(b'{') if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => {
            OtlpEncoding::Json
        }
        _ => OtlpEncoding::Protobuf,
    }
}

/// One column of one span: its value, where it has one, and where from.
struct Shown<'e> {
    source: &'e ColumnSource,
    value: Option<String>,
}

/// The columns of row `at` that say something.
fn columns<'e>(
    rows: &RecordBatch,
    sources: &'e [ColumnSource],
    at: usize,
) -> anyhow::Result<Vec<Shown<'e>>> {
    let mut all = Vec::new();
    for source in sources {
        let column = rows.column_by_name(source.column);
        let column = column.filter(|c| c.is_valid(at));
        let value = column.map(|c| array_value_to_string(c, at)).transpose()?;
        if value.is_some() || source.dropped.is_some() {
            all.push(Shown { source, value });
        }
    }
    Ok(all)
}

/// Where from, in words.
fn whence(source: &ColumnSource) -> String {
    match source.rank {
        Some(rank) => format!("{} (source {rank})", out_of(&source.source)),
        None => format!("from {}", source.source),
    }
}

fn field(rows: &RecordBatch, name: &str, at: usize) -> anyhow::Result<String> {
    let column = rows.column_by_name(name).context("a column is missing")?;
    Ok(array_value_to_string(column, at)?)
}

fn text(explained: &Explained) -> anyhow::Result<String> {
    let rows = &explained.rows;
    let mut out = String::new();
    for (at, sources) in explained.sources.iter().enumerate() {
        let (id, name) = (field(rows, "span_id", at)?, field(rows, "name", at)?);
        let scope = field(rows, "scope_name", at)?;
        let scope = match scope.as_str() {
            "" => String::new(),
            scope => format!("  scope {}", out_of(scope)),
        };
        out.push_str(&format!("span {id}  {}{scope}\n", out_of(&name)));
        for Shown { source, value } in columns(rows, sources, at)? {
            let from = whence(source);
            let line = match (value, &source.dropped) {
                (Some(value), _) => {
                    format!("  {:<28} {:<32} {from}\n", source.column, out_of(&value))
                }
                (None, dropped) => {
                    let said = dropped.as_deref().unwrap_or_default();
                    let note = format!("- ({said}, not kept)");
                    format!("  {:<28} {note:<32} {from}\n", source.column)
                }
            };
            out.push_str(&line);
        }
        out.push('\n');
    }
    if explained.sources.is_empty() {
        out.push_str("there is no span in it\n");
    }
    Ok(out)
}

fn as_json(explained: &Explained) -> anyhow::Result<Value> {
    let rows = &explained.rows;
    let mut spans = Vec::new();
    for (at, sources) in explained.sources.iter().enumerate() {
        let mut filled = Map::new();
        for Shown { source, value } in columns(rows, sources, at)? {
            let entry = json!({
                "value": value,
                "source": source.source,
                "rank": source.rank,
                "not_kept": source.dropped,
            });
            filled.insert(source.column.to_owned(), entry);
        }
        spans.push(json!({
            "trace_id": field(rows, "trace_id", at)?,
            "span_id": field(rows, "span_id", at)?,
            "name": field(rows, "name", at)?,
            "columns": filled,
        }));
    }
    Ok(json!({ "spans": spans }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(name: &str) -> Explained {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/otlp/captured");
        let body = read(&path.join(name), 1 << 26).unwrap();
        let at = Acceptance {
            tenant: TenantId::local(),
            received_at_us: 1_795_300_000_000_000,
        };
        let limits = weir_ingest::decode::Limits::default();
        let rows = decode_traces(&body, encoding(&body), &at, &limits).unwrap();
        let enricher = Enricher::standard().unwrap();
        let tariff = weir_transforms::Tariff::standard().unwrap();
        enricher.explain_spans_at(&rows.rows, &tariff).unwrap()
    }

    #[test]
    fn json_protobuf_and_gzip_are_explained_alike() {
        let name = "18_semconv_genai_latest_skills_mcp";
        let json = as_json(&explained(&format!("{name}.canonical.json"))).unwrap();
        let plain = as_json(&explained(&format!("{name}.pb"))).unwrap();
        let zipped = as_json(&explained(&format!("{name}.pb.gz"))).unwrap();
        assert_eq!(plain, zipped);
        let of = |spans: &Value| spans["spans"].as_array().unwrap().len();
        assert_eq!(of(&json), of(&plain));
        assert!(of(&json) > 3);
    }

    #[test]
    fn each_column_says_its_value_and_its_source() {
        let explained = explained("01_openai_v2_content_span.canonical.json");
        let json = as_json(&explained).unwrap();
        let spans = json["spans"].as_array().unwrap();
        let call = spans
            .iter()
            .find(|s| s["columns"]["op_kind"]["value"] == "llm")
            .unwrap();
        let column = |name: &str| &call["columns"][name];
        assert_eq!(column("op_name")["source"], "gen_ai.operation.name");
        assert_eq!(column("op_name")["rank"], 1);
        assert_eq!(column("op_kind")["source"], "op_name");
        assert_eq!(column("usage_input_tokens")["not_kept"], Value::Null);
        assert!(
            column("cost_usd")["value"]
                .as_str()
                .unwrap()
                .starts_with("0.")
        );
        let shown = text(&explained).unwrap();
        assert!(
            shown.contains("gen_ai.operation.name (source 1)"),
            "{shown}"
        );
    }

    #[test]
    fn usage_that_was_not_kept_is_shown_as_such() {
        let json = as_json(&explained("15_strands_agent_skills.canonical.json")).unwrap();
        let spans = json["spans"].as_array().unwrap();
        let aggregates = spans.iter().map(|s| &s["columns"]);
        let aggregates = aggregates.filter(|c| c["usage_flags"]["value"] == "[aggregate]");
        let said: Vec<_> = aggregates.map(|c| &c["usage_input_tokens"]).collect();
        assert!(!said.is_empty());
        for usage in said {
            assert!(usage["not_kept"].is_string(), "{usage}");
            assert_eq!(usage["value"], Value::Null);
        }
    }
}
