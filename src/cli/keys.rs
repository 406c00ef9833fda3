//! `weir keys create|list|set|rotate|revoke`; a running server takes changes within five seconds.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use weir_model::{Clock as _, SystemClock, TenantId};
use weir_store::{KeyInfo, Quotas, Request, Scopes};

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::{self, Place};
use crate::cli::quotas::{self, QuotaArgs};
use crate::config::setting::{Kind, Value};

/// What can be done with keys.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key of a tenant; it is shown once and never again.
    Create(Create),
    /// List all keys, revoked ones too; never their texts.
    List {
        /// Only those of this tenant.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Change when a key expires and what it may use; what is not named stays.
    Set {
        /// The id, from `weir keys list`.
        #[arg(value_name = "ID")]
        id: String,
        /// For how long from now it holds: `90d`, `12h`, or `never` for no end.
        #[arg(long, value_name = "TIME", value_parser = expiry)]
        expires_in: Option<Expiry>,
        #[command(flatten)]
        quotas: QuotaArgs,
        #[command(flatten)]
        place: Place,
    },
    /// Give a key a new secret; the old one holds for a while, so that nothing breaks meanwhile.
    Rotate {
        /// The id, from `weir keys list`.
        #[arg(value_name = "ID")]
        id: String,
        /// For how long the old secret holds too; `0s` ends it at once.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = span)]
        overlap: Duration,
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

/// What a new key is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Create {
    /// Whose rows it may send and see: a-z, 0-9, `_` and `-`. It is made where it is new.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// What it may do: ingest, query, admin, separated by commas; or all.
    #[arg(long, value_name = "SCOPES", default_value = "all")]
    scopes: Scopes,
    /// What it is for, to know it by.
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// For how long it holds: `90d`, `12h`, or `never` for no end.
    #[arg(long, value_name = "TIME", default_value = "never", value_parser = expiry)]
    expires_in: Expiry,
    #[command(flatten)]
    quotas: QuotaArgs,
    #[command(flatten)]
    place: Place,
}

/// For how long a key holds; `None` is without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry(Option<Duration>);

fn span(text: &str) -> Result<Duration, String> {
    let Value::Span(time) = Kind::Span.read(text)? else {
        return Err("a time is wanted".to_owned());
    };
    Ok(time)
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry(None));
    }
    match span(text) {
        Ok(time) if time.is_zero() => Err("a time above 0 is wanted; or revoke the key".to_owned()),
        Ok(time) => Ok(Expiry(Some(time))),
        Err(why) => Err(format!("{why}, or `never`")),
    }
}

/// Runs it.
pub(crate) fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Create(args) => create(&args),
        Command::List { tenant, place } => list(tenant.as_deref(), &place),
        Command::Set {
            id,
            expires_in,
            quotas,
            place,
        } => set(&id, expires_in, quotas, &place),
        Command::Rotate { id, overlap, place } => rotate(&id, overlap, &place),
        Command::Revoke { id, place } => revoke(&id, &place),
    }
}

fn create(args: &Create) -> anyhow::Result<Exit> {
    let tenant = TenantId::new(&args.tenant)?;
    let Expiry(expires_in) = args.expires_in;
    let (keys, place) = args.place.keys()?;
    let key = keys.make(&Request {
        tenant: &tenant,
        scopes: args.scopes,
        name: &args.name,
        expires_in,
        quotas: args.quotas.over(Quotas::default()),
    })?;
    if args.place.json() {
        let shown = json!({
            "id": key.id, "key": key.text, "tenant": tenant.as_str(),
            "scopes": args.scopes.to_string(),
        });
        out::line(&shown.to_string())?;
    } else {
        out::line(&key.text)?;
        out::complain(&format!(
            "weir: key {} of tenant {tenant} ({}), kept in {place}; it is not shown again",
            key.id, args.scopes
        ));
    }
    Ok(Exit::OK)
}

