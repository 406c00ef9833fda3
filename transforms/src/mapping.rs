//! The mapping file, compiled once into tables.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::addition::{Addition, AdditionFault};
use crate::field::{Field, Kind};
use crate::keys::{Feed, Keys, Known};
use crate::scalar::Absent;

/// The mapping that is built in.
const STANDARD: &str = include_str!("../mapping.json");

/// Why a mapping cannot be used; nothing of it is in effect then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// It is not JSON of the expected form.
    #[error("the mapping is not readable")]
    Form(#[from] serde_json::Error),
    /// It names a column that spans do not have, or gives it another type.
    #[error("the mapping's column {0} is unknown or of another type")]
    Column(String),
    /// A source is written in no known way, or names a rule that does not exist.
    #[error("column {column} has a source that is not understood: {from}")]
    Source {
        /// The column.
        column: String,
        /// The source as written.
        from: String,
    },
    /// There are more sources or hosts than the tables can number.
    #[error("the mapping has more than 250 sources for a column or more than 250 JSON attributes")]
    TooLarge,
    /// What was added to it has faults.
    #[error("{} of the additions to the mapping have faults", .0.len())]
    Additions(Vec<AdditionFault>),
    /// The price list that goes with it is not readable.
    #[error("the price list cannot be used")]
    Prices(#[from] crate::ListError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "doc")]
    _doc: Vec<String>,
    pub(crate) absent: Vec<String>,
    pub(crate) columns: BTreeMap<String, FileColumn>,
    pub(crate) skill_direct: Vec<String>,
    pub(crate) op_kind: BTreeMap<String, Vec<String>>,
    pub(crate) provider_alias: HashMap<String, String>,
    pub(crate) provider_ignore: Vec<String>,
    pub(crate) skill_tools: Vec<String>,
    pub(crate) skill_arguments: Vec<String>,
    exclusive_input_dialects: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileColumn {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) from: Vec<String>,
}

/// A source that is more than an attribute; see [`crate::derive`] for what each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    CompletionStart,
    CostDetailsSum,
    InputAndOutputCost,
    TraceloopTool,
    ToolInSpanName,
    McpSpanName,
    SkillToolArguments,
    HostOfUrl,
    HostOfApiBase,
    OpeninferenceAgent,
}

impl Rule {
    fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "completion_start" => Self::CompletionStart,
            "cost_details_sum" => Self::CostDetailsSum,
            "input_and_output_cost" => Self::InputAndOutputCost,
            "traceloop_tool" => Self::TraceloopTool,
            "tool_in_span_name" => Self::ToolInSpanName,
            "mcp_span_name" => Self::McpSpanName,
            "skill_tool_arguments" => Self::SkillToolArguments,
            "host_of_url" => Self::HostOfUrl,
            "host_of_api_base" => Self::HostOfApiBase,
            "openinference_agent" => Self::OpeninferenceAgent,
            _ => return None,
        })
    }
}

/// A member of a JSON attribute that feeds a slot.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) feed: Feed,
    pub(crate) name: String,
}

/// An attribute of the first event of a name.
#[derive(Debug)]
pub(crate) struct EventSource {
    pub(crate) feed: Feed,
    pub(crate) event: String,
    pub(crate) key: String,
}

/// The tables; lists are in the order of the file.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) span: Keys,
    pub(crate) resource: Keys,
    pub(crate) hosts: Vec<Vec<Member>>,
    pub(crate) events: Vec<EventSource>,
    pub(crate) rules: Vec<(Field, u8, Rule)>,
    pub(crate) absent: Absent,
    pub(crate) op_kinds: HashMap<String, String>,
    pub(crate) aliases: HashMap<String, String>,
    pub(crate) frameworks: Vec<String>,
    pub(crate) skill_tools: Vec<String>,
    pub(crate) skill_arguments: Vec<String>,
    pub(crate) exclusive_dialects: Vec<String>,
    /// How a skill was named, by the rank of its source.
    pub(crate) skill_sources: Vec<&'static str>,
    /// The sources of each column as they are written, by the column's number and their rank.
    sources: Vec<Box<[Box<str>]>>,
}

