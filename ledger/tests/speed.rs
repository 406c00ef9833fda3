//! How fast the ledger is, how much memory it takes, and how long it takes to come back.
//!
//! Figures, not verdicts: only what would be a fault on any machine fails.

#![cfg(test)]

mod rig;

use std::time::Instant;

use rig::{Dice, NOON, SECOND, Span, World, once, settle};

fn heavy() -> bool {
    let heavy = std::env::var("WEIR_HEAVY").is_ok_and(|value| value == "1");
    if !heavy {
        println!("not run: heavy tier (set WEIR_HEAVY=1)");
    }
    heavy
}

fn count_from(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// The memory of this process, in MiB: now, and at most so far.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Traces of ten spans, of which four are calls; each lies in two batches.
fn batch(dice: &mut Dice, number: u64, spans: u64) -> Vec<Span> {
    let mut all = Vec::new();
    for n in 0..spans / 5 {
        // The second half of the traces of the batch before, then new ones.
        let late = n % 2 == 0;
        let trace = u128::from((number - u64::from(late)) * 1_000_000 + n / 2) << 20 | 7;
        for k in 0..5 {
            let span = 1 + k + if late { 5 } else { 0 };
            let start = NOON + i64::try_from(number).unwrap() * SECOND;
            let mut one = match k {
                0 => Span::tool(trace, span, "review"),
                1 | 2 => Span {
                    kind: "other",
                    cost: None,
                    input: None,
                    output: None,
                    ..Span::call(trace, span, 0)
                },
                _ => Span::call(trace, span, i128::from(dice.roll(1 << 30))),
            };
            one.parent = (span > 1).then_some(1);
            one.agent = Some("planner".into());
            one.start_us = start + i64::try_from(span).unwrap() * 100;
            one.end_us = one.start_us + 50;
            one.received_us = start;
            all.push(one);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_over_a_million_spans() {
    if !heavy() {
        return;
    }
    let batches = count_from("WEIR_SPEED_BATCHES", 16);
    let rows = 65_000;
    let mut dice = Dice::new(1);
    let mut world = World::new();
    let lake = world.lake().await;
    let mut sample = Vec::new();
    for number in 1..=batches {
        let spans = batch(&mut dice, number, rows);
        world.append(&lake, 1, &spans).await;
        world.batches.clear();
        sample.extend(spans.into_iter().filter(|s| s.trace >> 20 & 0xff == 3));
    }
    let before = memory();
    let mut ledger = world.ledger("one").await;
    let began = Instant::now();
    settle(&mut ledger).await;
    let took = began.elapsed();
    let shown = ledger.status().shown(0);
    let rate = u128::from(shown.spans) * 1_000 / took.as_millis().max(1);
    println!(
        "{} spans in {took:?}: {rate} spans/s; {} traces computed, {} bookings, {} commits",
        shown.spans, shown.traces, shown.bookings, shown.rounds
    );
    println!(
        "memory before {before:?} MiB, after {:?} MiB (now, most); store {} MiB, {} MiB on disk",
        memory(),
        shown.memory_bytes >> 20,
        shown.facts_disk_bytes >> 20,
    );
    // Cut off without a word: what was not written is read again from the lake.
    drop(ledger);
    let began = Instant::now();
    let mut ledger = world.ledger("one").await;
    settle(&mut ledger).await;
    println!("back after a crash in {:?}", began.elapsed());
    ledger.close().unwrap();
    let began = Instant::now();
    let mut ledger = world.ledger("one").await;
    settle(&mut ledger).await;
    println!("back after a stop in {:?}", began.elapsed());
    let began = Instant::now();
    let mut fresh = world.ledger("two").await;
    settle(&mut fresh).await;
    println!("on an empty disk in {:?}", began.elapsed());
    let booked = world.booked().await;
    for (call, cost) in once(&sample) {
        assert_eq!(booked.get(&call), Some(&cost));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_a_hundred_thousand_spans_in_twenty_batches() {
    if !heavy() {
        return;
    }
    let mut world = World::new();
    let lake = world.lake().await;
    let mut ledger = world.ledger("one").await;
    let mut all = Vec::new();
    let began = Instant::now();
    for number in 0..20 {
        let spans: Vec<Span> = (0..5_000_u64)
            .map(|n| {
                let span = number * 5_000 + n + 1;
                let mut one = match n % 5 {
                    0 => Span::tool(1, span, "review"),
                    _ => Span::call(1, span, 1_000),
                };
                one.parent = (span > 1).then(|| span / 3 + 1);
                one
            })
            .collect();
        world.append(&lake, 1, &spans).await;
        all.extend(spans);
        let one = Instant::now();
        settle(&mut ledger).await;
        println!("batch {number} in {:?}", one.elapsed());
    }
    println!(
        "all in {:?}; memory {:?} MiB (now, most)",
        began.elapsed(),
        memory()
    );
    assert_eq!(world.booked().await, once(&all));
}
