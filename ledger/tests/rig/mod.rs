//! A lake on the local disk, spans of random traces, and nodes whose ledgers are stopped at will.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, Field};
use futures::TryStreamExt;
use weir_lake::{Lake, LakeConfig};
use weir_ledger::{Ledger, LedgerConfig, PriceLists, Step, StopHere};
use weir_model::clock::FixedClock;
use weir_model::{Batch, BatchId, Clock, Dataset, NodeId, TenantId};
use weir_transforms::trace::{Fact, Shared, TraceId, book};
use weir_transforms::{Call, Prefer, PriceList, Priced, Pricer, Prices};

/// 2026-11-21T10:00:00Z, in microseconds.
pub(crate) const NOON: i64 = 1_795_255_200_000_000;
pub(crate) const SECOND: i64 = 1_000_000;

/// Numbers that look random and are the same in every run of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = usize::try_from(self.roll(at as u64 + 1)).unwrap();
            all.swap(at, other);
        }
    }
}

/// A span, as far as the ledger looks at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Span {
    pub(crate) tenant: &'static str,
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) kind: &'static str,
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
    pub(crate) skill: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) input: Option<i64>,
    pub(crate) output: Option<i64>,
    pub(crate) cost: Option<i128>,
    pub(crate) response: Option<String>,
    pub(crate) content: u128,
    pub(crate) received_us: i64,
}

impl Span {
    /// A model call with a cost.
    pub(crate) fn call(trace: u128, span: u64, cost: i128) -> Self {
        Self {
            tenant: "acme",
            trace,
            span,
            kind: "llm",
            start_us: NOON + i64::try_from(span).unwrap(),
            end_us: NOON + i64::try_from(span).unwrap() + 500,
            input: Some(100),
            output: Some(10),
            cost: Some(cost),
            content: u128::from(span) << 64 | trace,
            received_us: NOON,
            ..Self::default()
        }
    }

    /// A tool that names a skill.
    pub(crate) fn tool(trace: u128, span: u64, skill: &str) -> Self {
        Self {
            kind: "tool",
            skill: Some(skill.to_owned()),
            input: None,
            output: None,
            cost: None,
            ..Self::call(trace, span, 0)
        }
    }
}

