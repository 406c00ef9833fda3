//! The configuration: one YAML file, `WEIR_*` variables and flags; the later wins over the former.
//!
//! ```text
//! defaults < file < environment < flags --> [ Settings, one table ] --> Config
//!                       every fault of every source, with its place, at once
//! ```
//!
//! [`Config`] is what the program uses. [`table::SETTINGS`] lists each of its fields once with
//! name, kind and help; reading, printing, the reference page and the JSON Schema all come from
//! that table, so that they cannot disagree.

pub(crate) mod document;
pub(crate) mod file;
pub(crate) mod load;
pub(crate) mod mapping_file;
pub(crate) mod ocsf;
pub(crate) mod places;
pub(crate) mod prices_file;
pub(crate) mod setting;
pub(crate) mod sinks;
pub(crate) mod table;
pub(crate) mod tree;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use load::{Faults, Sources, load};
pub(crate) use ocsf::Ocsf;
use places::TenantLakes;
pub(crate) use sinks::{SinkConfig, Sinks, Target, sink_of_kind};

/// Everything that can be set, as the program uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where all of the node's state lies.
    pub(crate) data_dir: PathBuf,
    /// Where it listens.
    pub(crate) listen: Listen,
    /// How connections are encrypted.
    pub(crate) tls: Tls,
    /// What a request may cost.
    pub(crate) limits: Limits,
    /// What security events must hold to.
    pub(crate) ocsf: Ocsf,
    /// The write-ahead log.
    pub(crate) wal: Wal,
    /// The Delta tables.
    pub(crate) lake: Lake,
    /// The bookings of cost.
    pub(crate) ledger: Ledger,
    /// What a query may cost.
    pub(crate) query: Query,
    /// How attributes become columns.
    pub(crate) mapping: Mapping,
    /// What calls cost.
    pub(crate) prices: Prices,
    /// Which cost is charged.
    pub(crate) cost: Cost,
    /// What is written to stderr.
    pub(crate) log: Log,
    /// What a scrape of `/metrics` tells.
    pub(crate) metrics: Metrics,
    /// What may be spent.
    pub(crate) budgets: Budgets,
    /// Who may send and ask.
    pub(crate) auth: Auth,
    /// Where tenants, keys and quotas lie.
    pub(crate) state: State,
    /// What a tenant may use that has no quotas of its own.
    pub(crate) quota: Quota,
    /// Where rows go besides the lake, by name.
    pub(crate) sinks: Sinks,
}

/// Where the node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    /// The HTTP API.
    pub(crate) http: SocketAddr,
    /// OTLP over HTTP.
    pub(crate) otlp_http: SocketAddr,
    /// OTLP over gRPC.
    pub(crate) otlp_grpc: SocketAddr,
    /// Whether plain HTTP may be served on addresses that other machines can reach.
    pub(crate) insecure_http: bool,
}

/// How connections are encrypted; without files they are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The certificate chain, in PEM.
    pub(crate) cert_file: String,
    /// Its private key, in PEM.
    pub(crate) key_file: String,
    /// The authorities that sign clients' certificates, in PEM; set, a client must have one.
    pub(crate) client_ca_file: String,
    /// How long a handshake may take.
    pub(crate) handshake_timeout: Duration,
    /// How often the files are looked at for changes.
    pub(crate) reload_interval: Duration,
}

impl Tls {
    /// Whether connections are encrypted.
    pub(crate) fn is_on(&self) -> bool {
        !self.cert_file.is_empty()
    }
}

/// What a request may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of a body as sent.
    pub(crate) body_compressed: u64,
    /// Bytes of a body once decompressed.
    pub(crate) body_decompressed: u64,
    /// Bytes of all bodies in flight.
    pub(crate) in_flight: u64,
    /// Bytes of the window that a zstd body may ask for.
    pub(crate) zstd_window: u64,
    /// Connections at once.
    pub(crate) connections: u64,
    /// Connections at once from one address.
    pub(crate) connections_per_peer: u64,
    /// Requests at once on one HTTP/2 connection.
    pub(crate) streams: u64,
    /// Requests that an HTTP/2 client may withdraw before they were looked at.
    pub(crate) resets: u64,
    /// Headers of one request.
    pub(crate) headers: u64,
    /// Bytes of the headers of one request.
    pub(crate) header_size: u64,
    /// Rows of one request.
    pub(crate) rows: u64,
    /// Attributes of one item.
    pub(crate) attributes: u64,
    /// Events of one span.
    pub(crate) events: u64,
    /// Links of one span.
    pub(crate) links: u64,
    /// Bytes of one attribute value.
    pub(crate) value: u64,
    /// Levels of nested JSON.
    pub(crate) json_depth: u64,
    /// Values of a JSON body that is parsed as a whole.
    pub(crate) json_values: u64,
    /// Levels of a nested attribute value.
    pub(crate) value_depth: u64,
    /// Bytes of the decoded rows of one request.
    pub(crate) decoded: u64,
    /// How long a new connection may say nothing.
    pub(crate) first_byte_timeout: Duration,
    /// How long the headers of a request may take, from their first byte on.
    pub(crate) header_timeout: Duration,
    /// How long a connection may rest between requests.
    pub(crate) keep_alive: Duration,
    /// How long a body may pause, and an answer may wait to be taken.
    pub(crate) idle_timeout: Duration,
    /// How long a whole request may take.
    pub(crate) request_timeout: Duration,
    /// How long open requests have at the end.
    pub(crate) drain_timeout: Duration,
}

