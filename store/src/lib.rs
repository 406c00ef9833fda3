//! Node state that is not rows: tenants and keys, in SQLite.
//!
//! [`Keys`] holds who may send and ask. It lies in `state.db` of the data directory, which several
//! processes may open at a time: the server and `weir keys`.

mod error;
mod keys;
mod layout;
mod mac;
mod scopes;

pub use error::StoreError;
pub use keys::{KeyInfo, Keys, NewKey, Principal};
pub use layout::layout;
pub use scopes::{Scope, Scopes, UnknownScope};
