//! What is open while work is done, and what can be found from below it.

use super::{MILLI, Story};
use crate::draft::{About, Draft, What, Writer};
use crate::truth::Call;

/// Something under which work is done.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// Where its draft lies.
    pub(super) at: usize,
    pub(super) span: u64,
    /// Its span is never sent, so that nothing above it can be found from below.
    pub(super) lost: bool,
    pub(super) is_agent: bool,
    pub(super) agent: Option<String>,
    pub(super) user: Option<String>,
    pub(super) session: Option<String>,
    /// A skill in its own metadata.
    pub(super) skill: Option<String>,
    /// The skill that was loaded last under this agent.
    pub(super) loaded: Option<String>,
}

impl Story<'_> {
    /// Opens a scope under the one that is open; the first names user and session.
    pub(super) fn open(&mut self, what: What, root: bool) {
        let abilities = self.service.dialect.abilities();
        let app = matches!(what, What::App(_));
        let mut about = About::default();
        if root && self.scopes.is_empty() {
            about.user = Some(self.tenant.user(&mut self.stream));
            about.session = (app || abilities.sessions)
                .then(|| format!("session-{:012x}", self.trace & 0xffff_ffff_ffff));
        }
        let name = if let What::Agent { name, .. } = &what {
            Some(name.clone())
        } else {
            None
        };
        let is_agent = name.is_some();
        let agent = name.filter(|_| abilities.agents);
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
    pub(super) fn tag(&mut self, skill: String) {
        let Some(scope) = self.scopes.last_mut() else {
            return;
        };
        scope.skill = Some(skill.clone());
        if let Some(draft) = self.drafts.get_mut(scope.at) {
            draft.about.skill = Some(skill);
        }
    }

    pub(super) fn close(&mut self) {
        self.now += MILLI;
        if let Some(scope) = self.scopes.pop()
            && let Some(draft) = self.drafts.get_mut(scope.at)
        {
            draft.end = self.now;
        }
        self.now += MILLI;
    }

    /// A span without spans below it.
    pub(super) fn leaf(&mut self, what: What, error: Option<&'static str>) {
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
    pub(super) fn reachable(&self) -> impl Iterator<Item = usize> + use<> {
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
}
