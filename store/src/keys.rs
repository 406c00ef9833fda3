//! Keys: who may send and ask, on whose behalf, and how much.
//!
//! ```text
//! wk_0123456789abcdef_<64 hex digits>
//!    `-- id --------' `-- secret --'      stored: id, tenant, scopes, name, HMAC of the whole
//! ```
//!
//! # Invariants
//!
//! * A key's text is known to nobody but its holder: it is shown once and stored only as a MAC.
//! * Looking up a key reads memory only: all keys that hold are there, at most
//!   [`KEYS_MAX`](crate::KEYS_MAX). No verdict on a text is remembered: each request's key is
//!   compared with the MAC anew, in a time that tells nothing.
//! * Memory is as old as the last [`Keys::refresh`] that succeeded; the server asks for one every
//!   second. Once the state has not been reached for longer than the grace, keys are neither
//!   believed nor refused: [`Denied::Unconfirmed`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use weir_model::{Clock, TenantId};

use crate::mac::{self, Pepper};
use crate::{
    KeyInfo, Loaded, Note, Postgres, Quotas, Scopes, Secret, Sqlite, State, StoreError, Stored,
    TenantInfo,
};

/// What every key begins with.
const PREFIX: &str = "wk_";

/// The longest text that can be a key.
const KEY_BYTES: usize = PREFIX.len() + 16 + 1 + 64;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// How old memory may be although nothing is wrong, before the grace counts.
const FRESH: Duration = Duration::from_secs(5);

/// Where the state lies.
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// Where SQLite's file lies, and the pepper, unless they are elsewhere.
    pub data_dir: PathBuf,
    /// The Postgres database to use instead of SQLite.
    pub postgres_url: Option<String>,
    /// The authorities that its certificate is checked against, if not the system's.
    pub postgres_ca_file: Option<PathBuf>,
    /// Where the pepper lies, if not in the data directory.
    pub pepper_file: Option<PathBuf>,
    /// How long keys are believed while the state cannot be asked.
    pub grace: Duration,
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Whose rows it may send and see.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// The key's id, fit for logs.
    pub key_id: String,
    /// What the key may use.
    pub quotas: Quotas,
}

/// Why a text is not taken for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is none of ours, or was revoked.
    Unknown,
    /// It was one of ours and its time is over.
    Expired,
    /// Whether it holds could not be asked for too long.
    Unconfirmed,
}

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// For what.
    pub scopes: Scopes,
    /// What it is known by.
    pub name: &'a str,
    /// How long it holds; `None` is for ever.
    pub expires_in: Option<Duration>,
    /// What it may use.
    pub quotas: Quotas,
}

/// A key that was just made; its text is never shown again.
#[derive(Debug)]
pub struct NewKey {
    /// The id, by which it is listed and revoked.
    pub id: String,
    /// The text that a client sends.
    pub text: String,
}

/// A key that holds, in memory.
#[derive(Debug)]
struct Held {
    /// MACs with the end of each.
    secrets: Vec<(Vec<u8>, Option<i64>)>,
    expires_at_us: Option<i64>,
    principal: Principal,
}

/// What is known of the state.
#[derive(Debug)]
struct Known {
    held: HashMap<String, Held>,
    tenants: HashMap<TenantId, Quotas>,
    notes: Vec<Note>,
    made: u64,
    version: i64,
}

/// The keys, the tenants and the quotas of a node.
#[derive(Debug)]
pub struct Keys {
    state: Box<dyn State>,
    pepper: Pepper,
    known: RwLock<Known>,
    confirmed: Mutex<Instant>,
    grace: Duration,
    clock: Arc<dyn Clock>,
}

