//! Named and elastic channels.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::http::Request;
use super::sql::{Catalog, Place};
use super::{Answer, Refused};

/// The most that a request may carry, in bytes.
const WIRE_BYTES_MAX: usize = 4_000_000;

/// Rows that are not committed yet, and when they will be.
struct Waiting {
    due: Instant,
    rows: Vec<Map<String, Value>>,
    end: Option<String>,
}

pub(crate) struct Channel {
    /// How often it was opened.
    pub(crate) sequencer: u64,
    row: u64,
    pub(crate) committed: Option<String>,
    /// What it said before, for answers of a stale replica.
    before: Option<String>,
    waiting: VecDeque<Waiting>,
    code: String,
    inserted: u64,
    pub(crate) errors: u64,
    message: String,
    /// The last append: its continuation token and request.
    last: Option<(String, String)>,
    recent: VecDeque<Instant>,
    pub(crate) appends: u64,
}

/// A channel's place: the pipe's, and its name.
pub(crate) type Key = (Place, String);

pub(crate) struct Channels {
    pub(crate) all: BTreeMap<Key, Channel>,
    /// How long rows wait for their commit.
    pub(crate) delay: Duration,
    /// How many requests a channel takes in a second.
    pub(crate) rate: usize,
    /// So many answers of the status tell the token before the last.
    pub(crate) stale: u32,
    /// When rows were first taken, and first committed.
    pub(crate) first_append: Option<Instant>,
    pub(crate) first_commit: Option<Instant>,
    pub(crate) largest_wire: usize,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            delay: Duration::from_millis(20),
            rate: 10,
            stale: 0,
            first_append: None,
            first_commit: None,
            largest_wire: 0,
        }
    }
}

fn bad(message: &str) -> Refused {
    Refused::new(400, "ERR_INVALID_ARGUMENT", message)
}

impl Channel {
    fn new() -> Self {
        Self {
            sequencer: 0,
            row: 0,
            committed: None,
            before: None,
            waiting: VecDeque::new(),
            code: "SUCCESS".to_owned(),
            inserted: 0,
            errors: 0,
            message: String::new(),
            last: None,
            recent: VecDeque::new(),
            appends: 0,
        }
    }

    fn continuation(&self) -> String {
        format!("{}_{}", self.sequencer, self.row)
    }

    fn status(&self, at: &Key, token: Option<&String>) -> Value {
        let ((database, schema, pipe), name) = at;
        json!({
            "database_name": database, "schema_name": schema, "pipe_name": pipe,
            "channel_name": name, "channel_status_code": self.code,
            "last_committed_offset_token": token, "created_on_ms": 1_795_205_919_778_u64,
            "rows_inserted": self.inserted, "rows_parsed": self.inserted + self.errors,
            "rows_error_count": self.errors, "rows_errors": self.errors,
            "last_error_offset_upper_bound": null,
            "last_error_message": (!self.message.is_empty()).then_some(&self.message),
            "last_error_timestamp": null, "last_error_timestamp_ms": null,
            "snowflake_avg_processing_latency_ms": 42,
        })
    }
}

/// The table that a pipe loads: the one that Snowflake keeps for it, or one that was made.
fn table_of(catalog: &Catalog, pipe: &Place) -> Result<Place, Refused> {
    let missing = || {
        let code = "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED";
        Refused::new(404, code, "the table does not exist or is not authorized")
    };
    if catalog.read_only {
        return Err(Refused::new(
            403,
            "ERR_NOT_AUTHORIZED",
            "no INSERT on the table",
        ));
    }
    let (database, schema, name) = pipe;
    let place = match catalog.pipes.get(pipe) {
        Some(table) => table.clone(),
        None => {
            let table = name.strip_suffix("-STREAMING").ok_or_else(missing)?;
            (database.clone(), schema.clone(), table.to_owned())
        }
    };
    let there = catalog.tables.contains_key(&place);
    there.then_some(place).ok_or_else(missing)
}

