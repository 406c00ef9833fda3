//! The file of additions to the mapping (`mapping.file`).

use weir_transforms::{Addition, Enricher, MappingError};

use crate::config::file::Place;
use crate::config::tree::{self, Tree, Wrong};

/// The names of the file.
const NAMES: [&str; 7] = [
    "columns",
    "provider_alias",
    "provider_ignore",
    "op_kind",
    "skill_tools",
    "skill_arguments",
    "absent",
];

/// Additions, with the place of each.
#[derive(Default)]
struct Read(Vec<(Place, Addition)>);

/// Reads `text` as additions, checked against the built-in mapping.
///
/// # Errors
///
/// All that is wrong with it; then nothing of it is used.
pub(crate) fn read(text: &str) -> Result<Vec<Addition>, Wrong> {
    let mut wrong = Wrong::default();
    let root = tree::read(text, &mut wrong);
    let mut read = Read::default();
    for (name, place, part) in root.names(&mut wrong) {
        match name.as_str() {
            "columns" => read.columns(part, &mut wrong),
            "provider_alias" => read.pairs(part, &mut wrong, |name, provider| {
                Addition::ProviderAlias { name, provider }
            }),
            "provider_ignore" => read.list(part, &mut wrong, Addition::ProviderIgnored),
            "op_kind" => read.op_kinds(part, &mut wrong),
            "skill_tools" => read.list(part, &mut wrong, Addition::SkillTool),
            "skill_arguments" => read.list(part, &mut wrong, Addition::SkillArgument),
            "absent" => read.list(part, &mut wrong, Addition::Absent),
            other => wrong.at(*place, tree::unknown(other, &NAMES)),
        }
    }
    let (places, additions): (Vec<Place>, Vec<Addition>) = read.0.into_iter().unzip();
    if let Err(MappingError::Additions(faults)) = Enricher::check(&additions) {
        for fault in faults {
            let place = places.get(fault.index).copied();
            wrong.at(place.unwrap_or(root.place), fault.why);
        }
    }
    wrong.or(additions)
}

impl Read {
    fn put(&mut self, place: Place, addition: Addition) {
        self.0.push((place, addition));
    }

    fn list(&mut self, part: &Tree, wrong: &mut Wrong, make: fn(String) -> Addition) {
        for item in part.items(wrong) {
            if let Some(text) = item.text(wrong) {
                self.put(item.place, make(text.to_owned()));
            }
        }
    }

    fn pairs(&mut self, part: &Tree, wrong: &mut Wrong, make: fn(String, String) -> Addition) {
        for (name, place, value) in part.names(wrong) {
            if let Some(text) = value.text(wrong) {
                self.put(*place, make(name.clone(), text.to_owned()));
            }
        }
    }

    fn op_kinds(&mut self, part: &Tree, wrong: &mut Wrong) {
        for (kind, _, names) in part.names(wrong) {
            for item in names.items(wrong) {
                if let Some(name) = item.text(wrong) {
                    let (kind, name) = (kind.clone(), name.to_owned());
                    self.put(item.place, Addition::OpKind { kind, name });
                }
            }
        }
    }

    fn columns(&mut self, part: &Tree, wrong: &mut Wrong) {
        for (column, _, sides) in part.names(wrong) {
            for (side, place, sources) in sides.names(wrong) {
                if !matches!(side.as_str(), "before" | "after") {
                    wrong.at(*place, tree::unknown(side, &["before", "after"]));
                    continue;
                }
                for source in sources.items(wrong) {
                    if let Some(from) = source.text(wrong) {
                        let addition = Addition::Source {
                            column: column.clone(),
                            from: from.to_owned(),
                            first: side == "before",
                        };
                        self.put(source.place, addition);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_adds_what_it_says() {
        let text = "\
columns:
  skill_name:
    before: [acme.skill]
    after: ['J:acme.meta#skill']
provider_alias:
  acme-gateway: openai
provider_ignore: [acme-flow]
op_kind:
  llm: [acme_ask]
skill_tools: [acme_load]
skill_arguments: [slug]
absent: ['-']
";
        let additions = read(text).unwrap();
        assert_eq!(additions.len(), 8);
        assert!(additions.contains(&Addition::SkillTool("acme_load".into())));
        assert!(additions.contains(&Addition::Source {
            column: "skill_name".into(),
            from: "acme.skill".into(),
            first: true,
        }));
    }

    #[test]
    fn all_faults_are_told_at_once_and_where() {
        let text = "\
columns:
  skill_nam:
    before: [acme.skill]
  skill_name:
    befor: [x]
    after: ['D:magic', 'J:none']
op_kind:
  lllm: [acme_ask]
skill_tools: acme_load
nothing: 1
";
        let Wrong(wrong) = read(text).unwrap_err();
        let shown: Vec<String> = wrong.iter().map(|(p, w)| format!("{p}: {w}")).collect();
        let starts = [
            "3:14: there is no mapped column `skill_nam`",
            "5:5: unknown name `befor`; did you mean `before`?",
            "6:13: rules",
            "6:24: `KEY`",
            "8:10: `lllm` is none of",
            "9:14: a list is wanted",
            "10:1: unknown name `nothing`",
        ];
        for start in starts {
            assert!(
                shown.iter().any(|s| s.starts_with(start)),
                "{start} {shown:#?}"
            );
        }
        assert_eq!(shown.len(), starts.len(), "{shown:#?}");
    }
}
