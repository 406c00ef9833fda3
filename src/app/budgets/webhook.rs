//! Telling a webhook how budgets change.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::{Budget, Standing, State};
use crate::http::rollups::answer::spell;

/// How long a call of the webhook may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the webhook was told last of each budget. Before the first word a budget counts as on
/// track, so that nothing is posted of what is well.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(Arc<Budget>, Standing)>);

/// Something that the webhook does not know yet.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) state: State,
    pub(super) before: Standing,
}

impl Told {
    /// What differs from what was told.
    pub(super) fn news(&mut self, states: &[State]) -> Vec<Change> {
        self.0
            .retain(|(b, _)| states.iter().any(|s| s.budget.is_for_what(b)));
        let changes = states.iter().map(|state| {
            let told = self.0.iter().find(|(b, _)| b.is_for_what(&state.budget));
            Change {
                state: state.clone(),
                before: told.map_or(Standing::OnTrack, |(_, standing)| *standing),
            }
        });
        changes.filter(|c| c.before != c.state.standing).collect()
    }

    /// Notes that a change was taken.
    pub(super) fn done(&mut self, change: &Change) {
        self.0.retain(|(b, _)| !b.is_for_what(&change.state.budget));
        let budget = Arc::clone(&change.state.budget);
        self.0.push((budget, change.state.standing));
    }
}

/// Posts a change.
///
/// # Errors
///
/// Where no 2xx came back; it is to be posted again then. The address, which may hold a secret, is
/// in no message.
pub(super) async fn post(url: &str, change: &Change, now_us: i64) -> anyhow::Result<()> {
    let body = json!({
        "event": format!("budget.{}", change.state.standing.word()),
        "previous": change.before.word(),
        "at": spell(now_us),
        "tenant": change.state.budget.tenant.as_str(),
        "budget": change.state.json(),
    });
    let client = reqwest::Client::builder().timeout(TIMEOUT).build();
    let client = client.context("no client could be made")?;
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = answer.status();
    ensure!(status.is_success(), "the webhook answered {status}");
    Ok(())
}
