//! What every state must hold to, on SQLite and on a real Postgres.
//!
//! A new kind of state is done when this passes.

#![cfg(test)]

#[path = "contract/notes.rs"]
mod notes;
mod server;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use notes::{a_note_is_kept_replaced_and_dropped, a_tenant_has_so_many_notes_of_a_kind};
use server::Postgres as Server;
use weir_model::clock::FixedClock;
use weir_model::{Clock, TenantId};
use weir_store::{
    Ceiling, Denied, KeyInfo, Keys, Postgres, Quotas, SECRETS_MAX, Scope, Scopes, Secret, Sqlite,
    State, StateConfig, StoreError, Stored,
};

/// An empty state, which several may open.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Place {
    fn sqlite() -> Option<Self> {
        Some(Self::Sqlite(tempfile::tempdir().unwrap()))
    }

    fn postgres() -> Option<Self> {
        static SERVER: OnceLock<Result<Mutex<Server>, String>> = OnceLock::new();
        match SERVER.get_or_init(|| Server::start().map(Mutex::new)) {
            Ok(server) => Some(Self::Postgres(server.lock().unwrap().database())),
            Err(why) => {
                server::not_run(why);
                None
            }
        }
    }

    /// What another process, or another node, would open.
    fn open(&self) -> Box<dyn State> {
        match self {
            Self::Sqlite(folder) => Box::new(Sqlite::open(folder.path()).unwrap()),
            Self::Postgres(url) => Box::new(Postgres::open(url, None).unwrap()),
        }
    }

    /// Runs statements past the program.
    fn run(&self, statements: &str) {
        match self {
            Self::Sqlite(folder) => {
                let database = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
                database.execute_batch(statements).unwrap();
            }
            Self::Postgres(url) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let connect = tokio_postgres::connect(url, tokio_postgres::NoTls);
                    let (client, connection) = connect.await.unwrap();
                    tokio::spawn(connection);
                    let statements = format!("SET search_path = weir; {statements}");
                    client.batch_execute(&statements).await.unwrap();
                });
            }
        }
    }
}

macro_rules! contract {
    ($($law:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $law() { super::$law(&super::Place::sqlite().unwrap()); })*
        }
        mod postgres {
            $(#[test] fn $law() {
                if let Some(place) = super::Place::postgres() {
                    super::$law(&place);
                }
            })*
        }
    };
}

contract!(
    a_new_state_is_empty_and_keeps_the_first_pepper,
    a_key_is_seen_by_others_with_all_that_it_is,
    every_change_raises_the_version_and_nothing_else_does,
    a_rotation_ends_the_old_secrets_in_time,
    at_most_so_many_secrets_hold_at_once,
    a_revoked_key_is_listed_and_its_secrets_are_gone,
    a_key_that_is_refused_leaves_nothing_behind,
    quotas_of_any_size_come_back,
    texts_are_texts,
    writers_at_once_lose_nothing,
    a_note_is_kept_replaced_and_dropped,
    a_tenant_has_so_many_notes_of_a_kind,
);

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn key(id: &str, owner: &str, at_us: i64) -> Stored {
    Stored {
        info: KeyInfo {
            id: id.to_owned(),
            tenant: tenant(owner),
            scopes: Scope::Ingest.into(),
            name: format!("key {id}"),
            quotas: Quotas::default(),
            created_at_us: at_us,
            expires_at_us: None,
            revoked_at_us: None,
            rotated_until_us: None,
        },
        secrets: vec![secret(&format!("{id}0"), None)],
    }
}

fn secret(mac: &str, until_us: Option<i64>) -> Secret {
    Secret {
        mac: mac.to_owned(),
        until_us,
    }
}

fn secrets(state: &dyn State, id: &str) -> Vec<Secret> {
    let keys = state.load().unwrap().keys.into_iter();
    keys.filter(|key| key.info.id == id)
        .flat_map(|key| key.secrets)
        .collect()
}

