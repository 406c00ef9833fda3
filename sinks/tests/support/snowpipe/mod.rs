//! A stand-in for Snowflake: Snowpipe Streaming and the SQL API, over TLS on a loopback port.
//!
//! It is strict where a recording of Snowflake's own client or Snowflake's pages say how things
//! are: signatures and claims, headers, sizes and rates, the order of continuation tokens, types.
//! Snowflake's own client is run against it (`the_official_client_delivers_once`), so that it
//! cannot be made to fit our client alone. What is a guess: a repeated append with the same
//! continuation token and request id is answered as the first time.

pub(crate) mod auth;
mod channels;
pub(crate) mod decode;
pub(crate) mod destination;
mod http;
mod sql;
mod tables;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use self::http::{Hangup, Request};
use auth::Auth;
use channels::{Channels, Key};
use sql::{Catalog, Place};
use tables::{Column, Kind, Table};

/// A refusal, as Snowflake words it.
#[derive(Debug)]
pub(crate) struct Refused {
    status: u16,
    code: String,
    message: String,
    headers: Vec<(&'static str, String)>,
}

impl Refused {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            headers: Vec::new(),
        }
    }
}

pub(crate) struct Answer {
    status: u16,
    body: Bytes,
    headers: Vec<(&'static str, String)>,
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            body: body.to_string().into(),
            headers: vec![("content-type", "application/json".to_owned())],
        }
    }

    fn text(body: &str) -> Self {
        Self {
            status: 200,
            body: body.to_owned().into(),
            headers: vec![("content-type", "text/plain".to_owned())],
        }
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let body = json!({"code": refused.code, "message": refused.message});
        let mut answer = Self::json(refused.status, &body);
        answer.headers.extend(refused.headers);
        answer
    }
}

/// What goes wrong with requests to some path.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// It goes through.
    None,
    /// It is refused; nothing is done.
    Refuse(u16, &'static str, Option<&'static str>),
    /// It is done, and the answer is lost.
    Lose,
    /// It is done, and answered with an error.
    DoneBut(u16),
    /// The connection is closed; nothing is done.
    Hangup,
}

struct Fault {
    path: String,
    times: u32,
    trouble: Trouble,
}

#[derive(Default)]
struct State {
    auth: Auth,
    catalog: Catalog,
    channels: Channels,
    faults: Vec<Fault>,
}

/// The account.
#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
    paused: Mutex<bool>,
}

impl World {
    async fn answer(&self, request: &Request) -> Result<Answer, Hangup> {
        while *self.paused.lock() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut state = self.state.lock();
        let fault = state
            .faults
            .iter_mut()
            .find(|f| f.times > 0 && request.path.contains(&f.path));
        let trouble = fault.map(|fault| {
            fault.times -= 1;
            fault.trouble.clone()
        });
        match trouble {
            None | Some(Trouble::None) => Ok(state.route(request).unwrap_or_else(Answer::from)),
            Some(Trouble::Hangup) => Err(Hangup),
            Some(Trouble::Lose) => {
                let _ = state.route(request);
                Err(Hangup)
            }
            Some(Trouble::DoneBut(status)) => {
                let _ = state.route(request);
                Ok(Refused::new(status, "ERR_INJECTED", "injected").into())
            }
            Some(Trouble::Refuse(status, code, after)) => {
                let mut refused = Refused::new(status, code, "injected");
                let after = after.map(|after| ("retry-after", after.to_owned()));
                refused.headers.extend(after);
                Ok(refused.into())
            }
        }
    }
}