/// The tables while sources are being added.
#[derive(Default)]
struct Draft {
    span: BTreeMap<String, Known>,
    resource: BTreeMap<String, Known>,
    hosts: Vec<(String, Vec<Member>)>,
    events: Vec<EventSource>,
    rules: Vec<(Field, u8, Rule)>,
}

impl Mapping {
    /// Compiles the built-in mapping.
    #[cfg(test)]
    pub(crate) fn standard() -> Result<Self, MappingError> {
        Self::with(&[])
    }

    /// Compiles the built-in mapping with what an operator adds.
    pub(crate) fn with(additions: &[Addition]) -> Result<Self, MappingError> {
        let mut file: File = serde_json::from_str(STANDARD)?;
        crate::addition::add(&mut file, additions).map_err(MappingError::Additions)?;
        Self::compile(file)
    }

    fn compile(file: File) -> Result<Self, MappingError> {
        let mut draft = Draft::default();
        let mut sources = vec![Box::default(); Field::COLUMNS];
        for (name, column) in &file.columns {
            let field = Field::by_name(name)
                .filter(|f| f.kind() == column.kind)
                .ok_or_else(|| MappingError::Column(name.clone()))?;
            for (rank, from) in column.from.iter().enumerate() {
                let rank = u8::try_from(rank).ok().filter(|r| *r < 250);
                draft.add(field, rank.ok_or(MappingError::TooLarge)?, from)?;
            }
            if let Some(slot) = sources.get_mut(field as usize) {
                *slot = column.from.iter().map(|s| s.as_str().into()).collect();
            }
        }
        for field in Field::ALL {
            if let Some(key) = field.helper_key() {
                draft.add(*field, 0, key)?;
            }
        }
        // This one reads the tool's name, which another rule may fill.
        draft
            .rules
            .sort_by_key(|(.., rule)| *rule == Rule::SkillToolArguments);
        let skills = file.columns.get(Field::SkillName.name());
        let skill_sources = skills.map_or(&[][..], |c| &c.from).iter();
        let kinds = file.op_kind.into_iter();
        Ok(Self {
            span: Keys::new(draft.span),
            resource: Keys::new(draft.resource),
            hosts: draft
                .hosts
                .into_iter()
                .map(|(_, members)| members)
                .collect(),
            events: draft.events,
            rules: draft.rules,
            absent: Absent::new(file.absent),
            op_kinds: kinds
                .flat_map(|(kind, names)| names.into_iter().map(move |n| (n, kind.clone())))
                .collect(),
            aliases: file.provider_alias,
            frameworks: file.provider_ignore,
            skill_tools: file.skill_tools,
            skill_arguments: file.skill_arguments,
            exclusive_dialects: file.exclusive_input_dialects,
            skill_sources: skill_sources
                .map(|from| match from.as_bytes() {
                    [b'D', b':', ..] => "tool_args",
                    [b'R', b':', ..] => "resource",
                    _ if file.skill_direct.contains(from) => "direct",
                    _ => "metadata",
                })
                .collect(),
            sources,
        })
    }

    /// The source of that rank as the mapping writes it.
    pub(crate) fn source(&self, field: Field, rank: u8) -> Option<&str> {
        let of_field = self.sources.get(field as usize)?;
        Some(of_field.get(usize::from(rank))?)
    }

    /// The provider's common name; `None` for what is none, such as a framework.
    pub(crate) fn provider<'a>(&'a self, raw: &str) -> Option<Cow<'a, str>> {
        let known = |name: &str| self.aliases.get(name).map(|n| Cow::Borrowed(n.as_str()));
        let ignored = |name: &str| self.frameworks.iter().any(|f| f == name);
        if let Some(name) = known(raw).filter(|_| !ignored(raw)) {
            return Some(name);
        }
        let lower = raw.to_lowercase();
        if ignored(&lower) {
            return None;
        }
        let name = known(&lower).unwrap_or(Cow::Owned(lower));
        (!ignored(&name)).then_some(name)
    }
}

