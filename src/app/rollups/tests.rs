//! The whole way: bookings in a real lake, their sums, and questions over both.

mod sources;

use std::collections::BTreeMap;

use weir_lake::LakeConfig;
use weir_model::{PinnedRows, RecentRows};
use weir_queries::{Dimension, Engine, EngineConfig, QueryLimits, Rollup, RollupQuestion};

use super::fixture::{Booking, DAY_START_US, ledger_batch};
use super::*;

const HOUR_US: i64 = 3_600_000_000;
/// A lake whose rows are all in it, and an engine.
pub(super) struct Site {
    dir: tempfile::TempDir,
    pub(super) lake: Arc<Lake>,
    engine: Engine,
    pub(super) replaced: Replaced,
    now_us: i64,
}

#[derive(Debug)]
struct NothingRecent;

impl RecentRows for NothingRecent {
    fn pin(&self, _: Dataset) -> PinnedRows {
        PinnedRows {
            node: NodeId::from_bits(7),
            blocks: Vec::new(),
        }
    }
}

impl Site {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = LakeConfig {
            url: dir.path().join("lake").to_str().unwrap().to_owned(),
            ..LakeConfig::default()
        };
        let lake = Arc::new(Lake::open(&config).await.unwrap());
        let engine = EngineConfig {
            spill_dir: dir.path().join("spill"),
            threads: 2,
            ..EngineConfig::default()
        };
        let engine = Engine::new(Arc::clone(&lake), Arc::new(NothingRecent), engine).unwrap();
        Self {
            dir,
            lake,
            engine,
            replaced: Replaced::default(),
            now_us: DAY_START_US + DAY_US,
        }
    }

    pub(super) fn folder(&self, dataset: Dataset) -> std::path::PathBuf {
        self.dir.path().join("lake").join(dataset.name())
    }

    pub(super) async fn book(&self, number: i64, bookings: &[Booking]) {
        let batch = ledger_batch(number, bookings);
        self.lake
            .append(Dataset::CostLedger, &[batch])
            .await
            .unwrap();
    }

    pub(super) async fn sum_up(&mut self) {
        refresh(&self.lake, self.now_us, &mut self.replaced)
            .await
            .unwrap();
    }

    pub(super) async fn ask(&self, question: &RollupQuestion) -> Rollup {
        let acme = TenantId::new("acme").unwrap();
        self.engine
            .rollup(&acme, question)
            .await
            .unwrap_or_else(|e| panic!("{} {e}", e.code()))
    }

    async fn csv(&self, sql: &str) -> String {
        let acme = TenantId::new("acme").unwrap();
        let answer = self.engine.query(&acme, sql, &QueryLimits::default()).await;
        let answer = answer.unwrap_or_else(|e| panic!("{sql}: {} {e}", e.code()));
        let mut text = Vec::new();
        weir_queries::format::write_csv(&answer, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    pub(super) async fn files(&self, dataset: Dataset) -> usize {
        self.lake.snapshot(dataset).await.unwrap().files().len()
    }
}

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.below(all.len() as u64);
        all[usize::try_from(at).unwrap()]
    }

    fn booking(&mut self) -> Booking {
        let day = i64::try_from(self.below(4)).unwrap() - 2;
        let in_day = i64::try_from(self.below(24 * 3600)).unwrap() * 1_000_000;
        let priced = self.below(5) > 0;
        Booking {
            tenant: self.of(&["acme", "acme", "globex"]),
            source: "span",
            sign: 1,
            at_us: DAY_START_US + day * DAY_US + in_day,
            skill: self.of(&[None, Some("pdf"), Some("search"), Some("triage")]),
            agent: self.of(&["research", "ops"]),
            model: self.of(&["gpt-4o", "claude"]),
            tokens: priced.then_some((100, 7)),
            cost: priced.then(|| i128::from(self.below(1 << 50))),
            ms: self.of(&[0.5, 20.0, 350.0, 9_000.0]),
            failed: self.below(9) == 0,
        }
    }
}

