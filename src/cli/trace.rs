//! `weir trace ID`: one trace as a tree.

use std::collections::{HashMap, HashSet};

use arrow_array::RecordBatch;

use crate::app::arrivals::cell;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::query::rows;
use crate::cli::remote::Remote;
use crate::cli::tail::out_of;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// The trace's id, 32 hex digits; or its first ones.
    #[arg(value_name = "ID")]
    id: String,
}

/// A span as the tree shows it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Span {
    id: String,
    parent: Option<String>,
    name: String,
    facts: Vec<String>,
    error: Option<String>,
}

/// Runs it; exit code 1 where there is no such trace.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let id = args.id.trim().to_ascii_lowercase();
    let hex = id.len() >= 4 && id.len() <= 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    anyhow::ensure!(
        hex,
        "a trace id is 32 hex digits; its first four are the least to search by"
    );
    let client = args.remote.client()?;
    let (found, cut) = rows(&client, &statement(&id)).await?;
    let spans: Vec<(String, Span)> = found.iter().flat_map(read).collect();
    let traces: HashSet<&str> = spans.iter().map(|(trace, _)| trace.as_str()).collect();
    let Some(trace) = traces.iter().next() else {
        out::complain(&format!(
            "weir: there is no trace {id} among the stored spans"
        ));
        return Ok(Exit::FAILURE);
    };
    if traces.len() > 1 {
        let mut names: Vec<&str> = traces.into_iter().collect();
        names.sort_unstable();
        out::complain(&format!(
            "weir: several traces begin so: {}",
            names.join(", ")
        ));
        return Ok(Exit::FAILURE);
    }
    let s = if spans.len() == 1 { "" } else { "s" };
    out::line(&format!("trace {trace}, {} span{s}", spans.len()))?;
    let spans: Vec<Span> = spans.into_iter().map(|(_, span)| span).collect();
    out::bytes(tree(&spans).as_bytes())?;
    if cut {
        out::complain("weir: the trace is longer than one answer; its last spans are not shown");
    }
    Ok(Exit::OK)
}

/// The id is hex digits only, so it can stand in the statement.
fn statement(id: &str) -> String {
    let wanted = if id.len() == 32 {
        format!("trace_id = '{id}'")
    } else {
        format!("trace_id LIKE '{id}%'")
    };
    format!(
        "SELECT trace_id, span_id, parent_span_id, name, op_kind, service_name, agent_name, \
         skill_name, tool_name, model, usage_input_tokens, usage_output_tokens, cost_usd, \
         CAST(duration_nanos AS DOUBLE) / 1e6 AS duration_ms, status_code, status_message, error_type \
         FROM spans WHERE {wanted} ORDER BY start_time, start_time_unix_nano, span_id"
    )
}

fn read(batch: &RecordBatch) -> Vec<(String, Span)> {
    let text = |name: &str, row: usize| {
        let value = cell(batch.column_by_name(name)?.as_ref(), row)?;
        Some(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        )
    };
    (0..batch.num_rows())
        .map(|row| {
            let mut facts = Vec::new();
            for name in [
                "op_kind",
                "service_name",
                "agent_name",
                "skill_name",
                "tool_name",
                "model",
            ] {
                let short = name.trim_end_matches("_name").replace("op_kind", "kind");
                facts.extend(text(name, row).map(|v| format!("{short}={}", out_of(&v))));
            }
            let tokens = (
                text("usage_input_tokens", row),
                text("usage_output_tokens", row),
            );
            if let (Some(input), output) = tokens {
                facts.push(format!(
                    "tokens={input}/{}",
                    output.unwrap_or_else(|| "?".into())
                ));
            }
            let number = |name: &str| text(name, row).and_then(|v| v.parse::<f64>().ok());
            facts.extend(number("cost_usd").map(|v| format!("${v:.6}")));
            facts.extend(number("duration_ms").map(|v| format!("{v:.1}ms")));
            let failed = text("status_code", row).is_some_and(|code| code == "error");
            let reason = text("error_type", row).or_else(|| text("status_message", row));
            let error = reason
                .filter(|_| failed)
                .or_else(|| failed.then(String::new));
            let span = Span {
                id: text("span_id", row).unwrap_or_default(),
                parent: text("parent_span_id", row),
                name: text("name", row).unwrap_or_default(),
                facts,
                error,
            };
            (text("trace_id", row).unwrap_or_default(), span)
        })
        .collect()
}

/// The spans as a tree; a span whose parent is not stored stands at the top and says so.
fn tree(spans: &[Span]) -> String {
    let known: HashSet<&str> = spans.iter().map(|s| s.id.as_str()).collect();
    let mut children: HashMap<&str, Vec<&Span>> = HashMap::new();
    let mut roots = Vec::new();
    for span in spans {
        match span.parent.as_deref() {
            Some(parent) if known.contains(parent) && parent != span.id => {
                children.entry(parent).or_default().push(span);
            }
            _ => roots.push(span),
        }
    }
    let mut out = String::new();
    let mut seen = HashSet::new();
    // An explicit stack: traces can be deeper than the thread's own.
    let mut open: Vec<(&Span, String, bool, bool)> = Vec::new();
    for root in roots {
        open.push((root, String::new(), true, true));
        while let Some((span, indent, last, top)) = open.pop() {
            if !seen.insert(std::ptr::from_ref(span)) {
                continue;
            }
            let branch = if top {
                ""
            } else if last {
                "`- "
            } else {
                "|- "
            };
            out.push_str(&format!("{indent}{branch}{}\n", line(span, top)));
            let below = if top {
                ""
            } else if last {
                "   "
            } else {
                "|  "
            };
            let below = format!("{indent}{below}");
            let list = children
                .get(span.id.as_str())
                .map_or(&[][..], Vec::as_slice);
            for (i, child) in list.iter().enumerate().rev() {
                open.push((child, below.clone(), i + 1 == list.len(), false));
            }
        }
    }
    let missing = spans.len().saturating_sub(seen.len());
    if missing > 0 {
        out.push_str(&format!(
            "({missing} spans are each other's parents and are not shown)\n"
        ));
    }
    out
}

fn line(span: &Span, top: bool) -> String {
    let mut line = out_of(&span.name);
    for fact in &span.facts {
        line.push(' ');
        line.push_str(fact);
    }
    if let Some(error) = &span.error {
        line.push_str(&format!(" ERROR {}", out_of(error)));
    }
    if top && span.parent.is_some() {
        line.push_str(" (its parent is not stored)");
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>) -> Span {
        Span {
            id: id.into(),
            parent: parent.map(str::to_owned),
            name: id.into(),
            ..Span::default()
        }
    }

    #[test]
    fn children_stand_below_their_parents_in_their_order() {
        let spans = [
            span("a", None),
            span("b", Some("a")),
            span("c", Some("b")),
            span("d", Some("a")),
            span("e", Some("gone")),
        ];
        let expected = "a\n|- b\n|  `- c\n`- d\ne (its parent is not stored)\n";
        assert_eq!(tree(&spans), expected);
    }

    #[test]
    fn a_circle_of_parents_ends_and_a_deep_trace_fits() {
        let circle = [span("a", Some("b")), span("b", Some("a"))];
        assert_eq!(
            tree(&circle),
            "(2 spans are each other's parents and are not shown)\n"
        );
        let ids: Vec<String> = (0..5_000).map(|i| i.to_string()).collect();
        let deep: Vec<Span> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| span(id, i.checked_sub(1).map(|p| ids[p].as_str())))
            .collect();
        assert_eq!(tree(&deep).lines().count(), 5_000);
    }
}
