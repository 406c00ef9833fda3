//! Money is exact at all sizes: held against sums in numbers without bound.

use proptest::prelude::*;

use super::rates::{self, FACTOR_ONE, InForce, NoAmount, Rates};
use super::{Override, OverrideRate, Prefer, PriceList, Priced, Tariff, Tokens};
use crate::money;

/// The most tokens that a call can have.
const TOKENS_MAX: i64 = 100_000_000_000;

/// A natural number without bound, by its digits in base 10^9, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Big(Vec<u64>);

const BASE: u64 = 1_000_000_000;

impl Big {
    fn of(mut n: u128) -> Self {
        let mut digits = Vec::new();
        while n > 0 {
            digits.push(u64::try_from(n % u128::from(BASE)).expect("below the base"));
            n /= u128::from(BASE);
        }
        Self(digits)
    }

    fn plus(&self, other: &Self) -> Self {
        let mut carry = 0;
        let mut sum = Vec::new();
        for i in 0..self.0.len().max(other.0.len()) {
            let digit = |n: &Self| n.0.get(i).copied().unwrap_or(0);
            carry += digit(self) + digit(other);
            sum.push(carry % BASE);
            carry /= BASE;
        }
        sum.push(carry);
        Self(sum).trimmed()
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = Self(Vec::new());
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                let mut digits = vec![0; i + j];
                digits.extend([a * b % BASE, a * b / BASE]);
                product = product.plus(&Self(digits));
            }
        }
        product
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }
}

/// Whether `amount` is `sum / by`, rounded half to even: twice the distance is at most `by`, and
/// where it is `by` the amount is even.
fn is_rounded(amount: i128, sum: &Big, by: u128) -> bool {
    let amount = u128::try_from(amount).expect("no debt");
    let by = Big::of(by);
    let two = |n: &Big| n.plus(n);
    let (low, high) = (two(&Big::of(amount).times(&by)), two(sum));
    // 2 * amount * by - by <= 2 * sum <= 2 * amount * by + by, with the ends for even amounts.
    let (above, below) = (low.plus(&by), high.plus(&by));
    let less = |a: &Big, b: &Big| {
        (a.0.len(), a.0.iter().rev().collect::<Vec<_>>())
            < (b.0.len(), b.0.iter().rev().collect::<Vec<_>>())
    };
    let even = amount.is_multiple_of(2);
    let not_above = less(&high, &above) || even && high == above;
    let not_below = less(&low, &below) || even && low == below;
    not_above && not_below
}

fn rate_text(mantissa: u64, scale: u32) -> String {
    money::shown(i128::from(mantissa), scale)
}

/// A rate with up to eighteen digits behind the point, and its text.
fn any_rate() -> impl Strategy<Value = (u64, u32)> {
    (0u64..10_000_000_000_000_000, 0u32..=18).prop_filter("at most 10^6 dollars", |(m, scale)| {
        u128::from(*m) <= 10u128.pow(6 + scale)
    })
}

fn count() -> impl Strategy<Value = i64> {
    prop_oneof![0..=TOKENS_MAX, 0i64..10, TOKENS_MAX - 10..=TOKENS_MAX]
}

