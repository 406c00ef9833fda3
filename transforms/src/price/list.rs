//! The price list: its providers and models, and which of them a call means.
//!
//! The list is Pydantic's `genai-prices`, as it is published. It is read once into what pricing
//! needs of it, about a megabyte; descriptions and the like are passed over.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{NaiveDate, NaiveTime};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::call::Call;
use super::clause::{Clause, Pattern};
use super::rates::{InForce, Rates};

/// The list that is built in, as published.
const STANDARD: &[u8] = include_bytes!("../../data/genai-prices-0.2.1.json");

/// Its publisher's name and version.
const STANDARD_VERSION: &str = "genai-prices-0.2.1";

const DAY_SECONDS: i64 = 86_400;

/// Why a price list cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It is not JSON of the published form, or prices by a unit that is not known.
    #[error("the price list is not readable")]
    Form(#[from] serde_json::Error),
    /// It holds no prices.
    #[error("the price list {0} is empty")]
    Empty(String),
}

/// An immutable list of prices, named by its content.
#[derive(Debug)]
pub struct PriceList {
    providers: Vec<Provider>,
    version: Box<str>,
    hash: blake3::Hash,
}

/// Whose prices: the place of a provider in the list.
pub(super) type ProviderAt = u16;

#[derive(Debug, Deserialize)]
struct Provider {
    id: Box<str>,
    api_pattern: Pattern,
    #[serde(default)]
    provider_match: Option<Clause>,
    #[serde(default)]
    model_match: Option<Clause>,
    #[serde(default)]
    fallback_model_providers: Box<[Box<str>]>,
    models: Box<[Model]>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Model {
    id: Box<str>,
    #[serde(rename = "match")]
    names: Clause,
    prices: Prices,
    #[serde(default)]
    price_variants: Box<[Variant]>,
}

#[derive(Debug)]
enum Prices {
    Conditional(Box<[Conditional]>),
    Direct(Rates),
}

/// By hand, since serde's own way to tell two forms apart would read each rate as a binary float.
impl<'de> Deserialize<'de> for Prices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Prices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rates, or a list of rates with conditions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Prices, A::Error> {
                let all = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(Prices::Conditional(all.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Prices, A::Error> {
                Ok(Prices::Direct(Rates::of_map(map)?))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Deserialize)]
struct Conditional {
    #[serde(default)]
    constraint: Option<Constraint>,
    prices: Rates,
}

#[derive(Debug, Deserialize)]
struct Variant {
    when: BTreeMap<Box<str>, Box<str>>,
    prices: Rates,
    #[serde(default)]
    constraint: Option<Constraint>,
}

/// When a price holds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "FileConstraint")]
enum Constraint {
    /// From this second on.
    From(i64),
    /// Each day between these seconds; over midnight where the first is the later.
    Daily(i64, i64),
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum FileConstraint {
    From {
        start_date: NaiveDate,
    },
    Daily {
        start_time: String,
        end_time: String,
    },
}

impl TryFrom<FileConstraint> for Constraint {
    type Error = &'static str;

    fn try_from(constraint: FileConstraint) -> Result<Self, Self::Error> {
        Ok(match constraint {
            FileConstraint::From { start_date } => {
                Self::From(start_date.and_time(NaiveTime::MIN).and_utc().timestamp())
            }
            FileConstraint::Daily {
                start_time,
                end_time,
            } => {
                let second = |text: &str| {
                    let time = NaiveTime::parse_from_str(text.strip_suffix('Z')?, "%H:%M:%S");
                    Some(
                        time.ok()?
                            .signed_duration_since(NaiveTime::MIN)
                            .num_seconds(),
                    )
                };
                let both = second(&start_time).zip(second(&end_time));
                let (from, to) = both.ok_or("a time of day is not in UTC")?;
                Self::Daily(from, to)
            }
        })
    }
}

impl Constraint {
    fn holds(self, seconds: i64) -> bool {
        match self {
            Self::From(start) => seconds >= start,
            Self::Daily(from, to) => {
                let now = seconds.rem_euclid(DAY_SECONDS);
                if to < from {
                    now >= from || now < to
                } else {
                    now >= from && now < to
                }
            }
        }
    }
}

fn holds(constraint: Option<&Constraint>, seconds: i64) -> bool {
    constraint.is_none_or(|c| c.holds(seconds))
}

impl Model {
    /// Its name in the list.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The rates in force for `call`; `None` for a model without any. The last price whose condition
    /// holds counts, else the first; above it those variants that fit, unit by unit.
    ///
    /// With `variants` off none does: variants belong to the provider that defines them, and a model
    /// that is borrowed from another has its standard rates.
    pub(super) fn in_force(&self, call: &Call<'_>, variants: bool) -> Option<InForce<'_>> {
        let seconds = call.seconds();
        let standard = match &self.prices {
            Prices::Direct(rates) => rates,
            Prices::Conditional(all) => {
                let active = |c: &&Conditional| holds(c.constraint.as_ref(), seconds);
                &all.iter().rev().find(active).or(all.first())?.prices
            }
        };
        let fits = |v: &&Variant| {
            let asked = v.when.iter();
            let mut asked = asked.map(|(key, value)| call.context(key) == Some(&**value));
            variants && asked.all(|fits| fits) && holds(v.constraint.as_ref(), seconds)
        };
        // Nearly all variants ask for something that most calls do not have.
        let ordinary = call.tier.is_none() && !call.batch;
        let may_fit = |v: &&Variant| !ordinary || v.when.is_empty();
        let variants = self.price_variants.iter().filter(may_fit);
        let variants = variants.filter(fits).map(|v| &v.prices);
        Some(InForce {
            standard,
            variants: variants.collect(),
        })
    }
}

/// What a call was found to mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The provider that the call is billed by.
    pub(super) provider: ProviderAt,
    /// The model: the provider that defines it, and its place there.
    model: (ProviderAt, usize),
}

impl Found {
    /// Whether the provider defines the model itself.
    pub(super) fn own(self) -> bool {
        self.provider == self.model.0
    }
}

impl PriceList {
    /// The list that is built in.
    ///
    /// # Errors
    ///
    /// Where it is not readable; then nothing can be priced.
    pub fn standard() -> Result<Self, ListError> {
        Self::read(STANDARD_VERSION, STANDARD)
    }

    /// The text of the list that is built in, and its version: what [`PriceList::read`] takes.
    pub fn standard_text() -> (&'static str, &'static [u8]) {
        (STANDARD_VERSION, STANDARD)
    }

    /// Reads a list of the published form.
    ///
    /// # Errors
    ///
    /// Where it is not of that form, or prices by a unit that is not known: nothing of it is used.
    pub fn read(version: &str, json: &[u8]) -> Result<Self, ListError> {
        let providers: Vec<Provider> = serde_json::from_slice(json)?;
        if providers.is_empty() {
            return Err(ListError::Empty(version.to_owned()));
        }
        Ok(Self {
            providers,
            version: version.into(),
            hash: blake3::hash(json),
        })
    }

    /// Its publisher's name and version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The hash of its text.
    pub fn hash(&self) -> blake3::Hash {
        self.hash
    }

    fn at(&self, at: ProviderAt) -> Option<&Provider> {
        self.providers.get(usize::from(at))
    }

    /// The provider's name in the list.
    pub(super) fn provider_id(&self, at: ProviderAt) -> &str {
        self.at(at).map_or("", |p| &p.id)
    }

    /// The model that was found.
    pub(super) fn model(&self, found: Found) -> Option<&Model> {
        self.at(found.model.0)?.models.get(found.model.1)
    }

    /// The first provider of which `fits` is true.
    fn position(&self, fits: impl Fn(&Provider) -> bool) -> Option<ProviderAt> {
        let at = self.providers.iter().position(fits)?;
        ProviderAt::try_from(at).ok()
    }

    /// The provider of that name: by its id, else by a clause of the list.
    pub(super) fn provider(&self, name: &str) -> Option<ProviderAt> {
        let name = name.trim().to_lowercase();
        let by_id = self.position(|p| *p.id == *name);
        by_id.or_else(|| {
            self.position(|p| p.provider_match.as_ref().is_some_and(|c| c.holds(&name)))
        })
    }

    /// The provider at that address or URL.
    pub(super) fn provider_at(&self, server: &str) -> Option<ProviderAt> {
        if server.contains("://") {
            return self.position(|p| p.api_pattern.is_in(server));
        }
        let url = format!("https://{server}/");
        self.position(|p| p.api_pattern.is_in(&url))
    }

    /// The provider whose models are called so.
    pub(super) fn provider_of_model(&self, model: &str) -> Option<ProviderAt> {
        let model = model.to_lowercase();
        self.position(|p| p.model_match.as_ref().is_some_and(|c| c.holds(&model)))
    }

    /// The provider's model of that name, or that of a provider that it borrows from; tried again
    /// with a compact date (`-20251211`) written out.
    pub(super) fn find(&self, provider: ProviderAt, model: &str) -> Option<Found> {
        let model = model.to_lowercase();
        self.find_or_borrow(provider, &model).or_else(|| {
            let written_out = super::date::written_out(&model)?;
            self.find_or_borrow(provider, &written_out)
        })
    }

    fn find_or_borrow(&self, provider: ProviderAt, model: &str) -> Option<Found> {
        let own = |at: ProviderAt| {
            let models = &self.at(at)?.models;
            let found = models.iter().position(|m| m.names.holds(model))?;
            Some(Found {
                provider,
                model: (at, found),
            })
        };
        own(provider).or_else(|| {
            let others = self.at(provider)?.fallback_model_providers.iter();
            let mut others = others.filter_map(|id| self.position(|p| p.id == *id));
            others.find_map(own)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_list_can_be_compiled() {
        let list = PriceList::standard().expect("the list");
        let mut patterns = Vec::new();
        for provider in &list.providers {
            patterns.push(&provider.api_pattern);
            let clauses = provider.models.iter().map(|m| &m.names);
            let own = [&provider.provider_match, &provider.model_match];
            for clause in clauses.chain(own.into_iter().flatten()) {
                clause.patterns(&mut patterns);
            }
        }
        assert!(patterns.len() > 100, "{}", patterns.len());
        assert!(patterns.iter().all(|p| p.is_good()));
    }

    #[test]
    fn an_unknown_unit_or_condition_fails_the_load() {
        let list = |prices: &str| {
            let json = format!(
                r#"[{{"id": "p", "api_pattern": "p", "models":
                    [{{"id": "m", "match": {{"equals": "m"}}, "prices": {prices}}}]}}]"#
            );
            PriceList::read("test", json.as_bytes())
        };
        assert!(list(r#"{"input_mtok": 1, "input_video_mtok": 2}"#).is_ok());
        for bad in [
            r#"{"input_mtok": 1, "output_smell_mtok": 2}"#,
            r#"{"input_mtok": -1}"#,
            r#"{"input_mtok": "free"}"#,
            r#"[{"prices": {"input_mtok": 1}, "constraint": {"moon": "full"}}]"#,
            r#"[{"prices": {"input_mtok": 1}, "constraint": {"start_time": "1", "end_time": "2"}}]"#,
        ] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }
}
