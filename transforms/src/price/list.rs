//! The price list, and which of its entries a call is priced by.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{NaiveDate, NaiveTime};
use genai_prices::{Calculator, ErrorKind, PriceRequest, Usage, UsageKey};
use parking_lot::RwLock;
use serde::Deserialize;

use super::rates::{InForce, NoAmount, Rates, Tokens};
use crate::money;

/// The list that is built in, as published.
const STANDARD: &[u8] = include_bytes!("../../data/genai-prices-0.2.1.json");

/// Its name in `price_ref`.
const STANDARD_NAME: &str = "genai-prices-0.2.1";

/// Longer names are no models; searching them with regular expressions costs too much.
const NAME_BYTES_MAX: usize = 200;

/// How many (provider, model) pairs are remembered; then all are forgotten.
const REMEMBERED_MAX: usize = 8192;

/// Amounts of the two calculations differ by less than this part of themselves.
const AGREEMENT: f64 = 1e-9;

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Why a price list cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It is not JSON of the published form.
    #[error("the price list is not readable")]
    Form(#[from] serde_json::Error),
    /// Its own library refuses it.
    #[error("the price list is not consistent")]
    Refused(#[from] genai_prices::Error),
}

/// What is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The provider under its common name; `None` where not known.
    pub provider: Option<&'a str>,
    /// Model names to try, best first.
    pub models: [Option<&'a str>; 2],
    /// When the call began, in microseconds since 1970 UTC.
    pub start_us: i64,
    /// The service tier.
    pub tier: Option<&'a str>,
    /// Whether it was a batch call.
    pub batch: bool,
    /// What it used.
    pub tokens: Tokens,
}

/// The outcome of pricing a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Priced {
    /// An amount in 10^-12 US dollars, and the list and entry that it comes from.
    Amount(i128, Arc<str>),
    /// No entry fits, or the entry leaves the amount open.
    Unpriced,
    /// Parts of the usage exceed what they are part of.
    InvalidUsage,
}

/// An immutable list of prices.
#[derive(Debug)]
pub struct PriceList {
    calculator: Calculator,
    providers: HashMap<String, Provider>,
    name: String,
    remembered: RwLock<Remembered>,
}

/// By provider (empty for none), then by model.
type Remembered = HashMap<Box<str>, HashMap<Box<str>, Option<Arc<Entry>>>>;

/// What a provider and a model name were found to mean.
#[derive(Debug)]
struct Entry {
    model: Arc<Model>,
    provider_id: String,
    /// Variants belong to the provider that defines them.
    variants: bool,
    /// Our amounts agree with those of the list's library.
    agrees: bool,
    reference: Arc<str>,
}

#[derive(Debug, Deserialize)]
struct Provider {
    id: String,
    #[serde(default)]
    fallback_model_providers: Vec<String>,
    models: Vec<Arc<Model>>,
}