fn list(tenant: Option<&str>, place: &Place) -> anyhow::Result<Exit> {
    let tenant = tenant.map(TenantId::new).transpose()?;
    let mut keys = place.keys_there()?.list()?;
    keys.retain(|key| tenant.as_ref().is_none_or(|tenant| key.tenant == *tenant));
    let now = SystemClock.now_us();
    if place.json() {
        let shown: Vec<_> = keys.iter().map(|key| as_json(key, now)).collect();
        out::line(&json!(shown).to_string())?;
        return Ok(Exit::OK);
    }
    if keys.is_empty() {
        out::complain("weir: no keys yet; `weir keys create --tenant NAME` makes one");
        return Ok(Exit::OK);
    }
    let head = ["id", "tenant", "scopes", "made", "state", "name", "quotas"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(keys.iter().map(|key| {
        [
            key.id.clone(),
            key.tenant.as_str().to_owned(),
            key.scopes.to_string(),
            place::time(key.created_at_us),
            state(key, now),
            if key.name.is_empty() {
                "-".to_owned()
            } else {
                key.name.clone()
            },
            quotas::text(&key.quotas),
        ]
    }));
    out::table(&rows)?;
    Ok(Exit::OK)
}

/// Whether the key holds, for people.
fn state(key: &KeyInfo, now: i64) -> String {
    let mut text = match (key.revoked_at_us, key.expires_at_us) {
        (Some(at), _) => return format!("revoked {}", place::time(at)),
        (None, Some(end)) if end <= now => return format!("expired {}", place::time(end)),
        (None, Some(end)) => format!("holds until {}", place::time(end)),
        (None, None) => "holds".to_owned(),
    };
    if let Some(until) = key.rotated_until_us.filter(|until| *until > now) {
        text.push_str(&format!(", old secret until {}", place::time(until)));
    }
    text
}

fn as_json(key: &KeyInfo, now: i64) -> serde_json::Value {
    let expired = key.expires_at_us.is_some_and(|end| end <= now);
    json!({
        "id": key.id, "tenant": key.tenant.as_str(), "name": key.name,
        "scopes": key.scopes.to_string(),
        "holds": key.revoked_at_us.is_none() && !expired,
        "created_at": place::time(key.created_at_us),
        "expires_at": key.expires_at_us.map(place::time),
        "revoked_at": key.revoked_at_us.map(place::time),
        "old_secret_until": key.rotated_until_us.filter(|until| *until > now).map(place::time),
        "quotas": quotas::json(&key.quotas),
    })
}

fn set(
    id: &str,
    expires_in: Option<Expiry>,
    flags: QuotaArgs,
    place: &Place,
) -> anyhow::Result<Exit> {
    anyhow::ensure!(
        expires_in.is_some() || !flags.is_empty(),
        "nothing to set; name a quota or --expires-in (`weir keys set --help`)"
    );
    let keys = place.keys_there()?;
    let before = keys.list()?.into_iter();
    let before = before
        .into_iter()
        .find(|key| key.id == id && key.revoked_at_us.is_none());
    let Some(before) = before else {
        return Ok(no_such(id));
    };
    let mut held = true;
    if !flags.is_empty() {
        held &= keys.set_key_quotas(id, &flags.over(before.quotas))?;
    }
    if let Some(Expiry(wait)) = expires_in {
        held &= keys.set_expiry(id, wait)?;
    }
    let after = keys.list()?.into_iter().find(|key| key.id == id);
    let Some(after) = after.filter(|_| held) else {
        return Ok(no_such(id));
    };
    let now = SystemClock.now_us();
    let shown = if place.json() {
        as_json(&after, now).to_string()
    } else {
        format!(
            "{id}: {}; quotas {}",
            state(&after, now),
            quotas::text(&after.quotas)
        )
    };
    out::line(&shown)?;
    Ok(Exit::OK)
}

fn rotate(id: &str, overlap: Duration, place: &Place) -> anyhow::Result<Exit> {
    let Some(key) = place.keys_there()?.rotate(id, overlap)? else {
        return Ok(no_such(id));
    };
    let overlap_us = i64::try_from(overlap.as_micros()).unwrap_or(i64::MAX);
    let until = place::time(SystemClock.now_us().saturating_add(overlap_us));
    if place.json() {
        let shown = json!({
            "id": key.id, "key": key.text,
            "old_secret_until": (!overlap.is_zero()).then_some(&until),
        });
        out::line(&shown.to_string())?;
        return Ok(Exit::OK);
    }
    out::line(&key.text)?;
    let old = if overlap.is_zero() {
        "the old one holds no more".to_owned()
    } else {
        format!("the old one holds until {until}; `--overlap 0s` would end it now")
    };
    out::complain(&format!(
        "weir: new secret of key {id}, not shown again; {old}"
    ));
    Ok(Exit::OK)
}

fn revoke(id: &str, place: &Place) -> anyhow::Result<Exit> {
    if !place.keys_there()?.revoke(id)? {
        return Ok(no_such(id));
    }
    if place.json() {
        out::line(&json!({ "id": id, "revoked": true }).to_string())?;
    } else {
        out::line(&format!("revoked {id}"))?;
    }
    Ok(Exit::OK)
}

fn no_such(id: &str) -> Exit {
    // Whoever gives the text of a key must not find it again in a terminal's history of errors.
    let hint = if id.starts_with("wk_") {
        "that is the text of a key; its id is what stands between the first and the last `_`"
            .to_owned()
    } else {
        format!("there is no key {id} that is not revoked; `weir keys list` shows them")
    };
    out::complain(&format!("weir: {hint}"));
    Exit::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_or_never() {
        assert_eq!(expiry("never"), Ok(Expiry(None)));
        let days = Duration::from_secs(90 * 86_400);
        assert_eq!(expiry("90d"), Ok(Expiry(Some(days))));
        assert!(expiry("0s").is_err() && expiry("soon").unwrap_err().contains("never"));
    }
}
