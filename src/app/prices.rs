//! The prices in effect, and all that were in effect before.
//!
//! ```text
//! prices.file --read--> entries --by tenant--> tariffs --kept in prices/, then--> in effect
//!                        a bad file: an error in the log, what was in effect stays
//! ```
//!
//! # Invariants
//!
//! * Nothing is priced by a tariff that is not kept: its file is durable before it is in effect.
//! * A kept file never changes; its name is a hash of its content.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use weir_model::TenantId;
use weir_transforms::{KeptError, ListError, Prefer, PriceList, Pricer, Prices, Tariff};

use crate::config::tree::Wrong;
use crate::config::{Config, prices_file};

/// How many tariffs of old are held in memory; then all are forgotten and read again.
const HELD_MAX: usize = 64;

/// The prices of a node.
#[derive(Debug)]
pub(crate) struct PriceBook {
    settings: Settings,
    list: Arc<PriceList>,
    current: RwLock<Arc<Current>>,
    /// What was last found in the file, good or bad.
    seen: Mutex<Option<blake3::Hash>>,
    held: RwLock<HashMap<Box<str>, Arc<Tariff>>>,
}

/// What the configuration says.
#[derive(Debug)]
struct Settings {
    folder: PathBuf,
    file: Option<PathBuf>,
    interval: Duration,
    prefer: Prefer,
    prefer_by_tenant: HashMap<TenantId, Prefer>,
}

/// What is in effect.
#[derive(Debug)]
struct Current {
    common: Arc<Tariff>,
    /// Of tenants that have something of their own.
    by_tenant: HashMap<TenantId, Arc<Tariff>>,
}

/// Why prices cannot be put into effect; what was in effect stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PricesError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file has faults.
    #[error("{}", faults(path, wrong))]
    Faults {
        /// Which.
        path: PathBuf,
        /// All of them.
        wrong: Wrong,
    },
    /// The tariffs cannot be kept.
    #[error("{path} cannot be written; prices are kept there before they are used")]
    Keep {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The built-in list is not readable: a fault of the build.
    #[error("the price list cannot be used")]
    List(#[from] ListError),
}

/// The faults of a file, one a line, each with its place.
pub(crate) fn faults(path: &Path, Wrong(wrong): &Wrong) -> String {
    let s = if wrong.len() == 1 { "" } else { "s" };
    let mut text = format!("{} has {} fault{s}:", path.display(), wrong.len());
    for (place, why) in wrong {
        text.push_str(&format!("\n  {}:{place}: {why}", path.display()));
    }
    text
}

/// What a look at the file came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is as before.
    Same,
    /// Its prices are in effect.
    Taken,
    /// It is new, but cannot be used; the prices from before stay in effect.
    Refused,
}

impl PriceBook {
    /// Reads the file, where one is named, and keeps what it comes to.
    ///
    /// # Errors
    ///
    /// Where the file has faults, or the tariffs cannot be kept.
    pub(crate) fn open(config: &Config) -> Result<Self, PricesError> {
        let settings = Settings::of(config);
        let list = Arc::new(PriceList::standard()?);
        let text = settings.text()?;
        let current = settings.current(&list, &text)?;
        keep(&settings.folder, &current)?;
        let book = Self {
            seen: Mutex::new(Some(blake3::hash(text.as_bytes()))),
            current: RwLock::new(Arc::new(current)),
            held: RwLock::default(),
            settings,
            list,
        };
        book.tell();
        Ok(book)
    }

    /// What the calls of `tenant` cost now.
    pub(crate) fn current(&self, tenant: &TenantId) -> Arc<Tariff> {
        let current = self.current.read();
        let own = current.by_tenant.get(tenant);
        Arc::clone(own.unwrap_or(&current.common))
    }

    /// The tariff of that name, in effect or kept; `None` where it was never in effect here, or is
    /// damaged, which the log says.
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Tariff>> {
        let current = Arc::clone(&self.current.read());
        if let Some(tariff) = current.all().find(|t| t.name() == name) {
            return Some(Arc::clone(tariff));
        }
        if let Some(held) = self.held.read().get(name) {
            return Some(Arc::clone(held));
        }
        let tariff = match read_kept(&self.settings.folder, name, &self.list) {
            Ok(found) => Arc::new(found?),
            Err(error) => {
                tracing::error!(name, %error, "prices.kept.unreadable");
                return None;
            }
        };
        let mut held = self.held.write();
        if held.len() >= HELD_MAX {
            held.clear();
        }
        held.insert(name.into(), Arc::clone(&tariff));
        Some(tariff)
    }

