//! Events are booked one by one: the ledger's sums are those of the events, to the last digit, in
//! any order, batches and nodes, and wherever a process was stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::Field;
use futures::TryStreamExt;
use proptest::prelude::*;
use weir_ledger::{LEDGER_NODE, LedgerError, Reprice, account};
use weir_model::Dataset;

use super::rig::{Dice, Lists, NOON, SECOND, Span, World, settle};
use super::stop_sometimes;

const DAY: i64 = 86_400 * SECOND;

/// An event, as far as the ledger looks at it.
#[derive(Clone, Debug)]
struct Event {
    dataset: Dataset,
    tenant: &'static str,
    id: u64,
    cost: Option<i128>,
    /// How long before noon, in microseconds.
    before: Option<i64>,
    is_call: bool,
    failed: bool,
}

fn source(dataset: Dataset) -> &'static str {
    if dataset == Dataset::LogEvents {
        "log_event"
    } else {
        "telemetry_event"
    }
}

fn rows(dataset: Dataset, events: &[&Event]) -> RecordBatch {
    let schema = dataset.accepted_schema();
    let texts = |of: &dyn Fn(&Event) -> Option<String>| -> ArrayRef {
        Arc::new(events.iter().map(|e| of(e)).collect::<StringArray>())
    };
    let money = || -> ArrayRef {
        let all: Decimal128Array = events.iter().map(|e| e.cost).collect();
        Arc::new(all.with_precision_and_scale(24, 12).unwrap())
    };
    let column = |field: &Field| -> ArrayRef {
        match field.name().as_str() {
            "tenant_id" => texts(&|e| Some(e.tenant.to_owned())),
            "event_id" => texts(&|e| Some(format!("{:032x}", e.id))),
            "raw" => texts(&|_| Some("{}".to_owned())),
            "event_name" => texts(&|_| Some("claude_code.api_request".to_owned())),
            "op_kind" => texts(&|_| Some("llm".to_owned())),
            "skill_name" => texts(&|e| e.id.is_multiple_of(2).then(|| "pdf".to_owned())),
            "model" => texts(&|_| Some("gpt-4o".to_owned())),
            "cost_status" => texts(&|e| {
                let status = e.cost.map_or("no_usage", |_| "reported");
                Some(status.to_owned())
            }),
            "cost_reported_usd" | "cost_usd" => money(),
            "usage_input_tokens" => {
                Arc::new(Int64Array::from_iter_values(events.iter().map(|_| 5)))
            }
            "is_call" => Arc::new(
                events
                    .iter()
                    .map(|e| Some(e.is_call))
                    .collect::<BooleanArray>(),
            ),
            "success" => Arc::new(
                events
                    .iter()
                    .map(|e| Some(!e.failed))
                    .collect::<BooleanArray>(),
            ),
            "event_time" => {
                let times = events.iter().map(|e| e.before.map(|b| NOON - b));
                let times: TimestampMicrosecondArray = times.collect();
                Arc::new(times.with_timezone("UTC"))
            }
            "received_at" => {
                let times = events.iter().map(|_| NOON);
                let times = TimestampMicrosecondArray::from_iter_values(times);
                Arc::new(times.with_timezone("UTC"))
            }
            "part_date" => {
                let today = i32::try_from(NOON / DAY).unwrap();
                Arc::new(Date32Array::from_iter_values(events.iter().map(|_| today)))
            }
            _ => new_null_array(field.data_type(), events.len()),
        }
    };
    let columns = schema.fields().iter().map(|f| column(f)).collect();
    RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
}

/// What stands of a source for a tenant: bookings, how many have a cost, what they come to, errors.
type Sums = BTreeMap<(String, String), (i64, i64, i128, i64)>;

fn expected(events: &[Event]) -> Sums {
    let mut sums = Sums::new();
    for event in events {
        let log = event.dataset == Dataset::LogEvents;
        if log && !event.is_call {
            continue;
        }
        let key = (event.tenant.to_owned(), source(event.dataset).to_owned());
        let sum = sums.entry(key).or_default();
        sum.0 += 1;
        sum.1 += i64::from(event.cost.is_some());
        sum.2 += event.cost.unwrap_or(0);
        sum.3 += i64::from(event.failed && !log);
    }
    sums
}

