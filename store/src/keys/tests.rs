use rusqlite::Connection;
use tempfile::TempDir;
use weir_model::clock::FixedClock;

use super::*;
use crate::{NoteKind, Scope};

struct Fixture {
    dir: TempDir,
    clock: Arc<FixedClock>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(FixedClock::at(1_000_000)),
        }
    }

    /// What another process would open.
    fn open(&self) -> Keys {
        let clock: Arc<dyn Clock> = Arc::<FixedClock>::clone(&self.clock);
        Keys::open(self.dir.path(), clock).unwrap()
    }

    fn pass_us(&self, us: i64) {
        self.clock.set(self.clock.now_us() + us);
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

#[test]
fn a_key_resolves_to_its_tenant_and_scopes_until_revoked() {
    let fixture = Fixture::new();
    let keys = fixture.open();
    assert!(keys.is_empty());
    let key = keys
        .create(&acme(), Scope::Ingest.into(), "collector")
        .unwrap();
    let principal = keys.resolve(&key.text).unwrap();
    assert_eq!(principal.tenant, acme());
    assert_eq!(principal.scopes, Scope::Ingest.into());
    assert_eq!(principal.key_id, key.id);
    assert!(!keys.is_empty());

    assert!(keys.revoke(&key.id).unwrap());
    assert_eq!(keys.resolve(&key.text), None);
    assert!(!keys.revoke(&key.id).unwrap(), "revoked twice");
    assert!(!keys.revoke("no-such-id").unwrap());
    assert!(!keys.is_empty(), "a store with revoked keys lets nobody in");
}

#[test]
fn no_other_text_is_a_key() {
    let fixture = Fixture::new();
    let keys = fixture.open();
    let (a, b) = (
        keys.create(&acme(), Scopes::all(), "a").unwrap(),
        keys.create(&acme(), Scopes::all(), "b").unwrap(),
    );
    let crossed = format!("wk_{}_{}", a.id, &b.text[KEY_BYTES - 64..]);
    let mut last_changed = a.text.clone();
    let last = last_changed.pop().unwrap();
    last_changed.push(if last == '0' { '1' } else { '0' });
    let upper = a.text.to_uppercase();
    let longer = format!("{} ", a.text);
    for wrong in [
        "",
        "wk_",
        "wk__",
        &crossed,
        &last_changed,
        &upper,
        &longer,
        &a.text[1..],
    ] {
        assert_eq!(keys.resolve(wrong), None, "{wrong:?}");
    }
    assert!(keys.resolve(&a.text).is_some());
}

#[test]
fn keys_survive_a_restart_and_their_text_is_nowhere_on_disk() {
    let fixture = Fixture::new();
    let key = fixture.open().create(&acme(), Scopes::all(), "ci").unwrap();
    assert!(fixture.open().resolve(&key.text).is_some());
    let secret = &key.text[KEY_BYTES - 64..];
    for file in fixture.dir.path().read_dir().unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(64).any(|w| w == secret.as_bytes()));
    }
}

#[test]
fn a_change_by_another_process_takes_effect_within_five_seconds() {
    let fixture = Fixture::new();
    let (server, tool) = (fixture.open(), fixture.open());
    let key = tool.create(&acme(), Scopes::all(), "x").unwrap();
    assert!(server.is_empty());
    server.refresh().unwrap();
    assert!(server.resolve(&key.text).is_some());
    assert!(!server.is_empty());

    tool.revoke(&key.id).unwrap();
    server.refresh().unwrap();
    assert_eq!(server.resolve(&key.text), None);
}

#[test]
fn a_rotated_key_has_two_secrets_until_the_overlap_ends() {
    let fixture = Fixture::new();
    let keys = fixture.open();
    let old = keys.create(&acme(), Scopes::all(), "x").unwrap();
    let hour = Duration::from_secs(3_600);
    let new = keys.rotate(&old.id, hour).unwrap().unwrap();
    assert_eq!(new.id, old.id);
    assert_ne!(new.text, old.text);
    assert!(keys.resolve(&old.text).is_some() && keys.resolve(&new.text).is_some());
    fixture.pass_us(3_600_000_000);
    assert_eq!(keys.check(&old.text), Err(Denied::Unknown));
    assert!(keys.resolve(&new.text).is_some());

    // Without overlap every earlier secret ends at once, also one that still had time.
    let third = keys.rotate(&old.id, hour).unwrap().unwrap();
    let last = keys.rotate(&old.id, Duration::ZERO).unwrap().unwrap();
    for gone in [&old.text, &new.text, &third.text] {
        assert_eq!(keys.resolve(gone), None);
    }
    assert!(keys.resolve(&last.text).is_some());

    keys.revoke(&old.id).unwrap();
    assert!(keys.rotate(&old.id, hour).unwrap().is_none());
    assert!(keys.rotate("no-such-id", hour).unwrap().is_none());
}

#[test]
fn a_key_expires_by_itself_and_only_its_holder_hears_why() {
    let fixture = Fixture::new();
    let keys = fixture.open();
    let request = Request {
        tenant: &acme(),
        scopes: Scopes::all(),
        name: "",
        expires_in: Some(Duration::from_secs(60)),
        quotas: Quotas::default(),
    };
    let key = keys.make(&request).unwrap();
    fixture.pass_us(59_999_999);
    assert!(keys.resolve(&key.text).is_some());
    fixture.pass_us(1);
    assert_eq!(keys.check(&key.text), Err(Denied::Expired));
    let mut guess = key.text.clone();
    let last = guess.pop().unwrap();
    guess.push(if last == '0' { '1' } else { '0' });
    assert_eq!(keys.check(&guess), Err(Denied::Unknown));
    assert!(keys.set_expiry(&key.id, None).unwrap());
    assert!(keys.resolve(&key.text).is_some());
}

