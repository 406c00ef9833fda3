//! `weir cost explain ID`: the stored spans of a trace, and what the rules make of them.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use clap::ValueEnum;
use weir_transforms::PriceList;
use weir_transforms::trace::{Fact, Shared, SpanId, TraceId, explain};

use super::render::{self, Explained};
use crate::app::arrivals::cell;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::query::rows;
use crate::cli::remote::Remote;
use crate::client::Client;

/// Rows that are asked for at once: far below what a server answers by default, so that a long trace
/// is read whole.
const PAGE_ROWS: usize = 20_000;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// How the explanation is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The trace's id, 32 hex digits.
    #[arg(value_name = "TRACE_ID")]
    id: String,
}

/// How the explanation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree for people.
    Text,
    /// One JSON object.
    Json,
}

/// Runs it; exit code 1 where there is no such trace.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let id = TraceId::parse(args.id.trim());
    let trace = id.ok_or_else(|| anyhow::anyhow!("a trace id is 32 hex digits"))?;
    let client = args.remote.client()?;
    let mut stored = Stored::default();
    read(&client, trace, &mut stored).await?;
    if stored.facts.is_empty() {
        out::complain(&format!(
            "weir: there is no trace {trace} among the stored spans"
        ));
        return Ok(Exit::FAILURE);
    }
    let prices = PriceList::standard()?;
    let explanation = explain(&stored.facts, &prices);
    let explained = Explained {
        trace,
        explanation: &explanation,
        names: &stored.names,
        list: prices.name(),
        facts: &stored.facts,
    };
    match args.format {
        Format::Text => out::bytes(render::text(&explained).as_bytes())?,
        Format::Json => out::line(&render::json(&explained).to_string())?,
    }
    Ok(Exit::OK)
}

/// What is stored of a trace.
#[derive(Debug, Default)]
struct Stored {
    facts: Vec<Fact>,
    names: HashMap<SpanId, String>,
    shared: Shared,
}

impl Stored {
    /// Takes the rows of a page; gives the span of the last one.
    fn take(&mut self, rows: &RecordBatch) -> anyhow::Result<Option<SpanId>> {
        let facts: Vec<Fact> = Fact::read(rows, &mut self.shared)?
            .map(|(_, _, fact)| fact)
            .collect();
        let last = facts.last().map(|fact| fact.span);
        let names = rows.column_by_name("name");
        for (row, fact) in facts.iter().enumerate() {
            let name = names.and_then(|column| cell(column.as_ref(), row));
            let name = name.and_then(|n| n.as_str().map(str::to_owned));
            self.names.insert(fact.span, name.unwrap_or_default());
        }
        self.facts.extend(facts);
        Ok(last)
    }
}

/// Reads all stored spans of `trace`, page by page.
async fn read(client: &Client, trace: TraceId, stored: &mut Stored) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let sql = statement(trace, after);
        let (page, cut) = rows(client, &sql).await?;
        let count: usize = page.iter().map(RecordBatch::num_rows).sum();
        let mut last = after;
        for batch in &page {
            last = stored.take(batch)?.or(last);
        }
        if count < PAGE_ROWS && !cut {
            return Ok(());
        }
        // Copies of the last span may be on the next page, so that it is asked for again.
        let next = last.and_then(|span| span.0.checked_sub(1)).map(SpanId);
        anyhow::ensure!(
            next.is_some() && next > after,
            "one span of the trace fills a whole answer; its trace cannot be read"
        );
        if let Some(last) = last {
            stored.facts.retain(|fact| fact.span != last);
        }
        after = next;
    }
}

/// The columns that facts need, and the names, of the spans behind `after`.
fn statement(trace: TraceId, after: Option<SpanId>) -> String {
    let columns: Vec<&str> = Fact::columns().collect();
    let after = after.map_or_else(String::new, |span| format!(" AND span_id > '{span}'"));
    format!(
        "SELECT name, {} FROM spans WHERE trace_id = '{trace}'{after} \
         ORDER BY span_id, content_key, received_at LIMIT {PAGE_ROWS}",
        columns.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_names_ids_as_columns_hold_them() {
        let sql = statement(TraceId(255), Some(SpanId(1)));
        assert!(sql.contains("trace_id = '000000000000000000000000000000ff'"));
        assert!(sql.contains("span_id > '0000000000000001'"));
        assert!(sql.contains("usage_input_tokens") && sql.contains("agent_name"));
    }
}