impl State {
    fn route(&mut self, request: &Request) -> Result<Answer, Refused> {
        let unknown = || Refused::new(404, "ERR_NOT_FOUND", "no such path");
        let parts: Vec<&str> = request.parts.iter().map(String::as_str).collect();
        let (catalog, channels) = (&mut self.catalog, &mut self.channels);
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["v2", "streaming", "hostname"]) => {
                self.auth.account(request)?;
                return Ok(Answer::text("127.0.0.1"));
            }
            ("POST", ["oauth", "token"]) => return Ok(Answer::text(&self.auth.grant(request)?)),
            ("POST", ["telemetry", ..]) => {
                let body = json!({"success": true, "code": null, "message": null,
                    "data": "Log Received"});
                return Ok(Answer::json(200, &body));
            }
            ("POST", ["api", "v2", "statements"]) | ("GET", ["api", "v2", "statements", _]) => {
                self.auth.account(request)?;
                channels.settle(catalog);
                return catalog.api(request);
            }
            _ => {}
        }
        self.auth.scoped(request)?;
        if request.header("user-agent").is_none() {
            return Err(Refused::new(400, "ERR_INVALID_ARGUMENT", "no user-agent"));
        }
        let ["v2", "streaming", rest @ ..] = parts.as_slice() else {
            return Err(unknown());
        };
        let (data, rest) = match rest {
            ["data", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let [
            "databases",
            database,
            "schemas",
            schema,
            "pipes",
            pipe,
            rest @ ..,
        ] = rest
        else {
            return Err(unknown());
        };
        let place = |pipe: &str| -> Place {
            (
                database.to_uppercase(),
                schema.to_uppercase(),
                pipe.to_uppercase(),
            )
        };
        let key = |name: &str| -> Key { (place(pipe), name.to_owned()) };
        match (request.method.as_str(), data, rest) {
            ("POST", false, []) => match pipe.rsplit_once(':') {
                Some((pipe, "bulk-channel-status")) => {
                    channels.statuses(catalog, &place(pipe), request)
                }
                Some((_, "pipe-info")) => Ok(Answer::json(200, &pipe_info())),
                _ => Err(unknown()),
            },
            ("PUT", false, ["channels", name]) => channels.open(catalog, &key(name), request),
            ("DELETE", false, ["channels", name]) => Ok(channels.drop_one(catalog, &key(name))),
            ("POST", true, ["channels", name, "rows"]) => {
                channels.append(catalog, &key(name), request)
            }
            _ => Err(unknown()),
        }
    }
}

/// What Snowflake's own client wants to know of a pipe before it sends rows.
fn pipe_info() -> Value {
    let stage = |name: &str| {
        json!({
            "location": format!("weir-bucket/{name}/"), "location_type": "S3",
            "expiry_time_ms": (auth::now_s() + 3600) * 1000, "region": "us-east-1",
            "use_s3_regional_url": false,
            "creds": {"AWS_KEY_ID": "x", "AWS_SECRET_KEY": "x", "AWS_TOKEN": "x"},
        })
    };
    json!({
        "rowset_stage_location": stage("rowset"), "durable_stage_location": stage("durable"),
        "encryption_info": {"pipe_key": Auth::pipe_key(), "pipe_key_id": 1, "diversifier": "ZA=="},
        "parameter_overrides": {"max_client_lag_seconds": 1},
    })
}

/// The stand-in; it ends when it is dropped.
pub(crate) struct Emulator {
    world: Arc<World>,
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
    tls: tokio_rustls::TlsAcceptor,
    serving: Option<JoinHandle<()>>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl Emulator {
    /// An account of the Enterprise edition with an empty database `WEIR`.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls = http::tls(&folder.path().join("ca.pem"));
        let listener = http::listen(None).await;
        let mut emulator = Self {
            world: Arc::default(),
            address: listener.local_addr().unwrap(),
            folder,
            tls,
            serving: None,
        };
        {
            let mut state = emulator.world.state.lock();
            state.catalog.databases.push("WEIR".to_owned());
            state.catalog.enterprise = true;
        }
        emulator.serve(listener);
        emulator
    }

    fn serve(&mut self, listener: tokio::net::TcpListener) {
        let (tls, world) = (self.tls.clone(), Arc::clone(&self.world));
        self.serving = Some(tokio::spawn(http::serve(listener, tls, world)));
    }

    /// Closes its port and every connection; what it holds stays.
    pub(crate) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Comes back on the same port.
    pub(crate) async fn come_back(&mut self) {
        let listener = http::listen(Some(self.address)).await;
        self.serve(listener);
    }

