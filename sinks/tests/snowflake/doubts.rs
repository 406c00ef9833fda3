//! Rows that the channel's token does not speak for.

use std::sync::Arc;

use weir_model::clock::FixedClock;
use weir_model::{BatchSource, Fault};
use weir_sinks::testing::{ListSource, MemoryCursors};
use weir_sinks::{DeadLetters, Delivery, DeliveryConfig};

use super::*;

fn piece(number: i64, rows: std::ops::Range<i32>) -> [Part; 1] {
    let batch = sample_batch(DATASET, &node(), number);
    [Part::piece(batch, rows).unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_from_before_the_channels_first_and_from_gaps_come_in_once() {
    let snow = Snow::start().await;
    let sink = snow.open();
    write(&sink, &run(5..=6)).await;
    write(&sink, &run(9..=9)).await;
    // As a backfill does: below the token, and not there.
    for (batches, stored) in [(1..=2, 120), (7..=8, 120), (1..=9, 120), (1..=9, 0)] {
        let got = write(&sink, &run(batches.clone())).await.0;
        assert_eq!(got, stored, "{batches:?}");
    }
    assert_rows(&snow, rows_of(1..=9));
    let sink = snow.open();
    assert_eq!(write(&sink, &run(1..=10)).await.0, 60);
    assert_rows(&snow, rows_of(1..=10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_left_out_can_come_later() {
    let snow = Snow::start().await;
    let sink = snow.open();
    for rows in [0..20, 21..60] {
        write(&sink, &piece(1, rows)).await;
    }
    write(&sink, &run([2])).await;
    let sink = snow.open();
    for stored in [1, 0] {
        assert_eq!(write(&sink, &piece(1, 20..21)).await.0, stored);
    }
    assert_rows(&snow, rows_of(1..=2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_hides_rows_does_not_double_them() {
    let snow = Snow::start().await;
    let sink = snow.open();
    for rows in [0..20, 21..60] {
        write(&sink, &piece(1, rows)).await;
    }
    snow.emulator.catalog(|c| c.hidden = true);
    let sink = snow.open();
    let error = sink.write(&piece(1, 0..20)).await.unwrap_err();
    assert!(chain(&error).contains("policy"), "{}", chain(&error));
    assert_ne!(error.fault(), Fault::Permanent);
    snow.emulator.catalog(|c| c.hidden = false);
    assert_eq!(write(&sink, &piece(1, 0..20)).await.0, 0);
}

/// Delivers `count` batches of which one row cannot be loaded; gives what was set aside.
async fn set_aside(snow: &Snow, count: i64, bad: (i64, i32)) -> Vec<(i64, i32)> {
    let sink = snow.open();
    // The table is there before it is poisoned.
    sink.count(DATASET, &node()).await.unwrap();
    snow.emulator.poison("REJECTED_EVENTS", Some(bad));
    let source = Arc::new(ListSource::new(node()));
    (1..=count).for_each(|n| source.push(sample_batch(DATASET, &node(), n)));
    let cursors = Arc::new(MemoryCursors::default());
    let folder = tempfile::tempdir().unwrap();
    let dead = DeadLetters::open(folder.path(), Arc::new(FixedClock::at(1))).unwrap();
    let dead = Arc::new(dead);
    let config = DeliveryConfig {
        datasets: vec![DATASET],
        retry_base: Duration::from_millis(5),
        ..DeliveryConfig::default()
    };
    let delivery = Delivery::start(
        Arc::new(sink),
        source as Arc<dyn BatchSource>,
        Arc::clone(&cursors) as _,
        Arc::clone(&dead),
        config,
    );
    cursors.reached("snowflake", DATASET, count).await;
    delivery.stop().await;
    let letters = dead.list().unwrap();
    assert!(letters.iter().all(|l| l.rows == 1), "{letters:?}");
    assert!(!format!("{letters:?}").contains("secret"), "{letters:?}");
    let names = letters.iter().map(|l| (l.id.part.batch, l.id.part.start));
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_snowflake_leaves_out_is_the_only_one_set_aside() {
    let snow = Snow::start().await;
    let bad = (3, 17);
    let began = Instant::now();
    assert_eq!(set_aside(&snow, 6, bad).await, [bad]);
    assert!(began.elapsed() < Duration::from_secs(10));
    let wanted = rows_of(1..=6).into_iter().filter(|name| *name != bad);
    assert_rows(&snow, wanted);
    // Once it can be loaded, it comes in, and only it.
    let sink = snow.open();
    let again = sink.write(&piece(3, 17..18)).await.unwrap_err();
    assert_eq!(again.fault(), Fault::Permanent, "{again}");
    snow.emulator.poison("REJECTED_EVENTS", None);
    for stored in [1, 0] {
        assert_eq!(write(&sink, &piece(3, 17..18)).await.0, stored);
    }
    assert_rows(&snow, rows_of(1..=6));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_left_out_are_not_forgotten_by_a_restart_nor_without_a_warehouse() {
    let mut snow = Snow::start().await;
    let warehouse = std::mem::take(&mut snow.config.warehouse);
    let sink = snow.open();
    write(&sink, &run([1])).await;
    snow.emulator.poison("REJECTED_EVENTS", Some((2, 5)));
    // Nobody can say which row is missing: nothing is settled, and a person is told why.
    for _ in 0..3 {
        let error = sink.write(&run([2])).await.unwrap_err();
        assert_ne!(error.fault(), Fault::Permanent);
        assert!(chain(&error).contains("warehouse"), "{}", chain(&error));
    }
    drop(sink);
    snow.config.warehouse = warehouse;
    let sink = snow.open();
    let error = sink.write(&run([2])).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Permanent, "{}", chain(&error));
    assert!(chain(&error).contains("1 rows"), "{}", chain(&error));
    let wanted = rows_of(1..=2).into_iter().filter(|name| *name != (2, 5));
    assert_rows(&snow, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_left_out_is_found_by_the_attempt_that_only_waits() {
    let mut snow = Snow::start().await;
    snow.config.commit_timeout = Duration::from_millis(50);
    let sink = snow.open();
    write(&sink, &run([1])).await;
    snow.emulator.poison("REJECTED_EVENTS", Some((2, 5)));
    snow.emulator.commit_delay(Duration::from_millis(200));
    let mut waited = 0;
    let error = loop {
        let error = sink.write(&run([2])).await.unwrap_err();
        if error.fault() == Fault::Permanent {
            break error;
        }
        assert!(chain(&error).contains("not committed"), "{}", chain(&error));
        waited += 1;
    };
    assert!(
        waited > 0 && chain(&error).contains("1 rows"),
        "{}",
        chain(&error)
    );
}
