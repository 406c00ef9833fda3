//! Turns the compiled schema of the OCSF project into the text that this crate carries.
//!
//! The input is what the project's own compiler (`ocsf-schema-compiler`) writes for a version,
//! with or without its descriptions. The text has a record a line and a tab between fields:
//!
//! ```text
//! ocsf-facts 1
//! version  LABEL
//! profile  NAME                                           numbered from 0, in order
//! type     NAME PRIMITIVE MIN MAX MAX_LEN REGEX
//! enum     KEY=CAPTION ... | KEY!SINCE=CAPTION ...         numbered from 0, in order
//! attr     NAME TYPE FLAGS PROFILES ENUM SIBLING DEPRECATED   numbered from 0, in order
//! object   NAME DEPRECATED CONSTRAINTS ATTRS
//! class    NAME DEPRECATED CONSTRAINTS ATTRS UID CAPTION
//! ```
//!
//! Types that begin with `:` are objects. Flags are `r` (required), `c`
//! (recommended) and `*` (list). An empty field
//! says that there is none; `DEPRECATED` is the version since when, or `-`. Equal attributes and
//! enums of one version are written once. Equal inputs give equal bytes.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Objects whose attribute `references` is lost where descriptions were taken out of a compiled
/// schema, since the annotation that lists reading for an attribute has the same name. By the
/// definitions of these objects it is an optional list of texts.
const WITH_REFERENCES: &[&str] = &["advisory", "cve", "osint", "remediation", "vulnerability"];

/// The most profiles of a version: they are a set of bits.
const PROFILES_MAX: usize = 64;

/// Why a schema cannot be carried.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(String);

fn fail<T>(text: impl Into<String>) -> Result<T, CompileError> {
    Err(CompileError(text.into()))
}

/// Writes the text for versions, each with the label that events name it by, in rising order.
///
/// # Errors
///
/// Where an input is no compiled schema, or says something that the text has no place for.
pub fn compile(versions: &[(String, Value)]) -> Result<String, CompileError> {
    let mut out = String::from("ocsf-facts 1\n");
    for (label, schema) in versions {
        let text = Compiler::default()
            .version(label, schema)
            .map_err(|error| CompileError(format!("{label}: {error}")))?;
        out.push_str(&text);
    }
    Ok(out)
}

/// One version in the making.
#[derive(Default)]
struct Compiler {
    profiles: Vec<String>,
    enums: Lines,
    attrs: Lines,
    shapes: String,
}

/// Lines, each once.
#[derive(Default)]
struct Lines {
    text: String,
    numbers: HashMap<String, usize>,
}

impl Lines {
    fn number(&mut self, line: String) -> usize {
        if let Some(number) = self.numbers.get(&line) {
            return *number;
        }
        let number = self.numbers.len();
        self.text.push_str(&line);
        self.text.push('\n');
        self.numbers.insert(line, number);
        number
    }
}

impl Compiler {
    fn version(mut self, label: &str, schema: &Value) -> Result<String, CompileError> {
        for (name, _) in sorted(members(schema, "profiles")?) {
            self.profiles.push(plain(name)?.to_owned());
        }
        if self.profiles.len() > PROFILES_MAX {
            return fail("more profiles than there are bits");
        }
        let types = schema
            .pointer("/dictionary/types/attributes")
            .and_then(Value::as_object);
        let Some(types) = types else {
            return fail("there are no types");
        };
        let mut out = format!("version\t{}\n", plain(label)?);
        for (name, kind) in sorted(types) {
            out.push_str(&type_line(name, kind)?);
        }
        for (kind, folder) in [("object", "objects"), ("class", "classes")] {
            for (name, shape) in sorted(members(schema, folder)?) {
                self.shape(kind, name, shape)?;
            }
        }
        for profile in &self.profiles {
            let _ = writeln!(out, "profile\t{profile}");
        }
        out.push_str(&self.enums.text);
        out.push_str(&self.attrs.text);
        out.push_str(&self.shapes);
        Ok(out)
    }

    fn shape(&mut self, kind: &str, name: &str, shape: &Value) -> Result<(), CompileError> {
        let lost = serde_json::json!({"type": "string_t", "is_array": true});
        let mut attributes = sorted(members(shape, "attributes")?);
        let is_lost = kind == "object" && WITH_REFERENCES.contains(&name);
        if is_lost && !attributes.iter().any(|(name, _)| *name == "references") {
            attributes.push(("references", &lost));
            attributes.sort_unstable_by_key(|(name, _)| *name);
        }
        let mut numbers = Vec::new();
        for (attribute, facts) in &attributes {
            let line = self.attr_line(attribute, facts)?;
            numbers.push(self.attrs.number(line).to_string());
        }
        let constraints = constraints(shape)?;
        let (deprecated, numbers) = (deprecated(shape)?, numbers.join(" "));
        let name = plain(name)?;
        let _ = write!(
            self.shapes,
            "{kind}\t{name}\t{deprecated}\t{constraints}\t{numbers}"
        );
        if kind == "class" {
            let uid = shape.get("uid").and_then(Value::as_i64);
            let uid = uid.map(|uid| uid.to_string()).unwrap_or_default();
            let _ = write!(self.shapes, "\t{uid}\t{}", text(shape, "caption")?);
        }
        self.shapes.push('\n');
        Ok(())
    }

