//! What administrators of a tenant set and note, over HTTP: budgets, and what is reconciled.
//!
//! ```text
//! GET PUT DELETE /v1/observability/costs/budget    beside the budgets of `budgets.file`
//! GET PUT DELETE /v1/reconciliations               periods that were held against a bill
//! ```
//!
//! Whoever may ask may see them, only `admin` may change them. A change is durable when it is
//! answered, is logged with who made it, and counts on every node within five seconds.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_queries::Dimension;
use weir_store::{NoteKind, Scope};

use crate::app::Node;
use crate::app::budgets::{Budget, Origin, Period, WrittenBudget};
use crate::app::quota::Caller;
use crate::app::reconciled::{self, Mark};
use crate::http::auth;
use crate::http::ocsf::success;
use crate::http::otlp::arrive_by_any;
use crate::http::refusal::Refusal;
use crate::http::rollups::question::parameters;

/// How large the body of a setting may be, in bytes.
const BODY_MAX: usize = 16 << 10;

/// A budget as it is sent: in our words (`scope`, `name`), or in those of the senders' product.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sent {
    limit_usd: Value,
    scope: Option<String>,
    name: Option<String>,
    period: Period,
    agent: Option<String>,
    cost_center: Option<String>,
    owner: Option<String>,
    mode: Option<String>,
}

impl Sent {
    /// What it is for.
    fn of_what(&mut self) -> Result<(String, Option<String>), Refusal> {
        let theirs = [
            (Dimension::Agent, self.agent.take()),
            (Dimension::CostCenter, self.cost_center.take()),
            (Dimension::User, self.owner.take()),
        ];
        let theirs = theirs.into_iter();
        let theirs = theirs.filter_map(|(d, name)| Some((d.name().to_owned(), Some(name?))));
        let ours = self.scope.take().map(|scope| (scope, self.name.take()));
        let mut all: Vec<_> = theirs.chain(ours).collect();
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(one),
            (None, _) => Ok(("tenant".to_owned(), None)),
            (Some(_), false) => Err(bad("one of scope, agent, cost_center and owner is wanted")),
        }
    }

    fn budget(mut self, caller: &Caller) -> Result<Budget, Refusal> {
        if self.mode.as_deref().is_some_and(|mode| mode != "report") {
            return Err(bad(
                "`mode` can only be `report`: what is told of was called already",
            ));
        }
        let (scope, name) = self.of_what()?;
        let written = WrittenBudget {
            tenant: caller.tenant.as_str().to_owned(),
            scope,
            name,
            limit_usd: self.limit_usd,
            period: self.period,
        };
        let budget = written.check(Origin::Http);
        budget.map_err(|error| bad(&format!("{error:#}")))
    }
}

fn bad(text: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_setting", text)
}

fn not_set() -> Refusal {
    let text = "nothing of that kind is set";
    Refusal::new(StatusCode::NOT_FOUND, "not_set", text)
}

fn answered(answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(body) => success(StatusCode::OK, body.to_string().into()),
        Err(refusal) => refusal.into_response(),
    }
}

/// Who asks for what is set.
fn reader(node: &Node, request: &Request) -> Result<Caller, Refusal> {
    auth::caller(node, request.headers(), Scope::Query)
}

/// Who changes what is set, and the body.
async fn changer(node: &Node, request: Request) -> Result<(Caller, bytes::Bytes), Refusal> {
    let limits = node.intake.body.at_most(BODY_MAX);
    let arrived = arrive_by_any(node, request, Scope::Admin, limits).await?;
    Ok((arrived.caller, arrived.body.bytes.clone()))
}

/// `GET /v1/observability/costs/budget`: the budgets that hold, and how they stand.
pub(crate) async fn budgets(State(node): State<Arc<Node>>, request: Request) -> Response {
    answered(reader(&node, &request).map(|caller| {
        let all = node.budgets.set_for(&caller.tenant).into_iter();
        let shown = all.map(|(budget, state)| shown(&budget, state.map(|s| s.json())));
        let shown: Vec<Value> = shown.collect();
        json!({ "tenant_id": caller.tenant.as_str(), "budgets": shown })
    }))
}

/// A budget with its state, where it was summed up already.
fn shown(budget: &Budget, state: Option<Value>) -> Value {
    let mut shown = state.unwrap_or_else(|| {
        let (_, written) = budget.note();
        let mut written: Value = serde_json::from_str(&written).unwrap_or_default();
        if let Some(fields) = written.as_object_mut() {
            fields.remove("tenant");
            fields.insert("state".into(), "unknown".into());
        }
        written
    });
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("origin".into(), budget.origin.word().into());
    }
    shown
}

/// `PUT /v1/observability/costs/budget`: sets one, in the place of the one for the same thing.
pub(crate) async fn put_budget(State(node): State<Arc<Node>>, request: Request) -> Response {
    answered(Box::pin(set_budget(&node, request)).await)
}

