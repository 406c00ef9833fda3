//! The models that traffic calls, with prices stated here and nowhere read.

/// 10^-12 US dollars.
pub(crate) const MICRO: i128 = 1_000_000;

/// Prices of a token in 10^-12 US dollars: 1 dollar a million tokens is 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of input that is neither read from nor written to a cache.
    pub input: i128,
    /// Of input that is read from a cache.
    pub cache_read: i128,
    /// Of input that is written to a cache.
    pub cache_write: i128,
    /// Of output, reasoning included.
    pub output: i128,
}

/// A model on the price list, or not.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The provider as OpenTelemetry names it.
    pub provider: &'static str,
    /// The name that is asked for.
    pub request: &'static str,
    /// The name that answers, where it is another.
    pub response: &'static str,
    /// What a token costs; `None` where nobody lists a price.
    pub rates: Option<Rates>,
    /// More input tokens than these are priced, all of them, by other rates.
    pub long: Option<(i64, Rates)>,
    /// The provider has caches that are written at a price of their own.
    pub writes_cache: bool,
}

const fn rates(input: i128, cache_read: i128, cache_write: i128, output: i128) -> Rates {
    Rates {
        input,
        cache_read,
        cache_write,
        output,
    }
}

/// A model without long inputs whose caches are written for nothing more than the input.
const fn plain(
    provider: &'static str,
    request: &'static str,
    response: &'static str,
    rates: Rates,
) -> Model {
    Model {
        provider,
        request,
        response,
        rates: Some(rates),
        long: None,
        writes_cache: false,
    }
}

/// Models that converse, the most popular first.
pub const CHAT: [Model; 9] = [
    Model {
        provider: "anthropic",
        request: "claude-sonnet-4-5",
        response: "claude-sonnet-4-5-20250929",
        rates: Some(rates(3 * MICRO, 300_000, 3_750_000, 15 * MICRO)),
        long: Some((200_000, rates(6 * MICRO, 600_000, 7_500_000, 22_500_000))),
        writes_cache: true,
    },
    plain(
        "openai",
        "gpt-4o",
        "gpt-4o-2024-11-20",
        rates(2_500_000, 1_250_000, 2_500_000, 10 * MICRO),
    ),
    plain(
        "openai",
        "gpt-5",
        "gpt-5-2025-08-07",
        rates(1_250_000, 125_000, 1_250_000, 10 * MICRO),
    ),
    plain(
        "openai",
        "gpt-4o-mini",
        "gpt-4o-mini-2024-07-18",
        rates(150_000, 75_000, 150_000, 600_000),
    ),
    Model {
        provider: "anthropic",
        request: "claude-haiku-4-5",
        response: "claude-haiku-4-5-20251001",
        rates: Some(rates(MICRO, 100_000, 1_250_000, 5 * MICRO)),
        long: None,
        writes_cache: true,
    },
    plain(
        "openai",
        "gpt-5-mini",
        "gpt-5-mini-2025-08-07",
        rates(250_000, 25_000, 250_000, 2 * MICRO),
    ),
    Model {
        provider: "gcp.gemini",
        request: "gemini-2.5-pro",
        response: "gemini-2.5-pro",
        rates: Some(rates(1_250_000, 125_000, 1_250_000, 10 * MICRO)),
        long: Some((200_000, rates(2_500_000, 250_000, 2_500_000, 15 * MICRO))),
        writes_cache: false,
    },
    plain(
        "openai",
        "gpt-4.1",
        "gpt-4.1-2025-04-14",
        rates(2 * MICRO, 500_000, 2 * MICRO, 8 * MICRO),
    ),
    Model {
        provider: "anthropic",
        request: "claude-opus-4-5",
        response: "claude-opus-4-5-20251101",
        rates: Some(rates(5 * MICRO, 500_000, 6_250_000, 25 * MICRO)),
        long: None,
        writes_cache: true,
    },
];

/// The model that embeds.
pub const EMBEDDING: Model = plain(
    "openai",
    "text-embedding-3-small",
    "text-embedding-3-small",
    rates(20_000, 20_000, 20_000, 20_000),
);

/// A model of the house that is on no list.
pub(crate) const UNLISTED: Model = Model {
    provider: "openai",
    request: "house-assistant-7b",
    response: "house-assistant-7b",
    rates: None,
    long: None,
    writes_cache: false,
};

/// The model that ranks; its calls say nothing of tokens.
pub(crate) const RERANK: Model = Model {
    provider: "cohere",
    request: "rerank-v3.5",
    response: "rerank-v3.5",
    rates: None,
    long: None,
    writes_cache: false,
};

/// Token counts of a call; the parts are contained in their whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input.
    pub input: i64,
    /// Of it, read from a cache.
    pub cache_read: i64,
    /// Of it, written to a cache.
    pub cache_write: i64,
    /// All output.
    pub output: i64,
    /// Of it, reasoning.
    pub reasoning: i64,
}

impl Model {
    /// What `tokens` cost, in 10^-12 US dollars, exactly; `None` for a model without a price.
    pub fn cost(&self, tokens: Tokens) -> Option<i128> {
        let long = self.long.filter(|(limit, _)| tokens.input > *limit);
        let rates = long.map(|(_, rates)| rates).or(self.rates)?;
        let fresh = tokens.input - tokens.cache_read - tokens.cache_write;
        Some(
            rates.input * i128::from(fresh)
                + rates.cache_read * i128::from(tokens.cache_read)
                + rates.cache_write * i128::from(tokens.cache_write)
                + rates.output * i128::from(tokens.output),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_costs_what_its_parts_cost() {
        let tokens = Tokens {
            input: 18_698,
            cache_read: 16_399,
            cache_write: 2_089,
            output: 445,
            reasoning: 0,
        };
        assert_eq!(CHAT[0].cost(tokens), Some(20_058_450_000));
        assert_eq!(UNLISTED.cost(tokens), None);
        let long = Tokens {
            input: 200_001,
            ..Tokens::default()
        };
        assert_eq!(CHAT[0].cost(long), Some(1_200_006_000_000));
    }
}
