//! The columns that each span fills itself.

use arrow_array::ArrayRef;

use super::lists::{Events, Links};
use super::rejects::is_zero;
use super::span::SpanFields;
use crate::decode::attributes::ContentError;
use crate::decode::columns::{AttributeColumns, Numbers, Oddities, Text, TextLists};
use crate::decode::{Acceptance, DecodeError, Limits};

/// How many attributes a span is expected to have, for the first allocation.
const ATTRIBUTES_GUESS: usize = 16;

/// Whether an id that may be missing was sent, and whether it is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OptionalId {
    None,
    Sound,
    Odd,
}

impl OptionalId {
    fn of(id: &[u8], length: usize) -> Self {
        if id.is_empty() {
            Self::None
        } else if id.len() == length && !is_zero(id) {
            Self::Sound
        } else {
            Self::Odd
        }
    }
}

/// What was odd about a span beside its attributes.
#[derive(Clone, Copy, Debug, Default)]
struct SpanOddities {
    attributes: Oddities,
    events_cut: bool,
    links_cut: bool,
    bad_parent_id: bool,
    bad_link_id: bool,
}

/// The growing columns of spans; see the schema for what each means.
#[derive(Debug)]
pub(super) struct SpanColumns {
    rows: usize,
    trace_id: Text,
    span_id: Text,
    parent_span_id: Text,
    trace_state: Text,
    flags: Numbers<i64>,
    name: Text,
    kind: Text,
    start_time: Numbers<i64>,
    end_time: Numbers<i64>,
    start_nanos: Numbers<i64>,
    end_nanos: Numbers<i64>,
    duration: Numbers<i64>,
    time_flags: TextLists,
    status_code: Text,
    status_message: Text,
    attributes: AttributeColumns,
    dropped_attributes: Numbers<i64>,
    events: Events,
    dropped_events: Numbers<i64>,
    links: Links,
    dropped_links: Numbers<i64>,
    decode_flags: TextLists,
    content_key: Text,
    part_date: Numbers<i32>,
}

impl SpanColumns {
    /// Empty columns with room for `rows`.
    pub(super) fn new(rows: usize) -> Self {
        Self {
            rows: 0,
            trace_id: Text::new(rows, 32),
            span_id: Text::new(rows, 16),
            parent_span_id: Text::new(rows, 16),
            trace_state: Text::new(rows, 0),
            flags: Numbers::new(rows),
            name: Text::new(rows, 16),
            kind: Text::new(rows, 8),
            start_time: Numbers::new(rows),
            end_time: Numbers::new(rows),
            start_nanos: Numbers::new(rows),
            end_nanos: Numbers::new(rows),
            duration: Numbers::new(rows),
            time_flags: TextLists::new(rows),
            status_code: Text::new(rows, 6),
            status_message: Text::new(rows, 0),
            attributes: AttributeColumns::new(rows, ATTRIBUTES_GUESS),
            dropped_attributes: Numbers::new(rows),
            events: Events::new(rows),
            dropped_events: Numbers::new(rows),
            links: Links::new(rows),
            dropped_links: Numbers::new(rows),
            decode_flags: TextLists::new(rows),
            content_key: Text::new(rows, 32),
            part_date: Numbers::new(rows),
        }
    }

    /// The rows so far.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes of those columns that input can blow up.
    pub(super) fn byte_len(&self) -> usize {
        self.attributes.byte_len()
            + self.events.byte_len()
            + self.links.byte_len()
            + self.name.byte_len()
            + self.trace_state.byte_len()
            + self.status_message.byte_len()
            + self.parent_span_id.byte_len()
    }

    /// Adds a span whose ids are sound; `inherited` is what was odd about its resource and scope.
    pub(super) fn push(
        &mut self,
        span: &SpanFields<'_>,
        content_key: &[u8],
        inherited: [Oddities; 2],
        (at, limits): (&Acceptance, &Limits),
    ) -> Result<(), ContentError> {
        self.rows += 1;
        self.trace_id.push_hex(span.trace_id);
        self.span_id.push_hex(span.span_id);
        let parent = OptionalId::of(span.parent_span_id, 8);
        if parent == OptionalId::None || is_zero(span.parent_span_id) {
            self.parent_span_id.push_null();
        } else {
            self.parent_span_id.push_hex(span.parent_span_id);
        }
        self.trace_state.push_non_empty(span.trace_state);
        self.flags.push_count(i64::from(span.flags));
        self.name.push(span.name);
        push_kind(&mut self.kind, span.kind);
        push_status(&mut self.status_code, span.status_code);
        self.status_message.push_non_empty(span.status_message);
        self.push_times(span, at);
        self.dropped_attributes.push_count(span.dropped_attributes);
        self.dropped_events.push_count(span.dropped_events);
        self.dropped_links.push_count(span.dropped_links);
        self.content_key.push_hex(content_key);
        let mut odd = SpanOddities {
            attributes: inherited_oddities(inherited),
            bad_parent_id: parent == OptionalId::Odd,
            ..SpanOddities::default()
        };
        let own = &mut odd.attributes;
        self.attributes.push_row(&span.attributes, limits, own)?;
        odd.events_cut = self.events.push_row(&span.events, limits, own)?;
        let own = &mut odd.attributes;
        (odd.links_cut, odd.bad_link_id) = self.links.push_row(&span.links, limits, own)?;
        push_decode_flags(&mut self.decode_flags, odd);
        Ok(())
    }