/// The write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wal {
    /// Bytes of a segment file.
    pub(crate) segment_size: u64,
    /// Bytes of one group commit.
    pub(crate) group_size: u64,
    /// Bytes of log on disk above which new requests are turned away.
    pub(crate) budget: u64,
    /// Bytes kept aside for the way out of a full disk.
    pub(crate) reserve: u64,
    /// Rows of a batch.
    pub(crate) batch_rows: u64,
    /// Bytes of a batch.
    pub(crate) batch_size: u64,
    /// How long a batch stays open.
    pub(crate) batch_age: Duration,
    /// How long delivered segments are kept.
    pub(crate) retain: Duration,
    /// Bytes of recent rows kept in memory.
    pub(crate) recent_memory: u64,
}

/// The Delta tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lake {
    /// Where; empty is the folder `lake` in the data directory.
    pub(crate) url: String,
    /// Options of the object store.
    pub(crate) options: BTreeMap<String, String>,
    /// Lakes of single tenants.
    pub(crate) tenants: TenantLakes,
    /// `tenant_date` or `date`.
    pub(crate) partition: String,
    /// How long rows gather before a commit.
    pub(crate) flush_interval: Duration,
    /// After how many rows a commit waits for no more.
    pub(crate) flush_rows: u64,
}

/// The bookings of cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Whether this node books at all.
    pub(crate) enabled: bool,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Bytes of disk for facts.
    pub(crate) facts_disk: u64,
    /// How long facts are kept.
    pub(crate) facts_kept: Duration,
    /// How often facts are written.
    pub(crate) facts_written: Duration,
    /// How far back the lake is searched for a trace.
    pub(crate) lookback: Duration,
    /// How often the lake is asked for new batches.
    pub(crate) interval: Duration,
    /// After how long another node takes over.
    pub(crate) lease: Duration,
}

/// What a query may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// Bytes of working memory.
    pub(crate) memory: u64,
    /// Bytes of spill files.
    pub(crate) spill: u64,
    /// Rows of an answer.
    pub(crate) rows: u64,
    /// Bytes of an answer.
    pub(crate) answer: u64,
    /// Wall clock.
    pub(crate) timeout: Duration,
    /// Bytes of the statement.
    pub(crate) statement: u64,
    /// Queries that run at once.
    pub(crate) concurrency: u64,
}

/// How attributes become columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// A file of additions; empty is none.
    pub(crate) file: String,
}

/// What calls cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prices {
    /// A file of prices of one's own; empty is none.
    pub(crate) file: String,
    /// How often it is looked at for changes.
    pub(crate) reload_interval: Duration,
}

/// Which cost is charged where a sender reported one and one was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// `reported` or `computed`.
    pub(crate) prefer: String,
    /// The same by tenant.
    pub(crate) prefer_by_tenant: BTreeMap<String, String>,
}

/// What is written to stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// `text` or `json`.
    pub(crate) format: String,
    /// A level, or directives as `info,weir_lake=debug`.
    pub(crate) level: String,
}

/// What a scrape of `/metrics` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metrics {
    /// Whether tenants are named.
    pub(crate) tenants: bool,
}

/// What may be spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Budgets {
    /// The file of budgets, in JSON; empty is none.
    pub(crate) file: String,
}

/// Who may send and ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Auth {
    /// `auto` (as soon as a key exists) or `always`.
    pub(crate) require_key: String,
}