/// Accepted rows of spans.
pub(crate) fn rows(spans: &[Span]) -> RecordBatch {
    let schema = Dataset::Spans.accepted_schema();
    let texts = |of: &dyn Fn(&Span) -> Option<String>| -> ArrayRef {
        Arc::new(spans.iter().map(of).collect::<StringArray>())
    };
    let longs = |of: &dyn Fn(&Span) -> Option<i64>| -> ArrayRef {
        Arc::new(spans.iter().map(of).collect::<Int64Array>())
    };
    let times = |of: &dyn Fn(&Span) -> i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(spans.iter().map(of));
        Arc::new(times.with_timezone("UTC"))
    };
    let money = |of: &dyn Fn(&Span) -> Option<i128>| -> ArrayRef {
        let all: Decimal128Array = spans.iter().map(of).collect();
        Arc::new(all.with_precision_and_scale(24, 12).unwrap())
    };
    let call = |s: &Span| matches!(s.kind, "llm" | "embedding" | "rerank");
    let column = |field: &Field| -> ArrayRef {
        match field.name().as_str() {
            "tenant_id" => texts(&|s| Some(s.tenant.to_owned())),
            "trace_id" => texts(&|s| Some(format!("{:032x}", s.trace))),
            "span_id" => texts(&|s| Some(format!("{:016x}", s.span))),
            "parent_span_id" => texts(&|s| s.parent.map(|p| format!("{p:016x}"))),
            "content_key" => texts(&|s| Some(format!("{:032x}", s.content))),
            "name" => texts(&|s| Some(s.kind.to_owned())),
            "kind" => texts(&|_| Some("internal".to_owned())),
            "status_code" => texts(&|_| Some("unset".to_owned())),
            "op_kind" => texts(&|s| Some(s.kind.to_owned())),
            "provider" => texts(&|s| call(s).then(|| "openai".to_owned())),
            "model_response" => texts(&|s| call(s).then(|| "gpt-4o".to_owned())),
            "response_id" => texts(&|s| s.response.clone()),
            "skill_name" => texts(&|s| s.skill.clone()),
            "skill_source" => texts(&|s| s.skill.as_ref().map(|_| "direct".to_owned())),
            "agent_name" => texts(&|s| s.agent.clone()),
            "cost_status" => texts(&|s| {
                call(s).then(|| match s.cost {
                    Some(_) => "computed".to_owned(),
                    None => "no_usage".to_owned(),
                })
            }),
            "price_ref" => texts(&|s| s.cost.map(|_| format!("{}:openai/gpt-4o", LIST))),
            "start_time" => times(&|s| s.start_us),
            "received_at" => times(&|s| s.received_us),
            "start_time_unix_nano" => longs(&|s| Some(s.start_us * 1_000)),
            "end_time_unix_nano" => longs(&|s| Some(s.end_us * 1_000)),
            "usage_input_tokens" => longs(&|s| s.input),
            "usage_output_tokens" => longs(&|s| s.output),
            "cost_computed_usd" | "cost_usd" => money(&|s| s.cost),
            "part_date" => {
                let days = spans.iter().map(|s| s.start_us.div_euclid(86_400 * SECOND));
                let days = days.map(|d| i32::try_from(d).unwrap());
                Arc::new(Date32Array::from_iter_values(days))
            }
            "usage_flags" => {
                let element = Field::new("element", DataType::Utf8, true);
                let mut list = ListBuilder::new(StringBuilder::new()).with_field(element);
                spans.iter().for_each(|_| list.append(false));
                Arc::new(list.finish())
            }
            _ => new_null_array(field.data_type(), spans.len()),
        }
    };
    let columns = schema.fields().iter().map(|f| column(f)).collect();
    RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
}

/// The list that spans name.
pub(crate) const LIST: &str = "list-a";

/// Two lists: the first prices as the spans say or by tokens, the second twice that.
#[derive(Debug)]
pub(crate) struct Lists;

