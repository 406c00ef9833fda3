//! Which source counts, where several tell of the same calls.

use weir_queries::{Dimension, RollupQuestion};

use super::{Booking, DAY_START_US, DAY_US, HOUR_US, Site};

#[tokio::test(flavor = "multi_thread")]
async fn one_source_of_a_day_counts_and_others_stand_beside_it() {
    let mut site = Site::new().await;
    let told = |source, day: i64, cost| Booking {
        source,
        cost: Some(cost),
        ..Booking::at(DAY_START_US + day * DAY_US)
    };
    let bookings = [
        told("span", 0, 5),
        told("telemetry_event", 0, 7),
        told("telemetry_event", 1, 11),
    ];
    site.book(1, &bookings).await;
    for _ in 0..2 {
        let question = RollupQuestion {
            by: vec![Dimension::Day],
            ..RollupQuestion::default()
        };
        let rollup = site.ask(&question).await;
        assert_eq!(rollup.totals.usd("cost_usd"), Some(16));
        let other: Vec<_> = rollup
            .other_sources
            .iter()
            .map(|(name, s)| (name.as_str(), s.usd("cost_usd")))
            .collect();
        assert_eq!(other, [("telemetry_event", Some(7))]);
        let view = site
            .csv("SELECT sum(cost_usd) FROM cost_by_skill_hourly")
            .await;
        assert!(view.contains("0.000000000016"), "{view}");
        site.sum_up().await;
    }
}

/// Of the first day spans and events tell, of the others one or two of the lesser sources.
fn days_of_sources() -> [Booking; 8] {
    let told = |source, hour: i64, skill, cost| Booking {
        source,
        skill: Some(skill),
        cost: Some(cost),
        ..Booking::at(DAY_START_US + hour * HOUR_US)
    };
    [
        told("span", 1, "pdf", 5),
        told("telemetry_event", 1, "csv", 7),
        told("telemetry_event", 20, "pdf", 9),
        told("telemetry_event", 24, "csv", 11),
        told("log_event", 25, "csv", 13),
        told("log_event", 48, "csv", 17),
        told("audit", 48, "csv", 19),
        told("audit", 72, "csv", 23),
    ]
}

/// Which source counts is a matter of the day alone: not of the calls that are asked for, nor of
/// the part of the day, nor of who asks.
#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_a_day_is_the_same_for_every_question() {
    let mut site = Site::new().await;
    site.book(1, &days_of_sources()).await;
    let whole = RollupQuestion::default();
    let of = |change: &dyn Fn(&mut RollupQuestion)| {
        let mut question = whole.clone();
        change(&mut question);
        question
    };
    let cases = [
        (whole.clone(), 5 + 11 + 17 + 23),
        (of(&|q| q.by = vec![Dimension::Hour]), 5 + 11 + 17 + 23),
        (
            of(&|q| q.only = vec![(Dimension::Skill, "csv".into())]),
            11 + 17 + 23,
        ),
        (of(&|q| q.only = vec![(Dimension::Skill, "pdf".into())]), 5),
        (
            of(&|q| q.since_us = Some(DAY_START_US + 12 * HOUR_US)),
            11 + 17 + 23,
        ),
        (
            of(&|q| {
                q.since_us = Some(DAY_START_US + 12 * HOUR_US + 1);
                q.until_us = Some(DAY_START_US + 25 * HOUR_US + 1);
            }),
            11,
        ),
    ];
    for _ in 0..2 {
        for (question, wanted) in &cases {
            let rollup = site.ask(question).await;
            assert_eq!(rollup.totals.known_usd("cost_usd"), *wanted, "{question:?}");
        }
        let by_source = of(&|q| q.by = vec![Dimension::Day, Dimension::Source]);
        let rollup = site.ask(&by_source).await;
        let sources: Vec<&str> = rollup.rows.iter().map(|r| r.keys[1].as_str()).collect();
        assert_eq!(sources, ["span", "telemetry_event", "log_event", "audit"]);
        let others: Vec<_> = rollup
            .other_sources
            .iter()
            .map(|(name, s)| (name.as_str(), s.known_usd("cost_usd")))
            .collect();
        let wanted = [("audit", 19), ("log_event", 13), ("telemetry_event", 16)];
        assert_eq!(others, wanted);
        for view in [
            "cost_by_skill_daily",
            "cost_by_skill_hourly",
            "cost_per_skill",
        ] {
            let sql = format!("SELECT skill, sum(cost_usd) FROM {view} GROUP BY 1 ORDER BY 1");
            let wanted = "csv,0.000000000051\npdf,0.000000000005";
            let answer = site.csv(&sql).await;
            let rows: Vec<&str> = answer.lines().skip(1).collect();
            assert_eq!(rows.join("\n"), wanted, "{view}");
        }
        site.sum_up().await;
    }
}
