use object_store::memory::InMemory;
use url::Url;

use super::*;
use crate::Partition;

const LENGTH: Duration = Duration::from_millis(200);

fn lake() -> Lake {
    let url = Url::parse("memory:///some/lake").unwrap();
    Lake::with_store(Arc::new(InMemory::new()), url, Partition::Date).unwrap()
}

fn held(standing: &Standing) -> Option<u64> {
    match standing {
        Standing::Held { term } => Some(*term),
        Standing::Other { .. } => None,
    }
}

#[tokio::test]
async fn a_holder_that_beats_keeps_the_lease_and_one_that_sleeps_loses_it() {
    let lake = lake();
    let mut one = Lease::new(&lake, "duty", "one", LENGTH);
    let mut two = Lease::new(&lake, "duty", "two", LENGTH);
    assert_eq!(held(&one.turn().await.unwrap()), Some(1));
    for _ in 0..4 {
        let other = two.turn().await.unwrap();
        assert_eq!(
            other,
            Standing::Other {
                holder: "one".into()
            }
        );
        tokio::time::sleep(LENGTH / 2).await;
        assert_eq!(held(&one.turn().await.unwrap()), Some(1), "it beats");
    }
    assert_eq!(held(&two.turn().await.unwrap()), None);
    tokio::time::sleep(LENGTH * 2).await;
    assert_eq!(held(&two.turn().await.unwrap()), Some(2), "it slept");
    let other = one.turn().await.unwrap();
    assert_eq!(
        other,
        Standing::Other {
            holder: "two".into()
        }
    );
}

#[tokio::test]
async fn a_released_lease_and_one_of_the_same_name_are_taken_at_once() {
    let lake = lake();
    let hour = Duration::from_secs(3_600);
    let mut one = Lease::new(&lake, "duty", "one", hour);
    assert_eq!(held(&one.turn().await.unwrap()), Some(1));
    let mut again = Lease::new(&lake, "duty", "one", hour);
    assert_eq!(held(&again.turn().await.unwrap()), Some(2));
    again.release().await.unwrap();
    let mut two = Lease::new(&lake, "duty", "two", hour);
    assert_eq!(held(&two.turn().await.unwrap()), Some(3));
}

#[tokio::test]
async fn of_many_that_want_it_one_gets_it() {
    let lake = lake();
    let hour = Duration::from_secs(3_600);
    let all = (0..8).map(|n| {
        let mut lease = Lease::new(&lake, "duty", &format!("node-{n}"), hour);
        async move { held(&lease.turn().await.unwrap()) }
    });
    let held = futures::future::join_all(all).await;
    assert_eq!(held.into_iter().flatten().collect::<Vec<_>>(), [1]);
}