/// Where tenants, keys and quotas lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// A Postgres database; empty is SQLite in the data directory.
    pub(crate) postgres_url: String,
    /// The authorities for its certificate; empty is those of the system.
    pub(crate) postgres_ca_file: String,
    /// The pepper; empty is the file `pepper` in the data directory.
    pub(crate) pepper_file: String,
    /// How long keys are believed while the state cannot be asked.
    pub(crate) grace: Duration,
}

/// What a tenant may use that has no quotas of its own; `None` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Bytes of request bodies a second, as sent.
    pub(crate) bytes_per_second: Option<u64>,
    /// Rows a second.
    pub(crate) rows_per_second: Option<u64>,
    /// Queries a minute.
    pub(crate) queries_per_minute: Option<u64>,
    /// Queries at once.
    pub(crate) queries_at_once: Option<u64>,
    /// Bytes in the lake.
    pub(crate) storage: Option<u64>,
    /// For how long an unused rate can be saved up.
    pub(crate) burst: Duration,
}

impl Default for Config {
    #[expect(clippy::too_many_lines, reason = "one line for each setting")]
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./weir-data"),
            listen: Listen {
                http: ([127, 0, 0, 1], 8080).into(),
                otlp_http: ([127, 0, 0, 1], 4318).into(),
                otlp_grpc: ([127, 0, 0, 1], 4317).into(),
                insecure_http: false,
            },
            tls: Tls {
                cert_file: String::new(),
                key_file: String::new(),
                client_ca_file: String::new(),
                handshake_timeout: Duration::from_secs(5),
                reload_interval: Duration::from_secs(10),
            },
            limits: Limits::default(),
            ocsf: Ocsf::default(),
            wal: Wal::default(),
            lake: Lake {
                url: String::new(),
                options: BTreeMap::new(),
                tenants: TenantLakes::new(),
                partition: "tenant_date".into(),
                flush_interval: Duration::from_secs(10),
                flush_rows: 32 << 10,
            },
            ledger: Ledger {
                enabled: true,
                memory: 96 << 20,
                facts_disk: 8 << 30,
                facts_kept: Duration::from_hours(6),
                facts_written: Duration::from_mins(1),
                lookback: Duration::from_hours(7 * 24),
                interval: Duration::from_secs(1),
                lease: Duration::from_secs(15),
            },
            query: Query {
                memory: 512 << 20,
                spill: 4 << 30,
                rows: 100_000,
                answer: 64 << 20,
                timeout: Duration::from_secs(30),
                statement: 64 << 10,
                concurrency: 8,
            },
            mapping: Mapping::default(),
            prices: Prices {
                file: String::new(),
                reload_interval: Duration::from_secs(10),
            },
            cost: Cost {
                prefer: "reported".into(),
                prefer_by_tenant: BTreeMap::new(),
            },
            log: Log {
                format: "text".into(),
                level: "info".into(),
            },
            metrics: Metrics { tenants: false },
            budgets: Budgets {
                file: String::new(),
            },
            auth: Auth {
                require_key: "auto".into(),
            },
            state: State {
                postgres_url: String::new(),
                postgres_ca_file: String::new(),
                pepper_file: String::new(),
                grace: Duration::from_mins(5),
            },
            quota: Quota {
                bytes_per_second: None,
                rows_per_second: None,
                queries_per_minute: None,
                queries_at_once: None,
                storage: None,
                burst: Duration::from_secs(10),
            },
            sinks: Sinks::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_compressed: 16 << 20,
            body_decompressed: 64 << 20,
            in_flight: 192 << 20,
            zstd_window: 8 << 20,
            connections: 10_000,
            connections_per_peer: 256,
            streams: 100,
            resets: 20,
            headers: 100,
            header_size: 16 << 10,
            rows: 100_000,
            attributes: 256,
            events: 1_024,
            links: 1_024,
            value: 64 << 10,
            json_depth: 64,
            json_values: 2_000_000,
            value_depth: 32,
            decoded: 256 << 20,
            first_byte_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            idle_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(3),
        }
    }
}

impl Default for Wal {
    fn default() -> Self {
        Self {
            segment_size: 64 << 20,
            group_size: 8 << 20,
            budget: 16 << 30,
            reserve: 64 << 20,
            batch_rows: 65_536,
            batch_size: 32 << 20,
            batch_age: Duration::from_secs(1),
            retain: Duration::from_mins(10),
            recent_memory: 96 << 20,
        }
    }
}

impl Config {
    /// Where the lake lies: as set, or the folder in the data directory.
    pub(crate) fn lake_url(&self) -> String {
        if self.lake.url.is_empty() {
            self.data_dir.join("lake").to_string_lossy().into_owned()
        } else {
            self.lake.url.clone()
        }
    }
}