/// The rows of a request, as the limits and headers want them.
fn rows_of(request: &Request) -> Result<Vec<Map<String, Value>>, Refused> {
    if request.body.len() > WIRE_BYTES_MAX {
        return Err(Refused::new(413, "ERR_PAYLOAD_TOO_LARGE", "more than 4 MB"));
    }
    if request.header("content-type") != Some("application/x-ndjson") {
        return Err(bad("not application/x-ndjson"));
    }
    let plain = match request.header("content-encoding") {
        Some("zstd") => zstd::decode_all(request.body.as_ref()),
        Some(other) => return Err(bad(&format!("content-encoding {other}"))),
        None => Ok(request.body.to_vec()),
    };
    let plain = plain.map_err(|_| bad("the body cannot be decompressed"))?;
    let said = request.header("x-snowflake-uncompressed-content-length");
    let official = request.header("x-snowflake-min-append-timestamp-ms");
    if let Some(said) = said
        && official.is_none()
        && said.parse() != Ok(plain.len())
    {
        return Err(bad("the uncompressed length is wrong"));
    }
    if official.is_some_and(|ms| ms.parse::<u64>().is_err()) {
        return Err(bad("the append timestamp is no number"));
    }
    let text = std::str::from_utf8(&plain).map_err(|_| bad("not UTF-8"))?;
    if !text.ends_with('\n') {
        return Err(bad("a row does not end with a newline"));
    }
    let lines = text.split('\n').filter(|line| !line.is_empty());
    let rows: Result<Vec<_>, Refused> = lines
        .map(|line| serde_json::from_str(line).map_err(|_| bad("a row is no JSON object")))
        .collect();
    let rows = rows?;
    if rows.is_empty() {
        return Err(bad("no row"));
    }
    Ok(rows)
}

fn check_ids(request: &Request) -> Result<&str, Refused> {
    let id = request.query.get("requestId").map_or("", String::as_str);
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    let hex = id.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    let count = request.query.get("retryCount");
    if groups != [8, 4, 4, 4, 12] || !hex || count.is_none_or(|n| n.parse::<u32>().is_err()) {
        return Err(bad("requestId is no UUID, or retryCount no number"));
    }
    Ok(id)
}

impl Channels {
    /// Commits what is due.
    pub(crate) fn settle(&mut self, catalog: &mut Catalog) {
        let now = Instant::now();
        for ((pipe, _), channel) in &mut self.all {
            while channel.waiting.front().is_some_and(|w| w.due <= now) {
                let Some(Waiting { rows, end, .. }) = channel.waiting.pop_front() else {
                    break;
                };
                self.first_commit.get_or_insert(now);
                let table = table_of(catalog, pipe).ok();
                let Some(table) = table.and_then(|at| catalog.tables.get_mut(&at)) else {
                    "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED".clone_into(&mut channel.code);
                    break;
                };
                for row in rows {
                    match table.take(&row) {
                        Ok(row) => {
                            table.rows.push(Arc::new(row));
                            channel.inserted += 1;
                        }
                        Err(why) => {
                            channel.errors += 1;
                            channel.message = why;
                        }
                    }
                }
                channel.before = std::mem::replace(&mut channel.committed, end);
            }
        }
    }

