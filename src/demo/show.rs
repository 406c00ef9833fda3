//! What the demo says.

use std::fmt::Write as _;
use std::time::Duration;

use weir_ledger::Account;

use super::folder::Folder;
use super::replay::Taken;
use super::traffic::Piece;
use crate::app::ledger::dollars;
use crate::app::{Addresses, account};

/// Before anything is sent.
pub(super) fn opening(to: Addresses, folder: &Folder) -> String {
    let kept = if folder.is_temporary() {
        "  (removed at the end)"
    } else {
        ""
    };
    format!(
        "weir {version}: a real server with a fresh data directory\n\n  \
         data       {data}{kept}\n  \
         HTTP API   http://{http}\n  \
         OTLP/HTTP  http://{otlp_http}\n  \
         OTLP/gRPC  http://{otlp_grpc}\n\n\
         Sending captured agent traffic; each answer comes after the fsync\n",
        version = env!("CARGO_PKG_VERSION"),
        data = folder.path().display(),
        http = to.http,
        otlp_http = to.otlp_http,
        otlp_grpc = to.otlp_grpc,
    )
}

/// After a body was answered.
pub(super) fn sent(piece: &Piece, taken: Taken) -> String {
    format!(
        "  {way:<25} {sender:<28} {bytes:>6} B  accepted in {ms:>5.1} ms",
        way = piece.way.label(),
        sender = piece.sender,
        bytes = piece.body.len(),
        ms = taken.after.as_secs_f64() * 1e3,
    )
}

/// When everything is in the lake.
pub(super) fn account(report: &account::Report, waited: Duration) -> String {
    let mut text = format!("\nIn the lake after {:.1} s\n\n", waited.as_secs_f64());
    let head = ("dataset", "accepted", "stored", "set aside", "verified");
    let _ = writeln!(
        text,
        "  {:<16} {:>9} {:>9} {:>10} {:>9}",
        head.0, head.1, head.2, head.3, head.4
    );
    for line in &report.lines {
        let verified = if line.closes() { "yes" } else { "NO" };
        let _ = writeln!(
            text,
            "  {:<16} {:>9} {:>9} {:>10} {:>9}",
            line.dataset, line.accepted, line.stored, line.set_aside, verified
        );
    }
    text.push_str("\n  verified: every accepted row was counted once in the lake's own files");
    text
}

/// When all calls are booked.
pub(super) fn booked(account: &Account, waited: Duration) -> String {
    format!(
        "\nBooked after {:.1} s more: {} calls for {} USD, as all spans come to, computed once",
        waited.as_secs_f64(),
        account.bookings,
        dollars(account.booked),
    )
}

/// What to try, with this very program and these addresses; `ended` where the server goes now.
pub(super) fn next_steps(to: Addresses, folder: &Folder, ended: bool) -> String {
    let url = format!("http://{}", to.http);
    let lake = folder.path().join("lake");
    let heading = if ended {
        "Try next (without --exit the server would keep running for these)"
    } else {
        "Try next, in another terminal"
    };
    format!(
        "\nA call that is traced twice, by a framework and by the provider's SDK, is booked once, and a\n\
         skill that is named on a tool call beside the model call is found.\n\n\
         {heading}\n\n  \
         {weir} query --url {url} \"SELECT op_kind, count(*) FROM spans GROUP BY 1 ORDER BY 2 DESC\"\n  \
         {weir} tail --url {url}\n  \
         curl -s {url}/v1/query -H 'content-type: text/plain' \\\n       \
         -d \"SELECT service_name, op_kind, model, cost_usd FROM spans LIMIT 5\"\n  \
         OTEL_EXPORTER_OTLP_ENDPOINT=http://{otlp} your-agent\n  \
         duckdb -c \"SELECT model, sum(cost_usd) FROM read_parquet('{lake}/spans/**/*.parquet') GROUP BY 1\"",
        weir = program(),
        otlp = to.otlp_http,
        lake = lake.display(),
    )
}

/// How to call this program from where the demo was started.
fn program() -> String {
    let Ok(path) = std::env::current_exe() else {
        return "weir".to_owned();
    };
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok().map(ToOwned::to_owned));
    short.unwrap_or(path).display().to_string()
}
