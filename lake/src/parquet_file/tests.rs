use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use proptest::prelude::*;

use super::*;
use crate::fixture::{DAY, Short, batch, node};

const SPANS: Dataset = Dataset::Spans;

fn sealed(number: i64, rows: &[Short<'_>]) -> RecordBatch {
    batch(SPANS, &node(1), number, rows).rows().clone()
}

fn read(file: &ParquetFile) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
    let pieces: Vec<RecordBatch> = builder.build().unwrap().map(|p| p.unwrap()).collect();
    let schema = pieces[0].schema();
    arrow_select::concat::concat_batches(&schema, &pieces).unwrap()
}

fn metadata(file: &ParquetFile) -> Arc<ParquetMetaData> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
    Arc::clone(builder.metadata())
}

/// `(_batch, _row)` of each row, in the order of the file.
fn names(rows: &RecordBatch) -> Vec<(i64, i32)> {
    let batches = rows["_batch"].as_primitive::<arrow_array::types::Int64Type>();
    let numbers = rows["_row"].as_primitive::<arrow_array::types::Int32Type>();
    let both = batches.values().iter().zip(numbers.values());
    both.map(|(b, r)| (*b, *r)).collect()
}

#[test]
fn each_day_and_tenant_gets_a_file_in_the_order_of_quarters() {
    let next = Some(KEPT_ORDER_US);
    let pieces = [
        sealed(4, &[("b", 0, Some(9)), ("a", 0, next), ("a", 1, Some(1))]),
        sealed(5, &[("a", 0, Some(2)), ("b", 0, Some(3))]),
    ];
    let files = encode(SPANS, &pieces, Partition::DateAndTenant).unwrap();
    let found: Vec<_> = files
        .iter()
        .map(|f| {
            (
                f.part_date - DAY,
                f.tenant.as_ref().unwrap().as_str(),
                f.rows,
            )
        })
        .collect();
    assert_eq!(found, [(0, "a", 2), (0, "b", 2), (1, "a", 1)]);
    let rows = read(&files[0]);
    assert_eq!(names(&rows), [(5, 0), (4, 1)]);
    assert_eq!(names(&read(&files[1])), [(4, 0), (5, 1)], "as they came");
    assert!(rows.column_by_name("part_date").is_none());
    assert!(rows.column_by_name("tenant_id").is_none());
}

#[test]
fn tenants_of_a_table_by_date_stand_together() {
    let late = Some(-1);
    let rows = [("b", 0, Some(1)), ("a", 0, Some(9)), ("b", 0, late)];
    let files = encode(SPANS, &[sealed(1, &rows)], Partition::Date).unwrap();
    let [file] = files.as_slice() else {
        panic!("one day, one file")
    };
    assert_eq!(file.tenant, None);
    let rows = read(file);
    assert_eq!(names(&rows), [(1, 1), (1, 2), (1, 0)]);
    let sorting = metadata(file)
        .row_group(0)
        .sorting_columns()
        .unwrap()
        .clone();
    let by: Vec<&str> = sorting
        .iter()
        .map(|s| {
            rows.schema_ref()
                .field(usize::try_from(s.column_idx).unwrap())
                .name()
                .as_str()
        })
        .collect();
    assert_eq!(by, ["tenant_id"]);
}

#[test]
fn columns_are_written_as_measured_best() {
    let rows: Vec<Short<'_>> = (0..20_000).map(|i| ("a", 0, Some(i))).collect();
    let files = encode(SPANS, &[sealed(1, &rows)], Partition::DateAndTenant).unwrap();
    let metadata = metadata(&files[0]);
    let group = metadata.row_group(0);
    let column = |name: &str| {
        let found = group
            .columns()
            .iter()
            .find(|c| c.column_path().string() == name);
        found.unwrap()
    };
    for c in group.columns() {
        assert!(matches!(c.compression(), Compression::ZSTD(_)));
    }
    let with_bloom = group
        .columns()
        .iter()
        .filter(|c| c.bloom_filter_offset().is_some());
    let with_bloom: Vec<String> = with_bloom.map(|c| c.column_path().string()).collect();
    assert_eq!(with_bloom, ["trace_id"]);
    assert!(column("span_id").dictionary_page_offset().is_none());
    assert!(column("service_name").dictionary_page_offset().is_some());
    let encodings: Vec<Encoding> = column("start_time").encodings().collect();
    assert!(
        encodings.contains(&Encoding::DELTA_BINARY_PACKED),
        "{encodings:?}"
    );
    assert!(column("start_time").offset_index_offset().is_some());
    assert!(column("start_time").column_index_offset().is_some());
    let schema = metadata.file_metadata().schema_descr();
    assert_eq!(schema.num_columns(), group.num_columns());
}

#[test]
fn a_time_that_is_not_known_comes_first() {
    let dataset = Dataset::OcsfEvents;
    let rows = [("a", 0, Some(5)), ("a", 0, None), ("a", 0, Some(-5))];
    let piece = batch(dataset, &node(1), 1, &rows).rows().clone();
    let files = encode(dataset, &[piece], Partition::DateAndTenant).unwrap();
    assert_eq!(names(&read(&files[0])), [(1, 1), (1, 2), (1, 0)]);
}

#[test]
fn rows_of_another_schema_are_refused() {
    let other = batch(Dataset::OcsfEvents, &node(1), 1, &[("a", 0, None)]);
    let refused = encode(SPANS, &[other.rows().clone()], Partition::Date);
    assert!(matches!(refused, Err(LakeError::Rows { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the order and the partitions, each row is in exactly one file, in order of
    /// quarters and, within one, as it came.
    #[test]
    fn every_row_is_in_one_file_and_files_are_in_order(
        rows in prop::collection::vec((0..3_usize, 0..2_i32, 0..50_i64), 1..40),
        cut in 0..40_usize,
        by_tenant: bool,
    ) {
        let tenants = ["a", "b-2", "c"];
        let rows: Vec<Short<'_>> = rows.iter().map(|(t, d, at)| (tenants[*t], *d, Some(*at * KEPT_ORDER_US / 10))).collect();
        let (one, two) = rows.split_at(cut.min(rows.len()));
        let halves = [(1, one), (2, two)].into_iter().filter(|(_, r)| !r.is_empty());
        let pieces: Vec<RecordBatch> = halves.map(|(n, r)| sealed(n, r)).collect();
        let partition = if by_tenant { Partition::DateAndTenant } else { Partition::Date };
        let mut seen = Vec::new();
        for file in encode(SPANS, &pieces, partition).unwrap() {
            let rows = read(&file);
            prop_assert_eq!(rows.num_rows(), file.rows);
            let times = rows["start_time"].as_primitive::<TimestampMicrosecondType>();
            if by_tenant {
                let quarters = times.values().iter().map(|t| t.div_euclid(KEPT_ORDER_US));
                let order: Vec<_> = quarters.zip(names(&rows)).collect();
                prop_assert!(order.is_sorted());
            }
            seen.extend(names(&rows));
        }
        seen.sort_unstable();
        let mut wanted: Vec<(i64, i32)> = pieces.iter().flat_map(names).collect();
        wanted.sort_unstable();
        prop_assert_eq!(seen, wanted);
    }
}
