//! An explanation as text and as JSON.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use weir_transforms::trace::{
    Attribution, Booking, CostStatus, Explanation, From, SpanId, TraceId, UsageCount, Verdict, Why,
};

use crate::cli::tail::out_of;

/// Deeper spans are not indented further: a chain of 100,000 would else be mostly blanks.
const INDENTED_MAX: usize = 40;

/// An explanation, with what is needed to show it.
#[derive(Debug)]
pub(super) struct Explained<'a> {
    pub(super) trace: TraceId,
    pub(super) explanation: &'a Explanation,
    /// The spans' names.
    pub(super) names: &'a HashMap<SpanId, String>,
    /// What the reader should know of this explanation as a whole.
    pub(super) notes: &'a [String],
}

/// 10^-12 dollars, exactly, with two digits behind the point at least.
fn dollars(amount: i128) -> String {
    let unit = 10_u128.pow(12);
    let (sign, amount) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
    let cents = format!("{:012}", amount % unit);
    let (kept, rest) = cents.split_at(2);
    format!(
        "{sign}{}.{kept}{}",
        amount / unit,
        rest.trim_end_matches('0')
    )
}

/// Sums of what is booked.
struct Totals {
    calls: usize,
    cost: i128,
    without: usize,
}

impl Explained<'_> {
    fn totals(&self) -> Totals {
        let booked = || self.explanation.bookings();
        Totals {
            calls: booked().count(),
            cost: booked().filter_map(|b| b.cost).sum(),
            without: booked().filter(|b| b.cost.is_none()).count(),
        }
    }

    fn name(&self, span: SpanId) -> &str {
        self.names.get(&span).map_or("", String::as_str)
    }
}

