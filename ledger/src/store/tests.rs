use super::entry::ADDITIONS_ONLY;
use super::*;
use weir_model::TenantId;
use weir_transforms::trace::TraceId;

const MINUTE: i64 = 60_000_000;

fn config(folder: &Path) -> StoreConfig {
    StoreConfig {
        folder: folder.to_owned(),
        memory_bytes: 1 << 20,
        disk_bytes: 64 << 20,
        kept: Duration::from_secs(600),
        known: Duration::from_secs(6_000),
        every: Duration::from_secs(60),
    }
}

fn key(n: u128) -> TraceKey {
    TraceKey {
        tenant: TenantId::new(if n.is_multiple_of(2) { "acme" } else { "zeta" }).unwrap(),
        trace: TraceId(n),
    }
}

fn entry(flags: u8, text: &str) -> Entry {
    let mut entry = Entry {
        flags,
        ..Entry::default()
    };
    Entry::push(&mut entry.facts, |out| {
        out.extend_from_slice(text.as_bytes())
    });
    entry
}

fn put(store: &mut Store, traces: std::ops::Range<u128>, text: &str, at: i64) {
    let entries = traces.map(|n| (key(n), entry(0, text))).collect();
    let change = Change {
        entries,
        facts: 1,
        received: Some((at, at)),
    };
    let mut position = store.position().clone();
    position.round += 1;
    store.apply(change, position, at);
}

fn facts(store: &Store, n: u128) -> (String, usize) {
    let found = store.get_one(&key(n)).unwrap();
    let pieces = Entry::pieces(&found.facts);
    let texts = pieces.map(|p| String::from_utf8(p.unwrap().to_vec()).unwrap());
    (
        texts.collect::<Vec<_>>().join(" "),
        store.dropped(&key(n)).unwrap().len(),
    )
}

fn reopened(folder: &Path) -> Store {
    let (store, fault) = Store::open(config(folder)).unwrap();
    assert!(fault.is_none(), "{fault:?}");
    store
}

#[test]
fn what_was_written_is_there_after_a_restart_and_what_was_not_is_behind_the_position() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = reopened(dir.path());
    put(&mut store, 0..3_000, "one", MINUTE);
    store.write(MINUTE).unwrap();
    put(&mut store, 0..2, "two", MINUTE);
    assert_eq!(facts(&store, 1), ("one two".into(), 0));
    drop(store);
    let mut store = reopened(dir.path());
    assert_eq!(store.position().round, 1);
    assert_eq!(facts(&store, 1), ("one".into(), 0));
    assert_eq!(facts(&store, 2_999), ("one".into(), 0));
    assert_eq!(facts(&store, 3_000), (String::new(), 0));
    put(&mut store, 0..2, "again", MINUTE);
    store.write(2 * MINUTE).unwrap();
    let store = reopened(dir.path());
    assert_eq!(
        (store.position().round, facts(&store, 0)),
        (2, ("one again".into(), 0))
    );
    assert_eq!(store.size().facts, 2);
}

#[test]
fn few_traces_are_written_again_and_again_into_one_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut long = config(dir.path());
    long.kept = Duration::from_secs(86_400);
    let (mut store, _) = Store::open(long).unwrap();
    for n in 1..20 {
        put(&mut store, n..n + 1, "x", MINUTE);
        store.keep(i64::try_from(n).unwrap() * MINUTE).unwrap();
    }
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(files, 2, "the segment and the manifest");
    let store = reopened(dir.path());
    assert!((1..20).all(|n| facts(&store, n).0 == "x"));
}

#[test]
fn dropped_traces_are_known_as_such_and_a_whole_entry_stands_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = reopened(dir.path());
    let long = "x".repeat(200);
    put(&mut store, 0..2_000, &long, MINUTE);
    store.write(MINUTE).unwrap();
    assert!(store.memory.is_empty(), "sealed");
    put(&mut store, 0..2, "late", 20 * MINUTE);
    store.write(20 * MINUTE).unwrap();
    let mut store = reopened(dir.path());
    assert_eq!(
        facts(&store, 1),
        ("late".into(), 1),
        "its early part was dropped"
    );
    assert_eq!(facts(&store, 1_999), (String::new(), 1));
    assert_eq!(facts(&store, 2_000), (String::new(), 0), "never seen");
    let whole = Change {
        entries: vec![(key(1), entry(WHOLE | ADDITIONS_ONLY, "all"))],
        ..Change::default()
    };
    store.apply(whole, Position::default(), 21 * MINUTE);
    assert_eq!(facts(&store, 1), ("all".into(), 0));
    put(&mut store, 1..2, "later", 22 * MINUTE);
    store.write(22 * MINUTE).unwrap();
    assert_eq!(facts(&reopened(dir.path()), 1), ("all later".into(), 0));
}

