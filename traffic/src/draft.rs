//! A span before any convention has put it into words.

use crate::catalog::Tokens;

/// Which convention a service's instrumentation follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OpenTelemetry's conventions as they are now.
    OtelNew,
    /// As they were.
    OtelOld,
    OpenInference,
    OpenLlmetry,
    Vercel,
    Langfuse,
    ClaudeCode,
    LiteLlm,
    /// No agents at all.
    NonAi,
}

/// What a dialect can say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abilities {
    /// The provider's id of an answer.
    pub(crate) response_id: bool,
    /// The model that answered, beside the one asked for.
    pub(crate) model_response: bool,
    /// Tokens read from and written to caches.
    pub(crate) cache: bool,
    /// Reasoning tokens.
    pub(crate) reasoning: bool,
    /// Names of agents.
    pub(crate) agents: bool,
    /// Sessions.
    pub(crate) sessions: bool,
    /// What a call cost.
    pub(crate) cost: bool,
    /// Its input does not include what was cached.
    pub(crate) exclusive: bool,
    /// Skills in the arguments of a tool that loads them.
    pub(crate) tool_arguments: bool,
    /// Skills as an attribute of the tool that loads them.
    pub(crate) direct: bool,
    /// Calls name the provider.
    pub(crate) provider: bool,
}

impl Dialect {
    pub(crate) const ALL: [(Self, f64); 9] = [
        (Self::OtelNew, 0.30),
        (Self::OtelOld, 0.20),
        (Self::OpenInference, 0.14),
        (Self::OpenLlmetry, 0.12),
        (Self::Vercel, 0.10),
        (Self::Langfuse, 0.05),
        (Self::ClaudeCode, 0.04),
        (Self::LiteLlm, 0.03),
        (Self::NonAi, 0.02),
    ];

    pub(crate) const fn abilities(self) -> Abilities {
        let all = Abilities {
            response_id: true,
            model_response: true,
            cache: true,
            reasoning: true,
            agents: true,
            sessions: true,
            cost: true,
            exclusive: false,
            tool_arguments: true,
            direct: false,
            provider: true,
        };
        match self {
            Self::OtelNew | Self::OtelOld => Abilities {
                direct: true,
                ..all
            },
            Self::OpenInference => Abilities {
                response_id: false,
                model_response: false,
                ..all
            },
            Self::OpenLlmetry => all,
            Self::Vercel => Abilities { cost: false, ..all },
            Self::Langfuse => Abilities {
                response_id: false,
                model_response: false,
                agents: false,
                exclusive: true,
                tool_arguments: false,
                provider: false,
                ..all
            },
            Self::ClaudeCode => Abilities {
                model_response: false,
                reasoning: false,
                exclusive: true,
                tool_arguments: false,
                direct: true,
                provider: false,
                ..all
            },
            Self::LiteLlm => Abilities {
                cache: false,
                reasoning: false,
                agents: false,
                sessions: false,
                tool_arguments: false,
                ..all
            },
            Self::NonAi => Abilities { cost: false, ..all },
        }
    }
}

/// What kind of model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    Embedding,
    Rerank,
}

/// Which counts a span shows; what is not shown is not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) input: bool,
    pub(crate) output: bool,
    pub(crate) cache: bool,
    pub(crate) reasoning: bool,
    /// The input is written without what was cached, whatever the dialect.
    pub(crate) raw_input: bool,
    /// A count that cannot be stands in the place of the input.
    pub(crate) nonsense: bool,
}

/// A model call as one span tells it.
#[derive(Clone, Debug)]
pub(crate) struct CallDraft {
    pub(crate) operation: Operation,
    pub(crate) provider: Option<&'static str>,
    pub(crate) model_request: Option<&'static str>,
    pub(crate) model_response: Option<&'static str>,
    pub(crate) response_id: Option<String>,
    /// All of it, the input with what was cached.
    pub(crate) tokens: Tokens,
    pub(crate) shown: Shown,
    /// In 10^-9 US dollars.
    pub(crate) reported_nano: Option<i64>,
    /// A skill in metadata of the call itself.
    pub(crate) skill: Option<String>,
    /// Bytes of conversation.
    pub(crate) content: usize,
}

/// What a tool has to do with skills.
#[derive(Clone, Debug)]
pub(crate) enum ToolSkill {
    /// Nothing.
    None,
    /// An attribute names the skill that it loads.
    Direct(String),
    /// Its arguments name it.
    Arguments(String),
}

/// What a span does.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Something of the application.
    App(&'static str),
    Workflow(String),
    Plan,
    /// A step that repeats the usage of its calls.
    Step(Tokens),
    Agent {
        name: String,
        /// The sum over its calls, where the framework repeats it.
        sum: Option<Tokens>,
    },
    Call(Box<CallDraft>),
    Tool {
        name: String,
        skill: ToolSkill,
        content: usize,
    },
    Retrieval,
    FetchResponse(String),
}

impl What {
    /// Whether it is there to have spans below it.
    pub(crate) const fn has_below(&self) -> bool {
        match self {
            Self::App(_) | Self::Workflow(_) | Self::Step(_) | Self::Agent { .. } => true,
            Self::Plan
            | Self::Call(_)
            | Self::Tool { .. }
            | Self::Retrieval
            | Self::FetchResponse(_) => false,
        }
    }
}

/// Who writes a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The service's instrumentation.
    Service,
    /// The provider's own SDK.
    Sdk,
}

/// What a span says of its circumstances.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) user: Option<String>,
    pub(crate) session: Option<String>,
    /// A skill in metadata of a span that is no call.
    pub(crate) skill: Option<String>,
}

/// A span before any convention has put it into words.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) span: u64,
    pub(crate) parent: Option<u64>,
    /// Nanoseconds since 1970 UTC.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) what: What,
    pub(crate) writer: Writer,
    pub(crate) about: About,
    /// What went wrong.
    pub(crate) error: Option<&'static str>,
    /// It is never sent.
    pub(crate) lost: bool,
}
