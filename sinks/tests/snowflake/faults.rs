//! Each line of the error table, on the wire.

use std::time::{Duration, Instant};

use weir_model::BatchSource;
use weir_model::clock::FixedClock;
use weir_sinks::testing::{ListSource, MemoryCursors};
use weir_sinks::{DeadLetters, Delivery, DeliveryConfig};

use super::*;
use crate::snowpipe::Trouble;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_table_ends_in_each_row_once() {
    let troubles = [
        Trouble::Refuse(429, "", Some("0")),
        Trouble::Refuse(503, "", None),
        Trouble::Refuse(500, "", None),
        Trouble::Refuse(408, "", None),
        Trouble::Refuse(401, "390318", None),
        Trouble::Refuse(403, "", None),
        Trouble::Refuse(400, "STALE_CONTINUATION_TOKEN_SEQUENCER", None),
        Trouble::Refuse(400, "STALE_PIPE_CACHE", None),
        Trouble::Refuse(400, "SWITCH_TO_FILE_MODE", None),
        Trouble::Refuse(404, "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED", None),
        Trouble::Refuse(404, "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED", None),
        Trouble::Refuse(409, "ERR_CHANNEL_MUST_BE_REOPENED", None),
        Trouble::DoneBut(500),
        Trouble::DoneBut(503),
        Trouble::DoneBut(400),
        Trouble::DoneBut(409),
        Trouble::Lose,
        Trouble::Hangup,
    ];
    let snow = Snow::start().await;
    snow.emulator.commit_delay(Duration::from_millis(2));
    let sink = snow.open();
    write(&sink, &run([1])).await;
    let mut number = 1;
    for path in ["/rows", "/channels/", ":bulk-channel-status"] {
        for trouble in &troubles {
            // More often than one attempt sends it, where rows are at stake.
            let often = if path == "/rows" { 5 } else { 2 };
            for times in [1, often] {
                number += 1;
                if path == "/channels/" {
                    // So that the channel is opened.
                    snow.emulator.invalidate();
                }
                snow.emulator.fault(path, times, trouble.clone());
                write(&sink, &run([number])).await;
                assert_rows(&snow, rows_of(1..=number));
                assert!(
                    snow.emulator.faults_left() < times,
                    "{path} {trouble:?} was not met"
                );
                snow.emulator.forget_faults();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_wait_is_left_to_the_caller() {
    let snow = Snow::start().await;
    let sink = snow.open();
    write(&sink, &run([1])).await;
    let busy = Trouble::Refuse(429, "ERR_TOO_MANY_REQUESTS", Some("7"));
    snow.emulator.fault("/rows", 1, busy);
    let error = sink.write(&run([2])).await.unwrap_err();
    let after = Some(Duration::from_secs(7));
    assert_eq!(error.fault(), weir_model::Fault::Transient { after });
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_channels_lost_tokens_and_ended_credentials_are_mended() {
    let snow = Snow::start().await;
    let sink = snow.open();
    for number in 1..=6 {
        match number {
            2 | 5 => snow.emulator.invalidate(),
            3 => snow.emulator.expire_tokens(),
            // Answers of a replica that is behind: they are waited out.
            4 => snow.emulator.stale_answers(3),
            _ => {}
        }
        write(&sink, &run([number])).await;
        assert_rows(&snow, rows_of(1..=number));
    }
    // A server that forgets rows that it had committed is not written on.
    snow.emulator.regress();
    snow.emulator.invalidate();
    let error = loop {
        let error = sink.write(&run([7])).await.unwrap_err();
        if chain(&error).contains("rows are gone") {
            break error;
        }
    };
    assert_ne!(error.fault(), weir_model::Fault::Permanent);
    assert_rows(&snow, rows_of(1..=6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_ends() {
    let snow = Snow::start().await;
    snow.emulator.token_life_s(2);
    let sink = snow.open();
    write(&sink, &run([1])).await;
    assert_eq!(snow.emulator.tokens_given(), 1);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(write(&sink, &run([2])).await, (60, 0));
    assert_eq!(snow.emulator.tokens_given(), 2, "by time, not by a refusal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_200_is_not_a_commit() {
    let mut snow = Snow::start().await;
    snow.emulator.commit_delay(Duration::from_millis(400));
    snow.config.commit_timeout = Duration::from_millis(60);
    let sink = snow.open();
    let error = sink.write(&run([1])).await.unwrap_err();
    assert!(chain(&error).contains("not committed"), "{}", chain(&error));
    assert_rows(&snow, []);
    assert!(sink.status().waiting.is_some());
    let (_, failures) = write(&sink, &run([1])).await;
    assert!(failures > 0, "it went on waiting");
    assert_rows(&snow, rows_of([1]));
    let (_, appends, opened, _) = snow.emulator.channels()[0].clone();
    assert_eq!((appends, opened), (1, 1), "rows were sent once");

    // A writer that comes anew waits for what the one before has sent.
    sink.write(&run([2])).await.unwrap_err();
    drop(sink);
    assert_eq!(write(&snow.open(), &run([2])).await.0, 0);
    assert_rows(&snow, rows_of(1..=2));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_never_committed_are_discarded_and_sent_again() {
    let mut snow = Snow::start().await;
    snow.emulator.commit_delay(Duration::from_secs(3600));
    snow.config.commit_timeout = Duration::from_millis(50);
    snow.config.takeover_timeout = Duration::from_millis(50);
    let sink = snow.open();
    sink.write(&run([1])).await.unwrap_err();
    snow.emulator.commit_delay(Duration::ZERO);
    let sink = snow.open();
    assert_eq!(write(&sink, &run([1])).await.0, 60);
    assert_rows(&snow, rows_of([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_in_its_middle() {
    let mut snow = Snow::start().await;
    snow.config.request_bytes = 2_000;
    let sink = snow.open();
    write(&sink, &run([1])).await;
    let before = snow.emulator.channels()[0].1;
    assert!(before > 4, "a batch takes several requests: {before}");
    // Two requests of the second batch get through; then the writer is gone.
    snow.emulator.let_through("/rows", 2);
    let lost = Trouble::Refuse(503, "", Some("60"));
    snow.emulator.fault("/rows", 1_000, lost);
    sink.write(&run([2])).await.unwrap_err();
    drop(sink);
    snow.emulator.forget_faults();
    let sink = snow.open();
    let (stored, _) = write(&sink, &run([1, 2])).await;
    assert!(0 < stored && stored < 60, "{stored}");
    assert_rows(&snow, rows_of(1..=2));
    let last = sink.last_batch(DATASET, &node()).await.unwrap();
    assert_eq!(last, Some(2));
}

struct Line {
    source: Arc<ListSource>,
    cursors: Arc<MemoryCursors>,
    delivery: Delivery,
    _dead: tempfile::TempDir,
}

fn deliver(snow: &Snow) -> Line {
    let source = Arc::new(ListSource::new(node()));
    let cursors = Arc::new(MemoryCursors::default());
    let folder = tempfile::tempdir().unwrap();
    let dead = DeadLetters::open(folder.path(), Arc::new(FixedClock::at(1))).unwrap();
    let config = DeliveryConfig {
        datasets: vec![DATASET],
        retry_base: Duration::from_millis(5),
        retry_cap: Duration::from_millis(50),
        ..DeliveryConfig::default()
    };
    let delivery = Delivery::start(
        Arc::new(snow.open()),
        Arc::clone(&source) as Arc<dyn BatchSource>,
        Arc::clone(&cursors) as _,
        Arc::new(dead),
        config,
    );
    Line {
        source,
        cursors,
        delivery,
        _dead: folder,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snowflake_stopped_and_back_loses_and_doubles_nothing() {
    let mut snow = Snow::start().await;
    snow.config.request_timeout = Duration::from_millis(300);
    snow.config.connect_timeout = Duration::from_millis(300);
    let line = deliver(&snow);
    let push = |numbers: std::ops::RangeInclusive<i64>| {
        numbers.for_each(|n| line.source.push(sample_batch(DATASET, &node(), n)));
    };
    push(1..=3);
    line.cursors.reached("snowflake", DATASET, 3).await;
    // Its process is gone, with every connection.
    snow.emulator.stop().await;
    push(4..=10);
    tokio::time::sleep(Duration::from_millis(300)).await;
    snow.emulator.come_back().await;
    let back = Instant::now();
    line.cursors.reached("snowflake", DATASET, 10).await;
    // It takes requests and does not answer, as one that was stopped by a signal.
    snow.emulator.pause(true);
    push(11..=20);
    tokio::time::sleep(Duration::from_millis(700)).await;
    snow.emulator.pause(false);
    line.cursors.reached("snowflake", DATASET, 20).await;
    assert!(back.elapsed() < Duration::from_secs(10));
    line.delivery.stop().await;
    assert_rows(&snow, rows_of(1..=20));
}
