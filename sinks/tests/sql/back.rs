//! Rows as a reader of a database finds them, back in Arrow.

use std::fmt;
use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder,
    StructBuilder,
};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Fields};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use weir_model::Dataset;
use weir_model::schema::{ColumnType, event_fields, link_fields};

/// A value: times as microseconds, days as their number, money as a decimal, nested values as JSON.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
}

/// JSON with the order of its members.
#[derive(Clone, Debug)]
pub(crate) enum Json {
    Null,
    Int(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        match self {
            Self::Null => f.write_str("null"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(all) => {
                let all: Vec<String> = all.iter().map(Self::to_string).collect();
                write!(f, "[{}]", all.join(","))
            }
            Self::Object(members) => {
                let members = members.iter();
                let members = members.map(|(name, value)| format!("{}:{value}", quoted(name)));
                write!(f, "{{{}}}", members.collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, an integer, text, a list or an object")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Int(i64::try_from(number).unwrap()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = from.next_element()? {
            list.push(one);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = from.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

/// Gathers rows of a dataset.
#[derive(Debug)]
pub(crate) struct Rows {
    dataset: Dataset,
    columns: Vec<Vec<Cell>>,
}

impl Rows {
    pub(crate) fn new(dataset: Dataset) -> Self {
        let columns = vec![Vec::new(); dataset.columns().len()];
        Self { dataset, columns }
    }

    /// A row, in the order of the dataset's columns.
    pub(crate) fn push(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len());
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
        }
    }

    pub(crate) fn finish(self) -> RecordBatch {
        let columns = self.dataset.columns().iter().zip(&self.columns);
        let arrays = columns.map(|(column, cells)| array(column.kind, cells));
        RecordBatch::try_new(self.dataset.schema(), arrays.collect()).unwrap()
    }
}

fn array(kind: ColumnType, cells: &[Cell]) -> ArrayRef {
    let ints = || cells.iter().map(int);
    match kind {
        ColumnType::Text => Arc::new(cells.iter().map(text).collect::<StringArray>()),
        ColumnType::Int32 => {
            let small = ints().map(|n| n.map(|n| i32::try_from(n).unwrap()));
            Arc::new(small.collect::<Int32Array>())
        }
        ColumnType::Int64 => Arc::new(ints().collect::<Int64Array>()),
        ColumnType::Bool => {
            let bits = ints().map(|n| n.map(|n| n == 1));
            Arc::new(bits.collect::<BooleanArray>())
        }
        ColumnType::Date => {
            let days = ints().map(|n| n.map(|n| i32::try_from(n).unwrap()));
            Arc::new(days.collect::<Date32Array>())
        }
        ColumnType::Time => {
            let times: TimestampMicrosecondArray = ints().collect();
            Arc::new(times.with_timezone("UTC"))
        }
        ColumnType::Float64 => {
            let numbers = cells.iter().map(|cell| match cell {
                Cell::Null => None,
                Cell::Float(number) => Some(*number),
                Cell::Int(_) | Cell::Text(_) => panic!("{cell:?} is no double"),
            });
            Arc::new(numbers.collect::<Float64Array>())
        }
        ColumnType::Money | ColumnType::MoneySum => {
            let money = cells.iter().map(|cell| text(cell).map(units));
            let money: Decimal128Array = money.collect();
            Arc::new(money.with_data_type(kind.arrow()))
        }
        ColumnType::Texts => {
            let element = Field::new("element", DataType::Utf8, true);
            let mut list = ListBuilder::new(StringBuilder::new()).with_field(element);
            for cell in cells {
                put_list(&mut list, cell, |to, one| to.append_option(string(one)));
            }
            Arc::new(list.finish())
        }
        ColumnType::Ints => {
            let element = Field::new("element", DataType::Int64, true);
            let mut list = ListBuilder::new(Int64Builder::new()).with_field(element);
            for cell in cells {
                put_list(&mut list, cell, |to, one| to.append_option(number(one)));
            }
            Arc::new(list.finish())
        }
        ColumnType::Attributes => {
            let mut map = attributes();
            for cell in cells {
                put_map(&mut map, json(cell).as_ref());
            }
            Arc::new(map.finish())
        }
        ColumnType::SpanEvents => structs(event_fields(), cells),
        ColumnType::SpanLinks => structs(link_fields(), cells),
    }
}

fn text(cell: &Cell) -> Option<&str> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) => Some(text),
        Cell::Int(_) | Cell::Float(_) => panic!("{cell:?} is no text"),
    }
}

fn int(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Null => None,
        Cell::Int(number) => Some(*number),
        Cell::Float(_) | Cell::Text(_) => panic!("{cell:?} is no integer"),
    }
}

