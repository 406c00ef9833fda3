//! A trace as it happens: who works for whom, in which order, and what each call is for.
//!
//! The truth is noted while the story is told, from what its people know at that moment: an agent
//! knows which skill it has loaded. Nothing looks at finished spans again.

use crate::catalog::{EMBEDDING, RERANK};
use crate::draft::{About, Dialect, Draft, Operation, ToolSkill, What, Writer};
use crate::random::{Stream, double};
use crate::tenant::{Service, Tenant};
use crate::truth::Call;

/// Something under which work is done.
#[derive(Clone, Debug)]
struct Scope {
    /// Where its draft lies.
    at: usize,
    span: u64,
    /// Its span is never sent, so that nothing above it can be found from below.
    lost: bool,
    is_agent: bool,
    agent: Option<String>,
    user: Option<String>,
    session: Option<String>,
    /// A skill in its own metadata.
    skill: Option<String>,
    /// The skill that was loaded last under this agent.
    loaded: Option<String>,
}

/// A trace while it is told.
#[derive(Debug)]
pub(crate) struct Story<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) service: &'a Service,
    pub(crate) stream: Stream,
    pub(crate) trace: u128,
    /// Nanoseconds since 1970 UTC.
    pub(crate) now: u64,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) calls: Vec<Call>,
    /// How many calls of this trace begin; ids count on.
    pub(crate) numbered: u64,
    scopes: Vec<Scope>,
    /// A span of this trace is never sent.
    loses: bool,
}

/// Nanoseconds of a millisecond.
pub(crate) const MILLI: u64 = 1_000_000;

/// How skills come into a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    Arguments,
    /// Metadata of each call.
    OnCalls,
    /// Metadata of what is above the calls.
    Above,
}