impl Keys {
    /// Opens the keys in SQLite in `data_dir`, or makes an empty store there.
    ///
    /// # Errors
    ///
    /// As [`Keys::connect`].
    pub fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let config = StateConfig {
            data_dir: data_dir.to_owned(),
            postgres_url: None,
            postgres_ca_file: None,
            pepper_file: None,
            grace: Duration::ZERO,
        };
        Self::connect(&config, clock)
    }

    /// Opens the state that `config` names, or makes an empty one there. It may block for seconds.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or made, was written by a newer weir, or under another pepper.
    pub fn connect(config: &StateConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let path = match &config.pepper_file {
            Some(path) => path.clone(),
            None => config.data_dir.join(mac::FILE),
        };
        let pepper = Pepper::open(&path)?;
        let state: Box<dyn State> = match &config.postgres_url {
            Some(url) => Box::new(Postgres::open(url, config.postgres_ca_file.as_deref())?),
            None => Box::new(Sqlite::open(&config.data_dir)?),
        };
        let fingerprint = pepper.fingerprint();
        if state.pepper(&fingerprint)? != fingerprint {
            return Err(StoreError::OtherPepper { path });
        }
        let confirmed = Instant::now();
        let known = known(state.load()?);
        Ok(Self {
            state,
            pepper,
            known: RwLock::new(known),
            confirmed: Mutex::new(confirmed),
            grace: config.grace,
            clock,
        })
    }

    /// Makes a key of `tenant` with `scopes`; it holds at once, and elsewhere within 5 s.
    ///
    /// # Errors
    ///
    /// As [`Keys::make`].
    pub fn create(
        &self,
        tenant: &TenantId,
        scopes: Scopes,
        name: &str,
    ) -> Result<NewKey, StoreError> {
        self.make(&Request {
            tenant,
            scopes,
            name,
            expires_in: None,
            quotas: Quotas::default(),
        })
    }

    /// Makes a key and, where it is new, its tenant; it holds at once, and elsewhere within 5 s.
    ///
    /// # Errors
    ///
    /// Where it could not be stored, or too many hold; it does not hold then.
    pub fn make(&self, request: &Request<'_>) -> Result<NewKey, StoreError> {
        if request.name.len() > NAME_BYTES_MAX {
            return Err(StoreError::Name {
                max: NAME_BYTES_MAX,
            });
        }
        let id = hex::encode(mac::random_id());
        let text = text_of(&id);
        let now = self.clock.now_us();
        self.state.add_key(&Stored {
            info: KeyInfo {
                id: id.clone(),
                tenant: request.tenant.clone(),
                scopes: request.scopes,
                name: request.name.to_owned(),
                quotas: request.quotas,
                created_at_us: now,
                expires_at_us: request.expires_in.map(|wait| later(now, wait)),
                revoked_at_us: None,
                rotated_until_us: None,
            },
            secrets: vec![Secret {
                mac: hex::encode(self.pepper.mac(&text)),
                until_us: None,
            }],
        })?;
        self.refresh()?;
        Ok(NewKey { id, text })
    }

    /// All keys, also revoked ones, oldest first.
    ///
    /// # Errors
    ///
    /// Where the state cannot be read.
    pub fn list(&self) -> Result<Vec<KeyInfo>, StoreError> {
        self.state.keys()
    }

    /// All tenants, by name.
    ///
    /// # Errors
    ///
    /// Where the state cannot be read.
    pub fn tenants(&self) -> Result<Vec<TenantInfo>, StoreError> {
        self.state.tenants()
    }

    /// Revokes the key with that id; it ceases to hold at once, and elsewhere within 5 s.
    ///
    /// Gives `false` where there is none, or it was revoked before.
    ///
    /// # Errors
    ///
    /// Where that could not be stored; the key still holds then.
    pub fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        let revoked = self.state.revoke(id, self.clock.now_us())?;
        self.refresh()?;
        Ok(revoked)
    }

    /// Gives the key with that id a new secret; the old ones hold for `overlap` at most.
    ///
    /// Gives `None` where there is no such key, or it was revoked.
    ///
    /// # Errors
    ///
    /// Where too many secrets of it hold, or that could not be stored; nothing is changed then.
    pub fn rotate(&self, id: &str, overlap: Duration) -> Result<Option<NewKey>, StoreError> {
        let text = text_of(id);
        let mac = hex::encode(self.pepper.mac(&text));
        let now = self.clock.now_us();
        let rotated = self.state.rotate(id, &mac, now, later(now, overlap))?;
        self.refresh()?;
        Ok(rotated.then(|| NewKey {
            id: id.to_owned(),
            text,
        }))
    }

    /// Lets the key with that id hold for `expires_in` from now, or for ever; `false` where there
    /// is none.
    ///
    /// # Errors
    ///
    /// Where that could not be stored.
    pub fn set_expiry(&self, id: &str, expires_in: Option<Duration>) -> Result<bool, StoreError> {
        let at = expires_in.map(|wait| later(self.clock.now_us(), wait));
        let set = self.state.set_expiry(id, at)?;
        self.refresh()?;
        Ok(set)
    }

    /// Sets the quotas of the key with that id; `false` where there is none.
    ///
    /// # Errors
    ///
    /// Where that could not be stored.
    pub fn set_key_quotas(&self, id: &str, quotas: &Quotas) -> Result<bool, StoreError> {
        let set = self.state.set_key_quotas(id, quotas)?;
        self.refresh()?;
        Ok(set)
    }

    /// Sets the quotas of a tenant, which is made where it is new.
    ///
    /// # Errors
    ///
    /// Where that could not be stored.
    pub fn set_tenant_quotas(&self, tenant: &TenantId, quotas: &Quotas) -> Result<(), StoreError> {
        self.state
            .set_tenant_quotas(tenant, quotas, self.clock.now_us())?;
        self.refresh()
    }

    /// Who sends the key `text`.
    ///
    /// # Errors
    ///
    /// [`Denied`] where it cannot be taken for a key; only a holder of its text hears that a key
    /// has expired.
    pub fn check(&self, text: &str) -> Result<Principal, Denied> {
        if self.confirmed.lock().elapsed() > self.grace.saturating_add(FRESH) {
            return Err(Denied::Unconfirmed);
        }
        let now = self.clock.now_us();
        let known = self.known.read();
        let held = id_of(text).and_then(|id| known.held.get(id));
        let held = held.ok_or(Denied::Unknown)?;
        let fits = |(mac, until): &&(Vec<u8>, Option<i64>)| {
            until.is_none_or(|until| now < until) && self.pepper.verify(text, mac)
        };
        held.secrets.iter().find(fits).ok_or(Denied::Unknown)?;
        if held.expires_at_us.is_some_and(|end| now >= end) {
            return Err(Denied::Expired);
        }
        Ok(held.principal.clone())
    }

    /// As [`Keys::check`], without the reason.
    pub fn resolve(&self, text: &str) -> Option<Principal> {
        self.check(text).ok()
    }

    /// The quotas of `tenant`; the default ones where nothing was ever set.
    pub fn quotas(&self, tenant: &TenantId) -> Quotas {
        let known = self.known.read();
        known.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// Every tenant that has quotas or keys, with its quotas.
    pub fn all_quotas(&self) -> Vec<(TenantId, Quotas)> {
        let known = self.known.read();
        let all = known.tenants.iter();
        all.map(|(tenant, quotas)| (tenant.clone(), *quotas))
            .collect()
    }

    /// Whether a key with that id holds.
    pub fn holds(&self, id: &str) -> bool {
        self.known.read().held.contains_key(id)
    }

    /// Whether no key was ever made. A store whose keys were all revoked is not empty: it lets
    /// nobody in.
    pub fn is_empty(&self) -> bool {
        self.known.read().made == 0
    }

    /// Asks the state whether anything was changed, and takes it over. It blocks.
    ///
    /// # Errors
    ///
    /// Where the state cannot be asked; what is known stays.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        if self.state.version()? != self.known.read().version {
            let new = known(self.state.load()?);
            *self.known.write() = new;
        }
        *self.confirmed.lock() = asked;
        Ok(())
    }
}

