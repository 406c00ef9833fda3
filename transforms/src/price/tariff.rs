//! A tariff: what a tenant's calls cost. The list, the tenant's own prices before it, and which
//! cost is charged where there are two.
//!
//! It is immutable and named by its content, so that whoever has the name can price a call again
//! as it was priced at first.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::call::{Call, Priced};
use super::commitment::{self, Commitment, Committed};
use super::list::{Found, PriceList};
use super::overrides::{self, Override, Rule, Terms};
use super::own::Own;
use super::pricer::{Prefer, Pricer};
use super::rates::{self, FACTOR_ONE, InForce, NoAmount, Rates};
use super::which::OverrideFault;
use crate::money;

/// Longer names are no models; searching them with patterns costs too much.
const NAME_BYTES_MAX: usize = 200;

/// How many meanings of (provider, server, models) are remembered; then all are forgotten.
const REMEMBERED_MAX: usize = 8192;

/// Digits of the content's hash in a tariff's name.
const HASH_DIGITS: usize = 12;

/// The form of kept tariffs.
const FORMAT: u32 = 1;

/// What a tenant's calls cost.
#[derive(Debug)]
pub struct Tariff {
    list: Arc<PriceList>,
    rules: Vec<Rule>,
    committed: Vec<Committed>,
    prefer: Prefer,
    name: Box<str>,
    kept: Box<str>,
    remembered: RwLock<HashMap<Box<str>, Arc<Meaning>>>,
}

/// What the names in a call were found to mean.
#[derive(Debug)]
pub(crate) struct Meaning {
    /// Own prices whose names fit, in their order, and how `price_ref` names each.
    own: Box<[(usize, Arc<str>)]>,
    /// The list's entry, and how `price_ref` names it.
    entry: Option<(Found, Arc<str>)>,
}

/// The tariff as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    list: String,
    list_hash: String,
    prefer: Prefer,
    overrides: Vec<Override>,
    /// Left out where there are none, so that names from before there were any stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commitments: Vec<Commitment>,
}

/// Why a kept tariff cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptError {
    /// It is not of a form that this weir reads.
    #[error("it is not of a form that this weir reads")]
    Form(#[from] serde_json::Error),
    /// A newer weir wrote it, in a form that this one does not read.
    #[error("it has format {0}, which this weir does not read")]
    Format(u32),
    /// It was changed: its content is not what its name says.
    #[error("its content is not the one that its name stands for")]
    Changed,
    /// The list that it rests on is not there.
    #[error("the list {0} that it rests on is missing")]
    NoList(String),
    /// Its own prices are not understood.
    #[error("its own prices have faults")]
    Overrides,
}

/// The entry that a call would be priced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// As in `price_ref`.
    pub reference: Arc<str>,
    /// Rates in force, by the list's names of units: the base, and beyond so many input tokens.
    /// Dollars for a million of what ends in `_mtok`, for a thousand of what ends in `_kcount`.
    pub rates: Vec<QuotedRate>,
    /// What the sum is multiplied by.
    pub factor: Option<String>,
}

/// A rate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedRate {
    /// The unit.
    pub unit: &'static str,
    /// Dollars, up to the first tier.
    pub base: String,
    /// Beyond so many input tokens, dollars for all.
    pub tiers: Vec<(i64, String)>,
}

/// Which prices hold for a call: the rates, what their sum is multiplied by, and the reference.
struct Chosen<'a> {
    rates: InForce<'a>,
    factor: i128,
    reference: &'a Arc<str>,
}

impl Tariff {
    /// Puts a tariff together; what is for other tenants must be left out already.
    ///
    /// # Errors
    ///
    /// All faults of the prices, or else of the commitments.
    pub fn new(
        list: Arc<PriceList>,
        own: impl Into<Own>,
        prefer: Prefer,
    ) -> Result<Self, Vec<OverrideFault>> {
        let own = own.into();
        let rules = overrides::compile(&own.prices)?;
        let committed = commitment::compile(&own.commitments)?;
        Ok(Self::assemble(list, (rules, committed), own, prefer))
    }

    fn assemble(
        list: Arc<PriceList>,
        (rules, committed): (Vec<Rule>, Vec<Committed>),
        own: Own,
        prefer: Prefer,
    ) -> Self {
        let kept = Kept {
            format: FORMAT,
            list: list.version().to_owned(),
            list_hash: list.hash().to_hex().to_string(),
            prefer,
            overrides: own.prices,
            commitments: own.commitments,
        };
        // Text, numbers and maps by text: there is nothing that JSON could not say.
        let kept = serde_json::to_string(&kept).unwrap_or_default();
        Self {
            name: name_of(list.version(), &kept).into(),
            list,
            rules,
            committed,
            prefer,
            kept: kept.into(),
            remembered: RwLock::default(),
        }
    }

    /// The list that is built in, without prices of one's own; the reported cost is preferred.
    ///
    /// # Errors
    ///
    /// Where the list is not readable.
    pub fn standard() -> Result<Self, super::ListError> {
        let list = Arc::new(PriceList::standard()?);
        let nothing = (Vec::new(), Vec::new());
        Ok(Self::assemble(
            list,
            nothing,
            Own::default(),
            Prefer::Reported,
        ))
    }

