//! The checks.

mod observable;
mod value;

use serde_json::{Map, Value};

use crate::code::{Code, Codes, Level};
use crate::edition::Edition;
use crate::path::Place;
use crate::schema::{Attr, Kind, Shape};
use crate::tables::TablesError;
use crate::version::Version;

/// How many levels of objects are looked at; what is deeper is reported as such.
pub const DEPTH_MAX: usize = 64;

/// How many findings of an event are kept with their paths; more are counted.
pub const FINDINGS_MAX: usize = 256;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// Where: members by dots, items by brackets; empty is the event. Never a value.
    pub path: String,
}

/// What stands in `validation_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nothing was found.
    Ok,
    /// Only warnings.
    Warn,
    /// At least one error.
    Invalid,
}

impl Status {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Invalid => "invalid",
        }
    }
}

/// What was found in an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The first findings, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Every code that was found.
    pub codes: Codes,
    /// How many errors there are, also those that were not kept.
    pub errors: usize,
    /// How many warnings there are, also those that were not kept.
    pub warnings: usize,
}

impl Report {
    /// The verdict.
    pub fn status(&self) -> Status {
        match (self.errors, self.warnings) {
            (0, 0) => Status::Ok,
            (0, _) => Status::Warn,
            (_, _) => Status::Invalid,
        }
    }

    /// Adds a finding about the event as a whole, or about a member of its root.
    pub fn add(&mut self, code: Code, member: &str) {
        let root = Place::Root;
        if member.is_empty() {
            self.found(code, &root);
        } else {
            self.found(code, &Place::Member(&root, member));
        }
    }

    /// Adds what was found later in the same event, where its code was not found before.
    pub fn merge(&mut self, later: Self) {
        let fresh = |finding: &Finding| !self.codes.contains(finding.code);
        let fresh: Vec<Finding> = later.findings.into_iter().filter(fresh).collect();
        for Finding { code, path } in fresh {
            self.count(code);
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(Finding { code, path });
            }
        }
    }

    fn count(&mut self, code: Code) {
        self.codes.insert(code);
        match code.level() {
            Level::Error => self.errors += 1,
            Level::Warning => self.warnings += 1,
        }
    }

    pub(crate) fn found(&mut self, code: Code, place: &Place<'_>) {
        self.count(code);
        if self.findings.len() < FINDINGS_MAX {
            let path = place.text();
            self.findings.push(Finding { code, path });
        }
    }
}

/// What is looked for besides what an event must hold to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Recommended attributes that are missing: most events lack some.
    pub recommended: bool,
}

/// Checks an event against the version that it names.
///
/// # Errors
///
/// Where the program carries no readable tables; nothing was checked then.
pub fn validate(event: &Value) -> Result<Report, TablesError> {
    validate_with(event, Checks::default())
}

/// The same, with more checks.
///
/// # Errors
///
/// As [`validate`].
pub fn validate_with(event: &Value, checks: Checks) -> Result<Report, TablesError> {
    let mut check = Check {
        checks,
        edition: Edition::of_event(event)?,
        profiles: 0,
        report: Report::default(),
    };
    check.event(event);
    Ok(check.report)
}

/// A check under way.
struct Check {
    checks: Checks,
    edition: Edition,
    /// The bits of the profiles that the event names.
    profiles: u64,
    report: Report,
}

const ROOT: Place<'static> = Place::Root;

impl Check {
    fn event(&mut self, event: &Value) {
        let class_uid = Place::Member(&ROOT, "class_uid");
        let Some(members) = event.as_object() else {
            self.report.found(Code::AttributeWrongType, &ROOT);
            return;
        };
        let uid = match members.get("class_uid") {
            None | Some(Value::Null) => {
                self.report
                    .found(Code::AttributeRequiredMissing, &class_uid);
                return;
            }
            Some(value) if !is_integer(value) => {
                self.report.found(Code::AttributeWrongType, &class_uid);
                return;
            }
            Some(value) => value.as_i64(),
        };
        let schema = self.edition.schema;
        let Some(class) = uid.and_then(|uid| schema.class(uid)) else {
            self.report.found(Code::ClassUidUnknown, &class_uid);
            return;
        };
        let metadata = members.get("metadata").and_then(Value::as_object);
        self.name_profiles(metadata);
        if class
            .deprecated
            .is_some_and(|since| self.edition.knows(since))
        {
            self.report.found(Code::ClassDeprecated, &class_uid);
        }
        self.members(members, &ROOT, class, 0);
        self.version(metadata);
        self.type_uid(members, uid);
        self.constraints(members, class, &ROOT);
        if let Some(Value::Array(observables)) = members.get("observables") {
            self.observables(observables, class);
        }
    }

    fn name_profiles(&mut self, metadata: Option<&Map<String, Value>>) {
        let named = metadata.and_then(|metadata| metadata.get("profiles"));
        let Some(Value::Array(named)) = named else {
            return;
        };
        let known = &self.edition.schema.profiles;
        for (index, profile) in named.iter().enumerate() {
            let Some(name) = profile.as_str() else {
                continue;
            };
            if let Some(bit) = known.iter().position(|known| *known == name) {
                self.profiles |= 1 << bit;
            } else {
                let metadata = Place::Member(&ROOT, "metadata");
                let profiles = Place::Member(&metadata, "profiles");
                let place = Place::Item(&profiles, index);
                self.report.found(Code::ProfileUnknown, &place);
            }
        }
    }