impl Draft {
    fn add(&mut self, field: Field, rank: u8, from: &str) -> Result<(), MappingError> {
        let unknown = || MappingError::Source {
            column: field.name().to_owned(),
            from: from.to_owned(),
        };
        let feed = |per_mille| Feed {
            field,
            rank,
            kind: field.kind(),
            per_mille,
        };
        if let Some(key) = from.strip_prefix("R:") {
            self.resource
                .entry(key.to_owned())
                .or_default()
                .feeds
                .push(feed(false));
        } else if let Some(path) = from.strip_prefix("J:") {
            let (key, name) = path.split_once('#').ok_or_else(unknown)?;
            let host = self.host(key)?;
            let name = name.to_owned();
            if let Some((_, members)) = self.hosts.get_mut(usize::from(host)) {
                members.push(Member {
                    feed: feed(false),
                    name,
                });
            }
        } else if let Some(path) = from.strip_prefix("E:") {
            let (event, key) = path.split_once(':').ok_or_else(unknown)?;
            let (event, key) = (event.to_owned(), key.to_owned());
            self.events.push(EventSource {
                feed: feed(false),
                event,
                key,
            });
        } else if let Some(name) = from.strip_prefix("D:") {
            self.rules
                .push((field, rank, Rule::by_name(name).ok_or_else(unknown)?));
        } else {
            let (key, per_mille) = match from.split_once('|') {
                Some((key, "/1000")) => (key, true),
                Some(_) => return Err(unknown()),
                None => (from, false),
            };
            if key.is_empty() || per_mille && field.kind() != Kind::Double {
                return Err(unknown());
            }
            self.span
                .entry(key.to_owned())
                .or_default()
                .feeds
                .push(feed(per_mille));
        }
        Ok(())
    }

    /// The number of the JSON attribute `key`, given out on first use.
    fn host(&mut self, key: &str) -> Result<u8, MappingError> {
        let at = self.hosts.iter().position(|(k, _)| k == key);
        let at = at.unwrap_or_else(|| {
            self.hosts.push((key.to_owned(), Vec::new()));
            self.hosts.len() - 1
        });
        let at = u8::try_from(at)
            .ok()
            .filter(|n| *n < 250)
            .ok_or(MappingError::TooLarge)?;
        self.span.entry(key.to_owned()).or_default().host = Some(at);
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use weir_model::Dataset;

    use super::*;

    #[test]
    fn the_built_in_mapping_fills_columns_that_spans_have() {
        let mapping = Mapping::standard().expect("the built-in mapping");
        let schema = Dataset::Spans.accepted_schema();
        for field in Field::ALL.iter().filter(|f| f.helper_key().is_none()) {
            assert!(schema.field_with_name(field.name()).is_ok(), "{field:?}");
        }
        let input = mapping
            .span
            .get(b"gen_ai.usage.input_tokens")
            .expect("known");
        assert_eq!(input.feeds[0].field, Field::InputTokens);
        assert_eq!(mapping.op_kinds["chat"], "llm");
        assert!(mapping.skill_sources.contains(&"resource"));
    }

    #[test]
    fn a_mapping_with_an_unknown_column_or_source_is_refused() {
        let with = |column: &str| {
            STANDARD.replacen("\"columns\": {", &format!("\"columns\": {{{column},"), 1)
        };
        let cases = [
            (r#""nonsense": {"type": "text", "from": ["a"]}"#, "nonsense"),
            (
                r#""+url.full": {"type": "int", "from": ["a"]}"#,
                "+url.full",
            ),
            (
                r#""+url.full": {"type": "text", "from": ["D:magic"]}"#,
                "D:magic",
            ),
            (
                r#""+url.full": {"type": "text", "from": ["J:no_member"]}"#,
                "J:no_member",
            ),
            (
                r#""+url.full": {"type": "text", "from": ["a|/60"]}"#,
                "a|/60",
            ),
        ];
        for (column, named) in cases {
            let file = serde_json::from_str(&with(column)).expect("JSON");
            let error = Mapping::compile(file).expect_err(column).to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
