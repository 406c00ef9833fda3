//! What happens to a ledger in its life: it is taken over, its spans come late, are compacted or
//! deleted, prices change, its disk is lost.

#![cfg(test)]

mod rig;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use object_store::ObjectStoreExt;
use rig::{Lists, NOON, SECOND, Span, World, foreign_commit, once, settle};
use tokio::sync::watch;
use weir_lake::Partition;
use weir_ledger::{Derivation, Follower, Reprice, Step, account, keep_lease, open, run};
use weir_model::clock::FixedClock;
use weir_model::{Clock, Dataset};

const HOUR: i64 = 3_600 * SECOND;

async fn closes(world: &World) {
    let account = account(&*world.lake().await, &weir_ledger::LEDGER_NODE, &Lists)
        .await
        .unwrap();
    assert!(account.closes(), "{account:?}");
}

/// A holder computes, sleeps for longer than its lease lasts, and then commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_slept_through_a_take_over_commits_nothing() {
    let mut world = World::new();
    let lake = world.lake().await;
    let spans = [Span::call(1, 1, 100), Span::call(2, 1, 7)];
    world.append(&lake, 1, &spans).await;
    let (asleep, wakes) = std::sync::mpsc::sync_channel::<()>(0);
    let wakes = parking_lot::Mutex::new(wakes);
    let (reached, has_reached) = std::sync::mpsc::channel();
    let stop = move |at: &str| {
        if at == "computed" {
            reached.send(()).unwrap();
            wakes.lock().recv().unwrap();
        }
        false
    };
    let mut sleeper = world.stopping("one", Arc::new(stop)).await;
    let sleeping = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let step = runtime.block_on(sleeper.step());
        (sleeper, step)
    });
    tokio::task::spawn_blocking(move || has_reached.recv().unwrap())
        .await
        .unwrap();
    let mut other = world.ledger("two").await;
    settle(&mut other).await;
    let rows = world.ledger_rows().await;
    asleep.send(()).unwrap();
    let (mut sleeper, step) = sleeping.await.unwrap();
    assert_eq!(step.unwrap(), Step::Fenced);
    assert_eq!(world.ledger_rows().await, rows);
    // It finds its way back, and the next spans are booked from either.
    drop(asleep);
    let more = [Span::tool(1, 2, "review")];
    world.append(&lake, 2, &more).await;
    assert_eq!(sleeper.follow().await.map_err(|e| e.to_string()), Ok(()));
    settle(&mut other).await;
    assert_eq!(
        world.booked().await,
        once(&[&spans[..], &more[..]].concat())
    );
    closes(&world).await;
}