fn a_new_state_is_empty_and_keeps_the_first_pepper(place: &Place) {
    let (one, other) = (place.open(), place.open());
    let loaded = one.load().unwrap();
    assert_eq!(
        (loaded.made, loaded.keys.len(), loaded.tenants.len()),
        (0, 0, 0)
    );
    assert!(one.keys().unwrap().is_empty());
    assert_eq!(one.pepper("first").unwrap(), "first");
    assert_eq!(other.pepper("second").unwrap(), "first");
    assert_eq!(place.open().pepper("third").unwrap(), "first");
}

fn a_key_is_seen_by_others_with_all_that_it_is(place: &Place) {
    let (one, other) = (place.open(), place.open());
    let mut full = key("b1", "acme", 7);
    full.info.scopes = Scopes::all();
    full.info.expires_at_us = Some(i64::MAX);
    full.info.quotas.rows_per_second = Ceiling::At(9);
    one.add_key(&full).unwrap();
    one.add_key(&key("a1", "acme", 8)).unwrap();
    one.add_key(&key("c1", "zeta", 6)).unwrap();
    let loaded = other.load().unwrap();
    assert_eq!(loaded.made, 3);
    let found = loaded.keys.iter().find(|key| key.info.id == "b1");
    assert_eq!(found, Some(&full));
    let names: Vec<_> = loaded
        .tenants
        .iter()
        .map(|t| (t.tenant.as_str(), t.keys))
        .collect();
    assert_eq!(names, [("acme", 2), ("zeta", 1)]);
    assert_eq!(loaded.tenants[0].created_at_us, 7, "its first key made it");
    assert_eq!(other.tenants().unwrap(), loaded.tenants);
    let listed: Vec<_> = other
        .keys()
        .unwrap()
        .into_iter()
        .map(|key| key.id)
        .collect();
    assert_eq!(listed, ["c1", "b1", "a1"], "oldest first");
}

fn every_change_raises_the_version_and_nothing_else_does(place: &Place) {
    let (one, other) = (place.open(), place.open());
    let acme = tenant("acme");
    let quotas = Quotas::default();
    let mut seen = BTreeSet::from([other.version().unwrap()]);
    let mut changed = |what: &str, expected: bool| {
        let version = other.version().unwrap();
        assert_eq!(version, other.load().unwrap().version);
        assert_eq!(seen.insert(version), expected, "{what}");
    };
    one.add_key(&key("k", "acme", 1)).unwrap();
    changed("a key", true);
    assert!(one.rotate("k", "aa", 2, 3).unwrap());
    changed("a rotation", true);
    assert!(one.set_expiry("k", Some(9)).unwrap());
    changed("an expiry", true);
    assert!(one.set_key_quotas("k", &quotas).unwrap());
    changed("quotas of a key", true);
    one.set_tenant_quotas(&acme, &quotas, 4).unwrap();
    changed("quotas of a tenant", true);
    assert!(one.revoke("k", 5).unwrap());
    changed("a revocation", true);
    assert!(!one.revoke("k", 6).unwrap() && !one.revoke("none", 6).unwrap());
    assert!(!one.rotate("k", "bb", 6, 7).unwrap() && !one.rotate("none", "bb", 6, 7).unwrap());
    assert!(!one.set_expiry("k", None).unwrap() && !one.set_key_quotas("k", &quotas).unwrap());
    one.pepper("p").unwrap();
    changed("what changes nothing", false);
}

fn a_rotation_ends_the_old_secrets_in_time(place: &Place) {
    let state = place.open();
    state.add_key(&key("k", "acme", 1)).unwrap();
    assert!(state.rotate("k", "second", 10, 50).unwrap());
    let two = [secret("second", None), secret("k0", Some(50))];
    assert_eq!(secrets(&*state, "k"), two);
    assert_eq!(state.keys().unwrap()[0].rotated_until_us, Some(50));
    // The second rotation cuts what the first one left to hold longer.
    assert!(state.rotate("k", "third", 20, 30).unwrap());
    let three = secrets(&*state, "k");
    assert_eq!(three[0], secret("third", None));
    assert!(
        three[1..].iter().all(|old| old.until_us == Some(30)),
        "{three:?}"
    );
    assert!(state.rotate("k", "fourth", 30, 40).unwrap());
    let left = [secret("fourth", None), secret("third", Some(40))];
    assert_eq!(secrets(&*state, "k"), left, "what has ended is forgotten");
}

