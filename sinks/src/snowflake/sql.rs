//! Statements, by Snowflake's SQL API.

use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};

use super::api::{Api, Ask};
use super::error::SnowflakeError;

/// A statement that has not ended is asked for again after this.
const POLL: Duration = Duration::from_millis(200);
/// The codes of an answer that says no more than that the statement goes on.
const RUNNING: [&str; 2] = ["333333", "333334"];
/// The most that an answer may hold once it is decompressed, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What a statement gave; all values come as texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) columns: Vec<String>,
}

impl Answer {
    /// The value at `row` and the column named `name`.
    pub(super) fn value(&self, row: usize, name: &str) -> Option<&str> {
        let named = |c: &String| c.eq_ignore_ascii_case(name);
        let at = self.columns.iter().position(named)?;
        self.rows.get(row)?.get(at)?.as_deref()
    }

    /// The first value as a number.
    pub(super) fn number(&self) -> Option<u64> {
        self.rows.first()?.first()?.as_deref()?.parse().ok()
    }
}

/// Runs one statement to its end; `bindings` stand for its question marks.
///
/// # Errors
///
/// Where Snowflake refuses it, or cannot be asked. It may have been carried out all the same where
/// no answer came; statements here can be run again.
pub(super) async fn run(
    api: &Api,
    what: &'static str,
    statement: &str,
    bindings: &[Value],
) -> Result<Answer, SnowflakeError> {
    let config = &api.config;
    let seconds = config.statement_timeout.as_secs().max(1);
    let mut body = json!({ "statement": statement, "timeout": seconds });
    let settings = [("warehouse", &config.warehouse), ("role", &config.role)];
    if let Some(body) = body.as_object_mut() {
        for (name, value) in settings {
            if !value.is_empty() {
                body.insert(name.to_owned(), value.to_uppercase().into());
            }
        }
        if !bindings.is_empty() {
            let numbered = (1..).zip(bindings);
            let all = numbered.map(|(n, value): (u32, _)| (n.to_string(), bound(value)));
            body.insert("bindings".to_owned(), Value::Object(all.collect()));
        }
    }
    let ask = statements(api, what, Method::POST, None).with_json(&body);
    let mut answer = parsed(what, &api.account(ask).await?)?;
    let deadline = tokio::time::Instant::now() + config.statement_timeout;
    while is_running(&answer) {
        if tokio::time::Instant::now() >= deadline {
            let why = "the statement has not ended in time".to_owned();
            return Err(SnowflakeError::Answer { what, why });
        }
        tokio::time::sleep(POLL).await;
        let ask = statements(api, what, Method::GET, handle(&answer));
        answer = parsed(what, &api.account(ask).await?)?;
    }
    collect(api, what, &answer).await
}

fn bound(value: &Value) -> Value {
    let kind = if value.is_number() { "FIXED" } else { "TEXT" };
    json!({ "type": kind, "value": text(value) })
}

fn statements(api: &Api, what: &'static str, method: Method, handle: Option<&str>) -> Ask {
    let mut path = vec!["api", "v2", "statements"];
    path.extend(handle);
    // The answer comes after 45 s at the latest, if only to say that the statement goes on.
    let timeout = api.config.request_timeout.max(Duration::from_secs(50));
    Ask::new(what, method, &path, timeout)
}

fn parsed(what: &'static str, body: &Bytes) -> Result<Value, SnowflakeError> {
    let wrong = |why: String| SnowflakeError::Answer { what, why };
    // Partitions come compressed whether that was asked for or not.
    if body.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        GzDecoder::new(body.as_ref())
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut plain)
            .map_err(|e| wrong(e.to_string()))?;
        return serde_json::from_slice(&plain).map_err(|e| wrong(e.to_string()));
    }
    serde_json::from_slice(body).map_err(|e| wrong(e.to_string()))
}

fn is_running(answer: &Value) -> bool {
    let code = answer.get("code").and_then(Value::as_str);
    code.is_some_and(|c| RUNNING.contains(&c)) && answer.get("data").is_none()
}

fn handle(answer: &Value) -> Option<&str> {
    answer.get("statementHandle").and_then(Value::as_str)
}

async fn collect(api: &Api, what: &'static str, answer: &Value) -> Result<Answer, SnowflakeError> {
    let about = answer.get("resultSetMetaData");
    let list = |of: &str| about.and_then(|a| a.get(of)).and_then(Value::as_array);
    let name = |c: &Value| c.get("name").and_then(Value::as_str).map(str::to_owned);
    let columns = list("rowType").into_iter().flatten();
    let mut all = Answer {
        columns: columns.map(|c| name(c).unwrap_or_default()).collect(),
        rows: rows_of(answer),
    };
    let partitions = list("partitionInfo").map_or(0, Vec::len);
    for n in 1..partitions {
        let mut ask = statements(api, what, Method::GET, handle(answer));
        ask.query.push(("partition", n.to_string()));
        all.rows
            .extend(rows_of(&parsed(what, &api.account(ask).await?)?));
    }
    Ok(all)
}

fn rows_of(answer: &Value) -> Vec<Vec<Option<String>>> {
    let rows = answer.get("data").and_then(Value::as_array);
    rows.into_iter()
        .flatten()
        .map(|row| {
            let values = row.as_array().into_iter().flatten();
            values.map(text).collect()
        })
        .collect()
}

/// The value as a text; nothing for NULL.
fn text(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = value.as_str().map(str::to_owned);
    text.or_else(|| Some(value.to_string()))
}
