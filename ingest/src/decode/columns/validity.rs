//! Which rows of a column are not NULL.

use arrow_buffer::{NullBuffer, NullBufferBuilder};

/// The growing validity of a column. Most columns are all NULL or have none, and then this is two
/// counters; only a mixed one has a bitmap.
#[derive(Debug, Default)]
pub(in crate::decode) struct Validity {
    rows: usize,
    valid: usize,
    mixed: Option<NullBufferBuilder>,
}

impl Validity {
    /// Adds a row.
    #[inline]
    pub(in crate::decode) fn push(&mut self, valid: bool) {
        self.push_many(valid, 1);
    }

    /// Adds `count` rows.
    #[inline]
    pub(in crate::decode) fn push_many(&mut self, valid: bool, count: usize) {
        let alike = self.valid == if valid { self.rows } else { 0 };
        if self.mixed.is_some() || !alike {
            self.push_mixed(valid, count);
        }
        self.rows += count;
        self.valid += if valid { count } else { 0 };
    }

    #[inline(never)]
    fn push_mixed(&mut self, valid: bool, count: usize) {
        let (rows, all_valid) = (self.rows, self.valid == self.rows);
        let bits = self.mixed.get_or_insert_with(|| {
            let mut bits = NullBufferBuilder::new(rows + count);
            append(&mut bits, all_valid, rows);
            bits
        });
        append(bits, valid, count);
    }

    /// Whether a row is not NULL.
    pub(in crate::decode) fn is_valid(&self, row: usize) -> bool {
        match &self.mixed {
            Some(bits) => bits.is_valid(row),
            None => self.valid > 0,
        }
    }

    /// Whether no row is NULL.
    pub(in crate::decode) fn all_valid(&self) -> bool {
        self.valid == self.rows
    }

    /// Forgets all rows from `rows` on.
    pub(in crate::decode) fn truncate(&mut self, rows: usize) {
        if rows >= self.rows {
            return;
        }
        let valid = (0..rows).filter(|row| self.is_valid(*row)).count();
        if let Some(bits) = &mut self.mixed {
            bits.truncate(rows);
        }
        self.rows = rows;
        self.valid = valid;
    }

    /// As Arrow wants it: nothing where no row is NULL.
    pub(in crate::decode) fn finish(mut self) -> Option<NullBuffer> {
        if self.all_valid() {
            return None;
        }
        match &mut self.mixed {
            Some(bits) => bits.finish(),
            None => Some(NullBuffer::new_null(self.rows)),
        }
    }
}

fn append(bits: &mut NullBufferBuilder, valid: bool, count: usize) {
    if valid {
        bits.append_n_non_nulls(count);
    } else {
        bits.append_n_nulls(count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_remembers_every_row(runs in proptest::collection::vec((any::<bool>(), 0_usize..4), 0..12), cut in 0_usize..40) {
            let mut validity = Validity::default();
            let mut rows = Vec::new();
            for (valid, count) in runs {
                validity.push_many(valid, count);
                rows.extend(std::iter::repeat_n(valid, count));
            }
            validity.truncate(cut);
            rows.truncate(cut);
            validity.push(true);
            rows.push(true);
            prop_assert_eq!(validity.all_valid(), rows.iter().all(|valid| *valid));
            for (row, valid) in rows.iter().enumerate() {
                prop_assert_eq!(validity.is_valid(row), *valid);
            }
            let bits = validity.finish();
            let read: Vec<bool> = match &bits {
                Some(bits) => bits.iter().collect(),
                None => vec![true; rows.len()],
            };
            prop_assert_eq!(read, rows);
        }
    }
}