fn text_of(id: &str) -> String {
    format!("{PREFIX}{id}_{}", hex::encode(mac::random_secret()))
}

/// The id in a text that looks like a key.
fn id_of(text: &str) -> Option<&str> {
    if text.len() != KEY_BYTES {
        return None;
    }
    let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
    Some(id)
}

fn later(now_us: i64, wait: Duration) -> i64 {
    now_us.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

fn known(loaded: Loaded) -> Known {
    let held = |stored: Stored| {
        let info = stored.info;
        let secrets = stored.secrets.into_iter();
        let held = Held {
            // What is no hex matches nothing.
            secrets: secrets
                .map(|secret| {
                    (
                        hex::decode(&secret.mac).unwrap_or_default(),
                        secret.until_us,
                    )
                })
                .collect(),
            expires_at_us: info.expires_at_us,
            principal: Principal {
                tenant: info.tenant,
                scopes: info.scopes,
                key_id: info.id.clone(),
                quotas: info.quotas,
            },
        };
        (info.id, held)
    };
    let tenants = loaded.tenants.into_iter();
    Known {
        held: loaded.keys.into_iter().map(held).collect(),
        tenants: tenants.map(|t| (t.tenant, t.quotas)).collect(),
        notes: loaded.notes,
        made: loaded.made,
        version: loaded.version,
    }
}

mod notes;
#[cfg(test)]
mod tests;
