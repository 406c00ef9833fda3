//! A fact: all that must be known of one span to say what its trace costs.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::booking::CostStatus;
use super::names::{OpKind, words};

/// Makes an id that columns hold as lower-case hex digits; its order is that of its text.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($number:ty) digits $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $number);

        impl $name {
            /// Reads it from its hex digits; `None` where it is none.
            pub fn parse(text: &str) -> Option<Self> {
                let plain = text.len() == $digits && text.bytes().all(|b| b.is_ascii_hexdigit());
                plain.then(|| <$number>::from_str_radix(text, 16).ok()).flatten().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = $digits)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// A trace's id.
    TraceId(u128) digits 32
);
id!(
    /// A span's id, unique within its trace.
    SpanId(u64) digits 16
);
id!(
    /// What was sent of a span, hashed: equal for a resend, different for a conflict.
    ContentKey(u128) digits 32
);

words! {
    /// Who reports a call of a tool.
    ToolRole {
        /// The agent that calls it.
        Agent = 1 "agent",
        /// The client of the Model Context Protocol.
        McpClient = 2 "mcp_client",
        /// The server that runs it.
        McpServer = 3 "mcp_server",
    }
}

words! {
    /// How a span names its skill.
    SkillSource {
        /// An attribute that means a skill and nothing else.
        Direct = 1 "direct",
        /// Metadata, an association or a tag.
        Metadata = 2 "metadata",
        /// The arguments of a tool that loads skills.
        ToolArgs = 3 "tool_args",
        /// The resource.
        Resource = 4 "resource",
    }
}

words! {
    /// A column that a span without it takes from its nearest ancestor (rule C1).
    Inherited {
        /// The agent's name.
        AgentName = 0 "agent_name",
        /// The agent's id.
        AgentId = 1 "agent_id",
        /// The session.
        SessionId = 2 "session_id",
        /// The conversation.
        ConversationId = 3 "conversation_id",
        /// The user.
        UserId = 4 "user_id",
        /// The workflow.
        WorkflowName = 5 "workflow_name",
        /// The team.
        TeamId = 6 "team_id",
        /// The cost centre.
        CostCenter = 7 "cost_center",
        /// The project.
        Project = 8 "project",
    }
}

impl Inherited {
    /// All of them, by code.
    pub const ALL: [Self; 9] = [
        Self::AgentName,
        Self::AgentId,
        Self::SessionId,
        Self::ConversationId,
        Self::UserId,
        Self::WorkflowName,
        Self::TeamId,
        Self::CostCenter,
        Self::Project,
    ];
}

words! {
    /// A count of tokens.
    UsageCount {
        /// All input.
        Input = 0 "usage_input_tokens",
        /// All output.
        Output = 1 "usage_output_tokens",
        /// Of the input, read from the cache.
        CacheRead = 2 "usage_cache_read_tokens",
        /// Of the input, written to the cache.
        CacheWrite = 3 "usage_cache_write_tokens",
        /// Of those written, kept for an hour.
        CacheWrite1h = 4 "usage_cache_write_1h_tokens",
        /// Of the output, reasoning.
        Reasoning = 5 "usage_reasoning_tokens",
        /// Of the input, audio.
        AudioInput = 6 "usage_audio_input_tokens",
        /// Of the output, audio.
        AudioOutput = 7 "usage_audio_output_tokens",
        /// Of the input, images.
        ImageInput = 8 "usage_image_input_tokens",
        /// Of the output, images.
        ImageOutput = 9 "usage_image_output_tokens",
    }
}

impl UsageCount {
    /// All of them, by code.
    pub const ALL: [Self; 10] = [
        Self::Input,
        Self::Output,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::Reasoning,
        Self::AudioInput,
        Self::AudioOutput,
        Self::ImageInput,
        Self::ImageOutput,
    ];
}

/// The token counts of a call, each known or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usage {
    /// One bit for each count that is known; the others are 0.
    known: u16,
    counts: [i64; UsageCount::ALL.len()],
}

impl Usage {
    /// The count, where known.
    pub fn get(&self, which: UsageCount) -> Option<i64> {
        let count = self.counts.get(which as usize).copied();
        count.filter(|_| self.known & (1 << which as u16) != 0)
    }

