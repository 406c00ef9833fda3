//! One delivery for each sink, all from the same log.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use weir_ingest::admission::Budget;
use weir_ingest::log::Log;
use weir_model::Dataset;
use weir_sinks::{DeadLetters, Delivery, DeliveryConfig};

use crate::app::metered::Metered;
use crate::app::sinks::{build, told};
use crate::app::start_error::StartError;
use crate::config::{Config, SinkConfig};
use crate::telemetry::Telemetry;

/// What writes to sinks have in common: who traces them, and the memory that they share.
pub(crate) type Watch = (Telemetry, (Budget, Arc<AtomicUsize>));

/// A sink that is delivered to.
#[derive(Debug)]
pub(crate) struct Outlet {
    delivery: Delivery,
}

/// All sinks besides the lake.
#[derive(Debug, Default)]
pub(crate) struct Fanout {
    outlets: Vec<Outlet>,
}

impl Fanout {
    /// Starts a delivery for each sink of `config`; a destination that is away is no error.
    ///
    /// # Errors
    ///
    /// Where the configuration of a sink cannot be used.
    pub(crate) fn start(
        config: &Config,
        log: &Arc<Log>,
        dead: &Arc<DeadLetters>,
        watch: Watch,
    ) -> Result<Self, StartError> {
        let mut outlets = Vec::new();
        for (name, sink) in &config.sinks {
            outlets.push(outlet(name, sink, (log, dead), watch.clone())?);
        }
        Ok(Self { outlets })
    }

    /// Stops all deliveries, at once; see [`Delivery::stop`].
    pub(crate) async fn stop(&self) {
        let stops = self.outlets.iter().map(|outlet| outlet.delivery.stop());
        futures::future::join_all(stops).await;
    }
}

fn outlet(
    name: &str,
    config: &SinkConfig,
    (log, dead): (&Arc<Log>, &Arc<DeadLetters>),
    (telemetry, memory): Watch,
) -> Result<Outlet, StartError> {
    let built = build(name, config).map_err(|error| StartError::Sink {
        name: name.to_owned(),
        why: told(error.as_ref()),
    })?;
    let sink = Metered::new(built, telemetry, memory);
    let wanted = config.shared.datasets.iter();
    let datasets = wanted.filter_map(|name| Dataset::from_name(name));
    let delivery = Delivery::start(
        Arc::new(sink),
        Arc::<Log>::clone(log),
        log.cursors(),
        Arc::clone(dead),
        DeliveryConfig {
            datasets: datasets.collect(),
            ..DeliveryConfig::default()
        },
    );
    Ok(Outlet { delivery })
}

#[cfg(test)]
mod tests;
