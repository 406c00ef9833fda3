//! What traffic costs, as whoever made it knows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::catalog::Tokens;

/// How a call came by its skill, by the words of the cost ledger.
pub type Attribution = &'static str;

/// A call that a provider billed, once, however many spans report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The trace's id.
    pub trace: u128,
    /// The span that is to be booked.
    pub span: u64,
    /// The skill that it was made for, as far as the spans that are sent tell.
    pub skill: Option<String>,
    /// How they tell.
    pub attribution: Attribution,
    /// The agent that made it.
    pub agent: Option<String>,
    /// The user that it was made for.
    pub user: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The cost centre.
    pub cost_center: Option<String>,
    /// The model, as the call's own span and its twins name it.
    pub model: Option<String>,
    /// What is said of its usage; `None` where nothing is, or nothing that can be.
    pub tokens: Option<Tokens>,
    /// What the sender reports that it cost, in 10^-12 US dollars.
    pub reported: Option<i128>,
    /// What it costs by the list, in 10^-12 US dollars.
    pub computed: Option<i128>,
    /// `computed`, `reported`, `no_usage`, `invalid_usage` or `unpriced`.
    pub status: &'static str,
    /// It failed.
    pub failed: bool,
}

impl Call {
    /// The cost to book: what is reported, else what is computed.
    pub fn cost(&self) -> Option<i128> {
        self.reported.or(self.computed)
    }
}

/// Sums of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls.
    pub calls: i64,
    /// Those that failed.
    pub errors: i64,
    /// Those with usage but without a price, where none is reported either.
    pub unpriced: i64,
    /// Tokens.
    pub tokens: Tokens,
    /// Cost by the list, in 10^-12 US dollars.
    pub computed: i128,
    /// Cost as reported, in 10^-12 US dollars.
    pub reported: i128,
    /// Cost to book, in 10^-12 US dollars.
    pub cost: i128,
}

impl Sums {
    /// Adds a call.
    pub fn add(&mut self, call: &Call) {
        let tokens = call.tokens.unwrap_or_default();
        self.calls += 1;
        self.errors += i64::from(call.failed);
        self.unpriced += i64::from(call.status == "unpriced");
        self.tokens.input += tokens.input;
        self.tokens.cache_read += tokens.cache_read;
        self.tokens.cache_write += tokens.cache_write;
        self.tokens.output += tokens.output;
        self.tokens.reasoning += tokens.reasoning;
        self.computed += call.computed.unwrap_or_default();
        self.reported += call.reported.unwrap_or_default();
        self.cost += call.cost().unwrap_or_default();
    }

    fn json(&self) -> Value {
        json!({
            "calls": self.calls,
            "errors": self.errors,
            "unpriced_calls": self.unpriced,
            "input_tokens": self.tokens.input,
            "cache_read_tokens": self.tokens.cache_read,
            "cache_write_tokens": self.tokens.cache_write,
            "output_tokens": self.tokens.output,
            "reasoning_tokens": self.tokens.reasoning,
            "cost_computed_usd": dollars(self.computed),
            "cost_reported_usd": dollars(self.reported),
            "cost_usd": dollars(self.cost),
        })
    }
}

/// By tenant, skill, attribution, agent and model.
pub type Group = (
    String,
    Option<String>,
    Attribution,
    Option<String>,
    Option<String>,
);

/// What all traffic costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Spans that were sent at least once.
    pub spans: u64,
    /// Spans that were sent, copies counted.
    pub sent: u64,
    /// Requests.
    pub requests: u64,
    /// Traces.
    pub traces: u64,
    /// Over all calls.
    pub all: Sums,
    /// By group.
    pub groups: BTreeMap<Group, Sums>,
}

impl Totals {
    /// Adds a call of `tenant`.
    pub fn add(&mut self, tenant: &str, call: &Call) {
        self.all.add(call);
        let group = (
            tenant.to_owned(),
            call.skill.clone(),
            call.attribution,
            call.agent.clone(),
            call.model.clone(),
        );
        self.groups.entry(group).or_default().add(call);
    }

    /// As JSON: the sums over all, and by tenant, skill, attribution, agent and model. Amounts are
    /// decimal texts with all their twelve digits.
    pub fn json(&self) -> Value {
        let groups =
            self.groups
                .iter()
                .map(|((tenant, skill, attribution, agent, model), sums)| {
                    let mut row = json!({
                        "tenant": tenant,
                        "skill": skill.as_deref().unwrap_or("(unattributed)"),
                        "skill_attribution": attribution,
                        "agent": agent.as_deref().unwrap_or("(none)"),
                        "model": model.as_deref().unwrap_or("(unknown)"),
                    });
                    if let (Value::Object(row), Value::Object(more)) = (&mut row, sums.json()) {
                        row.extend(more);
                    }
                    row
                });
        json!({
            "spans": self.spans,
            "spans_sent": self.sent,
            "requests": self.requests,
            "traces": self.traces,
            "total": self.all.json(),
            "cost_per_skill": groups.collect::<Vec<_>>(),
        })
    }
}

/// 10^-12 dollars as dollars with twelve digits.
fn dollars(amount: i128) -> String {
    let unit = 10_i128.pow(12);
    format!("{}.{:012}", amount / unit, amount % unit)
}
