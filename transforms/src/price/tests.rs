use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use genai_prices::{Calculator, ErrorKind, PriceRequest, Usage, UsageKey};
use proptest::prelude::*;
use serde_json::Value;

use super::rates::NoAmount;
use super::*;
use crate::money;

const GOLDEN: &str = include_str!("../../../testdata/prices/golden_costs.json");

static TARIFF: LazyLock<Tariff> = LazyLock::new(|| Tariff::standard().expect("the list"));

/// The publisher's own arithmetic over the same text.
static THEIRS: LazyLock<Calculator> = LazyLock::new(|| {
    Calculator::from_json(PriceList::standard_text().1).expect("the publisher's own list")
});

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

fn cases() -> Vec<Value> {
    let golden: Value = serde_json::from_str(GOLDEN).expect("the vectors");
    let cases = golden["cases"].as_array().expect("cases").clone();
    assert_eq!(cases.len(), 44);
    cases
}

fn total(case: &Value) -> Option<i128> {
    case["expect"]["total_cost"].as_str().and_then(money::parse)
}

/// The units that the vectors count; one that is not here fails the test.
fn tokens_of(case: &Value) -> Tokens {
    let mut tokens = Tokens::default();
    for (key, count) in case["usage"].as_object().expect("usage") {
        let place = match key.as_str() {
            "input_tokens" => &mut tokens.input,
            "output_tokens" => &mut tokens.output,
            "cache_read_tokens" => &mut tokens.cache_read,
            "cache_write_tokens" => &mut tokens.cache_write,
            "cache_write_1h_tokens" => &mut tokens.cache_write_1h,
            "output_reasoning_tokens" => &mut tokens.reasoning,
            "input_audio_tokens" => &mut tokens.audio_input,
            "output_audio_tokens" => &mut tokens.audio_output,
            "web_searches" => &mut tokens.web_searches,
            other => panic!("{other} is not counted"),
        };
        *place = count.as_i64().expect("a count");
    }
    tokens
}

fn call_of(case: &Value) -> Call<'_> {
    let time = case["timestamp"].as_str().expect("a time");
    let time = DateTime::parse_from_rfc3339(time).expect("a time");
    Call {
        provider: case["provider_id"].as_str(),
        server: case["provider_api_url"].as_str(),
        models: [case["model_ref"].as_str(), None],
        start_us: time.timestamp_micros(),
        tier: case["price_context"]["service_tier"].as_str(),
        batch: case["price_context"]["processing"] == "batch",
        tokens: tokens_of(case),
    }
}

/// All vectors, none left out, by the list's own rules: provider, model and the total to the last
/// of twelve digits, and the same faults.
#[test]
fn every_golden_vector_is_met_to_the_last_digit() {
    for case in cases() {
        let ours = TARIFF.strictly(&call_of(&case));
        let expect = &case["expect"];
        match expect["error"].as_str() {
            None => {
                let (provider, model, amount) = ours.expect("an entry");
                assert_eq!(expect["provider"], provider, "{case}");
                assert_eq!(expect["model"], model, "{case}");
                assert_eq!(amount.ok(), total(&case), "{case}");
            }
            Some("LookupError") => assert!(ours.is_none(), "{case}"),
            Some("ValueError") => {
                let (.., amount) = ours.expect("an entry");
                assert_eq!(amount, Err(NoAmount::Inconsistent), "{case}");
            }
            Some(other) => panic!("{other}"),
        }
    }
}

/// As calls are priced: our aliases before, and a provider that is not known passed over.
#[test]
fn every_golden_vector_is_priced_as_a_call_but_for_what_we_know_better() {
    let mapping = crate::mapping::Mapping::standard().expect("the mapping");
    // The list's own search knows no provider of these names; ours prices by the model.
    let better = [
        "semconv x_ai",
        "framework as provider (langchain)",
        "framework as provider (strands-agents)",
    ];
    let mut known_better = 0;
    for case in cases() {
        let mut call = call_of(&case);
        let provider = call.provider.and_then(|p| mapping.provider(p));
        call.provider = provider.as_deref();
        let amount = match TARIFF.price(&call) {
            Priced::Amount(amount, _) => Some(amount),
            Priced::Unpriced | Priced::InvalidUsage => None,
        };
        if better.contains(&case["name"].as_str().expect("a name")) {
            known_better += usize::from(amount.is_some());
            continue;
        }
        assert_eq!(amount, total(&case), "{}", case["name"]);
    }
    assert_eq!(known_better, better.len());
}

