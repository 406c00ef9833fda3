use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::config::setting::{Kind as Of, Value};
use crate::config::{Config, Faults, Sources, document, load};

const FILE: &str = "\
sinks:
  audit-trail:
    kind: webhook
    url: https://audit.example/rows
    headers: {Authorization: hunter2-very-secret}
    datasets: [proxy_audit, ocsf_events]
    required: true
  splunk:
    kind: splunk_hec
    url: https://splunk.example:8088
    token: hunter2-very-secret
    batch_rows: 500
";

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    list.iter().map(own).collect()
}

fn read(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, Faults> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.yaml");
    std::fs::write(&path, file).unwrap();
    load(&Sources {
        file: Some(path),
        environment: pairs(environment),
        flags: pairs(flags),
    })
}

fn webhook(config: &Config, name: &str) -> WebhookConfig {
    let Target::Webhook(webhook) = &config.sinks[name].target else {
        panic!("{:?}", config.sinks[name].target);
    };
    webhook.clone()
}

#[test]
fn sinks_come_from_the_file_the_environment_and_flags() {
    let environment = [
        ("WEIR_SINKS_AUDIT_TRAIL_TIMEOUT", "7s"),
        ("WEIR_SINKS_AUDIT_TRAIL_DATASETS", "spans, proxy_audit"),
        ("WEIR_SINKS_AUDIT_KIND", "webhook"),
        ("WEIR_SINKS_AUDIT_URL", "http://127.0.0.1:9/"),
    ];
    let flags = [("sinks.audit.url", "http://127.0.0.1:10/")];
    let config = read(FILE, &environment, &flags).unwrap();
    assert_eq!(config.sinks.len(), 3);
    let trail = webhook(&config, "audit-trail");
    assert_eq!(trail.timeout, Duration::from_secs(7));
    assert_eq!(trail.url, "https://audit.example/rows");
    let shared = &config.sinks["audit-trail"].shared;
    assert_eq!(shared.datasets, ["spans", "proxy_audit"]);
    assert!(shared.required);
    assert_eq!(webhook(&config, "audit").url, "http://127.0.0.1:10/");
    assert_eq!(config.sinks["splunk"].shared.batch_rows, 500);
}

#[test]
fn every_fault_of_every_sink_is_told_at_once_with_its_place() {
    let file = "\
sinks:
  Lake House: {kind: webhook, url: x}
  lake: {kind: webhook, url: x}
  nameless: {url: x}
  odd: {kind: webhok, url: x}
  hook:
    kind: webhook
    urll: http://x
    batch_rows: many
    datasets: [span]
    exclude_columns: [start_time, spans.nonsense]
  copy: {kind: otlp, url: http://x, datasets: [proxy_audit]}
";
    let environment = [("WEIR_SINKS_NOBODY_URL", "x")];
    let Faults(faults) = read(file, &environment, &[]).unwrap_err();
    let wanted = [
        "2:16: `Lake House` cannot name a sink",
        "3:10: `lake` cannot name a sink",
        "`sinks.nameless` has no `kind`; one of clickhouse, otlp, postgres, snowflake, splunk_hec, sqlite, webhook",
        "`sinks.odd.kind`: unknown name `webhok`; did you mean `webhook`?",
        "8:5: unknown setting `sinks.hook.urll`; did you mean `url`?",
        "9:5: `sinks.hook.batch_rows`: a whole number",
        "`sinks.hook` needs `url`, as every sink of kind webhook does",
        "`sinks.hook.datasets`: unknown name `span`; did you mean `spans`?",
        "`start_time` cannot be left out: every row of spans has it",
        "there is no column `spans.nonsense`",
        "`sinks.copy.datasets`: a sink of kind otlp cannot hold `proxy_audit`",
        "environment WEIR_SINKS_NOBODY_URL: there is no such sink",
    ];
    for text in wanted {
        assert!(
            faults.iter().any(|f| f.contains(text)),
            "{text}: {faults:#?}"
        );
    }
    assert_eq!(faults.len(), wanted.len(), "{faults:#?}");
}

#[test]
fn what_is_printed_reads_back_and_shows_no_secret() {
    let config = read(FILE, &[], &[]).unwrap();
    let text = document::yaml(&config);
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    let again = read(&text, &[], &[]).unwrap();
    let secrets = [
        (
            "WEIR_SINKS_AUDIT_TRAIL_HEADERS",
            "Authorization=hunter2-very-secret",
        ),
        ("WEIR_SINKS_SPLUNK_TOKEN", "hunter2-very-secret"),
    ];
    assert_ne!(again, config);
    assert_eq!(read(&text, &secrets, &[]).unwrap().sinks, config.sinks);
}

#[test]
fn each_setting_of_each_kind_writes_the_field_that_it_reads() {
    for kind in KINDS {
        let mut names = BTreeSet::new();
        for setting in kind.all_settings() {
            let mut sink = (kind.start)();
            let other = match (setting.get)(&sink) {
                Value::Text(now) => {
                    let words = match setting.kind {
                        Of::OneOf(words) => words,
                        Of::Text
                        | Of::Switch
                        | Of::Count
                        | Of::Size
                        | Of::Span
                        | Of::Address
                        | Of::Ceiling
                        | Of::Map
                        | Of::List
                        | Of::TenantLakes => &["other"],
                    };
                    let other = words.iter().find(|word| **word != now);
                    Value::Text((*other.unwrap()).to_owned())
                }
                Value::Switch(on) => Value::Switch(!on),
                Value::Count(n) => Value::Count(n + 1),
                Value::Span(time) => Value::Span(time * 2 + Duration::from_secs(1)),
                Value::Address(_) => Value::Address(([10, 0, 0, 1], 1).into()),
                Value::Ceiling(_) => Value::Ceiling(Some(7)),
                Value::Map(_) => Value::Map([("a".into(), "b".into())].into()),
                Value::List(_) => Value::List(vec!["a".into()]),
                Value::TenantLakes(_) => panic!("{}: no sink has lakes", setting.path),
            };
            (setting.set)(&mut sink, other.clone());
            assert_eq!(
                (setting.get)(&sink),
                other,
                "{}.{}",
                kind.name,
                setting.path
            );
            assert!(names.insert(setting.path), "{}.{}", kind.name, setting.path);
            // `WEIR_SINKS_X_KIND` makes a sink.
            assert!(!setting.path.ends_with("kind"), "{}", setting.path);
        }
        for need in kind.needs {
            assert!(names.contains(need), "{}: {need}", kind.name);
        }
        assert_eq!((kind.start)().kind().name, kind.name);
    }
}
