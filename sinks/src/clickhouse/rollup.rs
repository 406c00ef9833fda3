//! Cost per skill and hour, summed by the server as bookings of the ledger come in.
//!
//! Bookings are signed, so sums of sums are right whatever was taken back, on every shard alone
//! and over all of them.

use weir_model::Dataset;
use weir_model::schema::rollup::KEY_END;
use weir_model::schema::{Column, ColumnType};

use super::ddl::{Form, Kind, Object, mark};
use super::types::{literal, quoted, type_of};

/// The table of sums; its name differs from `cost_hourly`, which weir itself sums and delivers.
pub(super) const NAME: &str = "cost_per_skill";
/// What puts a row of sums on its shard, where somebody writes through the distributed twin.
pub(super) const SHARD_KEY: &str = "CRC32(concat(tenant_id, '/', ifNull(skill, '')))";

/// Which hour a booking counts to.
const HOUR: &str = "period_start";

/// Columns of the key, as the ledger names them too.
fn keys() -> Vec<&'static Column> {
    let mut keys = Vec::new();
    for column in Dataset::CostHourly.columns() {
        if column.name != HOUR {
            keys.push(column);
        }
        if column.name == KEY_END {
            break;
        }
    }
    keys
}

/// Columns of sums.
fn sums() -> impl Iterator<Item = &'static Column> {
    let columns = Dataset::CostHourly.columns().iter();
    let after = columns.skip_while(|c| c.name != KEY_END).skip(1);
    after.filter(|c| {
        c.name != "received_at"
            && !c.name.starts_with('_')
            && matches!(c.kind, ColumnType::Int64 | ColumnType::MoneySum)
    })
}

/// How a column of sums follows from signed bookings; the same rules as weir's own sums.
fn sum_of(column: &Column) -> String {
    let counted = |what: &str| format!("sum(sign * toInt64({what}))");
    match column.name {
        "calls" => "sum(toInt64(sign))".to_owned(),
        "errors" => counted("isNotNull(l.error_type)"),
        "usage_calls" => {
            counted("isNotNull(l.usage_input_tokens) OR isNotNull(l.usage_output_tokens)")
        }
        "reported_calls" => counted("isNotNull(l.cost_reported_usd)"),
        "computed_calls" => counted("isNotNull(l.cost_computed_usd)"),
        "unpriced_calls" => counted("isNull(l.cost_usd)"),
        "disagreeing_calls" => counted("ifNull(l.cost_disagrees, false)"),
        // Tokens and money: what is not known adds nothing, and is counted above.
        name => format!("ifNull(sum(sign * l.{name}), 0)"),
    }
}

/// The table that is summed up in. It has no partitions, as the hours of odd bookings may lie in
/// any year and a server takes only so many partitions in one insert; and it outlives the bookings.
pub(super) fn table(form: Form<'_>) -> Object {
    let keys = keys();
    let mut lines = vec![format!("{HOUR} DateTime('UTC') CODEC(Delta(4), ZSTD(1))")];
    lines.extend(keys.iter().map(|key| {
        let (name, kind) = (quoted(key.name), type_of(key));
        format!("{name} {kind} CODEC(ZSTD(1))")
    }));
    lines.extend(sums().map(|sum| {
        let (name, kind) = (quoted(sum.name), type_of(sum));
        format!("{name} {kind} CODEC(ZSTD(1))")
    }));
    let order: Vec<&str> = keys.iter().map(|key| key.name).skip(1).collect();
    let summed: Vec<&str> = sums().map(|sum| sum.name).collect();
    let name = form.local_name(NAME);
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {table}{cluster}\n(\n  {lines}\n)\nENGINE = {engine}\n\
         PRIMARY KEY (tenant_id, {HOUR})\nORDER BY (tenant_id, {HOUR}, {order})\n\
         SETTINGS {windows}, allow_nullable_key = 1\nCOMMENT {mark}",
        table = form.table(&name),
        cluster = form.on_cluster(),
        lines = lines.join(",\n  "),
        engine = form.engine("Summing", &format!("({})", summed.join(", "))),
        order = order.join(", "),
        windows = form.windows().join(", "),
        mark = literal(&mark()),
    );
    Object {
        kind: Kind::Sums,
        name,
        sql,
    }
}

/// The view that fills it from each insert into the ledger.
pub(super) fn view(form: Form<'_>) -> Object {
    let keys: Vec<&str> = keys().iter().map(|key| key.name).collect();
    let keys = keys.join(", ");
    let sums: Vec<String> = sums()
        .map(|sum| format!("{} AS {}", sum_of(sum), sum.name))
        .collect();
    let name = form.local_name("cost_per_skill_filled");
    let sql = format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {view}{cluster} TO {to}\nAS SELECT\n  \
         toStartOfHour(toDateTime(event_time, 'UTC')) AS {HOUR}, {keys},\n  {sums}\n\
         FROM {from} AS l\nGROUP BY {HOUR}, {keys}",
        view = form.table(&name),
        cluster = form.on_cluster(),
        to = form.local(NAME),
        from = form.local(Dataset::CostLedger.name()),
        sums = sums.join(",\n  "),
    );
    Object {
        kind: Kind::Filled,
        name,
        sql,
    }
}
