use futures::StreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use weir_model::Classify;

use super::*;
use crate::Partition;
use crate::fixture::{FaultStore, PutFault, Short, batch, node};

const SPANS: Dataset = Dataset::Spans;
/// Rows of two tenants with a lake of their own, and of two without.
const MIXED: &[Short<'_>] = &[
    ("acme", 0, Some(1)),
    ("base", 0, Some(2)),
    ("umbra", 0, Some(3)),
    ("acme", 1, Some(4)),
    ("other", 0, Some(5)),
    ("acme", 0, Some(6)),
];

/// Three stores, each with a lake in it.
struct Site {
    stores: [Arc<FaultStore>; 3],
}

impl Site {
    fn new() -> Self {
        let store = || FaultStore::new(Arc::new(InMemory::new()));
        Self {
            stores: [store(), store(), store()],
        }
    }

    fn lake(&self, place: usize) -> Arc<Lake> {
        let url = Url::parse(&format!("memory://place-{place}/lake")).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::<FaultStore>::clone(&self.stores[place]);
        Arc::new(Lake::with_store(store, url, Partition::DateAndTenant).unwrap())
    }

    /// The lakes, opened anew as after a restart; `own` of them belong to tenants.
    fn open(&self, own: usize) -> Lakes {
        let mut lakes = Lakes::from(self.lake(0));
        for (place, tenant) in [(1, "acme"), (2, "umbra")].into_iter().take(own) {
            let tenants = BTreeSet::from([TenantId::new(tenant).unwrap()]);
            lakes = lakes.with_own(self.lake(place), tenants).unwrap();
        }
        lakes
    }

    /// The tenants in each lake with their rows, as its log says.
    async fn held(&self) -> [Vec<(String, u64)>; 3] {
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        for (place, held) in all.iter_mut().enumerate() {
            let mut by_tenant = BTreeMap::new();
            for file in self.lake(place).snapshot(SPANS).await.unwrap().files() {
                let tenant = file.tenant.clone().unwrap().to_string();
                *by_tenant.entry(tenant).or_insert(0) += file.rows;
            }
            held.extend(by_tenant);
        }
        all
    }
}

fn held(of: [&[(&str, u64)]; 3]) -> [Vec<(String, u64)>; 3] {
    of.map(|held| held.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect())
}

fn mixed(me: &NodeId, numbers: std::ops::RangeInclusive<i64>) -> Vec<Batch> {
    numbers.map(|n| batch(SPANS, me, n, MIXED)).collect()
}

