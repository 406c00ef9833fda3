//! `GET /v1/observability/costs?tag=`: cost by what senders tag their calls with.
//!
//! A tag that a rollup knows as a dimension is read from sums. Any other is read, at the moment of the
//! question, from the attributes of the spans that are booked: a tag can be thought of after the
//! calls were made, and none has to be announced. So it tells of spans that are still stored; what was
//! booked of others, or of other sources, is `unallocated`.

use std::fmt::Write as _;

use axum::http::StatusCode;
use serde_json::Value;
use weir_model::TenantId;
use weir_queries::{Dimension, QueryLimits, RollupSums};

use super::{Asked, Group};
use crate::app::Node;
use crate::app::arrivals::cell;
use crate::http::refusal::Refusal;
use crate::http::rollups::answer::spell;
use crate::http::rollups::question::bad;
use crate::usd;

/// The longest name of a tag, in bytes, as the senders' product has it.
const NAME_MAX: usize = 60;
/// The longest value, in characters, as the senders' product has it.
const VALUE_MAX: usize = 120;
const UNALLOCATED: &str = "unallocated";

/// What stands before a tag's name as the senders' product has it.
const OWN: &str = "allocation.tag.";
/// What stands before a tag's name in the attributes of a span, by sender; the first that is said
/// counts. The resource's own counts where the span says none.
const BEFORE: [&str; 9] = [
    OWN,
    "metadata.",
    "traceloop.association.properties.",
    "lmnr.association.properties.",
    "langfuse.observation.metadata.",
    "langfuse.trace.metadata.",
    "langsmith.metadata.",
    "ai.telemetry.metadata.",
    "ai.settings.context.",
];

/// A tag that was asked for.
#[derive(Debug)]
pub(super) struct Tag {
    name: String,
    dimension: Option<Dimension>,
}

