//! A span on the wire, its fields found but its lists not yet read.

use std::borrow::Cow;

use crate::decode::Limits;
use crate::decode::wire::{Reader, WireError, merge};

/// Adds an item to a list of which `max` are taken. One more is kept, which tells that there were
/// more: millions of empty ones fit a small body, and a list of them all would not fit memory.
#[inline(always)]
pub(super) fn push_capped<'a>(list: &mut Vec<&'a [u8]>, item: &'a [u8], max: usize) {
    if list.len() <= max {
        list.push(item);
    }
}

/// The fields of a `Span`. The lists keep their room from span to span, and hold at most one item
/// more than the limits allow.
#[derive(Debug, Default)]
pub(super) struct SpanFields<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    pub(super) trace_state: &'a [u8],
    pub(super) parent_span_id: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) kind: i32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<&'a [u8]>,
    pub(super) dropped_attributes: i64,
    pub(super) events: Vec<&'a [u8]>,
    pub(super) dropped_events: i64,
    pub(super) links: Vec<&'a [u8]>,
    pub(super) dropped_links: i64,
    pub(super) status_code: i32,
    pub(super) status_message: &'a [u8],
    pub(super) flags: u32,
}

impl<'a> SpanFields<'a> {
    /// Reads a `Span` over whatever was here before.
    pub(super) fn read(&mut self, message: &'a [u8], limits: &Limits) -> Result<(), WireError> {
        let mut attributes = std::mem::take(&mut self.attributes);
        let mut events = std::mem::take(&mut self.events);
        let mut links = std::mem::take(&mut self.links);
        attributes.clear();
        events.clear();
        links.clear();
        *self = Self {
            attributes,
            events,
            links,
            ..Self::default()
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                9 => push_capped(&mut self.attributes, field.bytes()?, limits.attributes_max),
                1 => self.trace_id = field.bytes()?,
                2 => self.span_id = field.bytes()?,
                3 => self.trace_state = field.bytes()?,
                4 => self.parent_span_id = field.bytes()?,
                5 => self.name = field.bytes()?,
                6 => self.kind = field.int32()?,
                7 => self.start = field.fixed64()?,
                8 => self.end = field.fixed64()?,
                10 => self.dropped_attributes = field.uint32()?,
                11 => push_capped(&mut self.events, field.bytes()?, limits.events_max),
                12 => self.dropped_events = field.uint32()?,
                13 => push_capped(&mut self.links, field.bytes()?, limits.links_max),
                14 => self.dropped_links = field.uint32()?,
                15 => self.read_status(field.bytes()?)?,
                16 => self.flags = field.fixed32()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_status(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                2 => self.status_message = field.bytes()?,
                3 => self.status_code = field.int32()?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The fields of a `Span.Event`.
#[derive(Debug, Default)]
pub(super) struct EventFields<'a> {
    pub(super) time: u64,
    pub(super) name: &'a [u8],
    pub(super) dropped_attributes: i64,
}

impl<'a> EventFields<'a> {
    /// Reads a `Span.Event`; its attributes are put into `attributes`.
    pub(super) fn read(
        message: &'a [u8],
        attributes: &mut Vec<&'a [u8]>,
        limits: &Limits,
    ) -> Result<Self, WireError> {
        let mut event = Self::default();
        attributes.clear();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => event.time = field.fixed64()?,
                2 => event.name = field.bytes()?,
                3 => push_capped(attributes, field.bytes()?, limits.attributes_max),
                4 => event.dropped_attributes = field.uint32()?,
                _ => {}
            }
        }
        Ok(event)
    }
}

/// The fields of a `Span.Link`.
#[derive(Debug, Default)]
pub(super) struct LinkFields<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    pub(super) trace_state: &'a [u8],
    pub(super) dropped_attributes: i64,
    pub(super) flags: u32,
}

impl<'a> LinkFields<'a> {
    /// Reads a `Span.Link`; its attributes are put into `attributes`.
    pub(super) fn read(
        message: &'a [u8],
        attributes: &mut Vec<&'a [u8]>,
        limits: &Limits,
    ) -> Result<Self, WireError> {
        let mut link = Self::default();
        attributes.clear();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => link.trace_id = field.bytes()?,
                2 => link.span_id = field.bytes()?,
                3 => link.trace_state = field.bytes()?,
                4 => push_capped(attributes, field.bytes()?, limits.attributes_max),
                5 => link.dropped_attributes = field.uint32()?,
                6 => link.flags = field.fixed32()?,
                _ => {}
            }
        }
        Ok(link)
    }
}

/// What spans share: the resource, its entities and its schema, found wherever they stand.
#[derive(Debug, Default)]
pub(super) struct ResourceFields<'a> {
    pub(super) message: Cow<'a, [u8]>,
    pub(super) schema_url: &'a [u8],
}

impl<'a> ResourceFields<'a> {
    /// Reads what a `ResourceSpans` says of its spans; they themselves are skipped.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut resource = None;
        let mut schema_url: &[u8] = &[];
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => resource = Some(merge(resource, field.bytes()?)),
                3 => schema_url = field.bytes()?,
                _ => {}
            }
        }
        Ok(Self {
            message: resource.unwrap_or_default(),
            schema_url,
        })
    }
}
