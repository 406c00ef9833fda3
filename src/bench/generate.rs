//! `weir bench generate`: made traffic into files or to a server, and what it costs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use prost::Message as _;
use weir_traffic::{Request, Settings, Totals, Traffic};

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::client::{Call, Client};
use crate::tls::Trust;

/// 2026-11-20T00:00:00Z: when the traffic takes place unless told otherwise.
const START: u64 = 1_795_132_800_000_000_000;

/// How often a request is sent again that the server sheds, and how long after.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(200);

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the requests here: for each tenant a file of length-delimited
    /// ExportTraceServiceRequest messages, and truth.json.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    out: Option<PathBuf>,
    /// Send the requests to this server, to the tenant of the key.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The key, where the server wants one.
    #[arg(long, value_name = "KEY", env = "WEIR_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Other seeds give other traffic; the same seed gives the same.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many tenants send.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tenants: u32,
    /// How many spans at least, copies not counted.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    spans: u64,
    /// Who records conversations.
    #[arg(long, value_enum, default_value = "off")]
    content: Content,
    /// When the traffic begins, in nanoseconds since 1970 UTC; it lasts a day.
    #[arg(long, value_name = "NANOS", default_value_t = START)]
    start_unix_nano: u64,
}

/// Who records conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Content {
    /// Nobody.
    Off,
    /// Every service.
    On,
    /// Three services in ten.
    Mixed,
}

/// Runs it: the truth goes to stdout, and with `--out` beside the requests.
///
/// # Errors
///
/// Where a file cannot be written, or the server refuses a request for good.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let mut to = match (&args.out, &args.url) {
        (Some(folder), _) => To::Files(Files::new(folder)?),
        (None, Some(url)) => To::Server(Client::trusting(
            url,
            args.key.as_deref(),
            &Trust::default(),
        )?),
        (None, None) => To::Nowhere,
    };
    let mut totals = Totals::default();
    for window in Traffic::new(settings(&args)) {
        totals.spans += window.spans;
        totals.traces += window.traces;
        for call in &window.calls {
            totals.add(&window.tenant, call);
        }
        for request in &window.requests {
            totals.requests += 1;
            totals.sent += request.spans;
            to.take(request).await?;
        }
    }
    let truth = serde_json::to_string_pretty(&totals.json())?;
    if let To::Files(files) = to {
        files.finish(&truth)?;
    }
    out::line(&truth)?;
    Ok(Exit::OK)
}

fn settings(args: &Args) -> Settings {
    Settings {
        seed: args.seed,
        tenants: args.tenants,
        spans: args.spans,
        content: match args.content {
            Content::Off => weir_traffic::Content::Off,
            Content::On => weir_traffic::Content::On,
            Content::Mixed => weir_traffic::Content::Mixed,
        },
        start_unix_nano: args.start_unix_nano,
    }
}

/// Where requests go.
#[derive(Debug)]
enum To {
    Files(Files),
    Server(Client),
    /// Only the truth is wanted.
    Nowhere,
}

impl To {
    async fn take(&mut self, request: &Request) -> anyhow::Result<()> {
        match self {
            Self::Files(files) => files.write(request),
            Self::Server(client) => send(client, request).await,
            Self::Nowhere => Ok(()),
        }
    }
}

/// Sends `request`, again while the server is too busy for it.
async fn send(client: &Client, request: &Request) -> anyhow::Result<()> {
    let body = bytes::Bytes::from(request.body.encode_to_vec());
    for _ in 0..TRIES {
        let call = Call {
            content_type: Some("application/x-protobuf"),
            body: body.clone(),
            ..Call::default()
        };
        let answer = client.post("/v1/traces", call).await?;
        if !matches!(answer.status.as_u16(), 429 | 502..=504) {
            return super::wire::whole(&answer.success()?);
        }
        tokio::time::sleep(PAUSE).await;
    }
    anyhow::bail!("the server was too busy for a request {TRIES} times")
}

/// A file for each tenant.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    files: BTreeMap<String, BufWriter<File>>,
}

impl Files {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        Ok(Self {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
        })
    }

    fn write(&mut self, request: &Request) -> anyhow::Result<()> {
        let file = match self.files.get_mut(&request.tenant) {
            Some(file) => file,
            None => {
                let path = self.folder.join(format!("{}.otlp", request.tenant));
                let file = File::create(&path).with_context(|| path.display().to_string())?;
                let file = BufWriter::new(file);
                self.files.entry(request.tenant.clone()).or_insert(file)
            }
        };
        file.write_all(&request.body.encode_length_delimited_to_vec())?;
        Ok(())
    }

    fn finish(self, truth: &str) -> anyhow::Result<()> {
        for mut file in self.files.into_values() {
            file.flush()?;
        }
        let path = self.folder.join("truth.json");
        fs::write(&path, truth).with_context(|| path.display().to_string())
    }
}