#[derive(Debug, Deserialize)]
struct Model {
    id: String,
    prices: Prices,
    #[serde(default)]
    price_variants: Vec<Variant>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Prices {
    Conditional(Vec<Conditional>),
    Direct(Box<Rates>),
}

#[derive(Debug, Deserialize)]
struct Conditional {
    #[serde(default)]
    constraint: Option<Constraint>,
    prices: Rates,
}

#[derive(Debug, Deserialize)]
struct Variant {
    when: BTreeMap<String, String>,
    prices: Rates,
    #[serde(default)]
    constraint: Option<Constraint>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Constraint {
    From {
        start_date: NaiveDate,
    },
    Daily {
        start_time: String,
        end_time: String,
    },
}

impl Constraint {
    fn holds(constraint: Option<&Self>, seconds: i64) -> bool {
        match constraint {
            None => true,
            Some(Self::From { start_date }) => {
                let start = start_date.and_time(NaiveTime::MIN).and_utc();
                seconds >= start.timestamp()
            }
            Some(Self::Daily {
                start_time,
                end_time,
            }) => {
                let now = seconds.rem_euclid(DAY_SECONDS);
                match (second_of_day(start_time), second_of_day(end_time)) {
                    (Some(from), Some(to)) if to < from => now >= from || now < to,
                    (Some(from), Some(to)) => now >= from && now < to,
                    _ => false,
                }
            }
        }
    }
}

/// Seconds after midnight of a time in UTC; the list uses no other zone.
fn second_of_day(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text.strip_suffix('Z')?, "%H:%M:%S").ok()?;
    Some(time.signed_duration_since(NaiveTime::MIN).num_seconds())
}

impl Model {
    /// The rates in force for `call`; `None` for a model without any.
    fn rates(&self, call: &Call<'_>, variants: bool) -> Option<InForce<'_>> {
        let seconds = call.start_us.div_euclid(MICROS);
        let standard = match &self.prices {
            Prices::Direct(rates) => &**rates,
            Prices::Conditional(all) => {
                let holds = |c: &&Conditional| Constraint::holds(c.constraint.as_ref(), seconds);
                &all.iter().rev().find(holds).or(all.first())?.prices
            }
        };
        let fits = |v: &&Variant| {
            variants
                && v.when
                    .iter()
                    .all(|(key, value)| context(call, key) == Some(value))
                && Constraint::holds(v.constraint.as_ref(), seconds)
        };
        let variants = self.price_variants.iter().filter(fits).map(|v| &v.prices);
        Some(InForce {
            standard,
            variants: variants.collect(),
        })
    }

    /// What `call` costs by the rates in force.
    fn amount(&self, call: &Call<'_>, variants: bool) -> Result<i128, NoAmount> {
        let rates = self.rates(call, variants).ok_or(NoAmount::Undecided)?;
        rates.amount(&call.tokens)
    }
}

/// What variants may ask of a call.
fn context<'a>(call: &Call<'a>, key: &str) -> Option<&'a str> {
    match key {
        "processing" => (call.batch || call.tier == Some("batch")).then_some("batch"),
        "service_tier" => call.tier,
        _ => None,
    }
}

impl PriceList {
    /// The list that is built in.
    ///
    /// # Errors
    ///
    /// Where it is not readable; then nothing can be priced.
    pub fn standard() -> Result<Self, ListError> {
        let providers: Vec<Provider> = serde_json::from_slice(STANDARD)?;
        Ok(Self {
            calculator: Calculator::from_json(STANDARD)?,
            providers: providers.into_iter().map(|p| (p.id.clone(), p)).collect(),
            name: STANDARD_NAME.to_owned(),
            remembered: RwLock::default(),
        })
    }

    /// Its name, as it stands in `price_ref` before the colon.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Prices `call`.
    pub fn price(&self, call: &Call<'_>) -> Priced {
        let models = call.models.into_iter().flatten();
        let entry = models
            .filter(|m| m.len() <= NAME_BYTES_MAX)
            .find_map(|model| {
                let with = call.provider.and_then(|p| self.entry(Some(p), model));
                with.or_else(|| self.entry(None, model))
            });
        let Some(entry) = entry else {
            return Priced::Unpriced;
        };
        let amount = if entry.agrees {
            entry.model.amount(call, entry.variants)
        } else {
            self.by_library(&entry.provider_id, &entry.model.id, call)
        };
        match amount {
            Ok(amount) => Priced::Amount(amount, Arc::clone(&entry.reference)),
            Err(NoAmount::Inconsistent) => Priced::InvalidUsage,
            Err(NoAmount::Undecided) => Priced::Unpriced,
        }
    }

    /// The entry that a provider and a model name mean, remembered or found.
    fn entry(&self, provider: Option<&str>, model: &str) -> Option<Arc<Entry>> {
        let key = provider.unwrap_or_default();
        if key.len() > NAME_BYTES_MAX {
            return None;
        }
        if let Some(known) = self.remembered.read().get(key).and_then(|m| m.get(model)) {
            return known.clone();
        }
        let found = self.find(provider, model).map(Arc::new);
        let mut remembered = self.remembered.write();
        if remembered.values().map(HashMap::len).sum::<usize>() >= REMEMBERED_MAX {
            remembered.clear();
        }
        let of_provider = remembered.entry(key.into()).or_default();
        of_provider.insert(model.into(), found.clone());
        found
    }

