//! The YAML file, read into settings with the place of each, and every fault of it at once.

use std::fmt;

use saphyr::{MarkedYaml, Marker, ScanError, YamlData, YamlLoader};
use saphyr_parser::Parser;

use crate::config::setting::{Kind, Value};
use crate::config::sinks::{self, SinkEntry};
use crate::config::table::{self, SETTINGS};
use crate::config::tree::{Wrong, tree};

/// Where in a file something stands; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: usize,
    /// The column, in characters.
    pub(crate) column: usize,
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Settings by their index in [`SETTINGS`], in the file's order.
    pub(crate) values: Vec<(usize, Value)>,
    /// Settings of sinks, in the file's order.
    pub(crate) sinks: Vec<(Place, SinkEntry)>,
    /// What is wrong, in the file's order.
    pub(crate) faults: Vec<(Place, String)>,
}

/// Reads `text`; what is right is given also where other parts are wrong.
pub(crate) fn read(text: &str) -> Reading {
    let (documents, faults) = documents(text);
    let mut reading = Reading {
        faults,
        ..Reading::default()
    };
    if let Some(root) = documents.first() {
        reading.section("", root);
    }
    reading.faults.sort_by_key(|(place, _)| *place);
    reading
}

/// The documents in `text`, one in a good file, and what is wrong with them as YAML.
pub(crate) fn documents(text: &str) -> (Vec<MarkedYaml<'_>>, Vec<(Place, String)>) {
    let mut faults = Vec::new();
    let documents = match parse(text, false) {
        Ok(documents) => documents,
        Err(error) => {
            faults.push((error.marker().to_owned().into(), scan_text(&error)));
            // A name that stands twice is the one fault behind which the rest can still be read.
            parse(text, true).unwrap_or_default()
        }
    };
    if let Some(second) = documents.get(1) {
        let why = "a second YAML document; put all into one".to_owned();
        faults.push((second.span.start.into(), why));
    }
    (documents, faults)
}

fn parse(text: &str, twice: bool) -> Result<Vec<MarkedYaml<'_>>, ScanError> {
    let mut loader = YamlLoader::<MarkedYaml<'_>>::default();
    loader.early_parse(false);
    loader.allow_duplicate_keys(twice);
    loader.alias_limit(1_000);
    Parser::new_from_str(text).load(&mut loader, true)?;
    match loader.error() {
        Some(error) => Err(error.clone()),
        None => Ok(loader.into_documents()),
    }
}

fn scan_text(error: &ScanError) -> String {
    format!("this is not YAML: {}", error.info())
}

impl Reading {
    fn fault(&mut self, place: Place, text: String) {
        self.faults.push((place, text));
    }

    /// Reads the names below `prefix`.
    fn section(&mut self, prefix: &str, node: &MarkedYaml<'_>) {
        let names = match &node.data {
            YamlData::Mapping(names) => names,
            YamlData::Representation(..) | YamlData::BadValue if is_empty(node) => return,
            YamlData::Representation(..)
            | YamlData::Value(_)
            | YamlData::Sequence(_)
            | YamlData::Tagged(..)
            | YamlData::Alias(_)
            | YamlData::BadValue => {
                let what = if prefix.is_empty() {
                    "the file"
                } else {
                    prefix
                };
                let text = format!("`{what}` must hold settings as `name: value`");
                return self.fault(node.span.start.into(), text);
            }
        };
        for (key, value) in names {
            let place = key.span.start.into();
            match text_of(key) {
                Some(name) => self.entry(&join(prefix, name), place, value),
                None => self.fault(place, "a name must be plain text".into()),
            }
        }
    }

    fn entry(&mut self, path: &str, place: Place, value: &MarkedYaml<'_>) {
        if path == sinks::SECTION {
            let mut wrong = Wrong::default();
            let below = tree(value, &mut wrong);
            self.sinks.extend(sinks::entries(&below, &mut wrong));
            return self.faults.extend(wrong.0);
        }
        if let Some(index) = SETTINGS.iter().position(|s| s.path == path) {
            return self.setting(index, place, value);
        }
        let inside = format!("{path}.");
        if SETTINGS.iter().any(|s| s.path.starts_with(&inside)) {
            return self.section(path, value);
        }
        let hint = match nearest(path) {
            Some(name) => format!("; did you mean `{name}`?"),
            None => "; `weir config schema` lists the settings".to_owned(),
        };
        self.fault(place, format!("unknown setting `{path}`{hint}"));
    }

    fn setting(&mut self, index: usize, place: Place, node: &MarkedYaml<'_>) {
        let Some(setting) = SETTINGS.get(index) else {
            return;
        };
        if is_empty(node) {
            let text = format!(
                "`{}` has no value; give one or take the line out",
                setting.path
            );
            return self.fault(place, text);
        }
        let read = match (&node.data, setting.kind) {
            (YamlData::Mapping(_), Kind::Map) => return self.map(index, node),
            (_, Kind::Map) => Err("names and texts are wanted, one a line".to_owned()),
            _ => match text_of(node) {
                Some(text) => setting.kind.read(text),
                None => Err(format!("one {} is wanted", setting.kind.name())),
            },
        };
        match read {
            Ok(value) => self.values.push((index, value)),
            Err(why) => {
                let text = format!("`{}`: {why}", setting.path);
                self.fault(node.span.start.into(), text);
            }
        }
    }

