//! Resources and scopes: written once, then repeated for each of their spans.

use std::borrow::Cow;

use arrow_array::ArrayRef;

use super::span::{ResourceFields, push_capped};
use crate::decode::attributes::ContentError;
use crate::decode::columns::{AttributeColumns, Numbers, Oddities, Text};
use crate::decode::wire::{Reader, WireError};
use crate::decode::{DecodeError, Limits};

/// The columns that spans take from their resource, with one row a resource.
#[derive(Debug)]
pub(super) struct Resources {
    service_name: Text,
    attributes: AttributeColumns,
    dropped_attributes: Numbers<i64>,
    schema_url: Text,
    entity_refs: Text,
    parents: Parents,
}

/// The columns that spans take from their scope, with one row a scope.
#[derive(Debug)]
pub(super) struct Scopes {
    name: Text,
    version: Text,
    attributes: AttributeColumns,
    dropped_attributes: Numbers<i64>,
    schema_url: Text,
    parents: Parents,
}

/// How many rows each parent has, what was odd about it, and how large it is.
#[derive(Debug, Default)]
struct Parents {
    counts: Vec<usize>,
    odd: Oddities,
    bytes: usize,
    bytes_before: usize,
}

impl Parents {
    fn begin(&mut self, odd: Oddities, bytes_now: usize) {
        self.counts.push(0);
        self.odd = odd;
        self.bytes = bytes_now - self.bytes_before;
        self.bytes_before = bytes_now;
    }

    fn count_row(&mut self) -> (usize, Oddities) {
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
        }
        (self.bytes, self.odd)
    }
}

impl Resources {
    pub(super) fn new() -> Self {
        Self {
            service_name: Text::new(1, 16),
            attributes: AttributeColumns::new(1, 8),
            dropped_attributes: Numbers::new(1),
            schema_url: Text::new(1, 0),
            entity_refs: Text::new(1, 0),
            parents: Parents::default(),
        }
    }

    /// Adds the resource that the next spans belong to.
    pub(super) fn begin(
        &mut self,
        fields: &ResourceFields<'_>,
        limits: &Limits,
    ) -> Result<(), ContentError> {
        let mut attributes = Vec::new();
        let mut entities = Vec::new();
        let mut dropped = 0;
        let mut reader = Reader::new(&fields.message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => push_capped(&mut attributes, field.bytes()?, limits.attributes_max),
                2 => dropped = field.uint32()?,
                3 => push_capped(&mut entities, field.bytes()?, limits.attributes_max),
                _ => {}
            }
        }
        let mut odd = Oddities::default();
        self.attributes.push_row(&attributes, limits, &mut odd)?;
        let service = self.attributes.last_value(b"service.name");
        self.service_name
            .push_non_empty(service.unwrap_or_default());
        self.dropped_attributes.push_count(dropped);
        self.schema_url.push_non_empty(fields.schema_url);
        odd.attributes_cut |= self.push_entities(&entities, limits)?;
        let bytes = self.attributes.byte_len()
            + self.service_name.byte_len()
            + self.schema_url.byte_len()
            + self.entity_refs.byte_len();
        self.parents.begin(odd, bytes);
        Ok(())
    }

    /// Gives the resource one more span; says how many bytes that repeats, and what was odd.
    pub(super) fn count_row(&mut self) -> (usize, Oddities) {
        self.parents.count_row()
    }

    /// Adds the entities as a JSON array of objects with the members of `EntityRef`, as many as a
    /// resource may have attributes; says whether there were more, of them or of their keys.
    fn push_entities(&mut self, entities: &[&[u8]], limits: &Limits) -> Result<bool, ContentError> {
        if entities.is_empty() {
            self.entity_refs.push_null();
            return Ok(false);
        }
        let max = limits.attributes_max;
        let mut cut = entities.len() > max;
        let kept = entities.iter().take(max);
        let refs: Result<Vec<_>, _> = kept.map(|e| entity_json(e, max, &mut cut)).collect();
        let text = serde_json::Value::Array(refs?).to_string();
        self.entity_refs.push(text.as_bytes());
        Ok(cut)
    }

    /// The finished columns, one row a span.
    pub(super) fn finish(
        self,
        rows: usize,
        columns: &mut Vec<(&'static str, ArrayRef)>,
    ) -> Result<(), DecodeError> {
        let counts = &self.parents.counts;
        let service = self.service_name.repeat(counts, rows).finish()?;
        let (attributes, types) = self.attributes.repeat(counts, rows).finish()?;
        let dropped = self.dropped_attributes.repeat(counts, rows).finish();
        let schema_url = self.schema_url.repeat(counts, rows).finish()?;
        let entity_refs = self.entity_refs.repeat(counts, rows).finish()?;
        columns.extend([
            ("service_name", service),
            ("resource_attributes", attributes),
            ("resource_attribute_types", types),
            ("resource_dropped_attributes_count", dropped),
            ("resource_schema_url", schema_url),
            ("resource_entity_refs", entity_refs),
        ]);
        Ok(())
    }
}

