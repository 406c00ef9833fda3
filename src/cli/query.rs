//! `weir query`: SQL to a running server, its answer to stdout.

use anyhow::Context as _;
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use clap::ValueEnum;
use serde_json::json;

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::remote::Remote;
use crate::client::{Call, Client};

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// How rows are written.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The statement; `-` reads it from stdin.
    #[arg(value_name = "SQL")]
    sql: String,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// RFC 4180, with a header.
    Csv,
}

/// Runs it.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let sql = match args.sql.as_str() {
        "-" => std::io::read_to_string(std::io::stdin()).context("stdin cannot be read")?,
        sql => sql.to_owned(),
    };
    let client = args.remote.client()?;
    match args.format {
        Format::Table => {
            let (rows, truncated) = rows(&client, &sql).await?;
            out::line(&table(&rows)?)?;
            if truncated {
                out::complain("weir: the answer was cut at a limit; narrow the query to see all");
            }
        }
        Format::Json => {
            let body = ask(&client, &sql, "json").await?.0;
            out::line(String::from_utf8_lossy(&body).trim_end())?;
        }
        Format::Csv => {
            let (body, truncated) = ask(&client, &sql, "csv").await?;
            out::bytes(&body)?;
            if truncated {
                out::complain("weir: the answer was cut at a limit; narrow the query to see all");
            }
        }
    }
    Ok(Exit::OK)
}

/// Asks in `format`; gives the body and whether it was cut at a limit.
///
/// # Errors
///
/// What the server says is wrong, or that it could not be reached.
pub(crate) async fn ask(client: &Client, sql: &str, format: &str) -> anyhow::Result<(Bytes, bool)> {
    let question = json!({ "sql": sql, "format": format }).to_string();
    let call = Call {
        content_type: Some("application/json"),
        body: question.into(),
        ..Call::default()
    };
    let answer = client.post("/v1/query", call).await?;
    let cut = answer
        .headers
        .get("x-weir-truncated")
        .is_some_and(|v| v == "true");
    Ok((answer.success()?, cut))
}

/// Asks for rows; gives them and whether they were cut at a limit.
///
/// # Errors
///
/// As [`ask`].
pub(crate) async fn rows(client: &Client, sql: &str) -> anyhow::Result<(Vec<RecordBatch>, bool)> {
    let (body, cut) = ask(client, sql, "arrow").await?;
    let reader = StreamReader::try_new(body.as_ref(), None).context("the answer is no Arrow")?;
    let schema = reader.schema();
    let mut rows = reader
        .collect::<Result<Vec<_>, _>>()
        .context("the answer is damaged")?;
    if rows.is_empty() {
        rows.push(RecordBatch::new_empty(schema));
    }
    Ok((rows, cut))
}

/// Rows as a table for people.
///
/// # Errors
///
/// Where a value has no text form.
pub(crate) fn table(rows: &[RecordBatch]) -> anyhow::Result<String> {
    Ok(arrow_cast::pretty::pretty_format_batches(rows)?.to_string())
}
