//! Who sends: tenants, and what they run.

use crate::catalog::{CHAT, Model};
use crate::draft::Dialect;
use crate::random::Stream;

/// How a service's calls are seen twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twins {
    None,
    /// The provider's SDK traces itself below the framework's span.
    Nested,
    /// Beside it, since the framework does not make its span the current one.
    Sibling,
}

/// A program of a tenant.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) twins: Twins,
    /// Its calls report what they cost.
    pub(crate) reports_cost: bool,
    /// Its resource names a skill.
    pub(crate) skill: Option<String>,
    pub(crate) cost_center: Option<String>,
    /// Conversations are recorded.
    pub(crate) content: bool,
    /// Recorded texts are cut at so many bytes.
    pub(crate) content_max: usize,
    pub(crate) environment: &'static str,
}

/// Whose traffic it is.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) services: Vec<Service>,
    agents: usize,
    skills: usize,
    tools: usize,
    users: usize,
    models: Vec<Model>,
}

const AGENTS: [&str; 8] = [
    "researcher",
    "reviewer",
    "planner",
    "triage",
    "writer",
    "analyst",
    "coder",
    "support",
];
const SKILLS: [&str; 8] = [
    "pdf-processing",
    "code-review",
    "web-research",
    "sql-report",
    "refund-policy",
    "summarize",
    "translate",
    "triage",
];
const TOOLS: [&str; 8] = [
    "read_file",
    "search",
    "bash",
    "fetch_page",
    "query_database",
    "send_mail",
    "edit_file",
    "get_weather",
];

/// The name of number `n`: first those that are known, then numbered ones.
fn name(of: &[&str], n: usize) -> String {
    match n.checked_div(of.len()) {
        Some(0) | None => of
            .get(n)
            .map_or_else(String::new, |name| (*name).to_owned()),
        Some(round) => format!(
            "{}-{round}",
            of.get(n % of.len()).copied().unwrap_or_default()
        ),
    }
}

impl Tenant {
    /// Tenant number `number` of those that `seed` makes; `content` is the share of its services
    /// that record conversations.
    pub(crate) fn of(seed: u64, number: u64, content: f64) -> Self {
        let mut stream = Stream::of(&[seed, number, 1]);
        let mut size = |median: f64, sigma: f64, max: i64| {
            usize::try_from(stream.lognormal(median, sigma, max)).unwrap_or(1)
        };
        // The spec gives medians and 99th percentiles, which are 2.33 sigma apart.
        let services = size(6.0, 0.99, 60);
        let (agents, skills) = (size(8.0, 1.38, 200), size(25.0, 1.29, 500));
        let (tools, users) = (size(40.0, 1.29, 800), size(120.0, 2.2, 20_000));
        let models = size(4.0, 0.57, 9);
        let mut tenant = Self {
            name: format!("tenant-{number:05}"),
            services: Vec::new(),
            agents,
            skills,
            tools,
            users,
            models: CHAT
                .iter()
                .copied()
                .cycle()
                .skip(stream.popular(9))
                .take(models)
                .collect(),
        };
        for at in 0..services {
            let service = tenant.service(&mut stream, at, content);
            tenant.services.push(service);
        }
        tenant
    }

    fn service(&self, stream: &mut Stream, at: usize, content: f64) -> Service {
        let weights = Dialect::ALL.map(|(_, weight)| weight);
        let dialect = Dialect::ALL
            .get(stream.weighted(&weights))
            .map_or(Dialect::OtelNew, |(dialect, _)| *dialect);
        let abilities = dialect.abilities();
        let twins = if dialect == Dialect::NonAi || !stream.chance(0.12) {
            Twins::None
        } else if abilities.response_id && stream.chance(1.0 / 3.0) {
            Twins::Sibling
        } else {
            Twins::Nested
        };
        Service {
            name: format!("service-{at}"),
            dialect,
            twins,
            reports_cost: abilities.cost && stream.chance(0.25),
            skill: stream.chance(0.04).then(|| self.skill(stream)),
            cost_center: stream
                .chance(0.3)
                .then(|| format!("cc-{}", stream.below(12))),
            content: stream.chance(content),
            content_max: if stream.chance(0.4) {
                64 << 10
            } else {
                4 << 20
            },
            environment: if stream.chance(0.85) {
                "production"
            } else {
                "staging"
            },
        }
    }

    pub(crate) fn agent(&self, stream: &mut Stream) -> String {
        name(&AGENTS, stream.popular(self.agents))
    }

    pub(crate) fn skill(&self, stream: &mut Stream) -> String {
        name(&SKILLS, stream.popular(self.skills))
    }

    pub(crate) fn tool(&self, stream: &mut Stream) -> String {
        name(&TOOLS, stream.popular(self.tools))
    }

    pub(crate) fn user(&self, stream: &mut Stream) -> String {
        format!("user-{:06}", stream.popular(self.users))
    }

    pub(crate) fn model(&self, stream: &mut Stream) -> Model {
        let at = stream.popular(self.models.len());
        self.models.get(at).copied().unwrap_or(CHAT[0])
    }
}
