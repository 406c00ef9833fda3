use weir_store::{Ceiling, Scopes};

use super::*;
use crate::config::Config;

fn default() -> Quota {
    Config::default().quota
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn key(id: &str, quotas: Quotas) -> Principal {
    Principal {
        tenant: tenant("acme"),
        scopes: Scopes::all(),
        key_id: id.to_owned(),
        quotas,
    }
}

fn rows(most: u64) -> Quotas {
    Quotas {
        rows_per_second: Ceiling::At(most),
        ..Quotas::default()
    }
}

/// A minute's worth at once, so that nothing comes back while a test runs.
fn slow(per_minute: u64) -> Quotas {
    Quotas {
        queries_per_minute: Ceiling::At(per_minute),
        ..Quotas::default()
    }
}

#[test]
fn without_quotas_nothing_is_counted_and_all_is_let_in() {
    let meters = Meters::new(default(), 8);
    let caller = meters.caller(tenant("acme"), &Quotas::default(), None);
    for _ in 0..100 {
        caller.enter(Some(usize::MAX)).unwrap();
        caller.charge_rows(usize::MAX).unwrap();
    }
    let slots: Vec<Slot> = (0..8).map(|_| caller.query().unwrap()).collect();
    drop(slots);
}

#[test]
fn a_quota_that_is_used_up_says_which_and_what_is_left() {
    let quota = Quota {
        burst: Duration::from_secs(100),
        ..default()
    };
    let meters = Meters::new(quota, 8);
    let caller = meters.caller(tenant("acme"), &rows(1), None);
    caller.enter(None).unwrap();
    caller.charge_rows(90).unwrap();
    let refused = caller.charge_rows(50).unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.code), (429, "quota_rows"));
    let wait = refused.retry_seconds().unwrap();
    assert!((38..=40).contains(&wait), "{wait}");
    let told: Vec<_> = refused
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.to_str().unwrap()))
        .collect();
    assert_eq!(told[0], ("x-ratelimit-limit", "100"));
    assert_eq!(told[1], ("x-ratelimit-remaining", "10"));
    assert_eq!(told[2].0, "x-ratelimit-reset");
    // What was refused after decoding shuts the door before it.
    let shut = caller.enter(None).unwrap_err();
    assert_eq!(shut.code, "quota_rows");
    // Others are not concerned.
    meters
        .caller(tenant("other"), &rows(1), None)
        .enter(None)
        .unwrap();
}

#[test]
fn both_the_tenants_and_the_keys_quotas_hold_and_a_refusal_charges_neither() {
    let meters = Meters::new(default(), 8);
    let limited = key("limited", slow(2));
    let free = key("free", Quotas::default());
    let by = |key: &Principal| meters.caller(tenant("acme"), &slow(5), Some(key));
    assert!(by(&limited).query().is_ok() && by(&limited).query().is_ok());
    let refused = by(&limited).query().unwrap_err();
    assert!(refused.detail.contains("this key"), "{}", refused.detail);
    for _ in 0..3 {
        assert!(
            by(&free).query().is_ok(),
            "the refused one was not charged to the tenant"
        );
    }
    let refused = by(&free).query().unwrap_err();
    assert!(refused.detail.contains("this tenant"), "{}", refused.detail);

    // The tenant refuses; the key must not be charged for it.
    let second = key("second", slow(1));
    assert!(by(&second).query().is_err());
    let elsewhere = meters.caller(tenant("rich"), &Quotas::default(), Some(&second));
    assert!(elsewhere.query().is_ok());
}

#[test]
fn a_changed_quota_holds_for_the_next_request() {
    let meters = Meters::new(default(), 8);
    let caller = |quotas: Quotas| meters.caller(tenant("acme"), &quotas, None);
    assert!(caller(slow(1)).query().is_ok());
    assert!(caller(slow(1)).query().is_err());
    assert!(caller(Quotas::default()).query().is_ok());
}

