//! A node that runs: started in order, stopped in the reverse.
//!
//! ```text
//! start  lake answers? -> log (lock, replay) -> adopt numbers -> bind -> delivery, ledger -> listeners
//! stop   not ready -> no new connections -> open requests finish -> delivery, ledger -> last commit -> lock
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use weir_ingest::log::Log;
use weir_model::{Clock, SystemClock, TenantId};
use weir_queries::Engine;
use weir_sinks::{Delivery, DeliveryConfig, lake::LakeSink};
use weir_transforms::{Addition, Enricher};

use crate::app::access::{self, Access};
use crate::app::account::Base;
use crate::app::budgets::{self, Budgets};
use crate::app::intake::{self, Intake};
use crate::app::ledger::Booking;
use crate::app::metered::Metered;
use crate::app::node::Node;
use crate::app::parts::{self, Stores};
use crate::app::prices::{self, PriceBook};
use crate::app::reach;
use crate::app::rollups;
use crate::app::sinks::Fanout;
pub(crate) use crate::app::start_error::StartError;
use crate::config::{Config, Listen};
use crate::http::conn::Host;
use crate::http::listen::{self, Listener};
use crate::http::routes;
use crate::http::tls::{self, Certificates};
use crate::telemetry;

/// After how long without any arrival the log says what to do.
const HINT_AFTER: Duration = Duration::from_secs(30);

/// Where a node listens, with the ports that it really got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Addresses {
    /// The HTTP API.
    pub(crate) http: SocketAddr,
    /// OTLP over HTTP.
    pub(crate) otlp_http: SocketAddr,
    /// OTLP over gRPC.
    pub(crate) otlp_grpc: SocketAddr,
}

/// A running node.
#[derive(Debug)]
pub(crate) struct App {
    node: Arc<Node>,
    certificates: Option<Arc<Certificates>>,
    tasks: JoinSet<()>,
}

/// The three sockets.
struct Sockets {
    http: TcpListener,
    otlp_http: TcpListener,
    otlp_grpc: TcpListener,
    addresses: Addresses,
}

impl App {
    /// Starts a node; when this returns it takes requests.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub(crate) async fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_at(config, Arc::new(SystemClock)).await
    }

    /// As [`App::start`], with the time of day from `clock`.
    pub(crate) async fn start_at(
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        insecure(config)?;
        let certificates = Certificates::load(&config.tls);
        let certificates = certificates.map_err(|source| StartError::Tls { source })?;
        let additions = parts::additions(config)?;
        let stores = Stores::open(config, &clock).await?;
        let log = Arc::clone(&stores.log);
        let started = Self::with_stores(config, clock, stores, (certificates, additions)).await;
        if started.is_err() {
            // The reason to tell is the other one; what was replayed stays in the log.
            let _ = log.close().await;
        }
        started
    }

    async fn with_stores(
        config: &Config,
        clock: Arc<dyn Clock>,
        mut stores: Stores,
        (certificates, additions): (Option<Arc<Certificates>>, Vec<Addition>),
    ) -> Result<Self, StartError> {
        stores.adopt().await?;
        let access = Access::open(config, Arc::clone(&clock)).await?;
        if let (Some(address), false) = (exposed(&config.listen), access.has_keys()) {
            return Err(StartError::NoKeys { address });
        }
        let prices = open_prices(config).await?;
        let sockets = Sockets::bind(&config.listen).await?;
        let opened = Opened {
            access,
            addresses: sockets.addresses,
            enricher: enricher(&additions, &prices)?,
            prices,
        };
        let mut node = build(config, clock, stores, opened)?;
        node.certificates.clone_from(&certificates);
        let node = Arc::new(node);
        let mut tasks = JoinSet::new();
        sockets.serve(config, &node, certificates.as_ref(), &mut tasks);
        access::keep(&node, &mut tasks);
        let reaching = Arc::clone(&node);
        tasks.spawn(async move { Box::pin(reach::until_reached(&reaching)).await });
        let hinted = Arc::clone(&node);
        tasks.spawn(async move { hint_when_idle(&hinted).await });
        let watched = Arc::clone(&node);
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = watched.stopping() => {}
                () = prices::keep_fresh(Arc::clone(&watched.prices)) => {}
            }
        });
        let spent = Arc::clone(&node);
        tasks.spawn(async move { budgets::keep(&spent).await });
        let summed = Arc::clone(&node);
        tasks.spawn(async move { rollups::keep(&summed).await });
        if let Some(certificates) = certificates.clone() {
            let node = Arc::clone(&node);
            tasks.spawn(async move {
                tokio::select! {
                    biased;
                    () = node.stopping() => {}
                    () = tls::keep_fresh(certificates) => {}
                }
            });
        }
        Ok(Self {
            node,
            certificates,
            tasks,
        })
    }

    /// Looks at the certificate files and the prices at once, where there are any.
    pub(crate) fn reload(&self) {
        self.node.prices.reload(true);
        match &self.certificates {
            None => tracing::info!("tls.absent"),
            Some(certificates) => {
                certificates.reload(true);
            }
        }
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Addresses {
        self.node.addresses
    }

    /// The node, to look at.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Resolves when the disk has failed: the process must end with status 74.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.node.log.on_failure()
    }

    /// Stops the node: every answered request is in the log, and the directory's lock is free.
    ///
    /// # Errors
    ///
    /// Where the log's last writes failed.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.node.stop.send_replace(true);
        let requests = async { while self.tasks.join_next().await.is_some() {} };
        // What is not delivered yet stays in the log, so the sink need not wait for the requests.
        let booking = async {
            if let Some(booking) = &self.node.booking {
                booking.stop().await;
            }
        };
        let sinks = self.node.fanout.stop();
        tokio::join!(requests, self.node.delivery.stop(), sinks, booking);
        self.node.log.close().await?;
        self.node.telemetry.stop().await;
        Ok(())
    }
}

