//! One telemetry event as a row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use weir_model::schema::MONEY;

use crate::decode::instant::{Odd, put_time};
use crate::decode::table::{Cell, Table};
use crate::decode::{Acceptance, money};

/// Text columns and the members that say them.
const TEXTS: &[(&str, &str)] = &[
    ("tenant_claimed", "tenant_id"),
    ("skill_name", "skill_id"),
    ("skill_version", "skill_version"),
    ("archetype_id", "archetype_id"),
    ("user_id", "user_id"),
    ("provider_raw", "llm_platform"),
    ("model", "llm_model"),
    ("error_type", "error_code"),
];

/// More tokens than any call has; beyond lies garbage.
const TOKENS_MAX: i128 = 100_000_000_000;

/// One, in units of the schema's scale.
const ONE: i128 = 10_i128.pow(MONEY.1.unsigned_abs() as u32);

/// An event: its members, each as it was sent; of a name that stands twice the last.
#[derive(Debug)]
pub(super) struct Event<'e> {
    raw: &'e str,
    members: BTreeMap<String, &'e RawValue>,
}

/// What a member says.
enum Said<T> {
    Nothing,
    /// Something that cannot be.
    Odd,
    Value(T),
}

impl<'e> Event<'e> {
    /// Reads an event; `None` for what is no object.
    pub(super) fn read(raw: &'e RawValue) -> Option<Self> {
        let raw = raw.get();
        let members = serde_json::from_str(raw).ok()?;
        Some(Self { raw, members })
    }

    /// A digest of all members by name, each framed by its length, so that no two events look
    /// alike.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = blake3::Hasher::new();
        let mut feed = |part: &str| {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            digest.update(&length.to_le_bytes());
            digest.update(part.as_bytes());
        };
        for (name, value) in &self.members {
            feed(name);
            feed(value.get());
        }
        *digest.finalize().as_bytes()
    }

    /// Adds the event under `id`.
    pub(super) fn push(&self, table: &mut Table, id: &str, at: &Acceptance) {
        table.set("event_id", Cell::Text(id));
        for (column, member) in TEXTS {
            table.text(column, self.text(member).as_deref());
        }
        let time = self.text("ts").map(|text| match self.is_text("ts") {
            true => Value::String(text.into_owned()),
            false => serde_json::from_str(&text).unwrap_or(Value::String(text.into_owned())),
        });
        put_time(table, time.as_ref(), Odd::NoOffset, at);
        let mut flags = Vec::new();
        let mut flag = |name: &str| {
            if !flags.iter().any(|f| f == name) {
                flags.push(name.to_owned());
            }
        };
        match self.amount("cost_usd_estimate") {
            Said::Value(amount) => table.set("cost_reported_usd", Cell::Money(amount)),
            Said::Odd => flag("cost_invalid"),
            Said::Nothing => {}
        }
        for (column, member) in [
            ("usage_input_tokens", "tokens_in"),
            ("usage_output_tokens", "tokens_out"),
        ] {
            match self.count(member) {
                Said::Value(count) => table.set(column, Cell::Int64(count)),
                Said::Odd => flag("tokens_invalid"),
                Said::Nothing => {}
            }
        }
        match self.millis("latency_ms") {
            Said::Value(millis) => table.set("duration_ms", Cell::Float64(millis)),
            Said::Odd => flag("latency_invalid"),
            Said::Nothing => {}
        }
        match self.text("success").as_deref() {
            Some("true") => table.set("success", Cell::Bool(true)),
            Some("false") => table.set("success", Cell::Bool(false)),
            Some(_) => flag("success_invalid"),
            None => {}
        }
        table.set("flags", Cell::Texts(flags));
        table.set("raw", Cell::Text(self.raw));
        table.end_row(at);
    }

    fn is_text(&self, member: &str) -> bool {
        let value = self.members.get(member);
        value.is_some_and(|value| value.get().starts_with('"'))
    }

    /// What a member says, as text: text without its quotes, all else as it was sent. Empty text,
    /// like `null`, says nothing.
    fn text(&self, member: &str) -> Option<Cow<'e, str>> {
        let raw = self.members.get(member)?.get();
        if raw == "null" {
            return None;
        }
        let text = match raw.starts_with('"') {
            true => Cow::Owned(serde_json::from_str::<String>(raw).ok()?),
            false => Cow::Borrowed(raw),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// US dollars, in units of the schema's scale.
    fn amount(&self, member: &str) -> Said<i128> {
        let Some(text) = self.text(member) else {
            return Said::Nothing;
        };
        let amount = money::parse(text.trim()).filter(|amount| *amount >= 0);
        amount.map_or(Said::Odd, Said::Value)
    }

    /// A count: whole, however it is written.
    fn count(&self, member: &str) -> Said<i64> {
        match self.amount(member) {
            Said::Value(units) if units % ONE == 0 && units / ONE <= TOKENS_MAX => {
                i64::try_from(units / ONE).map_or(Said::Odd, Said::Value)
            }
            Said::Value(_) | Said::Odd => Said::Odd,
            Said::Nothing => Said::Nothing,
        }
    }

    fn millis(&self, member: &str) -> Said<f64> {
        let Some(text) = self.text(member) else {
            return Said::Nothing;
        };
        let millis = text.trim().parse::<f64>().ok();
        let millis = millis.filter(|millis| millis.is_finite() && *millis >= 0.0);
        millis.map_or(Said::Odd, Said::Value)
    }
}
