//! Security events in, rows of `ocsf_events` out.
//!
//! A body is one event, an array of events, `{"events":[...]}` (also as a bundle with a count and
//! times beside it), or any number of these one after the other, with or without line ends
//! between them: newline-delimited JSON, concatenated objects, and Splunk's HEC form
//! `{"time":..., "event":{...}}`. An event is told from a wrapper by its `class_uid` or
//! `class_name`.
//!
//! Each event is held against the schema of the OCSF version that it names ([`weir_ocsf`]), and
//! kept whole as it was sent (`raw`), next to the columns that are looked for. The columns are
//! read from the event as its schema wants it, where that loses nothing: `"6003"` as 6003, one
//! object as a list of one. `validation_status` and `validation_codes` say what was found.
//!
//! # What is refused
//!
//! An object that is no event and no wrapper (400), an array with anything but objects (422), a
//! body with more than the limit of events (422), and JSON that is broken anywhere (400). On its
//! own is refused, and the rest taken: a document that is none of the forms among several, an
//! event without a class or without a readable time, and, if the [`Policy`] is strict, an event
//! that breaks its schema.

mod envelope;
mod judge;
mod row;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_array::RecordBatch;
use serde_json::{Map, Value, json};
use weir_model::Dataset;
use weir_ocsf::{Codes, Report, Status};

pub use judge::{Policy, Refused};

use self::envelope::{EXPECTED, Found, Item};
use super::json::{Extent, measure, refusal, repair_surrogates, without_mark};
use super::rejected::{Rejection, Rejections};
use super::table::{Table, as_integer, first};
use super::{Acceptance, DecodeError, Limits};

/// The longest event that is kept with its refusal.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// The most events that an answer names, refused ones first; the rest is counted.
const NAMED_MAX: usize = 1000;

/// What a request became.
#[derive(Clone, Debug)]
pub struct OcsfDecoded {
    /// The events, in the accepted schema of `ocsf_events`.
    pub rows: RecordBatch,
    /// Events and documents that were refused on their own, at most 100, in the accepted schema
    /// of `rejected_events`.
    pub rejected: Option<RecordBatch>,
    /// How many were refused on their own.
    pub rejected_count: usize,
    /// How many events were taken of each class, by `class_uid`.
    pub class_counts: BTreeMap<String, u64>,
    /// The products that the events name, each once, sorted.
    pub sources: Vec<String>,
    /// What is to be said of single events, by their place in the request; what is not here was
    /// taken and holds to its schema.
    pub noted: Vec<Noted>,
    /// A bundle counts other than it holds.
    pub miscounted: bool,
    tenant: String,
}

/// What is to be said of an event.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Its place in the request, counted from 0.
    pub index: usize,
    /// The verdict; none where it was refused.
    pub status: Option<Status>,
    /// What was found in it.
    pub codes: Codes,
    /// Why it was refused.
    pub refused: Option<Refused>,
}

impl Noted {
    fn json(&self) -> Value {
        let refused = self.refused.map(Refused::code);
        let codes = self.codes.iter().map(|code| code.as_str());
        let codes: Vec<&str> = refused.into_iter().chain(codes).collect();
        let status = self.status.map_or("refused", Status::as_str);
        json!({"index": self.index, "status": status, "codes": codes})
    }
}