/// The explanation as a tree.
pub(super) fn text(explained: &Explained<'_>) -> String {
    let Totals {
        calls,
        cost,
        without,
    } = explained.totals();
    let spans = &explained.explanation.spans;
    let mut text = format!(
        "trace {}: {} spans, {calls} booked, ${}",
        explained.trace,
        spans.len(),
        dollars(cost)
    );
    if without > 0 {
        let _ = write!(text, ", {without} of them without a cost");
    }
    text.push('\n');
    let mut children: HashMap<Option<SpanId>, Vec<&Why>> = HashMap::new();
    for why in spans {
        children.entry(why.parent).or_default().push(why);
    }
    // An explicit stack: traces can be deeper than the thread's own.
    let mut open: Vec<(&Why, usize)> = Vec::new();
    let mut push = |open: &mut Vec<(_, _)>, parent: Option<SpanId>, depth: usize| {
        let below = children.remove(&parent).unwrap_or_default();
        open.extend(below.into_iter().rev().map(|why| (why, depth)));
    };
    push(&mut open, None, 0);
    while let Some((why, depth)) = open.pop() {
        node(explained, why, depth, &mut text);
        push(&mut open, Some(why.span), depth + 1);
    }
    for note in explained.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn node(explained: &Explained<'_>, why: &Why, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth.min(INDENTED_MAX));
    let deeper = match depth {
        0..=INDENTED_MAX => String::new(),
        _ => format!("(depth {depth}) "),
    };
    let name = out_of(explained.name(why.span));
    let _ = write!(
        text,
        "{indent}{deeper}{} {name} [{}] {}",
        why.span,
        why.kind.name(),
        verdict(why)
    );
    for remark in remarks(why) {
        let _ = write!(text, "; {remark}");
    }
    text.push('\n');
    if let Verdict::Booked(booking) = &why.verdict {
        for line in booked(why, booking) {
            let _ = writeln!(text, "{indent}    {line}");
        }
    }
}

fn verdict(why: &Why) -> String {
    let rule = why.verdict.rule();
    match &why.verdict {
        Verdict::Booked(booking) => {
            let cost = booking
                .cost
                .map_or("no cost".to_owned(), |c| format!("${}", dollars(c)));
            format!("BOOKED {cost} ({rule})")
        }
        Verdict::NoCall { aggregate: true } => {
            format!("not billed: repeats the usage of its calls ({rule}, U1)")
        }
        Verdict::NoCall { aggregate: false } => format!("no model call ({rule})"),
        Verdict::Fetched => format!("not billed: fetches an answer made before ({rule})"),
        Verdict::Nested { of, booked } if of == booked => {
            format!("not billed: the transport of {of} ({rule})")
        }
        Verdict::Nested { of, booked } => {
            format!("not billed: the transport of {of}, booked as {booked} ({rule})")
        }
        Verdict::SameResponse { booked } => {
            format!("not billed: the same answer as {booked} ({rule})")
        }
    }
}

/// What is odd about a span.
fn remarks(why: &Why) -> Vec<String> {
    let mut remarks = Vec::new();
    if why.conflict {
        remarks.push(format!(
            "{} copies that differ, of which the one with the smallest content key counts (B0)",
            why.copies
        ));
    } else if why.copies > 1 {
        remarks.push(format!("came {} times (B0)", why.copies));
    }
    if why.cut {
        remarks.push("is its own ancestor; taken as a root".to_owned());
    }
    if why.parent_missing {
        remarks.push("its parent is not stored".to_owned());
    }
    remarks
}

/// The lines below a booked span.
fn booked(why: &Why, booking: &Booking) -> Vec<String> {
    let mut lines = vec![price(booking)];
    let tokens: Vec<String> = UsageCount::ALL
        .into_iter()
        .filter_map(|which| {
            let count = booking.usage.get(which)?;
            let name = which.name().trim_start_matches("usage_");
            Some(format!("{name} {count}"))
        })
        .collect();
    if !tokens.is_empty() {
        lines.push(tokens.join(", "));
    }
    lines.push(skill(why));
    let context: Vec<String> = why
        .context
        .iter()
        .map(|(which, from)| {
            format!(
                "{} {}{}",
                which.name(),
                out_of(&from.value),
                source(why, from)
            )
        })
        .collect();
    if !context.is_empty() {
        lines.push(context.join(", "));
    }
    let filled: Vec<String> = why
        .filled
        .iter()
        .map(|filled| format!("{} from {}", filled.gap.column(), filled.by))
        .collect();
    if !filled.is_empty() {
        lines.push(format!("filled by twins: {}", filled.join(", ")));
    }
    lines
}

fn price(booking: &Booking) -> String {
    let computed = booking.computed.zip(booking.price_ref.as_deref());
    let computed = computed.map(|(amount, by)| format!("computed ${} by {by}", dollars(amount)));
    let reported = booking
        .reported
        .map(|r| format!("reported ${}", dollars(r)));
    let parts: Vec<String> = match booking.status {
        CostStatus::Reported => reported.into_iter().chain(computed).collect(),
        CostStatus::Computed => computed.into_iter().chain(reported).collect(),
        CostStatus::NoUsage => vec!["no usage is known".to_owned()],
        CostStatus::InvalidUsage => vec!["its usage cannot be".to_owned()],
        CostStatus::Unpriced => {
            let model = booking.model.as_deref().unwrap_or("(unknown)");
            vec![format!("no price is known for {}", out_of(model))]
        }
    };
    let disagrees = if booking.disagrees == Some(true) {
        "; they differ by more than 2 %"
    } else {
        ""
    };
    format!("{}{disagrees}", parts.join(", "))
}

fn skill(why: &Why) -> String {
    let Some(from) = &why.skill else {
        return "skill (unattributed) (K5)".to_owned();
    };
    let rule = match why.attribution {
        Attribution::Direct => "K1",
        Attribution::Metadata | Attribution::ToolArgs | Attribution::Resource => "K2",
        Attribution::Ancestor => "K3",
        Attribution::LastLoaded => "K4",
        Attribution::None => "K5",
    };
    let (name, how) = (out_of(&from.value), why.attribution.name());
    format!("skill {name}, {how}{} ({rule})", source(why, from))
}

/// Where a value comes from, unless from the span itself.
fn source(why: &Why, from: &From) -> String {
    if from.span == why.span {
        String::new()
    } else {
        format!(" of {}", from.span)
    }
}

/// The explanation as one JSON object; amounts are decimal texts.
pub(super) fn json(explained: &Explained<'_>) -> Value {
    let totals = explained.totals();
    let spans = explained.explanation.spans.iter();
    json!({
        "trace_id": explained.trace.to_string(),
        "booked_calls": totals.calls,
        "calls_without_cost": totals.without,
        "cost_usd": dollars(totals.cost),
        "notes": explained.notes,
        "spans": spans.map(|why| span(explained, why)).collect::<Vec<_>>(),
    })
}

fn span(explained: &Explained<'_>, why: &Why) -> Value {
    let from = |from: &From| json!({"value": *from.value, "from": from.span.to_string()});
    let context = why.context.iter();
    let filled = why.filled.iter();
    let (verdict, of, booked) = match &why.verdict {
        Verdict::Booked(_) => ("booked", None, Some(why.span)),
        Verdict::NoCall { aggregate: true } => ("aggregate", None, None),
        Verdict::NoCall { aggregate: false } => ("no_call", None, None),
        Verdict::Fetched => ("fetched", None, None),
        Verdict::Nested { of, booked } => ("nested", Some(*of), Some(*booked)),
        Verdict::SameResponse { booked } => ("same_response", Some(*booked), Some(*booked)),
    };
    let booking = match &why.verdict {
        Verdict::Booked(booking) => Some(booking_json(booking)),
        Verdict::NoCall { .. }
        | Verdict::Fetched
        | Verdict::Nested { .. }
        | Verdict::SameResponse { .. } => None,
    };
    let text = |span: Option<SpanId>| span.map(|span| span.to_string());
    json!({
        "span_id": why.span.to_string(),
        "parent_span_id": text(why.parent),
        "parent_missing": why.parent_missing,
        "name": explained.name(why.span),
        "op_kind": why.kind.name(),
        "verdict": verdict,
        "rule": why.verdict.rule(),
        "duplicate_of": text(of),
        "booked_as": text(booked),
        "copies": why.copies,
        "conflict": why.conflict,
        "cycle_cut": why.cut,
        "skill": why.skill.as_ref().map(from),
        "skill_attribution": why.attribution.name(),
        "context": context
            .map(|(which, value)| (which.name().to_owned(), from(value)))
            .collect::<Map<String, Value>>(),
        "filled": filled
            .map(|f| json!({"column": f.gap.column(), "from": f.by.to_string()}))
            .collect::<Vec<_>>(),
        "booking": booking,
    })
}

fn booking_json(booking: &Booking) -> Value {
    let amount = |amount: Option<i128>| amount.map(dollars);
    let usage = UsageCount::ALL.into_iter().filter_map(|which| {
        let count = booking.usage.get(which)?;
        Some((which.name().to_owned(), json!(count)))
    });
    json!({
        "cost_usd": amount(booking.cost),
        "cost_status": booking.status.name(),
        "cost_reported_usd": amount(booking.reported),
        "cost_computed_usd": amount(booking.computed),
        "cost_disagrees": booking.disagrees,
        "price_ref": booking.price_ref.as_deref(),
        "provider": booking.provider.as_deref(),
        "model": booking.model.as_deref(),
        "usage": usage.collect::<Map<String, Value>>(),
        "error_type": booking.error_type.as_deref(),
        "flags": booking.flags.words().collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let cases = [
            (0, "0.00"),
            (1, "0.000000000001"),
            (2_365_000_000, "0.002365"),
            (1_500_000_000_000, "1.50"),
            (-20_058_450_000, "-0.02005845"),
        ];
        for (amount, text) in cases {
            assert_eq!(dollars(amount), text);
        }
    }
}