    fn push_times(&mut self, span: &SpanFields<'_>, at: &Acceptance) {
        let (start, end) = (span.start, span.end);
        let start_us = i64::try_from(start / 1000).unwrap_or(i64::MAX);
        let (date, by_receipt) = at.part_date(Some(start_us).filter(|_| start != 0));
        let start_nanos = i64::try_from(start).ok();
        let end_nanos = i64::try_from(end).ok().filter(|_| end != 0);
        let duration = end.checked_sub(start).filter(|_| end != 0);
        self.start_time.push(start_us);
        self.end_time
            .push_opt(i64::try_from(end / 1000).ok().filter(|_| end != 0));
        self.start_nanos.push_opt(start_nanos);
        self.end_nanos.push_opt(end_nanos);
        self.duration
            .push_opt(duration.and_then(|nanos| i64::try_from(nanos).ok()));
        self.part_date.push(date);
        let flags = self.time_flags.items();
        if start == 0 {
            flags.push(b"start_zero");
        }
        if end == 0 {
            flags.push(b"no_end");
        } else if end < start {
            flags.push(b"end_before_start");
        }
        if start_nanos.is_none() {
            push_overflow(flags, "start_overflow=", start);
        }
        if end != 0 && end_nanos.is_none() {
            push_overflow(flags, "end_overflow=", end);
        }
        if by_receipt {
            flags.push(b"part_date_received");
        }
        self.time_flags.end_row();
    }

    /// The finished columns.
    pub(super) fn finish(
        self,
        columns: &mut Vec<(&'static str, ArrayRef)>,
    ) -> Result<(), DecodeError> {
        let (attributes, attribute_types) = self.attributes.finish()?;
        columns.extend([
            ("trace_id", self.trace_id.finish()?),
            ("span_id", self.span_id.finish()?),
            ("parent_span_id", self.parent_span_id.finish()?),
            ("trace_state", self.trace_state.finish()?),
            ("flags", self.flags.finish()),
            ("name", self.name.finish()?),
            ("kind", self.kind.finish()?),
            ("start_time", self.start_time.finish_times()),
            ("end_time", self.end_time.finish_times()),
            ("start_time_unix_nano", self.start_nanos.finish()),
            ("end_time_unix_nano", self.end_nanos.finish()),
            ("duration_nanos", self.duration.finish()),
            ("time_flags", self.time_flags.finish()?),
            ("status_code", self.status_code.finish()?),
            ("status_message", self.status_message.finish()?),
            ("attributes", attributes),
            ("attribute_types", attribute_types),
            ("dropped_attributes_count", self.dropped_attributes.finish()),
            ("events", self.events.finish()?),
            ("dropped_events_count", self.dropped_events.finish()),
            ("links", self.links.finish()?),
            ("dropped_links_count", self.dropped_links.finish()),
            ("decode_flags", self.decode_flags.finish()?),
            ("content_key", self.content_key.finish()?),
            ("part_date", self.part_date.finish_dates()),
        ]);
        Ok(())
    }
}

fn push_overflow(flags: &mut Text, name: &str, value: u64) {
    let row = flags.open_row();
    row.extend_from_slice(name.as_bytes());
    row.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    flags.end_row();
}

fn push_kind(column: &mut Text, kind: i32) {
    match kind {
        0 => column.push(b"unspecified"),
        1 => column.push(b"internal"),
        2 => column.push(b"server"),
        3 => column.push(b"client"),
        4 => column.push(b"producer"),
        5 => column.push(b"consumer"),
        other => column.push_integer(i64::from(other)),
    }
}

fn push_status(column: &mut Text, code: i32) {
    match code {
        0 => column.push(b"unset"),
        1 => column.push(b"ok"),
        2 => column.push(b"error"),
        other => column.push_integer(i64::from(other)),
    }
}

fn inherited_oddities([resource, scope]: [Oddities; 2]) -> Oddities {
    Oddities {
        duplicate_key: resource.duplicate_key | scope.duplicate_key,
        attributes_cut: resource.attributes_cut | scope.attributes_cut,
        value_cut: resource.value_cut | scope.value_cut,
    }
}

fn push_decode_flags(column: &mut TextLists, odd: SpanOddities) {
    let named: [(bool, &[u8]); 7] = [
        (odd.attributes.duplicate_key, b"duplicate_key"),
        (odd.attributes.attributes_cut, b"attributes_cut"),
        (odd.attributes.value_cut, b"value_cut"),
        (odd.events_cut, b"events_cut"),
        (odd.links_cut, b"links_cut"),
        (odd.bad_parent_id, b"bad_parent_id"),
        (odd.bad_link_id, b"bad_link_id"),
    ];
    for (_, name) in named.iter().filter(|(is_so, _)| *is_so) {
        column.items().push(name);
    }
    column.end_row();
}