    /// Its name: the list's version, and a hash of all that a price depends on.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The list that it rests on.
    pub fn list(&self) -> &Arc<PriceList> {
        &self.list
    }

    /// Which cost is charged where there are two.
    pub fn prefer(&self) -> Prefer {
        self.prefer
    }

    /// What was committed to spend, in the order of the file.
    pub fn commitments(&self) -> &[Committed] {
        &self.committed
    }

    /// Whether it holds something that is for another tenant than `tenant` alone.
    pub fn is_of_another(&self, tenant: &str) -> bool {
        let kept = serde_json::from_str::<Kept>(&self.kept);
        kept.is_ok_and(|kept| {
            let own = Own {
                prices: kept.overrides,
                commitments: kept.commitments,
            };
            own.tenants().any(|whose| whose != tenant)
        })
    }

    /// What must be kept to have it again, beside the list: the text that [`Tariff::of_kept`] takes.
    pub fn kept(&self) -> &str {
        &self.kept
    }

    /// The tariff of that name from what was kept; `list` gives a price list by version and hash.
    ///
    /// # Errors
    ///
    /// Where it is damaged, or its list is missing.
    pub fn of_kept(
        name: &str,
        kept: &str,
        list: impl FnOnce(&str, &str) -> Option<Arc<PriceList>>,
    ) -> Result<Self, KeptError> {
        let read: Kept = serde_json::from_str(kept)?;
        if read.format != FORMAT {
            return Err(KeptError::Format(read.format));
        }
        if name_of(&read.list, kept) != name {
            return Err(KeptError::Changed);
        }
        let list = list(&read.list, &read.list_hash).ok_or(KeptError::NoList(read.list))?;
        if list.hash().to_hex().as_str() != read.list_hash {
            return Err(KeptError::Changed);
        }
        let rules = overrides::compile(&read.overrides).map_err(|_| KeptError::Overrides)?;
        let committed = commitment::compile(&read.commitments);
        Ok(Self {
            list,
            rules,
            committed: committed.map_err(|_| KeptError::Overrides)?,
            prefer: read.prefer,
            name: name.into(),
            kept: kept.into(),
            remembered: RwLock::default(),
        })
    }

    /// Prices `call`.
    pub fn price(&self, call: &Call<'_>) -> Priced {
        self.price_as(&self.meaning(call), call)
    }

    /// Prices `call`, whose names mean `meaning`.
    pub(crate) fn price_as(&self, meaning: &Meaning, call: &Call<'_>) -> Priced {
        let Some(chosen) = self.choose(meaning, call) else {
            return Priced::Unpriced;
        };
        let amount = chosen.rates.exact(&call.tokens).and_then(|sum| {
            if chosen.factor == FACTOR_ONE {
                return Ok(rates::rounded(sum));
            }
            rates::rounded_times(sum, chosen.factor).ok_or(NoAmount::Undecided)
        });
        match amount {
            Ok(amount) => Priced::Amount(amount, Arc::clone(chosen.reference)),
            Err(NoAmount::Inconsistent) => Priced::InvalidUsage,
            Err(NoAmount::Undecided) => Priced::Unpriced,
        }
    }

    /// The entry that `call` would be priced by; `None` where there is none.
    pub fn quote(&self, call: &Call<'_>) -> Option<Quote> {
        let meaning = self.meaning(call);
        let chosen = self.choose(&meaning, call)?;
        let rates = chosen.rates.all().map(|(unit, rate)| {
            let (base, tiers) = rate.shown();
            QuotedRate {
                unit: unit.key(),
                base,
                tiers,
            }
        });
        Some(Quote {
            reference: Arc::clone(chosen.reference),
            rates: rates.collect(),
            factor: (chosen.factor != FACTOR_ONE).then(|| money::shown(chosen.factor, 9)),
        })
    }