fn json(cell: &Cell) -> Option<Json> {
    text(cell).map(|text| serde_json::from_str(text).unwrap())
}

fn units(text: &str) -> i128 {
    let (whole, rest) = text.split_once('.').unwrap();
    assert_eq!(rest.len(), 12, "{text}");
    format!("{whole}{rest}").parse().unwrap()
}

fn string(value: &Json) -> Option<&str> {
    match value {
        Json::Null => None,
        Json::Text(text) => Some(text),
        Json::Int(_) | Json::List(_) | Json::Object(_) => panic!("{value:?} is no text"),
    }
}

fn number(value: &Json) -> Option<i64> {
    match value {
        Json::Null => None,
        Json::Int(number) => Some(*number),
        Json::Text(_) | Json::List(_) | Json::Object(_) => panic!("{value:?} is no integer"),
    }
}

fn put_list<B: ArrayBuilder>(
    list: &mut ListBuilder<B>,
    cell: &Cell,
    mut put: impl FnMut(&mut B, &Json),
) {
    match json(cell) {
        None => list.append(false),
        Some(Json::List(all)) => {
            all.iter().for_each(|one| put(list.values(), one));
            list.append(true);
        }
        Some(other) => panic!("{other:?} is no list"),
    }
}

type Attributes = MapBuilder<StringBuilder, StringBuilder>;

fn attributes() -> Attributes {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
}

/// The members in the order of their keys: an object has none of its own.
fn put_map(map: &mut Attributes, value: Option<&Json>) {
    match value {
        None | Some(Json::Null) => map.append(false).unwrap(),
        Some(Json::Object(members)) => {
            let mut members = members.clone();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            for (key, value) in &members {
                map.keys().append_value(key);
                map.values().append_option(string(value));
            }
            map.append(true).unwrap();
        }
        Some(other) => panic!("{other:?} is no object"),
    }
}

fn structs(fields: Fields, cells: &[Cell]) -> ArrayRef {
    let builders = fields.iter().map(|field| -> Box<dyn ArrayBuilder> {
        if *field.data_type() == DataType::Int64 {
            Box::new(Int64Builder::new())
        } else if *field.data_type() == DataType::Utf8 {
            Box::new(StringBuilder::new())
        } else {
            Box::new(attributes())
        }
    });
    let builders = builders.collect();
    let element = Field::new("element", DataType::Struct(fields.clone()), true);
    let list = StructBuilder::new(fields.clone(), builders);
    let mut list = ListBuilder::new(list).with_field(element);
    for cell in cells {
        put_list(&mut list, cell, |to, one| put_struct(to, &fields, one));
    }
    Arc::new(list.finish())
}

fn put_struct(to: &mut StructBuilder, fields: &Fields, value: &Json) {
    let Json::Object(members) = value else {
        panic!("{value:?} is no object");
    };
    for (at, field) in fields.iter().enumerate() {
        let member = members.iter().find(|(name, _)| name == field.name());
        let member = member.map_or(&Json::Null, |(_, value)| value);
        if let Some(ints) = to.field_builder::<Int64Builder>(at) {
            ints.append_option(number(member));
        } else if let Some(texts) = to.field_builder::<StringBuilder>(at) {
            texts.append_option(string(member));
        } else if let Some(map) = to.field_builder::<Attributes>(at) {
            put_map(map, Some(member));
        }
    }
    to.append(true);
}
