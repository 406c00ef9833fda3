//! Connections, and statements on them.
//!
//! Nothing here outlives a transaction on the server: no named statements, no settings of the
//! session, no temporary tables, no locks of the session. So it works through poolers that give
//! each transaction another session, as on Supabase's port 6543, without a mode for them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::future::maybe_done;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use weir_postgres::Server;

use super::encode::Value;
use super::error::PostgresError;

/// How long a transaction waits for another's lock.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A statement with its parameters.
#[derive(Debug)]
pub(super) struct Statement {
    text: String,
    values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(text: impl Into<String>, values: Vec<Value>) -> Self {
        Self {
            text: text.into(),
            values,
        }
    }
}

/// A few connections that calls take turns with.
#[derive(Debug)]
pub(super) struct Pool {
    server: Server,
    place: String,
    timeout: Duration,
    turns: Semaphore,
    idle: Mutex<Vec<Client>>,
}

impl Pool {
    pub(super) fn new(server: Server, connections_max: u64, timeout: Duration) -> Self {
        let turns = usize::try_from(connections_max).unwrap_or(1).max(1);
        Self {
            place: server.place(),
            server,
            timeout,
            turns: Semaphore::new(turns),
            idle: Mutex::default(),
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Runs `work` on a connection, within the time that a call may take. After a failure, and
    /// where the future is dropped, the connection is closed: what it was doing is rolled back.
    ///
    /// # Errors
    ///
    /// Where none can be had, or as `work` says.
    pub(super) async fn run<T>(
        self: &Arc<Self>,
        work: impl AsyncFnOnce(&Session) -> Result<T, PostgresError>,
    ) -> Result<T, PostgresError> {
        let call = async {
            // The semaphore is never closed.
            let _turn = self.turns.acquire().await.ok();
            let session = self.session().await?;
            let done = work(&session).await?;
            let mut idle = self.idle.lock();
            idle.push(session.client);
            Ok(done)
        };
        match tokio::time::timeout(self.timeout, call).await {
            Ok(done) => done,
            Err(_) => Err(PostgresError::Silent {
                place: self.place.clone(),
                after: self.timeout,
            }),
        }
    }

    async fn session(&self) -> Result<Session, PostgresError> {
        let client = loop {
            let idle = self.idle.lock().pop();
            match idle {
                Some(client) if client.is_closed() => {}
                Some(client) => break client,
                None => {
                    let made = self.server.connect().await;
                    break made.map_err(|error| PostgresError::of(&self.place, error))?;
                }
            }
        };
        Ok(Session {
            client,
            place: self.place.clone(),
            timeout: self.timeout,
        })
    }
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    place: String,
    timeout: Duration,
}

impl Session {
    fn failed(&self) -> impl Fn(tokio_postgres::Error) -> PostgresError {
        |error| PostgresError::of(&self.place, error)
    }

    /// What begins a transaction that lasts no longer than this call waits for it, and whose
    /// commit is on the server's disk.
    pub(super) fn begin(&self) -> String {
        let (lock, all) = (LOCK_WAIT.as_millis(), self.timeout.as_millis());
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = {lock};
SET LOCAL statement_timeout = {all};
SET LOCAL idle_in_transaction_session_timeout = {all};
SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') = 'off';
"
        )
    }

    /// Runs a script without parameters.
    ///
    /// # Errors
    ///
    /// Where any of it fails.
    pub(super) async fn script(&self, text: &str) -> Result<(), PostgresError> {
        let done = self.client.batch_execute(text).await;
        done.map_err(self.failed())
    }

    /// Asks for rows.
    ///
    /// # Errors
    ///
    /// Where the statement fails.
    pub(super) async fn ask(&self, statement: &Statement) -> Result<Vec<Row>, PostgresError> {
        let values = values(statement);
        let rows = self.client.query_typed(&statement.text, &values).await;
        rows.map_err(self.failed())
    }

    /// Sends all statements at once, then `end`, and waits for all answers; gives the number of
    /// rows that each statement changed.
    ///
    /// # Errors
    ///
    /// The first failure; in a transaction it undoes all of it.
    pub(super) async fn pipeline(
        &self,
        statements: &[Statement],
        end: &str,
    ) -> Result<Vec<u64>, PostgresError> {
        let all = statements.iter().map(|statement| {
            Box::pin(maybe_done(async move {
                let values = values(statement);
                self.client.execute_typed(&statement.text, &values).await
            }))
        });
        let mut all: Vec<_> = all.collect();
        let mut end = Box::pin(maybe_done(self.client.batch_execute(end)));
        // A statement is sent when it is polled for the first time.
        poll_fn(|context| {
            for one in &mut all {
                let _ = one.as_mut().poll(context);
            }
            let _ = end.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        let mut changed = Vec::with_capacity(all.len());
        for mut one in all {
            one.as_mut().await;
            let rows = one.as_mut().take_output().transpose();
            changed.push(rows.map_err(self.failed())?.unwrap_or(0));
        }
        end.as_mut().await;
        let ended = end.as_mut().take_output().transpose();
        ended.map_err(self.failed())?;
        Ok(changed)
    }

    /// Begins a transaction with `first`, and asks for rows in it, in one exchange.
    ///
    /// # Errors
    ///
    /// Where any of it fails.
    pub(super) async fn begin_and_ask(
        &self,
        first: &str,
        statements: [&Statement; 2],
    ) -> Result<[Vec<Row>; 2], PostgresError> {
        let text = format!("{}{first}", self.begin());
        let [one, two] = statements;
        let (begun, one, two) = futures::join!(self.script(&text), self.ask(one), self.ask(two));
        begun?;
        Ok([one?, two?])
    }
}

fn values(statement: &Statement) -> Vec<(&(dyn ToSql + Sync), Type)> {
    let values = statement.values.iter();
    values
        .map(|value| -> (&(dyn ToSql + Sync), Type) { (value, value.kind()) })
        .collect()
}
