//! `weir sinks list|status|pause|resume|backfill`: how a running node's sinks stand.

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::remote::Remote;
use crate::client::Call;

/// What can be done with sinks.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// List the sinks, one a line.
    List(All),
    /// Say how each dataset of a sink stands, of all sinks where none is named.
    Status(Named),
    /// Give nothing more to a sink until it is resumed; what it lacks is kept.
    Pause(One),
    /// Let a paused sink go on.
    Resume(One),
    /// Fill a sink with what it lacks; from the lake where the log no longer has it.
    Backfill(One),
}

/// Which server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct All {
    #[command(flatten)]
    remote: Remote,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One sink, or all.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Named {
    /// The sink.
    sink: Option<String>,
    #[command(flatten)]
    all: All,
}

/// One sink.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct One {
    /// The sink.
    sink: String,
    #[command(flatten)]
    all: All,
}

/// Runs it.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List(all) => {
            let states = states(&all.remote).await?;
            print(&all, &states, |states| states.iter().map(line).collect())
        }
        Command::Status(named) => {
            let mut states = states(&named.all.remote).await?;
            if let Some(name) = &named.sink {
                states.retain(|state| text_of(state, "sink") == *name);
                anyhow::ensure!(!states.is_empty(), "this node has no sink `{name}`");
            }
            print(&named.all, &states, |states| {
                states.iter().map(status).collect()
            })
        }
        Command::Pause(one) => act(one, "pause").await,
        Command::Resume(one) => act(one, "resume").await,
        Command::Backfill(one) => act(one, "backfill").await,
    }
}

async fn states(remote: &Remote) -> anyhow::Result<Vec<Value>> {
    let answer = remote.client()?.get("/v1/admin/sinks").await?;
    Ok(serde_json::from_slice(&answer.success()?)?)
}

async fn act(one: One, action: &str) -> anyhow::Result<Exit> {
    let body = json!({ "action": action, "sink": one.sink }).to_string();
    let call = Call {
        content_type: Some("application/json"),
        body: body.into(),
        ..Call::default()
    };
    let client = one.all.remote.client()?;
    let answer = client.post("/v1/admin/sinks", call).await?;
    let state: Value = serde_json::from_slice(&answer.success()?).context("no state came")?;
    print(&one.all, &[state], |states| {
        states.iter().map(status).collect()
    })
}

fn print(all: &All, states: &[Value], text: fn(&[Value]) -> String) -> anyhow::Result<Exit> {
    if all.json {
        out::line(&Value::from(states.to_vec()).to_string())?;
    } else {
        out::line(text(states).trim_end())?;
    }
    Ok(Exit::OK)
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn word(state: &Value) -> &'static str {
    match () {
        () if flag(state, "paused") => "paused",
        () if flag(state, "parked") => "parked",
        () if flag(state, "breaker_open") => "failing",
        () => "delivering",
    }
}

fn line(state: &Value) -> String {
    let required = if flag(state, "required") {
        "required"
    } else {
        "detached"
    };
    let (name, kind) = (text_of(state, "sink"), text_of(state, "kind"));
    format!("{name:<20} {kind:<12} {required:<9} {}\n", word(state))
}

fn status(state: &Value) -> String {
    let mut text = line(state);
    let datasets = state.get("datasets").and_then(Value::as_object);
    for (dataset, of) in datasets.into_iter().flatten() {
        let number = |name: &str| of.get(name).and_then(Value::as_u64).unwrap_or(0);
        let behind = number("last_sealed").saturating_sub(number("cursor"));
        text.push_str(&format!(
            "  {dataset:<16} batch {} of {}, {behind} behind; {} attempts, {} failed\n",
            number("cursor"),
            number("last_sealed"),
            number("attempts"),
            number("failures"),
        ));
        if let Some(error) = of.get("last_error").and_then(Value::as_str) {
            text.push_str(&format!("    {error}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_in_lines() {
        let state = json!({
            "sink": "warehouse", "kind": "clickhouse", "required": true, "parked": true,
            "datasets": { "spans": { "cursor": 7, "last_sealed": 9, "attempts": 3, "failures": 1,
                                     "last_error": "no answer" } },
        });
        let text = status(&state);
        assert!(
            text.contains("warehouse            clickhouse   required  parked"),
            "{text}"
        );
        assert!(
            text.contains("batch 7 of 9, 2 behind; 3 attempts, 1 failed"),
            "{text}"
        );
        assert!(text.contains("no answer"), "{text}");
    }
}
