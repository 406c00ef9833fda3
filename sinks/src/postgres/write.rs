//! A run in one transaction: two exchanges, whatever it holds.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::Date32Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use weir_model::{Dataset, NodeId};

use super::encode::{Value, encode};
use super::error::PostgresError;
use super::exact::{EXACT, Exact};
use super::layout::Ddl;
use super::prepare::{Asker, Ready, get};
use super::session::Statement;
use crate::Part;
use crate::sql::{Change, Stored, bounds, by_tenant, lookups};

/// Rows of a statement: its arrays stay within the server's `work_mem`.
const STATEMENT_ROWS: usize = 4_096;

/// Makes every row that a statement inserts one of the session's tenant.
pub(super) const AS_TENANT: &str = "SELECT set_config('app.tenant_id', $1, true)";

impl Asker<'_> {
    /// Writes the rows of `run` that are not stored yet; gives how many there were.
    ///
    /// # Errors
    ///
    /// Nothing is stored then, or, where the connection was lost, all of it or nothing.
    pub(super) async fn write(self, ready: &Ready, run: &[Part]) -> Result<u64, PostgresError> {
        let (Some(first), Some(numbers)) = (run.first(), bounds(run)) else {
            return Ok(0);
        };
        let id = first.batch().id();
        let (node, dataset) = (&id.node, id.dataset);
        let days = days(run)?;
        Box::pin(self.ensure_partitions(ready, dataset, &days)).await?;
        let stored = self.lock_and_load(node, dataset, numbers).await;
        let (missing, change) = stored.map_err(PostgresError::before_rows)?.plan(run);
        if missing.is_empty() {
            self.session.script("ROLLBACK").await?;
            return Ok(0);
        }
        let mut batches = Vec::with_capacity(missing.len());
        for one in missing {
            let part = run.get(one.part);
            let piece = part.and_then(|part| Part::piece(part.batch().clone(), one.rows));
            batches.extend(piece.map(|piece| piece.rows()));
        }
        let rows = match batches.as_slice() {
            [only] => only.clone(),
            all => concat_batches(
                &all.first()
                    .map_or_else(|| dataset.schema(), RecordBatch::schema),
                all,
            )?,
        };
        let ddl = Ddl {
            config: self.config,
            decided: &ready.decided,
        };
        let table = ddl.table(dataset);
        let mut statements = Vec::new();
        let mut met = Vec::new();
        for (tenant, rows) in by_tenant(&rows)? {
            statements.push(Statement::new(AS_TENANT, vec![Value::text(&tenant)]));
            if !ready.tenants.lock().contains(&(dataset, tenant.clone())) {
                statements.push(self.meet(dataset, &tenant));
                met.push((dataset, tenant));
            }
            for start in (0..rows.num_rows()).step_by(STATEMENT_ROWS) {
                let length = STATEMENT_ROWS.min(rows.num_rows() - start);
                statements.push(insert(&table, dataset, &rows.slice(start, length))?);
            }
        }
        statements.extend(self.record(node, dataset, &change));
        self.session.pipeline(&statements, "COMMIT").await?;
        ready.tenants.lock().extend(met);
        Ok(rows.num_rows() as u64)
    }

    /// Begins the transaction, waits for other writers of this node, and reads what they stored.
    async fn lock_and_load(
        &self,
        node: &NodeId,
        dataset: Dataset,
        (first, last): (i64, i64),
    ) -> Result<Stored, PostgresError> {
        let schema = &self.config.schema;
        // Both are of a plain alphabet.
        let lock = format!(
            "INSERT INTO {schema}._weir_writers VALUES ('{node}', '{dataset}') ON CONFLICT DO NOTHING;
SELECT FROM {schema}._weir_writers WHERE node = '{node}' AND dataset = '{dataset}' FOR UPDATE;"
        );
        let values = || {
            vec![
                Value::text(node.as_str()),
                Value::text(dataset.name()),
                Value::int(first),
                Value::int(last),
            ]
        };
        let ranges = format!(
            "SELECT first_batch, last_batch FROM {schema}._weir_stored \
             WHERE node = $1 AND dataset = $2 AND first_batch <= $4 + 1 AND first_batch >= \
             (SELECT coalesce(max(first_batch), $3) FROM {schema}._weir_stored \
              WHERE node = $1 AND dataset = $2 AND first_batch < $3)"
        );
        let pieces = format!(
            "SELECT batch, first_row, end_row FROM {schema}._weir_pieces \
             WHERE node = $1 AND dataset = $2 AND batch BETWEEN $3 AND $4"
        );
        let (ranges, pieces) = (
            Statement::new(ranges, values()),
            Statement::new(pieces, values()),
        );
        let found = self.session.begin_and_ask(&lock, [&ranges, &pieces]).await;
        let [ranges, pieces] = found?;
        let mut stored = Stored::default();
        for row in &ranges {
            let range = (get(self.place, row, 0)?, get(self.place, row, 1)?);
            stored.ranges.push(range);
        }
        for row in &pieces {
            let rows = (get(self.place, row, 1)?, get(self.place, row, 2)?);
            stored
                .pieces
                .push((get(self.place, row, 0)?, rows.0, rows.1));
        }
        Ok(stored)
    }

    fn meet(&self, dataset: Dataset, tenant: &str) -> Statement {
        let schema = &self.config.schema;
        Statement::new(
            format!("INSERT INTO {schema}._weir_tenants VALUES ($1, $2) ON CONFLICT DO NOTHING"),
            vec![Value::text(dataset.name()), Value::text(tenant)],
        )
    }

    /// What writes the record as it is to be.
    fn record(&self, node: &NodeId, dataset: Dataset, change: &Change) -> Vec<Statement> {
        let schema = &self.config.schema;
        let values = |numbers: &[i64]| {
            let mut values = vec![Value::text(node.as_str()), Value::text(dataset.name())];
            values.extend(numbers.iter().copied().map(Value::int));
            values
        };
        let gone = change.gone.iter().map(|first| {
            let text = format!(
                "DELETE FROM {schema}._weir_stored \
                 WHERE node = $1 AND dataset = $2 AND first_batch = $3"
            );
            Statement::new(text, values(&[*first]))
        });
        let ranges = change.ranges.iter().map(|(first, last)| {
            let text = format!(
                "INSERT INTO {schema}._weir_stored VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (node, dataset, first_batch) \
                 DO UPDATE SET last_batch = excluded.last_batch"
            );
            Statement::new(text, values(&[*first, *last]))
        });
        let pieces = change.pieces.iter().map(|(batch, start, end)| {
            let text = format!(
                "INSERT INTO {schema}._weir_pieces VALUES ($1, $2, $3, $4::int8::int4, $5::int8::int4)"
            );
            let (start, end) = (i64::from(*start), i64::from(*end));
            Statement::new(text, values(&[*batch, start, end]))
        });
        gone.chain(ranges).chain(pieces).collect()
    }
}