    fn find(&self, provider: Option<&str>, model: &str) -> Option<Entry> {
        let usage = Usage::new();
        let mut request = PriceRequest::new(model, &usage);
        request.provider_id = provider;
        let found = self.calculator.calculate(&request).ok()?;
        let by = self.providers.get(&found.provider_id)?;
        let own = by.models.iter().find(|m| m.id == found.model_id);
        let borrowed = || {
            let others = by.fallback_model_providers.iter();
            let mut models = others
                .filter_map(|p| self.providers.get(p))
                .flat_map(|p| &p.models);
            models.find(|m| m.id == found.model_id)
        };
        let mut entry = Entry {
            model: Arc::clone(own.or_else(borrowed)?),
            variants: own.is_some(),
            agrees: false,
            reference: format!("{}:{}/{}", self.name, found.provider_id, found.model_id).into(),
            provider_id: found.provider_id,
        };
        entry.agrees = self.agrees(&entry, provider, model);
        Some(entry)
    }

    /// Whether our amounts are the library's, on both sides of any tier.
    fn agrees(&self, entry: &Entry, provider: Option<&str>, model: &str) -> bool {
        let small = Tokens {
            input: 10_007,
            output: 503,
            cache_read: 4_001,
            ..Tokens::default()
        };
        let large = Tokens {
            input: 1_900_003,
            cache_write: 70_001,
            ..small
        };
        [small, large].into_iter().all(|tokens| {
            let call = Call {
                provider,
                models: [Some(model), None],
                start_us: 1_767_225_600 * MICROS,
                tier: None,
                batch: false,
                tokens,
            };
            let ours = entry.model.amount(&call, entry.variants).ok();
            let theirs = self.library(provider, model, &call).ok();
            #[expect(clippy::cast_precision_loss, reason = "compared to a part in 10^9")]
            let ours = ours.map(|a| a as f64 / 1e12);
            match (ours, theirs) {
                (Some(a), Some(b)) => (a - b).abs() <= AGREEMENT * a.abs().max(1e-3),
                (None, None) => true,
                _ => false,
            }
        })
    }

    fn by_library(&self, provider: &str, model: &str, call: &Call<'_>) -> Result<i128, NoAmount> {
        let amount = self.library(Some(provider), model, call).map_err(|kind| {
            if kind == ErrorKind::InvalidUsage {
                NoAmount::Inconsistent
            } else {
                NoAmount::Undecided
            }
        })?;
        money::parse(&amount.to_string()).ok_or(NoAmount::Undecided)
    }

    /// The library's own amount.
    fn library(
        &self,
        provider: Option<&str>,
        model: &str,
        call: &Call<'_>,
    ) -> Result<f64, ErrorKind> {
        let usage = usage(&call.tokens);
        let mut request = PriceRequest::new(model, &usage);
        request.provider_id = provider;
        let since = Duration::from_micros(u64::try_from(call.start_us).unwrap_or_default());
        request.timestamp = SystemTime::UNIX_EPOCH.checked_add(since);
        for key in ["processing", "service_tier"] {
            if let Some(value) = context(call, key) {
                request.price_context.push((key, value));
            }
        }
        let priced = self.calculator.calculate(&request).map_err(|e| e.kind())?;
        Ok(priced.total_price)
    }
}

fn usage(tokens: &Tokens) -> Usage {
    let mut usage = Usage::from([
        (UsageKey::INPUT_TOKENS, as_f64(tokens.input)),
        (UsageKey::OUTPUT_TOKENS, as_f64(tokens.output)),
    ]);
    for (key, count) in [
        (UsageKey::CACHE_READ_TOKENS, tokens.cache_read),
        (UsageKey::CACHE_WRITE_TOKENS, tokens.cache_write),
        (UsageKey::CACHE_WRITE_1H_TOKENS, tokens.cache_write_1h),
        (UsageKey::OUTPUT_REASONING_TOKENS, tokens.reasoning),
        (UsageKey::INPUT_AUDIO_TOKENS, tokens.audio_input),
        (UsageKey::OUTPUT_AUDIO_TOKENS, tokens.audio_output),
        (UsageKey::INPUT_IMAGE_TOKENS, tokens.image_input),
        (UsageKey::OUTPUT_IMAGE_TOKENS, tokens.image_output),
    ] {
        if count > 0 {
            usage.insert(key, as_f64(count));
        }
    }
    usage
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the library counts in doubles; plausible counts are exact in them"
)]
fn as_f64(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