fn base() -> Call<'static> {
    Call {
        provider: Some("openai"),
        models: [Some("gpt-4o"), None],
        start_us: 1_795_208_519_000_000,
        tokens: Tokens {
            input: 10,
            output: 1,
            ..Tokens::default()
        },
        ..Call::default()
    }
}

#[test]
fn unknown_is_unpriced_and_impossible_is_invalid() {
    assert!(matches!(
        TARIFF.price(&base()),
        Priced::Amount(35_000_000, _)
    ));
    for models in [
        [None, None],
        [Some("no-such-model"), None],
        [Some(""), None],
    ] {
        let call = Call { models, ..base() };
        assert_eq!(TARIFF.price(&call), Priced::Unpriced, "{models:?}");
    }
    let long = "gpt-4o".repeat(100);
    let models = [Some(long.as_str()), None];
    let call = Call { models, ..base() };
    assert_eq!(TARIFF.price(&call), Priced::Unpriced);
    let tokens = Tokens {
        input: 10,
        cache_read: 11,
        ..Tokens::default()
    };
    let call = Call { tokens, ..base() };
    assert_eq!(TARIFF.price(&call), Priced::InvalidUsage);
}

#[test]
fn the_entry_is_found_by_name_then_server_then_model_then_prefix() {
    let reference = |provider, server, models| {
        let call = Call {
            provider,
            server,
            models,
            ..base()
        };
        match TARIFF.price(&call) {
            Priced::Amount(_, reference) => {
                let (list, entry) = reference.split_once(':').expect("list and entry");
                assert_eq!(list, TARIFF.name());
                entry.to_owned()
            }
            Priced::Unpriced | Priced::InvalidUsage => String::new(),
        }
    };
    let gpt = [Some("gpt-4o"), None];
    let azure = Some("acme.openai.azure.com");
    assert_eq!(reference(Some("openai"), azure, gpt), "openai/gpt-4o");
    assert_eq!(reference(None, azure, gpt), "azure/gpt-4o");
    assert_eq!(reference(Some("our-gateway"), azure, gpt), "azure/gpt-4o");
    assert_eq!(reference(None, Some("10.0.0.1"), gpt), "openai/gpt-4o");
    let late = [Some("no-such-model"), Some("gpt-4o")];
    assert_eq!(reference(Some("our-gateway"), None, late), "openai/gpt-4o");
    let prefixed = [Some("groq/llama-3.3-70b-versatile"), None];
    assert_eq!(
        reference(None, None, prefixed),
        "groq/llama-3.3-70b-versatile"
    );
    // Borrowed from the provider that makes it.
    let borrowed = [Some("claude-sonnet-4-5"), None];
    assert!(reference(Some("azure"), None, borrowed).starts_with("azure/claude"));
}

#[test]
fn what_is_remembered_is_bounded() {
    let tariff = Tariff::standard().expect("the list");
    for i in 0..8_300 {
        let name = format!("m{i}");
        // A provider without models is found at once, so the test is quick.
        let call = Call {
            provider: Some("nobody"),
            models: [None, None],
            server: Some(&name),
            ..base()
        };
        assert_eq!(tariff.price(&call), Priced::Unpriced);
    }
    assert!(tariff.remembered() <= 8_192, "{}", tariff.remembered());
    assert!(matches!(tariff.price(&base()), Priced::Amount(..)));
}

/// The publisher's amount, which is a binary float.
fn theirs(call: &Call<'_>) -> Result<f64, ErrorKind> {
    let model = call.models.into_iter().flatten().next().unwrap_or_default();
    let usage = usage(&call.tokens);
    let mut request = PriceRequest::new(model, &usage);
    request.provider_id = call.provider;
    let since = Duration::from_micros(u64::try_from(call.start_us).unwrap_or_default());
    request.timestamp = SystemTime::UNIX_EPOCH.checked_add(since);
    for key in ["processing", "service_tier"] {
        if let Some(value) = call.context(key) {
            request.price_context.push((key, value));
        }
    }
    let priced = THEIRS.calculate(&request).map_err(|e| e.kind())?;
    Ok(priced.total_price)
}

