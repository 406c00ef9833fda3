//! `weir demo`: the whole of weir in half a minute, on captured traffic.
//!
//! ```text
//! fresh directory -> real server -> real sockets -> lake -> recount -> SQL -> what to try next
//! ```
//!
//! Nothing is staged: the server is the one that `weir serve` runs, every body is one that an SDK or
//! a gateway sent, and the figures are counted in the lake's own files.

mod folder;
mod replay;
mod show;
mod traffic;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use weir_ledger::Account;

use self::folder::Folder;
use self::replay::Replay;
use crate::app::{App, account};
use crate::cli::exit::Exit;
use crate::cli::{logging, out, query};
use crate::client::Client;
use crate::config::Config;

/// How long the lake may take.
const LAKE_WITHIN: Duration = Duration::from_secs(60);

/// How often the account is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What each skill costs, by the ledger.
const COST_PER_SKILL: &str = "\
SELECT skill, sum(calls) AS calls, sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens, sum(cost_usd) AS cost_usd
FROM cost_per_skill GROUP BY 1 ORDER BY cost_usd DESC NULLS LAST, skill";

/// What `weir demo` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to keep the data; unset, a fresh folder that is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<std::path::PathBuf>,
    /// End when all is accepted, stored and verified.
    #[arg(long)]
    pub(crate) exit: bool,
}

/// Runs it.
///
/// # Errors
///
/// Whatever ended it early: the demo succeeds only where every row was accepted, stored and found
/// again.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let folder = Folder::open(args.data_dir)?;
    let config = config(&folder);
    logging::start(&config.log)?;
    let app = Box::pin(App::start(&config)).await?;
    let shown = Box::pin(until_interrupted(&app, &folder, args.exit)).await;
    let stopped = Box::pin(app.stop()).await;
    shown?;
    stopped?;
    Ok(Exit::OK)
}

/// Shows everything; then, unless the demo is to `exit`, waits. Ctrl-C ends both.
async fn until_interrupted(app: &App, folder: &Folder, exit: bool) -> anyhow::Result<()> {
    let shown = async {
        show(app, folder, exit).await?;
        if !exit {
            out::line("\nThe server keeps running; Ctrl-C ends it.")?;
            app.failed().await;
            bail!("the disk failed; what was not acknowledged is lost");
        }
        Ok(())
    };
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        shown = shown => shown,
    }
}

/// The configuration of `weir serve`, on free ports, with quick commits.
fn config(folder: &Folder) -> Config {
    let mut config = Config {
        data_dir: folder.path().to_owned(),
        ..Config::default()
    };
    for address in [
        &mut config.listen.http,
        &mut config.listen.otlp_http,
        &mut config.listen.otlp_grpc,
    ] {
        address.set_port(0);
    }
    // A stranger should not have to wait ten seconds for the first commit.
    config.lake.flush_interval = Duration::from_secs(1);
    config.log.level = "warn".to_owned();
    config
}

/// Everything that is printed.
async fn show(app: &App, folder: &Folder, exit: bool) -> anyhow::Result<()> {
    let to = app.addresses();
    out::line(&show::opening(to, folder))?;

    let mut replay = Replay::connect(to).await?;
    for piece in traffic::pieces() {
        let taken = replay.send(&piece).await?;
        out::line(&show::sent(&piece, taken))?;
    }

    let waited = Instant::now();
    let report = stored(app).await?;
    out::line(&show::account(&report, waited.elapsed()))?;

    let waited = Instant::now();
    let ledger = booked(app).await?;
    out::line(&show::booked(&ledger, waited.elapsed()))?;

    let client = Client::new(&format!("http://{}", to.http), None)?;
    let (rows, _) = query::rows(&client, COST_PER_SKILL).await?;
    out::line("\nWhat does each skill cost?\n")?;
    out::line(&query::table(&rows)?)?;
    out::line(&show::next_steps(to, folder, exit))?;
    Ok(())
}

/// Waits until the ledger has booked what is in the lake, and gives its account.
async fn booked(app: &App) -> anyhow::Result<Account> {
    let give_up = Instant::now() + LAKE_WITHIN;
    loop {
        let account = Box::pin(account::of_ledger(&app.node().lakes, &app.node().prices)).await?;
        if account.closes() && account.bookings > 0 && account.pending_batches == 0 {
            return Ok(account);
        }
        ensure!(
            Instant::now() < give_up,
            "after {} s the ledger has not booked all spans",
            LAKE_WITHIN.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until every accepted row is in the lake's own files, and gives the account.
async fn stored(app: &App) -> anyhow::Result<account::Report> {
    let give_up = Instant::now() + LAKE_WITHIN;
    loop {
        let report = account::recount(app.node())
            .await
            .context("the lake cannot be read")?;
        let accepted: u64 = report.lines.iter().map(|l| l.accepted).sum();
        let stored: u64 = report.lines.iter().map(|l| l.stored).sum();
        if report.closes() && accepted > 0 && stored == accepted {
            return Ok(report);
        }
        ensure!(
            Instant::now() < give_up,
            "after {} s only {stored} of {accepted} rows are in the lake",
            LAKE_WITHIN.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
