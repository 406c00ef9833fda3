//! `weir cost explain ID`: the stored spans of a trace, and what the rules make of them.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use clap::ValueEnum;
use weir_transforms::Prices as _;
use weir_transforms::trace::{Fact, Shared, SpanId, TraceId, explain};

use super::prices::Known;
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
    let booked = booked_lists(&client, trace).await?;
    let named = stored
        .facts
        .iter()
        .filter_map(|f| f.call.as_ref()?.list.as_deref());
    let named = named.chain(booked.values().map(String::as_str)).collect();
    let prices = Known::ask(&client, named).await?;
    stored.price_as_booked(&booked, &prices);
    let explanation = explain(&stored.facts, &prices);
    let explained = Explained {
        trace,
        explanation: &explanation,
        names: &stored.names,
        notes: &prices.notes,
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
    /// Prices anew what the ledger has booked under another list than the span was priced by when it
    /// came: `weir reprice` has changed it.
    fn price_as_booked(&mut self, booked: &HashMap<SpanId, String>, prices: &Known) {
        for fact in &mut self.facts {
            let list = booked.get(&fact.span);
            let own = fact.call.as_ref().and_then(|call| call.list.as_deref());
            if let Some(list) = list.filter(|list| own.is_some_and(|own| own != list.as_str())) {
                fact.reprice(prices.under(Some(list)));
            }
        }
    }

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

/// By which prices the calls of `trace` are booked.
async fn booked_lists(client: &Client, trace: TraceId) -> anyhow::Result<HashMap<SpanId, String>> {
    let mut lists = HashMap::new();
    let mut after = None;
    loop {
        let (page, cut) = rows(client, &bookings(trace, after)).await?;
        let count: usize = page.iter().map(RecordBatch::num_rows).sum();
        let mut last = after;
        for batch in &page {
            let text = |name: &str, row| {
                let value = cell(batch.column_by_name(name)?.as_ref(), row)?;
                value.as_str().map(str::to_owned)
            };
            for row in 0..batch.num_rows() {
                let span = text("span_id", row).and_then(|id| SpanId::parse(&id));
                let list = text("price_ref", row);
                let list = list.and_then(|name| Some(name.split_once(':')?.0.to_owned()));
                lists.extend(span.zip(list));
                last = span.or(last);
            }
        }
        if (count < PAGE_ROWS && !cut) || last == after {
            return Ok(lists);
        }
        after = last;
    }
}

/// What is booked and not taken back, of the spans behind `after`: at most one booking each.
fn bookings(trace: TraceId, after: Option<SpanId>) -> String {
    format!(
        "SELECT span_id, price_ref FROM cost_ledger WHERE trace_id = '{trace}'{} \
         AND price_ref IS NOT NULL GROUP BY span_id, price_ref HAVING sum(sign) > 0 \
         ORDER BY span_id LIMIT {PAGE_ROWS}",
        behind(after)
    )
}

fn behind(after: Option<SpanId>) -> String {
    after.map_or_else(String::new, |span| format!(" AND span_id > '{span}'"))
}

/// The columns that facts need, and the names, of the spans behind `after`.
fn statement(trace: TraceId, after: Option<SpanId>) -> String {
    let columns: Vec<&str> = Fact::columns().collect();
    format!(
        "SELECT name, {} FROM spans WHERE trace_id = '{trace}'{} \
         ORDER BY span_id, content_key, received_at LIMIT {PAGE_ROWS}",
        columns.join(", "),
        behind(after)
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