impl OcsfDecoded {
    /// The answer that the contract promises, with what is to be said of single events beside
    /// it: their place, the verdict and the codes, never a value.
    pub fn answer(&self) -> Value {
        let mut answer = Map::new();
        answer.insert("ingested".into(), json!(self.rows.num_rows()));
        answer.insert("tenant_id".into(), json!(self.tenant));
        answer.insert("class_counts".into(), json!(self.class_counts));
        answer.insert("sources".into(), json!(self.sources));
        if self.rejected_count > 0 {
            answer.insert("rejected".into(), json!(self.rejected_count));
        }
        if !self.noted.is_empty() {
            let count = |status: Status| {
                let noted = self.noted.iter();
                noted.filter(|noted| noted.status == Some(status)).count()
            };
            let (warn, invalid) = (count(Status::Warn), count(Status::Invalid));
            let ok = self.rows.num_rows().saturating_sub(warn + invalid);
            let events: Vec<Value> = self.named().into_iter().map(Noted::json).collect();
            let mut told = json!({"ok": ok, "warn": warn, "invalid": invalid, "events": events});
            if let (true, Some(told)) = (self.noted.len() > NAMED_MAX, told.as_object_mut()) {
                told.insert("unnamed".into(), json!(self.noted.len() - NAMED_MAX));
            }
            answer.insert("validation".into(), told);
        }
        if self.miscounted {
            answer.insert("flags".into(), json!(["bundle_count_differs"]));
        }
        Value::Object(answer)
    }

    /// The events that the answer names, by their place.
    fn named(&self) -> Vec<&Noted> {
        let mut named: Vec<&Noted> = self.noted.iter().collect();
        if named.len() > NAMED_MAX {
            named.sort_by_key(|noted| noted.refused.is_none());
            named.truncate(NAMED_MAX);
            named.sort_by_key(|noted| noted.index);
        }
        named
    }
}

/// What decoding gathers.
struct Gathered<'g> {
    at: &'g Acceptance,
    limits: &'g Limits,
    table: Table,
    rejections: Rejections,
    rejected_count: usize,
    class_counts: BTreeMap<String, u64>,
    sources: BTreeSet<String>,
    noted: Vec<Noted>,
    /// How many items there were.
    items: usize,
    /// How often each event without an id of its own has occurred, by its digest.
    repeats: HashMap<[u8; 32], u64>,
}

/// Decodes the body of an ingest request.
///
/// # Errors
///
/// [`DecodeError`] where the request as a whole is refused; no row was made.
pub fn decode(body: &[u8], at: &Acceptance, limits: &Limits) -> Result<OcsfDecoded, DecodeError> {
    let (gathered, miscounted) = in_any_form(body, limits, |body| {
        let mut gathered = Gathered::new(at, limits);
        let miscounted = envelope::each(body, &mut |item| gathered.take(item))?;
        Ok((gathered, miscounted))
    })?;
    Ok(OcsfDecoded {
        rows: gathered.table.finish()?,
        rejected: gathered.rejections.finish(at)?,
        rejected_count: gathered.rejected_count,
        class_counts: gathered.class_counts,
        sources: gathered.sources.into_iter().collect(),
        noted: gathered.noted,
        miscounted,
        tenant: at.tenant.as_str().to_owned(),
    })
}

/// An event as [`inspect`] sees it.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Its place in the body, counted from 0.
    pub index: usize,
    /// Its class, where it names one.
    pub class_uid: Option<i64>,
    /// The version of the schema that it was held against; none for what is no event.
    pub schema: Option<&'static str>,
    /// What was found in it.
    pub report: Report,
    /// Why it would be refused.
    pub refused: Option<Refused>,
}

/// Looks at each event of a body as [`decode`] would, and stores nothing. There is no limit to
/// how many events or values there are.
///
/// # Errors
///
/// As [`decode`]; what was looked at before has been handed on by then.
pub fn inspect(
    body: &[u8],
    limits: &Limits,
    mut take: impl FnMut(Inspected),
) -> Result<(), DecodeError> {
    let limits = Limits {
        json_values_max: usize::MAX,
        ..limits.clone()
    };
    in_any_form(body, &limits, |body| {
        let mut seen = Vec::new();
        envelope::each(body, &mut |item| {
            seen.push(look(seen.len(), &item, limits.ocsf)?);
            Ok(())
        })?;
        seen.into_iter().for_each(&mut take);
        Ok(())
    })
}

