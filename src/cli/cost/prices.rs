//! The prices that a server keeps, on this side of the wire: to explain a booking by what it was
//! priced by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Deserialize;
use weir_transforms::{PriceList, Pricer, Prices, Tariff};

use crate::client::Client;

/// A tariff as the server gives it.
#[derive(Debug, Deserialize)]
struct Sent {
    name: String,
    kept: String,
}

/// The tariffs of a server that an explanation needs.
#[derive(Debug)]
pub(super) struct Known {
    /// The one for new calls.
    current: Arc<Tariff>,
    by_name: BTreeMap<String, Arc<Tariff>>,
    /// What a reader should know: which prices are not the server's.
    pub(super) notes: Vec<String>,
}

impl Known {
    /// Asks for the tariff in effect and for those that `names` names. What the server does not
    /// give is replaced by the one in effect, or else by the list of this program, and noted.
    ///
    /// # Errors
    ///
    /// Where the server could not be reached, or the list of this program is not readable.
    pub(super) async fn ask(client: &Client, names: BTreeSet<&str>) -> anyhow::Result<Self> {
        let built_in = Arc::new(PriceList::standard()?);
        let mut known = Self {
            current: Arc::new(Tariff::standard()?),
            by_name: BTreeMap::new(),
            notes: Vec::new(),
        };
        match fetch(client, "current", &built_in).await? {
            Ok(tariff) => known.current = tariff,
            Err(why) => known.notes.push(format!(
                "the server does not give its prices ({why}): those of this program, {}, stand in \
                 for them",
                known.current.name()
            )),
        }
        for name in names {
            if known.under(Some(name)).name() == name {
                continue;
            }
            match fetch(client, name, &built_in).await? {
                Ok(tariff) => {
                    known.by_name.insert(name.to_owned(), tariff);
                }
                Err(why) => known.notes.push(format!(
                    "the server does not give the prices {name} ({why}): {} stands in for them",
                    known.current.name()
                )),
            }
        }
        Ok(known)
    }
}

impl Prices for Known {
    fn under(&self, list: Option<&str>) -> &dyn Pricer {
        let named = list.and_then(|name| self.by_name.get(name));
        &**named.unwrap_or(&self.current)
    }
}

/// The tariff of that name; or why the server, which answered, does not give it.
async fn fetch(
    client: &Client,
    name: &str,
    built_in: &Arc<PriceList>,
) -> anyhow::Result<Result<Arc<Tariff>, String>> {
    let escaped: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let path = format!("/v1/prices/tariffs/{escaped}");
    let body = match client.get(&path).await?.success() {
        Ok(body) => body,
        Err(refusal) => return Ok(Err(refusal.to_string())),
    };
    let sent: Sent = serde_json::from_slice(&body).context("the server's prices are no JSON")?;
    let own = built_in.hash().to_hex();
    let list = if sent.kept.contains(own.as_str()) {
        Some(Arc::clone(built_in))
    } else {
        let text = client.get(&format!("{path}/list")).await?.success();
        let version = sent
            .name
            .rsplit_once('-')
            .map_or("", |(version, _)| version);
        let read = text
            .ok()
            .and_then(|text| PriceList::read(version, &text).ok());
        read.map(Arc::new)
    };
    // The name is a hash of the content: what was damaged on the way is not taken.
    let tariff = Tariff::of_kept(&sent.name, &sent.kept, |_, _| list);
    Ok(tariff.map(Arc::new).map_err(|error| error.to_string()))
}
