//! What every state must hold to of notes.

use weir_store::{NOTES_MAX, Note, NoteKind, Postgres, State as _, StoreError};

use crate::{Place, key, tenant};

fn note(kind: NoteKind, owner: &str, id: &str, body: &str) -> Note {
    Note {
        kind,
        tenant: tenant(owner),
        id: id.to_owned(),
        body: body.to_owned(),
        at_us: 7,
    }
}

pub(crate) fn a_note_is_kept_replaced_and_dropped(place: &Place) {
    let (one, other) = (place.open(), place.open());
    assert_eq!(one.load().unwrap().notes, []);
    let (budget, mark) = (NoteKind::Budget, NoteKind::Reconciled);
    let texts = "'; DROP TABLE notes; -- \u{1f511} $1";
    let all = [
        note(budget, "acme", "a", "1"),
        note(budget, "acme", texts, texts),
        note(budget, "zeta", "a", "2"),
        note(mark, "acme", "a", "3"),
    ];
    for one_note in all.iter().rev() {
        let before = other.version().unwrap();
        one.put_note(one_note).unwrap();
        assert_ne!(other.version().unwrap(), before);
    }
    let mut expected = all.to_vec();
    expected.sort_by(|a, b| {
        (a.kind, a.tenant.as_str(), &a.id).cmp(&(b.kind, b.tenant.as_str(), &b.id))
    });
    assert_eq!(other.load().unwrap().notes, expected);
    let newer = Note {
        at_us: 9,
        ..note(budget, "acme", "a", "10")
    };
    other.put_note(&newer).unwrap();
    let found = place.open().load().unwrap().notes;
    assert_eq!(found.len(), 4);
    assert!(found.contains(&newer), "{found:?}");
    assert!(one.drop_note(budget, &tenant("acme"), "a").unwrap());
    let version = one.version().unwrap();
    assert!(!one.drop_note(budget, &tenant("acme"), "a").unwrap());
    assert_eq!(
        one.version().unwrap(),
        version,
        "what was not there changes nothing"
    );
    let left = other.load().unwrap().notes;
    assert_eq!(left.len(), 3, "those of others stay");
    let long = note(budget, "acme", "b", &"x".repeat(5_000));
    assert!(matches!(one.put_note(&long), Err(StoreError::NoteSize)));
    assert_eq!(other.load().unwrap().notes, left);
}

pub(crate) fn a_tenant_has_so_many_notes_of_a_kind(place: &Place) {
    let state = place.open();
    place.run(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
         INSERT INTO notes SELECT 'budget', 'acme', CAST(i AS TEXT), '', 1 FROM n",
        NOTES_MAX - 1
    ));
    let more = state.put_note(&note(NoteKind::Budget, "acme", "more", ""));
    assert!(matches!(more, Err(StoreError::TooManyNotes)), "{more:?}");
    state
        .put_note(&note(NoteKind::Budget, "acme", "0", "again"))
        .unwrap();
    state
        .put_note(&note(NoteKind::Budget, "zeta", "0", ""))
        .unwrap();
    state
        .put_note(&note(NoteKind::Reconciled, "acme", "0", ""))
        .unwrap();
}

/// A state that nodes of the layout before had made is brought up to date by the first new one.
#[test]
fn a_shared_state_of_the_second_layout_is_brought_up_to_date() {
    let Some(place) = Place::postgres() else {
        return;
    };
    let Place::Postgres(url) = &place else {
        return;
    };
    let state = Postgres::open(url, None).unwrap();
    state.add_key(&key("k", "acme", 1)).unwrap();
    drop(state);
    place.run("DROP TABLE notes; UPDATE state SET layout = 2");
    let state = Postgres::open(url, None).unwrap();
    assert_eq!(state.load().unwrap().keys.len(), 1);
    state
        .put_note(&note(NoteKind::Budget, "acme", "a", ""))
        .unwrap();
    place.run("UPDATE state SET layout = 4");
    let refused = Postgres::open(url, None).unwrap_err();
    assert!(
        matches!(refused, StoreError::Layout { found: 4, known: 3 }),
        "{refused}"
    );
}