impl Sockets {
    async fn bind(listen: &Listen) -> Result<Self, StartError> {
        let http = bind("http", listen.http).await?;
        let otlp_http = bind("otlp-http", listen.otlp_http).await?;
        let otlp_grpc = bind("otlp-grpc", listen.otlp_grpc).await?;
        let addresses = Addresses {
            http: address("http", listen.http, &http)?,
            otlp_http: address("otlp-http", listen.otlp_http, &otlp_http)?,
            otlp_grpc: address("otlp-grpc", listen.otlp_grpc, &otlp_grpc)?,
        };
        Ok(Self {
            http,
            otlp_http,
            otlp_grpc,
            addresses,
        })
    }

    fn serve(
        self,
        config: &Config,
        node: &Arc<Node>,
        certificates: Option<&Arc<Certificates>>,
        tasks: &mut JoinSet<()>,
    ) {
        let rules = parts::rules(config, &node.intake.counters);
        let mistaken = Arc::default();
        let listeners = [
            ("http", self.http, routes::api(node)),
            ("otlp-http", self.otlp_http, routes::otlp(node)),
            ("otlp-grpc", self.otlp_grpc, routes::otlp(node)),
        ];
        for (name, socket, routes) in listeners {
            let host = Host {
                routes,
                limits: parts::connection_limits(config),
                tls: certificates.cloned(),
                mistaken: Arc::clone(&mistaken),
                cuts: Arc::clone(&node.intake.counters.cuts),
            };
            let listener = Listener { name, socket, host };
            let (rules, node) = (rules.clone(), Arc::clone(node));
            tasks.spawn(async move {
                let stop = async { node.stopping().await };
                listen::serve(listener, rules, stop).await;
            });
        }
    }
}

/// What a node is made of beside its stores.
struct Opened {
    access: Access,
    addresses: Addresses,
    enricher: Enricher,
    prices: Arc<PriceBook>,
}

/// Opens the prices; it reads and writes files.
async fn open_prices(config: &Config) -> Result<Arc<PriceBook>, StartError> {
    let config = config.clone();
    let opened = tokio::task::spawn_blocking(move || PriceBook::open(&config)).await;
    let opened = opened.map_err(|_| StartError::Worker)?;
    opened
        .map(Arc::new)
        .map_err(|source| StartError::Prices { source })
}

/// The mapping with its additions, which were found good before.
fn enricher(additions: &[Addition], prices: &PriceBook) -> Result<Enricher, StartError> {
    let made = Enricher::new(additions, prices.current(&TenantId::local()));
    made.map_err(|error| StartError::State {
        what: "the attribute mapping",
        source: error.into(),
    })
}

