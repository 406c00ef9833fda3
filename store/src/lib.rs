//! Node state that is not rows: tenants, their keys and quotas, and what their administrators set.
//!
//! ```text
//! Keys (in memory, what requests ask) --refresh--> dyn State --+-- Sqlite    state.db of the data directory
//!                                                              '-- Postgres  shared by several nodes
//! ```
//!
//! [`Keys`] is what the server and `weir keys` use; [`State`] is where it all lies. Both kinds of
//! state hold to one contract, which `tests/contract.rs` checks.

mod error;
mod keys;
mod layout;
mod mac;
mod postgres;
mod quota;
mod record;
mod scopes;
mod sql;
mod sqlite;
mod state;

pub use error::StoreError;
pub use keys::{Denied, Keys, NewKey, Principal, Request, StateConfig};
pub use layout::layout;
pub use postgres::Postgres;
pub use quota::{Ceiling, Quotas, UnknownCeiling};
pub use record::{KeyInfo, Note, NoteKind, Secret, Stored, TenantInfo};
pub use scopes::{Scope, Scopes, UnknownScope};
pub use sqlite::Sqlite;
pub use state::{KEYS_MAX, Loaded, NOTES_MAX, SECRETS_MAX, State};