#[tokio::test]
async fn each_row_goes_to_its_tenants_lake_and_no_byte_of_it_elsewhere() {
    let (site, me) = (Site::new(), node(1));
    let lakes = site.open(2);
    let done = lakes.append(SPANS, &mixed(&me, 1..=2)).await.unwrap();
    assert_eq!((done.rows, done.already), (12, false));
    let wanted = held([
        &[("base", 2), ("other", 2)],
        &[("acme", 6)],
        &[("umbra", 2)],
    ]);
    assert_eq!(site.held().await, wanted);
    for (place, store) in site.stores.iter().enumerate() {
        let mut objects = store.list(None);
        while let Some(object) = objects.next().await {
            let at = object.unwrap().location;
            let bytes = object_store::ObjectStoreExt::get(store.as_ref(), &at).await;
            let bytes = bytes.unwrap().bytes().await.unwrap();
            for (home, tenant) in [(0, "base"), (0, "other"), (1, "acme"), (2, "umbra")] {
                let named = bytes.windows(tenant.len()).any(|w| w == tenant.as_bytes())
                    || at.as_ref().contains(tenant);
                assert!(!named || home == place, "{tenant} in place {place}: {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_replay_stores_nothing_and_only_the_new_is_added() {
    let (site, me) = (Site::new(), node(1));
    site.open(2)
        .append(SPANS, &mixed(&me, 1..=2))
        .await
        .unwrap();
    let lakes = site.open(2);
    for old in [1..=1, 2..=2, 1..=2] {
        let again = lakes.append(SPANS, &mixed(&me, old)).await.unwrap();
        assert_eq!((again.rows, again.already), (0, true));
    }
    let grown = lakes.append(SPANS, &mixed(&me, 1..=3)).await.unwrap();
    assert_eq!(grown.rows, 6);
    let counts = lakes.count_rows(SPANS, &me, 1, i64::MAX).await.unwrap();
    assert_eq!(counts, BTreeMap::from([(1, 6), (2, 6), (3, 6)]));
    assert_eq!(lakes.last_batch(SPANS, &me).await.unwrap(), Some(3));
}

/// One lake commits, another fails, in every order and with every loss of an answer; then all is
/// offered again by a process that knows nothing of it, cut in another way.
#[tokio::test]
async fn what_some_lakes_have_is_not_stored_twice_when_the_others_fail() {
    let faults = [
        PutFault::Refused,
        PutFault::AnswerLost,
        PutFault::DoneThenDark,
        PutFault::RefusedThenDark,
    ];
    for place in 0..3 {
        for fault in faults {
            let (site, me) = (Site::new(), node(1));
            // The tables are there before the weather begins.
            site.open(2)
                .append(SPANS, &mixed(&me, 1..=1))
                .await
                .unwrap();
            site.stores[place].plan_put("_delta_log", fault);
            let lakes = site.open(2);
            let failed = lakes.append(SPANS, &mixed(&me, 2..=3)).await;
            if let Err(error) = &failed {
                assert!(matches!(error.fault(), Fault::Transient { .. }), "{error}");
                let own = matches!(error, LakeError::Own { .. });
                assert_eq!(own, place > 0, "the message says whose lake it is");
                let last = lakes.last_batch(SPANS, &me).await.unwrap();
                assert!(last == Some(1) || place == 0, "not settled: {last:?}");
                let ahead = lakes.high_water(SPANS, &me).await.unwrap();
                assert_eq!(ahead, Some(3), "no later batch may have the number");
            } else {
                assert_eq!(fault, PutFault::AnswerLost, "{place}");
            }
            let after = site.open(2);
            for again in [2..=2, 2..=4] {
                after.append(SPANS, &mixed(&me, again)).await.unwrap();
            }
            let wanted = held([
                &[("base", 4), ("other", 4)],
                &[("acme", 12)],
                &[("umbra", 4)],
            ]);
            assert_eq!(site.held().await, wanted, "{place} {fault:?}");
        }
    }
}

#[tokio::test]
async fn pieces_of_a_batch_are_split_by_their_rows_and_end_it_everywhere() {
    let (site, me) = (Site::new(), node(1));
    let one = batch(SPANS, &me, 1, MIXED);
    // Row 3, one of acme's, is left out; the last piece has no row of umbra's.
    for (piece, stored) in [(0..2, 2), (2..3, 1), (4..6, 2)] {
        for wanted in [stored, 0] {
            let done = site.open(2).append_part(&one, piece.clone()).await.unwrap();
            assert_eq!(done.rows, wanted, "{piece:?}");
        }
    }
    let wanted = held([
        &[("base", 1), ("other", 1)],
        &[("acme", 2)],
        &[("umbra", 1)],
    ]);
    assert_eq!(site.held().await, wanted);
    for place in 0..3 {
        let snapshot = site.lake(place).snapshot(SPANS).await.unwrap();
        assert_eq!(snapshot.committed(&me), 1, "{place}: the batch has ended");
    }
}

#[tokio::test]
async fn a_batch_of_one_tenant_alone_is_settled_without_touching_the_others() {
    let (site, me) = (Site::new(), node(1));
    let lakes = site.open(2);
    for (number, tenant) in [(1, "acme"), (2, "base")] {
        let rows = [(tenant, 0, Some(1))];
        let one = [batch(SPANS, &me, number, &rows)];
        assert_eq!(lakes.append(SPANS, &one).await.unwrap().rows, 1);
        let last = lakes.last_batch(SPANS, &me).await.unwrap();
        assert_eq!(last, Some(number));
    }
    assert_eq!(
        site.held().await,
        held([&[("base", 1)], &[("acme", 1)], &[]])
    );
    let untouched = site.lake(2).snapshot(SPANS).await.unwrap();
    assert_eq!(untouched.version(), None, "nothing was ever asked of it");
}

/// A tenant gets a lake of its own between two starts, while a batch is committed whose cursor was
/// not kept, and another is half written.
#[tokio::test]
async fn rows_from_before_a_lake_of_ones_own_stay_where_they_are() {
    let (site, me) = (Site::new(), node(1));
    let before = site.open(0);
    before.append(SPANS, &mixed(&me, 1..=2)).await.unwrap();
    let half = batch(SPANS, &me, 3, MIXED);
    before.append_part(&half, 0..4).await.unwrap();
    let after = site.open(1);
    let again = after.append(SPANS, &mixed(&me, 1..=2)).await.unwrap();
    assert_eq!((again.rows, again.already), (0, true));
    for piece in [0..4, 4..6] {
        after.append_part(&half, piece).await.unwrap();
    }
    after.append(SPANS, &mixed(&me, 4..=4)).await.unwrap();
    let wanted = held([
        &[("acme", 8), ("base", 4), ("other", 4), ("umbra", 4)],
        &[("acme", 4)],
        &[],
    ]);
    assert_eq!(site.held().await, wanted);
    let counts = after.count_rows(SPANS, &me, 1, i64::MAX).await.unwrap();
    assert!(counts.values().all(|rows| *rows == 6), "{counts:?}");
}

#[test]
fn lakes_that_lie_in_each_other_are_refused_and_equal_ones_are_shared() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| LakeConfig {
        url: dir.path().join(name).to_str().unwrap().to_owned(),
        ..LakeConfig::default()
    };
    let tenant = |name: &str| TenantId::new(name).unwrap();
    for (own, fits) in [
        ("lake", false),
        ("lake/in", false),
        ("lake-2", true),
        ("", false),
    ] {
        let own = BTreeMap::from([(tenant("acme"), at(own))]);
        let made = Lakes::configured(&at("lake"), &own);
        assert_eq!(made.is_ok(), fits, "{own:?}");
        if let Err(error) = made {
            assert!(matches!(error, LakeError::Location { .. }), "{error}");
        }
    }
    let both = BTreeMap::from([(tenant("a"), at("own")), (tenant("b"), at("own"))]);
    let lakes = Lakes::configured(&at("lake"), &both).unwrap();
    assert_eq!(lakes.own().count(), 1, "one lake for the two");
    assert_eq!(lakes.of(&tenant("b")).count(), 2);
    assert_eq!(lakes.of(&tenant("c")).count(), 1);
    let url = |text: &str| Url::parse(text).unwrap();
    assert!(overlap(&url("s3://b/lake/"), &url("s3a://b/lake/x/")));
    assert!(!overlap(&url("s3://b/lake/"), &url("s3://b/lake2/")));
    assert!(!overlap(&url("s3://b/lake/"), &url("s3://c/lake/")));
}
