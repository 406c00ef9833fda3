//! Periods whose cost was held against a provider's bill, and noted as such.
//!
//! A mark is of whole days, of providers and, where it says so, of models, as the ledger names them.
//! It lies in the state, for all nodes. What it covers is no estimate any more: answers say so.

use anyhow::{Context as _, ensure};
use chrono::{DateTime, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_model::TenantId;
use weir_queries::Reconciled;
use weir_store::NoteKind;

use crate::app::Node;
use crate::http::rollups::answer::spell;
use crate::usd;

/// The most names of providers, or of models, of one mark.
const NAMES_MAX: usize = 20;

/// A mark as it is sent and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// The providers.
    pub(crate) providers: Vec<String>,
    /// The models; none means all of these providers.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// The first day, UTC.
    pub(crate) since: NaiveDate,
    /// The day after the last one.
    pub(crate) until: NaiveDate,
    /// The BLAKE3 hash of the file that the ledger was held against, in hex.
    pub(crate) file_hash: String,
    /// What the provider bills, as decimal text; nothing where its file has no amounts.
    #[serde(default)]
    pub(crate) provider_usd: Option<String>,
    /// What the ledger had then, as decimal text.
    pub(crate) ledger_usd: String,
}

impl Mark {
    /// Reads what was sent.
    ///
    /// # Errors
    ///
    /// What is wrong with it. A day that is not over cannot be marked: calls are still to come.
    pub(crate) fn read(body: &[u8], now_us: i64) -> anyhow::Result<Self> {
        let mark: Self = serde_json::from_slice(body)
            .ok()
            .context("the body is no mark: providers, since, until, file_hash and ledger_usd")?;
        let today = DateTime::from_timestamp_micros(now_us).context("no time")?;
        ensure!(mark.since < mark.until, "`until` must lie after `since`");
        ensure!(
            mark.until <= today.date_naive(),
            "only days that are over can be marked: `until` is at most today, UTC"
        );
        ensure!(
            NaiveDate::from_ymd_opt(2000, 1, 1).is_some_and(|first| first <= mark.since),
            "`since` is before there was anything to bill"
        );
        let named = |names: &[String]| {
            names.len() <= NAMES_MAX && names.iter().all(|n| !n.is_empty() && n.len() <= 200)
        };
        ensure!(
            !mark.providers.is_empty() && named(&mark.providers) && named(&mark.models),
            "`providers` has 1 to {NAMES_MAX} names, `models` up to {NAMES_MAX}"
        );
        let hex = mark.file_hash.len() == 64;
        ensure!(
            hex && mark.file_hash.bytes().all(|b| b.is_ascii_hexdigit()),
            "`file_hash` must be the 64 hex digits of a BLAKE3 hash"
        );
        let amounts = mark.provider_usd.iter().chain([&mark.ledger_usd]);
        for amount in amounts {
            ensure!(usd::parse(amount).is_some(), "amounts are decimal texts");
        }
        Ok(mark)
    }

    /// What tells it from others of its tenant: what it covers.
    pub(crate) fn id(&self) -> String {
        let covers = json!([self.providers, self.models, self.since, self.until]).to_string();
        let hash = blake3::hash(covers.as_bytes()).to_hex();
        hash.get(..16).unwrap_or_default().to_owned()
    }

    /// As it lies in the state.
    pub(crate) fn note(&self) -> (String, String) {
        // Texts and days: there is nothing that JSON could not say.
        (self.id(), serde_json::to_string(self).unwrap_or_default())
    }

    /// As answers show it, marked at that time.
    pub(crate) fn json(&self, at_us: Option<i64>) -> Value {
        let provider = self.provider_usd.as_deref().and_then(usd::parse);
        let ledger = usd::parse(&self.ledger_usd).unwrap_or(0);
        json!({
            "id": self.id(),
            "providers": self.providers,
            "models": self.models,
            "since": self.since,
            "until": self.until,
            "file_hash": self.file_hash,
            "provider_usd": provider.map(usd::text),
            "ledger_usd": usd::text(ledger),
            "difference_usd": provider.map(|p| usd::text(p - ledger)),
            "marked_at": at_us.and_then(spell),
        })
    }

    fn covers(&self) -> Option<Reconciled> {
        let at = |day: NaiveDate| Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros());
        Some(Reconciled {
            providers: self.providers.clone(),
            models: self.models.clone(),
            from_us: at(self.since)?,
            until_us: at(self.until)?,
        })
    }
}

/// The marks of a tenant, with the time of each. What a newer weir wrote in a form that this one
/// does not read is passed over: its periods go on as estimates.
pub(crate) fn marks(node: &Node, tenant: &TenantId) -> Vec<(i64, Mark)> {
    let notes = node.access.notes(NoteKind::Reconciled, Some(tenant));
    let read = notes.iter().filter_map(|note| {
        let mark = serde_json::from_str(&note.body).ok()?;
        Some((note.at_us, mark))
    });
    read.collect()
}

/// What was held against a bill, for a rollup of that tenant.
pub(crate) fn covered(node: &Node, tenant: &TenantId) -> Vec<Reconciled> {
    let marks = marks(node, tenant);
    marks.iter().filter_map(|(_, mark)| mark.covers()).collect()
}