/// Two whole loops with their leases; the first is cut off without a word.
#[tokio::test(flavor = "multi_thread")]
async fn another_node_takes_over_within_its_lease() {
    let mut world = World::new();
    let lake = world.lake().await;
    let clock: Arc<dyn Clock> = Arc::<FixedClock>::clone(&world.clock);
    let mut nodes = Vec::new();
    for name in ["one", "two"] {
        let config = world.config(name);
        let length = config.lease;
        let own = world.lake().await;
        let (ledger, lease) = open(&own, Arc::new(Lists), &clock, (config, name)).unwrap();
        let status = ledger.status();
        let (stop, stopped) = watch::channel(false);
        let (held, holds) = watch::channel(false);
        let beat = tokio::spawn(keep_lease(lease, length, held, stopped.clone()));
        let work = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(run(ledger, Vec::new(), holds, stopped));
        });
        nodes.push((status, stop, beat, work));
        while name == "one" && !nodes[0].0.shown(0).booking {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let mut all = Vec::new();
    for n in 0..20_u64 {
        let spans = [Span::call(n.into(), 1, 5), Span::tool(n.into(), 2, "plan")];
        world.append(&lake, n % 2, &spans).await;
        all.extend(spans);
        if n == 10 {
            assert!(!nodes[1].0.shown(0).booking, "one at a time");
            // Its heart stops; what it was doing goes on until it notices.
            nodes[0].2.abort();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..500 {
        if nodes[1].0.shown(0).booking && world.booked().await.len() == 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(nodes[1].0.shown(0).booking);
    for (_, stop, _, work) in nodes {
        stop.send_replace(true);
        tokio::task::spawn_blocking(move || work.join().unwrap())
            .await
            .unwrap();
    }
    assert_eq!(world.booked().await, once(&all));
    closes(&world).await;
}

/// Who started the loops goes without a word, as one that panics does.
#[tokio::test(flavor = "multi_thread")]
async fn the_loops_end_with_their_owner() {
    let world = World::new();
    let own = world.lake().await;
    let clock: Arc<dyn Clock> = Arc::<FixedClock>::clone(&world.clock);
    let config = world.config("one");
    let length = config.lease;
    let (ledger, lease) = open(&own, Arc::new(Lists), &clock, (config, "one")).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (held, holds) = watch::channel(false);
    let beat = tokio::spawn(keep_lease(lease, length, held, stopped.clone()));
    let work = run(ledger, Vec::new(), holds, stopped);
    drop(stop);
    let ends = tokio::time::timeout(Duration::from_secs(10), async {
        Box::pin(work).await;
        beat.await.unwrap();
    });
    assert!(ends.await.is_ok());
}

/// The store drops its facts, then late spans come to traces of every age.
#[tokio::test(flavor = "multi_thread")]
async fn late_spans_find_their_traces_after_the_facts_were_dropped() {
    let mut world = World::new();
    let lake = world.lake().await;
    let mut all = Vec::new();
    let mut ledger = world.ledger("one").await;
    for hour in 0..6 {
        let now = NOON + hour * HOUR;
        world.clock.set(now);
        let traces = u128::try_from(hour).unwrap() * 10..u128::try_from(hour).unwrap() * 10 + 5;
        let spans: Vec<Span> = traces
            .map(|trace| Span {
                received_us: now,
                ..Span::call(trace, 2, 50)
            })
            .collect();
        world.append(&lake, 1, &spans).await;
        all.extend(spans);
        settle(&mut ledger).await;
        ledger.close().unwrap();
        ledger = world.ledger("one").await;
    }
    let facts = ledger.status().shown(0).facts;
    let now = NOON + 6 * HOUR;
    world.clock.set(now);
    for hour in 0..6_u128 {
        // A tool before the call names the skill; the call itself is sent again.
        let tool = Span {
            received_us: now,
            ..Span::tool(hour * 10, 1, "review")
        };
        let again = Span {
            received_us: now,
            ..Span::call(hour * 10 + 1, 2, 50)
        };
        world.append(&lake, 2, &[tool.clone(), again.clone()]).await;
        all.extend([tool, again]);
    }
    settle(&mut ledger).await;
    assert!(
        ledger.status().shown(0).reread > 0,
        "{facts} facts were there"
    );
    assert_eq!(world.booked().await, once(&all));
    closes(&world).await;
    // The same on a disk that knows nothing of before.
    let more: Vec<Span> = (0..6_u128)
        .map(|hour| Span {
            received_us: now,
            ..Span::tool(hour * 10 + 2, 1, "plan")
        })
        .collect();
    world.append(&lake, 2, &more).await;
    all.extend(more);
    let mut fresh = world.ledger("two").await;
    settle(&mut fresh).await;
    assert_eq!(world.booked().await, once(&all));
    closes(&world).await;
}

/// The spans written into new files, as a compaction does it.
async fn compact(world: &World) {
    let lake = world.lake().await;
    let snapshot = lake.snapshot(Dataset::Spans).await.unwrap();
    let pieces: Vec<RecordBatch> = world.batches.iter().map(|b| b.rows().clone()).collect();
    let files = weir_lake::encode(Dataset::Spans, &pieces, Partition::DateAndTenant).unwrap();
    let mut lines = Vec::new();
    for file in snapshot.files() {
        let path = &file.path;
        lines.push(format!(
            r#"{{"remove":{{"path":"{path}","deletionTimestamp":1,"dataChange":false}}}}"#
        ));
    }
    for (n, file) in files.into_iter().enumerate() {
        let days = i64::from(file.part_date) * 86_400;
        let day = chrono::DateTime::from_timestamp(days, 0)
            .unwrap()
            .format("%Y-%m-%d");
        let tenant = file.tenant.unwrap();
        let path = format!("part_date={day}/tenant_id={tenant}/compact-{n}.parquet");
        let at = lake.table_prefix(Dataset::Spans);
        let at = object_store::path::Path::from(format!("{at}/{path}"));
        let size = file.bytes.len();
        lake.store().put(&at, file.bytes.into()).await.unwrap();
        let stats = serde_json::Value::from(file.stats);
        lines.push(format!(
            r#"{{"add":{{"path":"{path}","partitionValues":{{"part_date":"{day}","tenant_id":"{tenant}"}},"size":{size},"modificationTime":1,"dataChange":false,"stats":{stats}}}}}"#
        ));
    }
    foreign_commit(world, Dataset::Spans, &lines).await;
}

/// All files of the spans deleted, as retention does it.
async fn delete_spans(world: &World) {
    let lake = world.lake().await;
    let snapshot = lake.snapshot(Dataset::Spans).await.unwrap();
    let lines: Vec<String> = snapshot
        .files()
        .iter()
        .map(|f| {
            let path = &f.path;
            format!(r#"{{"remove":{{"path":"{path}","deletionTimestamp":1,"dataChange":true}}}}"#)
        })
        .collect();
    foreign_commit(world, Dataset::Spans, &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_and_retention_of_spans_book_nothing() {
    let mut world = World::new();
    let lake = world.lake().await;
    let mut all = Vec::new();
    for n in 0..8_u64 {
        // Node 2 begins later, so that a file of both has batches above its last one.
        let node = if n < 6 { 1 } else { 2 };
        let spans = [Span::call(1, n + 1, 9), Span::call(n.into(), 100, 3)];
        world.append(&lake, node, &spans).await;
        all.extend(spans);
    }
    let mut ledger = world.ledger("one").await;
    settle(&mut ledger).await;
    let rows = world.ledger_rows().await;
    compact(&world).await;
    settle(&mut ledger).await;
    let late = [Span::tool(1, 50, "review")];
    world.append(&lake, 2, &late).await;
    settle(&mut ledger).await;
    all.extend(late);
    assert_eq!(world.booked().await, once(&all));
    closes(&world).await;
    assert_eq!(
        world.ledger_rows().await,
        rows,
        "the tool came after the calls"
    );

    delete_spans(&world).await;
    settle(&mut ledger).await;
    assert_eq!(world.ledger_rows().await, rows, "nothing is taken back");
    let account = account(&*world.lake().await, &weir_ledger::LEDGER_NODE, &Lists)
        .await
        .unwrap();
    assert!(
        account.closes() && account.gone == account.bookings,
        "{account:?}"
    );
    // What comes now is added; what is known here of the trace still counts.
    let last = Span::call(1, 60, 11);
    world.append(&lake, 1, std::slice::from_ref(&last)).await;
    settle(&mut ledger).await;
    all.push(last);
    assert_eq!(world.booked().await, once(&all));
    // On another disk the trace's facts are gone for good: additions only.
    let early = [
        Span {
            start_us: NOON - SECOND,
            end_us: NOON - SECOND,
            ..Span::tool(1, 99, "plan")
        },
        Span::call(1, 61, 13),
    ];
    world.append(&lake, 1, &early).await;
    // The spans were accepted long ago, as far as a fresh disk looks back for facts.
    world.clock.set(NOON + 2 * HOUR);
    let mut fresh = world.ledger("two").await;
    settle(&mut fresh).await;
    let booked = world.booked().await;
    assert_eq!(booked.len(), once(&all).len() + 1);
    for (call, cost) in once(&all) {
        assert_eq!(booked.get(&call), Some(&cost), "stays as it was");
    }
    // Where even the spans are gone, the ledger itself says that the trace was there.
    delete_spans(&world).await;
    let again = Span::call(1, 1, 9);
    world.append(&lake, 1, std::slice::from_ref(&again)).await;
    let mut third = world.ledger("three").await;
    settle(&mut third).await;
    assert_eq!(world.booked().await, booked, "a resend is not booked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_reprices_what_was_booked_and_keeps_both() {
    let mut world = World::new();
    let lake = world.lake().await;
    let spans: Vec<Span> = (0..40).map(|n| Span::call(n, 1, 1)).collect();
    world.append(&lake, 1, &spans).await;
    let mut ledger = world.ledger("one").await;
    settle(&mut ledger).await;
    let rows = world.ledger_rows().await;
    world.clock.set(NOON + HOUR);
    let entry = Reprice {
        from_us: NOON - HOUR,
        to_us: NOON + HOUR,
        made_us: NOON + HOUR,
        lists: [("acme".to_owned(), "list-b".to_owned())].into(),
    };
    let preview = ledger.preview(&entry).await.unwrap();
    assert_eq!(
        (preview.traces, preview.calls, preview.before),
        (40, 40, 40)
    );
    assert_eq!(preview.after, 40 * 110 * 2_000);
    assert_eq!(world.ledger_rows().await, rows, "a preview books nothing");
    ledger.enter(&entry).await.unwrap();
    settle(&mut ledger).await;
    assert_eq!(
        world.ledger_rows().await,
        rows + 80,
        "both stay in the ledger"
    );
    let sum: i128 = world.booked().await.values().map(|(cost, _)| cost).sum();
    assert_eq!(sum, preview.after);
    closes(&world).await;
    // A late span of a priced trace leaves the entry's price; a new one has its own.
    let late = [
        Span::tool(3, 9, "plan"),
        Span {
            received_us: NOON + 2 * HOUR,
            ..Span::call(90, 1, 5)
        },
    ];
    world.append(&lake, 1, &late).await;
    let mut fresh = world.ledger("two").await;
    settle(&mut fresh).await;
    let sum: i128 = world.booked().await.values().map(|(cost, _)| cost).sum();
    assert_eq!(sum, preview.after + 5);
    closes(&world).await;
}

/// Copies each booking's cost into a table of its own.
#[derive(Debug)]
struct Copied;

impl Derivation for Copied {
    fn source(&self) -> Dataset {
        Dataset::CostLedger
    }

    fn target(&self) -> Dataset {
        Dataset::RejectedEvents
    }

    fn columns(&self) -> Vec<&'static str> {
        vec!["tenant_id", "sign", "cost_usd", "part_date", "received_at"]
    }

    fn map(&self, pieces: &[RecordBatch], _: i64) -> Result<Option<RecordBatch>, String> {
        let mut sum = 0;
        for piece in pieces {
            let signs = piece.column(1).as_primitive::<Int32Type>();
            let costs = piece.column(2).as_primitive::<Decimal128Type>();
            let signed = signs
                .iter()
                .zip(costs)
                .filter_map(|(s, c)| Some(i128::from(s?) * c?));
            sum += signed.sum::<i128>();
        }
        let Some(first) = pieces.iter().find(|p| p.num_rows() > 0) else {
            return Ok(None);
        };
        let schema = Dataset::RejectedEvents.accepted_schema();
        let text = |text: String| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let columns = schema.fields().iter().map(|f| match f.name().as_str() {
            "tenant_id" => text("acme".into()),
            "payload" => text(sum.to_string()),
            "part_date" => first.column(3).slice(0, 1),
            "received_at" => first.column(4).slice(0, 1),
            _ if f.is_nullable() => new_null_array(f.data_type(), 1),
            _ => text("x".into()),
        });
        let columns = columns.collect();
        RecordBatch::try_new(schema, columns)
            .map(Some)
            .map_err(|e| e.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_derived_table_counts_each_row_once_however_many_follow() {
    let mut world = World::new();
    let lake = world.lake().await;
    let clock: Arc<dyn Clock> = Arc::<FixedClock>::clone(&world.clock);
    let mut ledger = world.ledger("one").await;
    let mut one = Follower::new(world.lake().await, Arc::clone(&clock), Box::new(Copied));
    let mut two = Follower::new(world.lake().await, Arc::clone(&clock), Box::new(Copied));
    let mut all = Vec::new();
    for n in 0..6_u64 {
        let spans = [Span::call(1, n + 1, 10), Span::call(n.into(), 77, 1)];
        world.append(&lake, 1, &spans).await;
        all.extend(spans);
        settle(&mut ledger).await;
        let (a, b) = tokio::join!(one.step(), two.step());
        assert!(a.is_ok() && b.is_ok());
        // A follower that was just started knows what it needs from the table.
        if n == 3 {
            one = Follower::new(world.lake().await, Arc::clone(&clock), Box::new(Copied));
        }
    }
    while one.step().await.unwrap() {}
    let lake = world.lake().await;
    let table = lake.snapshot(Dataset::RejectedEvents).await.unwrap();
    let mut sum: i128 = 0;
    for file in table.files() {
        let pieces = lake
            .read_file(Dataset::RejectedEvents, file, &["payload"], None)
            .await
            .unwrap();
        let pieces: Vec<_> = futures::TryStreamExt::try_collect(pieces).await.unwrap();
        let pieces: Vec<RecordBatch> = pieces;
        for piece in &pieces {
            let texts = piece.column(0).as_string::<i32>();
            assert_eq!(texts.null_count(), 0);
            sum += texts
                .iter()
                .flatten()
                .map(|t| t.parse::<i128>().unwrap())
                .sum::<i128>();
        }
    }
    let expected: i128 = once(&all).values().map(|(cost, _)| cost).sum();
    assert_eq!(sum, expected);
}
