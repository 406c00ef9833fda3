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
#[allow(dead_code, reason = "the heavy tests use the rest")]
mod server;
mod setup;

use arrow_array::UInt64Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use weir_model::{Dataset, NodeId};
use weir_sinks::clickhouse::{ClickHouseConfig, Compression};
use weir_sinks::contract::{Destination, assert_holds_for, sample_batch};
use weir_sinks::{Part, Sink};

use server::{Place, Server};

#[tokio::test]
async fn the_contract_holds() {
    let Some(server) = Server::shared() else {
        return;
    };
    // Maps, lists of structs and money; a time that may be NULL. All of them: heavy_clickhouse.
    let some = [Dataset::Spans, Dataset::CostLedger];
    assert_holds_for(&Place::at(&server.config()), &some).await;
}

#[tokio::test]
async fn a_batch_of_every_dataset_comes_back_as_it_was() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (place, node) = (Place::at(&server.config()), NodeId::from_bits(4));
    let sink = place.open();
    for dataset in Dataset::ALL {
        let batch = sample_batch(dataset, &node, 1);
        let part = [Part::whole(batch.clone())];
        assert_eq!(sink.write(&part).await.unwrap().rows, 60, "{dataset}");
        assert_eq!(sink.write(&part).await.unwrap().rows, 0, "{dataset}");
        let found = place.rows(dataset).await;
        let found = concat_batches(&dataset.schema(), &found).unwrap();
        let places = found.column_by_name("_row").unwrap();
        let mut order: Vec<_> = places
            .as_primitive::<Int32Type>()
            .iter()
            .zip(0_u64..)
            .collect();
        order.sort_unstable();
        let order = UInt64Array::from_iter_values(order.into_iter().map(|(_, at)| at));
        let found = take_record_batch(&found, &order).unwrap();
        for (wanted, found) in batch.rows().columns().iter().zip(found.columns()) {
            assert_eq!(wanted, found, "{dataset}");
        }
    }
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
        let node = NodeId::from_bits(5);
        let batch = sample_batch(Dataset::Spans, &node, 1);
        let stored = place.open().write(&[Part::whole(batch.clone())]).await;
        assert_eq!(stored.unwrap().rows, 60);
        let found = place.rows(Dataset::Spans).await;
        assert_eq!(found.iter().map(|r| r.num_rows()).sum::<usize>(), 60);
    }
}
