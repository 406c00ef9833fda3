//! What an operator adds to the mapping: sources, names of providers, operations and skill tools.

use crate::field::{Field, Kind};
use crate::mapping::File;

/// The longest word that stands for nothing, in bytes.
const WORD_BYTES_MAX: usize = 63;

/// The most sources that a column can have.
const SOURCES_MAX: usize = 250;

/// One thing more for the mapping to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addition {
    /// A source of a column: an attribute's key, `R:KEY` of the resource, `J:KEY#MEMBER` of an
    /// attribute that holds JSON, or `E:EVENT:KEY` of the first event of that name.
    Source {
        /// The column that it fills.
        column: String,
        /// The source.
        from: String,
        /// Whether it comes before the built-in ones; those of one side keep their order.
        first: bool,
    },
    /// A provider's other name, in any case.
    ProviderAlias {
        /// As it is sent.
        name: String,
        /// The common name, as in the `provider` column and the price list.
        provider: String,
    },
    /// A name that is no provider, such as a framework's.
    ProviderIgnored(String),
    /// An operation's name.
    OpKind {
        /// The kind: one of those that are built in.
        kind: String,
        /// As it is sent.
        name: String,
    },
    /// A tool that loads a skill.
    SkillTool(String),
    /// An argument of such a tool that names the skill; built-in ones are looked at first.
    SkillArgument(String),
    /// A text that says nothing, as `None` and `N/A` do.
    Absent(String),
}

/// What is wrong with an addition; with one fault none is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdditionFault {
    /// Which, from 0.
    pub index: usize,
    /// What is wrong, and what is wanted.
    pub why: String,
}

