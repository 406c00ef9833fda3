//! `weir keys create|list|revoke`; a running server takes changes within five seconds.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
use weir_model::{SystemClock, TenantId};
use weir_store::{Keys, Scopes};

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::Place;

/// What can be done with keys.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key of a tenant; it is shown once and never again.
    Create {
        /// Whose rows it may send and see: a-z, 0-9, `_` and `-`.
        #[arg(long, value_name = "TENANT")]
        tenant: String,
        /// What it may do: ingest, query, admin, separated by commas; or all.
        #[arg(long, value_name = "SCOPES", default_value = "all")]
        scopes: Scopes,
        /// What it is for, to know it by.
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List all keys, revoked ones too; never their texts.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a key for good.
    Revoke {
        /// The id, from `weir keys list`.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

fn open(place: &Place) -> anyhow::Result<Keys> {
    let dir = place.data_dir()?;
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    Ok(Keys::open(&dir, Arc::new(SystemClock))?)
}

/// Runs it.
pub(crate) fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Create {
            tenant,
            scopes,
            name,
            place,
        } => create(&tenant, scopes, &name, &place),
        Command::List { place } => list(&place),
        Command::Revoke { id, place } => revoke(&id, &place),
    }
}

fn create(tenant: &str, scopes: Scopes, name: &str, place: &Place) -> anyhow::Result<Exit> {
    let tenant = TenantId::new(tenant)?;
    let key = open(place)?.create(&tenant, scopes, name)?;
    if place.json {
        let shown = json!({
            "id": key.id, "key": key.text, "tenant": tenant.as_str(),
            "scopes": scopes.to_string(),
        });
        out::line(&shown.to_string())?;
    } else {
        out::line(&key.text)?;
        out::complain(&format!(
            "weir: key {} of tenant {tenant} ({scopes}); it is not shown again",
            key.id
        ));
    }
    Ok(Exit::OK)
}

fn list(place: &Place) -> anyhow::Result<Exit> {
    let keys = open(place)?.list()?;
    let time = |us: i64| {
        let time = chrono::DateTime::from_timestamp_micros(us);
        time.map_or_else(String::new, |t| t.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    if place.json {
        let shown: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "id": key.id, "tenant": key.tenant.as_str(), "name": key.name,
                    "scopes": key.scopes.to_string(), "created_at": time(key.created_at_us),
                    "revoked_at": key.revoked_at_us.map(time),
                })
            })
            .collect();
        out::line(&json!(shown).to_string())?;
        return Ok(Exit::OK);
    }
    let row = |cells: [&str; 5]| {
        let [id, tenant, scopes, state, name] = cells;
        format!("{id:<16}  {tenant:<20}  {scopes:<18}  {state:<29}  {name}")
    };
    out::line(&row(["id", "tenant", "scopes", "state", "name"]))?;
    for key in keys {
        let state = match key.revoked_at_us {
            None => format!("made {}", time(key.created_at_us)),
            Some(us) => format!("revoked {}", time(us)),
        };
        let scopes = key.scopes.to_string();
        out::line(&row([
            &key.id,
            key.tenant.as_str(),
            &scopes,
            &state,
            &key.name,
        ]))?;
    }
    Ok(Exit::OK)
}

fn revoke(id: &str, place: &Place) -> anyhow::Result<Exit> {
    if open(place)?.revoke(id)? {
        out::line(&format!("revoked {id}"))?;
        return Ok(Exit::OK);
    }
    out::complain(&format!(
        "weir: there is no key {id} that holds; `weir keys list` shows them"
    ));
    Ok(Exit::FAILURE)
}
