//! Who may send and ask: the tenant that a key stands for, and what it may use.
//!
//! Keys are looked up in memory; one task asks the state every second whether it was changed, by
//! whichever process or node, so that a key that is made or revoked anywhere counts here within
//! five seconds. Another one measures what tenants with a storage quota hold in the lake.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use tokio::task::JoinSet;
use weir_lake::{Lake, LakeError};
use weir_model::{Clock, Dataset, TenantId};
use weir_store::{Denied, Keys, Note, NoteKind, Scope, Scopes, StateConfig, StoreError};

use crate::app::Node;
use crate::app::parts;
use crate::app::quota::{Caller, Meters};
use crate::app::running::StartError;
use crate::config::Config;
use crate::http::auth::Sent;
use crate::http::refusal::Refusal;

/// How often the state is asked whether it was changed.
const REFRESH: Duration = Duration::from_secs(1);

/// How often a state that cannot be asked is complained about.
const COMPLAIN: u32 = 10;

/// How often storage is measured.
const MEASURE: Duration = Duration::from_secs(10);

/// How long a lake that single tenants have may take to be measured.
const OWN_LAKE_WAIT: Duration = Duration::from_secs(3);

/// How long one that holds a key is asked to wait while keys cannot be confirmed.
const UNCONFIRMED_WAIT: Duration = Duration::from_secs(2);

/// How long one that would change the state is asked to wait while it cannot be changed.
const STATE_WAIT: Duration = Duration::from_secs(5);

/// Knows the keys and what their holders have used.
#[derive(Debug)]
pub(crate) struct Access {
    keys: Arc<Keys>,
    always: bool,
    meters: Meters,
}

/// Where the configuration says that tenants, keys and quotas lie.
pub(crate) fn state_config(config: &Config) -> StateConfig {
    let set = |text: &String| (!text.is_empty()).then(|| text.clone());
    StateConfig {
        data_dir: config.data_dir.clone(),
        postgres_url: set(&config.state.postgres_url),
        postgres_ca_file: set(&config.state.postgres_ca_file).map(PathBuf::from),
        pepper_file: set(&config.state.pepper_file).map(PathBuf::from),
        grace: config.state.grace,
    }
}

impl Access {
    /// Opens the keys.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub(crate) async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let state = state_config(config);
        let what = match state.postgres_url {
            Some(_) => "the state in Postgres",
            None => "the keys in state.db",
        };
        // It blocks on a disk or on a network.
        let opened = tokio::task::spawn_blocking(move || Keys::connect(&state, clock)).await;
        let keys = opened.map_err(|_| StartError::Worker)?;
        let keys = keys.map_err(|error| StartError::State {
            what,
            source: error.into(),
        })?;
        Ok(Self {
            keys: Arc::new(keys),
            always: config.auth.require_key == "always",
            meters: Meters::new(config.quota.clone(), parts::size(config.query.concurrency)),
        })
    }

    /// The keys themselves.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What has been used.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Whether there is any key.
    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whose the credential `sent` is, if it may be used for `scope`; the local tenant where no key
    /// is wanted.
    ///
    /// # Errors
    ///
    /// 401 where a key is wanted and this is none; 403 where it is for something else; 503 where
    /// it could not be confirmed for too long.
    pub(crate) fn caller(&self, sent: Sent, scope: Scope) -> Result<Caller, Refusal> {
        if !self.always && self.keys.is_empty() {
            let tenant = TenantId::local();
            let quotas = self.keys.quotas(&tenant);
            return Ok(self.meters.caller(tenant, &quotas, None));
        }
        let text = match sent {
            Sent::Key(text) => text,
            Sent::Nothing => return Err(missing()),
            Sent::Malformed(why) => return Err(invalid("unauthorized", why)),
        };
        let who = self.keys.check(&text).map_err(denied)?;
        if !who.scopes.allow(scope) {
            tracing::debug!(key = who.key_id, scope = %Scopes::from(scope), "access.forbidden");
            return Err(forbidden(who.scopes, scope));
        }
        let quotas = self.keys.quotas(&who.tenant);
        Ok(self.meters.caller(who.tenant.clone(), &quotas, Some(&who)))
    }

    /// The notes of that kind: those of one tenant, or of all.
    pub(crate) fn notes(&self, kind: NoteKind, tenant: Option<&TenantId>) -> Vec<Note> {
        self.keys.notes(kind, tenant)
    }

    /// A number that is another one whenever something in the state has changed.
    pub(crate) fn version(&self) -> i64 {
        self.keys.version()
    }

    /// Keeps a note: it counts here at once, and on every node within five seconds.
    ///
    /// # Errors
    ///
    /// 409 where there are too many, 400 where it is too long, 503 where the state could not be
    /// changed; it does not count then.
    pub(crate) async fn put_note(
        &self,
        kind: NoteKind,
        tenant: &TenantId,
        note: (String, String),
    ) -> Result<(), Refusal> {
        let tenant = tenant.clone();
        self.on_state(move |keys| keys.put_note(kind, &tenant, note))
            .await
    }

    /// Drops a note; `false` where there is none.
    ///
    /// # Errors
    ///
    /// 503 where the state could not be changed; it counts on then.
    pub(crate) async fn drop_note(
        &self,
        kind: NoteKind,
        tenant: &TenantId,
        id: &str,
    ) -> Result<bool, Refusal> {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        self.on_state(move |keys| keys.drop_note(kind, &tenant, &id))
            .await
    }

    async fn on_state<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Keys) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let keys = Arc::clone(&self.keys);
        let done = tokio::task::spawn_blocking(move || work(&keys)).await;
        done.map_err(|_| Refusal::internal())?.map_err(|error| {
            let text = error.to_string();
            if matches!(error, StoreError::TooManyNotes) {
                return Refusal::new(StatusCode::CONFLICT, "too_many_set", text);
            }
            if matches!(error, StoreError::NoteSize) {
                return Refusal::new(StatusCode::BAD_REQUEST, "bad_setting", text);
            }
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(error, "state.change.failed");
            let text = "the state could not be changed just now; the server's log says why";
            Refusal::unavailable("state_unavailable", text, STATE_WAIT)
        })
    }

    /// Takes over what was changed in the state since.
    async fn refresh(&self) -> Result<(), String> {
        let keys = Arc::clone(&self.keys);
        let refreshed = tokio::task::spawn_blocking(move || keys.refresh()).await;
        let refreshed = refreshed.map_err(|error| error.to_string())?;
        refreshed.map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
        self.meters.forget_keys(|id| self.keys.holds(id));
        Ok(())
    }
}