    /// The text of the list that `tariff` rests on; `None` where it is not kept here.
    pub(crate) fn list_text(&self, tariff: &Tariff) -> Option<Vec<u8>> {
        let hash = tariff.list().hash().to_hex();
        std::fs::read(list_file(&self.settings.folder, &hash)).ok()
    }

    /// Every tenant that has terms of its own, with what its calls cost now.
    pub(crate) fn own_tariffs(&self) -> Vec<(TenantId, Arc<Tariff>)> {
        let current = self.current.read();
        let own = current.by_tenant.iter();
        own.map(|(tenant, tariff)| (tenant.clone(), Arc::clone(tariff)))
            .collect()
    }

    /// Looks at the file, takes what is new and good, and logs what is new and bad, once.
    ///
    /// With `again` what was found before is taken or reported once more.
    pub(crate) fn reload(&self, again: bool) -> Look {
        if self.settings.file.is_none() {
            return Look::Same;
        }
        let text = self.settings.text();
        let digest = match &text {
            Ok(text) => blake3::hash(text.as_bytes()),
            Err(error) => blake3::hash(error.to_string().as_bytes()),
        };
        let mut seen = self.seen.lock();
        if *seen == Some(digest) && !again {
            return Look::Same;
        }
        *seen = Some(digest);
        match text.and_then(|text| self.take(&text)) {
            Ok(()) => {
                self.tell();
                Look::Taken
            }
            Err(error) => {
                let why = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                tracing::error!(error = why, "prices.reload.failed");
                Look::Refused
            }
        }
    }

    fn take(&self, text: &str) -> Result<(), PricesError> {
        let current = self.settings.current(&self.list, text)?;
        keep(&self.settings.folder, &current)?;
        *self.current.write() = Arc::new(current);
        Ok(())
    }

    fn tell(&self) {
        let current = self.current.read();
        tracing::info!(
            name = current.common.name(),
            tenants_with_their_own = current.by_tenant.len(),
            "prices.in_effect"
        );
    }
}

/// The tariffs of one tenant, for the rules of a trace: that of new calls, and those of old that
/// its calls name.
///
/// Made for one recompute: what is in effect for new calls does not change under it.
#[derive(Debug)]
pub(crate) struct Named {
    book: Arc<PriceBook>,
    current: Arc<Tariff>,
    old: OnceLock<Box<Link>>,
}

/// A name that was asked for, in a list that only grows: so what it says can be lent.
#[derive(Debug)]
struct Link {
    name: Box<str>,
    tariff: Option<Arc<Tariff>>,
    next: OnceLock<Box<Link>>,
}

impl Named {
    /// Those of `tenant`. A name that is not known here stands for new calls.
    pub(crate) fn of(book: &Arc<PriceBook>, tenant: &TenantId) -> Self {
        Self {
            current: book.current(tenant),
            book: Arc::clone(book),
            old: OnceLock::new(),
        }
    }

    fn find(&self, name: &str) -> &Tariff {
        let mut place = &self.old;
        loop {
            let link = place.get_or_init(|| {
                Box::new(Link {
                    name: name.into(),
                    tariff: self.book.by_name(name),
                    next: OnceLock::new(),
                })
            });
            if *link.name == *name {
                return link.tariff.as_ref().unwrap_or(&self.current);
            }
            place = &link.next;
        }
    }
}

impl Prices for Named {
    fn under(&self, list: Option<&str>) -> &dyn Pricer {
        match list {
            Some(name) if name != self.current.name() => self.find(name),
            Some(_) | None => &*self.current,
        }
    }
}

/// Looks at the file from time to time, for ever.
pub(crate) async fn keep_fresh(book: Arc<PriceBook>) {
    if book.settings.file.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(book.settings.interval).await;
        let own = Arc::clone(&book);
        // What it found it has logged; a panic there must not end the watch.
        let _ = tokio::task::spawn_blocking(move || own.reload(false)).await;
    }
}

/// What `tenant`'s calls cost by the configuration alone, without a node; nothing is kept.
///
/// # Errors
///
/// Where the file of prices has faults.
pub(crate) fn tariff_of(config: &Config, tenant: &TenantId) -> Result<Arc<Tariff>, PricesError> {
    let settings = Settings::of(config);
    let list = Arc::new(PriceList::standard()?);
    let current = settings.current(&list, &settings.text()?)?;
    let own = current.by_tenant.get(tenant);
    Ok(Arc::clone(own.unwrap_or(&current.common)))
}

