//! Discounts and commitments: exact, dated, and part of a tariff's name.

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;

use super::rates::FACTOR_ONE;
use super::{
    Call, Commitment, Override, Own, Prefer, PriceList, Priced, Tariff, Tokens, check_commitments,
    check_overrides,
};
use crate::money;

/// 2026-01-01, in microseconds.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

fn list() -> Arc<PriceList> {
    static LIST: OnceLock<Arc<PriceList>> = OnceLock::new();
    let read = || Arc::new(PriceList::standard().expect("the list"));
    Arc::clone(LIST.get_or_init(read))
}

fn tariff(own: impl Into<Own>) -> Tariff {
    Tariff::new(list(), own, Prefer::Reported).expect("good terms")
}

fn call(model: &str, start_us: i64, tokens: Tokens) -> Call<'_> {
    Call {
        provider: Some("openai"),
        models: [Some(model), None],
        start_us,
        tokens,
        ..Call::default()
    }
}

fn amount(tariff: &Tariff, call: &Call<'_>) -> i128 {
    match tariff.price(call) {
        Priced::Amount(amount, _) => amount,
        other @ (Priced::Unpriced | Priced::InvalidUsage) => panic!("{other:?}"),
    }
}

fn discount(percent: &str) -> Override {
    Override {
        name: Some("deal".into()),
        provider: Some("openai".into()),
        percent_off: Some(percent.into()),
        ..Override::default()
    }
}

