//! Closed sets of words, each with the name that columns hold and the code that facts are kept by.

/// Makes an enum whose members have a name and a code that never changes.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $member:ident = $code:literal $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$of])* $member = $code,)+
        }

        impl $name {
            /// The word that columns hold.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$member => $word,)+
                }
            }

            /// The one of that word.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($word => Some(Self::$member),)+
                    _ => None,
                }
            }

            /// The one of that code.
            #[allow(dead_code, reason = "not every set of words is kept on disk")]
            pub(crate) const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$member),)+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use words;

words! {
    /// What a span does, as the column `op_kind` says.
    OpKind {
        /// A call of a model that generates.
        Llm = 1 "llm",
        /// A call of a model that embeds.
        Embedding = 2 "embedding",
        /// A call of a model that ranks.
        Rerank = 3 "rerank",
        /// A search for documents.
        Retrieval = 4 "retrieval",
        /// A call of a tool.
        Tool = 5 "tool",
        /// A run of an agent.
        Agent = 6 "agent",
        /// A workflow or a step of one.
        Workflow = 7 "workflow",
        /// Planning.
        Plan = 8 "plan",
        /// Reading or writing memory.
        Memory = 9 "memory",
        /// Making an agent.
        CreateAgent = 10 "create_agent",
        /// Fetching an answer that was made before.
        FetchResponse = 11 "fetch_response",
        /// A guardrail.
        Guardrail = 12 "guardrail",
        /// An evaluation.
        Evaluator = 13 "evaluator",
        /// Rendering a prompt.
        Prompt = 14 "prompt",
        /// Loading or releasing a skill.
        Skill = 15 "skill",
        /// A message of the Model Context Protocol that calls no tool.
        Mcp = 16 "mcp",
        /// Nothing of these.
        Other = 17 "other",
        /// A kind that a newer or extended mapping knows.
        Unlisted = 18 "unlisted",
    }
}

impl OpKind {
    /// Whether a provider bills spans of this kind (rule B1).
    pub const fn is_model_call(self) -> bool {
        matches!(self, Self::Llm | Self::Embedding | Self::Rerank)
    }

    /// Whether rule K4 gives spans of this kind the skill that was loaded last.
    pub(crate) const fn takes_last_skill(self) -> bool {
        matches!(
            self,
            Self::Llm | Self::Tool | Self::Embedding | Self::Rerank | Self::Retrieval
        )
    }

    /// Whether a span of this kind that names a skill loads it for what follows (rule K4).
    pub(crate) const fn loads_skills(self) -> bool {
        matches!(self, Self::Tool | Self::Skill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_read_back() {
        for code in 0..=u8::MAX {
            let Some(kind) = OpKind::from_code(code) else {
                assert!(code == 0 || code > 18);
                continue;
            };
            assert_eq!(kind as u8, code);
            assert_eq!(OpKind::from_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn the_kinds_are_those_of_the_mapping() {
        let mapping: serde_json::Value =
            serde_json::from_str(include_str!("../../mapping.json")).expect("the mapping");
        for kind in mapping["op_kind"].as_object().expect("kinds").keys() {
            assert!(OpKind::from_name(kind).is_some(), "{kind}");
        }
    }
}
