//! Every event that is logged, held against the sources: a name that is not listed, or is listed
//! and never logged, fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// An event: its name, and what it means to whoever reads it.
type Listed = (&'static str, &'static str);

#[rustfmt::skip]
const EVENTS: &[Listed] = &[
    ("access.forbidden", "A key was used for something that its scopes do not name."),
    ("audit.replayed", "An audit request repeated an idempotency key and got the first answer."),
    ("budgets.dropped", "A budget that was set over HTTP was dropped: for which tenant, by which key, which one."),
    ("budgets.reload.failed", "The file of budgets cannot be read again; the budgets from before stay."),
    ("budgets.set", "A budget was set over HTTP: for which tenant, by which key, which one."),
    ("budgets.unknown", "A budget or a commitment could not be summed up; its last state stays."),
    ("budgets.webhook.failed", "The webhook of the budgets did not take a change; it is posted again in a minute."),
    ("decode.failed", "Decoded rows did not fit their schema: a defect of weir, please report it."),
    ("enrich.failed", "Canonical columns could not be filled: a defect of weir, please report it."),
    ("http.accept.failed", "A connection could not be accepted, as when file descriptors run out."),
    ("http.connection.ended", "A connection ended in an error of its transport."),
    ("http.connections.cut", "Connections were still open when the time to stop was over."),
    ("http.connections.full", "As many connections are open as `limits.connections` allows; the next wait."),
    ("http.peer.refused", "An address has as many connections as `limits.connections_per_peer` allows; one more was closed."),
    ("http.request.failed", "A request failed by a defect of weir; lines just before say more. Please report it."),
    ("http.request.refused", "A request was turned away; `code` is explained in errors.md."),
    ("http.tls.unexpected", "A client speaks TLS to a plain port: set `tls.cert_file`, or let it use http://."),
    ("intake.worker.failed", "A thread that decodes ended early: a defect of weir, please report it."),
    ("keys.refresh.failed", "Keys and quotas could not be read again; the last known ones hold for `state.grace`."),
    ("lake.checkpoint.failed", "A checkpoint of a Delta log was not written; it is tried again later."),
    ("lake.checkpoint.written", "A checkpoint of a Delta log was written."),
    ("lake.lease.kept", "The object of an earlier term of a lease could not be deleted; it means nothing any more."),
    ("lake.orphan.kept", "A file that no commit names could not be deleted; no reader sees it."),
    ("lake.orphans.found", "Files of sums that no version of their table names, left by a process that was killed; they are deleted in an hour."),
    ("lake.reached", "The lake answers, which it did not at the start; what waited is delivered."),
    ("lake.refresh.failed", "A table's state was not read again after a commit; the next reader does."),
    ("lake.refused", "A lake answers and cannot be used: wrong bucket, no right, or a newer weir's; rows stay in the log. The default one keeps a node from starting, a tenant's own does not."),
    ("lake.silent", "The lake still gives no answer."),
    ("lake.table.created", "A Delta table was created."),
    ("lake.table.widened", "Columns were added to a Delta table."),
    ("lake.unreachable", "The lake gives no answer at the start: the node accepts rows, keeps them in the log, and asks again every few seconds."),
    ("ledger.booked", "Spans were read and their traces booked."),
    ("ledger.lease.lost", "Another node books now: this one gave no sign of life for as long as `ledger.lease`."),
    ("ledger.lease.taken", "This node is the one that books."),
    ("ledger.lease.unknown", "The lease of the ledger could not be looked at; it is tried again."),
    ("ledger.panicked", "The ledger ended in a panic: a defect of weir, please report it. It is started again."),
    ("ledger.repricing", "An entry of the ledger's order prices calls anew."),
    ("ledger.step.failed", "The ledger could not take a step; it is taken again, and nothing is lost or counted twice."),
    ("ledger.stop.cut", "The ledger was in a long step at the stop; the step is taken again at the next start."),
    ("ledger.store.ahead", "What the ledger keeps on this disk is ahead of the lake (restored or replaced): it is read again."),
    ("ledger.store.renewed", "What the ledger keeps on this disk is damaged: it is read again from the lake."),
    ("ledger.store.unwritten", "What the ledger keeps could not be written; the next start reads more of the lake."),
    ("ledger.syncing", "The ledger reads from the lake what was booked without it."),
    ("node.idle", "Nothing has arrived since the start; `hint` says what to set in the sender."),
    ("node.open_files.few", "Few open files are allowed (`ulimit -n`); connections beyond them wait."),
    ("node.ready", "The node takes requests, at these addresses."),
    ("node.renamed", "The lake is ahead of this data directory (restored or wiped), or could not be asked: the node goes on under a new name."),
    ("node.stopped", "The node has stopped; nothing that was answered is missing from the log."),
    ("node.stopping", "A signal came; open requests are finished."),
    ("prices.in_effect", "Prices were put into effect, at the start or from a changed `prices.file`; `name` is what `price_ref` begins with."),
    ("prices.kept.unreadable", "Prices that spans were booked at cannot be read from `prices/` in the data directory."),
    ("prices.reload.failed", "A changed `prices.file` cannot be used; the prices from before stay in effect."),
    ("query.failed", "A query failed by a fault of the storage or of weir."),
    ("query.failed.outside", "A query failed in a part that weir does not know; the answer says nothing of it."),
    ("query.format.failed", "An answer could not be written in the format that was asked for."),
    ("query.lake_scan.fault", "A file of the lake could not be read as its table says."),
    ("query.panicked", "A query ended in a panic: a defect of weir, please report it."),
    ("query.recent_rows.unreadable", "Rows that are not yet in the lake could not be read from the log."),
    ("query.recent_rows.wrong_schema", "Rows that are not yet in the lake do not fit their table: a defect of weir, please report it."),
    ("query.rollup.unreadable", "The rows of a rollup are not what it asked for: a defect of weir, please report it."),
    ("query.snapshot.unreadable", "The state of a table could not be read."),
    ("query.spill.left_behind", "Spill files of a query could not be deleted."),
    ("query.threads.failed", "The threads of the query engine could not be started."),
    ("quota.storage.unknown", "What tenants hold in the lake could not be measured; the last figures stay."),
    ("reconciled.marked", "A period was marked as held against a provider's bill: for which tenant, by which key, which mark."),
    ("reconciled.unmarked", "Such a mark was taken away."),
    ("rollup.failed", "The tables of sums could not be brought up with the ledger; queries read the ledger meanwhile."),
    ("sink.attempt.failed", "A sink did not take a batch; it is offered again. Logged once in 10 s for a sink and dataset."),
    ("sink.batch.lost", "ROWS LOST: the log has lost a batch to damage before the sink got it."),
    ("sink.batch.refused", "A sink refuses a batch for good; its rows are offered in smaller pieces."),
    ("sink.rows.set_aside", "A sink refuses these rows for good; they are kept as dead letters."),
    ("state.change.failed", "The state of tenants could not be changed; the request was refused, and nothing was set."),
    ("tls.absent", "SIGHUP came, and there is no certificate to read again."),
    ("tls.certificate.ends", "The certificate ends within 30 days, or has ended (`days` below zero): put a new one in its place. Logged once a day."),
    ("tls.reload.failed", "A changed certificate or key cannot be used; the one from before stays."),
    ("tls.reloaded", "A changed certificate is in use for new connections."),
    ("traces.export.failed", "Traces of what weir does could not be exported; logged once until it works again."),
    ("traces.export.off", "The OTEL_* variables ask for an export of traces that cannot be made; nothing is exported."),
    ("traces.export.started", "Traces of what weir does are exported over OTLP."),
    ("verify.failed", "The account could not be recounted, since a sink cannot be read."),
    ("wal.append.failed", "Rows could not be put into a frame: a defect of weir, please report it."),
    ("wal.damaged", "ROWS LOST: segments of the log are damaged; copies lie in wal/quarantine, `weir wal check` says more."),
    ("wal.fsync.failed", "The disk did not make a write durable; the process ends with status 74. Look at the disk, then start again."),
    ("wal.node_file.lost", "node.json was missing or damaged beside a log; the node goes on under a new name."),
    ("wal.opened", "The log was read at the start."),
    ("wal.quarantine.failed", "A damaged segment could not be copied aside."),
    ("wal.reserve.not_made", "The reserve for the way out of a full disk could not be made."),
    ("wal.spare.not_made", "The next segment could not be prepared; it is made when it is needed."),
    ("wal.write.refused", "The disk refused a write; the request got a 503 and the next goes to another file."),
];

