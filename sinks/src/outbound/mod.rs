//! Sinks that send rows on to programs that take telemetry or events over HTTP, at least once.
//!
//! ```text
//! part --cut by row ranges--> posts, each under a name that is the same when it is repeated
//!      2xx                    remembered until the run is through: not sent again by a retry
//!      429, 5xx, no answer    transient, after Retry-After where it is given
//!      401, 403, 404, ...     transient: the configuration is wrong, not the rows
//!      400, 413, 422          permanent: the delivery finds the rows at fault
//! ```
//!
//! None of them can be asked what it holds, so a post whose answer was lost is sent again under its
//! name. A receiver that keeps the names stores each row once.

mod error;
mod http;
mod json;
mod otlp;
mod posts;
mod sink;
mod splunk_hec;
mod webhook;

pub use error::OutboundError;
pub(crate) use http::trusting;
pub use json::lines as json_lines;
pub use otlp::{Otlp, OtlpCodec, OtlpConfig, OtlpSink};
pub use sink::{Form, Outbound, Post};
pub use splunk_hec::{SplunkHec, SplunkHecConfig, SplunkHecSink};
pub use webhook::{Webhook, WebhookConfig, WebhookSink};
