//! Partitions: there before the rows that need them, gone after their time.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use weir_model::Dataset;

use super::encode::Value;
use super::error::PostgresError;
use super::layout::Ddl;
use super::prepare::{Asker, LOCK, Ready, get};
use super::session::Statement;
use super::timescale::{self, Timescale};

/// How often chunks are looked at where no policy of the server drops them.
const EXPIRE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The name, the first day and the day after the last of each partition, and today.
const BOUNDS: &str = r"SELECT c.relname::text,
    (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::date
        - DATE '1970-01-01',
    (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::date
        - DATE '1970-01-01',
    current_date - DATE '1970-01-01'
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass($1)";

/// A partition as the server describes it.
#[derive(Debug)]
struct Bounds {
    name: String,
    first: i32,
    end: i32,
    today: i32,
}

impl Asker<'_> {
    /// Makes the partitions that rows of these days need, and drops those whose time is over.
    /// Days are within the bounds that acceptance sets, so these are few.
    ///
    /// # Errors
    ///
    /// Where they cannot be made; no row has been written then.
    pub(super) async fn ensure_partitions(
        self,
        ready: &Ready,
        dataset: Dataset,
        days: &BTreeSet<i32>,
    ) -> Result<(), PostgresError> {
        if ready.decided.timescale.is_some() {
            return self.expire_chunks(ready).await;
        }
        if uncovered(ready, dataset, days).is_empty() {
            return Ok(());
        }
        let made = self.make_partitions(ready, dataset, days).await;
        made.map_err(PostgresError::before_rows)
    }

    async fn make_partitions(
        self,
        ready: &Ready,
        dataset: Dataset,
        days: &BTreeSet<i32>,
    ) -> Result<(), PostgresError> {
        let ddl = Ddl {
            config: self.config,
            decided: &ready.decided,
        };
        self.learn(ready, dataset, &ddl).await?;
        if uncovered(ready, dataset, days).is_empty() {
            return Ok(());
        }
        let begin = self.session.begin();
        let lock = format!("{begin}SELECT pg_advisory_xact_lock({LOCK});");
        self.session.script(&lock).await?;
        let there = self.learn(ready, dataset, &ddl).await?;
        let mut script = String::new();
        let period = ready.decided.period;
        let missing = uncovered(ready, dataset, days);
        let starts: BTreeSet<i32> = missing
            .into_iter()
            .map(|day| period.start_of(day))
            .collect();
        for start in starts {
            script.push_str(&ddl.partition(dataset, start));
        }
        for old in &there {
            if self.is_over(old) {
                let schema = &self.config.schema;
                script.push_str(&format!("DROP TABLE {schema}.{};\n", old.name));
            }
        }
        script.push_str("COMMIT;");
        self.session.script(&script).await?;
        self.learn(ready, dataset, &ddl).await?;
        Ok(())
    }

    fn is_over(&self, partition: &Bounds) -> bool {
        let kept = self.config.retention_days();
        let kept = kept.and_then(|days| i32::try_from(days).ok());
        kept.is_some_and(|days| partition.end <= partition.today.saturating_sub(days))
    }

    /// Asks which partitions there are.
    async fn learn(
        self,
        ready: &Ready,
        dataset: Dataset,
        ddl: &Ddl<'_>,
    ) -> Result<Vec<Bounds>, PostgresError> {
        let asked = Statement::new(BOUNDS, vec![Value::text(&ddl.table(dataset))]);
        let mut there = Vec::new();
        for row in &self.session.ask(&asked).await? {
            // One that a person made for all that fits nowhere has no bounds.
            let first: Option<i32> = get(self.place, row, 1)?;
            let end: Option<i32> = get(self.place, row, 2)?;
            if let (Some(first), Some(end)) = (first, end) {
                there.push(Bounds {
                    name: get(self.place, row, 0)?,
                    first,
                    end,
                    today: get(self.place, row, 3)?,
                });
            }
        }
        let known = there.iter().map(|one| (one.first, one.end)).collect();
        ready.partitions.lock().insert(dataset, known);
        Ok(there)
    }

    /// Drops old chunks once a day, where the edition has no policy for it.
    async fn expire_chunks(self, ready: &Ready) -> Result<(), PostgresError> {
        let Some(days) = self.config.retention_days() else {
            return Ok(());
        };
        let due = {
            let mut expired = ready.expired.lock();
            let due = expired.is_none_or(|at| at.elapsed() >= EXPIRE_EVERY);
            if due {
                *expired = Some(Instant::now());
            }
            due
        };
        if !due || ready.decided.timescale != Some(Timescale::Apache) {
            return Ok(());
        }
        let ddl = Ddl {
            config: self.config,
            decided: &ready.decided,
        };
        let tables = Dataset::ALL.iter().map(|dataset| ddl.table(*dataset));
        let script: String = tables
            .map(|table| timescale::expire(&table, days))
            .collect();
        let done = self.session.script(&script).await;
        done.map_err(PostgresError::before_rows)
    }
}

/// The days that no known partition covers.
fn uncovered(ready: &Ready, dataset: Dataset, days: &BTreeSet<i32>) -> Vec<i32> {
    let partitions = ready.partitions.lock();
    let known = partitions.get(&dataset).map_or(&[][..], Vec::as_slice);
    let covered = |day: &i32| known.iter().any(|(first, end)| (first..end).contains(&day));
    days.iter().copied().filter(|day| !covered(day)).collect()
}
