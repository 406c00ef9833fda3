//! The operator's other YAML files, as a tree with the place of everything.

use saphyr::{MarkedYaml, YamlData};

use crate::config::file::{self, Place};

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Where it begins.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) node: Node,
}

/// What a part of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Nothing stands there.
    Empty,
    /// A text, a number or a date, as it is written.
    Text(String),
    /// One after the other.
    List(Vec<Tree>),
    /// By name, with the place of each name.
    Map(Vec<(String, Place, Tree)>),
}

/// What is wrong, by where; in the order of the file once all is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) Vec<(Place, String)>);

impl Wrong {
    /// Adds a fault.
    pub(crate) fn at(&mut self, place: Place, why: impl Into<String>) {
        self.0.push((place, why.into()));
    }

    /// `good` where nothing is wrong.
    ///
    /// # Errors
    ///
    /// All that is wrong, in the order of the file.
    pub(crate) fn or<T>(mut self, good: T) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(good);
        }
        self.0.sort();
        Err(self)
    }
}

/// Reads `text`; an empty file is [`Node::Empty`].
pub(crate) fn read(text: &str, wrong: &mut Wrong) -> Tree {
    let (documents, faults) = file::documents(text);
    wrong.0.extend(faults);
    documents.first().map_or(
        Tree {
            place: Place { line: 1, column: 1 },
            node: Node::Empty,
        },
        |root| tree(root, wrong),
    )
}

/// The part of a file that begins with `yaml`.
pub(crate) fn tree(yaml: &MarkedYaml<'_>, wrong: &mut Wrong) -> Tree {
    let place = yaml.span.start.into();
    let node = match &yaml.data {
        _ if file::is_empty(yaml) => Node::Empty,
        YamlData::Representation(text, _, _) => Node::Text(text.to_string()),
        YamlData::Sequence(items) => Node::List(items.iter().map(|i| tree(i, wrong)).collect()),
        YamlData::Mapping(names) => {
            let mut map = Vec::new();
            for (key, value) in names {
                match file::text_of(key) {
                    Some(name) => {
                        let at = key.span.start.into();
                        map.push((name.to_owned(), at, tree(value, wrong)));
                    }
                    None => wrong.at(key.span.start.into(), "a name must be plain text"),
                }
            }
            Node::Map(map)
        }
        YamlData::Tagged(_, inner) => return tree(inner, wrong),
        YamlData::Value(_) | YamlData::Alias(_) | YamlData::BadValue => {
            wrong.at(
                place,
                "this is not understood; plain text, lists and names are wanted",
            );
            Node::Empty
        }
    };
    Tree { place, node }
}

impl Tree {
    /// The names in it; another kind of thing is a fault.
    pub(crate) fn names(&self, wrong: &mut Wrong) -> &[(String, Place, Tree)] {
        match &self.node {
            Node::Map(names) => names,
            Node::Empty => &[],
            Node::Text(_) | Node::List(_) => {
                wrong.at(self.place, "names are wanted here, as `name: value`");
                &[]
            }
        }
    }

    /// The items in it; another kind of thing is a fault.
    pub(crate) fn items(&self, wrong: &mut Wrong) -> &[Self] {
        match &self.node {
            Node::List(items) => items,
            Node::Empty => &[],
            Node::Text(_) | Node::Map(_) => {
                wrong.at(self.place, "a list is wanted here, each item behind a `-`");
                &[]
            }
        }
    }

    /// The text; another kind of thing is a fault.
    pub(crate) fn text(&self, wrong: &mut Wrong) -> Option<&str> {
        match &self.node {
            Node::Text(text) => Some(text),
            Node::Empty | Node::List(_) | Node::Map(_) => {
                wrong.at(self.place, "one text or number is wanted here");
                None
            }
        }
    }
}

/// The fault of a name that is not known, with the nearest that is.
pub(crate) fn unknown(name: &str, known: &[&str]) -> String {
    match crate::config::table::nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown name `{name}`; did you mean `{near}`?"),
        None => format!("unknown name `{name}`; known are {}", known.join(", ")),
    }
}
