//! One version of the schema, as look-ups.

use std::sync::OnceLock;

use regex::Regex;

use crate::version::Version;

/// One version.
#[derive(Debug)]
pub(crate) struct Schema {
    /// The version that events name.
    pub(crate) label: &'static str,
    /// Its profiles; the number of one is its bit.
    pub(crate) profiles: Vec<&'static str>,
    pub(crate) types: Vec<Type>,
    pub(crate) enums: Vec<Values>,
    pub(crate) attrs: Vec<Attr>,
    /// Objects, then classes.
    pub(crate) shapes: Vec<Shape>,
    /// Class ids and where the class is among `shapes`, sorted.
    pub(crate) classes: Vec<(i64, usize)>,
}

/// A class or an object.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// What people call the class; empty for an object.
    pub(crate) caption: &'static str,
    pub(crate) deprecated: Option<Since>,
    pub(crate) constraints: Vec<Constraint>,
    /// Attributes by name, sorted as [`key`] orders.
    pub(crate) members: Vec<(&'static str, usize)>,
    /// Those that are required, as places in [`Schema::attrs`].
    pub(crate) required: Vec<usize>,
}

/// Since when something is going away; empty where that is not said.
pub(crate) type Since = &'static str;

/// Of some attributes, how many must be there.
#[derive(Debug)]
pub(crate) struct Constraint {
    pub(crate) just_one: bool,
    pub(crate) names: Vec<&'static str>,
}

/// An attribute of classes and objects.
#[derive(Debug)]
pub(crate) struct Attr {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) recommended: bool,
    pub(crate) list: bool,
    /// The bits of the profiles that bring it; 0 where it is always there.
    pub(crate) profiles: u64,
    pub(crate) values: Option<usize>,
    pub(crate) sibling: Option<&'static str>,
    pub(crate) deprecated: Option<Since>,
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A scalar, by its place in [`Schema::types`].
    Scalar(usize),
    /// An object, by its place in [`Schema::shapes`].
    Object(usize),
}

/// What JSON a type wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    Boolean,
    Float,
    /// 64 bits.
    Integer,
    /// 128 bits.
    Long,
    Text,
    /// Anything.
    Json,
}

/// A scalar type.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) primitive: Primitive,
    pub(crate) range: Option<(i128, i128)>,
    /// Characters.
    pub(crate) max_len: Option<usize>,
    pub(crate) pattern: Option<Pattern>,
}

/// A pattern, compiled when it is first asked for.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(crate) fn new(source: &'static str) -> Self {
        Self {
            source,
            compiled: OnceLock::new(),
        }
    }

    /// Whether a text is as it should be. A pattern that cannot be read is no reason to blame the
    /// text.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| {
            // The server's patterns end before a last line end; the end is written so.
            let source = match self.source.strip_suffix('$') {
                Some(rest) => format!("{rest}\\n?$"),
                None => self.source.to_owned(),
            };
            Regex::new(&source).ok()
        });
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }

    #[cfg(test)]
    pub(crate) fn is_readable(&self) -> bool {
        self.accepts("");
        matches!(self.compiled.get(), Some(Some(_)))
    }
}

/// A value that an attribute may have.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: &'static str,
    /// The key as a number, where it is one.
    pub(crate) number: Option<i64>,
    pub(crate) caption: &'static str,
    pub(crate) deprecated: Option<Since>,
}

/// The values that an attribute may have, sorted by number, then by key.
#[derive(Debug)]
pub(crate) struct Values(Vec<Entry>);

impl Values {
    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by_key(|entry| (entry.number, entry.key));
        Self(entries)
    }

    /// The value of a number.
    pub(crate) fn of_number(&self, number: i64) -> Option<&Entry> {
        let place = self
            .0
            .binary_search_by_key(&Some(number), |entry| entry.number);
        place.ok().and_then(|place| self.0.get(place))
    }

    /// The value of a text.
    pub(crate) fn of_text(&self, text: &str) -> Option<&Entry> {
        let number = text.parse().ok();
        let place = self
            .0
            .binary_search_by_key(&(number, text), |entry| (entry.number, entry.key));
        place.ok().and_then(|place| self.0.get(place))
    }
}

impl Shape {
    /// The place of an attribute in [`Schema::attrs`].
    pub(crate) fn attr(&self, name: &str) -> Option<usize> {
        let place = self
            .members
            .binary_search_by(|(known, _)| key(known).cmp(&key(name)));
        let (_, attr) = self.members.get(place.ok()?)?;
        Some(*attr)
    }
}

/// How names are ordered: most comparisons end at the length.
pub(crate) fn key(name: &str) -> (usize, &[u8]) {
    (name.len(), name.as_bytes())
}

impl Attr {
    /// Whether it is there under these profiles.
    pub(crate) fn is_visible(&self, profiles: u64) -> bool {
        self.profiles == 0 || self.profiles & profiles != 0
    }
}

impl Schema {
    /// A class by its id.
    pub(crate) fn class(&self, uid: i64) -> Option<&Shape> {
        let place = self.classes.binary_search_by_key(&uid, |(uid, _)| *uid);
        let (_, shape) = self.classes.get(place.ok()?)?;
        self.shapes.get(*shape)
    }

    /// A class or object by its name, looked for one by one: for what is rare.
    pub(crate) fn shape(&self, name: &str, is_class: bool) -> Option<&Shape> {
        let mut shapes = self.shapes.iter();
        shapes.find(|shape| shape.name == name && shape.is_class() == is_class)
    }

    /// The attribute of that name, where it is there under these profiles.
    pub(crate) fn visible(&self, shape: &Shape, name: &str, profiles: u64) -> Option<&Attr> {
        let attr = self.attrs.get(shape.attr(name)?)?;
        attr.is_visible(profiles).then_some(attr)
    }

    /// Whether the shape has attributes under these profiles; one without takes anything.
    pub(crate) fn is_open(&self, shape: &Shape, profiles: u64) -> bool {
        !shape.members.iter().any(|(_, attr)| {
            let attr = self.attrs.get(*attr);
            attr.is_some_and(|attr| attr.is_visible(profiles))
        })
    }

    /// Its version.
    pub(crate) fn version(&self) -> Option<Version<'static>> {
        Version::parse(self.label)
    }
}

impl Shape {
    /// Whether it is a class.
    pub(crate) fn is_class(&self) -> bool {
        !self.caption.is_empty()
    }
}
