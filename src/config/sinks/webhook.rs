//! `kind: webhook`.

use weir_model::Dataset;
use weir_sinks::outbound::WebhookConfig;

use super::{Kind, Shared, SinkConfig, Target};
use crate::config::setting::Kind as Of;

pub(super) static KIND: Kind = Kind {
    name: "webhook",
    help: "Posts rows as JSON to an HTTP endpoint, at least once. Each post carries an `Idempotency-Key` that is the same when it is repeated.",
    needs: &["url"],
    takes: &Dataset::ALL,
    settings: &[
        of_kind!(Webhook: "url", Of::Text, Text, url, "Where rows are posted to."),
        of_kind!(Webhook: "format", Of::OneOf(WebhookConfig::FORMATS), Text, format, "`ndjson`: one row a line; `json`: one object with the part's name and its rows."),
        secrets_of_kind!(Webhook: "headers", headers, "Headers of each post, as `Authorization`."),
        of_kind!(Webhook: "compression", Of::OneOf(WebhookConfig::COMPRESSIONS), Text, compression, "How bodies are compressed."),
        of_kind!(Webhook: "timeout", Of::Span, Span, timeout, "How long one post may take."),
        of_kind!(Webhook: "ca_file", Of::Text, Text, ca_file, "The only authorities to trust for https://, in PEM; the system's where none is named."),
    ],
    start: || SinkConfig {
        shared: Shared {
            batch_rows: 5_000,
            batch_size: 8 << 20,
            ..Shared::default()
        },
        target: Target::Webhook(WebhookConfig::default()),
    },
};