    fn attr_line(&mut self, name: &str, facts: &Value) -> Result<String, CompileError> {
        let kind = match text(facts, "type")? {
            "object_t" => format!(":{}", text(facts, "object_type")?),
            other => other.to_owned(),
        };
        let mut flags = String::new();
        match text(facts, "requirement")? {
            "required" => flags.push('r'),
            "recommended" => flags.push('c'),
            _ => {}
        }
        if facts.get("is_array").and_then(Value::as_bool) == Some(true) {
            flags.push('*');
        }
        let profiles = self.profiles_of(facts)?;
        let values = match facts.get("enum").and_then(Value::as_object) {
            Some(values) => self.enums.number(enum_line(values)?).to_string(),
            None => String::new(),
        };
        let (sibling, deprecated) = (text(facts, "sibling")?, deprecated(facts)?);
        Ok(format!(
            "attr\t{}\t{kind}\t{flags}\t{profiles}\t{values}\t{sibling}\t{deprecated}",
            plain(name)?
        ))
    }

    /// The numbers of the profiles of an attribute; empty where it is always there.
    fn profiles_of(&self, facts: &Value) -> Result<String, CompileError> {
        let Some(names) = facts.get("profiles").and_then(Value::as_array) else {
            return Ok(String::new());
        };
        let mut numbers = Vec::new();
        for name in names.iter().filter_map(Value::as_str) {
            let Some(number) = self.profiles.iter().position(|known| known == name) else {
                return fail(format!("an attribute is of the unknown profile {name}"));
            };
            numbers.push(number.to_string());
        }
        if numbers.is_empty() {
            return fail("an attribute is of no profile at all");
        }
        Ok(numbers.join(","))
    }
}

fn type_line(name: &str, kind: &Value) -> Result<String, CompileError> {
    let primitive = match text(kind, "type")? {
        "" => name,
        base => base,
    };
    let range = kind.get("range").and_then(Value::as_array);
    let bound = |index: usize| {
        let bound = range.and_then(|range| range.get(index));
        bound.map(Value::to_string).unwrap_or_default()
    };
    let max_len = kind
        .get("max_len")
        .map(Value::to_string)
        .unwrap_or_default();
    Ok(format!(
        "type\t{}\t{primitive}\t{}\t{}\t{max_len}\t{}\n",
        plain(name)?,
        bound(0),
        bound(1),
        text(kind, "regex")?
    ))
}

fn enum_line(values: &Map<String, Value>) -> Result<String, CompileError> {
    let mut line = String::from("enum");
    for (key, value) in sorted(values) {
        if key.contains(['=', '!']) {
            return fail(format!("the value {key} cannot be written"));
        }
        let mark = match deprecated(value)?.as_str() {
            "" => String::new(),
            since => format!("!{since}"),
        };
        let _ = write!(line, "\t{}{mark}={}", plain(key)?, text(value, "caption")?);
    }
    Ok(line)
}

/// `at_least_one:a,b;just_one:c,d`.
fn constraints(shape: &Value) -> Result<String, CompileError> {
    let Some(rules) = shape.get("constraints").and_then(Value::as_object) else {
        return Ok(String::new());
    };
    let mut all = Vec::new();
    for (rule, names) in sorted(rules) {
        if !matches!(rule, "at_least_one" | "just_one") {
            return fail(format!("the constraint {rule} is not known"));
        }
        let names = names.as_array().into_iter().flatten();
        let names: Vec<&str> = names.filter_map(Value::as_str).collect();
        all.push(format!("{rule}:{}", plain(&names.join(","))?));
    }
    Ok(all.join(";"))
}

/// Since when it is going away; `-` where that is not said, empty where it stays.
fn deprecated(facts: &Value) -> Result<String, CompileError> {
    match facts.get("@deprecated") {
        None => Ok(String::new()),
        Some(mark) => Ok(match text(mark, "since")? {
            "" => "-".to_owned(),
            since => since.to_owned(),
        }),
    }
}

fn members<'v>(value: &'v Value, name: &str) -> Result<&'v Map<String, Value>, CompileError> {
    match value.get(name).and_then(Value::as_object) {
        Some(members) => Ok(members),
        None => fail(format!("there are no {name}")),
    }
}

fn sorted(members: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut all: Vec<_> = members
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    all.sort_unstable_by_key(|(name, _)| *name);
    all
}

/// A text member; empty where it is not there.
fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, CompileError> {
    plain(value.get(name).and_then(Value::as_str).unwrap_or_default())
}

/// A text that a field can hold.
fn plain(text: &str) -> Result<&str, CompileError> {
    if text.contains(['\t', '\n']) {
        return fail("a name has a tab or a line end in it");
    }
    Ok(text)
}
