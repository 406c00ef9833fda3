//! Readers hammer the table while rows are accepted, sealed, committed and let go of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use serde_json::{Value, json};
use weir_lake::Partition;
use weir_model::{Batch, Dataset, TenantId};
use weir_queries::{Answer, QueryLimits};

use crate::fixture::{Site, run, spans};

/// A small generator of choices, so that a failure can be looked at again.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// The one row's integers.
fn numbers(answer: &Answer) -> Vec<i64> {
    let row = answer.batches.iter().find(|b| b.num_rows() == 1).unwrap();
    let value = |c: &arrow_array::ArrayRef| {
        let column = c.as_primitive::<Int64Type>();
        column.iter().next().unwrap().unwrap_or(0)
    };
    row.columns().iter().map(value).collect()
}

/// `count` spans whose `duration_nanos` counts on from `from`.
fn counted(from: i64, count: i64) -> arrow_array::RecordBatch {
    let objects: Vec<Value> = (from..from + count)
        .map(|n| json!({ "span_id": format!("{n:016x}"), "duration_nanos": n }))
        .collect();
    spans(&objects)
}

/// A fault that the readers must notice; else they would notice nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// Rows are let go of before the lake has them.
    Gap,
    /// Rows say that they belong to a later batch than they do.
    Double,
}

/// What readers and the writer share.
struct Shared {
    site: Site,
    /// How many rows are accepted.
    accepted: AtomicI64,
    done: AtomicBool,
}

/// Accepts rows and moves them on, in an order that is different each time.
async fn write(shared: Arc<Shared>, planted: Planted, until: Instant) {
    let site = &shared.site;
    let mut choices = Choices(0x9e37_79b9_7f4a_7c15);
    let mut next = 0_i64;
    let mut waiting: Vec<Batch> = Vec::new();
    let mut committed = 0;
    while Instant::now() < until && !shared.done.load(Ordering::SeqCst) {
        match choices.below(10) {
            0..=4 => {
                let count = 1 + i64::try_from(choices.below(40)).unwrap();
                site.recent.accept(Dataset::Spans, &counted(next, count));
                next += count;
                shared.accepted.store(next, Ordering::SeqCst);
            }
            5..=6 => waiting.extend(site.recent.seal(Dataset::Spans)),
            7..=8 => {
                if let Some(number) = waiting.last().map(|b| b.id().number) {
                    if planted == Planted::Gap {
                        site.recent.let_go(Dataset::Spans, number);
                    }
                    site.lake.append(Dataset::Spans, &waiting).await.unwrap();
                    waiting.clear();
                    committed = number;
                    // Often the rows are let go of at once, and sometimes much later.
                    if choices.below(2) == 0 {
                        site.recent.let_go(Dataset::Spans, committed);
                    }
                }
            }
            _ => site.recent.let_go(Dataset::Spans, committed),
        }
        tokio::task::yield_now().await;
    }
    shared.done.store(true, Ordering::SeqCst);
}

/// Asks again and again; each answer must hold the rows 0, 1, 2, ... without a gap, each once, and
/// at least those that were accepted before it was asked. Gives how often it asked, or what was
/// wrong.
async fn read(shared: Arc<Shared>) -> Result<usize, String> {
    let tenant = TenantId::new("acme").unwrap();
    let plain = "SELECT count(*), count(DISTINCT span_id), coalesce(max(duration_nanos) + 1, 0)";
    let joined = "(SELECT count(*) FROM spans a JOIN spans b ON a.span_id = b.span_id) AS joined";
    let mut asked = 0;
    let mut seen = 0;
    while !shared.done.load(Ordering::SeqCst) {
        let before = shared.accepted.load(Ordering::SeqCst);
        let sql = match asked % 4 {
            0 => format!("{plain}, {joined} FROM spans"),
            _ => format!("{plain} FROM spans"),
        };
        let limits = QueryLimits::default();
        let answer = shared.site.engine.query(&tenant, &sql, &limits).await;
        let found = numbers(&answer.unwrap());
        let count = found[0];
        let whole = found.iter().all(|n| *n == count);
        if !whole || count < before || count < seen {
            shared.done.store(true, Ordering::SeqCst);
            return Err(format!("{found:?} after {before} accepted and {seen} seen"));
        }
        seen = count;
        asked += 1;
    }
    Ok(asked)
}

/// Lets readers and a writer at the same table for a while.
async fn hammer(planted: Planted, time: Duration) -> Result<(usize, Arc<Shared>), String> {
    let site = Site::new(Partition::DateAndTenant).await;
    site.recent.misnumber(i64::from(planted == Planted::Double));
    let shared = Arc::new(Shared {
        site,
        accepted: AtomicI64::new(0),
        done: AtomicBool::new(false),
    });
    let readers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(read(Arc::clone(&shared))))
        .collect();
    let until = Instant::now() + time;
    let writer = tokio::spawn(write(Arc::clone(&shared), planted, until));
    writer.await.unwrap();
    let mut asked = 0;
    for reader in readers {
        asked += reader.await.unwrap()?;
    }
    Ok((asked, shared))
}

#[test]
fn readers_see_each_accepted_row_once_while_rows_move_to_the_lake() {
    run(async {
        let hammered = hammer(Planted::Nothing, Duration::from_secs(6)).await;
        let (asked, shared) = hammered.unwrap_or_else(|wrong| panic!("gap or double: {wrong}"));
        let snapshot = shared.site.lake.snapshot(Dataset::Spans).await.unwrap();
        let version = snapshot.version().unwrap_or(0);
        let rows = shared.accepted.load(Ordering::SeqCst);
        println!("{asked} answers over {rows} rows and {version} commits were whole");
        assert!(asked >= 10, "too few answers to say anything: {asked}");
        assert!(version >= 5, "too few commits to say anything: {version}");
    });
}

#[test]
fn readers_notice_a_planted_gap_and_a_planted_double() {
    run(async {
        for planted in [Planted::Gap, Planted::Double] {
            let hammered = hammer(planted, Duration::from_secs(20)).await;
            assert!(hammered.is_err(), "{planted:?} was not noticed");
        }
    });
}

#[test]
fn a_batch_that_is_stored_in_pieces_is_seen_once() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        site.store(Dataset::Spans, &counted(0, 10)).await;
        site.recent.accept(Dataset::Spans, &counted(10, 6));
        site.recent.accept(Dataset::Spans, &counted(16, 4));
        let batch = site.recent.seal(Dataset::Spans).unwrap();
        site.recent.accept(Dataset::Spans, &counted(20, 5));
        let sql = "SELECT count(*), count(DISTINCT span_id), max(duration_nanos) + 1 FROM spans";
        for end in [3, 8, 10] {
            let from = match end {
                3 => 0,
                8 => 3,
                _ => 8,
            };
            site.lake.append_part(&batch, from..end).await.unwrap();
            let answer = site.query("acme", sql).await.unwrap();
            assert_eq!(numbers(&answer), [25, 25, 25], "after row {end}");
        }
    });
}

#[test]
fn a_row_is_seen_as_soon_as_it_is_accepted() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        for n in 1..=5 {
            site.recent.accept(Dataset::Spans, &counted(n, 1));
            let answer = site
                .query("acme", "SELECT count(*) FROM spans")
                .await
                .unwrap();
            assert_eq!(numbers(&answer), [n]);
        }
    });
}
