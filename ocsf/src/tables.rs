//! Reads the tables that the program carries; the text is described at [`crate::compile`].

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::schema::{
    Attr, Constraint, Entry, Kind, Pattern, Primitive, Schema, Shape, Type, Values, key,
};

/// The tables, packed.
const PACKED: &[u8] = include_bytes!("../data/schema.zst");

/// The most that they are unpacked: more than ten times what they are.
const PLAIN_BYTES_MAX: usize = 8 << 20;

/// The tables of this program cannot be read: a defect of its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the OCSF tables of this program cannot be read: {0}")]
pub struct TablesError(pub(crate) &'static str);

/// A version's part of the text, and the schema once it has been asked for.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) label: &'static str,
    text: &'static str,
    schema: OnceLock<Result<Schema, TablesError>>,
}

impl Table {
    /// The schema, read when it is first asked for.
    pub(crate) fn schema(&self) -> Result<&Schema, TablesError> {
        let read = self.schema.get_or_init(|| read(self.label, self.text));
        read.as_ref().map_err(|error| *error)
    }
}

/// All versions, in rising order.
pub(crate) fn all() -> Result<&'static [Table], TablesError> {
    static TEXT: OnceLock<Result<String, TablesError>> = OnceLock::new();
    static TABLES: OnceLock<Result<Vec<Table>, TablesError>> = OnceLock::new();
    let text = TEXT.get_or_init(unpack);
    let tables = TABLES.get_or_init(|| {
        let text = text.as_ref().map_err(|error| *error)?;
        split(text)
    });
    tables.as_deref().map_err(|error| *error)
}

fn unpack() -> Result<String, TablesError> {
    let bytes = zstd::bulk::decompress(PACKED, PLAIN_BYTES_MAX)
        .map_err(|_| TablesError("they do not unpack"))?;
    String::from_utf8(bytes).map_err(|_| TablesError("they are no text"))
}

fn split(text: &'static str) -> Result<Vec<Table>, TablesError> {
    let Some(versions) = text.strip_prefix("ocsf-facts 1") else {
        return Err(TablesError("they are of another form"));
    };
    let mut tables = Vec::new();
    for part in versions.split("\nversion\t").skip(1) {
        let Some((label, text)) = part.split_once('\n') else {
            return Err(TablesError("a version has no label"));
        };
        tables.push(Table {
            label,
            text,
            schema: OnceLock::new(),
        });
    }
    Ok(tables)
}

/// What is gathered while a version is read.
struct Reader {
    schema: Schema,
    types: HashMap<&'static str, usize>,
    objects: HashMap<&'static str, usize>,
}

type Fields<'f> = std::str::Split<'static, char>;

fn read(label: &'static str, text: &'static str) -> Result<Schema, TablesError> {
    let mut reader = Reader {
        schema: Schema {
            label,
            profiles: Vec::new(),
            types: Vec::new(),
            enums: Vec::new(),
            attrs: Vec::new(),
            shapes: Vec::new(),
            classes: Vec::new(),
        },
        types: HashMap::new(),
        objects: HashMap::new(),
    };
    // Attributes name objects that stand below them.
    let objects = text
        .lines()
        .filter_map(|line| line.strip_prefix("object\t"));
    for (place, object) in objects.enumerate() {
        let name = object.split('\t').next().unwrap_or_default();
        reader.objects.insert(name, place);
    }
    for line in text.lines() {
        let mut fields = line.split('\t');
        match fields.next() {
            Some("profile") => reader.schema.profiles.push(field(&mut fields)?),
            Some("type") => reader.read_type(fields)?,
            Some("enum") => reader.schema.enums.push(values(fields)?),
            Some("attr") => reader.read_attr(fields)?,
            Some("object") => reader.read_shape(fields, false)?,
            Some("class") => reader.read_shape(fields, true)?,
            Some(_) | None => return Err(TablesError("a line is of no known kind")),
        }
    }
    let Reader {
        mut schema, types, ..
    } = reader;
    inherit(&mut schema.types, &types);
    schema.classes.sort_unstable();
    Ok(schema)
}