    /// Takes requests and does not answer, as a stopped process would.
    pub(crate) fn pause(&self, paused: bool) {
        *self.world.paused.lock() = paused;
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The next `times` requests whose path has `path` in it meet `trouble`.
    pub(crate) fn fault(&self, path: &str, times: u32, trouble: Trouble) {
        self.world.state.lock().faults.push(Fault {
            path: path.to_owned(),
            times,
            trouble,
        });
    }

    /// The next requests with `path` meet no fault, whatever was planned before this.
    pub(crate) fn let_through(&self, path: &str, times: u32) {
        self.fault(path, times, Trouble::None);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn forget_faults(&self) {
        self.world.state.lock().faults.clear();
    }

    /// Faults that were not met yet.
    pub(crate) fn faults_left(&self) -> u32 {
        let state = self.world.state.lock();
        state.faults.iter().map(|f| f.times).sum()
    }

    pub(crate) fn commit_delay(&self, delay: Duration) {
        self.world.state.lock().channels.delay = delay;
    }

    pub(crate) fn requests_per_second(&self, rate: usize) {
        self.world.state.lock().channels.rate = rate;
    }

    pub(crate) fn stale_answers(&self, times: u32) {
        self.world.state.lock().channels.stale = times;
    }

    pub(crate) fn invalidate(&self) {
        self.world.state.lock().channels.invalidate();
    }

    pub(crate) fn regress(&self) {
        self.world.state.lock().channels.regress();
    }

    pub(crate) fn expire_tokens(&self) {
        self.world.state.lock().auth.expire();
    }

    pub(crate) fn token_life_s(&self, life: i64) {
        self.world.state.lock().auth.life_s = life;
    }

    /// Scoped tokens that were given.
    pub(crate) fn tokens_given(&self) -> u64 {
        self.world.state.lock().auth.given
    }

    /// Changes what the account has and may.
    pub(crate) fn catalog(&self, change: impl FnOnce(&mut Catalog)) {
        change(&mut self.world.state.lock().catalog);
    }

    /// Makes a table of these columns, as somebody has before.
    pub(crate) fn make_table(&self, name: &str, columns: &[(&str, Kind)]) {
        let columns = columns.iter().map(|(name, kind)| Column {
            name: (*name).to_owned(),
            kind: kind.clone(),
            nullable: true,
        });
        let table = Table {
            columns: columns.collect(),
            ..Table::default()
        };
        let place = ("WEIR".to_owned(), "PUBLIC".to_owned(), name.to_owned());
        self.catalog(|c| {
            c.tables.insert(place, table);
        });
    }

    /// This row of a batch of `table` cannot be loaded from now on; with `None` all can.
    pub(crate) fn poison(&self, table: &str, row: Option<(i64, i32)>) {
        self.catalog(|c| {
            let tables = c.tables.iter_mut().filter(|(at, _)| at.2 == table);
            tables.for_each(|(_, table)| table.poison = row);
        });
    }

    /// The committed rows of `table` in `database` after the first `known`, in the order in which
    /// they came.
    pub(crate) fn rows_in(
        &self,
        database: &str,
        table: &str,
        known: usize,
    ) -> Vec<Arc<Map<String, Value>>> {
        let mut state = self.world.state.lock();
        let State {
            catalog, channels, ..
        } = &mut *state;
        channels.settle(catalog);
        let place = (
            database.to_owned(),
            "PUBLIC".to_owned(),
            table.to_uppercase(),
        );
        let table = catalog.tables.get(&place);
        let rows = table.map_or(&[][..], |t| &t.rows);
        rows.iter().skip(known).cloned().collect()
    }

    /// How many appends channels have taken, how often they were opened, and their last tokens, by
    /// name.
    pub(crate) fn channels(&self) -> Vec<(String, u64, u64, Option<String>)> {
        let state = self.world.state.lock();
        let all = state.channels.all.iter();
        all.map(|((_, name), c)| (name.clone(), c.appends, c.sequencer, c.committed.clone()))
            .collect()
    }

    /// When rows first came and were first committed, if they were.
    pub(crate) fn seen(&self) -> (Option<Instant>, Option<Instant>) {
        let state = self.world.state.lock();
        (state.channels.first_append, state.channels.first_commit)
    }

    pub(crate) fn largest_request(&self) -> usize {
        self.world.state.lock().channels.largest_wire
    }
}

/// A number without a fraction.
pub(crate) fn integer() -> Kind {
    Kind::of("NUMBER", &[38, 0]).unwrap()
}

/// Anything.
pub(crate) fn variant() -> Kind {
    Kind::of("VARIANT", &[]).unwrap()
}
