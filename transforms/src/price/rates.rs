//! Rates of one model, and what a call costs by them.
//!
//! ```text
//! input  = plain + cache read + cache write (of which 1 h) + audio + image    each at its rate,
//! output = plain + reasoning + audio + image                                  if it has one
//! ```
//!
//! A part without a rate of its own is billed as what it is part of. Tiers are a cliff: beyond its
//! start on the *whole* input, a tier's rate holds for all tokens of its kind.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::call::Tokens;
use crate::money;

/// Rates are integers of 10^-18 dollars per million (tokens) or thousand (requests).
const RATE_SCALE: i32 = 18;

/// The highest rate: a million dollars. With it no plausible call overflows a sum.
const RATE_MAX: i128 = 10_i128.pow(6 + 18);

/// Up to so many of a unit no product needs a check: with [`RATE_MAX`] it is below 10^36.
const COUNT_MAX: i64 = 1_000_000_000_000;

/// From 10^-18 dollars per million tokens to 10^-12 dollars.
const TO_MONEY: i128 = 10_i128.pow(6 + 18 - 12);

/// Why there is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAmount {
    /// Parts are larger than what they are part of.
    Inconsistent,
    /// The parts overlap in a way that the counts do not tell, or the amount has too many digits.
    Undecided,
}

/// A rate, by the size of the whole input.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    base: i128,
    /// By start, ascending.
    tiers: Box<[(i64, i128)]>,
}

#[derive(Deserialize)]
struct FileTiered<'a> {
    #[serde(borrow)]
    base: &'a RawValue,
    #[serde(borrow)]
    tiers: Vec<FileTier<'a>>,
}

#[derive(Deserialize)]
struct FileTier<'a> {
    start: i64,
    #[serde(borrow)]
    price: &'a RawValue,
}

impl Rate {
    /// `base` in 10^-18 dollars up to the first tier, and beyond the start of each its own.
    pub(super) fn new(base: i128, mut tiers: Vec<(i64, i128)>) -> Self {
        tiers.sort_unstable();
        Self {
            base,
            tiers: tiers.into(),
        }
    }

    /// Reads a rate as the list has it, by the digits that are written there.
    fn read(json: &RawValue) -> Result<Self, String> {
        let dollars = |json: &RawValue| {
            let rate = Self::dollars(json.get());
            rate.ok_or_else(|| format!("{} is no rate", json.get()))
        };
        if !json.get().starts_with('{') {
            return Ok(Self::new(dollars(json)?, Vec::new()));
        }
        let tiered: FileTiered<'_> =
            serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
        let tiers = tiered.tiers.iter();
        let tiers = tiers.map(|tier| Ok((tier.start, dollars(tier.price)?)));
        Ok(Self::new(
            dollars(tiered.base)?,
            tiers.collect::<Result<_, String>>()?,
        ))
    }

    /// Reads a decimal number of dollars; `None` where it is none, or negative, or beyond
    /// 10^6 dollars.
    pub(super) fn dollars(text: &str) -> Option<i128> {
        let rate = money::decimal(text, RATE_SCALE)?;
        (0..=RATE_MAX).contains(&rate).then_some(rate)
    }

    /// The rate in words: its base, and its tiers by start.
    pub(super) fn shown(&self) -> (String, Vec<(i64, String)>) {
        let text = |rate: i128| money::shown(rate, RATE_SCALE.unsigned_abs());
        let tiers = self.tiers.iter().map(|(start, rate)| (*start, text(*rate)));
        (text(self.base), tiers.collect())
    }

    fn at(&self, input: i64) -> i128 {
        let tier = self.tiers.iter().rev().find(|(start, _)| input > *start);
        tier.map_or(self.base, |(_, rate)| *rate)
    }
}

/// What has a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Unit {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    Reasoning,
    AudioInput,
    AudioOutput,
    ImageInput,
    ImageOutput,
    Requests,
    WebSearches,
}

/// The units that calls are billed by, by their keys in the list.
const UNITS: [(&str, Unit); 12] = [
    ("input_mtok", Unit::Input),
    ("output_mtok", Unit::Output),
    ("cache_read_mtok", Unit::CacheRead),
    ("cache_write_mtok", Unit::CacheWrite),
    ("cache_write_1h_mtok", Unit::CacheWrite1h),
    ("output_reasoning_mtok", Unit::Reasoning),
    ("input_audio_mtok", Unit::AudioInput),
    ("output_audio_mtok", Unit::AudioOutput),
    ("input_image_mtok", Unit::ImageInput),
    ("output_image_mtok", Unit::ImageOutput),
    ("requests_kcount", Unit::Requests),
    ("web_searches_kcount", Unit::WebSearches),
];