/// What a rollup must say, from the bookings themselves: calls, errors, input tokens, cost and
/// unpriced calls by key.
fn expected(
    bookings: &[Booking],
    question: &RollupQuestion,
) -> BTreeMap<Vec<String>, (i64, i64, i64, i128, i64)> {
    let mut all: BTreeMap<_, (i64, i64, i64, i128, i64)> = BTreeMap::new();
    for b in bookings.iter().filter(|b| b.tenant == "acme") {
        let late = question.since_us.is_some_and(|s| b.at_us < s);
        if late || question.until_us.is_some_and(|u| b.at_us >= u) {
            continue;
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the dimensions that this test asks for"
        )]
        let key = question.by.iter().map(|d| match d {
            Dimension::Skill => b.skill.unwrap_or("(unattributed)").to_owned(),
            Dimension::Agent => b.agent.to_owned(),
            Dimension::Day => (b.at_us.div_euclid(DAY_US)).to_string(),
            Dimension::Hour => (b.at_us.div_euclid(HOUR_US)).to_string(),
            other => panic!("{other:?}"),
        });
        let sign = i64::from(b.sign);
        let e = all.entry(key.collect()).or_default();
        e.0 += sign;
        e.1 += sign * i64::from(b.failed);
        e.2 += sign * b.tokens.map_or(0, |t| t.0);
        e.3 += i128::from(sign) * b.cost.unwrap_or(0);
        e.4 += sign * i64::from(b.cost.is_none());
    }
    all.retain(|_, e| *e != (0, 0, 0, 0, 0));
    all
}

fn found(rollup: &Rollup) -> BTreeMap<Vec<String>, (i64, i64, i64, i128, i64)> {
    let rows = rollup.rows.iter().map(|r| {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all but times are keys as they are"
        )]
        let keys = r.keys.iter().zip(&rollup.by).map(|(key, d)| match d {
            Dimension::Day => day_of(key).to_string(),
            Dimension::Hour => {
                let hour: i64 = key[11..13].parse().unwrap();
                (day_of(&key[..10]) * 24 + hour).to_string()
            }
            _ => key.clone(),
        });
        let values = (
            r.count("calls"),
            r.count("errors"),
            r.count("usage_input_tokens"),
            r.known_usd("cost_usd"),
            r.count("unpriced_calls"),
        );
        (keys.collect(), values)
    });
    rows.collect()
}

fn day_of(text: &str) -> i64 {
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap();
    day.signed_duration_since(chrono::NaiveDate::default())
        .num_days()
}

