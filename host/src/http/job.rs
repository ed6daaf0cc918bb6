//! `/v1/jobs`: what a tenant's jobs are doing.
//!
//! Owns the generic job routes. Always: a job of another tenant does not exist here (404, the same
//! as for an id that nobody has).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query, State};
use axum::response::IntoResponse;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::front::Context;
use super::respond::{Answer, json as json_answer};
use super::service;
use crate::gate::Admitted;
use crate::ids::JobId;
use crate::problem::{self, Problem};
use crate::store::{Job, JobFilter, JobState, StoreError};

/// Jobs on one page when the client does not say, and at most.
const PAGE: (u32, u32) = (50, 200);

/// Who asks one of the host's own routes: any good credential will do. A handler that takes a
/// `Caller` runs after `auth` and `rate-limit` have said yes.
#[derive(Debug)]
pub(super) struct Caller(pub(super) Admitted);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let context = parts.extensions.get::<Context>().cloned();
        let context = context.expect("the front layer surrounds every route");
        let mut head = service::head(parts, &context)?;
        service::admit(app, &context, &mut head, "".into()).await.map(Self)
    }
}

/// The caller's job, if they have one of that id.
pub(super) async fn find(app: &App, caller: &Admitted, id: &str) -> Result<Job, Problem> {
    let missing = || Problem::new(problem::JOB_NOT_FOUND, "you have no job of that id");
    let id: JobId = id.parse().map_err(|_| missing())?;
    app.jobs.job(&caller.tenant, &id).await?.ok_or_else(missing)
}

/// `GET /v1/jobs/{id}`.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Answer {
    let job = find(&app, &caller, &id).await?;
    let resource = shown(&app, &caller, &job).await?;
    let mut response = json_answer(StatusCode::OK, &resource);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !job.state.is_final() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// The job resource with its `result`, as the service presents it.
async fn shown(app: &App, caller: &Admitted, job: &Job) -> Result<Value, Problem> {
    let mut resource = app.jobs.resource(job);
    if job.state == JobState::Succeeded {
        let result = app.gate.present(job, &caller.call).await?;
        let result = result.map(|text| serde_json::from_str::<Value>(&text)).transpose();
        let result = result.map_err(|error| {
            tracing::error!(job = %job.id, %error, "a service presented no JSON");
            Problem::new(problem::COMPONENT_FAILED, "the service presented no JSON")
        })?;
        resource["result"] = result.unwrap_or(Value::Null);
    }
    Ok(resource)
}

/// Which jobs to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    state: Option<JobState>,
    service: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/jobs?state=&service=&limit=&after=`, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let bad = |detail: String| Problem::new(problem::BAD_REQUEST, detail);
    let Query(page) = page.map_err(|error| bad(error.body_text()))?;
    let limit = page.limit.unwrap_or(PAGE.0);
    if !(1..=PAGE.1).contains(&limit) {
        return Err(bad(format!("`limit` is 1 to {}", PAGE.1)).field("limit"));
    }
    let after = page.after.map(|id| id.parse::<JobId>()).transpose();
    let filter = JobFilter {
        tenant: Some(caller.tenant.clone()),
        state: page.state,
        service: page.service,
        after: after.map_err(|error| bad(error.to_string()).field("after"))?,
        limit: limit + 1,
    };
    let mut jobs = app.jobs.store().jobs(filter).await?;
    let more = jobs.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    jobs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let cursor = if more { jobs.last().map(|job| job.id.clone()) } else { None };
    let data: Vec<Value> = jobs.iter().map(|job| app.jobs.resource(job)).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "data": data, "next_cursor": cursor })))
}

/// `POST /v1/jobs/{id}/cancel`: idempotent; a final job stays as it is.
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Answer {
    let job = find(&app, &caller, &id).await?;
    let job = app.jobs.cancel(&caller.tenant, &job.id).await?.unwrap_or(job);
    let status = if job.state.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json_answer(status, &app.jobs.resource(&job)))
}

/// `DELETE /v1/jobs/{id}`: the job and its artifacts, now.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Answer {
    let job = find(&app, &caller, &id).await?;
    match app.jobs.delete(&caller.tenant, &job.id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(StoreError::InUse(_)) => {
            let detail = "cancel it first, or wait until it is final";
            Err(Problem::new(problem::JOB_ACTIVE, detail))
        }
        Err(error) => Err(error.into()),
    }
}
