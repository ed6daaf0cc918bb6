//! `/admin/v1`: tenants, plans, keys and jobs for operators.
//!
//! Owns the admin routes. Always: each of them checks an operator's key (`ak_…`) first; a key's
//! text leaves the host once, in the answer that made it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::respond::{Answer, json as json_answer};
use crate::ids::{JobId, KeyId, PlanName, TenantId};
use crate::problem::{self, Problem};
use crate::secret::KeyText;
use crate::store::{JobFilter, JobState, Key, Plan};
use crate::tenancy::{NewKey, TenancyError};

/// Longest body of an admin request.
const BODY_BYTES_MAX: usize = 64 << 10;

/// All admin routes; every one is behind the operator's key.
pub(super) fn routes(app: Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/tenants", get(tenants).post(create_tenant))
        .route("/tenants/{id}", axum::routing::patch(change_tenant))
        .route("/plans", get(plans))
        .route("/plans/{name}", axum::routing::put(put_plan).delete(delete_plan))
        .route("/keys", get(keys).post(create_key))
        .route("/keys/{id}/revoke", post(revoke_key))
        .route("/keys/{id}/rotate", post(rotate_key))
        .route("/jobs", get(jobs))
        .route("/jobs/{tenant}/{id}/cancel", post(cancel_job))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(app, guard))
}

/// Lets nobody past without an operator's key.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Answer {
    operator(&app, request.headers())?;
    Ok(next.run(request).await)
}

/// Checks for an operator's key in `authorization: Bearer` or `x-api-key`.
pub(super) fn operator(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let presented = bearer.or_else(|| text(http::HeaderName::from_static("x-api-key")));
    let verified = presented.map(|key| app.directory.verify_admin_key(key, app.clock.now()));
    match verified {
        Some(Ok(_)) => Ok(()),
        _ => {
            let mut problem = Problem::new(problem::ADMIN_KEY, "send a good `ak_…` key as Bearer");
            problem.headers.push(("www-authenticate".into(), "Bearer".into()));
            Err(problem)
        }
    }
}

impl From<TenancyError> for Problem {
    fn from(error: TenancyError) -> Self {
        let code = match &error {
            TenancyError::Invalid { .. } => problem::FIELD_INVALID,
            TenancyError::Missing(_) => problem::NOT_FOUND,
            TenancyError::Exists(_) | TenancyError::InUse(_) | TenancyError::KeyEnded(_) => {
                problem::CONFLICT
            }
            TenancyError::Secret(_) | TenancyError::Store(_) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "tenancy failed");
                problem::INTERNAL
            }
        };
        let problem = Self::new(code, error.to_string());
        match error {
            TenancyError::Invalid { field, .. } => problem.field(field),
            _ => problem,
        }
    }
}

fn body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    match body {
        Ok(Json(body)) => Ok(body),
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::new(problem::BODY_TOO_LARGE, error.body_text()))
        }
        Err(error) => Err(Problem::new(problem::FIELD_INVALID, error.body_text())),
    }
}

fn id<T: std::str::FromStr<Err = crate::ids::IdError>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: crate::ids::IdError| {
        Problem::new(problem::FIELD_INVALID, error.to_string())
    })
}

