//! What can go wrong in the ledger.

use arrow_schema::ArrowError;
use weir_lake::LakeError;
use weir_model::{Classify, Fault};

/// The ledger could not take its next step. Nothing that it had not committed is lost or counted:
/// the same step may be taken again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The lake could not be read or written.
    #[error("the lake could not be read or written")]
    Lake(#[from] LakeError),
    /// An object beside the tables could not be read or written.
    #[error("an object beside the tables could not be read or written")]
    Object(#[from] object_store::Error),
    /// The store of facts could not be read or written; it is made anew where it is damaged.
    #[error("the store of facts could not be read or written")]
    Store(#[from] std::io::Error),
    /// Rows are not as their table says: a defect.
    #[error("rows are not as their table says")]
    Rows(#[from] ArrowError),
    /// An entry of the ledger's order cannot be understood; a newer weir may have written it.
    #[error("entry {number} of the ledger cannot be understood")]
    Entry {
        /// Its place in the order.
        number: i64,
    },
    /// A derived table could not make rows: a defect of whoever derives it.
    #[error("rows of `{table}` could not be derived: {reason}")]
    Derived {
        /// The derived table.
        table: &'static str,
        /// Why.
        reason: String,
    },
    /// A test has stopped the ledger here.
    #[error("stopped at `{at}`")]
    Stopped {
        /// Where.
        at: &'static str,
    },
}

impl Classify for LedgerError {
    fn fault(&self) -> Fault {
        Fault::Transient { after: None }
    }
}
