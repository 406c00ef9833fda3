//! Text to stdout and stderr. A closed pipe is not a failure: the reader has seen enough.

use std::io::{ErrorKind, Write};

/// Writes `text` and a line end to stdout, at once.
///
/// # Errors
///
/// Where stdout cannot be written for another reason than that its reader left.
pub(crate) fn line(text: &str) -> std::io::Result<()> {
    bytes(text.as_bytes())?;
    bytes(b"\n")
}

/// Writes `bytes` to stdout, at once.
///
/// # Errors
///
/// As [`line()`].
pub(crate) fn bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes rows of cells to stdout, each column as wide as its widest cell.
///
/// # Errors
///
/// As [`line()`].
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> std::io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths);
        let text: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        line(text.join("  ").trim_end())?;
    }
    Ok(())
}

/// Writes a line to stderr; where even that fails, nobody can be told.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