fn usage(tokens: &Tokens) -> Usage {
    #[allow(clippy::cast_precision_loss, reason = "the publisher counts so")]
    let count = |n: i64| n as f64;
    let mut usage = Usage::from([
        (UsageKey::INPUT_TOKENS, count(tokens.input)),
        (UsageKey::OUTPUT_TOKENS, count(tokens.output)),
    ]);
    for (key, n) in [
        (UsageKey::CACHE_READ_TOKENS, tokens.cache_read),
        (UsageKey::CACHE_WRITE_TOKENS, tokens.cache_write),
        (UsageKey::CACHE_WRITE_1H_TOKENS, tokens.cache_write_1h),
        (UsageKey::OUTPUT_REASONING_TOKENS, tokens.reasoning),
        (UsageKey::INPUT_AUDIO_TOKENS, tokens.audio_input),
        (UsageKey::OUTPUT_AUDIO_TOKENS, tokens.audio_output),
    ] {
        if n > 0 {
            usage.insert(key, count(n));
        }
    }
    usage
}

#[allow(clippy::cast_precision_loss, reason = "compared to a part in 10^9")]
fn near(ours: i128, theirs: f64) -> bool {
    let ours = ours as f64 / 1e12;
    (ours - theirs).abs() <= 1e-12 + 1e-9 * theirs.abs()
}

/// Every entry of the list, on both sides of its tiers, on several days: the same entry and the
/// same amount as the publisher's own search and arithmetic.
#[test]
fn every_entry_of_the_list_is_priced_as_its_publisher_prices_it() {
    let list: Value = serde_json::from_slice(PriceList::standard_text().1).expect("the list");
    let mut compared = 0;
    let mut wrong = Vec::new();
    for provider in list.as_array().expect("providers") {
        let id = provider["id"].as_str().expect("an id");
        for model in provider["models"].as_array().expect("models") {
            let name = model["id"].as_str().expect("an id");
            for (at, call) in probes(id, name).into_iter().enumerate() {
                let ours = TARIFF.strictly(&call);
                let same = match (&ours, theirs(&call)) {
                    (Some((.., Ok(ours))), Ok(theirs)) => near(*ours, theirs),
                    (Some((.., Err(_))), Err(ErrorKind::InvalidUsage)) | (None, Err(_)) => true,
                    _ => false,
                };
                compared += 1;
                if !same {
                    wrong.push(format!("{id}/{name} {at}: {ours:?} {:?}", theirs(&call)));
                }
            }
        }
    }
    assert!(compared > 9_000, "{compared}");
    assert!(
        wrong.is_empty(),
        "{} of {compared}: {wrong:#?}",
        wrong.len()
    );
}

fn probes<'a>(provider: &'a str, model: &'a str) -> [Call<'a>; 4] {
    let small = Tokens {
        input: 10_007,
        output: 503,
        cache_read: 4_001,
        ..Tokens::default()
    };
    let large = Tokens {
        input: 1_900_003,
        cache_write: 70_001,
        cache_write_1h: 30_001,
        reasoning: 101,
        ..small
    };
    let call = Call {
        provider: Some(provider),
        models: [Some(model), None],
        start_us: 1_767_225_600 * MICROS,
        tokens: small,
        ..Call::default()
    };
    [
        call,
        Call {
            tokens: large,
            start_us: 1_795_208_519 * MICROS,
            ..call
        },
        Call {
            batch: true,
            start_us: 1_795_208_519 * MICROS,
            ..call
        },
        Call {
            tier: Some("priority"),
            tokens: large,
            start_us: 1_700_000_000 * MICROS,
            ..call
        },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any usage of well-known models costs what the publisher says, within what doubles can hold.
    #[test]
    fn amounts_agree_with_the_publisher(
        which in 0usize..6,
        input in 0i64..3_000_000,
        output in 0i64..300_000,
        read in 0i64..1_000_000,
        write in 0i64..500_000,
        day in 19_500i64..20_800,
        second in 0i64..86_400,
        tier in prop::sample::select(vec![None, Some("flex"), Some("priority"), Some("batch")]),
    ) {
        let (provider, model) = [
            ("openai", "gpt-5"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"),
            ("deepseek", "deepseek-chat"), ("azure", "gpt-4o"), ("perplexity", "sonar"),
        ][which];
        let call = Call {
            provider: Some(provider),
            models: [Some(model), None],
            start_us: (day * DAY_SECONDS + second) * MICROS,
            tier,
            tokens: Tokens { input, output, cache_read: read, cache_write: write, ..Tokens::default() },
            ..Call::default()
        };
        let (.., ours) = TARIFF.strictly(&call).expect("an entry");
        match theirs(&call) {
            Ok(theirs) => prop_assert!(near(ours.expect("an amount"), theirs)),
            Err(ErrorKind::InvalidUsage) => prop_assert_eq!(ours, Err(NoAmount::Inconsistent)),
            Err(other) => prop_assert!(false, "{:?}", other),
        }
    }
}