    fn version(&mut self, metadata: Option<&Map<String, Value>>) {
        let named = metadata.and_then(|metadata| metadata.get("version"));
        let Some(Value::String(named)) = named else {
            return;
        };
        let Some(table) = self.edition.schema.version() else {
            return;
        };
        let code = match Version::parse(named) {
            None => Code::VersionInvalidFormat,
            // A release without a table is what it says: no odd version.
            Some(_) if self.edition.release.is_some() => return,
            Some(version) if version == table => return,
            Some(version) if version > table => Code::VersionIncompatibleLater,
            Some(version) if version.is_initial() => Code::VersionIncompatibleInitialDevelopment,
            Some(version) if version.is_prerelease() => Code::VersionIncompatiblePrerelease,
            Some(_) => Code::VersionEarlier,
        };
        let metadata = Place::Member(&ROOT, "metadata");
        self.report
            .found(code, &Place::Member(&metadata, "version"));
    }

    fn type_uid(&mut self, members: &Map<String, Value>, class_uid: Option<i64>) {
        let number = |name: &str| members.get(name).filter(|value| is_integer(value));
        let (Some(activity), Some(kind)) = (number("activity_id"), number("type_uid")) else {
            return;
        };
        let wide = |value: &Value| value.as_i64().map(i128::from);
        let expected = match (class_uid, wide(activity)) {
            (Some(class), Some(activity)) => Some(i128::from(class) * 100 + activity),
            (None, _) | (_, None) => None,
        };
        if expected.is_none() || wide(kind) != expected {
            let place = Place::Member(&ROOT, "type_uid");
            self.report.found(Code::TypeUidIncorrect, &place);
        }
    }

    /// Checks the members of an object by its shape.
    fn members(
        &mut self,
        members: &Map<String, Value>,
        place: &Place<'_>,
        shape: &'static Shape,
        depth: usize,
    ) {
        if depth > DEPTH_MAX {
            self.report.found(Code::WeirTooDeep, place);
            return;
        }
        let schema = self.edition.schema;
        for (name, value) in members {
            let here = Place::Member(place, name);
            match schema.visible(shape, name, self.profiles) {
                Some(_) if value.is_null() => {}
                Some(attr) => self.attribute(members, value, attr, (place, &here, depth)),
                None if schema.is_open(shape, self.profiles) => {}
                None => self.report.found(Code::AttributeUnknown, &here),
            }
        }
        for attr in shape.required.iter().filter_map(|at| schema.attrs.get(*at)) {
            let there = members.get(attr.name).is_some_and(|value| !value.is_null());
            if !there && attr.is_visible(self.profiles) && !self.was_optional(shape, attr) {
                let place = Place::Member(place, attr.name);
                self.report.found(Code::AttributeRequiredMissing, &place);
            }
        }
        if self.checks.recommended {
            self.recommended(members, place, shape);
        }
    }

    /// Reports what is recommended and missing.
    fn recommended(&mut self, members: &Map<String, Value>, place: &Place<'_>, shape: &Shape) {
        let schema = self.edition.schema;
        let attrs = shape.members.iter();
        for attr in attrs.filter_map(|(_, at)| schema.attrs.get(*at)) {
            let there = members.get(attr.name).is_some_and(|value| !value.is_null());
            if attr.recommended && !there && attr.is_visible(self.profiles) {
                let place = Place::Member(place, attr.name);
                self.report.found(Code::AttributeRecommendedMissing, &place);
            }
        }
    }

    /// Whether the table before the event's release has the attribute, and does not ask for it.
    fn was_optional(&self, shape: &Shape, attr: &Attr) -> bool {
        let before = self.edition.before.and_then(|schema| {
            let shape = schema.shape(shape.name, shape.is_class())?;
            schema.attrs.get(shape.attr(attr.name)?)
        });
        before.is_some_and(|attr| !attr.required)
    }

    /// Checks a value that is there. It stands at the places of the object and of the value, so deep.
    fn attribute(
        &mut self,
        members: &Map<String, Value>,
        value: &Value,
        attr: &'static Attr,
        (there, here, depth): (&Place<'_>, &Place<'_>, usize),
    ) {
        if attr
            .deprecated
            .is_some_and(|since| self.edition.knows(since))
        {
            self.report.found(Code::AttributeDeprecated, here);
        }
        if !attr.list {
            self.one(value, attr.kind, here, depth);
        } else if let Value::Array(items) = value {
            for (index, item) in items.iter().enumerate() {
                self.one(item, attr.kind, &Place::Item(here, index), depth);
            }
        } else {
            self.report.found(Code::AttributeWrongType, here);
        }
        if attr.values.is_some() {
            self.listed(members, value, attr, (there, here));
        }
    }

    fn one(&mut self, value: &Value, kind: Kind, place: &Place<'_>, depth: usize) {
        let schema = self.edition.schema;
        match kind {
            Kind::Scalar(at) => {
                if let Some(kind) = schema.types.get(at) {
                    self.scalar(value, kind, place);
                }
            }
            Kind::Object(at) => {
                let Some(shape) = schema.shapes.get(at) else {
                    return;
                };
                let Value::Object(members) = value else {
                    self.report.found(Code::AttributeWrongType, place);
                    return;
                };
                if shape
                    .deprecated
                    .is_some_and(|since| self.edition.knows(since))
                {
                    self.report.found(Code::ObjectDeprecated, place);
                }
                self.members(members, place, shape, depth + 1);
                self.constraints(members, shape, place);
            }
        }
    }

    fn constraints(&mut self, members: &Map<String, Value>, shape: &Shape, place: &Place<'_>) {
        for constraint in &shape.constraints {
            let there = |name: &&&str| members.get(**name).is_some_and(|value| !value.is_null());
            let count = constraint.names.iter().filter(there).count();
            let holds = if constraint.just_one {
                count == 1
            } else {
                count > 0
            };
            if !holds {
                self.report.found(Code::ConstraintFailed, place);
            }
        }
    }
}

/// Whether it is a number written without a fraction.
pub(crate) fn is_integer(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            false
        }
    }
}