#[derive(Debug)]
struct PerToken(&'static str, i128);

impl Pricer for PerToken {
    fn price(&self, call: &Call<'_>) -> Priced {
        let tokens = i128::from(call.tokens.input) + i128::from(call.tokens.output);
        Priced::Amount(tokens * self.1, format!("{}:openai/gpt-4o", self.0).into())
    }

    fn name(&self) -> &str {
        self.0
    }

    fn prefer(&self) -> Prefer {
        Prefer::Reported
    }
}

struct Both(PerToken, PerToken);

impl Prices for Both {
    fn under(&self, list: Option<&str>) -> &dyn Pricer {
        if list == Some(self.1.0) {
            &self.1
        } else {
            &self.0
        }
    }
}

impl PriceLists for Lists {
    fn of(&self, _: &TenantId) -> Arc<dyn Prices> {
        Arc::new(Both(PerToken(LIST, 1_000), PerToken("list-b", 2_000)))
    }
}

/// The standard list for whoever wants real prices.
pub(crate) fn standard() -> PriceList {
    PriceList::standard().unwrap()
}

/// A lake in a folder, with what was appended to it.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) batches: Vec<Batch>,
    next: BTreeMap<(Dataset, NodeId), i64>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(FixedClock::at(NOON)),
            batches: Vec::new(),
            next: BTreeMap::new(),
        }
    }

    /// The lake, as another process sees it.
    pub(crate) async fn lake(&self) -> Arc<Lake> {
        let url = self.dir.path().join("lake").to_string_lossy().into_owned();
        let config = LakeConfig {
            url,
            ..LakeConfig::default()
        };
        Arc::new(Lake::open(&config).await.unwrap())
    }

    /// Appends spans as the next batch of a node.
    pub(crate) async fn append(&mut self, lake: &Lake, node: u64, spans: &[Span]) {
        let batch = self
            .append_rows(lake, (Dataset::Spans, node), &rows(spans))
            .await;
        self.batches.push(batch);
    }

    /// Appends rows of a table as the next batch of a node.
    pub(crate) async fn append_rows(
        &mut self,
        lake: &Lake,
        (dataset, node): (Dataset, u64),
        rows: &RecordBatch,
    ) -> Batch {
        let node = NodeId::from_bits(node);
        let next = self.next.entry((dataset, node.clone())).or_insert(0);
        *next += 1;
        let id = BatchId {
            node,
            dataset,
            number: *next,
        };
        let batch = Batch::seal(id, rows).unwrap();
        lake.append(dataset, std::slice::from_ref(&batch))
            .await
            .unwrap();
        batch
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn config(&self, name: &str) -> LedgerConfig {
        LedgerConfig {
            node: weir_ledger::LEDGER_NODE.clone(),
            folder: self.folder(name),
            memory_bytes: 64 << 20,
            disk_bytes: 256 << 20,
            facts_kept: Duration::from_secs(3_600),
            lookback: Duration::from_secs(30 * 86_400),
            keep_every: Duration::from_secs(60),
            interval: Duration::from_millis(20),
            lease: Duration::from_millis(600),
        }
    }

    /// The ledger of a node, as a fresh process opens it.
    pub(crate) async fn ledger(&self, name: &str) -> Ledger {
        let clock = Arc::<FixedClock>::clone(&self.clock) as Arc<dyn Clock>;
        Ledger::open(self.lake().await, Arc::new(Lists), clock, self.config(name)).unwrap()
    }

    /// The same, stopping where `here` says.
    pub(crate) async fn stopping(&self, name: &str, here: StopHere) -> Ledger {
        self.ledger(name).await.stopping(here)
    }

    /// What the ledger says stands, by tenant, trace and span.
    pub(crate) async fn booked(&self) -> BTreeMap<Call3, (i128, Option<String>)> {
        let lake = self.lake().await;
        let snapshot = lake.snapshot(Dataset::CostLedger).await.unwrap();
        let mut signs: HashMap<(Call3, i128, Option<String>), i32> = HashMap::new();
        for file in snapshot.files() {
            let columns = [
                "tenant_id",
                "trace_id",
                "span_id",
                "sign",
                "cost_usd",
                "skill",
            ];
            let pieces = lake
                .read_file(Dataset::CostLedger, file, &columns, None)
                .await
                .unwrap();
            let pieces: Vec<_> = pieces.try_collect().await.unwrap();
            for piece in pieces {
                let text = |n: usize| piece.column(n).as_string::<i32>();
                let costs = piece.column(4).as_primitive::<Decimal128Type>();
                for at in 0..piece.num_rows() {
                    let call = (
                        text(0).value(at).to_owned(),
                        text(1).value(at).to_owned(),
                        text(2).value(at).to_owned(),
                    );
                    let skill = text(5).is_valid(at).then(|| text(5).value(at).to_owned());
                    let cost = match costs.is_valid(at) {
                        true => costs.value(at),
                        false => -1,
                    };
                    let sign = piece.column(3).as_primitive::<Int32Type>().value(at);
                    *signs.entry((call, cost, skill)).or_insert(0) += sign;
                }
            }
        }
        let mut standing = BTreeMap::new();
        for ((call, cost, skill), sign) in signs {
            assert!((0..=1).contains(&sign), "{call:?} stands {sign} times");
            if sign == 1 {
                let before = standing.insert(call.clone(), (cost, skill));
                assert!(before.is_none(), "{call:?} is booked twice");
            }
        }
        standing
    }

    /// How many rows the ledger has.
    pub(crate) async fn ledger_rows(&self) -> u64 {
        let lake = self.lake().await;
        lake.snapshot(Dataset::CostLedger).await.unwrap().rows()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Tenant, trace, span.
pub(crate) type Call3 = (String, String, String);

/// What `spans` come to, computed once.
pub(crate) fn once(spans: &[Span]) -> BTreeMap<Call3, (i128, Option<String>)> {
    let all = rows(spans);
    let mut shared = Shared::default();
    let mut traces: BTreeMap<(String, TraceId), Vec<Fact>> = BTreeMap::new();
    for (tenant, trace, fact) in Fact::read(&all, &mut shared).unwrap() {
        traces
            .entry((tenant.to_owned(), trace))
            .or_default()
            .push(fact);
    }
    let prices = Both(PerToken(LIST, 1_000), PerToken("list-b", 2_000));
    let mut expected = BTreeMap::new();
    for ((tenant, trace), facts) in traces {
        for booking in book(&facts, &prices) {
            let call = (tenant.clone(), trace.to_string(), booking.span.to_string());
            let skill = booking.skill.map(|s| s.to_string());
            expected.insert(call, (booking.cost.unwrap_or(-1), skill));
        }
    }
    expected
}

/// Steps until there is nothing to do.
pub(crate) async fn settle(ledger: &mut Ledger) {
    for _ in 0..10_000 {
        if ledger.step().await.unwrap() == Step::Idle {
            return;
        }
    }
    panic!("the ledger does not come to rest");
}

/// Spans of a few traces: nested calls, tools that load skills, twins, copies, conflicts, orphans.
pub(crate) fn traffic(dice: &mut Dice, traces: u64) -> Vec<Span> {
    let mut all = Vec::new();
    for _ in 0..traces {
        let trace = u128::from(dice.roll(u64::MAX)) << 8 | 1;
        let tenant = if dice.one_in(3) { "zeta" } else { "acme" };
        let count = 1 + dice.roll(12);
        let mut start = NOON - i64::try_from(dice.roll(7_200)).unwrap() * SECOND;
        for n in 0..count {
            start += i64::try_from(dice.roll(2_000)).unwrap() + 1;
            let span = n + 1;
            let parent = match dice.roll(4) {
                0 => None,
                1 => Some(dice.roll(count) + 1),
                _ => Some(1),
            };
            let mut one = match dice.roll(5) {
                0 => Span::tool(
                    trace,
                    span,
                    ["review", "search", "plan"][usize::try_from(dice.roll(3)).unwrap()],
                ),
                1 => Span {
                    kind: "agent",
                    agent: Some("a".into()),
                    ..Span::tool(trace, span, "")
                },
                _ => Span::call(trace, span, i128::from(dice.roll(1_000_000_000))),
            };
            if one.kind == "agent" {
                one.skill = None;
            }
            one.tenant = tenant;
            one.parent = parent.filter(|p| *p != span || dice.one_in(5));
            one.start_us = start;
            one.end_us = start + i64::try_from(dice.roll(3_000)).unwrap();
            if one.kind == "llm" && dice.one_in(4) {
                one.response = Some(format!("chatcmpl-0123456789-{}", dice.roll(2)));
            }
            if one.kind == "llm" && dice.one_in(6) {
                (one.cost, one.input) = (None, None);
            }
            if dice.one_in(6) {
                // A resend, or another span under the same id.
                let mut copy = one.clone();
                if dice.one_in(2) {
                    copy.content = u128::from(dice.roll(u64::MAX));
                    copy.cost = copy.cost.map(|c| c + 1);
                }
                all.push(copy);
            }
            all.push(one);
        }
    }
    all
}

/// The Delta log of a dataset's table.
pub(crate) fn log_of(world: &World, dataset: Dataset) -> PathBuf {
    world.folder("lake").join(dataset.name()).join("_delta_log")
}

/// Writes a commit of another program.
pub(crate) async fn foreign_commit(world: &World, dataset: Dataset, lines: &[String]) {
    let lake = world.lake().await;
    let version = lake.snapshot(dataset).await.unwrap().version().unwrap() + 1;
    let path = log_of(world, dataset).join(format!("{version:020}.json"));
    assert!(!Path::new(&path).try_exists().unwrap());
    std::fs::write(path, lines.join("\n")).unwrap();
}