fn at_most_so_many_secrets_hold_at_once(place: &Place) {
    let state = place.open();
    state.add_key(&key("k", "acme", 1)).unwrap();
    for n in 1..SECRETS_MAX {
        assert!(state.rotate("k", &format!("s{n}"), 10, 100).unwrap());
    }
    let before = state.load().unwrap();
    let refused = state.rotate("k", "more", 10, 100).unwrap_err();
    assert!(matches!(refused, StoreError::TooManySecrets), "{refused}");
    assert_eq!(state.load().unwrap(), before, "nothing is changed");
    assert!(
        state.rotate("k", "last", 20, 20).unwrap(),
        "without overlap there is room"
    );
    assert_eq!(secrets(&*state, "k"), [secret("last", None)]);
}

fn a_revoked_key_is_listed_and_its_secrets_are_gone(place: &Place) {
    let (one, other) = (place.open(), place.open());
    one.add_key(&key("k", "acme", 1)).unwrap();
    assert!(one.revoke("k", 5).unwrap());
    let loaded = other.load().unwrap();
    assert_eq!((loaded.made, loaded.keys.len()), (1, 0));
    assert_eq!((loaded.tenants.len(), loaded.tenants[0].keys), (1, 0));
    let listed = other.keys().unwrap();
    assert_eq!((listed.len(), listed[0].revoked_at_us), (1, Some(5)));
}

fn a_key_that_is_refused_leaves_nothing_behind(place: &Place) {
    let state = place.open();
    state.add_key(&key("k", "acme", 1)).unwrap();
    let before = state.load().unwrap();
    assert!(state.add_key(&key("k", "other", 2)).is_err());
    assert_eq!(state.load().unwrap(), before, "not even its tenant");
    state.add_key(&key("l", "other", 2)).unwrap();
}

fn quotas_of_any_size_come_back(place: &Place) {
    let (one, other) = (place.open(), place.open());
    let quotas = Quotas {
        bytes_per_second: Ceiling::At(u64::MAX),
        rows_per_second: Ceiling::At(1),
        queries_per_minute: Ceiling::Unlimited,
        queries_at_once: Ceiling::Default,
        storage_bytes: Ceiling::At(1 << 50),
    };
    one.set_tenant_quotas(&tenant("new"), &quotas, 3).unwrap();
    one.add_key(&key("k", "acme", 4)).unwrap();
    assert!(one.set_key_quotas("k", &quotas).unwrap());
    let loaded = other.load().unwrap();
    let new = loaded
        .tenants
        .iter()
        .find(|t| t.tenant == tenant("new"))
        .unwrap();
    assert_eq!((new.quotas, new.created_at_us, new.keys), (quotas, 3, 0));
    assert_eq!(loaded.keys[0].info.quotas, quotas);
    one.set_tenant_quotas(&tenant("new"), &Quotas::default(), 9)
        .unwrap();
    let new = other
        .tenants()
        .unwrap()
        .into_iter()
        .find(|t| t.tenant == tenant("new"));
    let new = new.unwrap();
    assert_eq!((new.quotas, new.created_at_us), (Quotas::default(), 3));
}

fn texts_are_texts(place: &Place) {
    let state = place.open();
    let names = [
        "', ''); DROP TABLE keys; --",
        "\u{1f511} \u{e9}\u{4e2d}",
        "",
        "$1 ?1 %s \\",
    ];
    for (n, name) in names.into_iter().enumerate() {
        let mut key = key(&format!("k{n}"), "acme", i64::try_from(n).unwrap());
        key.info.name = name.to_owned();
        state.add_key(&key).unwrap();
    }
    let listed: Vec<_> = state
        .keys()
        .unwrap()
        .into_iter()
        .map(|key| key.name)
        .collect();
    assert_eq!(listed, names);
    assert!(!state.revoke("' OR '1'='1", 5).unwrap());
    assert_eq!(state.load().unwrap().keys.len(), names.len());
}

