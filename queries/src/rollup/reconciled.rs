//! What was held against a provider's bill, as a condition on rows of sums.

use std::fmt::Write as _;

use super::question::spell;

/// Calls of whole days whose cost was held against a provider's bill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reconciled {
    /// The providers, as the ledger names them.
    pub providers: Vec<String>,
    /// The models, as the ledger names them; none means all.
    pub models: Vec<String>,
    /// The start of its first day, UTC, in microseconds since the epoch.
    pub from_us: i64,
    /// The end of its last day.
    pub until_us: i64,
}

impl Reconciled {
    /// The condition of a row of sums; `None` where it can be true of none.
    pub(super) fn sql(&self) -> Option<String> {
        let list = |names: &[String]| {
            let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            quoted.join(", ")
        };
        let (from, until) = (spell(self.from_us)?, spell(self.until_us)?);
        if self.providers.is_empty() {
            return None;
        }
        let mut sql = format!(
            "(period_start >= '{from}' AND period_start < '{until}' AND provider IN ({})",
            list(&self.providers)
        );
        if !self.models.is_empty() {
            let _ = write!(sql, " AND model IN ({})", list(&self.models));
        }
        sql.push(')');
        Some(sql)
    }
}

/// The condition that one of these holds, as a tree that is as flat as can be: a plan of hundreds of
/// terms one below the other would need as deep a stack. `None` where there are none.
pub(super) fn any_of(conditions: &[String]) -> Option<String> {
    match conditions {
        [] => None,
        [one] => Some(one.clone()),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            Some(format!("({} OR {})", any_of(left)?, any_of(right)?))
        }
    }
}

/// A text as SQL has it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RollupQuestion;

    #[test]
    fn many_conditions_are_a_flat_tree() {
        let many: Vec<String> = (0..1000).map(|n| format!("c{n}")).collect();
        let sql = any_of(&many).unwrap();
        let (mut depth, mut deepest) = (0, 0);
        for letter in sql.chars() {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            deepest = deepest.max(depth);
        }
        assert_eq!((depth, deepest), (0, 10));
        assert_eq!(sql.matches(" OR ").count(), 999);
        assert_eq!(any_of(&[]), None);
    }

    #[test]
    fn a_bill_is_a_condition_on_days_providers_and_models() {
        let bill = Reconciled {
            providers: vec!["openai".into(), "o'ther".into()],
            models: vec!["gpt-4o".into()],
            from_us: 0,
            until_us: 86_400_000_000,
        };
        let expected = "(period_start >= '1970-01-01T00:00:00Z' AND \
             period_start < '1970-01-02T00:00:00Z' AND provider IN ('openai', 'o''ther') \
             AND model IN ('gpt-4o'))";
        assert_eq!(bill.sql().unwrap(), expected);
        let nobody = Reconciled {
            providers: Vec::new(),
            ..bill.clone()
        };
        assert_eq!(nobody.sql(), None);
        let asked = RollupQuestion {
            reconciled: vec![bill],
            ..RollupQuestion::default()
        };
        assert!(
            asked
                .sql()
                .contains("source, source_rank, period_start, skill, provider, model")
        );
        assert!(!RollupQuestion::default().sql().contains("provider"));
    }
}
