//! What to do about a failure. Every error that can reach the delivery loop or a client says so
//! itself, so that no caller has to read its text.

use std::time::Duration;

/// The one question that the rest of the program asks of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The same request may work later: retry with backoff, no sooner than `after` if given.
    Transient {
        /// The least wait, where the side that refused named one (`Retry-After`).
        after: Option<Duration>,
    },
    /// The same request will never work: set the rows aside, with the reason, and go on.
    Permanent,
}

/// An error that knows what should be done about it.
pub trait Classify: std::error::Error {
    /// Says whether a retry can help.
    ///
    /// Where it cannot be told, say [`Fault::Transient`]: a needless retry costs time, a wrong
    /// [`Fault::Permanent`] costs a customer's rows.
    fn fault(&self) -> Fault;
}
