//! Lists, maps and structs as JSON text.
//!
//! A map becomes an object, a list an array, a struct an object without the members that are NULL.
//! Integers have all their digits, which JSON allows and both databases keep. Text stands as it is
//! but for what JSON wants escaped.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, MapArray, StringArray, StructArray};
use arrow_schema::{ArrowError, DataType};

/// What stands for a NUL where a database cannot hold one: the picture of it.
pub(crate) const NUL_SHOWN: char = '\u{2400}';

/// What becomes of NUL characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nul {
    /// They are written as `\u0000`.
    Exact,
    /// They are written as [`NUL_SHOWN`].
    Shown,
}

/// Writes JSON, and remembers whether there was a NUL in it.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut String,
    nul: Nul,
    had_nul: bool,
}

impl<'a> Writer<'a> {
    /// Writes to the end of `out`.
    pub(crate) fn new(out: &'a mut String, nul: Nul) -> Self {
        Self {
            out,
            nul,
            had_nul: false,
        }
    }

    /// Whether a NUL was written, in whichever way.
    pub(crate) fn had_nul(&self) -> bool {
        self.had_nul
    }

    /// Writes row `row` of `array`: text, integers, and lists, maps and structs of them.
    ///
    /// # Errors
    ///
    /// Where the type is none of these, which no column of ours has.
    pub(crate) fn value(&mut self, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
        if array.is_null(row) {
            self.out.push_str("null");
        } else if let Some(texts) = array.as_string_opt::<i32>() {
            self.text(texts.value(row));
        } else if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
            // Writing to a string does not fail.
            let _ = write!(self.out, "{}", numbers.value(row));
        } else if let Some(lists) = array.as_list_opt::<i32>() {
            let list = lists.value(row);
            self.out.push('[');
            for at in 0..list.len() {
                self.comma(at > 0);
                self.value(&list, at)?;
            }
            self.out.push(']');
        } else if let Some(maps) = array.as_map_opt() {
            self.map(maps, row)?;
        } else if let Some(structs) = array.as_struct_opt() {
            self.members(structs, row)?;
        } else {
            return Err(unknown(array.data_type()));
        }
        Ok(())
    }

    fn map(&mut self, maps: &MapArray, row: usize) -> Result<(), ArrowError> {
        let entries = maps.value(row);
        let (Some(keys), Some(values)) = (entries.columns().first(), entries.columns().get(1))
        else {
            return Err(unknown(maps.data_type()));
        };
        let keys: &StringArray = keys
            .as_string_opt()
            .ok_or_else(|| unknown(keys.data_type()))?;
        self.out.push('{');
        for at in 0..keys.len() {
            self.comma(at > 0);
            self.text(keys.value(at));
            self.out.push(':');
            self.value(values, at)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn members(&mut self, structs: &StructArray, row: usize) -> Result<(), ArrowError> {
        self.out.push('{');
        let mut after_one = false;
        for (field, column) in structs.fields().iter().zip(structs.columns()) {
            if column.is_null(row) {
                continue;
            }
            self.comma(after_one);
            after_one = true;
            self.text(field.name());
            self.out.push(':');
            self.value(column, row)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn comma(&mut self, needed: bool) {
        if needed {
            self.out.push(',');
        }
    }

    /// Writes `text` as a JSON string.
    pub(crate) fn text(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        let odd = |c: char| c < ' ' || c == '"' || c == '\\';
        while let Some(at) = rest.find(odd) {
            let (plain, tail) = rest.split_at(at);
            self.out.push_str(plain);
            let mut letters = tail.chars();
            if let Some(letter) = letters.next() {
                self.escape(letter);
            }
            rest = letters.as_str();
        }
        self.out.push_str(rest);
        self.out.push('"');
    }

    fn escape(&mut self, letter: char) {
        if letter == '\0' {
            self.had_nul = true;
            if self.nul == Nul::Shown {
                self.out.push(NUL_SHOWN);
                return;
            }
        }
        match letter {
            '"' => self.out.push_str("\\\""),
            '\\' => self.out.push_str("\\\\"),
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            // Writing to a string does not fail.
            other => {
                let _ = write!(self.out, "\\u{:04x}", u32::from(other));
            }
        }
    }
}

fn unknown(kind: &DataType) -> ArrowError {
    ArrowError::NotYetImplemented(format!("{kind} as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::sample_rows;
    use weir_model::Dataset;

    #[test]
    fn text_is_what_a_reader_of_json_gets_back() {
        for text in [
            "",
            "plain",
            "a\0b",
            "\u{1}\u{1f}\u{7f}",
            "q\"b\\",
            "\n\r\t",
            "\u{1f980}",
        ] {
            let mut out = String::new();
            Writer::new(&mut out, Nul::Exact).text(text);
            let back: String = serde_json::from_str(&out).unwrap();
            assert_eq!(back, text);
            let mut shown = String::new();
            let mut writer = Writer::new(&mut shown, Nul::Shown);
            writer.text(text);
            assert_eq!(writer.had_nul(), text.contains('\0'));
            let back: String = serde_json::from_str(&shown).unwrap();
            assert_eq!(back, text.replace('\0', "\u{2400}"));
        }
    }

    #[test]
    fn nested_values_are_json() {
        let rows = sample_rows(Dataset::Spans, 3, 200).unwrap();
        for name in ["attributes", "events", "links", "time_flags"] {
            let column = rows.column_by_name(name).unwrap();
            for row in 0..rows.num_rows() {
                let mut out = String::new();
                Writer::new(&mut out, Nul::Exact)
                    .value(column, row)
                    .unwrap();
                let value: serde_json::Value = serde_json::from_str(&out).unwrap();
                assert_eq!(value.is_null(), column.is_null(row), "{name}: {out}");
            }
        }
    }
}