/// Starts the tasks that keep what is known of keys and storage fresh, until the node stops.
pub(crate) fn keep(node: &Arc<Node>, tasks: &mut JoinSet<()>) {
    let own = Arc::clone(node);
    tasks.spawn(async move {
        let mut failures = 0_u32;
        while goes_on(&own, REFRESH).await {
            match own.access.refresh().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    if failures.is_multiple_of(COMPLAIN) {
                        tracing::warn!(error, "keys.refresh.failed");
                    }
                    failures = failures.saturating_add(1);
                }
            }
        }
    });
    let own = Arc::clone(node);
    tasks.spawn(async move {
        loop {
            if let Err(error) = measure(&own).await {
                tracing::warn!(error = format!("{error:#}"), "quota.storage.unknown");
            }
            if !goes_on(&own, MEASURE).await {
                return;
            }
        }
    });
}

/// Waits; `false` where the node stops.
async fn goes_on(node: &Node, wait: Duration) -> bool {
    tokio::select! {
        biased;
        () = node.stopping() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

/// Measures what each tenant holds in the lake, where any has a ceiling; it reads no data files.
///
/// # Errors
///
/// Where the default lake cannot be asked; what was measured before stays.
pub(crate) async fn measure(node: &Node) -> anyhow::Result<()> {
    let access = &node.access;
    let mut all = access.keys.all_quotas();
    let local = TenantId::local();
    all.push((local.clone(), access.keys.quotas(&local)));
    if !all
        .iter()
        .any(|(_, quotas)| access.meters.storage_ceiling(quotas).is_some())
    {
        return Ok(());
    }
    let mut stored: HashMap<TenantId, u64> = HashMap::new();
    count_stored(node.lakes.shared(), &mut stored).await?;
    for (lake, _) in node.lakes.own() {
        let counted = tokio::time::timeout(OWN_LAKE_WAIT, count_stored(lake, &mut stored)).await;
        if !matches!(counted, Ok(Ok(()))) {
            // It takes no rows now either; the ceilings of others hold on.
            tracing::debug!(lake = %lake.url(), "quota.storage.unknown");
        }
    }
    access.meters.set_stored(stored);
    Ok(())
}

async fn count_stored(lake: &Lake, stored: &mut HashMap<TenantId, u64>) -> Result<(), LakeError> {
    for dataset in Dataset::RECEIVED {
        for file in lake.snapshot(dataset).await?.files() {
            if let Some(tenant) = &file.tenant {
                let held = stored.entry(tenant.clone()).or_default();
                *held = held.saturating_add(file.size);
            }
        }
    }
    Ok(())
}

/// 401 without a key, with what to do.
fn missing() -> Refusal {
    let text = "Unauthorized - provide API key via Authorization: Bearer <key> or X-API-Key header";
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", text).with_header(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"weir\""),
    )
}

/// 401 with something that is no key that holds.
fn invalid(code: &'static str, why: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, code, why).with_header(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"weir\", error=\"invalid_token\""),
    )
}

fn denied(why: Denied) -> Refusal {
    match why {
        Denied::Unknown => invalid(
            "invalid_key",
            "this key is not known here, or was revoked; `weir keys list` shows those that hold",
        ),
        Denied::Expired => invalid(
            "expired_key",
            "this key has expired; make a new one with `weir keys create`, or prolong it with \
             `weir keys set`",
        ),
        // Not 401: a sender would drop for good what it may be allowed to send.
        Denied::Unconfirmed => Refusal::unavailable(
            "keys_unconfirmed",
            "whether this key holds could not be asked for too long; try again later",
            UNCONFIRMED_WAIT,
        ),
    }
}

fn forbidden(has: Scopes, wanted: Scope) -> Refusal {
    let wanted = Scopes::from(wanted);
    let text = format!(
        "this key is for {has}, and {wanted} is wanted here; make one with \
         `weir keys create --scopes {wanted}`"
    );
    let refusal = Refusal::new(StatusCode::FORBIDDEN, "forbidden", text);
    let challenge =
        format!("Bearer realm=\"weir\", error=\"insufficient_scope\", scope=\"{wanted}\"");
    match HeaderValue::try_from(challenge) {
        Ok(challenge) => refusal.with_header(WWW_AUTHENTICATE, challenge),
        Err(_) => refusal,
    }
}