impl Settings {
    fn of(config: &Config) -> Self {
        let prefer = |word: &str| match word {
            "computed" => Prefer::Computed,
            _ => Prefer::Reported,
        };
        let by_tenant = config.cost.prefer_by_tenant.iter();
        // Names are checked with the configuration.
        let by_tenant =
            by_tenant.filter_map(|(name, word)| Some((TenantId::new(name).ok()?, prefer(word))));
        Self {
            folder: config.data_dir.join("prices"),
            file: Some(PathBuf::from(&config.prices.file)).filter(|f| !f.as_os_str().is_empty()),
            interval: config.prices.reload_interval,
            prefer: prefer(&config.cost.prefer),
            prefer_by_tenant: by_tenant.collect(),
        }
    }

    /// What stands in the file; empty where there is none.
    fn text(&self) -> Result<String, PricesError> {
        let Some(path) = &self.file else {
            return Ok(String::new());
        };
        std::fs::read_to_string(path).map_err(|source| PricesError::Read {
            path: path.clone(),
            source,
        })
    }

    fn current(&self, list: &Arc<PriceList>, text: &str) -> Result<Current, PricesError> {
        let path = || self.file.clone().unwrap_or_default();
        let own = prices_file::read(text).map_err(|wrong| PricesError::Faults {
            path: path(),
            wrong,
        })?;
        let tariff = |tenant: Option<&TenantId>| {
            let own = own.of_tenant(tenant.map(TenantId::as_str));
            let prefer = tenant.and_then(|t| self.prefer_by_tenant.get(t)).copied();
            let tariff = Tariff::new(Arc::clone(list), own, prefer.unwrap_or(self.prefer));
            // Its entries were found good with the file.
            tariff.map(Arc::new).map_err(|_| PricesError::Faults {
                path: path(),
                wrong: Wrong::default(),
            })
        };
        let named = own.tenants().filter_map(|name| TenantId::new(name).ok());
        let tenants: BTreeSet<TenantId> =
            named.chain(self.prefer_by_tenant.keys().cloned()).collect();
        let by_tenant = tenants.into_iter().map(|tenant| {
            let own = tariff(Some(&tenant))?;
            Ok((tenant, own))
        });
        Ok(Current {
            by_tenant: by_tenant.collect::<Result<_, PricesError>>()?,
            common: tariff(None)?,
        })
    }
}

impl Current {
    fn all(&self) -> impl Iterator<Item = &Arc<Tariff>> {
        self.by_tenant.values().chain([&self.common])
    }
}

/// Writes what is not there yet of the tariffs and their list.
fn keep(folder: &Path, current: &Current) -> Result<(), PricesError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PricesError::Keep { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let list = list_file(folder, &current.common.list().hash().to_hex());
    let (_, text) = PriceList::standard_text();
    let tariffs = current.all().map(|tariff| {
        let file = folder.join(format!("{}.json", tariff.name()));
        (file, tariff.kept().as_bytes())
    });
    // The list first, so that no tariff is without its own.
    for (path, bytes) in [(list, text)].into_iter().chain(tariffs) {
        // A file of the right length is whole: it came there by a rename.
        let length = std::fs::metadata(&path).map(|m| usize::try_from(m.len()).ok());
        if length.ok().flatten() != Some(bytes.len()) {
            write(&path, bytes).map_err(failed(&path))?;
        }
    }
    let sync = std::fs::File::open(folder).and_then(|f| f.sync_all());
    sync.map_err(failed(folder))
}

/// Writes `path` so that it is whole and durable or not there.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = std::fs::File::create(&beside)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

fn list_file(folder: &Path, hash: &str) -> PathBuf {
    folder.join(format!("list-{}.json", hash.get(..16).unwrap_or(hash)))
}

/// The tariff of that name from the folder; `None` where there is no such file.
fn read_kept(
    folder: &Path,
    name: &str,
    built_in: &Arc<PriceList>,
) -> Result<Option<Tariff>, KeptError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(plain) {
        return Ok(None);
    }
    let Ok(kept) = std::fs::read_to_string(folder.join(format!("{name}.json"))) else {
        return Ok(None);
    };
    let list = |version: &str, hash: &str| {
        if built_in.hash().to_hex().as_str() == hash {
            return Some(Arc::clone(built_in));
        }
        let text = std::fs::read(list_file(folder, hash)).ok()?;
        PriceList::read(version, &text).ok().map(Arc::new)
    };
    Tariff::of_kept(name, &kept, list).map(Some)
}

#[cfg(test)]
#[path = "prices/tests.rs"]
mod tests;