fn sum_of(parts: &[((u64, u32), i64)]) -> Big {
    parts
        .iter()
        .fold(Big(Vec::new()), |sum, ((m, scale), count)| {
            let unit = Big::of(10u128.pow(18 - scale));
            let count = Big::of(u128::try_from(*count).expect("a count"));
            sum.plus(&Big::of(u128::from(*m)).times(&unit).times(&count))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any rates of eighteen digits and any counts up to 10^11 of all kinds give the exact sum, and
    /// it is rounded once, half to even, by a factor or without.
    #[test]
    fn sums_are_exact_and_rounded_once(
        rates in prop::collection::vec(any_rate(), 4),
        input in count(), output in count(), read in count(), write in count(),
        factor in 0i128..=1_000 * FACTOR_ONE,
    ) {
        let text = |at: usize| rate_text(rates[at].0, rates[at].1);
        let json = format!(
            r#"{{"input_mtok": {}, "output_mtok": {}, "cache_read_mtok": {}, "cache_write_mtok": {}}}"#,
            text(0), text(1), text(2), text(3),
        );
        let entry: Rates = serde_json::from_str(&json).expect("rates");
        let in_force = InForce { standard: &entry, variants: Vec::new() };
        let tokens = Tokens { input, output, cache_read: read, cache_write: write, ..Tokens::default() };
        let sum = in_force.exact(&tokens);
        if read + write > input {
            prop_assert_eq!(sum, Err(NoAmount::Inconsistent));
            return Ok(());
        }
        let sum = sum.expect("a sum");
        let plain = input - read - write;
        let parts = [(rates[0], plain), (rates[1], output), (rates[2], read), (rates[3], write)];
        let expected = sum_of(&parts);
        prop_assert_eq!(Big::of(u128::try_from(sum).expect("no debt")), expected.clone());
        prop_assert!(is_rounded(rates::rounded(sum), &expected, 10u128.pow(12)));
        if let Some(amount) = rates::rounded_times(sum, factor) {
            let scaled = expected.times(&Big::of(u128::try_from(factor).expect("no debt")));
            prop_assert!(is_rounded(amount, &scaled, 10u128.pow(21)), "{amount}");
        }
    }

    /// Usage that is split over several calls costs, before rounding, what it costs together; after
    /// it the calls are at most half a unit each away.
    #[test]
    fn splits_cost_what_the_whole_costs(
        rate in any_rate(), cuts in prop::collection::vec(0..=TOKENS_MAX / 8, 1..8),
    ) {
        let json = format!(r#"{{"input_mtok": {}}}"#, rate_text(rate.0, rate.1));
        let entry: Rates = serde_json::from_str(&json).expect("rates");
        let of = |input| {
            let in_force = InForce { standard: &entry, variants: Vec::new() };
            in_force.exact(&Tokens { input, ..Tokens::default() }).expect("a sum")
        };
        let whole = of(cuts.iter().sum());
        let parts: i128 = cuts.iter().map(|input| of(*input)).sum();
        prop_assert_eq!(parts, whole);
        let rounded: i128 = cuts.iter().map(|input| rates::rounded(of(*input))).sum();
        let calls = i128::try_from(cuts.len()).expect("few");
        prop_assert!((2 * (rounded - rates::rounded(whole))).abs() <= calls + 1);
    }
}

fn own(entries: Vec<Override>) -> Tariff {
    let list = PriceList::standard().expect("the list");
    Tariff::new(list.into(), entries, Prefer::Reported).expect("good entries")
}

fn rates_of(input: &str) -> std::collections::BTreeMap<String, OverrideRate> {
    [("input".to_owned(), OverrideRate::Flat(input.to_owned()))].into()
}

/// Dollars to the last digit, by the entry that `reference` ends with.
fn priced(tariff: &Tariff, call: &super::Call<'_>) -> (String, String) {
    match tariff.price(call) {
        Priced::Amount(amount, reference) => {
            let (_, entry) = reference.split_once(':').expect("list and entry");
            (money::shown(amount, 12), entry.to_owned())
        }
        other @ (Priced::Unpriced | Priced::InvalidUsage) => (format!("{other:?}"), String::new()),
    }
}

/// Entries of every kind, in an order that counts.
fn entries() -> Vec<Override> {
    let entry = |name: &str| Override {
        name: Some(name.into()),
        ..Override::default()
    };
    vec![
        Override {
            model: Some("Llama-3".into()),
            provider: Some("vllm".into()),
            from: Some("2026-01-01".into()),
            until: Some("2026-07-01".into()),
            per_million: rates_of("1"),
            ..entry("first-half")
        },
        Override {
            model_prefix: Some("llama".into()),
            from: Some("2026-01-01T12:00:00+02:00".into()),
            per_million: rates_of("2"),
            ..Override::default()
        },
        Override {
            model_regex: Some("^Own-[0-9]+b$".into()),
            batch: Some(true),
            per_million: rates_of("0.5"),
            ..entry("own-batch")
        },
        Override {
            model_regex: Some("^Own-[0-9]+b$".into()),
            per_million: rates_of("0.000000000000000001"),
            ..entry("own")
        },
        Override {
            provider: Some("openai".into()),
            factor: Some("0.333333333".into()),
            ..entry("contract")
        },
    ]
}

/// The day that entries begin with, in microseconds.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// Provider, model, start, batch; what a million tokens cost, and by which entry.
type Case = (
    Option<&'static str>,
    &'static str,
    i64,
    bool,
    &'static str,
    &'static str,
);

const CASES: [Case; 10] = [
    (
        Some("vllm"),
        "LLAMA-3",
        NEW_YEAR,
        false,
        "1",
        "own/first-half",
    ),
    (Some("vllm"), "llama-3", NEW_YEAR - 1, false, "", ""),
    (
        Some("vllm"),
        "llama-3",
        NEW_YEAR + 200 * DAY,
        false,
        "2",
        "own/2",
    ),
    (
        Some("other"),
        "llama-3",
        NEW_YEAR + DAY,
        false,
        "2",
        "own/2",
    ),
    (None, "Own-7b", NEW_YEAR, true, "0.5", "own/own-batch"),
    (None, "Own-7b", NEW_YEAR, false, "0", "own/own"),
    (None, "own-7b", NEW_YEAR, false, "", ""),
    (
        Some("openai"),
        "gpt-4o",
        NEW_YEAR,
        false,
        "0.8333333325",
        "openai/gpt-4o*contract",
    ),
    (
        None,
        "gpt-4o",
        NEW_YEAR,
        false,
        "0.8333333325",
        "openai/gpt-4o*contract",
    ),
    (
        Some("anthropic"),
        "claude-sonnet-4-5",
        NEW_YEAR,
        false,
        "6",
        "anthropic/claude-sonnet-4-5",
    ),
];

#[test]
fn own_prices_are_chosen_by_name_time_and_kind_in_the_order_of_the_file() {
    let tariff = own(entries());
    let call = |provider, model, start_us, batch| super::Call {
        provider,
        models: [None, Some(model)],
        start_us,
        batch,
        tokens: Tokens {
            input: 1_000_000,
            ..Tokens::default()
        },
        ..super::Call::default()
    };
    for (provider, model, start, batch, dollars, entry) in CASES {
        let found = priced(&tariff, &call(provider, model, start, batch));
        let dollars = if dollars.is_empty() {
            "Unpriced"
        } else {
            dollars
        };
        assert_eq!(
            found,
            (dollars.to_owned(), entry.to_owned()),
            "{provider:?} {model} {start}"
        );
    }
}

#[test]
fn a_name_stands_for_all_that_a_price_depends_on() {
    let entry = Override {
        model: Some("m".into()),
        per_million: rates_of("1"),
        ..Override::default()
    };
    let list = || std::sync::Arc::new(PriceList::standard().expect("the list"));
    let make = |own, prefer| Tariff::new(list(), own, prefer).expect("good entries");
    let tariffs = [
        make(Vec::new(), Prefer::Reported),
        make(Vec::new(), Prefer::Computed),
        make(vec![entry.clone()], Prefer::Reported),
        make(vec![entry.clone(), entry.clone()], Prefer::Reported),
    ];
    let names: std::collections::BTreeSet<&str> = tariffs.iter().map(|t| t.name()).collect();
    assert_eq!(names.len(), tariffs.len());
    for tariff in &tariffs {
        let again = Tariff::of_kept(tariff.name(), tariff.kept(), |_, _| Some(list()));
        let again = again.expect("as it was kept");
        assert_eq!((again.name(), again.kept()), (tariff.name(), tariff.kept()));
        assert_eq!(again.prefer(), tariff.prefer());
        assert!(Tariff::of_kept("other", tariff.kept(), |_, _| Some(list())).is_err());
        assert!(Tariff::of_kept(tariff.name(), tariff.kept(), |_, _| None).is_err());
    }
}

/// A list and a tariff as the first release kept them: every later one must read them, and price by
/// them alike. `WEIR_WRITE_FIXTURE=DIR` writes what this release keeps.
#[test]
fn what_the_first_release_kept_prices_as_it_did() {
    let list = include_bytes!("../../../testdata/prices/v1/list.json");
    let read = || std::sync::Arc::new(PriceList::read("test-1", list).expect("a list"));
    if let Some(dir) = std::env::var_os("WEIR_WRITE_FIXTURE") {
        let entry = Override {
            name: Some("deal".into()),
            provider: Some("maker".into()),
            model_prefix: Some("mk-".into()),
            until: Some("2026-01-01".into()),
            factor: Some("0.5".into()),
            ..Override::default()
        };
        let tariff = Tariff::new(read(), vec![entry], Prefer::Computed).expect("good");
        let path = std::path::Path::new(&dir).join(format!("{}.json", tariff.name()));
        std::fs::write(path, tariff.kept()).expect("written");
    }
    let (name, kept) = (
        "test-1-26ca0510c83f",
        include_str!("../../../testdata/prices/v1/test-1-26ca0510c83f.json"),
    );
    let tariff = Tariff::of_kept(name, kept, |_, _| Some(read())).expect("a tariff");
    assert_eq!(tariff.prefer(), Prefer::Computed);
    let call = |model, start_us, batch| super::Call {
        models: [Some(model), None],
        start_us,
        batch,
        tokens: Tokens {
            input: 1_000_001,
            output: 1,
            ..Tokens::default()
        },
        ..super::Call::default()
    };
    let new_year = 1_767_225_600_000_000;
    let cases = [
        (
            call("mk-1", new_year - 1, false),
            "3.0000105",
            "maker/mk-1*deal",
        ),
        (
            call("mk-1-20", new_year, false),
            "0.041667708333",
            "maker/mk-1",
        ),
        (call("mk-1", new_year, true), "0.02000102", "maker/mk-1"),
    ];
    for (call, dollars, entry) in cases {
        assert_eq!(
            priced(&tariff, &call),
            (dollars.to_owned(), entry.to_owned())
        );
    }
    let newer = kept.replace("\"format\":1", "\"format\":2");
    let refused = Tariff::of_kept(name, &newer, |_, _| Some(read()));
    assert!(matches!(refused, Err(super::KeptError::Format(2))));
}
