//! A sink of a configuration, made; nobody is asked yet.

use std::sync::Arc;

use weir_sinks::outbound::{SplunkHecSink, WebhookSink};
use weir_sinks::snowflake::SnowflakeSink;
use weir_sinks::{Sink, SinkError};

use crate::config::{SinkConfig, Target};

/// Makes the sink that is called `name`.
///
/// # Errors
///
/// Where its configuration cannot be used; a destination that is away is no error.
pub(crate) fn build(name: &str, config: &SinkConfig) -> Result<Arc<dyn Sink>, SinkError> {
    Ok(match &config.target {
        Target::Snowflake(snowflake) => Arc::new(SnowflakeSink::new(name, snowflake.clone())?),
        Target::SplunkHec(hec) => Arc::new(SplunkHecSink::new(name, hec)?),
        Target::Webhook(webhook) => Arc::new(WebhookSink::new(name, webhook)?),
    })
}

/// What went wrong with a sink, with its causes.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