/// Units that the list knows and spans do not count, so that nothing is billed by them. A unit in
/// neither table fails the load of the list: it must not be priced as nothing.
const NOT_COUNTED: [&str; 14] = [
    "audio_hours",
    "cache_audio_read_mtok",
    "cache_image_read_mtok",
    "input_annotated_document_kpages",
    "input_audio_hours",
    "input_document_kpages",
    "input_mchars",
    "input_text_messages_kcount",
    "input_video_mtok",
    "output_audio_hours",
    "output_citation_mtok",
    "output_mchars",
    "output_video_mtok",
    "storage_searches_kcount",
];

impl Unit {
    /// Its key in the list.
    pub(super) fn key(self) -> &'static str {
        let found = UNITS.iter().find(|(_, unit)| *unit == self);
        found.map_or("", |(key, _)| key)
    }
}

/// The rates of a list entry, few of all units.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates(Box<[(Unit, Rate)]>);

impl<'de> Deserialize<'de> for Rates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByKey;

        impl<'de> Visitor<'de> for ByKey {
            type Value = Rates;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rates by unit")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rates, A::Error> {
                Rates::of_map(map)
            }
        }

        deserializer.deserialize_map(ByKey)
    }
}

impl Rates {
    /// Reads rates by unit.
    ///
    /// # Errors
    ///
    /// Where a unit is not known, or a rate is none.
    pub(super) fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut rates = Vec::new();
        while let Some((key, json)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            let rate = Rate::read(json).map_err(A::Error::custom)?;
            match UNITS.iter().find(|(known, _)| *known == key) {
                Some((_, unit)) => rates.push((*unit, rate)),
                None if NOT_COUNTED.contains(&&*key) => {}
                None => return Err(A::Error::custom(format!("the unit {key} is not known"))),
            }
        }
        Ok(Self(rates.into()))
    }

    /// With these rates.
    pub(super) fn new(rates: Vec<(Unit, Rate)>) -> Self {
        Self(rates.into())
    }

    #[inline]
    fn get(&self, unit: Unit) -> Option<&Rate> {
        self.0.iter().find(|(u, _)| *u == unit).map(|(_, r)| r)
    }
}

/// The rates in force for one call.
pub(super) struct InForce<'a> {
    /// What holds where no variant says otherwise.
    pub(super) standard: &'a Rates,
    /// Rates for this kind of call, unit by unit; the first that has one wins.
    pub(super) variants: Vec<&'a Rates>,
}

impl<'a> InForce<'a> {
    #[inline]
    fn get(&self, unit: Unit) -> Option<&'a Rate> {
        let variant = self.variants.iter().find_map(|rates| rates.get(unit));
        variant.or_else(|| self.standard.get(unit))
    }

    /// The rate of each unit that has one.
    pub(super) fn all(&self) -> impl Iterator<Item = (Unit, &'a Rate)> + '_ {
        let units = UNITS.iter().map(|(_, unit)| *unit);
        units.filter_map(|unit| Some((unit, self.get(unit)?)))
    }

    /// What `tokens` cost, in 10^-24 dollars: exact, to be rounded once.
    pub(super) fn exact(&self, tokens: &Tokens) -> Result<i128, NoAmount> {
        let mut bill = Bill {
            rates: self,
            input: tokens.input,
            sum: 0,
        };
        let write_1h = bill.part(Unit::CacheWrite1h, tokens.cache_write_1h, 0)?;
        let write = bill.part(Unit::CacheWrite, tokens.cache_write, write_1h)?;
        let read = bill.part(Unit::CacheRead, tokens.cache_read, 0)?;
        let audio = bill.part(Unit::AudioInput, tokens.audio_input, 0)?;
        let image = bill.part(Unit::ImageInput, tokens.image_input, 0)?;
        if (audio > 0 || image > 0) && (read > 0 || write > 0) {
            return Err(NoAmount::Undecided);
        }
        // An hour's write without a rate for plain writes is still a part of the input.
        let written = if write > 0 { write } else { write_1h };
        let parts = [written, read, audio, image].iter().sum();
        bill.part(Unit::Input, tokens.input, parts)?;

        let reasoning = bill.part(Unit::Reasoning, tokens.reasoning, 0)?;
        let audio = bill.part(Unit::AudioOutput, tokens.audio_output, 0)?;
        let image = bill.part(Unit::ImageOutput, tokens.image_output, 0)?;
        if reasoning > 0 && (audio > 0 || image > 0) {
            return Err(NoAmount::Undecided);
        }
        bill.part(Unit::Output, tokens.output, reasoning + audio + image)?;
        // These rates are for a thousand, the others for a million.
        for (unit, count) in [
            (Unit::Requests, 1),
            (Unit::WebSearches, tokens.web_searches),
        ] {
            if let Some(rate) = self.get(unit).filter(|_| count != 0) {
                let count = u32::try_from(count).map_err(|_| NoAmount::Inconsistent)?;
                bill.add(rate.at(tokens.input), 1000 * i64::from(count))?;
            }
        }
        Ok(bill.sum)
    }
}

