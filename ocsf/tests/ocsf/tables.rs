//! How the tables are made.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use weir_ocsf::compile::compile;

/// The file that the program carries, and what it is made of.
const INPUTS: &[(&str, &str)] = &[
    ("1.1.0", "ocsf-1.1.0.facts.json.gz"),
    ("1.5.0", "ocsf-1.5.0.facts.json.gz"),
    ("1.7.0", "ocsf-1.7.0.facts.json.gz"),
    ("1.8.0", "ocsf-1.8.0.facts.json.gz"),
    ("1.9.0", "ocsf-1.9.0-dev.facts.json.gz"),
];

fn schema() -> Value {
    json!({
        "profiles": {"cloud": {}, "trace": {}},
        "dictionary": {"types": {"attributes": {
            "string_t": {"caption": "String"},
            "port_t": {"type": "integer_t", "range": [0, 65535]},
            "integer_t": {},
        }}},
        "objects": {"cve": {"attributes": {
            "uid": {"type": "string_t", "requirement": "required"},
        }, "constraints": {"at_least_one": ["uid", "title"]}}},
        "classes": {"call": {"uid": 6003, "caption": "Call", "@deprecated": {"since": "1.2.0"}, "attributes": {
            "cves": {"type": "object_t", "object_type": "cve", "is_array": true},
            "port": {"type": "port_t", "requirement": "recommended", "profiles": ["trace"],
                "enum": {"2": {"caption": "B"}, "1": {"caption": "A", "@deprecated": {"since": "1.1.0"}}},
                "sibling": "port_name"},
        }}},
    })
}

const TEXT: &str = "ocsf-facts 1
version\t1.0.0
type\tinteger_t\tinteger_t\t\t\t\t
type\tport_t\tinteger_t\t0\t65535\t\t
type\tstring_t\tstring_t\t\t\t\t
profile\tcloud
profile\ttrace
enum\t1!1.1.0=A\t2=B
attr\treferences\tstring_t\t*\t\t\t\t
attr\tuid\tstring_t\tr\t\t\t\t
attr\tcves\t:cve\t*\t\t\t\t
attr\tport\tport_t\tc\t1\t0\tport_name\t
object\tcve\t\tat_least_one:uid,title\t0 1
class\tcall\t1.2.0\t\t2 3\t6003\tCall
";

#[test]
fn a_schema_is_written_as_its_page_says() {
    let text = compile(&[("1.0.0".to_owned(), schema())]).unwrap();
    assert_eq!(text, TEXT);
}

#[test]
fn the_order_of_members_does_not_matter() {
    let mut turned = schema();
    let class = turned["classes"]["call"].as_object_mut().unwrap();
    let attributes = class.shift_remove("attributes").unwrap();
    let mut last_first: Vec<_> = attributes
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .collect();
    last_first.reverse();
    class.insert(
        "attributes".to_owned(),
        Value::Object(last_first.into_iter().collect()),
    );
    assert_ne!(turned.to_string(), schema().to_string());
    assert_eq!(compile(&[("1.0.0".to_owned(), turned)]).unwrap(), TEXT);
}

#[test]
fn what_has_no_place_in_the_text_is_refused() {
    let with = |path: &str, value: Value| {
        let mut schema = schema();
        *schema.pointer_mut(path).unwrap() = value;
        compile(&[("1.0.0".to_owned(), schema)])
            .unwrap_err()
            .to_string()
    };
    let port = "/classes/call/attributes/port";
    let cases = [
        (with("/profiles", json!(7)), "there are no profiles"),
        (
            with(&format!("{port}/profiles"), json!(["host"])),
            "unknown profile",
        ),
        (
            with(&format!("{port}/profiles"), json!([])),
            "no profile at all",
        ),
        (
            with(&format!("{port}/sibling"), json!("a\tb")),
            "a tab or a line end",
        ),
        (
            with(&format!("{port}/enum"), json!({"a=b": {}})),
            "cannot be written",
        ),
        (
            with("/objects/cve/constraints", json!({"most": []})),
            "is not known",
        ),
    ];
    for (told, wanted) in cases {
        assert!(
            told.starts_with("1.0.0: ") && told.contains(wanted),
            "{told}"
        );
    }
}

#[test]
fn the_tables_are_what_their_inputs_give() {
    let packed = include_bytes!("../../data/schema.zst");
    let text = zstd::bulk::decompress(packed, 8 << 20).unwrap();
    assert!(packed.len() < 64 << 10, "{}", packed.len());
    let Some(samples) = std::env::var_os("WEIR_SHARED_SAMPLES") else {
        return;
    };
    let data = Path::new(&samples).parent().unwrap().join("data");
    let read = |(label, file): &(&str, &str)| {
        let packed = std::fs::read(data.join(file)).unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        ((*label).to_owned(), serde_json::from_slice(&plain).unwrap())
    };
    let inputs: Vec<(String, Value)> = INPUTS.iter().map(read).collect();
    assert_eq!(compile(&inputs).unwrap().as_bytes(), text);
}