async fn booked(world: &World) -> Sums {
    let lake = world.lake().await;
    let snapshot = lake.snapshot(Dataset::CostLedger).await.unwrap();
    let columns = [
        "tenant_id",
        "source",
        "sign",
        "cost_usd",
        "error_type",
        "part_date",
    ];
    let mut sums = Sums::new();
    for file in snapshot.files() {
        let pieces = lake.read_file(Dataset::CostLedger, file, &columns, None);
        let pieces: Vec<RecordBatch> = pieces.await.unwrap().try_collect().await.unwrap();
        for piece in pieces {
            let text = |n: usize| piece.column(n).as_string::<i32>();
            let costs = piece.column(3).as_primitive::<Decimal128Type>();
            for at in 0..piece.num_rows() {
                if text(1).value(at) == "span" {
                    continue;
                }
                let sign = i64::from(piece.column(2).as_primitive::<Int32Type>().value(at));
                let key = (text(0).value(at).to_owned(), text(1).value(at).to_owned());
                let sum = sums.entry(key).or_default();
                sum.0 += sign;
                sum.1 += sign * i64::from(costs.is_valid(at));
                if costs.is_valid(at) {
                    sum.2 += i128::from(sign) * costs.value(at);
                }
                sum.3 += sign * i64::from(text(4).is_valid(at));
                let day = piece.column(5).as_primitive::<Date32Type>().value(at);
                let today = i32::try_from(NOON / DAY).unwrap();
                assert!((today - 30..=today + 1).contains(&day), "{day}");
            }
        }
    }
    sums
}