const PREAMBLE: &str = "\
# Log events

<!-- Made from the table in src/cli/logging/events.rs by its test; do not edit. -->

weir logs to stderr. The message of a line is the name of an event, which stays the same over
releases; what is particular stands in fields. `log.format` is `text` or `json`, `log.level` a level
or directives by module. ERROR: rows are lost, or a person must act. WARN: unexpected, nothing lost.
INFO: start, stop, configuration. DEBUG: per batch and per failed request. No line quotes a row, a
key or a prompt.

| event | what it means |
|---|---|
";

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

/// The arguments of a macro call, from behind its opening parenthesis to its end.
fn arguments(text: &str) -> &str {
    let mut depth = 1;
    for (at, letter) in text.char_indices() {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// The message: the last thing in quotes that stands for itself, not behind `=`.
fn message(arguments: &str) -> Option<&str> {
    let arguments = arguments.trim().trim_end_matches(',').trim_end();
    let text = arguments.strip_suffix('"')?;
    let (before, message) = text.rsplit_once('"')?;
    let stands_alone = before.trim_end().is_empty() || before.trim_end().ends_with(',');
    stands_alone.then_some(message)
}

/// Every event in the sources, with where it is logged.
fn logged() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [
        "src",
        "ingest/src",
        "lake/src",
        "ledger/src",
        "sinks/src",
        "queries/src",
        "store/src",
    ] {
        sources(&root.join(folder), &mut files);
    }
    let mut found = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for level in ["error", "warn", "info", "debug", "trace"] {
            let call = ["tracing::", level, "!("].concat();
            for (at, _) in text.match_indices(&call) {
                let arguments = arguments(&text[at + call.len()..]);
                let place = format!("{}: {arguments}", file.display());
                let message = message(arguments).unwrap_or_else(|| panic!("no message: {place}"));
                found.insert(message.to_owned(), place);
            }
        }
    }
    found
}

#[test]
fn every_event_is_listed_and_every_listed_event_is_logged() {
    let logged = logged();
    let listed: BTreeSet<&str> = EVENTS.iter().map(|(name, _)| *name).collect();
    for (name, place) in &logged {
        assert!(
            listed.contains(name.as_str()),
            "`{name}` is not in EVENTS of src/cli/logging/events.rs: {place}"
        );
    }
    for name in &listed {
        assert!(logged.contains_key(*name), "`{name}` is never logged");
        let fit = |c: char| c.is_ascii_lowercase() || "._".contains(c);
        assert!(name.contains('.') && name.chars().all(fit), "{name}");
    }
    assert!(EVENTS.is_sorted(), "in the order of their names");
}

#[test]
fn the_page_is_made_from_the_table() {
    let mut page = PREAMBLE.to_owned();
    for (name, meaning) in EVENTS {
        page.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    crate::document::compare("docs/events.md", &page);
}
