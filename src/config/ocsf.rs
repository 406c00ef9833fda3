//! What security events must hold to.

/// What security events must hold to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ocsf {
    /// `lenient` or `strict`.
    pub(crate) validation: String,
    /// `refuse` or `received`.
    pub(crate) missing_time: String,
    /// Events of one request.
    pub(crate) events: u64,
}

impl Default for Ocsf {
    fn default() -> Self {
        Self {
            validation: "lenient".into(),
            missing_time: "refuse".into(),
            events: 1_000,
        }
    }
}
