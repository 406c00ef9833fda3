//! What captured traces cost, compared with a slow reference reading of the same rules.
//!
//! `mapping_golden` compares what a span says by itself; here it is what follows from its trace: who
//! is billed, whose duplicate a span is, the skill and the context that it inherits, and the call
//! with its gaps filled. Then the sums by skill, agent and model.
//!
//! The reference fills gaps in the order in which spans arrived, and from nested twins only. The rule
//! is that nested and sibling twins fill them alike, in the order of start and span id, whatever came
//! first; where a golden depends on the order of arrival or on the shape, the rule wins. Of all rows
//! that is one column of one span, [`RULE_WINS`].

#![cfg(test)]

#[path = "support/testdata.rs"]
mod testdata;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits};
use weir_model::TenantId;
use weir_transforms::trace::{
    Attribution, Booking, CostStatus, Explanation, Fact, Inherited, Shared, SpanId, TraceId,
    UsageCount, Verdict, Why, book, explain,
};
use weir_transforms::{Enricher, Tariff};

/// Where the rule and a golden differ: the file, the span, the column, and ours.
///
/// The sibling that the provider's SDK made says how much of the cache is kept for an hour (nothing);
/// the billed span does not.
const RULE_WINS: (&str, &str, &str, i64) = (
    "08_openllmetry_openai_anthropic.canonical.json",
    "a30533869a074457",
    "usage_cache_write_1h_tokens",
    0,
);

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The facts of a captured request, by trace.
fn facts(name: &str) -> BTreeMap<TraceId, Vec<Fact>> {
    let place = if name.starts_with('j') {
        "otlp/edge"
    } else {
        "otlp/captured"
    };
    let mut body = std::fs::read_to_string(testdata::path(place).join(name)).unwrap();
    if name.starts_with("j24") {
        // The body behind this golden also reported a cost, which the file that is kept does not.
        let attributes = "\"attributes\": [{\"key\": \"gen_ai.usage.input_tokens\"";
        let cost =
            r#""attributes": [{"key": "gen_ai.usage.cost", "value": {"doubleValue": 0.0123}},"#;
        let with = format!("{cost}{}", &attributes["\"attributes\": [".len()..]);
        assert_eq!(body.matches(attributes).count(), 1);
        body = body.replace(attributes, &with);
    }
    let at = Acceptance {
        tenant: TenantId::local(),
        received_at_us: 1_795_300_000_000_000,
    };
    let decoded =
        decode_traces(body.as_bytes(), OtlpEncoding::Json, &at, &Limits::default()).unwrap();
    let rows = Enricher::standard()
        .unwrap()
        .enrich_spans(decoded.rows)
        .unwrap();
    let mut traces: BTreeMap<TraceId, Vec<Fact>> = BTreeMap::new();
    let mut shared = Shared::default();
    let mut facts = Fact::read(&rows, &mut shared).unwrap();
    for (tenant, trace, fact) in facts.by_ref() {
        assert_eq!(tenant, TenantId::local().as_str());
        traces.entry(trace).or_default().push(fact);
    }
    assert_eq!(facts.unreadable(), 0);
    traces
}

/// An amount of 10^-12 dollars in 10^-9 of them, as the goldens are rounded.
fn nano(amount: i128) -> i128 {
    let (whole, rest) = (amount / 1000, amount % 1000);
    whole + i128::from(rest > 500 || rest == 500 && whole % 2 == 1)
}

/// An amount of 10^-9 dollars as the goldens write it.
fn dollars(nano: i128) -> Value {
    json!(format!(
        "{}.{:09}",
        nano / 1_000_000_000,
        nano % 1_000_000_000
    ))
}

/// What differs between a golden row and ours.
struct Differences<'a> {
    of: String,
    golden: &'a Map<String, Value>,
    found: Vec<String>,
}