    /// Opens a channel.
    pub(crate) fn open(
        &mut self,
        catalog: &mut Catalog,
        at: &Key,
        request: &Request,
    ) -> Result<Answer, Refused> {
        check_ids(request)?;
        table_of(catalog, &at.0)?;
        self.settle(catalog);
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| bad("no JSON"))?;
        let channel = self.all.entry(at.clone()).or_insert_with(Channel::new);
        if !channel.waiting.is_empty() {
            if body["fail_on_uncommitted_rows"] == true {
                let code = "ERR_CHANNEL_HAS_UNCOMMITTED_DATA";
                return Err(Refused::new(409, code, "rows are not committed yet"));
            }
            channel.waiting.clear();
        }
        channel.sequencer += 1;
        channel.row = 0;
        channel.last = None;
        "SUCCESS".clone_into(&mut channel.code);
        if let Some(token) = body["offset_token"].as_str() {
            channel.committed = Some(token.to_owned());
        }
        let status = channel.status(at, channel.committed.as_ref());
        let answer = json!({"next_continuation_token": channel.continuation(),
            "channel_status": status});
        Ok(Answer::json(200, &answer))
    }

    /// Takes rows.
    pub(crate) fn append(
        &mut self,
        catalog: &mut Catalog,
        at: &Key,
        request: &Request,
    ) -> Result<Answer, Refused> {
        let id = check_ids(request)?.to_owned();
        self.largest_wire = self.largest_wire.max(request.body.len());
        let rows = rows_of(request)?;
        let table = table_of(catalog, &at.0)?;
        self.first_append.get_or_insert_with(Instant::now);
        let query = |name: &str| request.query.get(name).cloned();
        if at.1 == "ELASTIC" {
            if [
                "continuationToken",
                "startOffsetToken",
                "endOffsetToken",
                "offsetToken",
            ]
            .iter()
            .any(|name| query(name).is_some())
            {
                return Err(bad("an elastic channel takes no tokens"));
            }
            if let Some(table) = catalog.tables.get_mut(&table) {
                let taken = rows.iter().filter_map(|row| table.take(row).ok());
                let taken: Vec<_> = taken.map(Arc::new).collect();
                table.rows.extend(taken);
            }
            return Ok(Answer::json(200, &json!({"message": "OK"})));
        }
        let missing = "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED";
        let channel = self.all.get_mut(at);
        let channel = channel.ok_or_else(|| Refused::new(404, missing, "no such channel"))?;
        if channel.code != "SUCCESS" {
            return Err(Refused::new(409, &channel.code, "the channel is invalid"));
        }
        let now = Instant::now();
        let within = |at: &Instant| now.duration_since(*at) < Duration::from_secs(1);
        channel.recent.retain(within);
        if channel.recent.len() >= self.rate {
            let mut busy = Refused::new(429, "ERR_TOO_MANY_REQUESTS", "more than 10 a second");
            busy.headers.push(("retry-after", "1".to_owned()));
            return Err(busy);
        }
        channel.recent.push_back(now);
        let tokens = (query("continuationToken"), query("startOffsetToken"));
        let ((Some(token), Some(_)), Some(end)) = (tokens, query("endOffsetToken")) else {
            return Err(bad("a named channel wants its three tokens"));
        };
        let this = (token.clone(), id);
        if channel.last.as_ref() == Some(&this) {
            // The same request once more: its answer was lost.
            let answer = json!({"next_continuation_token": channel.continuation()});
            return Ok(Answer::json(200, &answer));
        }
        if token != channel.continuation() {
            let code = "STALE_CONTINUATION_TOKEN_SEQUENCER";
            return Err(Refused::new(400, code, "Please reopen the channel"));
        }
        channel.waiting.push_back(Waiting {
            due: now + self.delay,
            rows,
            end: Some(end),
        });
        channel.last = Some(this);
        channel.row += 1;
        channel.appends += 1;
        let answer = json!({"next_continuation_token": channel.continuation()});
        Ok(Answer::json(200, &answer))
    }

    /// Tells how channels stand; those that are not there are left out.
    pub(crate) fn statuses(
        &mut self,
        catalog: &mut Catalog,
        pipe: &Place,
        request: &Request,
    ) -> Result<Answer, Refused> {
        self.settle(catalog);
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| bad("no JSON"))?;
        let names = body["channel_names"].as_array();
        let names = names.ok_or_else(|| bad("no channel_names"))?;
        let stale = self.stale > 0;
        self.stale = self.stale.saturating_sub(1);
        let mut found = Map::new();
        for name in names.iter().filter_map(Value::as_str) {
            let key = (pipe.clone(), name.to_owned());
            if name == "ELASTIC" {
                self.all.entry(key.clone()).or_insert_with(Channel::new);
            }
            if let Some(channel) = self.all.get(&key) {
                let token = if stale {
                    &channel.before
                } else {
                    &channel.committed
                };
                found.insert(name.to_owned(), channel.status(&key, token.as_ref()));
            }
        }
        Ok(Answer::json(200, &json!({ "channel_statuses": found })))
    }

    pub(crate) fn drop_one(&mut self, catalog: &mut Catalog, at: &Key) -> Answer {
        self.settle(catalog);
        let token = self.all.remove(at).and_then(|c| c.committed);
        Answer::json(200, &json!({ "last_committed_offset_token": token }))
    }

    /// No channel takes rows until it is opened anew.
    pub(crate) fn invalidate(&mut self) {
        for channel in self.all.values_mut() {
            "ERR_CHANNEL_MUST_BE_REOPENED".clone_into(&mut channel.code);
        }
    }

    /// Every channel tells a token from before, as after a loss on the server's side.
    pub(crate) fn regress(&mut self) {
        for channel in self.all.values_mut() {
            channel.committed = channel.before.take();
        }
    }
}