/// Starts the delivery and puts the node together.
#[expect(
    clippy::too_many_lines,
    reason = "one line for each part of a node, in the order in which they start"
)]
fn build(
    config: &Config,
    clock: Arc<dyn Clock>,
    stores: Stores,
    opened: Opened,
) -> Result<Node, StartError> {
    let Stores {
        log,
        lake,
        dead,
        reached,
        budget,
    } = stores;
    let Opened {
        access,
        addresses,
        enricher,
        prices,
    } = opened;
    let state = |what: &'static str| {
        move |error: Box<dyn std::error::Error + Send + Sync>| StartError::State {
            what,
            source: error,
        }
    };
    let recent = Arc::<Log>::clone(&log);
    let engine = Engine::new(Arc::clone(&lake), recent, parts::engine_config(config));
    let engine = engine.map_err(|e| state("the query engine")(e.into()))?;
    let own_clock = Arc::clone(&clock);
    let intake = Intake::new(intake::Parts {
        log: Arc::clone(&log),
        enricher: Arc::new(enricher),
        prices: Arc::clone(&prices),
        clock,
        limits: parts::decode_limits(config),
        body: parts::body_limits(config),
        budget: budget.clone(),
    });
    let budgets = Budgets::open(&config.budgets.file);
    let budgets = budgets.map_err(|e| state("the file of budgets")(e.into()))?;
    let sink = LakeSink::new(Arc::clone(&lake))
        .with_flush_interval(config.lake.flush_interval)
        .with_flush_rows(parts::size(config.lake.flush_rows));
    let base = Base::take(&log, &dead).map_err(|e| state("dead letters")(e.into()))?;
    let telemetry = telemetry::start();
    let memory = (budget, Arc::default());
    let fanout = Fanout::start(config, &log, &dead, (telemetry.clone(), memory.clone()))?;
    let sink = Metered::new(Arc::new(sink), telemetry.clone(), memory);
    let commits = sink.commits();
    let delivery = Delivery::start(
        Arc::new(sink),
        Arc::<Log>::clone(&log),
        log.cursors(),
        Arc::clone(&dead),
        DeliveryConfig::default(),
    );
    let booking = Booking::start(config, &lake, (&own_clock, &prices), log.node().as_str());
    let booking = booking.map_err(state("the ledger"))?;
    Ok(Node {
        intake,
        booking,
        access,
        prices,
        engine,
        lake_shown: lake.url().to_string(),
        lake_reached: reached,
        log,
        lake,
        delivery,
        fanout,
        dead,
        question_bytes_max: parts::question_bytes_max(config),
        base,
        commits,
        budgets,
        telemetry,
        show_tenants: config.metrics.tenants,
        data_dir: config.data_dir.clone(),
        request_timeout: config.limits.request_timeout,
        certificates: None,
        scheme: if config.tls.is_on() { "https" } else { "http" },
        addresses,
        stop: watch::Sender::new(false),
        started: Instant::now(),
    })
}

async fn hint_when_idle(node: &Node) {
    tokio::select! {
        biased;
        () = node.stopping() => {}
        () = tokio::time::sleep(HINT_AFTER) => {
            if !node.anything_arrived() {
                tracing::info!(hint = node.hint(), "node.idle");
            }
        }
    }
}

async fn bind(name: &'static str, wanted: SocketAddr) -> Result<TcpListener, StartError> {
    listen::bind(wanted)
        .await
        .map_err(|source| StartError::Bind {
            name,
            address: wanted,
            source,
        })
}

fn address(
    name: &'static str,
    wanted: SocketAddr,
    socket: &TcpListener,
) -> Result<SocketAddr, StartError> {
    socket.local_addr().map_err(|source| StartError::Bind {
        name,
        address: wanted,
        source,
    })
}

/// The first address that other machines can reach.
fn exposed(listen: &Listen) -> Option<SocketAddr> {
    let all = [listen.http, listen.otlp_http, listen.otlp_grpc];
    all.into_iter().find(|address| !address.ip().is_loopback())
}

fn insecure(config: &Config) -> Result<(), StartError> {
    match exposed(&config.listen) {
        Some(address) if !config.listen.insecure_http && !config.tls.is_on() => {
            Err(StartError::Insecure { address })
        }
        _ => Ok(()),
    }
}
