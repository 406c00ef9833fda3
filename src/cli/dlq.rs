//! `weir dlq list|show|replay|drop`: what sinks refused for good.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};
use weir_model::SystemClock;
use weir_sinks::{DeadLetters, LetterId};

use crate::app::sinks::{letter_json, rows_json};
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::remote::Remote;
use crate::client::Call;

/// What can be done with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// List the letters, with the reason of each.
    List(List),
    /// Print a letter and its rows.
    Show(One),
    /// Offer the rows of a letter to its sink again.
    Replay(Replay),
    /// Delete the rows of a letter for good; the note stays, so that the account closes.
    Drop(One),
}

/// Which letters.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct List {
    /// Only those of this sink.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    #[command(flatten)]
    at: At,
}

/// One letter.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct One {
    /// The letter, as `weir dlq list` names it.
    letter: String,
    #[command(flatten)]
    at: At,
}

/// Letters to replay.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Replay {
    /// The letter, as `weir dlq list` names it.
    #[arg(required_unless_present = "sink")]
    letter: Option<String>,
    /// Every letter of this sink.
    #[arg(long, value_name = "NAME", conflicts_with = "letter")]
    sink: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Where the letters lie.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct At {
    #[command(flatten)]
    remote: Remote,
    /// Look into this directory instead of asking a server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const PATH: &str = "/v1/admin/dead-letters";

/// Runs it; exit code 1 where a letter could not be replayed.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List(list) => {
            let letters = letters(&list.at, list.sink.as_deref()).await?;
            if list.at.json {
                out::line(&Value::from(letters).to_string())?;
            } else {
                out::line(&listed(&letters))?;
            }
        }
        Command::Show(one) => {
            let letter = show(&one).await?;
            out::line(&serde_json::to_string_pretty(&letter)?)?;
        }
        Command::Replay(replay) => return self::replay(replay).await,
        Command::Drop(one) => {
            let letter = drop_rows(&one).await?;
            out::line(&told(&letter, one.at.json))?;
        }
    }
    Ok(Exit::OK)
}

/// The letters in a directory, which is not made where it is not there.
fn offline(dir: &std::path::Path) -> anyhow::Result<DeadLetters> {
    let folder = dir.join("dead");
    anyhow::ensure!(
        folder.try_exists()?,
        "there are no dead letters in {}",
        dir.display()
    );
    Ok(DeadLetters::open(&folder, Arc::new(SystemClock))?)
}

async fn letters(at: &At, sink: Option<&str>) -> anyhow::Result<Vec<Value>> {
    if let Some(dir) = &at.data_dir {
        let letters = offline(dir)?.list()?;
        let wanted = letters
            .iter()
            .filter(|l| sink.is_none_or(|sink| sink == l.id.sink));
        return Ok(wanted.map(letter_json).collect());
    }
    of_server(&at.remote, sink).await
}

async fn of_server(remote: &Remote, sink: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let path = sink.map_or_else(
        || PATH.to_owned(),
        |sink| format!("{PATH}?sink={}", url_encoded(sink)),
    );
    let answer = remote.client()?.get(&path).await?;
    let mut answer: Value = serde_json::from_slice(&answer.success()?)?;
    let letters = answer.get_mut("letters").map(Value::take);
    Ok(serde_json::from_value(letters.unwrap_or_default())?)
}

async fn show(one: &One) -> anyhow::Result<Value> {
    if let Some(dir) = &one.at.data_dir {
        let id: LetterId = one.letter.parse()?;
        let (letter, rows) = offline(dir)?.show(&id)?;
        let mut shown = letter_json(&letter);
        if let Some(members) = shown.as_object_mut() {
            members.insert("content".to_owned(), rows_json(&rows)?);
        }
        return Ok(shown);
    }
    let path = format!("{PATH}?id={}", url_encoded(&one.letter));
    let answer = one.at.remote.client()?.get(&path).await?;
    Ok(serde_json::from_slice(&answer.success()?)?)
}

async fn drop_rows(one: &One) -> anyhow::Result<Value> {
    if let Some(dir) = &one.at.data_dir {
        let id: LetterId = one.letter.parse()?;
        return Ok(letter_json(&offline(dir)?.drop_rows(&id)?));
    }
    act(&one.at.remote, "drop", &one.letter).await
}

async fn act(remote: &Remote, action: &str, letter: &str) -> anyhow::Result<Value> {
    let body = json!({ "action": action, "id": letter }).to_string();
    let call = Call {
        content_type: Some("application/json"),
        body: body.into(),
        ..Call::default()
    };
    let answer = remote.client()?.post(PATH, call).await?;
    Ok(serde_json::from_slice(&answer.success()?)?)
}

async fn replay(replay: Replay) -> anyhow::Result<Exit> {
    let ids = match (replay.letter, &replay.sink) {
        (Some(letter), _) => vec![letter],
        (None, sink) => {
            let letters = of_server(&replay.remote, sink.as_deref()).await?;
            let kept = letters.iter().filter(|l| text(l, "state") == "kept");
            kept.map(|l| text(l, "id").to_owned()).collect()
        }
    };
    let mut exit = Exit::OK;
    for id in ids {
        match act(&replay.remote, "replay", &id).await {
            Ok(letter) => out::line(&told(&letter, replay.json))?,
            Err(error) => {
                exit = Exit::FAILURE;
                out::complain(&format!("{id}: {error:#}"));
            }
        }
    }
    Ok(exit)
}

fn url_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn text<'a>(letter: &'a Value, name: &str) -> &'a str {
    letter.get(name).and_then(Value::as_str).unwrap_or("?")
}

fn told(letter: &Value, json: bool) -> String {
    if json {
        return letter.to_string();
    }
    let rows = letter.get("rows").and_then(Value::as_u64).unwrap_or(0);
    format!(
        "{}: {rows} rows {}",
        text(letter, "id"),
        text(letter, "state")
    )
}

fn listed(letters: &[Value]) -> String {
    if letters.is_empty() {
        return "no dead letters: sinks took every row".to_owned();
    }
    let lines = letters.iter().map(|letter| {
        let (at, reason) = (text(letter, "at"), text(letter, "reason"));
        format!("{}\n  {at}  {reason}", told(letter, false))
    });
    lines.collect::<Vec<_>>().join("\n")
}