impl<'a> Story<'a> {
    /// Tells trace number `index` of `tenant`, which starts at `now`.
    pub(crate) fn tell(
        tenant: &'a Tenant,
        service: &'a Service,
        stream: Stream,
        now: u64,
    ) -> Story<'a> {
        let mut stream = stream;
        let (high, low) = (stream.bits(), stream.bits());
        let mut story = Self {
            tenant,
            service,
            trace: u128::from(high) << 64 | u128::from(low) | 1,
            loses: stream.chance(0.03),
            stream,
            now,
            drafts: Vec::new(),
            calls: Vec::new(),
            numbered: 0,
            scopes: Vec::new(),
        };
        story.whole();
        story
    }

    fn whole(&mut self) {
        // A gateway sees single calls; what is no agent has none.
        let kinds: [f64; 5] = match self.service.dialect {
            Dialect::NonAi => return self.plain(),
            Dialect::LiteLlm => [0.9, 0.1, 0.0, 0.0, 0.0],
            Dialect::OtelNew
            | Dialect::OtelOld
            | Dialect::OpenInference
            | Dialect::OpenLlmetry
            | Dialect::Vercel
            | Dialect::Langfuse
            | Dialect::ClaudeCode => [0.35, 0.15, 0.38, 0.09, 0.03],
        };
        match self.stream.weighted(&kinds) {
            0 => self.single(),
            1 => self.retrieval(),
            2 => {
                let turns = self.stream.geometric(5.0, 60);
                self.agent(turns);
            }
            3 => self.several_agents(),
            _ => {
                let turns = self.stream.lognormal(80.0, 1.26, 3000).max(10);
                self.agent(turns);
            }
        }
    }

    fn plain(&mut self) {
        self.open(What::App("GET /orders"), true);
        for _ in 0..self.stream.between(0, 4) {
            self.leaf(What::App("SELECT orders"), None);
        }
        self.close();
    }

    fn single(&mut self) {
        let around = self.stream.between(0, 2);
        for name in ["POST /answer", "handle_question"]
            .into_iter()
            .take(usize::try_from(around).unwrap_or(0))
        {
            self.open(What::App(name), true);
        }
        let skill = self
            .stream
            .chance(0.2)
            .then(|| self.tenant.skill(&mut self.stream));
        self.converse(&mut 0, skill);
        if self.service.dialect == Dialect::OtelNew && self.stream.chance(0.05) {
            self.leaf(
                What::FetchResponse(format!("resp_{:016x}", self.numbered)),
                None,
            );
        }
        while !self.scopes.is_empty() {
            self.close();
        }
    }

    fn retrieval(&mut self) {
        self.open(What::Workflow("answer-from-documents".into()), true);
        // Without its provider no list tells which model a name of an embedding means.
        if self.service.dialect.abilities().provider {
            self.side_call(EMBEDDING, Operation::Embedding);
        }
        for _ in 0..self.stream.between(1, 2) {
            self.leaf(What::Retrieval, None);
        }
        if self.service.dialect == Dialect::OtelNew && self.stream.chance(0.5) {
            self.side_call(RERANK, Operation::Rerank);
        }
        self.converse(&mut 0, None);
        self.close();
    }

    fn several_agents(&mut self) {
        self.open(What::Workflow("team".into()), true);
        self.leaf(What::Plan, None);
        for _ in 0..=self.stream.poisson(3.0) {
            let turns = self.stream.geometric(5.0, 60);
            self.agent(turns);
        }
        self.close();
    }

    /// An agent that takes `turns`, and maybe starts another on the way.
    fn agent(&mut self, turns: i64) {
        let name = self.tenant.agent(&mut self.stream);
        let root = self.scopes.is_empty();
        let way = self.way();
        let sum = self.stream.chance(0.6);
        self.open(What::Agent { name, sum: None }, root);
        let above = way.filter(|way| *way == Way::Above);
        if above.is_some() {
            let skill = self.tenant.skill(&mut self.stream);
            self.tag(skill);
        }
        let on_calls = way.filter(|way| *way == Way::OnCalls);
        let on_calls = on_calls.map(|_| self.tenant.skill(&mut self.stream));
        let loads = match self.stream.weighted(&[0.7, 0.2, 0.1]) {
            0 => 1,
            1 => 2,
            _ => self.stream.between(3, 5),
        };
        let load_turns: Vec<i64> = (0..loads)
            .map(|_| self.stream.between(0, turns - 1))
            .collect();
        let begun = self.drafts.len();
        let mut history = 0;
        for turn in 0..turns {
            self.turn(&mut history, on_calls.clone());
            let loading = matches!(way, Some(Way::Direct | Way::Arguments));
            if loading && load_turns.contains(&turn) {
                self.load(way == Some(Way::Direct));
            }
            if turn + 1 < turns || self.stream.chance(0.2) {
                for _ in 0..self.stream.poisson(1.4).max(1) {
                    self.tool();
                }
            }
            // A sub-agent, once, in a longer run.
            if turn == 4 && self.scopes.len() < 3 && self.stream.chance(0.15) {
                let turns = self.stream.geometric(3.0, 10);
                self.agent(turns);
            }
        }
        if sum {
            self.repeat_sum(begun);
        }
        self.close();
    }

    /// How skills come into the trace, if they do.
    fn way(&mut self) -> Option<Way> {
        let can = self.service.dialect.abilities();
        if !self.stream.chance(0.45) {
            return None;
        }
        Some(match self.stream.weighted(&[0.35, 0.2, 0.1, 0.25]) {
            0 if can.direct => Way::Direct,
            3 | 0 if can.tool_arguments => Way::Arguments,
            1 => Way::OnCalls,
            _ => Way::Above,
        })
    }

    /// A call of the model, maybe in a step that repeats its usage.
    fn turn(&mut self, history: &mut i64, skill: Option<String>) {
        let steps = matches!(
            self.service.dialect,
            Dialect::OtelNew | Dialect::OpenInference
        );
        let step = steps && self.stream.chance(0.2);
        if step {
            self.open(What::Step(crate::catalog::Tokens::default()), false);
        }
        let begun = self.drafts.len();
        self.converse(history, skill);
        if step {
            self.repeat_sum(begun);
            self.close();
        }
    }

    /// Puts the sum over the calls since `begun` on the scope that is open.
    fn repeat_sum(&mut self, begun: usize) {
        let mut sum = crate::catalog::Tokens::default();
        for draft in self.drafts.iter().skip(begun) {
            if let (What::Call(call), Writer::Service) = (&draft.what, draft.writer) {
                sum.input += call.tokens.input;
                sum.output += call.tokens.output;
            }
        }
        let Some(scope) = self.scopes.last() else {
            return;
        };
        match self.drafts.get_mut(scope.at).map(|draft| &mut draft.what) {
            Some(What::Agent { sum: slot, .. }) => *slot = Some(sum),
            Some(What::Step(slot)) => *slot = sum,
            _ => {}
        }
    }

    /// A tool loads a skill: from now on the agent works by it.
    fn load(&mut self, direct: bool) {
        let skill = self.tenant.skill(&mut self.stream);
        let (name, how) = if direct {
            ("activate".to_owned(), ToolSkill::Direct(skill.clone()))
        } else {
            ("load_skill".to_owned(), ToolSkill::Arguments(skill.clone()))
        };
        let tool = What::Tool {
            name,
            skill: how,
            content: 0,
        };
        let lost = self.loses && self.stream.chance(0.3);
        if lost {
            self.loses = false;
        }
        self.leaf(tool, None);
        if let Some(draft) = self.drafts.last_mut() {
            draft.lost = lost;
        }
        // A load that is never sent is known to the agent, and to nobody else.
        let agent = self
            .reachable()
            .find(|at| self.scopes.get(*at).is_some_and(|s| s.is_agent));
        if let Some(scope) = agent
            .and_then(|at| self.scopes.get_mut(at))
            .filter(|_| !lost)
        {
            scope.loaded = Some(skill);
        }
    }

    fn tool(&mut self) {
        let name = self.tenant.tool(&mut self.stream);
        let error = self.stream.chance(0.06).then_some("tool_error");
        let content = if self.service.content {
            let bytes = self.stream.lognormal(1500.0, 1.8, 4 << 20);
            usize::try_from(bytes)
                .unwrap_or(0)
                .min(self.service.content_max)
        } else {
            0
        };
        let tool = What::Tool {
            name,
            skill: ToolSkill::None,
            content,
        };
        self.leaf(tool, error);
        if error.is_some() && self.stream.chance(0.7) {
            self.now += 1000 * MILLI;
            let name = self.tenant.tool(&mut self.stream);
            let again = What::Tool {
                name,
                skill: ToolSkill::None,
                content: 0,
            };
            self.leaf(again, None);
        }
    }

    /// Opens a scope under the one that is open; the first names user and session.
    fn open(&mut self, what: What, root: bool) {
        let abilities = self.service.dialect.abilities();
        let app = matches!(what, What::App(_));
        let mut about = About::default();
        if root && self.scopes.is_empty() {
            about.user = Some(self.tenant.user(&mut self.stream));
            about.session = (app || abilities.sessions)
                .then(|| format!("session-{:012x}", self.trace & 0xffff_ffff_ffff));
        }
        let agent = match &what {
            What::Agent { name, .. } if abilities.agents => Some(name.clone()),
            _ => None,
        };
        let is_agent = matches!(what, What::Agent { .. });
        // Steps are never lost: one span a trace is, and rather one that matters.
        let lost = self.loses && !matches!(what, What::Step(_)) && self.stream.chance(0.5);
        if lost {
            self.loses = false;
        }
        let span = self.id();
        let draft = Draft {
            span,
            parent: self.scopes.last().map(|scope| scope.span),
            start: self.now,
            end: self.now,
            what,
            writer: Writer::Service,
            about: about.clone(),
            error: None,
            lost,
        };
        self.scopes.push(Scope {
            at: self.drafts.len(),
            span,
            lost,
            is_agent,
            agent,
            user: about.user,
            session: about.session,
            skill: None,
            loaded: None,
        });
        self.drafts.push(draft);
        self.now += MILLI;
    }

    /// Names a skill in the metadata of the scope that is open.
    fn tag(&mut self, skill: String) {
        let Some(scope) = self.scopes.last_mut() else {
            return;
        };
        scope.skill = Some(skill.clone());
        if let Some(draft) = self.drafts.get_mut(scope.at) {
            draft.about.skill = Some(skill);
        }
    }

    fn close(&mut self) {
        self.now += MILLI;
        if let Some(scope) = self.scopes.pop()
            && let Some(draft) = self.drafts.get_mut(scope.at)
        {
            draft.end = self.now;
        }
        self.now += MILLI;
    }

    /// A span without spans below it.
    fn leaf(&mut self, what: What, error: Option<&'static str>) {
        let start = self.now;
        let took = self.stream.lognormal(120.0, 1.6, 600_000);
        self.now += u64::try_from(took).unwrap_or(1) * MILLI;
        let draft = Draft {
            span: self.id(),
            parent: self.scopes.last().map(|scope| scope.span),
            start,
            end: self.now,
            what,
            writer: Writer::Service,
            about: About::default(),
            error,
            lost: false,
        };
        self.drafts.push(draft);
        self.now += MILLI;
    }

    pub(crate) fn id(&mut self) -> u64 {
        self.stream.bits() | 1
    }

    pub(crate) fn parent(&self) -> Option<u64> {
        self.scopes.last().map(|scope| scope.span)
    }

    /// The scopes that can be found from what is below them, the innermost first.
    fn reachable(&self) -> impl Iterator<Item = usize> + use<> {
        let places = self.scopes.iter().enumerate().rev();
        let found: Vec<usize> = places
            .take_while(|(_, scope)| !scope.lost)
            .map(|(at, _)| at)
            .collect();
        found.into_iter()
    }

    fn nearest(&self, of: impl Fn(&Scope) -> Option<String>) -> Option<String> {
        self.reachable()
            .find_map(|at| self.scopes.get(at).and_then(&of))
    }

    /// What is known of the circumstances of a call that is made now: filled into `call`.
    pub(crate) fn circumstances(&self, call: &mut Call, own_skill: Option<String>) {
        let above = self.nearest(|scope| scope.skill.clone());
        let agent = self
            .reachable()
            .find(|at| self.scopes.get(*at).is_some_and(|s| s.is_agent));
        let loaded = agent.and_then(|at| self.scopes.get(at)?.loaded.clone());
        let of_service = self.service.skill.clone();
        let ways = [
            (own_skill, "metadata"),
            (of_service, "resource"),
            (above, "ancestor"),
            (loaded, "last_loaded"),
        ];
        let found = ways.into_iter().find(|(skill, _)| skill.is_some());
        (call.skill, call.attribution) = found.unwrap_or((None, "none"));
        call.agent = self.nearest(|scope| scope.agent.clone());
        call.user = call
            .user
            .take()
            .or_else(|| self.nearest(|scope| scope.user.clone()));
        call.session = call
            .session
            .take()
            .or_else(|| self.nearest(|scope| scope.session.clone()));
        call.cost_center.clone_from(&self.service.cost_center);
    }

    /// User and session for a call that has nothing above it.
    pub(crate) fn about_root(&mut self) -> About {
        if !self.scopes.is_empty() {
            return About::default();
        }
        About {
            user: Some(self.tenant.user(&mut self.stream)),
            session: None,
            skill: None,
        }
    }

    /// Tokens of a model's answer, and of a question after `history`.
    pub(crate) fn tokens(
        &mut self,
        history: &mut i64,
        writes_cache: bool,
    ) -> crate::catalog::Tokens {
        let limit: i64 = if self.stream.chance(0.9) {
            200_000
        } else {
            1_000_000
        };
        let later = *history > 0;
        if !later {
            *history = self.stream.lognormal(1800.0, 1.3, limit / 2);
        }
        if *history > limit / 100 * 85 {
            *history = limit / 10;
        }
        let input = *history;
        *history += self.stream.lognormal(700.0, 1.1, limit);
        let share = if later {
            self.stream.beta(8.0, 2.0)
        } else {
            self.stream.beta(0.6, 2.0)
        };
        let cache_read = crate::random::integer(double(input) * share).min(input);
        let rest = input - cache_read;
        let cache_write = if writes_cache && self.stream.chance(0.25) {
            rest
        } else {
            0
        };
        let output = self.stream.lognormal(220.0, 1.1, 64_000);
        let reasoning = if self.stream.chance(0.3) {
            crate::random::integer(double(output) * self.stream.beta(3.0, 2.0)).min(output)
        } else {
            0
        };
        crate::catalog::Tokens {
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
        }
    }
}
