//! Which table an event is held against.

use serde_json::Value;

use crate::schema::{Schema, Since};
use crate::tables::{self, TablesError};
use crate::version::Version;

/// What an event is held against that names no version, one that no release has, or one later
/// than all tables: the newest release whose tables are those of the release itself.
pub const DEFAULT_VERSION: &str = "1.8.0";

/// The last release of the first major version that is known of, as its second number.
const LAST_RELEASE: u64 = 9;

/// What an event is held against.
///
/// A release that has a table is held against it. A release between two tables is held against
/// the later one, since releases of one major version only add; what the later one asks and the
/// earlier one does not (a requirement, a pattern, a deprecation) is not held against the event.
/// Everything else is held against [`DEFAULT_VERSION`].
#[derive(Clone, Copy, Debug)]
pub struct Edition {
    pub(crate) schema: &'static Schema,
    /// The table before, where the event's release lies between two.
    pub(crate) before: Option<&'static Schema>,
    /// The release that the event names, where it has no table of its own.
    pub(crate) release: Option<(u64, u64, u64)>,
}

/// The versions that have a table, in rising order.
///
/// # Errors
///
/// Where the program carries no readable tables.
pub fn versions() -> Result<Vec<&'static str>, TablesError> {
    Ok(tables::all()?.iter().map(|table| table.label).collect())
}

impl Edition {
    /// What an event that names this version is held against.
    ///
    /// # Errors
    ///
    /// Where the program carries no readable tables.
    pub fn of(version: Option<&str>) -> Result<Self, TablesError> {
        let tables = tables::all()?;
        let named = version.and_then(Version::parse);
        let named = named.filter(|named| !named.is_prerelease() && !named.is_initial());
        let later = named.and_then(|named| {
            let place = tables
                .iter()
                .position(|table| Version::parse(table.label) >= Some(named));
            place.map(|place| (named, place))
        });
        if let Some((named, place)) = later {
            let table = tables.get(place).ok_or(TablesError("no such table"))?;
            let own = Version::parse(table.label) == Some(named);
            let (major, minor, patch) = named.numbers();
            let is_release = major == 1 && patch == 0 && minor <= LAST_RELEASE;
            let before = if own || !is_release {
                None
            } else {
                let before = place.checked_sub(1).and_then(|place| tables.get(place));
                before.map(tables::Table::schema).transpose()?
            };
            return Ok(Self {
                schema: table.schema()?,
                before,
                release: (is_release && !own).then_some(named.numbers()),
            });
        }
        let table = tables.iter().find(|table| table.label == DEFAULT_VERSION);
        Ok(Self {
            schema: table
                .ok_or(TablesError("the default is not there"))?
                .schema()?,
            before: None,
            release: None,
        })
    }

    /// What an event is held against, by its `metadata.version`.
    ///
    /// # Errors
    ///
    /// Where the program carries no readable tables.
    pub fn of_event(event: &Value) -> Result<Self, TablesError> {
        let version = event.get("metadata").and_then(|meta| meta.get("version"));
        Self::of(version.and_then(Value::as_str))
    }

    /// The version of its table.
    pub fn label(&self) -> &'static str {
        self.schema.label
    }

    /// What people call a class; None where there is no such class.
    pub fn class_caption(&self, class_uid: i64) -> Option<&'static str> {
        self.schema.class(class_uid).map(|class| class.caption)
    }

    /// Whether what goes away since `since` was already going away in the event's release.
    pub(crate) fn knows(&self, since: Since) -> bool {
        match (self.release, Version::parse(since)) {
            (Some(release), Some(since)) => since.numbers() <= release,
            (None, _) | (_, None) => true,
        }
    }
}
