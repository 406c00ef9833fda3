//! `kind: splunk_hec`.

use weir_model::Dataset;
use weir_sinks::outbound::SplunkHecConfig;

use super::{Kind, Shared, SinkConfig, Target};
use crate::config::setting::Kind as Of;

pub(super) static KIND: Kind = Kind {
    name: "splunk_hec",
    help: "Sends rows as events to Splunk's HTTP event collector, at least once.",
    needs: &["url", "token"],
    takes: &Dataset::ALL,
    settings: &[
        of_kind!(SplunkHec: "url", Of::Text, Text, url, "The collector, as `https://splunk.example:8088`."),
        secret_of_kind!(SplunkHec: "token", token, "Its token."),
        of_kind!(SplunkHec: "index", Of::Text, Text, index, "The index; the token's own where none is named."),
        of_kind!(SplunkHec: "source", Of::Text, Text, source, "The `source` of each event."),
        of_kind!(SplunkHec: "sourcetype_prefix", Of::Text, Text, sourcetype_prefix, "The `sourcetype` of each event is this and the dataset's name."),
        of_kind!(SplunkHec: "timeout", Of::Span, Span, timeout, "How long one request may take."),
        of_kind!(SplunkHec: "ca_file", Of::Text, Text, ca_file, "The only authorities to trust for https://, in PEM; the system's where none is named."),
    ],
    start: || SinkConfig {
        shared: Shared {
            batch_rows: 2_000,
            // Splunk's own limit of a request is 1 MB of events by default in its cloud.
            batch_size: 2 << 20,
            ..Shared::default()
        },
        target: Target::SplunkHec(SplunkHecConfig::default()),
    },
};