/// Puts additions into `file`.
///
/// # Errors
///
/// All faults of all additions; `file` is of no use then.
pub(crate) fn add(file: &mut File, additions: &[Addition]) -> Result<(), Vec<AdditionFault>> {
    let mut faults = Vec::new();
    let mut order: Vec<(usize, &Addition)> = additions.iter().enumerate().collect();
    // Each that comes before is put in front of all, so the first of them must be the last.
    order.sort_by_key(|(index, addition)| match addition {
        Addition::Source { first: true, .. } => additions.len() - index,
        Addition::Source { .. }
        | Addition::ProviderAlias { .. }
        | Addition::ProviderIgnored(_)
        | Addition::OpKind { .. }
        | Addition::SkillTool(_)
        | Addition::SkillArgument(_)
        | Addition::Absent(_) => 0,
    });
    for (index, addition) in order {
        if let Err(why) = add_one(file, addition) {
            faults.push(AdditionFault { index, why });
        }
    }
    faults.sort_by_key(|f| f.index);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn add_one(file: &mut File, addition: &Addition) -> Result<(), String> {
    match addition {
        Addition::Source {
            column,
            from,
            first,
        } => add_source(file, column, from, *first),
        Addition::ProviderAlias { name, provider } => {
            let provider = named(provider)?.to_lowercase();
            file.provider_alias
                .insert(named(name)?.to_lowercase(), provider);
            Ok(())
        }
        Addition::ProviderIgnored(name) => {
            file.provider_ignore.push(named(name)?.to_lowercase());
            Ok(())
        }
        Addition::OpKind { kind, name } => {
            let name = named(name)?.to_owned();
            if !file.op_kind.contains_key(kind) {
                let kinds: Vec<&str> = file.op_kind.keys().map(String::as_str).collect();
                return Err(format!("`{kind}` is none of {}", kinds.join(", ")));
            }
            // A name has one kind, and the operator's word counts.
            for names in file.op_kind.values_mut() {
                names.retain(|n| *n != name);
            }
            file.op_kind.entry(kind.clone()).or_default().push(name);
            Ok(())
        }
        Addition::SkillTool(name) => {
            file.skill_tools.push(named(name)?.to_owned());
            Ok(())
        }
        Addition::SkillArgument(name) => {
            file.skill_arguments.push(named(name)?.to_owned());
            Ok(())
        }
        Addition::Absent(word) => {
            if named(word)?.len() > WORD_BYTES_MAX {
                return Err(format!(
                    "a word of at most {WORD_BYTES_MAX} bytes is wanted"
                ));
            }
            file.absent.push(word.clone());
            Ok(())
        }
    }
}

fn add_source(file: &mut File, column: &str, from: &str, first: bool) -> Result<(), String> {
    let Some(known) = file.columns.get_mut(column) else {
        let near = "`weir schema` lists the columns";
        return Err(format!("there is no mapped column `{column}`; {near}"));
    };
    understood(column, from)?;
    if known.from.len() >= SOURCES_MAX {
        return Err(format!("`{column}` has {SOURCES_MAX} sources already"));
    }
    // Whoever adds an attribute for skills means it to name them.
    if column == Field::SkillName.name() && !from.contains(':') {
        file.skill_direct.push(from.to_owned());
    }
    if first {
        known.from.insert(0, from.to_owned());
    } else {
        known.from.push(from.to_owned());
    }
    Ok(())
}

/// Whether a source is written in a known way.
fn understood(column: &str, from: &str) -> Result<(), String> {
    let wanted = || {
        "`KEY`, `R:KEY`, `J:KEY#MEMBER` or `E:EVENT:KEY` is wanted; `KEY|/1000` for `ttft_s`"
            .to_owned()
    };
    let whole = match from.split_once(':') {
        Some(("R", key)) => !key.is_empty(),
        Some(("J", path)) => path
            .split_once('#')
            .is_some_and(|(key, member)| !key.is_empty() && !member.is_empty()),
        Some(("E", path)) => path
            .split_once(':')
            .is_some_and(|(event, key)| !event.is_empty() && !key.is_empty()),
        Some(("D", _)) => return Err("rules (`D:`) are built in; they cannot be added".into()),
        Some((_, _)) | None => !from.is_empty(),
    };
    let scaled = from.split_once('|');
    let double = Field::by_name(column).is_some_and(|f| f.kind() == Kind::Double);
    let scale = scaled.is_none_or(|(_, by)| by == "/1000" && double);
    if whole && scale && from.trim() == from {
        Ok(())
    } else {
        Err(wanted())
    }
}

fn named(text: &str) -> Result<&str, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{Mapping, MappingError};

    fn source(column: &str, from: &str, first: bool) -> Addition {
        Addition::Source {
            column: column.into(),
            from: from.into(),
            first,
        }
    }

    #[test]
    fn sources_come_before_or_after_ours_in_their_own_order() {
        let mapping = Mapping::with(&[
            source("skill_name", "acme.skill", true),
            source("skill_name", "J:acme#skill", true),
            source("skill_name", "acme.old", false),
            source("skill_name", "acme.older", false),
        ]);
        let mapping = mapping.expect("a mapping");
        let at = |rank| mapping.source(Field::SkillName, rank);
        assert_eq!(at(0), Some("acme.skill"));
        assert_eq!(at(1), Some("J:acme#skill"));
        assert_eq!(at(2), Some("gen_ai.skill.name"));
        let standard = Mapping::standard().expect("a mapping");
        let ours = u8::try_from(standard.skill_sources.len()).expect("few");
        assert_eq!(at(ours + 2), Some("acme.old"));
        assert_eq!(at(ours + 3), Some("acme.older"));
        assert_eq!(at(ours + 4), None);
        assert_eq!(mapping.skill_sources[..2], ["direct", "metadata"]);
    }

    #[test]
    fn names_are_added_in_any_case() {
        let alias = |name: &str| Addition::ProviderAlias {
            name: name.into(),
            provider: "openai".into(),
        };
        let mapping = Mapping::with(&[
            alias("Acme-Gateway"),
            Addition::ProviderIgnored("AcmeFlow".into()),
            Addition::OpKind {
                kind: "llm".into(),
                name: "acme_ask".into(),
            },
            Addition::Absent("-".into()),
        ]);
        let mapping = mapping.expect("a mapping");
        assert_eq!(mapping.provider("ACME-gateway").as_deref(), Some("openai"));
        assert_eq!(mapping.provider("acmeflow"), None);
        assert_eq!(mapping.op_kinds["acme_ask"], "llm");
        assert!(mapping.absent.is("-"));
    }

    #[test]
    fn all_faults_are_told_at_once_and_by_place() {
        let bad = [
            source("skill_nam", "a", true),
            source("skill_name", "J:no_member", true),
            source("skill_name", "D:magic", false),
            source("skill_name", "ms|/1000", false),
            source("skill_name", " a", false),
            source("skill_name", "", false),
            Addition::OpKind {
                kind: "lllm".into(),
                name: "x".into(),
            },
            Addition::SkillTool(" ".into()),
            Addition::Absent("x".repeat(64)),
            source("ttft_s", "acme.ms|/1000", true),
        ];
        let Err(MappingError::Additions(faults)) = Mapping::with(&bad) else {
            panic!("taken");
        };
        let places: Vec<usize> = faults.iter().map(|f| f.index).collect();
        assert_eq!(places, (0..9).collect::<Vec<_>>(), "{faults:?}");
    }
}
