//! `weir tenants list|set`: who there is, and how much each may use.

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
use weir_model::TenantId;
use weir_store::{Ceiling, Keys};

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::{self, Place};
use crate::cli::quotas::{self, QuotaArgs};

/// What can be done with tenants.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// List tenants with their quotas and how many keys of each hold.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Set quotas of a tenant; those that are not named stay. A running server takes them within
    /// five seconds.
    Set {
        /// The tenant; it is made where it is new.
        #[arg(value_name = "TENANT")]
        tenant: String,
        #[command(flatten)]
        quotas: QuotaArgs,
        /// Bytes that it may hold in the lake: `100GiB`, `unlimited` or `default`.
        #[arg(long, value_name = "BYTES", value_parser = quotas::ceiling)]
        storage: Option<Ceiling>,
        #[command(flatten)]
        place: Place,
    },
}

/// Runs it.
pub(crate) fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List { place } => list(&place),
        Command::Set {
            tenant,
            quotas,
            storage,
            place,
        } => set(&tenant, quotas, storage, &place),
    }
}

fn list(place: &Place) -> anyhow::Result<Exit> {
    let tenants = place.keys_there()?.tenants()?;
    if place.json() {
        let shown: Vec<_> = tenants
            .iter()
            .map(|info| {
                json!({
                    "tenant": info.tenant.as_str(),
                    "created_at": place::time(info.created_at_us),
                    "keys": info.keys,
                    "quotas": quotas::json(&info.quotas),
                })
            })
            .collect();
        out::line(&json!(shown).to_string())?;
        return Ok(Exit::OK);
    }
    if tenants.is_empty() {
        out::complain("weir: no tenants yet; `weir keys create --tenant NAME` makes one");
        return Ok(Exit::OK);
    }
    let mut rows = vec![["tenant", "keys", "made", "quotas"].map(str::to_owned)];
    rows.extend(tenants.iter().map(|info| {
        [
            info.tenant.as_str().to_owned(),
            info.keys.to_string(),
            place::time(info.created_at_us),
            quotas::text(&info.quotas),
        ]
    }));
    out::table(&rows)?;
    Ok(Exit::OK)
}

fn set(
    tenant: &str,
    flags: QuotaArgs,
    storage: Option<Ceiling>,
    place: &Place,
) -> anyhow::Result<Exit> {
    let tenant = TenantId::new(tenant)?;
    anyhow::ensure!(
        !flags.is_empty() || storage.is_some(),
        "nothing to set; name a quota, as --rows-per-second 5000 (`weir tenants set --help`)"
    );
    let (keys, _) = place.keys()?;
    if matches!(storage, Some(Ceiling::At(_))) {
        anyhow::ensure!(
            place.config()?.lake.partition == "tenant_date",
            "a quota of storage needs `lake.partition: tenant_date`: in tables by date alone the \
             files of tenants are not apart"
        );
    }
    let mut after = flags.over(keys.quotas(&tenant));
    after.storage_bytes = storage.unwrap_or(after.storage_bytes);
    keys.set_tenant_quotas(&tenant, &after)
        .context("nothing was changed")?;
    if place.json() {
        let shown = json!({ "tenant": tenant.as_str(), "quotas": quotas::json(&after) });
        out::line(&shown.to_string())?;
    } else {
        out::line(&format!("{tenant}: {}", quotas::text(&after)))?;
        warn_if_keyless(&keys, &tenant)?;
    }
    Ok(Exit::OK)
}

/// A slip in the name would otherwise go unseen.
fn warn_if_keyless(keys: &Keys, tenant: &TenantId) -> anyhow::Result<()> {
    let held = keys
        .tenants()?
        .into_iter()
        .find(|info| info.tenant == *tenant);
    if held.is_none_or(|info| info.keys == 0) && !keys.is_empty() {
        out::complain(&format!(
            "weir: no key of {tenant} holds; `weir keys create --tenant {tenant}` makes one"
        ));
    }
    Ok(())
}