impl Differences<'_> {
    /// Compares a column of the golden row, which lacks it where it is NULL.
    fn compare(&mut self, column: &str, ours: Option<Value>) {
        let golden = self.golden.get(column);
        if golden != ours.as_ref() {
            let of = &self.of;
            self.found
                .push(format!("{of} {column}: golden {golden:?}, ours {ours:?}"));
        }
    }

    fn verdict(&mut self, why: &Why) {
        let (billable, of, rule) = match &why.verdict {
            Verdict::Booked(_) => (true, None, None),
            Verdict::NoCall { .. } | Verdict::Fetched => (false, None, None),
            Verdict::Nested { of, .. } => (false, Some(of), Some("nested")),
            Verdict::SameResponse { booked } => (false, Some(booked), Some("response_id")),
        };
        self.compare("billable", Some(json!(billable)));
        self.compare("duplicate_of", of.map(|id| json!(id.to_string())));
        self.compare("duplicate_rule", rule.map(|rule| json!(rule)));
    }

    fn attribution(&mut self, why: &Why) {
        let skill = why.skill.as_ref();
        self.compare("skill_name", skill.map(|s| json!(*s.value)));
        self.compare("skill_attribution", Some(json!(why.attribution.name())));
        for which in Inherited::ALL {
            let found = why.context.iter().find(|(column, _)| *column == which);
            self.compare(which.name(), found.map(|(_, from)| json!(*from.value)));
            let golden = self.golden.get("inherited").and_then(Value::as_array);
            let golden = golden.is_some_and(|list| list.contains(&json!(which.name())));
            let ours = found.is_some_and(|(_, from)| from.span != why.span);
            if golden != ours {
                let of = &self.of;
                self.found
                    .push(format!("{of} {} inherited: {ours}", which.name()));
            }
        }
    }

    fn booking(&mut self, booking: &Booking) {
        for count in UsageCount::ALL {
            let (file, span, column, ours) = RULE_WINS;
            if self.of == format!("{file} {span}") && column == count.name() {
                assert_eq!(self.golden.get(column), None, "the golden knows it by now");
                assert_eq!(booking.usage.get(count), Some(ours));
                self.found.push("the rule won".into());
                continue;
            }
            self.compare(count.name(), booking.usage.get(count).map(|n| json!(n)));
        }
        let model = ["model_response", "model_request"];
        let model = model.into_iter().find_map(|c| self.golden.get(c)).cloned();
        if model.as_ref() != booking.model.as_ref().map(|m| json!(**m)).as_ref() {
            self.found.push(format!("{} model {model:?}", self.of));
        }
        self.compare("cost_usd", booking.computed.map(|c| dollars(nano(c))));
        self.compare(
            "cost_reported_usd",
            booking.reported.map(|c| dollars(nano(c))),
        );
        // The goldens keep "computed" where a reported cost stands beside it; here that is used.
        if booking.reported.is_none() {
            self.compare("cost_status", Some(json!(booking.status.name())));
            assert_eq!(booking.cost, booking.computed);
        } else {
            assert_eq!(booking.status, CostStatus::Reported);
            assert_eq!(booking.cost, booking.reported);
        }
        let disagrees = booking.disagrees.filter(|d| *d);
        self.compare("cost_disagrees", disagrees.map(|d| json!(d)));
        let entry = booking.price_ref.as_deref().and_then(|r| r.split_once(':'));
        let entry = entry.and_then(|(_, entry)| entry.split_once('/'));
        self.compare("price_provider", entry.map(|(provider, _)| json!(provider)));
        self.compare("price_model", entry.map(|(_, model)| json!(model)));
    }
}

fn check_rows(golden_file: &Path) -> (usize, Vec<String>) {
    let golden = json_of(golden_file);
    let name = golden["file"].as_str().unwrap();
    let prices = Tariff::standard().unwrap();
    let traces = facts(name);
    let explained: BTreeMap<TraceId, Explanation> = traces
        .iter()
        .map(|(trace, facts)| (*trace, explain(facts, &prices)))
        .collect();
    for (trace, explanation) in &explained {
        let booked = book(&traces[trace], &prices);
        assert!(
            explanation.bookings().eq(&booked),
            "{name}: book and explain differ"
        );
    }
    let mut found = Vec::new();
    let rows = golden["rows"].as_array().unwrap();
    for row in rows {
        let trace = TraceId::parse(row["trace_id"].as_str().unwrap()).unwrap();
        let span = SpanId::parse(row["span_id"].as_str().unwrap()).unwrap();
        let why = explained[&trace].spans.iter().find(|w| w.span == span);
        let why = why.unwrap();
        let mut differences = Differences {
            of: format!("{name} {span}"),
            golden: row.as_object().unwrap(),
            found: Vec::new(),
        };
        differences.verdict(why);
        differences.attribution(why);
        let fact = traces[&trace].iter().find(|f| f.span == span).unwrap();
        differences.compare("op_kind", Some(json!(fact.kind.name())));
        differences.compare("tool_role", fact.role.map(|role| json!(role.name())));
        if let Verdict::Booked(booking) = &why.verdict {
            differences.booking(booking);
        }
        found.extend(differences.found);
    }
    (rows.len(), found)
}