#[test]
fn the_configuration_gives_what_a_tenant_has_not_of_its_own() {
    let quota = Quota {
        queries_per_minute: Some(1),
        ..default()
    };
    let meters = Meters::new(quota, 8);
    let caller = |name: &str, quotas: &Quotas| meters.caller(tenant(name), quotas, None);
    let unlimited = Quotas {
        queries_per_minute: Ceiling::Unlimited,
        ..Quotas::default()
    };
    for _ in 0..3 {
        assert!(caller("rich", &unlimited).query().is_ok());
    }
    assert!(caller("poor", &Quotas::default()).query().is_ok());
    assert!(caller("poor", &Quotas::default()).query().is_err());
    // A key has no ceilings but its own.
    let owner = key("k", Quotas::default());
    let by_key = meters.caller(tenant("rich"), &unlimited, Some(&owner));
    assert!(by_key.query().is_ok() && by_key.query().is_ok());
}

#[test]
fn a_tenant_gets_most_places_for_queries_and_leaves_some_to_the_next() {
    let meters = Meters::new(default(), 8);
    let (a, b) = (key("a", Quotas::default()), key("b", Quotas::default()));
    let greedy = meters.caller(tenant("greedy"), &Quotas::default(), Some(&a));
    let modest = meters.caller(tenant("modest"), &Quotas::default(), Some(&b));
    let mut held = Vec::new();
    while let Ok(slot) = greedy.query() {
        held.push(slot);
    }
    assert_eq!(held.len(), 5);
    let refused = greedy.query().unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_seconds()),
        ("queries_busy", Some(1))
    );
    let others: Vec<_> = (0..2).map(|_| modest.query().unwrap()).collect();
    drop((held, others));
    let again: Vec<_> = (0..5).map(|_| greedy.query().unwrap()).collect();
    assert_eq!(again.len(), 5, "what is dropped is given back");
}

#[test]
fn one_query_is_possible_where_there_is_one_place() {
    let meters = Meters::new(default(), 1);
    let owner = key("k", Quotas::default());
    let caller = meters.caller(tenant("acme"), &Quotas::default(), Some(&owner));
    let slot = caller.query().unwrap();
    assert!(caller.query().is_err());
    drop(slot);
    caller.query().unwrap();
}

#[test]
fn queries_at_once_have_a_quota_of_their_own() {
    let meters = Meters::new(default(), 8);
    let two = Quotas {
        queries_at_once: Ceiling::At(2),
        ..Quotas::default()
    };
    let caller = meters.caller(tenant("acme"), &two, None);
    let held = (caller.query().unwrap(), caller.query().unwrap());
    assert_eq!(caller.query().unwrap_err().code, "quota_queries_at_once");
    drop(held);
    caller.query().unwrap();
}

#[test]
fn a_full_lake_refuses_only_its_tenant_and_asks_it_to_come_back() {
    let meters = Meters::new(default(), 8);
    let quotas = Quotas {
        storage_bytes: Ceiling::At(100),
        ..Quotas::default()
    };
    meters.set_stored([(tenant("full"), 100), (tenant("near"), 99)].into());
    let enter = |name: &str| meters.caller(tenant(name), &quotas, None).enter(Some(1));
    let refused = enter("full").unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_seconds()),
        ("quota_storage", Some(300))
    );
    enter("near").unwrap();
    enter("empty").unwrap();
    let caller = meters.caller(tenant("full"), &quotas, None);
    assert!(caller.query().is_ok(), "it may still ask");
}

#[test]
fn what_is_kept_of_keys_that_hold_no_more_is_forgotten() {
    let meters = Meters::new(default(), 8);
    for id in ["a", "b"] {
        meters.caller(
            tenant("acme"),
            &Quotas::default(),
            Some(&key(id, Quotas::default())),
        );
    }
    meters.forget_keys(|id| id == "a");
    assert_eq!(meters.keys.read().keys().collect::<Vec<_>>(), ["a"]);
}
