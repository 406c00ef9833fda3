//! What every request can reach.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use weir_ingest::log::Log;
use weir_lake::Lake;
use weir_model::Dataset;
use weir_queries::Engine;
use weir_sinks::{DeadLetters, Delivery};

use crate::app::access::Access;
use crate::app::account::Base;
use crate::app::budgets::Budgets;
use crate::app::histogram::Histogram;
use crate::app::intake::Intake;
use crate::app::ledger::Booking;
use crate::app::prices::PriceBook;
use crate::app::reach::Reached;
use crate::app::running::Addresses;
use crate::app::sinks::Fanout;
use crate::http::refusal::Refusal;
use crate::http::tls::Certificates;
use crate::telemetry::Telemetry;

/// The node as requests see it.
#[derive(Debug)]
pub(crate) struct Node {
    /// Takes requests.
    pub(crate) intake: Intake,
    /// Knows the keys.
    pub(crate) access: Access,
    /// What calls cost.
    pub(crate) prices: Arc<PriceBook>,
    /// Answers SQL.
    pub(crate) engine: Engine,
    /// The log.
    pub(crate) log: Arc<Log>,
    /// The tables.
    pub(crate) lake: Arc<Lake>,
    /// The way from the one to the other.
    pub(crate) delivery: Delivery,
    /// The way from the log to the other sinks.
    pub(crate) fanout: Fanout,
    /// The ledger, where it is switched on.
    pub(crate) booking: Option<Booking>,
    /// What the lake refused for good.
    pub(crate) dead: Arc<DeadLetters>,
    /// How large the body of a question may be, in bytes.
    pub(crate) question_bytes_max: usize,
    /// Where the account stood at the start.
    pub(crate) base: Base,
    /// How long commits to the lake take.
    pub(crate) commits: Arc<Histogram>,
    /// What tenants may spend.
    pub(crate) budgets: Budgets,
    /// Traces of what the node does, where somebody wants them.
    pub(crate) telemetry: Telemetry,
    /// Whether metrics name tenants.
    pub(crate) show_tenants: bool,
    /// Where all state lies.
    pub(crate) data_dir: PathBuf,
    /// How long a request may take.
    pub(crate) request_timeout: Duration,
    /// Whether the lake has answered since the start.
    pub(crate) lake_reached: Reached,
    /// Where the tables are, without credentials.
    pub(crate) lake_shown: String,
    /// What connections are encrypted with, where they are.
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// `https` where connections are encrypted, else `http`.
    pub(crate) scheme: &'static str,
    /// Where the node listens.
    pub(crate) addresses: Addresses,
    /// `true` once the node stops.
    pub(crate) stop: watch::Sender<bool>,
    /// When it started.
    pub(crate) started: Instant,
}

impl Node {
    /// Whether requests are taken no more.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves when the node begins to stop.
    pub(crate) async fn stopping(&self) {
        // The sender lives as long as `self`, so this ends only by the value.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Lets a request in while the node is open.
    ///
    /// # Errors
    ///
    /// 503 while it stops.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        if self.is_stopping() {
            let text = "this server is stopping; send it again";
            return Err(Refusal::unavailable(
                "shutting_down",
                text,
                Duration::from_secs(1),
            ));
        }
        Ok(())
    }

    /// How long it has been up.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether anything was ever accepted.
    pub(crate) fn anything_arrived(&self) -> bool {
        self.intake.counters.anything_arrived()
            || self
                .log
                .status()
                .datasets
                .iter()
                .any(|d| d.accepted_rows > 0)
    }

    /// How old the oldest row is that the lake has still to get, by dataset.
    pub(crate) fn lags(&self) -> Vec<(Dataset, Duration)> {
        let now = self.intake.now_us();
        let status = self.log.status();
        let age = |oldest: i64| u64::try_from(now.saturating_sub(oldest)).unwrap_or(0);
        let lags = status.datasets.iter().map(|d| {
            let us = d.oldest_recent_us.map_or(0, age);
            (d.dataset, Duration::from_micros(us))
        });
        lags.collect()
    }

    /// What to do while nothing arrives.
    pub(crate) fn hint(&self) -> String {
        format!(
            "nothing has arrived yet: set OTEL_EXPORTER_OTLP_ENDPOINT={scheme}://{} in the program \
             to watch (gRPC: {scheme}://{}); `weir connect` shows the settings of common SDKs",
            self.addresses.otlp_http,
            self.addresses.otlp_grpc,
            scheme = self.scheme,
        )
    }

    /// How each sink stands.
    pub(crate) fn sink_states(&self) -> Value {
        let status = self.delivery.status();
        let datasets: serde_json::Map<String, Value> = status
            .datasets
            .iter()
            .map(|(dataset, state)| {
                let state = json!({
                    "cursor": state.cursor,
                    "last_sealed": state.last_sealed,
                    "attempts": state.attempts,
                    "failures": state.failures,
                    "last_error": state.last_error,
                    "lost_batches": state.lost_batches,
                });
                (dataset.name().to_owned(), state)
            })
            .collect();
        json!([{
            "sink": status.sink,
            "breaker_open": status.breaker_open,
            "datasets": datasets,
        }])
    }
}