async fn tenants(State(app): State<Arc<App>>) -> Answer {
    Ok(json_answer(StatusCode::OK, &json!({ "data": app.tenancy.tenants().await? })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    id: TenantId,
    plan: PlanName,
}

async fn create_tenant(
    State(app): State<Arc<App>>,
    new: Result<Json<NewTenant>, JsonRejection>,
) -> Answer {
    let new = body(new)?;
    let tenant = app.tenancy.create_tenant(new.id, new.plan).await?;
    Ok(json_answer(StatusCode::CREATED, &tenant))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantChange {
    plan: Option<PlanName>,
    suspended: Option<bool>,
}

async fn change_tenant(
    State(app): State<Arc<App>>,
    Path(tenant): Path<String>,
    change: Result<Json<TenantChange>, JsonRejection>,
) -> Answer {
    let (tenant, change) = (id::<TenantId>(&tenant)?, body(change)?);
    let mut changed = None;
    if let Some(plan) = change.plan {
        changed = Some(app.tenancy.set_plan(&tenant, plan).await?);
    }
    match change.suspended {
        Some(true) => changed = Some(app.tenancy.suspend(&tenant).await?),
        Some(false) => changed = Some(app.tenancy.resume(&tenant).await?),
        None => {}
    }
    match changed {
        Some(tenant) => Ok(json_answer(StatusCode::OK, &tenant)),
        None => Err(Problem::new(problem::FIELD_INVALID, "give `plan` or `suspended`")),
    }
}

async fn plans(State(app): State<Arc<App>>) -> Answer {
    Ok(json_answer(StatusCode::OK, &json!({ "data": app.tenancy.plans().await? })))
}

async fn put_plan(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    plan: Result<Json<Plan>, JsonRejection>,
) -> Answer {
    let plan = Plan { name: id(&name)?, ..body(plan)? };
    app.tenancy.put_plan(plan.clone()).await?;
    Ok(json_answer(StatusCode::OK, &plan))
}

async fn delete_plan(State(app): State<Arc<App>>, Path(name): Path<String>) -> Answer {
    app.tenancy.delete_plan(&id(&name)?).await?;
    Ok(json_answer(StatusCode::OK, &json!({ "deleted": name })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTenant {
    tenant: Option<TenantId>,
}

async fn keys(State(app): State<Arc<App>>, Query(of): Query<OfTenant>) -> Answer {
    let keys = app.tenancy.keys(of.tenant.as_ref()).await?;
    Ok(json_answer(StatusCode::OK, &json!({ "data": keys })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRequest {
    tenant: TenantId,
    #[serde(default)]
    label: String,
    #[serde(default = "all_scopes")]
    scopes: Vec<String>,
    expires_in_secs: Option<u64>,
}

fn all_scopes() -> Vec<String> {
    vec!["*".into()]
}

async fn create_key(
    State(app): State<Arc<App>>,
    new: Result<Json<KeyRequest>, JsonRejection>,
) -> Answer {
    let new = body(new)?;
    let expires_at = new.expires_in_secs.map(|s| app.clock.now().plus(Duration::from_secs(s)));
    let (tenant, label, scopes) = (new.tenant, new.label, new.scopes);
    let made = app.tenancy.create_key(NewKey { tenant, label, scopes, expires_at }).await?;
    Ok(shown_once(&made))
}

/// The one answer that holds a key's text.
fn shown_once((key, text): &(Key, KeyText)) -> Response {
    let mut value = json!(key);
    value["key"] = Value::from(text.reveal());
    json_answer(StatusCode::CREATED, &value)
}

async fn revoke_key(State(app): State<Arc<App>>, Path(key): Path<String>) -> Answer {
    let key: KeyId = id(&key)?;
    app.tenancy.revoke(&key).await?;
    Ok(json_answer(StatusCode::OK, &json!({ "revoked": key })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// The old key works for so long beside the new one.
    #[serde(default)]
    grace_secs: u64,
}

async fn rotate_key(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    rotation: Result<Json<Rotation>, JsonRejection>,
) -> Answer {
    let key: KeyId = id(&key)?;
    let grace = Duration::from_secs(body(rotation)?.grace_secs);
    Ok(shown_once(&app.tenancy.rotate(&key, grace).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobsOf {
    tenant: Option<TenantId>,
    state: Option<JobState>,
    service: Option<String>,
    after: Option<JobId>,
    limit: Option<u32>,
}

async fn jobs(State(app): State<Arc<App>>, Query(of): Query<JobsOf>) -> Answer {
    let filter = JobFilter {
        tenant: of.tenant,
        state: of.state,
        service: of.service,
        after: of.after,
        limit: of.limit.unwrap_or(50).clamp(1, 200),
    };
    let jobs = app.jobs.store().jobs(filter).await?;
    let data: Vec<Value> = jobs
        .iter()
        .map(|job| {
            let mut value = app.jobs.resource(job);
            value["tenant"] = json!(job.tenant);
            value
        })
        .collect();
    Ok(json_answer(StatusCode::OK, &json!({ "data": data })))
}

async fn cancel_job(
    State(app): State<Arc<App>>,
    Path((tenant, job)): Path<(String, String)>,
) -> Answer {
    let (tenant, job): (TenantId, JobId) = (id(&tenant)?, id(&job)?);
    match app.jobs.cancel(&tenant, &job).await? {
        Some(job) => Ok(json_answer(StatusCode::OK, &app.jobs.resource(&job))),
        None => Err(Problem::new(problem::JOB_NOT_FOUND, "that tenant has no such job")),
    }
}
