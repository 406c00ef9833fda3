//! Made traffic through decoding, mapping, pricing and the rules of a trace, against the truth that
//! its maker knows: the difference is exactly zero.

#![cfg(test)]

#[path = "truth/check.rs"]
mod check;

use check::{SPANS_QUICK, check};
use weir_traffic::Content;
use weir_traffic::catalog::{CHAT, EMBEDDING, Tokens};
use weir_transforms::{Call, PriceList, Priced};

#[test]
fn a_hundred_thousand_spans_cost_what_their_maker_knows() {
    check(1, SPANS_QUICK, Content::Off);
}

#[test]
fn recorded_conversations_change_nothing_of_the_cost() {
    check(2, 600, Content::On);
    check(3, 2_000, Content::Mixed);
}

#[test]
fn prices_that_the_maker_states_are_those_of_the_list() {
    let list = PriceList::standard().unwrap();
    let tokens = |input, cache_read, cache_write, output| Tokens {
        input,
        cache_read,
        cache_write,
        output,
        reasoning: output / 2,
    };
    let calls = [
        tokens(1_000, 0, 0, 100),
        tokens(18_698, 16_399, 2_089, 445),
        tokens(200_000, 7, 0, 1),
        tokens(200_001, 150_000, 3, 999),
    ];
    for model in CHAT.iter().chain([&EMBEDDING]) {
        for name in [model.request, model.response] {
            for mut tokens in calls {
                if !model.writes_cache {
                    tokens.cache_write = 0;
                }
                if *model.request == *EMBEDDING.request {
                    tokens = Tokens {
                        input: tokens.input,
                        ..Tokens::default()
                    };
                }
                let provider = match model.provider {
                    "gcp.gemini" => "google",
                    other => other,
                };
                let call = Call {
                    provider: Some(provider),
                    models: [Some(name), None],
                    start_us: 1_795_132_800_000_000,
                    tier: None,
                    batch: false,
                    tokens: weir_transforms::Tokens {
                        input: tokens.input,
                        output: tokens.output,
                        cache_read: tokens.cache_read,
                        cache_write: tokens.cache_write,
                        reasoning: tokens.reasoning,
                        ..weir_transforms::Tokens::default()
                    },
                };
                let Priced::Amount(amount, _) = list.price(&call) else {
                    panic!("{name} has no price");
                };
                assert_eq!(Some(amount), model.cost(tokens), "{name} {tokens:?}");
            }
        }
    }
}