#[test]
fn every_captured_trace_is_billed_and_attributed_as_the_reference_says() {
    let files = testdata::files("mapping");
    let checked: Vec<(usize, Vec<String>)> = files.iter().map(|f| check_rows(f)).collect();
    let spans: usize = checked.iter().map(|(rows, _)| rows).sum();
    let wrong: Vec<String> = checked.into_iter().flat_map(|(_, wrong)| wrong).collect();
    let (won, wrong): (Vec<String>, Vec<String>) =
        wrong.into_iter().partition(|w| w == "the rule won");
    assert_eq!(won.len(), 1);
    assert!(
        wrong.is_empty(),
        "{} differences\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!((files.len(), spans), (12, 66));
}

/// Sums of a skill, an agent and a model, as the goldens have them.
#[derive(Default)]
struct Sums {
    calls: i64,
    errors: i64,
    unpriced: i64,
    tokens: [i64; 4],
    computed: i128,
    effective: i128,
}

impl Sums {
    fn add(&mut self, booking: &Booking) {
        self.calls += 1;
        self.errors += i64::from(booking.error_type.is_some());
        self.unpriced += i64::from(booking.status == CostStatus::Unpriced);
        for (sum, count) in self.tokens.iter_mut().zip([
            UsageCount::Input,
            UsageCount::CacheRead,
            UsageCount::CacheWrite,
            UsageCount::Output,
        ]) {
            *sum += booking.usage.get(count).unwrap_or_default();
        }
        self.computed += nano(booking.computed.unwrap_or_default());
        self.effective += nano(booking.cost.unwrap_or_default());
    }

    fn json(&self, (skill, agent, model): &(String, String, String)) -> Value {
        let [input, cache_read, cache_write, output] = self.tokens;
        json!({
            "skill": skill, "agent": agent, "model": model,
            "calls": self.calls, "errors": self.errors, "unpriced_calls": self.unpriced,
            "input_tokens": input, "cache_read_tokens": cache_read,
            "cache_write_tokens": cache_write, "output_tokens": output,
            "cost_computed": dollars(self.computed), "cost_effective": dollars(self.effective),
        })
    }
}

#[test]
fn cost_per_skill_is_the_references_to_the_last_digit_that_it_keeps() {
    let golden = json_of(&testdata::path("rollup/cost_per_skill.json"));
    let prices = Tariff::standard().unwrap();
    let golden = golden.as_object().unwrap();
    for (name, expected) in golden {
        let mut sums: BTreeMap<(String, String, String), Sums> = BTreeMap::new();
        for facts in facts(name).values() {
            for booking in book(facts, &prices) {
                assert_eq!(
                    booking.skill.is_none(),
                    booking.attribution == Attribution::None
                );
                let or = |value: &Option<std::sync::Arc<str>>, none: &str| {
                    value.as_deref().unwrap_or(none).to_owned()
                };
                let key = (
                    or(&booking.skill, "(unattributed)"),
                    or(&booking.agent_name, "(none)"),
                    or(&booking.model, "(unknown)"),
                );
                sums.entry(key).or_default().add(&booking);
            }
        }
        let ours: Vec<Value> = sums.iter().map(|(key, sums)| sums.json(key)).collect();
        assert_eq!(&Value::Array(ours), expected, "{name}");
    }
    assert_eq!(golden.len(), 13);
}