/// The questions that each state of the tables is asked.
fn questions() -> Vec<RollupQuestion> {
    let ask = |since: Option<i64>, until: Option<i64>, by: &[Dimension]| RollupQuestion {
        since_us: since.map(|us| DAY_START_US + us),
        until_us: until.map(|us| DAY_START_US + us),
        by: by.to_vec(),
        ..RollupQuestion::default()
    };
    use Dimension::{Agent, Day, Hour, Skill};
    vec![
        ask(None, None, &[Skill]),
        ask(None, None, &[]),
        ask(None, None, &[Day, Skill, Agent]),
        ask(None, None, &[Hour]),
        ask(Some(-DAY_US), None, &[Skill]),
        ask(Some(-DAY_US + 7_777_777), Some(DAY_US - 1), &[Skill, Agent]),
        ask(Some(5 * HOUR_US + 1), Some(9 * HOUR_US - 1), &[Hour, Skill]),
        ask(Some(100), Some(200_000_000), &[Skill]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_is_the_sum_of_the_bookings_however_far_the_sums_are() {
    let mut site = Site::new().await;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut booked: Vec<Booking> = Vec::new();
    for number in 1..=50_i64 {
        let count = 1 + dice.below(12);
        let mut batch: Vec<Booking> = (0..count).map(|_| dice.booking()).collect();
        // Corrections of what was booked before: taken back, and booked anew with another skill.
        for _ in 0..dice.below(4).min(booked.len() as u64) {
            let at = usize::try_from(dice.below(booked.len() as u64)).unwrap();
            let before = booked.swap_remove(at);
            batch.push(Booking {
                sign: -1,
                ..before.clone()
            });
            let after = Booking {
                skill: Some("found-late"),
                ..before
            };
            batch.push(after);
        }
        site.book(number, &batch).await;
        // What stands is what was booked and not taken back.
        booked.extend(batch.iter().filter(|b| b.sign > 0).cloned());
        if dice.below(3) == 0 {
            site.sum_up().await;
        }
        if number % 7 == 0 {
            for question in questions() {
                let rollup = site.ask(&question).await;
                assert_eq!(
                    found(&rollup),
                    expected(&booked, &question),
                    "{number} {question:?}"
                );
            }
        }
    }
    site.sum_up().await;
    // A day that is over is kept in few files; the sums say the same as before.
    site.now_us += 5 * DAY_US;
    site.sum_up().await;
    for dataset in [Dataset::CostHourly, Dataset::CostDaily] {
        assert!(
            site.files(dataset).await <= 12,
            "4 days of 2 tenants and little more"
        );
    }
    for question in questions() {
        let rollup = site.ask(&question).await;
        assert_eq!(found(&rollup), expected(&booked, &question), "{question:?}");
        let total: i64 = rollup.rows.iter().map(|r| r.count("calls")).sum();
        assert_eq!(rollup.totals.count("calls"), total);
        assert_eq!(rollup.totals.latency().calls(), total);
    }
    let by_hour = site
        .csv("SELECT sum(calls), sum(cost_usd) FROM cost_by_skill_hourly")
        .await;
    let by_day = site
        .csv("SELECT sum(calls), sum(cost_usd) FROM cost_by_skill_daily")
        .await;
    let raw = "SELECT sum(sign), sum(CASE WHEN sign < 0 THEN -cost_usd ELSE cost_usd END) \
               FROM cost_ledger";
    let raw = site.csv(raw).await;
    let figures = |csv: &str| csv.lines().nth(1).unwrap().to_owned();
    assert_eq!(figures(&by_hour), figures(&raw));
    assert_eq!(figures(&by_day), figures(&raw));
}

#[tokio::test(flavor = "multi_thread")]
async fn summing_up_twice_or_by_two_nodes_changes_nothing() {
    let mut site = Site::new().await;
    for number in 1..=3 {
        site.book(number, &[Booking::at(DAY_START_US + number)])
            .await;
    }
    let (mut other, now_us) = (Replaced::default(), site.now_us);
    let lake = Arc::clone(&site.lake);
    let (_, second) = tokio::join!(site.sum_up(), refresh(&lake, now_us, &mut other));
    second.unwrap();
    site.sum_up().await;
    let sums = "SELECT sum(calls), count(DISTINCT _batch), max(_batch) FROM cost_hourly";
    assert_eq!(site.csv(sums).await.lines().nth(1), Some("3,3,3"));
    // The table says how far it is, and the ledger's later batches are added.
    site.book(4, &[Booking::at(DAY_START_US + 4)]).await;
    let question = RollupQuestion {
        by: vec![Dimension::Skill],
        ..RollupQuestion::default()
    };
    assert_eq!(site.ask(&question).await.totals.count("calls"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_become_one_and_what_was_taken_back_leaves_none() {
    let mut site = Site::new().await;
    let one = Booking::at(DAY_START_US + 5);
    for number in 1..=40 {
        let sign = if number % 2 == 0 { -1 } else { 1 };
        site.book(
            number,
            &[Booking {
                sign,
                ..one.clone()
            }],
        )
        .await;
        site.sum_up().await;
    }
    assert!(site.files(Dataset::CostHourly).await < FILES_MAX);
    assert!(
        !site.replaced.waiting.is_empty(),
        "replaced files wait to be deleted"
    );
    site.now_us += 9 * DAY_US;
    site.book(41, std::slice::from_ref(&one)).await;
    site.book(42, &[Booking { sign: -1, ..one }]).await;
    site.sum_up().await;
    assert_eq!(site.files(Dataset::CostHourly).await, 0);
    let question = RollupQuestion {
        by: vec![Dimension::Skill],
        ..RollupQuestion::default()
    };
    let rollup = site.ask(&question).await;
    assert_eq!(rollup.rows, []);
    assert_eq!(rollup.totals, weir_queries::RollupSums::default());
    assert_eq!(
        site.csv("SELECT * FROM cost_by_skill_daily")
            .await
            .lines()
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_said_and_not_zero() {
    let site = Site::new().await;
    let unknown = Booking {
        skill: None,
        tokens: None,
        cost: None,
        ..Booking::at(DAY_START_US)
    };
    site.book(1, &[unknown]).await;
    let question = RollupQuestion {
        by: vec![Dimension::Skill],
        ..RollupQuestion::default()
    };
    let rollup = site.ask(&question).await;
    let row = &rollup.rows[0];
    assert_eq!(row.keys, ["(unattributed)"]);
    assert_eq!(
        (row.usd("cost_usd"), row.tokens("usage_input_tokens")),
        (None, None)
    );
    assert_eq!(row.unattributed_share(), Some(1.0));
    assert_eq!(row.count("unpriced_calls"), 1);
    let view = "SELECT skill, calls, input_tokens, cost_usd, unpriced_calls, unattributed_share \
                FROM cost_by_skill_daily";
    assert_eq!(
        site.csv(view).await.lines().nth(1),
        Some("(unattributed),1,,,1,1.0")
    );
    let only = RollupQuestion {
        only: vec![(Dimension::Skill, "(unattributed)".to_owned())],
        ..question
    };
    assert_eq!(site.ask(&only).await.totals.count("calls"), 1);
    let none = RollupQuestion {
        only: vec![(Dimension::Skill, "o'brien".to_owned())],
        ..only
    };
    assert_eq!(site.ask(&none).await.totals.count("calls"), 0);
}
