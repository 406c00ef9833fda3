//! What can be shown of the configuration: the effective one, the reference page, the schema.

use serde_json::{Map, Value as Json, json};

use crate::config::Config;
use crate::config::load::shown;
use crate::config::setting::{Kind, Setting, Value};
use crate::config::sinks;
use crate::config::table::SETTINGS;

/// What stands in place of a secret.
const MASK: &str = "***";

/// The effective configuration as a YAML file, secrets masked.
pub(crate) fn yaml(config: &Config) -> String {
    let mut out = String::new();
    let mut section = "";
    for setting in SETTINGS {
        let (inside, name) = setting.path.split_once('.').unwrap_or(("", setting.path));
        if inside != section {
            section = inside;
            out.push_str(&format!("{section}:\n"));
        }
        let indent = if inside.is_empty() { "" } else { "  " };
        write(&mut out, (indent, name), setting, config);
    }
    if !config.sinks.is_empty() {
        out.push_str(&format!("{}:\n", sinks::SECTION));
    }
    for (name, sink) in &config.sinks {
        let kind = sink.kind();
        out.push_str(&format!("  {name}:\n    kind: {}\n", kind.name));
        for setting in kind.all_settings() {
            write(&mut out, ("    ", setting.path), setting, sink);
        }
    }
    out
}

/// Writes one setting.
fn write<C>(out: &mut String, (indent, name): (&str, &str), setting: &Setting<C>, from: &C) {
    let value = (setting.get)(from);
    match value {
        Value::Map(map) if map.is_empty() => out.push_str(&format!("{indent}{name}: {{}}\n")),
        Value::Map(map) => {
            out.push_str(&format!("{indent}{name}:\n"));
            for (key, text) in &map {
                let shown = if setting.secret { MASK } else { text };
                let shown = json!(shown);
                out.push_str(&format!("{indent}  {}: {shown}\n", quoted(key)));
            }
        }
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
            out.push_str(&format!("{indent}{name}: [{}]\n", items.join(", ")));
        }
        Value::Text(text) if text.is_empty() => {
            out.push_str(&format!("{indent}# {name}: (not set)\n"));
        }
        Value::Text(_) if setting.secret => {
            out.push_str(&format!("{indent}{name}: \"{MASK}\"\n"));
        }
        Value::Text(text) => {
            let text = quoted(&without_password(&text));
            out.push_str(&format!("{indent}{name}: {text}\n"));
        }
        Value::Switch(_)
        | Value::Count(_)
        | Value::Span(_)
        | Value::Address(_)
        | Value::Ceiling(_) => {
            let text = shown(setting.kind, &value);
            out.push_str(&format!("{indent}{name}: {text}\n"));
        }
    }
}

/// Text in double quotes where YAML could read it as something else.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '.'));
    if starts && text.chars().all(plain) {
        text.to_owned()
    } else {
        json!(text).to_string()
    }
}

/// A URL may carry credentials; they are never shown.
fn without_password(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else {
        return text.to_owned();
    };
    let masked = url.password().is_some() && url.set_password(Some(MASK)).is_ok();
    if masked { url.into() } else { text.to_owned() }
}

/// The JSON Schema of the file, for editors.
pub(crate) fn schema() -> Json {
    let mut root = Map::new();
    for setting in SETTINGS {
        match setting.path.split_once('.') {
            None => {
                let schema = setting_schema(setting, &Config::default());
                root.insert(setting.path.to_owned(), schema);
            }
            Some((section, name)) => {
                let entry = root.entry(section.to_owned());
                let entry = entry.or_insert_with(empty_object);
                if let Some(names) = entry
                    .pointer_mut("/properties")
                    .and_then(Json::as_object_mut)
                {
                    let schema = setting_schema(setting, &Config::default());
                    names.insert(name.to_owned(), schema);
                }
            }
        }
    }
    let kinds: Vec<Json> = sinks::KINDS.iter().map(|kind| kind_schema(kind)).collect();
    let section = json!({
        "type": "object",
        "description": "Where rows go besides the lake, by name.",
        "propertyNames": { "pattern": "^[a-z][a-z0-9_-]{0,63}$" },
        "additionalProperties": { "oneOf": kinds },
    });
    root.insert(sinks::SECTION.to_owned(), section);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "weir configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": root,
    })
}

fn empty_object() -> Json {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

fn kind_schema(kind: &sinks::Kind) -> Json {
    let start = (kind.start)();
    let mut names = Map::new();
    names.insert(
        "kind".to_owned(),
        json!({ "const": kind.name, "description": kind.help }),
    );
    for setting in kind.all_settings() {
        names.insert(setting.path.to_owned(), setting_schema(setting, &start));
    }
    let needs = ["kind"].into_iter().chain(kind.needs.iter().copied());
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": needs.collect::<Vec<_>>(),
        "properties": names,
    })
}

fn setting_schema<C>(setting: &Setting<C>, start: &C) -> Json {
    let mut schema = match setting.kind {
        Kind::Text | Kind::Address => json!({ "type": "string" }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer", "minimum": 1 }),
        Kind::Size => json!({
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": "^[0-9_ ]+(B|[kKMGT]B?|[KMGT]iB)?$" },
            ],
        }),
        Kind::Span => json!({ "type": "string", "pattern": "^([0-9]+ *(us|ms|s|m|h|d) *)+$" }),
        Kind::Ceiling => json!({
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": "^(unlimited|[0-9_ ]+(B|[kKMGT]B?|[KMGT]iB)?)$" },
            ],
        }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::List => json!({ "type": "array", "items": { "type": "string" } }),
    };
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".into(), setting.help.into());
        let default = default_text(setting, start);
        if !default.is_empty() && !setting.secret {
            fields.insert("default".into(), default.into());
        }
    }
    schema
}

