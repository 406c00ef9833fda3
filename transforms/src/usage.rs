//! Token counts: who may carry them, and what they must mean.
//!
//! Only model calls keep their counts, since agent and workflow spans repeat the sum of their
//! children. Producers differ on whether the input includes cached tokens; here it always does.

use crate::field::Field;
use crate::row::Row;

/// The kinds of operation that a provider bills.
pub(crate) const BILLABLE: [&str; 3] = ["llm", "embedding", "rerank"];

/// More tokens than any call has; beyond lies garbage.
const PLAUSIBLE_MAX: i64 = 100_000_000_000;

/// All counts.
pub(crate) const COUNTS: [Field; 11] = [
    Field::InputTokens,
    Field::OutputTokens,
    Field::CacheReadTokens,
    Field::CacheWriteTokens,
    Field::CacheWrite1hTokens,
    Field::ReasoningTokens,
    Field::AudioInputTokens,
    Field::AudioOutputTokens,
    Field::ImageInputTokens,
    Field::ImageOutputTokens,
    Field::TotalTokens,
];

/// What was done to the counts of a span, or is wrong with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UsageFlags {
    pub(crate) aggregate: bool,
    pub(crate) made_inclusive: bool,
    pub(crate) invalid: bool,
    pub(crate) reasoning_added: bool,
}

impl UsageFlags {
    /// The flags as words, in the order of the schema's documentation.
    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        [
            (self.aggregate, "aggregate"),
            (self.made_inclusive, "made_inclusive"),
            (self.invalid, "invalid"),
            (self.reasoning_added, "reasoning_added"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
    }

    /// Whether there is anything to say.
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }
}

/// Applies the rules to the counts in `row`.
///
/// `exclusive` says that the span's dialect counts cached tokens beside the input.
pub(crate) fn settle(row: &mut Row<'_>, billable: bool, exclusive: bool) -> UsageFlags {
    let mut flags = UsageFlags::default();
    if !billable {
        flags.aggregate = row.has(Field::InputTokens) || row.has(Field::OutputTokens);
        drop_counts(row);
        return flags;
    }
    let implausible = |n: i64| !(0..=PLAUSIBLE_MAX).contains(&n);
    flags.invalid = COUNTS
        .iter()
        .any(|f| row.number(*f).is_some_and(implausible));
    if flags.invalid {
        drop_counts(row);
        return flags;
    }
    let count = |field| row.number(field).unwrap_or_default();
    let cached = count(Field::CacheReadTokens) + count(Field::CacheWriteTokens);
    let reasoning = count(Field::ReasoningTokens);
    if let Some(input) = row.number(Field::InputTokens)
        && cached > 0
        && (exclusive || cached > input)
    {
        row.put(Field::InputTokens, input + cached);
        flags.made_inclusive = true;
    }
    if let Some(output) = row.number(Field::OutputTokens)
        && reasoning > output
    {
        row.put(Field::OutputTokens, output + reasoning);
        flags.reasoning_added = true;
    }
    flags
}

fn drop_counts(row: &mut Row<'_>) {
    row.drop_all(&COUNTS);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Feed;
    use crate::mapping::Mapping;

    fn row_of(counts: &[(Field, &'static str)]) -> Row<'static> {
        let mapping = Mapping::standard().expect("the built-in mapping");
        let mut row = Row::new();
        for (field, value) in counts {
            let feed = Feed {
                field: *field,
                rank: 0,
                kind: field.kind(),
                per_mille: false,
            };
            row.offer(feed, value, &mapping, || false);
        }
        row
    }

    #[test]
    fn an_aggregate_keeps_no_counts() {
        let mut row = row_of(&[(Field::InputTokens, "10"), (Field::TotalTokens, "12")]);
        let flags = settle(&mut row, false, false);
        assert!(flags.aggregate);
        assert!(COUNTS.iter().all(|f| !row.has(*f)));
    }

    #[test]
    fn input_always_includes_what_was_cached() {
        let cached = [(Field::InputTokens, "210"), (Field::CacheReadTokens, "100")];
        let mut row = row_of(&cached);
        assert!(!settle(&mut row, true, false).any());
        assert_eq!(row.number(Field::InputTokens), Some(210));
        let mut row = row_of(&cached);
        assert!(settle(&mut row, true, true).made_inclusive);
        assert_eq!(row.number(Field::InputTokens), Some(310));
        let mut row = row_of(&[(Field::InputTokens, "5"), (Field::CacheWriteTokens, "6")]);
        assert!(settle(&mut row, true, false).made_inclusive);
        assert_eq!(row.number(Field::InputTokens), Some(11));
    }

    #[test]
    fn one_implausible_count_drops_all() {
        for bad in ["-1", "100000000001", "9999999999999999999"] {
            let mut row = row_of(&[(Field::InputTokens, "1"), (Field::ReasoningTokens, bad)]);
            assert!(settle(&mut row, true, false).invalid, "{bad}");
            assert_eq!(row.number(Field::InputTokens), None);
        }
    }

    #[test]
    fn reasoning_beyond_the_output_is_added_to_it() {
        let mut row = row_of(&[(Field::OutputTokens, "5"), (Field::ReasoningTokens, "7")]);
        assert!(settle(&mut row, true, false).reasoning_added);
        assert_eq!(row.number(Field::OutputTokens), Some(12));
    }
}