/// The days of a run's rows.
fn days(run: &[Part]) -> Result<BTreeSet<i32>, ArrowError> {
    let mut days = BTreeSet::new();
    for part in run {
        let rows = part.rows();
        let column = rows.column_by_name("part_date");
        let column = column.and_then(|column| column.as_primitive_opt::<Date32Type>());
        let Some(column) = column else {
            let reason = "the rows have no part_date".to_owned();
            return Err(ArrowError::SchemaError(reason));
        };
        days.extend(column.values().iter().copied());
    }
    Ok(days)
}

/// Inserts rows of one tenant. Columns without a value in any of them are not named, which makes
/// narrow rows cheap in wide tables.
fn insert(table: &str, dataset: Dataset, rows: &RecordBatch) -> Result<Statement, ArrowError> {
    let mut exact = Exact::new(lookups(dataset).skill);
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in dataset.columns() {
        if let Some(array) = rows.column_by_name(column.name)
            && array.null_count() < array.len()
        {
            names.push(column.name);
            values.push(encode(column, array, &mut exact)?);
        }
    }
    if let Some(value) = exact.finish(rows.num_rows()) {
        names.push(EXACT);
        values.push(value);
    }
    let names = names.join(", ");
    let marks = numbered(1..values.len() + 1);
    let text = format!("INSERT INTO {table} ({names}) SELECT * FROM unnest({marks})");
    Ok(Statement::new(text, values))
}

fn numbered(numbers: Range<usize>) -> String {
    let marks: Vec<String> = numbers.map(|number| format!("${number}")).collect();
    marks.join(", ")
}