    fn map(&mut self, index: usize, node: &MarkedYaml<'_>) {
        let YamlData::Mapping(names) = &node.data else {
            return;
        };
        let mut map = std::collections::BTreeMap::new();
        for (key, value) in names {
            match (text_of(key), text_of(value)) {
                (Some(key), Some(value)) => {
                    map.insert(key.to_owned(), value.to_owned());
                }
                _ => self.fault(value.span.start.into(), "one text is wanted".into()),
            }
        }
        self.values.push((index, Value::Map(map)));
    }
}

fn nearest(path: &str) -> Option<&'static str> {
    let sections = SETTINGS
        .iter()
        .filter_map(|s| Some(s.path.split_once('.')?.0));
    let known = SETTINGS.iter().map(|s| s.path).chain(sections);
    let known = known.chain([sinks::SECTION]);
    table::nearest(path, known).or_else(|| {
        // The right name in the wrong section, or in none.
        let last = path.rsplit('.').next().unwrap_or(path);
        let same = |s: &&crate::config::setting::Setting| s.path.rsplit('.').next() == Some(last);
        let mut found = SETTINGS.iter().filter(same);
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one.path),
            _ => None,
        }
    })
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// The text of a scalar, as written.
pub(crate) fn text_of<'a>(node: &'a MarkedYaml<'_>) -> Option<&'a str> {
    match &node.data {
        YamlData::Representation(text, _, _) => Some(text),
        YamlData::Tagged(_, inner) => text_of(inner),
        YamlData::Value(_)
        | YamlData::Sequence(_)
        | YamlData::Mapping(_)
        | YamlData::Alias(_)
        | YamlData::BadValue => None,
    }
}

/// Whether nothing stands there, or `~` or `null`.
pub(crate) fn is_empty(node: &MarkedYaml<'_>) -> bool {
    match &node.data {
        YamlData::Representation(text, style, _) => {
            *style == saphyr::ScalarStyle::Plain && matches!(&**text, "" | "~" | "null")
        }
        YamlData::BadValue => true,
        YamlData::Tagged(..)
        | YamlData::Value(_)
        | YamlData::Sequence(_)
        | YamlData::Mapping(_)
        | YamlData::Alias(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let reading = read(text);
        let show = |(place, text): &(Place, String)| format!("{place}: {text}");
        reading.faults.iter().map(show).collect()
    }

    #[test]
    fn every_fault_is_reported_at_once_with_its_place() {
        let text = "\
data_dir: /var/lib/weir
listen:
  http: nowhere
  htpt: 1
wal:
  segment_size: 64 potatoes
  batch_age: [1, 2]
quary:
  rows: 5
log: loud
";
        let faults = faults(text);
        let starts = [
            "3:9: `listen.http`",
            "4:3: unknown setting `listen.htpt`; did you mean",
        ];
        for start in starts {
            assert!(faults.iter().any(|f| f.starts_with(start)), "{faults:#?}");
        }
        assert!(
            faults
                .iter()
                .any(|f| f.starts_with("6:17: `wal.segment_size`: a size"))
        );
        assert!(
            faults
                .iter()
                .any(|f| f.starts_with("7:14: `wal.batch_age`"))
        );
        assert!(
            faults
                .iter()
                .any(|f| f.starts_with("8:1: unknown setting `quary`; did you mean `query`?"))
        );
        assert!(
            faults
                .iter()
                .any(|f| f.contains("`log` must hold settings"))
        );
        assert_eq!(faults.len(), 6, "{faults:#?}");
    }

    #[test]
    fn a_name_that_stands_twice_is_a_fault_and_the_rest_is_still_read() {
        let faults = faults("data_dir: a\ndata_dir: b\nwal: {segment_size: x}\n");
        assert_eq!(faults.len(), 2, "{faults:#?}");
        assert!(faults[0].starts_with("2:"), "{faults:#?}");
    }

    #[test]
    fn text_that_is_not_yaml_is_one_fault_with_a_place() {
        let faults = faults("wal:\n  - [unclosed\nx: {");
        assert!(!faults.is_empty());
        assert!(faults[0].contains("not YAML"), "{faults:#?}");
    }

    #[test]
    fn good_files_have_no_faults_and_empty_ones_neither() {
        let text = "lake:\n  url: s3://bucket/weir\n  options:\n    aws_region: eu-west-1\n";
        assert_eq!(faults(text), Vec::<String>::new());
        assert_eq!(read(text).values.len(), 2);
        assert_eq!(faults(""), Vec::<String>::new());
        assert_eq!(faults("# nothing\nwal:\n"), Vec::<String>::new());
    }
}