    /// Sets the count; `None` makes it unknown.
    pub fn set(&mut self, which: UsageCount, count: Option<i64>) {
        if let Some(slot) = self.counts.get_mut(which as usize) {
            *slot = count.unwrap_or_default();
        }
        match count {
            Some(_) => self.known |= 1 << which as u16,
            None => self.known &= !(1 << which as u16),
        }
    }

    /// The count, 0 where unknown.
    pub(crate) fn or_zero(&self, which: UsageCount) -> i64 {
        self.get(which).unwrap_or_default()
    }

    /// Whether there is anything to price.
    pub fn is_used(&self) -> bool {
        self.get(UsageCount::Input).is_some() || self.get(UsageCount::Output).is_some()
    }
}

/// What a span says of the circumstances of its work; all texts may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Context {
    /// The columns that rule C1 passes on, by their codes.
    pub inherited: [Option<Arc<str>>; Inherited::ALL.len()],
    /// The deployment environment, which each span has for itself.
    pub environment: Option<Arc<str>>,
}

impl Context {
    /// One of the columns that are passed on.
    pub fn get(&self, which: Inherited) -> Option<&Arc<str>> {
        self.inherited.get(which as usize).and_then(Option::as_ref)
    }

    /// Sets one of the columns that are passed on.
    pub fn set(&mut self, which: Inherited, value: Option<Arc<str>>) {
        if let Some(slot) = self.inherited.get_mut(which as usize) {
            *slot = value;
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A skill that a span names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Skill {
    /// Its name.
    pub name: Arc<str>,
    /// Its version, where the same span says it.
    pub version: Option<Arc<str>>,
    /// How the span names it.
    pub source: SkillSource,
}

/// What only model calls have.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelCall {
    /// The provider under its common name.
    pub provider: Option<Arc<str>>,
    /// The model asked for.
    pub model_request: Option<Arc<str>>,
    /// The model that answered.
    pub model_response: Option<Arc<str>>,
    /// The service tier.
    pub service_tier: Option<Arc<str>>,
    /// The provider's id of the answer.
    pub response_id: Option<Arc<str>>,
    /// Whether it was a batch call.
    pub batch: Option<bool>,
    /// Token counts, checked and inclusive (rules U2 to U4 have been applied to this span alone).
    pub usage: Usage,
    /// The counts were refused as implausible (rule U3).
    pub invalid: bool,
    /// Cached tokens were added to the input (rule U2).
    pub made_inclusive: bool,
    /// Reasoning tokens were added to the output (rule U4).
    pub reasoning_added: bool,
    /// What the sender says it cost, in 10^-12 US dollars.
    pub reported: Option<i128>,
    /// What it cost by the list, in 10^-12 US dollars.
    pub computed: Option<i128>,
    /// The one that was chosen, in 10^-12 US dollars.
    pub cost: Option<i128>,
    /// How the cost came about.
    pub status: CostStatus,
    /// Reported and computed differ by more than 2 %; `None` where there are not both.
    pub disagrees: Option<bool>,
    /// The list and its entry that computed the cost.
    pub price_ref: Option<Arc<str>>,
    /// The list by which a changed call is to be priced again; the reader takes it from
    /// `price_ref`, and whoever keeps the fact sets it where that names none.
    pub list: Option<Arc<str>>,
}

/// All that must be known of one span to say what its trace costs.
///
/// Large traces have 100,000 of them, so that most spans, which are no calls and have no context of
/// their own, take little: equal texts and contexts are [`Shared`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fact {
    /// The span.
    pub span: SpanId,
    /// Tells copies from conflicts.
    pub content_key: ContentKey,
    /// When a node accepted this copy, in microseconds since 1970 UTC: of equal copies the first
    /// counts.
    pub received_us: i64,
    /// The span's parent; `None` for a root.
    pub parent: Option<SpanId>,
    /// Start in nanoseconds since 1970 UTC.
    pub start: i64,
    /// End in nanoseconds since 1970 UTC; `None` where the sender set none.
    pub end: Option<i64>,
    /// What it does.
    pub kind: OpKind,
    /// Who reports it, where it calls a tool.
    pub role: Option<ToolRole>,
    /// It carries the sum of other spans' usage, which nobody pays again (rule U1).
    pub aggregate: bool,
    /// What went wrong; `_OTHER`, as the conventions have it, where only that it did is known.
    pub error: Option<Arc<str>>,
    /// The convention that it follows.
    pub dialect: Option<Arc<str>>,
    /// The circumstances that it names itself.
    pub context: Option<Arc<Context>>,
    /// The skill that it names itself.
    pub skill: Option<Skill>,
    /// What it used and cost; present for model calls.
    pub call: Option<Box<ModelCall>>,
}

impl Fact {
    /// When it ended as far as rules need it: never before it started.
    pub(crate) fn end_or_start(&self) -> i64 {
        self.end.unwrap_or(self.start).max(self.start)
    }

