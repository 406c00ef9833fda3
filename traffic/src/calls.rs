//! Calls of models: what they use, who reports them, and what that adds up to.

use crate::catalog::{CHAT, Model, Tokens, UNLISTED};
use crate::draft::{CallDraft, Dialect, Draft, Operation, Shown, What, Writer};
use crate::random::double;
use crate::story::{MILLI, Story};
use crate::tenant::Twins;
use crate::truth::Call;

/// How often calls go wrong, and how.
const ERRORS: [(&str, f64); 4] = [("429", 0.5), ("529", 0.3), ("400", 0.1), ("timeout", 0.1)];

/// A call before it is known who reports it.
#[derive(Clone, Debug)]
struct Plan {
    model: Option<Model>,
    operation: Operation,
    tokens: Tokens,
    /// What the service's instrumentation shows of it.
    shown: Shown,
    skill: Option<String>,
    error: Option<&'static str>,
    twins: Twins,
    response_id: Option<String>,
    reported_nano: Option<i64>,
    dated: bool,
}

impl Plan {
    fn nothing_known(&mut self) {
        self.shown = Shown::default();
        self.reported_nano = None;
    }
}

impl Story<'_> {
    /// A turn of conversation, and again if it fails.
    pub(crate) fn converse(&mut self, history: &mut i64, skill: Option<String>) {
        let model = self.choose();
        let writes =
            model.is_some_and(|m| m.writes_cache) && self.service.dialect != Dialect::LiteLlm;
        let tokens = self.tokens(history, writes);
        let plan = self.plan(model, tokens, skill);
        let failed = plan.error.is_some();
        self.call(&plan);
        if failed && self.stream.chance(0.7) {
            let pause = self.stream.between(1_000, 20_000);
            self.now += u64::try_from(pause).unwrap_or(0) * MILLI;
            let mut again = self.plan(plan.model, plan.tokens, plan.skill.clone());
            again.error = None;
            self.call(&again);
        }
    }

    /// A call that is no conversation and is seen once.
    pub(crate) fn side_call(&mut self, model: Model, operation: Operation) {
        let input = self.stream.lognormal(400.0, 1.2, 100_000);
        let shown = Shown {
            input: operation == Operation::Embedding,
            ..Shown::default()
        };
        self.call(&Plan {
            model: Some(model),
            operation,
            tokens: Tokens {
                input,
                ..Tokens::default()
            },
            shown,
            skill: None,
            error: None,
            twins: Twins::None,
            response_id: None,
            reported_nano: None,
            dated: true,
        });
    }

    /// A model; `None` where spans will not name one.
    fn choose(&mut self) -> Option<Model> {
        let anthropic = self.service.dialect == Dialect::ClaudeCode;
        match self.stream.weighted(&[0.95, 0.03, 0.02]) {
            _ if anthropic => {
                let only: Vec<Model> = CHAT
                    .into_iter()
                    .filter(|m| m.provider == "anthropic")
                    .collect();
                self.stream.pick(&only)
            }
            0 => Some(self.tenant.model(&mut self.stream)),
            1 => Some(UNLISTED),
            _ => None,
        }
    }

    fn plan(&mut self, model: Option<Model>, tokens: Tokens, skill: Option<String>) -> Plan {
        let can = self.service.dialect.abilities();
        let error = self.stream.chance(0.02).then(|| {
            let at = self.stream.weighted(&ERRORS.map(|(_, weight)| weight));
            ERRORS.get(at).map_or("429", |(name, _)| *name)
        });
        self.numbered += 1;
        let unlisted = model.is_some_and(|m| m.rates.is_none());
        let mut plan = Plan {
            model,
            operation: Operation::Chat,
            tokens,
            shown: Shown {
                input: true,
                output: true,
                cache: can.cache,
                reasoning: can.reasoning,
                ..Shown::default()
            },
            skill,
            error,
            twins: self.service.twins,
            // The house's own server gives the same id to every answer.
            response_id: Some(if unlisted {
                "house-answer".to_owned()
            } else {
                format!(
                    "resp_{:08x}{:024x}",
                    self.numbered,
                    self.trace & 0xffff_ffff_ffff
                )
            }),
            reported_nano: None,
            dated: self.stream.chance(0.6),
        };
        if self.service.reports_cost {
            plan.reported_nano = Some(self.reported(model, tokens));
        }
        let silent = self.stream.chance(if error.is_some() { 0.9 } else { 0.04 });
        if silent {
            plan.nothing_known();
        } else if plan.twins == Twins::None && self.stream.chance(0.002) {
            plan.shown.nonsense = true;
            plan.reported_nano = None;
        } else if plan.twins != Twins::None {
            self.leave_gaps(&mut plan);
        }
        plan
    }

    /// What the sender says that it costs: the list's price, or less by contract.
    fn reported(&mut self, model: Option<Model>, tokens: Tokens) -> i64 {
        let list = model.and_then(|m| m.cost(tokens));
        let nano = list.map_or(i128::from(tokens.input + tokens.output), |cost| cost / 1000);
        let nano = i64::try_from(nano).unwrap_or_default();
        if self.stream.chance(0.3) {
            nano / 10 * 9
        } else {
            nano
        }
    }

    /// Takes from the service's own span what only the provider's SDK says then.
    fn leave_gaps(&mut self, plan: &mut Plan) {
        let exclusive = self.service.dialect.abilities().exclusive;
        let cached = plan.tokens.cache_read + plan.tokens.cache_write;
        match self.stream.weighted(&[0.5, 0.2, 0.1, 0.15, 0.05]) {
            0 => {}
            1 => plan.shown.cache = false,
            2 => plan.shown.output = false,
            3 => {
                let kept = plan.reported_nano;
                plan.nothing_known();
                plan.reported_nano = kept;
            }
            // An old instrumentation of a provider that counts its cache apart. That can be told
            // only where the cache is larger than the rest.
            _ if !exclusive && cached > plan.tokens.input - cached => {
                plan.shown.raw_input = true;
                plan.shown.cache = false;
            }
            _ => {}
        }
    }

    /// Makes the spans that report a call, and notes what is true of it.
    fn call(&mut self, plan: &Plan) {
        let can = self.service.dialect.abilities();
        let silent = plan.shown == Shown::default() && plan.reported_nano.is_none();
        let names = |model: Option<Model>, dated: bool| {
            let request = model.map(|m| m.request);
            let response = model.map(|m| if dated { m.response } else { m.request });
            (request, response)
        };
        let (model_request, response) = names(plan.model, plan.dated);
        let content = if self.service.content && plan.operation == Operation::Chat {
            let bytes =
                crate::random::integer(4.2 * double(plan.tokens.input + plan.tokens.output));
            usize::try_from(bytes)
                .unwrap_or(0)
                .min(self.service.content_max)
        } else {
            0
        };
        let outer = CallDraft {
            operation: plan.operation,
            provider: plan.model.map(|m| m.provider).filter(|_| can.provider),
            model_request,
            model_response: response.filter(|_| can.model_response && plan.error.is_none()),
            response_id: plan.response_id.clone().filter(|_| can.response_id),
            tokens: plan.tokens,
            shown: plan.shown,
            reported_nano: plan.reported_nano,
            skill: plan.skill.clone(),
            content,
        };
        let twin = (plan.twins != Twins::None).then(|| CallDraft {
            provider: plan.model.map(|m| m.provider),
            model_response: plan
                .model
                .map(|m| m.response)
                .filter(|_| plan.error.is_none()),
            response_id: plan.response_id.clone(),
            shown: Shown {
                input: !silent,
                output: !silent,
                cache: !silent,
                reasoning: !silent,
                ..Shown::default()
            },
            reported_nano: None,
            skill: None,
            content: 0,
            ..outer.clone()
        });
        let factor =
            f64::from(u32::try_from(self.stream.lognormal(1000.0, 0.35, 10_000)).unwrap_or(1000))
                / 1000.0;
        let millis = 300 + crate::random::integer(14.0 * double(plan.tokens.output) * factor);
        let (start, parent) = (self.now, self.parent());
        let end = start + u64::try_from(millis).unwrap_or(300) * MILLI;
        let span = self.id();
        let about = self.about_root();
        self.note(span, plan, (&outer, twin.as_ref()), about.user.clone());
        self.drafts.push(Draft {
            span,
            parent,
            start,
            end,
            what: What::Call(Box::new(outer)),
            writer: Writer::Service,
            about,
            error: plan.error,
            lost: false,
        });
        if let Some(twin) = twin {
            let below = if plan.twins == Twins::Nested {
                Some(span)
            } else {
                parent
            };
            self.twin(twin, below, (start + MILLI, end - MILLI), plan.error);
        }
        self.now = end + MILLI;
    }

    /// The span of the provider's SDK, sometimes below one of its HTTP client.
    fn twin(
        &mut self,
        call: CallDraft,
        parent: Option<u64>,
        (start, end): (u64, u64),
        error: Option<&'static str>,
    ) {
        let draft = |span, parent, what| Draft {
            span,
            parent,
            start,
            end,
            what,
            writer: Writer::Sdk,
            about: crate::draft::About::default(),
            error,
            lost: false,
        };
        let mut parent = parent;
        if self.stream.chance(0.3) {
            let between = self.id();
            self.drafts.push(draft(between, parent, What::App("POST")));
            parent = Some(between);
        }
        let span = self.id();
        self.drafts
            .push(draft(span, parent, What::Call(Box::new(call))));
    }

    /// Notes the call as it is to be booked.
    fn note(
        &mut self,
        span: u64,
        plan: &Plan,
        (outer, twin): (&CallDraft, Option<&CallDraft>),
        user: Option<String>,
    ) {
        let said = |of: fn(&Shown) -> bool| of(&outer.shown) || twin.is_some_and(|t| of(&t.shown));
        let used = said(|s| s.input) || said(|s| s.output);
        let shown = |is: bool, count: i64| if is { count } else { 0 };
        let tokens = Tokens {
            input: shown(said(|s| s.input), plan.tokens.input),
            cache_read: shown(said(|s| s.cache), plan.tokens.cache_read),
            cache_write: shown(said(|s| s.cache), plan.tokens.cache_write),
            output: shown(said(|s| s.output), plan.tokens.output),
            reasoning: shown(said(|s| s.reasoning), plan.tokens.reasoning),
        };
        let tokens = Some(tokens).filter(|_| used && !outer.shown.nonsense);
        let computed = tokens.and_then(|tokens| plan.model?.cost(tokens));
        let reported = plan.reported_nano.map(|nano| i128::from(nano) * 1000);
        let status = match (tokens, reported, computed) {
            _ if outer.shown.nonsense => "invalid_usage",
            (_, Some(_), _) => "reported",
            (None, _, _) => "no_usage",
            (_, _, Some(_)) => "computed",
            (_, _, None) => "unpriced",
        };
        let model = outer.model_response.or(twin.and_then(|t| t.model_response));
        let mut call = Call {
            trace: self.trace,
            span,
            skill: None,
            attribution: "none",
            agent: None,
            user,
            session: None,
            cost_center: None,
            model: model.or(outer.model_request).map(str::to_owned),
            tokens,
            reported,
            computed,
            status,
            failed: plan.error.is_some(),
        };
        self.circumstances(&mut call, plan.skill.clone());
        self.calls.push(call);
    }
}
