//! `kind: otlp`.

use weir_model::Dataset;
use weir_sinks::outbound::OtlpConfig;

use super::{Kind, Shared, SinkConfig, Target};
use crate::config::setting::Kind as Of;

pub(super) static KIND: Kind = Kind {
    name: "otlp",
    help: "Sends spans on to another OTLP collector over HTTP (protobuf), at least once.",
    needs: &["url"],
    takes: &[Dataset::Spans],
    settings: &[
        of_kind!(Otlp: "url", Of::Text, Text, url, "The collector's base URL, as `http://collector:4318`, or the whole URL that ends in `/v1/traces`."),
        secrets_of_kind!(Otlp: "headers", headers, "Headers of each request, as `Authorization`."),
        of_kind!(Otlp: "compression", Of::OneOf(OtlpConfig::COMPRESSIONS), Text, compression, "How bodies are compressed."),
        of_kind!(Otlp: "timeout", Of::Span, Span, timeout, "How long one request may take."),
        of_kind!(Otlp: "ca_file", Of::Text, Text, ca_file, "The only authorities to trust for https://, in PEM; the system's where none is named."),
    ],
    start: || SinkConfig {
        shared: Shared {
            datasets: vec![Dataset::Spans.name().to_owned()],
            batch_rows: 5_000,
            batch_size: 8 << 20,
            ..Shared::default()
        },
        target: Target::Otlp(OtlpConfig::default()),
    },
};
