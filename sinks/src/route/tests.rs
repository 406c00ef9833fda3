use std::sync::Arc;
use std::time::Duration;

use weir_model::source::Want;
use weir_model::{BatchSource, NodeId, SourceError};

use super::*;
use crate::Part;
use crate::contract::sample_batch;
use crate::testing::ListSource;

const SPANS: Dataset = Dataset::Spans;
const AUDIT: Dataset = Dataset::ProxyAudit;

fn node() -> NodeId {
    NodeId::from_bits(7)
}

fn of(datasets: &[Dataset]) -> Route {
    Route {
        datasets: datasets.iter().map(|d| d.name().to_owned()).collect(),
        ..Route::default()
    }
}

fn want() -> Want {
    Want {
        rows_max: 1_000,
        bytes_max: usize::MAX,
        gather: Duration::ZERO,
    }
}

/// The tenants of a batch, each once.
fn tenants(batch: &Batch) -> BTreeSet<String> {
    let column = batch.rows().column_by_name("tenant_id").unwrap();
    let texts = column.as_string::<i32>().iter().flatten();
    texts.map(str::to_owned).collect()
}

#[test]
fn rows_that_stay_away_change_no_name_of_the_others() {
    let batch = sample_batch(SPANS, &node(), 3);
    let all = tenants(&batch);
    assert!(all.len() > 1, "{all:?}");
    let one = all.iter().next().unwrap().clone();
    let mut route = of(&[SPANS]);
    route.tenants.insert(one.clone());
    let routed = route.apply(&batch).unwrap();
    assert_eq!(tenants(&routed), BTreeSet::from([one.clone()]));
    let whole = Part::whole(routed.clone());
    assert_eq!(whole.id(), Part::whole(batch.clone()).id());
    assert!(whole.is_whole() && whole.is_last() && whole.len() < 60);
    // What stays away from this sink is what goes to the other.
    let mut others = of(&[SPANS]);
    others.exclude_tenants.insert(one);
    let others = others.apply(&batch).unwrap();
    assert_eq!(others.rows().num_rows() + whole.len(), 60);
    let names = |part: &Part| -> Vec<i32> {
        let rows = part.rows();
        let rows = rows.column_by_name("_row").unwrap();
        let rows = rows.as_primitive::<arrow_array::types::Int32Type>();
        rows.values().to_vec()
    };
    let mut pieces = Vec::new();
    for chunk in whole.chunks(7) {
        assert!(chunk.len() <= 7 && !chunk.is_empty());
        assert!(names(&chunk).iter().all(|row| chunk.range().contains(row)));
        pieces.extend(names(&chunk));
    }
    assert_eq!(pieces, names(&whole), "chunks are all rows in order");
    let mut halves = vec![whole.clone()];
    while let Some(at) = halves.iter().position(|part| part.len() > 1) {
        let (first, second) = halves[at].halves().unwrap();
        halves.splice(at..=at, [first, second]);
    }
    assert!(halves.iter().all(|part| part.len() == 1));
    let single: Vec<i32> = halves.iter().flat_map(names).collect();
    assert_eq!(
        single,
        names(&whole),
        "halves down to single rows lose none"
    );
}

#[test]
fn columns_that_stay_away_are_null() {
    let batch = sample_batch(SPANS, &node(), 3);
    let mut route = of(&[SPANS]);
    let column = ("spans".to_owned(), "attributes".to_owned());
    route.exclude_columns.insert(column);
    let routed = route.apply(&batch).unwrap();
    let nulls = |name: &str| routed.rows().column_by_name(name).unwrap().null_count();
    assert_eq!(nulls("attributes"), 60);
    assert_eq!(routed.rows().schema(), SPANS.schema());
    assert!(nulls("name") < 60);
}

#[test]
fn a_sealed_batch_keeps_its_route_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || RouteBook::open(dir.path(), "sink").unwrap();
    let book = open();
    let sealed = |n: i64| move |_: Dataset| n;
    assert!(book.change(of(&[SPANS]), sealed(4), false).unwrap());
    assert!(
        !book.change(of(&[SPANS]), sealed(9), false).unwrap(),
        "it holds"
    );
    assert!(book.change(of(&[AUDIT]), sealed(9), false).unwrap());
    assert!(
        book.change(of(&[SPANS, AUDIT]), sealed(9), false).unwrap(),
        "none sealed between"
    );
    for book in [book, open()] {
        assert_eq!(book.of(SPANS, 1), (Arc::new(of(&[SPANS])), Some(9)));
        assert_eq!(book.of(SPANS, 9), (Arc::new(of(&[SPANS])), Some(9)));
        assert_eq!(book.of(SPANS, 10), (Arc::new(of(&[SPANS, AUDIT])), None));
        assert_eq!(*book.current(), of(&[SPANS, AUDIT]));
    }
    let later = RouteBook::open(dir.path(), "later").unwrap();
    later.change(of(&[SPANS]), sealed(9), true).unwrap();
    assert_eq!(
        later.of(SPANS, 9),
        (Arc::default(), Some(9)),
        "not what was before"
    );
    assert_eq!(later.of(SPANS, 10), (Arc::new(of(&[SPANS])), None));
}

#[tokio::test(start_paused = true)]
async fn what_an_epoch_leaves_out_is_skipped_and_what_comes_later_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let book = Arc::new(RouteBook::open(dir.path(), "sink").unwrap());
    let source = Arc::new(ListSource::new(node()));
    for number in 1..=3 {
        source.push(sample_batch(AUDIT, &node(), number));
    }
    let sealed = |source: &Arc<ListSource>| {
        let source = Arc::clone(source);
        move |dataset: Dataset| source.last_sealed(dataset)
    };
    book.change(of(&[SPANS]), sealed(&source), false).unwrap();
    let routed = Routed::new(
        Arc::clone(&source) as Arc<dyn BatchSource>,
        Arc::clone(&book),
    );
    let early = tokio::time::timeout(Duration::from_secs(60), routed.next(AUDIT, 0, want()));
    assert!(early.await.is_err(), "it waits for another route");
    book.change(of(&[AUDIT]), sealed(&source), false).unwrap();
    let skipped = routed.next(AUDIT, 0, want()).await;
    assert!(
        matches!(skipped, Err(SourceError::Skip { through: 3, .. })),
        "{skipped:?}"
    );
    source.push(sample_batch(AUDIT, &node(), 4));
    let given = routed.next(AUDIT, 3, want()).await.unwrap();
    assert_eq!(given[0].rows().num_rows(), 60);
    assert_eq!(routed.routed_out(AUDIT), 0);
}