fn committed() -> Commitment {
    Commitment {
        name: Some("openai-2026".into()),
        tenant: Some("acme".into()),
        provider: Some("OpenAI".into()),
        model_prefix: Some("gpt-4o".into()),
        from: Some("2026-01-01".into()),
        until: Some("2027-01-01".into()),
        amount_usd: Some("500000.000000000001".into()),
        ..Commitment::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A discount is the factor that is left of one, to the last digit, and what it takes off and
    /// what it leaves is the list's price, but for half a unit of rounding on each side.
    #[test]
    fn a_discount_is_what_is_left_of_the_list(
        off in 0i128..=FACTOR_ONE,
        input in 0i64..100_000_000, output in 0i64..100_000_000,
    ) {
        let percent = money::shown(off, 7);
        let left = Override {
            percent_off: None,
            factor: Some(money::shown(FACTOR_ONE - off, 9)),
            ..discount("0")
        };
        let taken = Override { percent_off: None, factor: Some(money::shown(off, 9)), ..discount("0") };
        let tokens = Tokens { input, output, ..Tokens::default() };
        let call = call("gpt-4o", NEW_YEAR, tokens);
        let paid = amount(&tariff(vec![discount(&percent)]), &call);
        prop_assert_eq!(paid, amount(&tariff(vec![left]), &call), "{}", percent);
        let whole = amount(&tariff(Vec::new()), &call);
        let saved = amount(&tariff(vec![taken]), &call);
        prop_assert!((whole - paid - saved).abs() <= 1, "{whole} {paid} {saved}");
    }

    /// It holds from its first moment to its last, and at no other.
    #[test]
    fn a_discount_holds_in_its_time_alone(at in NEW_YEAR - 1000..NEW_YEAR + 86_400_001_000) {
        let dated = Override {
            from: Some("2026-01-01".into()),
            until: Some("2026-01-02".into()),
            ..discount("50")
        };
        let tokens = Tokens { input: 1_000_000, ..Tokens::default() };
        let call = call("gpt-4o", at, tokens);
        let whole = amount(&tariff(Vec::new()), &call);
        let paid = amount(&tariff(vec![dated]), &call);
        let within = (NEW_YEAR..NEW_YEAR + 86_400_000_000).contains(&at);
        prop_assert_eq!(paid * if within { 2 } else { 1 }, whole);
    }
}

#[test]
fn a_discount_is_a_number_of_percent() {
    for good in ["0", "100", "12.5", "33.3333333", "1e1"] {
        assert_eq!(check_overrides(&[discount(good)]), Ok(()), "{good}");
    }
    for bad in ["-1", "100.0000001", "15%", "", "free"] {
        let faults = check_overrides(&[discount(bad)]).unwrap_err();
        assert_eq!(faults[0].field, "percent_off", "{bad}");
    }
    let free = amount(
        &tariff(vec![discount("100")]),
        &call(
            "gpt-4o",
            NEW_YEAR,
            Tokens {
                input: 7,
                ..Tokens::default()
            },
        ),
    );
    assert_eq!(free, 0, "free is 0 and not unknown");
}

#[test]
fn a_commitment_says_whose_calls_use_it_up() {
    let own = Own {
        prices: Vec::new(),
        commitments: vec![committed()],
    };
    let tariff = tariff(own);
    let [one] = tariff.commitments() else {
        panic!("one commitment");
    };
    assert_eq!(one.amount(), 500_000_000_000_000_001);
    assert_eq!(one.period_us(), (NEW_YEAR, NEW_YEAR + 365 * 86_400_000_000));
    assert!(one.is_used_by("openai", "gpt-4o-2024-08-06") && one.is_used_by("OpenAI", "GPT-4o"));
    assert!(!one.is_used_by("openai", "gpt-4.1") && !one.is_used_by("azure", "gpt-4o"));
    for (field, broken) in [
        (
            "amount_usd",
            Commitment {
                amount_usd: Some("-5".into()),
                ..committed()
            },
        ),
        (
            "until",
            Commitment {
                until: Some("2026-01-01".into()),
                ..committed()
            },
        ),
        (
            "tenant",
            Commitment {
                tenant: None,
                ..committed()
            },
        ),
        (
            "model",
            Commitment {
                model: Some("gpt-4o".into()),
                ..committed()
            },
        ),
    ] {
        let faults = check_commitments(&[broken]).unwrap_err();
        assert_eq!((faults.len(), faults[0].field), (1, field));
    }
}

#[test]
fn terms_are_part_of_the_name_and_come_back_as_they_were_kept() {
    let own = |prices: Vec<Override>, commitments| Own {
        prices,
        commitments,
    };
    let tariffs = [
        tariff(Vec::new()),
        tariff(vec![discount("15")]),
        tariff(vec![discount("15.0")]),
        tariff(own(Vec::new(), vec![committed()])),
        tariff(own(vec![discount("15")], vec![committed()])),
    ];
    let names: std::collections::BTreeSet<&str> = tariffs.iter().map(|t| t.name()).collect();
    assert_eq!(names.len(), tariffs.len());
    for tariff in &tariffs {
        let again = Tariff::of_kept(tariff.name(), tariff.kept(), |_, _| Some(list()));
        let again = again.expect("as it was kept");
        assert_eq!(again.commitments().len(), tariff.commitments().len());
        let one = call(
            "gpt-4o",
            NEW_YEAR,
            Tokens {
                input: 12_345,
                ..Tokens::default()
            },
        );
        assert_eq!(again.price(&one), tariff.price(&one));
    }
    // Without any, the text is what it was before there were discounts and commitments.
    assert!(!tariffs[0].kept().contains("commitments"));
    assert!(!tariffs[0].is_of_another("zeta") && tariffs[3].is_of_another("zeta"));
    assert!(!tariffs[3].is_of_another("acme"));
}

#[test]
fn each_tenant_has_what_is_for_it_and_what_is_for_all() {
    let theirs = Override {
        tenant: Some("acme".into()),
        ..discount("20")
    };
    let all = Own {
        prices: vec![theirs, discount("10")],
        commitments: vec![committed()],
    };
    let count = |tenant| {
        let own = all.of_tenant(tenant);
        (own.prices.len(), own.commitments.len())
    };
    assert_eq!(count(Some("acme")), (2, 1));
    assert_eq!(count(Some("zeta")), (1, 0));
    assert_eq!(count(None), (1, 0));
    assert_eq!(all.tenants().collect::<Vec<_>>(), ["acme", "acme"]);
}