fn default_text<C>(setting: &Setting<C>, start: &C) -> String {
    shown(setting.kind, &(setting.get)(start))
}

/// The reference page, `docs/config.md`.
pub(crate) fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made by `weir config docs`; a test compares it. Do not edit by hand. -->\n\n\
         One YAML file (`--config FILE` or `WEIR_CONFIG`), environment variables and flags; flags \
         win over\nthe environment, the environment over the file, the file over the defaults. \
         Any setting can be given\nas a flag with `--set NAME=VALUE`. `weir config check` reports \
         every fault at once,\n`weir config print` shows what is in force with secrets masked, \
         and `weir config schema` gives a\nJSON Schema for editors.\n\n\
         Sizes are numbers with `KiB`, `MiB`, `GiB` (or `kB`, `MB`, `GB`); times are numbers with \
         `us`, `ms`,\n`s`, `m`, `h` or `d`.\n",
    );
    let mut section = None;
    for setting in SETTINGS {
        let inside = setting
            .path
            .split_once('.')
            .map_or("", |(section, _)| section);
        if section != Some(inside) {
            section = Some(inside);
            let title = if inside.is_empty() {
                "The node"
            } else {
                inside
            };
            out.push_str(&format!(
                "\n## {title}\n\n| setting | kind | default | variable | what |\n|---|---|---|---|---|\n"
            ));
        }
        let variable = format!("`{}`", setting.env());
        row(&mut out, setting, &Config::default(), Some(&variable));
    }
    sinks_markdown(&mut out);
    out
}

/// One setting as a row of a table.
fn row<C>(out: &mut String, setting: &Setting<C>, start: &C, variable: Option<&str>) {
    let default = match default_text(setting, start) {
        text if text.is_empty() => "-".to_owned(),
        text => format!("`{text}`"),
    };
    let variable = variable.map_or_else(String::new, |name| format!(" {name} |"));
    out.push_str(&format!(
        "| `{}` | {} | {default} |{variable} {} |\n",
        setting.path,
        setting.kind.name(),
        setting.help
    ));
}

/// The part of the page about sinks.
fn sinks_markdown(out: &mut String) {
    let head = "\n| setting | kind | default | what |\n|---|---|---|---|\n";
    out.push_str(
        "\n## sinks\n\nWhere rows go besides the lake: any number of sinks, each under a name of \
         its own with a `kind`.\n\n\
         ```yaml\nsinks:\n  audit_trail:\n    kind: webhook\n    \
         url: https://audit.example/rows\n    datasets: [proxy_audit]\n```\n\n\
         A setting can also come from the variable `WEIR_SINKS_<NAME>_<SETTING>` (a variable \
         `WEIR_SINKS_<NAME>_KIND` makes\na sink of its own) or the flag \
         `--set sinks.NAME.SETTING=VALUE`. What goes where may be changed while the node\nruns: \
         `datasets`, `tenants`, `exclude_tenants` and `exclude_columns` are read again on SIGHUP; \
         a batch that was\nsealed before keeps the routes that it was sealed under.\n\n\
         `weir config check --connect` asks each sink what it is and whether it can be used.\n\n\
         ### Every sink\n",
    );
    out.push_str(head);
    let common = sinks::SinkConfig {
        shared: sinks::Shared::default(),
        ..sinks::first()
    };
    for setting in sinks::shared_settings() {
        row(out, setting, &common, None);
    }
    for kind in sinks::KINDS {
        let needs: Vec<String> = kind.needs.iter().map(|need| format!("`{need}`")).collect();
        let needs = if needs.is_empty() {
            String::new()
        } else {
            format!(" It needs {}.", needs.join(", "))
        };
        out.push_str(&format!(
            "\n### kind: {}\n\n{}{needs}\n",
            kind.name, kind.help
        ));
        out.push_str(head);
        let start = (kind.start)();
        for setting in sinks::shared_settings() {
            if (setting.get)(&start) != (setting.get)(&common) {
                row(out, setting, &start, None);
            }
        }
        for setting in kind.settings {
            row(out, setting, &start, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    #[test]
    fn what_is_printed_reads_back_without_faults() {
        let config = Config::default();
        let reading = file::read(&yaml(&config));
        assert_eq!(reading.faults, [], "{}", yaml(&config));
        let mut again = Config::default();
        for (index, value) in reading.values {
            (SETTINGS[index].set)(&mut again, value);
        }
        assert_eq!(again, config);
    }

    #[test]
    fn secrets_are_never_printed() {
        let mut config = Config::default();
        let secret = "hunter2-very-secret";
        config.lake.options = [("aws_secret_access_key".into(), secret.into())].into();
        config.lake.url = format!("s3://user:{secret}@bucket/weir");
        config.state.postgres_url = format!("host=db user=weir password={secret}");
        let text = yaml(&config);
        assert!(!text.contains(secret), "{text}");
        assert!(text.contains("postgres_url: \"***\""), "{text}");
        assert!(text.contains("aws_secret_access_key: \"***\""), "{text}");
    }

    #[test]
    fn the_reference_page_is_the_one_in_the_repository() {
        crate::document::compare("docs/config.md", &markdown());
    }

    #[test]
    fn the_schema_knows_every_setting() {
        let schema = schema();
        for setting in SETTINGS {
            let path = setting.path.replace('.', "/properties/");
            let found = schema.pointer(&format!("/properties/{path}/description"));
            assert!(found.is_some(), "{}", setting.path);
        }
    }
}