impl Tag {
    /// Reads its name.
    ///
    /// # Errors
    ///
    /// 400 for what is the name of no tag.
    pub(super) fn read(name: String) -> Result<Self, Refusal> {
        let dimension = Dimension::from_name(&name);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let named = !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(plain);
        if !named || dimension.is_some_and(Dimension::is_time) {
            let text = "`tag` must be a dimension of a rollup (skill, team, user, project, ...) or \
                        the name of a tag: up to 60 letters, digits, `_`, `-` and `.`";
            return Err(bad(text));
        }
        Ok(Self { name, dimension })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The dimension of that name, if there is one.
    pub(super) fn dimension(&self) -> Option<Dimension> {
        self.dimension
    }

    /// Its value in a row of spans, in SQL. The name holds nothing that SQL would take for its own.
    fn value(&self) -> String {
        let own = BEFORE
            .iter()
            .map(|before| format!("attributes['{before}{}']", self.name));
        let of_resource = format!("resource_attributes['{OWN}{}']", self.name);
        let all = own.chain([of_resource]);
        let all: Vec<String> = all.map(|at| format!("nullif({at}, '')")).collect();
        format!("left(coalesce({}), {VALUE_MAX})", all.join(", "))
    }

    /// The sums by value of what is booked of spans that have the tag.
    fn sql(&self, asked: &Asked) -> String {
        let told = within("start_time", asked);
        let mut booked = within("event_time", asked);
        for (dimension, value) in &asked.only {
            let column = if *dimension == Dimension::Agent {
                "agent_name"
            } else {
                "cost_center"
            };
            let _ = write!(booked, " AND {column} = '{}'", value.replace('\'', "''"));
        }
        let value = self.value();
        format!(
            "WITH told AS (SELECT trace_id, span_id, content_key, max({value}) AS value FROM spans \
             WHERE {value} IS NOT NULL{told} GROUP BY trace_id, span_id, content_key) \
             SELECT value, sum(CAST(sign AS BIGINT)) AS calls, \
             sum(sign * coalesce(usage_input_tokens, 0)) AS input_tokens, \
             sum(sign * coalesce(usage_output_tokens, 0)) AS output_tokens, \
             CAST(sum(CAST(CASE WHEN sign < 0 THEN -cost_usd ELSE cost_usd END AS DECIMAL(38, 12))) \
             AS VARCHAR) AS cost_usd, \
             sum(CASE WHEN cost_usd IS NULL THEN CAST(sign AS BIGINT) ELSE 0 END) AS unpriced_calls \
             FROM cost_ledger AS l JOIN told AS t ON l.trace_id = t.trace_id \
             AND l.span_id = t.span_id AND l.content_key = t.content_key \
             WHERE l.source = 'span'{booked} GROUP BY value"
        )
    }
}

/// A condition on a time, behind others.
fn within(column: &str, asked: &Asked) -> String {
    let mut sql = String::new();
    for (sign, bound) in [(">=", asked.since_us), ("<", asked.until_us)] {
        if let Some(time) = bound.and_then(spell) {
            let _ = write!(sql, " AND {column} {sign} TIMESTAMP '{time}'");
        }
    }
    sql
}

/// The groups of a tag that is no dimension, the most expensive first; what of `totals` has none is
/// in the one that is unallocated.
///
/// # Errors
///
/// As every question of rows: it is refused where the spans of the time asked for are too many to be
/// held against the bookings.
pub(super) async fn grouped(
    node: &Node,
    tenant: &TenantId,
    asked: &Asked,
    (tag, totals): (&Tag, &RollupSums),
) -> Result<Value, Refusal> {
    let sql = tag.sql(asked);
    let limits = QueryLimits::default();
    let answer = Box::pin(node.engine.query(tenant, &sql, &limits)).await?;
    if answer.truncated {
        let text = "the tag has more values than an answer may have rows; ask for a shorter time";
        return Err(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "query_rows",
            text,
        ));
    }
    let mut groups: Vec<(String, Sums)> = Vec::new();
    let mut rest = Sums {
        calls: totals.count("calls"),
        input: totals.count("usage_input_tokens"),
        output: totals.count("usage_output_tokens"),
        cost: totals.known_usd("cost_usd"),
        unpriced: totals.count("unpriced_calls"),
    };
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let value = |name: &str| cell(batch.column_by_name(name)?.as_ref(), row);
            let count = |name| value(name).and_then(|n| n.as_i64()).unwrap_or(0);
            let cost = value("cost_usd").and_then(|c| usd::parse(c.as_str()?));
            let sums = Sums {
                calls: count("calls"),
                input: count("input_tokens"),
                output: count("output_tokens"),
                cost: cost.unwrap_or(0),
                unpriced: count("unpriced_calls"),
            };
            rest.take(&sums);
            let key = value("value").and_then(|v| Some(v.as_str()?.to_owned()));
            if sums != Sums::default() {
                groups.push((key.unwrap_or_default(), sums));
            }
        }
    }
    if rest != Sums::default() {
        groups.push((UNALLOCATED.to_owned(), rest));
    }
    groups.sort_by(|a, b| b.1.cost.cmp(&a.1.cost).then_with(|| a.0.cmp(&b.0)));
    let shown = groups.iter().take(asked.limit);
    Ok(shown.map(|(key, sums)| sums.group(key).json()).collect())
}

/// The sums of a group.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    calls: i64,
    input: i64,
    output: i64,
    cost: i128,
    unpriced: i64,
}

impl Sums {
    /// Takes `part` out.
    fn take(&mut self, part: &Self) {
        self.calls -= part.calls;
        self.input -= part.input;
        self.output -= part.output;
        self.cost -= part.cost;
        self.unpriced -= part.unpriced;
    }

    fn group<'a>(&self, key: &'a str) -> Group<'a> {
        Group {
            key,
            calls: self.calls,
            input_tokens: self.input,
            output_tokens: self.output,
            cost: self.cost,
            unpriced_calls: self.unpriced,
        }
    }
}
