//! `weir schema`.

use crate::cli::exit::Exit;
use crate::cli::out;

/// Prints the reference of what can be asked in SQL, as `docs/sql.md` has it.
pub(crate) fn run() -> anyhow::Result<Exit> {
    out::bytes(weir_queries::reference()?.as_bytes())?;
    Ok(Exit::OK)
}