    /// Own prices first, in the order of the file, then the list's.
    fn choose<'a>(&'a self, meaning: &'a Meaning, call: &Call<'_>) -> Option<Chosen<'a>> {
        let of_list = |found: Found| self.list.model(found)?.in_force(call, found.own());
        for (index, reference) in &meaning.own {
            let Some(rule) = self.rules.get(*index).filter(|r| r.fits(call)) else {
                continue;
            };
            let (rates, factor) = match &rule.terms {
                Terms::Rates(own) => (Some(alone(own)), FACTOR_ONE),
                // A factor on a price that the list does not have says nothing.
                Terms::Factor(factor) => {
                    let found = meaning.entry.as_ref().map(|(found, _)| *found);
                    (found.and_then(of_list), *factor)
                }
            };
            if let Some(rates) = rates {
                return Some(Chosen {
                    rates,
                    factor,
                    reference,
                });
            }
        }
        let (found, reference) = meaning.entry.as_ref()?;
        Some(Chosen {
            rates: of_list(*found)?,
            factor: FACTOR_ONE,
            reference,
        })
    }

    /// What the names in `call` mean, remembered or found.
    pub(crate) fn meaning(&self, call: &Call<'_>) -> Arc<Meaning> {
        let mut key = String::with_capacity(96);
        for name in call.names() {
            let name = usable(name).unwrap_or_default();
            // A name that holds the mark itself only means that two calls share one search too few.
            let _ = write!(key, "{name}\u{1f}");
        }
        if let Some(known) = self.remembered.read().get(key.as_str()) {
            return Arc::clone(known);
        }
        let found = Arc::new(self.find(call));
        let mut remembered = self.remembered.write();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(key.into(), Arc::clone(&found));
        found
    }

    fn find(&self, call: &Call<'_>) -> Meaning {
        let [provider, server, ..] = call.names().map(usable);
        let models = call.models.map(usable);
        let mut models_given = models.into_iter().flatten();
        let entry = models_given.find_map(|model| self.entry(provider, server, model));
        let found = entry.map(|found| self.list.provider_id(found.provider));
        let lower = provider.map(str::to_lowercase);
        let mut own = Vec::new();
        for model in models.into_iter().flatten() {
            for (index, rule) in self.rules.iter().enumerate() {
                let known = own.iter().any(|(known, _)| *known == index);
                if !known && rule.which.names([lower.as_deref(), found], model) {
                    own.push((index, self.own_reference(rule, entry)));
                }
            }
        }
        own.sort_by_key(|(index, _)| *index);
        Meaning {
            own: own.into(),
            entry: entry.map(|found| (found, self.reference("", found, ""))),
        }
    }

    /// The list's entry for a model: by its provider's name, else by the server, else by the model
    /// alone, else by the provider that the model's name begins with.
    fn entry(&self, provider: Option<&str>, server: Option<&str>, model: &str) -> Option<Found> {
        let list = &*self.list;
        let prefixed = || {
            let (provider, model) = model.split_once('/')?;
            list.find(
                list.provider(provider).filter(|_| !provider.is_empty())?,
                model,
            )
        };
        if provider.is_some_and(|p| p.eq_ignore_ascii_case("litellm"))
            && let Some(found) = prefixed()
        {
            return Some(found);
        }
        let by_name = provider.and_then(|p| list.provider(p));
        by_name
            .and_then(|at| list.find(at, model))
            .or_else(|| list.find(list.provider_at(server?)?, model))
            .or_else(|| list.find(list.provider_of_model(model)?, model))
            .or_else(prefixed)
    }

    fn reference(&self, before: &str, found: Found, after: &str) -> Arc<str> {
        let provider = self.list.provider_id(found.provider);
        let model = self.list.model(found).map_or("", |m| m.id());
        format!("{}:{before}{provider}/{model}{after}", self.name).into()
    }

    fn own_reference(&self, rule: &Rule, entry: Option<Found>) -> Arc<str> {
        match (&rule.terms, entry) {
            (Terms::Factor(_), Some(found)) => {
                self.reference("", found, &format!("*{}", rule.name))
            }
            (Terms::Factor(_) | Terms::Rates(_), _) => {
                format!("{}:own/{}", self.name, rule.name).into()
            }
        }
    }

    /// The list's entry for a call, by its own rules alone: a provider that is named must be known.
    #[cfg(test)]
    pub(super) fn strictly(
        &self,
        call: &Call<'_>,
    ) -> Option<(String, String, Result<i128, NoAmount>)> {
        let model = call.models.into_iter().flatten().next()?;
        let prefixed = call.provider == Some("litellm");
        let at = match (call.provider, call.server) {
            (Some(provider), _) if !prefixed => self.list.provider(provider),
            (None, Some(server)) => self.list.provider_at(server),
            _ => self.list.provider_of_model(model),
        };
        let found = match at.and_then(|at| self.list.find(at, model)) {
            None if prefixed => self.entry(call.provider, None, model)?,
            found => found?,
        };
        let model = self.list.model(found)?;
        let amount = model.in_force(call, found.own())?.exact(&call.tokens);
        let provider = self.list.provider_id(found.provider).to_owned();
        Some((provider, model.id().to_owned(), amount.map(rates::rounded)))
    }

    /// How many meanings are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.remembered.read().len()
    }
}

impl Pricer for Tariff {
    fn price(&self, call: &Call<'_>) -> Priced {
        Self::price(self, call)
    }

    fn name(&self) -> &str {
        Self::name(self)
    }

    fn prefer(&self) -> Prefer {
        Self::prefer(self)
    }
}

fn alone(rates: &Rates) -> InForce<'_> {
    InForce {
        standard: rates,
        variants: Vec::new(),
    }
}

/// A name that can be searched for.
fn usable(name: Option<&str>) -> Option<&str> {
    name.filter(|n| !n.is_empty() && n.len() <= NAME_BYTES_MAX)
}

fn name_of(version: &str, kept: &str) -> String {
    let hash = blake3::hash(kept.as_bytes()).to_hex();
    let digits = hash.get(..HASH_DIGITS).unwrap_or_default();
    format!("{version}-{digits}")
}
