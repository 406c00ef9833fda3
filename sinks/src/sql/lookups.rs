//! Which columns people look rows up by, found by their names in the model's schema, so that a
//! dataset that is added later has its indexes without a word here.

use weir_model::Dataset;

/// Columns that name a row; a booking may name its event as well.
const OWN: &[&str] = &["booking_id", "event_id", "event_uid", "item_id"];

/// The column that names the trace.
const TRACE: &[&str] = &["trace_id"];

/// The column that names the skill, by the names that datasets give it.
const SKILL: &[&str] = &["skill_name", "skill"];

/// Whether every row that any sink is given has that column: those that all tables begin and end
/// with. Any other may be left out by the route that leads to a sink.
pub(crate) fn always_there(column: &str) -> bool {
    const ALWAYS: [&str; 6] = [
        "tenant_id",
        "part_date",
        "received_at",
        "_node",
        "_batch",
        "_row",
    ];
    ALWAYS.contains(&column)
}

/// What a dataset is looked up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lookups {
    /// Its own id, where it has one.
    pub(crate) id: Option<&'static str>,
    /// The trace, where that is not its id.
    pub(crate) trace: Option<&'static str>,
    /// The skill, where it knows one.
    pub(crate) skill: Option<&'static str>,
}

/// What rows of `dataset` are looked up by.
pub(crate) fn lookups(dataset: Dataset) -> Lookups {
    let first = |names: &[&str]| {
        let columns = dataset.columns().iter();
        let found = names
            .iter()
            .find_map(|name| columns.clone().find(|column| column.name == *name));
        found.map(|column| column.name)
    };
    // A span is found by its trace; everything else by the id that it was given.
    let (own, trace) = (first(OWN), first(TRACE));
    Lookups {
        id: own.or(trace),
        trace: own.and(trace),
        skill: first(SKILL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_looked_up_is_found_by_name() {
        let spans = lookups(Dataset::Spans);
        assert_eq!(
            (spans.id, spans.trace, spans.skill),
            (Some("trace_id"), None, Some("skill_name"))
        );
        let ledger = lookups(Dataset::CostLedger);
        assert_eq!(
            (ledger.id, ledger.trace, ledger.skill),
            (Some("booking_id"), Some("trace_id"), Some("skill"))
        );
        assert_eq!(lookups(Dataset::CostDaily).id, None);
        assert_eq!(lookups(Dataset::OcsfEvents).id, Some("event_uid"));
    }
}
