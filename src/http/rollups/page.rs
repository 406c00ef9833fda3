//! Pages of a rollup: a cursor names the last group that was seen, not how many there were, so
//! that a page begins where the last one ended also where bookings came between.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use weir_queries::{Rollup, RollupSums};

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The keys of its last group.
    k: Vec<String>,
    /// Its cost in 10^-12 US dollars, as text since JSON numbers are shorter.
    c: Option<String>,
    /// Its calls.
    n: i64,
}

impl Place {
    /// After `row`.
    pub(crate) fn after(row: &RollupSums) -> Self {
        Self {
            k: row.keys.clone(),
            c: row.usd("cost_usd").map(|c| c.to_string()),
            n: row.count("calls"),
        }
    }

    /// A cursor that was given out; `None` for anything else.
    pub(crate) fn read(cursor: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The same as a cursor.
    pub(crate) fn cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether `row` comes after it in the order of `rollup`.
    pub(crate) fn is_before(&self, rollup: &Rollup, row: &RollupSums) -> bool {
        let periods = |keys: &[String]| -> Vec<String> {
            let all = rollup.by.iter().zip(keys).filter(|(d, _)| d.is_time());
            all.map(|(_, key)| key.clone()).collect()
        };
        let cost = self.c.as_ref().and_then(|c| c.parse::<i128>().ok());
        let order = periods(&self.k)
            .cmp(&periods(&row.keys))
            .then_with(|| row.usd("cost_usd").cmp(&cost))
            .then_with(|| row.count("calls").cmp(&self.n))
            .then_with(|| self.k.cmp(&row.keys));
        order == Ordering::Less
    }
}
