//! The events and links of spans: lists of structs, written member by member.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields};
use weir_model::schema;

use super::rejects::is_zero;
use super::span::{EventFields, LinkFields};
use crate::decode::attributes::ContentError;
use crate::decode::columns::{AttributeColumns, Numbers, Oddities, Text, Validity};
use crate::decode::{DecodeError, Limits};

/// What an event or a link takes besides its texts: numbers, offsets, and the bounds of its maps.
const ITEM_BYTES: usize = 48;

/// The bounds of a list column; a row without items is NULL.
#[derive(Debug)]
struct Bounds {
    offsets: Vec<i32>,
    nulls: Validity,
}

impl Bounds {
    fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            nulls: Validity::default(),
        }
    }

    #[inline]
    fn end_row(&mut self, items: usize) {
        let end = i32::try_from(items).unwrap_or(i32::MAX);
        self.nulls.push(self.offsets.last() != Some(&end));
        self.offsets.push(end);
    }

    fn finish(self, members: Fields, columns: Vec<ArrayRef>) -> Result<ArrayRef, DecodeError> {
        let items = StructArray::try_new(members.clone(), columns, None)
            .map_err(|_| DecodeError::Internal)?;
        let field = Arc::new(Field::new("element", DataType::Struct(members), true));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        ListArray::try_new(field, offsets, Arc::new(items), self.nulls.finish())
            .map(|lists| Arc::new(lists) as ArrayRef)
            .map_err(|_| DecodeError::Internal)
    }
}

/// The growing column of events.
#[derive(Debug)]
pub(super) struct Events {
    bounds: Bounds,
    time: Numbers<i64>,
    name: Text,
    attributes: AttributeColumns,
    dropped_attributes: Numbers<i64>,
    time_flag: Text,
}

impl Events {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            bounds: Bounds::new(rows),
            time: Numbers::new(0),
            name: Text::new(0, 0),
            attributes: AttributeColumns::new(0, 0),
            dropped_attributes: Numbers::new(0),
            time_flag: Text::new(0, 0),
        }
    }

    /// The bytes that input can blow up.
    pub(super) fn byte_len(&self) -> usize {
        self.attributes.byte_len() + self.name.byte_len() + self.name.len() * ITEM_BYTES
    }

    /// Adds the events of a span, and says whether there were more than the limit.
    pub(super) fn push_row(
        &mut self,
        events: &[&[u8]],
        limits: &Limits,
        odd: &mut Oddities,
    ) -> Result<bool, ContentError> {
        let mut attributes = Vec::new();
        for message in events.iter().take(limits.events_max) {
            let event = EventFields::read(message, &mut attributes, limits)?;
            self.push_time(event.time);
            self.name.push(event.name);
            self.attributes.push_row(&attributes, limits, odd)?;
            self.dropped_attributes.push_count(event.dropped_attributes);
        }
        self.bounds.end_row(self.name.len());
        Ok(events.len() > limits.events_max)
    }

    fn push_time(&mut self, nanos: u64) {
        let time = i64::try_from(nanos).ok().filter(|_| nanos != 0);
        self.time.push_opt(time);
        match (time, nanos) {
            (Some(_), _) => self.time_flag.push_null(),
            (None, 0) => self.time_flag.push(b"no_time"),
            (None, nanos) => {
                let row = self.time_flag.open_row();
                row.extend_from_slice(b"time_overflow=");
                row.extend_from_slice(itoa::Buffer::new().format(nanos).as_bytes());
                self.time_flag.end_row();
            }
        }
    }

    pub(super) fn finish(self) -> Result<ArrayRef, DecodeError> {
        let (attributes, types) = self.attributes.finish()?;
        let columns = vec![
            self.time.finish(),
            self.name.finish()?,
            attributes,
            types,
            self.dropped_attributes.finish(),
            self.time_flag.finish()?,
        ];
        self.bounds.finish(schema::event_fields(), columns)
    }
}

/// The growing column of links.
#[derive(Debug)]
pub(super) struct Links {
    bounds: Bounds,
    trace_id: Text,
    span_id: Text,
    trace_state: Text,
    attributes: AttributeColumns,
    dropped_attributes: Numbers<i64>,
    flags: Numbers<i64>,
}

impl Links {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            bounds: Bounds::new(rows),
            trace_id: Text::new(0, 0),
            span_id: Text::new(0, 0),
            trace_state: Text::new(0, 0),
            attributes: AttributeColumns::new(0, 0),
            dropped_attributes: Numbers::new(0),
            flags: Numbers::new(0),
        }
    }

    /// The bytes that input can blow up.
    pub(super) fn byte_len(&self) -> usize {
        self.attributes.byte_len()
            + self.trace_id.byte_len()
            + self.span_id.byte_len()
            + self.trace_state.byte_len()
            + self.span_id.len() * ITEM_BYTES
    }

    /// Adds the links of a span, and says whether there were more than the limit, and whether
    /// one has an id that is missing, of the wrong length or all zero.
    pub(super) fn push_row(
        &mut self,
        links: &[&[u8]],
        limits: &Limits,
        odd: &mut Oddities,
    ) -> Result<(bool, bool), ContentError> {
        let mut attributes = Vec::new();
        let mut bad_id = false;
        for message in links.iter().take(limits.links_max) {
            let link = LinkFields::read(message, &mut attributes, limits)?;
            bad_id |= link.trace_id.len() != 16 || is_zero(link.trace_id);
            bad_id |= link.span_id.len() != 8 || is_zero(link.span_id);
            push_id(&mut self.trace_id, link.trace_id);
            push_id(&mut self.span_id, link.span_id);
            self.trace_state.push_non_empty(link.trace_state);
            self.attributes.push_row(&attributes, limits, odd)?;
            self.dropped_attributes.push_count(link.dropped_attributes);
            self.flags.push_count(i64::from(link.flags));
        }
        self.bounds.end_row(self.trace_id.len());
        Ok((links.len() > limits.links_max, bad_id))
    }

    pub(super) fn finish(self) -> Result<ArrayRef, DecodeError> {
        let (attributes, types) = self.attributes.finish()?;
        let columns = vec![
            self.trace_id.finish()?,
            self.span_id.finish()?,
            self.trace_state.finish()?,
            attributes,
            types,
            self.dropped_attributes.finish(),
            self.flags.finish(),
        ];
        self.bounds.finish(schema::link_fields(), columns)
    }
}

/// Adds an id as sent; NULL where there is none.
fn push_id(column: &mut Text, id: &[u8]) {
    if id.is_empty() {
        column.push_null();
    } else {
        column.push_hex(id);
    }
}