/// Brings the events into the lake in random batches of random nodes, beside spans, while ledgers
/// are stopped at random places and sometimes lose their disk.
async fn one_world(seed: u64, events: &[Event]) {
    let mut dice = Dice::new(seed);
    let mut world = World::new();
    let lake = world.lake().await;
    let mut order: Vec<&Event> = events.iter().collect();
    dice.shuffle(&mut order);
    let mut left = order.as_slice();
    let mut ledger = world.stopping("one", stop_sometimes(seed)).await;
    while !left.is_empty() {
        let some = usize::try_from(1 + dice.roll(6)).unwrap().min(left.len());
        let (now, later) = left.split_at(some);
        left = later;
        for dataset in [Dataset::TelemetryEvents, Dataset::LogEvents] {
            let these: Vec<&Event> = now
                .iter()
                .copied()
                .filter(|e| e.dataset == dataset)
                .collect();
            if !these.is_empty() {
                let place = (dataset, 1 + dice.roll(2));
                world
                    .append_rows(&lake, place, &rows(dataset, &these))
                    .await;
            }
        }
        if dice.one_in(3) {
            let span = Span::call(u128::from(dice.roll(9)) + 1, dice.roll(9) + 1, 7);
            world.append(&lake, 1, &[span]).await;
        }
        for _ in 0..dice.roll(3) {
            match ledger.step().await {
                Ok(_) => {}
                Err(LedgerError::Stopped { .. }) => {
                    if dice.one_in(3) {
                        let _ = std::fs::remove_dir_all(world.folder("one"));
                    }
                    let name = if dice.one_in(2) { "one" } else { "two" };
                    let stop = stop_sometimes(dice.roll(u64::MAX));
                    drop(ledger);
                    ledger = world.stopping(name, stop).await;
                }
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
        }
    }
    drop(ledger);
    let mut last = world.ledger("three").await;
    settle(&mut last).await;
    assert_eq!(booked(&world).await, expected(events), "seed {seed}");
    let account = account(&*world.lake().await, &LEDGER_NODE, &Lists)
        .await
        .unwrap();
    assert!(account.closes(), "seed {seed}: {account:?}");
    let sums = expected(events);
    let count: i64 = sums.values().map(|s| s.0).sum();
    let total: i128 = sums.values().map(|s| s.2).sum();
    assert_eq!(
        (
            account.event_bookings,
            account.events_booked,
            account.pending_batches
        ),
        (u64::try_from(count).unwrap(), total, 0)
    );
}

fn event() -> impl Strategy<Value = Event> {
    let cost = prop_oneof![
        Just(None),
        (0_i128..1_000_000_000).prop_map(Some),
        Just(Some(999_999_999_999_999_999_999_999)),
        Just(Some(1)),
    ];
    let before = prop_oneof![
        Just(None),
        (0_i64..3 * DAY).prop_map(Some),
        Just(Some(400 * DAY)),
        Just(Some(-400 * DAY)),
    ];
    (any::<[bool; 4]>(), any::<u64>(), cost, before).prop_map(|(coins, id, cost, before)| {
        let [log, tenant, is_call, failed] = coins;
        Event {
            dataset: if log {
                Dataset::LogEvents
            } else {
                Dataset::TelemetryEvents
            },
            tenant: if tenant { "acme" } else { "zeta" },
            id: id % 50,
            cost,
            before,
            is_call,
            failed,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_those_of_the_events(
        seed: u64,
        events in proptest::collection::vec(event(), 1..30),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(one_world(seed, &events));
    }
}

/// A stop at each place, once it is passed, and another process that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_any_place_books_each_event_once() {
    for place in ["events_read", "computed", "committed", "applied", "kept"] {
        let mut world = World::new();
        let lake = world.lake().await;
        let mut all = Vec::new();
        for turn in 0..4_u64 {
            let one = Event {
                dataset: Dataset::TelemetryEvents,
                tenant: "acme",
                id: turn,
                cost: Some(i128::from(turn) * 1_000 + 1),
                before: Some(5),
                is_call: true,
                failed: false,
            };
            let table = (one.dataset, 1 + turn % 2);
            world
                .append_rows(&lake, table, &rows(one.dataset, &[&one]))
                .await;
            all.push(one);
            let mut ledger = world.stopping("one", Arc::new(move |at| at == place)).await;
            let stopped = ledger.step().await;
            assert!(
                matches!(stopped, Err(LedgerError::Stopped { .. })),
                "{place}"
            );
            drop(ledger);
            settle(&mut world.ledger("one").await).await;
        }
        assert_eq!(booked(&world).await, expected(&all), "{place}");
    }
}

/// Two processes compute the same batch; the one that is slower commits nothing.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_one_books() {
    let mut world = World::new();
    let lake = world.lake().await;
    let one = Event {
        dataset: Dataset::LogEvents,
        tenant: "acme",
        id: 1,
        cost: Some(3),
        before: None,
        is_call: true,
        failed: false,
    };
    world
        .append_rows(&lake, (one.dataset, 1), &rows(one.dataset, &[&one]))
        .await;
    let mut ledgers = Vec::new();
    for name in ["one", "two", "three"] {
        ledgers.push(world.ledger(name).await);
    }
    let steps = ledgers.iter_mut().map(|ledger| ledger.step());
    for step in futures::future::join_all(steps).await {
        step.unwrap();
    }
    assert_eq!(booked(&world).await, expected(&[one]));
}

/// Lets node "one" work until it has committed once more, and no further.
async fn stop_once_committed(world: &mut World) {
    let mut stopped = world
        .stopping("one", Arc::new(|at| at == "committed"))
        .await;
    // The first step may bring the store up; a later one stops after the first table.
    let mut steps = 0;
    while stopped.step().await.is_ok() {
        steps += 1;
        assert!(steps < 5, "it never stops");
    }
}

/// An entry of the order prices events anew as it does spans: what senders reported stays, also of
/// those that come after the entry, and a stop in between changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_prices_events_anew_and_leaves_what_was_reported() {
    let mut world = World::new();
    let lake = world.lake().await;
    let event = |id, dataset, cost, before| Event {
        dataset,
        tenant: if id == 4 { "zeta" } else { "acme" },
        id,
        cost,
        before: Some(before),
        is_call: true,
        failed: false,
    };
    let (telemetry, logs) = (Dataset::TelemetryEvents, Dataset::LogEvents);
    let all = [
        event(1, telemetry, Some(41), 10),
        event(2, telemetry, None, 10),
        event(2, telemetry, None, 10),
        event(3, logs, None, 10),
        // Of another tenant, and before the time of the entry.
        event(4, telemetry, None, 10),
        event(5, telemetry, None, 2 * DAY),
    ];
    for one in &all {
        let table = (one.dataset, 1);
        world
            .append_rows(&lake, table, &rows(one.dataset, &[one]))
            .await;
    }
    let mut ledger = world.ledger("one").await;
    settle(&mut ledger).await;
    assert_eq!(booked(&world).await, expected(&all));
    let entry = Reprice {
        from_us: NOON - DAY,
        to_us: NOON + DAY,
        made_us: NOON + 1,
        lists: [("acme".to_owned(), "list-b".to_owned())].into(),
    };
    let preview = ledger.preview(&entry).await.unwrap();
    // Five tokens at 2,000 each, for the three that nobody named a cost of.
    assert_eq!(
        (preview.calls, preview.before, preview.after),
        (4, 41, 41 + 30_000)
    );
    ledger.enter(&entry).await.unwrap();
    drop(ledger);
    stop_once_committed(&mut world).await;
    settle(&mut world.ledger("two").await).await;
    let late = event(6, telemetry, None, 20);
    world
        .append_rows(&lake, (telemetry, 1), &rows(telemetry, &[&late]))
        .await;
    settle(&mut world.ledger("one").await).await;
    let sums = booked(&world).await;
    let of = |tenant: &str, source: &str| sums[&(tenant.to_owned(), source.to_owned())];
    assert_eq!(of("acme", "telemetry_event"), (5, 4, 41 + 3 * 10_000, 0));
    assert_eq!(of("acme", "log_event"), (1, 1, 10_000, 0));
    assert_eq!(of("zeta", "telemetry_event"), (1, 0, 0, 0));
    let account = account(&*world.lake().await, &LEDGER_NODE, &Lists)
        .await
        .unwrap();
    assert!(account.closes(), "{account:?}");
    assert_eq!(account.events_booked, 41 + 40_000);
    // Again, by the same list: nothing is left to change.
    let mut ledger = world.ledger("one").await;
    let rows_before = world.ledger_rows().await;
    ledger.enter(&entry).await.unwrap();
    settle(&mut ledger).await;
    assert_eq!(world.ledger_rows().await, rows_before);
}