    /// The provider's id of the answer: what joins a call to records of other signals (rule B5, by
    /// which a call seen both as a span and as an audit record is billed as the span).
    pub fn response_id(&self) -> Option<&str> {
        self.call.as_ref()?.response_id.as_deref()
    }

    /// The span's own value of a column that is passed on.
    pub(crate) fn own(&self, which: Inherited) -> Option<&Arc<str>> {
        self.context.as_ref().and_then(|c| c.get(which))
    }

    /// When the call began, in microseconds, as far as a price needs it: a span without a start was
    /// made about when it was received.
    pub(crate) fn priced_at_us(&self) -> i64 {
        match self.start.div_euclid(1000) {
            start if start > 0 => start,
            _ => self.received_us,
        }
    }
}

/// How many texts or contexts are shared; then sharing starts anew.
const SHARED_MAX: usize = 65_536;

/// Equal texts and contexts, kept once.
#[derive(Debug, Default)]
pub struct Shared {
    texts: HashSet<Arc<str>>,
    contexts: HashSet<Arc<Context>>,
}

impl Shared {
    /// `text`, as it is kept already if it is.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= SHARED_MAX {
            self.texts.clear();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// `context`, as it is kept already if it is; `None` where it says nothing.
    pub fn context(&mut self, context: Context) -> Option<Arc<Context>> {
        if context.is_empty() {
            return None;
        }
        if let Some(known) = self.contexts.get(&context) {
            return Some(Arc::clone(known));
        }
        if self.contexts.len() >= SHARED_MAX {
            self.contexts.clear();
        }
        let context = Arc::new(context);
        self.contexts.insert(Arc::clone(&context));
        Some(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_digits_of_their_length_and_order_as_their_texts() {
        let id = SpanId::parse("00f1e2d3c4b5a697").expect("an id");
        assert_eq!(id.to_string(), "00f1e2d3c4b5a697");
        assert!(id < SpanId::parse("10f1e2d3c4b5a697").expect("an id"));
        for wrong in [
            "",
            "0f1e2d3c4b5a697",
            "+0f1e2d3c4b5a697",
            "00f1e2d3c4b5a69g",
        ] {
            assert_eq!(SpanId::parse(wrong), None, "{wrong:?}");
        }
        assert!(TraceId::parse(&"f".repeat(32)).is_some());
    }

    #[test]
    fn a_count_of_zero_is_known() {
        let mut usage = Usage::default();
        assert_eq!(usage.get(UsageCount::Output), None);
        usage.set(UsageCount::Output, Some(0));
        assert_eq!(usage.get(UsageCount::Output), Some(0));
        assert!(usage.is_used());
        usage.set(UsageCount::Output, None);
        assert_eq!(usage, Usage::default());
    }

    #[test]
    fn equal_texts_and_contexts_are_kept_once() {
        let mut shared = Shared::default();
        let (a, b) = (shared.text("agent"), shared.text("agent"));
        assert!(Arc::ptr_eq(&a, &b));
        let mut context = Context::default();
        assert_eq!(shared.context(context.clone()), None);
        context.set(Inherited::UserId, Some(a));
        let (a, b) = (shared.context(context.clone()), shared.context(context));
        assert!(Arc::ptr_eq(&a.expect("one"), &b.expect("one")));
    }

    #[test]
    fn lists_of_words_are_in_the_order_of_their_codes() {
        for (at, which) in Inherited::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(which as u8), at);
        }
        for (at, which) in UsageCount::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(which as u8), at);
        }
    }

    #[test]
    fn a_span_that_is_no_call_is_small() {
        assert!(size_of::<Fact>() <= 240, "{}", size_of::<Fact>());
    }
}
