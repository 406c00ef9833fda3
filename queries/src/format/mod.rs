//! Answers in the formats that clients ask for.

pub mod json;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use json::type_name;
pub use json::write_json;
pub use table::{write_arrow_stream, write_csv, write_parquet};

/// An answer could not be written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A column's type has no form in this format, or the writer refused.
    #[error("the answer cannot be written in this format")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The same, from the Parquet writer.
    #[error("the answer cannot be written as Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The writer could not take the bytes; part of the answer may have been written.
    #[error("the answer could not be sent")]
    Io(#[from] std::io::Error),
}