fn writers_at_once_lose_nothing(place: &Place) {
    let before = place.open().version().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                let state = place.open();
                for n in 0..5 {
                    state
                        .add_key(&key(&format!("k{writer}{n}"), "acme", 1))
                        .unwrap();
                }
            });
        }
    });
    let loaded = place.open().load().unwrap();
    assert_eq!((loaded.made, loaded.keys.len()), (20, 20));
    assert_eq!(loaded.version, before + 20);
    assert_eq!(loaded.tenants[0].keys, 20);
}

fn keys_on(url: &str, folder: &std::path::Path, grace: Duration) -> Result<Keys, StoreError> {
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(1_000));
    let config = StateConfig {
        data_dir: folder.to_owned(),
        postgres_url: Some(url.to_owned()),
        postgres_ca_file: None,
        pepper_file: None,
        grace,
    };
    Keys::connect(&config, clock)
}

/// Two nodes with folders of their own and one Postgres need one pepper.
#[test]
fn nodes_share_keys_where_they_share_the_pepper() {
    let Some(Place::Postgres(url)) = Place::postgres() else {
        return;
    };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = keys_on(&url, one.path(), Duration::ZERO).unwrap();
    let refused = keys_on(&url, two.path(), Duration::ZERO).unwrap_err();
    assert!(
        matches!(refused, StoreError::OtherPepper { .. }),
        "{refused}"
    );
    std::fs::copy(one.path().join("pepper"), two.path().join("pepper")).unwrap();
    let second = keys_on(&url, two.path(), Duration::ZERO).unwrap();

    let key = first.create(&tenant("acme"), Scopes::all(), "").unwrap();
    assert!(second.resolve(&key.text).is_none());
    second.refresh().unwrap();
    assert_eq!(second.resolve(&key.text).unwrap().tenant, tenant("acme"));
    second.revoke(&key.id).unwrap();
    first.refresh().unwrap();
    assert_eq!(first.check(&key.text), Err(Denied::Unknown));
}

/// A server of its own, since it is stopped.
#[test]
fn an_outage_of_postgres_changes_nothing_and_ends_by_itself() {
    let mut server = match Server::start() {
        Ok(server) => server,
        Err(why) => return server::not_run(&why),
    };
    let url = server.database();
    let folder = tempfile::tempdir().unwrap();
    let keys = keys_on(&url, folder.path(), Duration::from_secs(60)).unwrap();
    let key = keys.create(&tenant("acme"), Scopes::all(), "").unwrap();
    server.stop();
    assert!(keys.refresh().is_err());
    assert!(keys.create(&tenant("acme"), Scopes::all(), "").is_err());
    assert!(
        keys.resolve(&key.text).is_some(),
        "the last known keys hold"
    );
    server.resume().unwrap();
    keys.refresh().unwrap();
    assert_eq!(keys.list().unwrap().len(), 1);
    keys.revoke(&key.id).unwrap();
    assert_eq!(keys.resolve(&key.text), None);
}

/// Dropping it must not block a thread that drives others.
#[test]
fn it_can_be_dropped_where_nothing_may_block() {
    let Some(Place::Postgres(url)) = Place::postgres() else {
        return;
    };
    let state = Postgres::open(&url, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async move { drop(state) });
}

/// Under TLS, with a certificate that only the right authorities vouch for.
#[test]
fn tls_is_used_where_it_is_asked_for_and_checks_the_server() {
    let mut server = match Server::start() {
        Ok(server) => server,
        Err(why) => return server::not_run(&why),
    };
    let (url, certificate) = match server.serve_tls() {
        Ok(made) => made,
        Err(why) => return server::not_run(&why),
    };
    let state = Postgres::open(&url, Some(&certificate)).unwrap();
    assert_eq!(state.load().unwrap().made, 0);
    let unknown = Postgres::open(&format!("{url} sslmode=require"), None).unwrap_err();
    assert!(matches!(unknown, StoreError::Postgres(_)), "{unknown}");
    let none = Postgres::open(&url, Some(std::path::Path::new("/dev/null"))).unwrap_err();
    assert!(matches!(none, StoreError::Authorities { .. }), "{none}");
}