fn look(index: usize, item: &Item<'_>, policy: Policy) -> Result<Inspected, DecodeError> {
    let found = match item {
        Item::Event(found) => found,
        Item::Other(_) => {
            return Ok(Inspected {
                index,
                class_uid: None,
                schema: None,
                report: Report::default(),
                refused: Some(Refused::NotAnEvent),
            });
        }
    };
    let mut event = parse(found)?;
    let class_uid = first(&event, &["class_uid"]).and_then(as_integer);
    let judged = judge::judge(&mut event, found.time.as_ref(), policy)?;
    Ok(Inspected {
        index,
        class_uid,
        schema: Some(judged.schema),
        report: judged.report,
        refused: judged.refused,
    })
}

fn parse(found: &Found<'_>) -> Result<Value, DecodeError> {
    serde_json::from_str(found.raw).map_err(|error| refusal(&error, EXPECTED))
}

/// Reads a body; one that cannot be read is read again with halves of characters replaced.
fn in_any_form<T>(
    body: &[u8],
    limits: &Limits,
    mut read: impl FnMut(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let body = without_mark(body);
    let max = limits.json_values_max;
    match measure(body, limits.json_depth_max, max) {
        Extent::Fits => {}
        Extent::TooDeep => return Err(DecodeError::TooDeepForContract),
        Extent::TooMany => return Err(DecodeError::TooManyValues { max }),
    }
    match read(body) {
        Err(DecodeError::Syntax { .. } | DecodeError::Shape { .. }) => {
            let repaired = repair_surrogates(body);
            read(repaired.as_deref().unwrap_or(body))
        }
        other => other,
    }
}

impl<'g> Gathered<'g> {
    fn new(at: &'g Acceptance, limits: &'g Limits) -> Self {
        Self {
            at,
            limits,
            table: Table::new(Dataset::OcsfEvents),
            rejections: Rejections::new("ocsf"),
            rejected_count: 0,
            class_counts: BTreeMap::new(),
            sources: BTreeSet::new(),
            noted: Vec::new(),
            items: 0,
            repeats: HashMap::new(),
        }
    }

    fn take(&mut self, item: Item<'_>) -> Result<(), DecodeError> {
        let max = self.limits.ocsf_events_max;
        if self.items >= max {
            return Err(DecodeError::TooManySecurityEvents { max });
        }
        if self.table.byte_len() > self.limits.decoded_bytes_max {
            return Err(DecodeError::TooManyBytes {
                max: self.limits.decoded_bytes_max,
            });
        }
        let index = self.items;
        self.items += 1;
        let found = match item {
            Item::Event(found) => found,
            Item::Other(raw) => {
                self.refuse(index, raw, Refused::NotAnEvent, Codes::default());
                return Ok(());
            }
        };
        let mut event = parse(&found)?;
        let judged = judge::judge(&mut event, found.time.as_ref(), self.limits.ocsf)?;
        let codes = judged.report.codes;
        if let Some(refused) = judged.refused {
            self.refuse(index, found.raw, refused, codes);
            return Ok(());
        }
        row::push(self, &found, &event, &judged);
        let status = judged.report.status();
        if status != Status::Ok {
            self.noted.push(Noted {
                index,
                status: Some(status),
                codes,
                refused: None,
            });
        }
        Ok(())
    }

    fn refuse(&mut self, index: usize, raw: &str, refused: Refused, codes: Codes) {
        self.rejected_count += 1;
        let found: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        let reason = match found.as_slice() {
            [] => refused.reason().into(),
            found => format!("{}: {}", refused.reason(), found.join(", ")).into(),
        };
        self.rejections.push(Rejection {
            code: refused.code(),
            reason,
            index,
            id: None,
            payload: Some(raw.to_owned()).filter(|raw| raw.len() <= PAYLOAD_BYTES_MAX),
        });
        self.noted.push(Noted {
            index,
            status: None,
            codes,
            refused: Some(refused),
        });
    }
}