#[test]
fn any_damage_makes_the_store_anew() {
    let dir = tempfile::tempdir().unwrap();
    for part in 0..8 {
        let mut store = reopened(dir.path());
        store.clear().unwrap();
        put(&mut store, 0..500, "something to spoil", MINUTE);
        store.write(MINUTE).unwrap();
        let file = store.shadow.as_ref().unwrap().bytes;
        let path = segment::path(dir.path(), store.shadow.as_ref().unwrap().id);
        drop(store);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = usize::try_from(file).unwrap() * part / 8 + 3;
        bytes[at] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
        let (store, fault) = Store::open(config(dir.path())).unwrap();
        let noticed =
            fault.is_some() || (0..500).any(|n| store.get_one(&key(n)).is_err()) || part == 0;
        assert!(noticed, "part {part}");
    }
    std::fs::write(dir.path().join(MANIFEST), "{").unwrap();
    let (store, fault) = Store::open(config(dir.path())).unwrap();
    assert!(fault.is_some());
    assert_eq!(store.position(), &Position::default());
}

#[test]
fn memory_and_disk_stay_within_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let mut limits = config(dir.path());
    limits.disk_bytes = 4 << 20;
    let (mut store, _) = Store::open(limits).unwrap();
    let long = "x".repeat(300);
    for n in 0..40 {
        put(&mut store, n * 1_000..(n + 1) * 1_000, &long, MINUTE);
        store.keep(MINUTE).unwrap();
        assert!(store.size().memory_bytes < 2 << 20, "{:?}", store.size());
    }
    assert!(store.size().disk_bytes < 6 << 20, "{:?}", store.size());
    assert_eq!(facts(&store, 0).1, 1);
    assert_eq!(facts(&store, 39_999).1, 0);
}

/// A restart with an hour of traces at 5,000 spans a second: figures.
#[test]
fn heavy_restart_with_many_facts() {
    if !std::env::var("WEIR_HEAVY").is_ok_and(|value| value == "1") {
        println!("not run: heavy tier (set WEIR_HEAVY=1)");
        return;
    }
    let facts: u128 = std::env::var("WEIR_FACTS").map_or(18_000_000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let limits = StoreConfig {
        memory_bytes: 128 << 20,
        disk_bytes: 16 << 30,
        kept: Duration::from_secs(86_400),
        ..config(dir.path())
    };
    let (mut store, _) = Store::open(limits.clone()).unwrap();
    let began = std::time::Instant::now();
    let fact = "x".repeat(96);
    for some in 0..facts / 10 / 1_000 {
        let traces = some * 1_000..(some + 1) * 1_000;
        let entries = traces.map(|n| {
            let mut entry = Entry::default();
            for _ in 0..10 {
                Entry::push(&mut entry.facts, |out| {
                    out.extend_from_slice(fact.as_bytes())
                });
            }
            (key(n), entry)
        });
        let change = Change {
            entries: entries.collect(),
            facts: 10_000,
            received: Some((MINUTE, MINUTE)),
        };
        store.apply(change, Position::default(), MINUTE);
        store.keep(MINUTE).unwrap();
    }
    store.write(MINUTE).unwrap();
    println!("written in {:?}: {:?}", began.elapsed(), store.size());
    drop(store);
    let began = std::time::Instant::now();
    let (store, fault) = Store::open(limits).unwrap();
    println!(
        "opened in {:?}: {:?}, {} segments",
        began.elapsed(),
        store.size(),
        store.segments.len()
    );
    assert!(fault.is_none());
    let began = std::time::Instant::now();
    for n in 0..10_000 {
        let n = n * (facts / 10 / 10_000);
        assert!(!store.get_one(&key(n)).unwrap().facts.is_empty());
        assert!(store.get_one(&key(n + facts)).unwrap().facts.is_empty());
    }
    println!("20,000 traces looked up in {:?}", began.elapsed());
}