/// Rounds a sum of 10^-24 dollars half to even, to 10^-12 dollars.
pub(super) fn rounded(sum: i128) -> i128 {
    money::divide_half_even(sum, TO_MONEY)
}

/// As [`rounded`], of `sum` times `factor`, which is in 10^-9: rounded once, after both.
///
/// `None` where the product has more digits than an amount can have.
pub(super) fn rounded_times(sum: i128, factor: i128) -> Option<i128> {
    money::scale_half_even(sum, factor, FACTOR_ONE, TO_MONEY)
}

/// A factor of 1: factors are integers of 10^-9.
pub(super) const FACTOR_ONE: i128 = 10_i128.pow(9);

/// A sum in the making, in 10^-24 dollars.
struct Bill<'a, 'r> {
    rates: &'a InForce<'r>,
    input: i64,
    sum: i128,
}

impl Bill<'_, '_> {
    /// Bills `count` less the parts of it that were billed; returns what has been billed of it.
    #[inline]
    fn part(&mut self, unit: Unit, count: i64, billed: i64) -> Result<i64, NoAmount> {
        if count == 0 && billed == 0 {
            return Ok(0);
        }
        let Some(rate) = self.rates.get(unit) else {
            return Ok(0);
        };
        if billed > count || count < 0 {
            return Err(NoAmount::Inconsistent);
        }
        self.add(rate.at(self.input), count - billed)?;
        Ok(count)
    }

    #[inline]
    fn add(&mut self, rate: i128, count: i64) -> Result<(), NoAmount> {
        if count <= COUNT_MAX {
            // At most twelve products below 10^37 stay below 2^127.
            self.sum += rate * i128::from(count);
            return Ok(());
        }
        let cost = rate.checked_mul(count.into());
        let sum = cost.and_then(|c| self.sum.checked_add(c));
        self.sum = sum.ok_or(NoAmount::Undecided)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(rates: &str, tokens: Tokens) -> Result<i128, NoAmount> {
        let rates: Rates = serde_json::from_str(rates).expect("rates");
        let in_force = InForce {
            standard: &rates,
            variants: Vec::new(),
        };
        in_force.exact(&tokens).map(rounded)
    }

    #[test]
    fn a_tier_is_a_cliff_on_the_whole_input() {
        let rates = r#"{"input_mtok": {"base": 3, "tiers": [{"start": 200000, "price": 6}]}}"#;
        let of = |input| {
            amount(
                rates,
                Tokens {
                    input,
                    ..Tokens::default()
                },
            )
        };
        assert_eq!(of(200_000), Ok(600_000_000_000));
        assert_eq!(of(200_001), Ok(1_200_006_000_000));
    }

    #[test]
    fn a_part_without_a_rate_is_billed_as_the_whole() {
        let tokens = Tokens {
            input: 100,
            cache_read: 40,
            ..Tokens::default()
        };
        let whole = amount(r#"{"input_mtok": 1}"#, tokens);
        assert_eq!(whole, Ok(100_000_000));
        let parted = amount(r#"{"input_mtok": 1, "cache_read_mtok": 0.1}"#, tokens);
        assert_eq!(parted, Ok(64_000_000));
    }

    #[test]
    fn parts_that_exceed_the_whole_or_overlap_give_no_amount() {
        let rates = r#"{"input_mtok": 1, "cache_read_mtok": 0.1, "input_audio_mtok": 2}"#;
        let too_many = Tokens {
            input: 10,
            cache_read: 11,
            ..Tokens::default()
        };
        assert_eq!(amount(rates, too_many), Err(NoAmount::Inconsistent));
        let overlap = Tokens {
            input: 10,
            cache_read: 2,
            audio_input: 2,
            ..Tokens::default()
        };
        assert_eq!(amount(rates, overlap), Err(NoAmount::Undecided));
    }

    #[test]
    fn a_rate_with_eighteen_digits_is_rounded_once() {
        let tokens = Tokens {
            input: 24_000_000,
            ..Tokens::default()
        };
        let rates = r#"{"input_mtok": 0.041666666666666664}"#;
        assert_eq!(amount(rates, tokens), Ok(1_000_000_000_000));
    }
}
