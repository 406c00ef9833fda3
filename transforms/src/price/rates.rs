//! Rates of one model, and what a call costs by them.
//!
//! ```text
//! input  = plain + cache read + cache write (of which 1 h) + audio + image    each at its rate,
//! output = plain + reasoning + audio + image                                  if it has one
//! ```
//!
//! A part without a rate of its own is billed as what it is part of. Tiers are a cliff: beyond its
//! start on the *whole* input, a tier's rate holds for all tokens of its kind.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Number;

use crate::money;

/// Rates are integers of 10^-18 dollars per million (tokens) or thousand (requests).
const RATE_SCALE: i32 = 18;

/// From 10^-18 dollars per million tokens to 10^-12 dollars.
const TO_MONEY: i128 = 10_i128.pow(6 + 18 - 12);

/// Token counts of a call; parts are contained in their whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input, cached, audio and image tokens included.
    pub input: i64,
    /// All output, reasoning, audio and image tokens included.
    pub output: i64,
    /// Of the input, read from the cache.
    pub cache_read: i64,
    /// Of the input, written to the cache.
    pub cache_write: i64,
    /// Of those written, kept for an hour.
    pub cache_write_1h: i64,
    /// Of the output, reasoning.
    pub reasoning: i64,
    /// Of the input, audio.
    pub audio_input: i64,
    /// Of the output, audio.
    pub audio_output: i64,
    /// Of the input, images.
    pub image_input: i64,
    /// Of the output, images.
    pub image_output: i64,
}

/// Why there is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAmount {
    /// Parts are larger than what they are part of.
    Inconsistent,
    /// The parts overlap in a way that the counts do not tell, or the amount has too many digits.
    Undecided,
}

/// A rate, by the size of the whole input.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "FileRate")]
pub(super) struct Rate {
    base: i128,
    /// By start, ascending.
    tiers: Vec<(i64, i128)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileRate {
    Flat(Number),
    Tiered { base: Number, tiers: Vec<FileTier> },
}

#[derive(Deserialize)]
struct FileTier {
    start: i64,
    price: Number,
}

impl TryFrom<FileRate> for Rate {
    type Error = &'static str;

    fn try_from(rate: FileRate) -> Result<Self, Self::Error> {
        // The text of a number is its shortest; the list is made from such texts.
        let exact = |n: &Number| {
            let rate = money::decimal(&n.to_string(), RATE_SCALE).filter(|r| *r >= 0);
            rate.ok_or("a rate is no amount")
        };
        let (base, tiers) = match rate {
            FileRate::Flat(base) => (base, Vec::new()),
            FileRate::Tiered { base, tiers } => (base, tiers),
        };
        let tiers = tiers
            .iter()
            .map(|t| exact(&t.price).map(|rate| (t.start, rate)));
        let mut tiers = tiers.collect::<Result<Vec<_>, Self::Error>>()?;
        tiers.sort_unstable();
        Ok(Self {
            base: exact(&base)?,
            tiers,
        })
    }
}

impl Rate {
    fn at(&self, input: i64) -> i128 {
        let tier = self.tiers.iter().rev().find(|(start, _)| input > *start);
        tier.map_or(self.base, |(_, rate)| *rate)
    }
}

/// What has a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Unit {
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
}

/// The units, by their keys in the list; other keys price what spans do not count.
const UNITS: [(&str, Unit); 11] = [
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
];

/// The rates of a list entry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<String, Rate>")]
pub(super) struct Rates([Option<Rate>; UNITS.len()]);

impl From<BTreeMap<String, Rate>> for Rates {
    fn from(mut by_key: BTreeMap<String, Rate>) -> Self {
        let mut rates = Self::default();
        for (key, unit) in UNITS {
            if let Some(slot) = rates.0.get_mut(unit as usize) {
                *slot = by_key.remove(key);
            }
        }
        rates
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
        let of = |rates: &'a Rates| rates.0.get(unit as usize).and_then(Option::as_ref);
        let variant = self.variants.iter().find_map(|rates| of(rates));
        variant.or_else(|| of(self.standard))
    }

    /// What `tokens` cost, in 10^-12 dollars, rounded half to even once.
    pub(super) fn amount(&self, tokens: &Tokens) -> Result<i128, NoAmount> {
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
        if let Some(rate) = self.get(Unit::Requests) {
            bill.add(rate.at(tokens.input), 1000)?;
        }
        Ok(money::divide_half_even(bill.sum, TO_MONEY))
    }
}

/// A sum in the making, in 10^-24 dollars.
struct Bill<'a, 'r> {
    rates: &'a InForce<'r>,
    input: i64,
    sum: i128,
}

impl Bill<'_, '_> {
    /// Bills `count` less the parts of it that were billed; returns what has been billed of it.
    fn part(&mut self, unit: Unit, count: i64, billed: i64) -> Result<i64, NoAmount> {
        let Some(rate) = self.rates.get(unit) else {
            return Ok(0);
        };
        if billed > count || count < 0 {
            return Err(NoAmount::Inconsistent);
        }
        self.add(rate.at(self.input), count - billed)?;
        Ok(count)
    }

    fn add(&mut self, rate: i128, count: i64) -> Result<(), NoAmount> {
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
        InForce {
            standard: &rates,
            variants: Vec::new(),
        }
        .amount(&tokens)
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
