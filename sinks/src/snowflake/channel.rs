//! The calls of Snowpipe Streaming: open, append, ask, drop.

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use super::api::{Api, Ask};
use super::cut::Piece;
use super::error::SnowflakeError;

/// Where a channel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) database: String,
    pub(super) schema: String,
    pub(super) pipe: String,
    pub(super) name: String,
}

/// What Snowflake says of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// `SUCCESS`, or why it is no longer sound.
    pub(super) code: String,
    /// The last offset whose rows can be read.
    pub(super) committed: Option<String>,
    /// Rows that were left out, since the channel was made.
    pub(super) errors: u64,
    /// The reason for the last of them.
    pub(super) message: String,
    /// Rows that were stored, since the channel was made.
    pub(super) inserted: u64,
}

/// An opened channel: what the first append has to carry, and how it stands.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) continuation: String,
    pub(super) status: Status,
}

impl Address {
    fn ask(&self, api: &Api, what: &'static str, method: Method, call: Call) -> Ask {
        let mut path = vec!["v2", "streaming"];
        if call == Call::Rows {
            path.push("data");
        }
        let Self {
            database,
            schema,
            pipe,
            name,
        } = self;
        path.extend(["databases", database, "schemas", schema, "pipes", pipe]);
        match call {
            Call::Rows => path.extend(["channels", name, "rows"]),
            Call::Channel => path.extend(["channels", name]),
            Call::Pipe => {}
        }
        Ask::new(what, method, &path, api.config.request_timeout)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Rows,
    Channel,
    Pipe,
}

fn parsed(what: &'static str, body: &Bytes) -> Result<Value, SnowflakeError> {
    serde_json::from_slice(body).map_err(|e| SnowflakeError::Answer {
        what,
        why: e.to_string(),
    })
}

fn continuation(what: &'static str, answer: &Value) -> Result<String, SnowflakeError> {
    let token = answer.get("next_continuation_token");
    let token = token.and_then(Value::as_str).map(str::to_owned);
    token.ok_or_else(|| SnowflakeError::Answer {
        what,
        why: "it has no next continuation token".to_owned(),
    })
}

fn status_of(value: &Value) -> Status {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    // The pages name the count of errors in two ways.
    let errors = ["rows_error_count", "rows_errors"];
    let errors = errors.into_iter().find_map(|n| value.get(n)?.as_u64());
    Status {
        code: text("channel_status_code").unwrap_or_default(),
        committed: text("last_committed_offset_token").filter(|t| !t.is_empty()),
        errors: errors.unwrap_or(0),
        message: without_quotes(&text("last_error_message").unwrap_or_default()),
        inserted: value
            .get("rows_inserted")
            .and_then(Value::as_u64)
            .unwrap_or(0),
    }
}

/// The message without what stands between single quotes, which may be a row's own value.
fn without_quotes(message: &str) -> String {
    let parts = message.split('\'').enumerate();
    let kept: Vec<&str> = parts
        .map(|(n, part)| if n % 2 == 0 { part } else { "..." })
        .collect();
    kept.join("'")
}

/// Opens the channel, which ends what any other writer may do with it. `careful` fails where rows
/// are not committed yet; otherwise those are discarded.
pub(super) async fn open(api: &Api, at: &Address, careful: bool) -> Result<Opened, SnowflakeError> {
    let what = "opening a channel";
    let body = if careful {
        json!({ "fail_on_uncommitted_rows": true })
    } else {
        json!({})
    };
    let ask = at.ask(api, what, Method::PUT, Call::Channel);
    let answer = parsed(what, &api.ingest(ask.with_json(&body)).await?)?;
    Ok(Opened {
        continuation: continuation(what, &answer)?,
        status: status_of(answer.get("channel_status").unwrap_or(&Value::Null)),
    })
}

/// Sends rows; Snowflake holds them then, but has not committed them. Answers what the next append
/// has to carry.
pub(super) async fn append(
    api: &Api,
    at: &Address,
    token: &str,
    piece: &Piece,
    (start, end): (&str, &str),
) -> Result<String, SnowflakeError> {
    let what = "appending rows";
    let mut ask = rows(at.ask(api, what, Method::POST, Call::Rows), piece);
    ask.query = vec![
        ("continuationToken", token.to_owned()),
        ("startOffsetToken", start.to_owned()),
        ("endOffsetToken", end.to_owned()),
    ];
    continuation(what, &parsed(what, &api.ingest(ask).await?)?)
}

/// Sends rows to the elastic channel; Snowflake keeps them once it has answered.
pub(super) async fn append_elastic(
    api: &Api,
    at: &Address,
    piece: &Piece,
    id: String,
) -> Result<(), SnowflakeError> {
    let what = "appending rows";
    let mut ask = rows(at.ask(api, what, Method::POST, Call::Rows), piece);
    ask.id = Some(id);
    // Each time may bring the rows once more, which is counted.
    ask.sends_max = 1;
    api.ingest(ask).await.map(|_| ())
}

fn rows(mut ask: Ask, piece: &Piece) -> Ask {
    ask.body = piece.body.clone();
    let length = piece.plain_bytes.to_string();
    ask.headers = vec![
        ("content-type", "application/x-ndjson".to_owned()),
        ("content-encoding", "zstd".to_owned()),
        ("x-snowflake-uncompressed-content-length", length),
    ];
    ask
}

/// How the channel stands; `None` where there is none of that name.
pub(super) async fn status(api: &Api, at: &Address) -> Result<Option<Status>, SnowflakeError> {
    let what = "asking how far a channel is";
    let mut ask = at.ask(api, what, Method::POST, Call::Pipe);
    ask.verb = ":bulk-channel-status";
    let body = json!({ "channel_names": [at.name] });
    let answer = parsed(what, &api.ingest(ask.with_json(&body)).await?)?;
    let all = answer.get("channel_statuses");
    Ok(all.and_then(|a| a.get(&at.name)).map(status_of))
}

/// Forgets the channel and how far it was.
pub(super) async fn drop(api: &Api, at: &Address) -> Result<(), SnowflakeError> {
    let ask = at.ask(api, "dropping a channel", Method::DELETE, Call::Channel);
    api.ingest(ask).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_status_are_read_and_no_value_of_a_row_is_kept() {
        let status = status_of(&json!({
            "channel_status_code": "ACTIVE", "last_committed_offset_token": "5",
            "rows_errors": 3, "rows_inserted": 9,
            "last_error_message": "Numeric value 'secret' is not recognized, it's 'so'"
        }));
        assert_eq!(status.errors, 3);
        assert_eq!(status.inserted, 9);
        assert!(!status.message.contains("secret"), "{}", status.message);
        let status = status_of(&json!({ "rows_error_count": 4, "rows_errors": 4 }));
        assert_eq!((status.errors, status.committed), (4, None));
    }
}
