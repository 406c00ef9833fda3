//! What is priced, and what comes of it.

use std::sync::Arc;

/// What is to be priced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// The provider under its common name; `None` where not known.
    pub provider: Option<&'a str>,
    /// The address or URL of the server that was called; it tells the provider where the name
    /// does not.
    pub server: Option<&'a str>,
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

/// What a call used. Parts are contained in their whole: cached input in the input, reasoning in
/// the output.
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
    /// Searches that the provider made and bills by the search. No span counts them today.
    pub web_searches: i64,
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

impl<'a> Call<'a> {
    /// What an entry may ask of a call, by the list's word for it; `None` where it does not say.
    pub(super) fn context(&self, key: &str) -> Option<&'a str> {
        match key {
            "processing" => (self.batch || self.tier == Some("batch")).then_some("batch"),
            "service_tier" => self.tier,
            _ => None,
        }
    }

    /// The names that say what it was: provider, server, models.
    pub(crate) fn names(&self) -> [Option<&'a str>; 4] {
        let [answered, asked] = self.models;
        [self.provider, self.server, answered, asked]
    }

    /// When it began, in whole seconds.
    pub(super) fn seconds(&self) -> i64 {
        self.start_us.div_euclid(1_000_000)
    }
}
