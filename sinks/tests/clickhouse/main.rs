//! ClickHouse on the real engine: the contract, the drill of exactness, views, wrong
//! configuration, and what a server does on bad days.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

mod drill;
mod exactly_once;
mod reader;
mod schema;
mod server;
mod setup;

use weir_sinks::clickhouse::{ClickHouseConfig, Compression};
use weir_sinks::contract::{Destination, assert_holds, record, sample_batch};
use weir_sinks::{Part, Sink};

use server::{Place, Server};

#[tokio::test]
async fn the_contract_holds() {
    let Some(server) = Server::shared() else {
        return;
    };
    let proven = assert_holds(&Place::at(&server.config())).await;
    record("clickhouse", &proven);
}

#[tokio::test]
async fn rows_are_the_same_with_each_compression() {
    let Some(server) = Server::shared() else {
        return;
    };
    for compression in [Compression::Lz4, Compression::Zstd] {
        let config = ClickHouseConfig {
            compression,
            ..server.config()
        };
        let place = Place::at(&config);
        let node = weir_model::NodeId::from_bits(5);
        let batch = sample_batch(weir_model::Dataset::Spans, &node, 1);
        let stored = place.open().write(&[Part::whole(batch.clone())]).await;
        assert_eq!(stored.unwrap().rows, 60);
        let found = place.rows(weir_model::Dataset::Spans).await;
        assert_eq!(found.iter().map(|r| r.num_rows()).sum::<usize>(), 60);
    }
}
