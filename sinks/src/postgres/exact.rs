//! What Postgres cannot hold as it is.
//!
//! Neither `text` nor `jsonb` takes a NUL character, and a B-tree takes no key beyond 2,704 bytes.
//! Such a value is stored twice: in its column as it can be shown, with the picture of a NUL
//! (U+2400) or cut, and exactly in the column `_exact`, a JSON object of such columns by name,
//! which is NULL in nearly every row. JSON's own escape says NUL there (the type `json` keeps its
//! text as it was given, `jsonb` would refuse it), so the exact row can always be had back.

use std::collections::BTreeMap;

use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::ArrowError;
use tokio_postgres::types::Type;

use super::encode::{Builder, Value};
use crate::sql::json::{NUL_SHOWN, Nul, Writer};

/// The column that holds what the others cannot.
pub(super) const EXACT: &str = "_exact";

/// The longest text of a column that is part of a B-tree's key, in bytes: with the tenant and the
/// time it stays below what a key may have.
const KEY_TEXT_MAX: usize = 1_024;

/// The version of `jsonb`'s binary form.
const JSONB_VERSION: u8 = 1;

/// Gathers exact values, by row.
#[derive(Debug)]
pub(super) struct Exact<'a> {
    key: Option<&'a str>,
    rows: BTreeMap<usize, String>,
}

impl<'a> Exact<'a> {
    /// Nothing yet; `key` is the column of free text that is part of a B-tree's key.
    pub(super) fn new(key: Option<&'a str>) -> Self {
        Self {
            key,
            rows: BTreeMap::new(),
        }
    }

    /// Texts, as an array of `text`.
    pub(super) fn texts(&mut self, name: &str, texts: &StringArray) -> Value {
        let mut builder = Builder::new(Type::TEXT_ARRAY, &Type::TEXT, texts.len());
        // Looked for in all of them at once, since there is nearly never one.
        let any_nul = texts.value_data().contains(&0);
        let is_key = self.key == Some(name);
        for (row, text) in texts.iter().enumerate() {
            let Some(text) = text else {
                builder.put(None);
                continue;
            };
            let nul = any_nul && text.as_bytes().contains(&0);
            let long = is_key && text.len() > KEY_TEXT_MAX;
            if !nul && !long {
                builder.put(Some(text.as_bytes()));
                continue;
            }
            let mut shown = text.replace('\0', NUL_SHOWN.encode_utf8(&mut [0; 4]));
            if is_key && shown.len() > KEY_TEXT_MAX {
                shown.truncate(shown.floor_char_boundary(KEY_TEXT_MAX));
            }
            builder.put(Some(shown.as_bytes()));
            let mut whole = String::new();
            Writer::new(&mut whole, Nul::Exact).text(text);
            self.note(row, name, &whole);
        }
        builder.finish()
    }

    /// Lists, maps and structs, as an array of `jsonb`.
    ///
    /// # Errors
    ///
    /// Where they are none.
    pub(super) fn nested(&mut self, name: &str, values: &ArrayRef) -> Result<Value, ArrowError> {
        let mut builder = Builder::new(Type::JSONB_ARRAY, &Type::JSONB, values.len());
        let mut text = String::new();
        let mut bytes = Vec::new();
        for row in 0..values.len() {
            if values.is_null(row) {
                builder.put(None);
                continue;
            }
            text.clear();
            let mut writer = Writer::new(&mut text, Nul::Shown);
            writer.value(values, row)?;
            if writer.had_nul() {
                let mut whole = String::new();
                Writer::new(&mut whole, Nul::Exact).value(values, row)?;
                self.note(row, name, &whole);
            }
            bytes.clear();
            bytes.push(JSONB_VERSION);
            bytes.extend_from_slice(text.as_bytes());
            builder.put(Some(&bytes));
        }
        Ok(builder.finish())
    }

    fn note(&mut self, row: usize, name: &str, json: &str) {
        let object = self.rows.entry(row).or_default();
        object.push(if object.is_empty() { '{' } else { ',' });
        Writer::new(object, Nul::Exact).text(name);
        object.push(':');
        object.push_str(json);
    }

    /// The exact values of `len` rows as an array of `json`; `None` where there is none.
    pub(super) fn finish(mut self, len: usize) -> Option<Value> {
        if self.rows.is_empty() {
            return None;
        }
        let mut builder = Builder::new(Type::JSON_ARRAY, &Type::JSON, len);
        for row in 0..len {
            match self.rows.get_mut(&row) {
                None => builder.put(None),
                Some(object) => {
                    object.push('}');
                    builder.put(Some(object.as_bytes()));
                }
            }
        }
        Some(builder.finish())
    }
}