async fn set_budget(node: &Node, request: Request) -> Result<Value, Refusal> {
    let (caller, body) = changer(node, request).await?;
    // An object: a list would be read as its fields in their order.
    let sent = serde_json::from_slice::<Map<String, Value>>(&body);
    let sent = sent.and_then(|fields| Sent::deserialize(Value::Object(fields)));
    let sent = sent.map_err(|_| {
        bad("a budget has limit_usd, and scope and name, or one of agent, cost_center and owner")
    })?;
    let budget = sent.budget(&caller)?;
    check_file(node, &budget)?;
    let kept = node
        .access
        .put_note(NoteKind::Budget, &caller.tenant, budget.note());
    kept.await?;
    node.budgets.look(node);
    let (tenant, key) = (caller.tenant.as_str(), caller.key_id.as_deref());
    tracing::info!(tenant, key, id = budget.id(), "budgets.set");
    Ok(shown(&budget, None))
}

fn check_file(node: &Node, budget: &Budget) -> Result<(), Refusal> {
    if node.budgets.is_in_file(budget) {
        let text = "the server's file of budgets has one for this; only its operator changes it";
        return Err(Refusal::new(StatusCode::CONFLICT, "set_in_file", text));
    }
    Ok(())
}

/// `DELETE /v1/observability/costs/budget`: drops the one that the query string names.
pub(crate) async fn drop_budget(State(node): State<Arc<Node>>, request: Request) -> Response {
    answered(Box::pin(unset_budget(&node, request)).await)
}

async fn unset_budget(node: &Node, request: Request) -> Result<Value, Refusal> {
    let asked = parameters(request.uri()).map_err(|_| bad("the query string cannot be read"))?;
    let (caller, _) = changer(node, request).await?;
    let mut sent = Sent {
        limit_usd: "1".into(),
        ..Sent::default()
    };
    for (name, value) in asked {
        match (name.as_str(), value.as_str()) {
            ("scope", _) => sent.scope = Some(value),
            ("name", _) => sent.name = Some(value),
            ("agent", _) => sent.agent = Some(value),
            ("cost_center", _) => sent.cost_center = Some(value),
            ("owner", _) => sent.owner = Some(value),
            ("period", "day") => sent.period = Period::Day,
            ("period", "month") => sent.period = Period::Month,
            _ => {
                return Err(bad(
                    "the parameters are scope, name, period, agent, cost_center and owner",
                ));
            }
        }
    }
    let budget = sent.budget(&caller)?;
    check_file(node, &budget)?;
    let id = budget.id();
    let dropped = node.access.drop_note(NoteKind::Budget, &caller.tenant, &id);
    if !dropped.await? {
        return Err(not_set());
    }
    node.budgets.look(node);
    let (tenant, key) = (caller.tenant.as_str(), caller.key_id.as_deref());
    tracing::info!(tenant, key, id, "budgets.dropped");
    Ok(json!({ "dropped": true }))
}

/// `GET /v1/reconciliations`: what was held against a bill.
pub(crate) async fn marks(State(node): State<Arc<Node>>, request: Request) -> Response {
    answered(reader(&node, &request).map(|caller| {
        let marks = reconciled::marks(&node, &caller.tenant);
        let shown: Vec<Value> = marks
            .iter()
            .map(|(at, mark)| mark.json(Some(*at)))
            .collect();
        json!({ "tenant_id": caller.tenant.as_str(), "reconciliations": shown })
    }))
}

/// `PUT /v1/reconciliations`: marks a period, in the place of a mark that covers the same.
pub(crate) async fn put_mark(State(node): State<Arc<Node>>, request: Request) -> Response {
    answered(Box::pin(mark(&node, request)).await)
}

async fn mark(node: &Node, request: Request) -> Result<Value, Refusal> {
    let (caller, body) = changer(node, request).await?;
    let mark = Mark::read(&body, node.intake.clock.now_us());
    let mark = mark.map_err(|error| bad(&error.to_string()))?;
    let kept = node
        .access
        .put_note(NoteKind::Reconciled, &caller.tenant, mark.note());
    kept.await?;
    let (tenant, key) = (caller.tenant.as_str(), caller.key_id.as_deref());
    tracing::info!(tenant, key, id = mark.id(), "reconciled.marked");
    Ok(mark.json(Some(node.intake.clock.now_us())))
}

/// `DELETE /v1/reconciliations?id=`: takes a mark away; what it covered is an estimate again.
pub(crate) async fn drop_mark(State(node): State<Arc<Node>>, request: Request) -> Response {
    answered(Box::pin(unmark(&node, request)).await)
}

async fn unmark(node: &Node, request: Request) -> Result<Value, Refusal> {
    let asked = parameters(request.uri()).map_err(|_| bad("the query string cannot be read"))?;
    let (caller, _) = changer(node, request).await?;
    let [(name, id)] = asked.as_slice() else {
        return Err(bad("the parameter is id"));
    };
    if name != "id" {
        return Err(bad("the parameter is id"));
    }
    let dropped = node
        .access
        .drop_note(NoteKind::Reconciled, &caller.tenant, id);
    if !dropped.await? {
        return Err(not_set());
    }
    let (tenant, key) = (caller.tenant.as_str(), caller.key_id.as_deref());
    tracing::info!(tenant, key, id, "reconciled.unmarked");
    Ok(json!({ "dropped": true }))
}
