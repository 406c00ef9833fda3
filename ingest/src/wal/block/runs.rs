//! Rows that repeat the row before: a resource's attributes stand beside each of its spans.

use arrow_array::cast::AsArray;
use arrow_array::{Array, MapArray, StringArray};
use arrow_schema::DataType;

/// How many neighbours are looked at before a column is taken for one without runs.
const SAMPLE: usize = 32;
/// Runs are worth writing where they are at least so long on average.
const RUN_ROWS_MIN: usize = 4;

/// The lengths of the runs of equal rows, where a column is made of few.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "datasets have a handful of Arrow's forty types"
)]
pub(super) fn of(array: &dyn Array) -> Option<Vec<u32>> {
    match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            collect(array.len(), |row| same_text(texts, row))
        }
        DataType::Map(_, _) => {
            let rows = Rows::of(array.as_map())?;
            collect(array.len(), |row| rows.same(row))
        }
        _ => None,
    }
}

/// `same` says of a row whether it equals the one before.
fn collect(rows: usize, same: impl Fn(usize) -> bool) -> Option<Vec<u32>> {
    if rows < RUN_ROWS_MIN {
        return None;
    }
    let sample = 1..rows.min(SAMPLE);
    let most = sample.len() / RUN_ROWS_MIN;
    if sample.filter(|row| !same(*row)).count() > most {
        return None;
    }
    let mut runs = Vec::new();
    let mut run = 1;
    for row in 1..rows {
        if same(row) {
            run += 1;
        } else {
            runs.push(run);
            run = 1;
        }
        if runs.len() > rows / RUN_ROWS_MIN {
            return None;
        }
    }
    runs.push(run);
    Some(runs)
}

fn same_text(texts: &StringArray, row: usize) -> bool {
    let valid = texts.is_valid(row);
    valid == texts.is_valid(row - 1) && (!valid || texts.value(row) == texts.value(row - 1))
}

/// The rows of a map of texts.
struct Rows<'a> {
    map: &'a MapArray,
    keys: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> Rows<'a> {
    fn of(map: &'a MapArray) -> Option<Self> {
        let keys = map.keys().as_string_opt()?;
        let values = map.values().as_string_opt::<i32>()?;
        (values.null_count() == 0).then_some(Self { map, keys, values })
    }

    fn same(&self, row: usize) -> bool {
        let valid = self.map.is_valid(row);
        if valid != self.map.is_valid(row - 1) {
            return false;
        }
        let offsets = self.map.value_offsets();
        let ends = offsets.get(row - 1..row + 2).unwrap_or_default();
        let &[a, b, c] = ends else { return false };
        let same = |texts| same_texts(texts, (a, b), (b, c));
        !valid || (b - a == c - b && same(self.keys) && same(self.values))
    }
}

/// Whether two stretches of a column, of the same number of rows, are equal.
fn same_texts(texts: &StringArray, a: (i32, i32), b: (i32, i32)) -> bool {
    let index = |at: i32| usize::try_from(at).unwrap_or(0);
    let offsets = |(from, to)| {
        let ends = texts.value_offsets().get(index(from)..=index(to));
        ends.unwrap_or_default()
    };
    let bytes = |offsets: &[i32]| {
        let ends = offsets.first().zip(offsets.last());
        ends.and_then(|(from, to)| texts.value_data().get(index(*from)..index(*to)))
    };
    let (a, b) = (offsets(a), offsets(b));
    let (Some(first_a), Some(first_b)) = (a.first(), b.first()) else {
        return false;
    };
    bytes(a) == bytes(b) && a.iter().zip(b).all(|(x, y)| x - first_a == y - first_b)
}