/// An `EntityRef` as a JSON object, with at most `max` keys of a kind.
fn entity_json(
    message: &[u8],
    max: usize,
    cut: &mut bool,
) -> Result<serde_json::Value, ContentError> {
    let mut schema_url = String::new();
    let mut kind = String::new();
    let mut id_keys = Vec::new();
    let mut description_keys = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => schema_url = text(field.bytes()?)?,
            2 => kind = text(field.bytes()?)?,
            3 if id_keys.len() < max => id_keys.push(text(field.bytes()?)?),
            4 if description_keys.len() < max => description_keys.push(text(field.bytes()?)?),
            3 | 4 => *cut = true,
            _ => {}
        }
    }
    Ok(serde_json::json!({
        "schemaUrl": schema_url,
        "type": kind,
        "idKeys": id_keys,
        "descriptionKeys": description_keys,
    }))
}

fn text(bytes: &[u8]) -> Result<String, ContentError> {
    simdutf8::basic::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| ContentError::Utf8)
}

impl Scopes {
    pub(super) fn new() -> Self {
        Self {
            name: Text::new(1, 16),
            version: Text::new(1, 8),
            attributes: AttributeColumns::new(1, 0),
            dropped_attributes: Numbers::new(1),
            schema_url: Text::new(1, 0),
            parents: Parents::default(),
        }
    }

    /// Adds the scope that the next spans belong to.
    pub(super) fn begin(
        &mut self,
        scope: &[u8],
        schema_url: &[u8],
        limits: &Limits,
    ) -> Result<(), ContentError> {
        let mut name: &[u8] = &[];
        let mut version: &[u8] = &[];
        let mut attributes = Vec::new();
        let mut dropped = 0;
        let mut reader = Reader::new(scope);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => name = field.bytes()?,
                2 => version = field.bytes()?,
                3 => push_capped(&mut attributes, field.bytes()?, limits.attributes_max),
                4 => dropped = field.uint32()?,
                _ => {}
            }
        }
        let mut odd = Oddities::default();
        self.name.push_non_empty(name);
        self.version.push_non_empty(version);
        self.attributes.push_row(&attributes, limits, &mut odd)?;
        self.dropped_attributes.push_count(dropped);
        self.schema_url.push_non_empty(schema_url);
        let bytes = self.attributes.byte_len()
            + self.name.byte_len()
            + self.version.byte_len()
            + self.schema_url.byte_len();
        self.parents.begin(odd, bytes);
        Ok(())
    }

    /// Gives the scope one more span; says how many bytes that repeats, and what was odd.
    pub(super) fn count_row(&mut self) -> (usize, Oddities) {
        self.parents.count_row()
    }

    /// The finished columns, one row a span.
    pub(super) fn finish(
        self,
        rows: usize,
        columns: &mut Vec<(&'static str, ArrayRef)>,
    ) -> Result<(), DecodeError> {
        let counts = &self.parents.counts;
        let (attributes, types) = self.attributes.repeat(counts, rows).finish()?;
        columns.extend([
            ("scope_name", self.name.repeat(counts, rows).finish()?),
            ("scope_version", self.version.repeat(counts, rows).finish()?),
            ("scope_attributes", attributes),
            ("scope_attribute_types", types),
            (
                "scope_dropped_attributes_count",
                self.dropped_attributes.repeat(counts, rows).finish(),
            ),
            (
                "scope_schema_url",
                self.schema_url.repeat(counts, rows).finish()?,
            ),
        ]);
        Ok(())
    }
}

/// The scope of a `ScopeSpans` and its schema URL, wherever they stand in it.
pub(super) fn read_scope(message: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), WireError> {
    let mut scope = None;
    let mut schema_url: &[u8] = &[];
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => scope = Some(crate::decode::wire::merge(scope, field.bytes()?)),
            3 => schema_url = field.bytes()?,
            _ => {}
        }
    }
    Ok((scope.unwrap_or_default(), schema_url))
}
