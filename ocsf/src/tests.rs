//! The tables that the program carries.

use crate::edition::{DEFAULT_VERSION, Edition, versions};
use crate::tables;

#[test]
fn every_table_can_be_read_and_every_pattern_compiles() {
    let labels = versions().expect("tables");
    assert!(labels.contains(&DEFAULT_VERSION));
    for table in tables::all().expect("tables") {
        let schema = table.schema().expect("a table");
        assert!(schema.classes.len() > 40 && schema.shapes.len() > 120);
        for kind in &schema.types {
            if let Some(pattern) = &kind.pattern {
                assert!(pattern.is_readable(), "{} of {}", kind.name, schema.label);
            }
        }
    }
}

#[test]
fn an_event_is_held_against_the_version_that_it_names() {
    let cases = [
        (None, DEFAULT_VERSION),
        (Some("1.1.0"), "1.1.0"),
        (Some("1.0.0"), "1.1.0"),
        (Some("1.3.0"), "1.5.0"),
        (Some("1.6.0"), "1.7.0"),
        (Some("1.8.0"), "1.8.0"),
        (Some("1.8.1"), "1.9.0"),
        (Some("1.9.0"), "1.9.0"),
        (Some("1.9.0-dev"), DEFAULT_VERSION),
        (Some("0.1.0"), DEFAULT_VERSION),
        (Some("2.0.0"), DEFAULT_VERSION),
        (Some("newest"), DEFAULT_VERSION),
    ];
    for (version, label) in cases {
        let edition = Edition::of(version).expect("a table");
        assert_eq!(edition.label(), label, "{version:?}");
    }
    let edition = Edition::of(Some("1.8.0")).expect("a table");
    assert_eq!(edition.class_caption(6003), Some("API Activity"));
    assert_eq!(edition.class_caption(0), Some("Base Event"));
    assert_eq!(edition.class_caption(1), None);
}