fn field(fields: &mut Fields<'_>) -> Result<&'static str, TablesError> {
    fields.next().ok_or(TablesError("a line is too short"))
}

/// A field that may be empty.
fn option(fields: &mut Fields<'_>) -> Result<Option<&'static str>, TablesError> {
    field(fields).map(|text| Some(text).filter(|text| !text.is_empty()))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, TablesError> {
    text.parse().map_err(|_| TablesError("a number is not one"))
}

/// Since when; a dash stands for a time that is not said.
fn since(text: Option<&'static str>) -> Option<&'static str> {
    text.map(|text| if text == "-" { "" } else { text })
}

fn primitive(name: &str) -> Option<Primitive> {
    Some(match name {
        "boolean_t" => Primitive::Boolean,
        "float_t" => Primitive::Float,
        "integer_t" => Primitive::Integer,
        "long_t" => Primitive::Long,
        "string_t" => Primitive::Text,
        "json_t" => Primitive::Json,
        _ => return None,
    })
}

/// A type that does not say its range or length has those of the type that it is made of.
fn inherit(types: &mut [Type], places: &HashMap<&'static str, usize>) {
    let text = places.get("string_t").and_then(|place| types.get(*place));
    let text_max = text.and_then(|text| text.max_len);
    for kind in types {
        if kind.primitive == Primitive::Text && kind.max_len.is_none() {
            kind.max_len = text_max;
        }
    }
}

fn values(fields: Fields<'_>) -> Result<Values, TablesError> {
    let mut entries = Vec::new();
    for entry in fields {
        let Some((left, caption)) = entry.split_once('=') else {
            return Err(TablesError("a value has no caption"));
        };
        let (key, mark) = match left.split_once('!') {
            Some((key, mark)) => (key, Some(mark)),
            None => (left, None),
        };
        entries.push(Entry {
            key,
            number: key.parse().ok(),
            caption,
            deprecated: since(mark),
        });
    }
    Ok(Values::new(entries))
}

impl Reader {
    fn read_type(&mut self, mut fields: Fields<'_>) -> Result<(), TablesError> {
        let name = field(&mut fields)?;
        let primitive = primitive(field(&mut fields)?);
        let primitive = primitive.ok_or(TablesError("a type is made of an unknown one"))?;
        let range = match (option(&mut fields)?, option(&mut fields)?) {
            (Some(min), Some(max)) => Some((number(min)?, number(max)?)),
            (Some(_), None) | (None, _) => None,
        };
        let max_len = option(&mut fields)?.map(number).transpose()?;
        let pattern = option(&mut fields)?.map(Pattern::new);
        self.types.insert(name, self.schema.types.len());
        self.schema.types.push(Type {
            name,
            primitive,
            range,
            max_len,
            pattern,
        });
        Ok(())
    }

    fn read_attr(&mut self, mut fields: Fields<'_>) -> Result<(), TablesError> {
        let name = field(&mut fields)?;
        let kind = field(&mut fields)?;
        let kind = match kind.strip_prefix(':') {
            Some(object) => self.objects.get(object).copied().map(Kind::Object),
            None => self.types.get(kind).copied().map(Kind::Scalar),
        };
        let flags = field(&mut fields)?;
        let mut profiles = 0_u64;
        for profile in field(&mut fields)?
            .split(',')
            .filter(|text| !text.is_empty())
        {
            let bit = 1_u64.checked_shl(number(profile)?);
            profiles |= bit.ok_or(TablesError("there are too many profiles"))?;
        }
        let values = option(&mut fields)?.map(number).transpose()?;
        self.schema.attrs.push(Attr {
            name,
            kind: kind.ok_or(TablesError("an attribute is of an unknown type"))?,
            required: flags.contains('r'),
            recommended: flags.contains('c'),
            list: flags.contains('*'),
            profiles,
            values,
            sibling: option(&mut fields)?,
            deprecated: since(option(&mut fields)?),
        });
        Ok(())
    }

    fn read_shape(&mut self, mut fields: Fields<'_>, is_class: bool) -> Result<(), TablesError> {
        let name = field(&mut fields)?;
        let deprecated = since(option(&mut fields)?);
        let constraints = field(&mut fields)?
            .split(';')
            .filter(|text| !text.is_empty());
        let constraints = constraints.map(constraint).collect::<Result<_, _>>()?;
        let (mut members, mut required) = (Vec::new(), Vec::new());
        for place in field(&mut fields)?
            .split(' ')
            .filter(|text| !text.is_empty())
        {
            let place: usize = number(place)?;
            let attr = self.schema.attrs.get(place);
            let attr = attr.ok_or(TablesError("there is no such attribute"))?;
            members.push((attr.name, place));
            if attr.required {
                required.push(place);
            }
        }
        members.sort_unstable_by(|(a, _), (b, _)| key(a).cmp(&key(b)));
        let mut caption = "";
        if is_class {
            if let Some(uid) = option(&mut fields)? {
                let place = self.schema.shapes.len();
                self.schema.classes.push((number(uid)?, place));
            }
            caption = field(&mut fields)?;
        }
        self.schema.shapes.push(Shape {
            name,
            caption,
            deprecated,
            constraints,
            members,
            required,
        });
        Ok(())
    }
}

fn constraint(text: &'static str) -> Result<Constraint, TablesError> {
    let Some((rule, names)) = text.split_once(':') else {
        return Err(TablesError("a constraint has no names"));
    };
    Ok(Constraint {
        just_one: rule == "just_one",
        names: names.split(',').collect(),
    })
}
