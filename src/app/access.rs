//! Who may send and ask: the tenant that a key stands for.

use std::sync::Arc;

use axum::http::StatusCode;
use weir_model::{Clock, TenantId};
use weir_store::{Keys, Scope};

use crate::app::running::StartError;
use crate::config::Config;
use crate::http::auth;
use crate::http::refusal::Refusal;

/// Knows the keys.
#[derive(Debug)]
pub(crate) struct Access {
    keys: Keys,
    always: bool,
}

impl Access {
    /// Opens the keys of the data directory.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub(crate) async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || Keys::open(&dir, clock)).await;
        let keys = opened.map_err(|_| StartError::Worker)?;
        let keys = keys.map_err(|error| StartError::State {
            what: "the keys in state.db",
            source: error.into(),
        })?;
        Ok(Self {
            keys,
            always: config.auth.require_key == "always",
        })
    }

    /// Whether there is any key.
    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The tenant of `key`, if it may be used for `scope`; the local one where no key is wanted.
    ///
    /// # Errors
    ///
    /// 401 where a key is wanted and this is none; 403 where it is for something else.
    pub(crate) fn tenant(&self, key: Option<&str>, scope: Scope) -> Result<TenantId, Refusal> {
        if !self.always && self.keys.is_empty() {
            return Ok(TenantId::local());
        }
        let who = key.and_then(|key| self.keys.resolve(key));
        let who = who.ok_or_else(auth::unauthorized)?;
        if !who.scopes.allow(scope) {
            let text = "this key is not for that; make one with the scope that is wanted";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", text));
        }
        Ok(who.tenant)
    }
}