#[test]
fn another_pepper_is_told_instead_of_refusing_every_key() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let pepper = fixture.dir.path().join(mac::FILE);
    std::fs::write(&pepper, [7; 32]).unwrap();
    let clock: Arc<dyn Clock> = Arc::<FixedClock>::clone(&fixture.clock);
    let error = Keys::open(fixture.dir.path(), clock).unwrap_err();
    assert!(matches!(error, StoreError::OtherPepper { .. }), "{error}");
}

#[test]
fn a_store_of_the_first_layout_keeps_its_keys() {
    let fixture = Fixture::new();
    let pepper = Pepper::open(&fixture.dir.path().join(mac::FILE)).unwrap();
    let texts = ["0123456789abcdef", "fedcba9876543210"].map(text_of);
    let database = Connection::open(fixture.dir.path().join(crate::sqlite::FILE)).unwrap();
    let first = "CREATE TABLE keys (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, \
         scopes TEXT NOT NULL, name TEXT NOT NULL, mac BLOB NOT NULL, \
         created_at_us INTEGER NOT NULL, revoked_at_us INTEGER) STRICT, WITHOUT ROWID; \
         PRAGMA user_version = 1;";
    database.execute_batch(first).unwrap();
    for (text, revoked) in texts.iter().zip([None, Some(5)]) {
        let insert = "INSERT INTO keys VALUES (?, 'acme', 'ingest', 'old', ?, 3, ?)";
        let values = rusqlite::params![id_of(text), pepper.mac(text), revoked];
        database.execute(insert, values).unwrap();
    }
    drop(database);
    let keys = fixture.open();
    assert_eq!(
        keys.resolve(&texts[0]).unwrap().scopes,
        Scope::Ingest.into()
    );
    assert_eq!(keys.resolve(&texts[1]), None);
    assert_eq!(keys.list().unwrap().len(), 2);
    let tenants = keys.tenants().unwrap();
    assert_eq!(
        (tenants.len(), tenants[0].created_at_us, tenants[0].keys),
        (1, 3, 1)
    );
}

#[test]
fn a_store_of_the_second_layout_takes_notes() {
    let fixture = Fixture::new();
    let key = fixture.open().create(&acme(), Scopes::all(), "").unwrap();
    let database = Connection::open(fixture.dir.path().join(crate::sqlite::FILE)).unwrap();
    let second = "DROP TABLE notes; PRAGMA user_version = 2;";
    database.execute_batch(second).unwrap();
    drop(database);
    let keys = fixture.open();
    assert!(keys.resolve(&key.text).is_some());
    let before = keys.version();
    let note = ("a".to_owned(), "{}".to_owned());
    keys.put_note(NoteKind::Budget, &acme(), note).unwrap();
    assert_ne!(keys.version(), before);
    assert_eq!(keys.notes(NoteKind::Budget, Some(&acme())).len(), 1);
    assert_eq!(fixture.open().notes(NoteKind::Budget, None).len(), 1);
    assert!(keys.notes(NoteKind::Reconciled, None).is_empty());
    let other = TenantId::local();
    assert!(!keys.drop_note(NoteKind::Budget, &other, "a").unwrap());
    assert!(keys.drop_note(NoteKind::Budget, &acme(), "a").unwrap());
    assert!(keys.notes(NoteKind::Budget, None).is_empty());
}

#[test]
fn the_list_has_all_keys_oldest_first_and_no_text() {
    let fixture = Fixture::new();
    let keys = fixture.open();
    let first = keys.create(&acme(), Scope::Query.into(), "first").unwrap();
    fixture.pass_us(1);
    let second = keys
        .create(&TenantId::local(), Scopes::all(), "second")
        .unwrap();
    keys.revoke(&first.id).unwrap();
    let listed = keys.list().unwrap();
    let expected = [
        KeyInfo {
            id: first.id,
            tenant: acme(),
            scopes: Scope::Query.into(),
            name: "first".into(),
            quotas: Quotas::default(),
            created_at_us: 1_000_000,
            expires_at_us: None,
            rotated_until_us: None,
            revoked_at_us: Some(1_000_001),
        },
        KeyInfo {
            id: second.id,
            tenant: TenantId::local(),
            scopes: Scopes::all(),
            name: "second".into(),
            quotas: Quotas::default(),
            created_at_us: 1_000_001,
            expires_at_us: None,
            rotated_until_us: None,
            revoked_at_us: None,
        },
    ];
    assert_eq!(listed, expected);
}

#[test]
fn a_database_of_a_newer_weir_is_refused_and_kept() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let database = Connection::open(fixture.dir.path().join(crate::sqlite::FILE)).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let error =
        Keys::open(fixture.dir.path(), Arc::<FixedClock>::clone(&fixture.clock)).unwrap_err();
    assert!(
        matches!(error, StoreError::Layout { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn a_long_name_is_refused() {
    let fixture = Fixture::new();
    let keys = fixture.open();
    let error = keys
        .create(&acme(), Scopes::all(), &"n".repeat(201))
        .unwrap_err();
    assert!(matches!(error, StoreError::Name { .. }), "{error}");
    assert!(keys.is_empty());
}

#[test]
fn keys_are_made_and_used_by_many_threads_at_once() {
    let fixture = Fixture::new();
    let keys = fixture.open();
    std::thread::scope(|scope| {
        for i in 0..4 {
            let (keys, fixture) = (&keys, &fixture);
            scope.spawn(move || {
                for _ in 0..5 {
                    let key = keys.create(&acme(), Scopes::all(), &i.to_string()).unwrap();
                    assert!(keys.resolve(&key.text).is_some());
                    fixture.pass_us(3_000_000);
                }
            });
        }
    });
    assert_eq!(keys.list().unwrap().len(), 20);
}
