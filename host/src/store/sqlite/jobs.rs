//! The SQL of jobs and of the blobs they refer to.
//!
//! Each function runs inside a transaction that its caller opened. Always: an update names the
//! states and the attempt it is allowed to change in its `WHERE`, so final states stay and an old
//! attempt writes nothing, whoever calls; `blob_refs` holds exactly the digests in the `inputs`
//! and `outputs` of the stored jobs.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{rows, tenancy};
use crate::clock::Timestamp;
use crate::ids::{Digest, JobId, KeyId, TenantId};
use crate::store::{BlobUse, Ending, Job, JobFilter, JobState, StoreError};

/// In the order of [`job`] and of `create`'s values.
const COLUMNS: &str = "id, tenant, key, service, pipeline, params, inputs, priority, request_id, \
    traceparent, state, attempt, crashes, cancel_requested, device, metadata, outputs, error, \
    created_at, started_at, finished_at, expires_at, retention_secs";

/// Jobs in one listing. Protects the host's memory.
const LISTED_MAX: u32 = 200;

#[derive(Debug, thiserror::Error)]
#[error("a job cannot end in state `{0}`")]
struct NotFinal(&'static str);

pub(super) fn create(db: &Connection, job: &Job) -> Result<(), StoreError> {
    tenancy::tenant_exists(db, &job.tenant)?;
    db.prepare_cached(&format!(
        "INSERT INTO jobs ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
         ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)"
    ))?
    .execute(params![
        job.id.as_str(),
        job.tenant.as_str(),
        job.key.as_ref().map(KeyId::as_str),
        job.service,
        job.pipeline,
        job.params,
        rows::to_json(&job.inputs),
        job.priority,
        job.request_id.as_str(),
        job.traceparent,
        job.state.as_str(),
        job.attempt,
        job.crashes,
        job.cancel_requested,
        job.device,
        job.metadata,
        rows::to_json(&job.outputs),
        job.error.as_ref().map(rows::to_json),
        job.created_at.0,
        job.started_at.map(|at| at.0),
        job.finished_at.map(|at| at.0),
        job.expires_at.map(|at| at.0),
        rows::int(job.retention_secs),
    ])
    .map_err(|error| tenancy::exists(error, || format!("job `{}`", job.id)))?;
    refer(db, job.tenant.as_str(), &job.id, &job.inputs)?;
    refer(db, job.tenant.as_str(), &job.id, &job.outputs)
}

pub(super) fn start(
    db: &Connection,
    id: &JobId,
    attempt: u32,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE jobs SET state = 'running', attempt = ?2, started_at = ?3
             WHERE id = ?1 AND state = 'queued' AND attempt < ?2 AND cancel_requested = 0",
        )?
        .execute(params![id.as_str(), attempt, at.0])?;
    Ok(changed == 1)
}

/// Only from `loading` or `running`, so that one lost attempt is counted once.
pub(super) fn requeue(
    db: &Connection,
    id: &JobId,
    attempt: u32,
    crashed: bool,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE jobs SET state = 'queued', crashes = crashes + ?3
             WHERE id = ?1 AND state IN ('loading', 'running') AND attempt = ?2",
        )?
        .execute(params![id.as_str(), attempt, crashed])?;
    Ok(changed == 1)
}

pub(super) fn finish(
    db: &Connection,
    id: &JobId,
    attempt: u32,
    at: Timestamp,
    ending: &Ending,
) -> Result<bool, StoreError> {
    let state = ending.state.as_str();
    if !ending.state.is_final() {
        return Err(StoreError::Engine(Box::new(NotFinal(state))));
    }
    // Asked for first: `RETURNING` would set up a table of its own for each ending.
    let tenant: Option<String> = db
        .prepare_cached(
            "SELECT tenant FROM jobs WHERE id = ?1 AND finished_at IS NULL AND attempt = ?2",
        )?
        .query_row(params![id.as_str(), attempt], |row| row.get(0))
        .optional()?;
    let Some(tenant) = tenant else { return Ok(false) };
    // The product may not leave 64 bits, where SQLite would go on with a float; 1e12 s is long.
    db.prepare_cached(
        "UPDATE jobs SET state = ?3, finished_at = ?4,
                expires_at = ?4 + min(retention_secs, 1000000000000) * 1000,
                device = coalesce(?5, device), metadata = ?6, outputs = ?7, error = ?8
         WHERE id = ?1 AND finished_at IS NULL AND attempt = ?2",
    )?
    .execute(params![
        id.as_str(),
        attempt,
        state,
        at.0,
        ending.device,
        ending.metadata,
        rows::to_json(&ending.outputs),
        ending.error.as_ref().map(rows::to_json),
    ])?;
    refer(db, &tenant, id, &ending.outputs)?;
    Ok(true)
}

pub(super) fn cancel(
    db: &Connection,
    tenant: &TenantId,
    id: &JobId,
    at: Timestamp,
) -> Result<Option<Job>, StoreError> {
    let key = params![tenant.as_str(), id.as_str(), at.0];
    // Every right-hand side sees the row as it was before.
    db.prepare_cached(
        "UPDATE jobs SET cancel_requested = 1,
                state = iif(state = 'queued', 'canceled', state),
                finished_at = iif(state = 'queued', ?3, NULL),
                expires_at = iif(state = 'queued',
                                 ?3 + min(retention_secs, 1000000000000) * 1000, NULL)
         WHERE id = ?2 AND tenant = ?1 AND finished_at IS NULL",
    )?
    .execute(key)?;
    one(db, tenant, id)
}

pub(super) fn one(
    db: &Connection,
    tenant: &TenantId,
    id: &JobId,
) -> Result<Option<Job>, StoreError> {
    let found = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE id = ?2 AND tenant = ?1"))?
        .query_row([tenant.as_str(), id.as_str()], job)
        .optional()?;
    Ok(found)
}

pub(super) fn list(db: &Connection, filter: &JobFilter) -> Result<Vec<Job>, StoreError> {
    let wanted = [
        ("tenant =", filter.tenant.as_ref().map(TenantId::as_str)),
        ("state =", filter.state.map(JobState::as_str)),
        ("service =", filter.service.as_deref()),
        ("id <", filter.after.as_ref().map(JobId::as_str)),
    ];
    let mut clauses = String::from("true");
    let mut values = vec![Value::from(i64::from(filter.limit.clamp(1, LISTED_MAX)))];
    for (clause, value) in wanted {
        if let Some(value) = value {
            values.push(Value::from(value.to_owned()));
            clauses.push_str(&format!(" AND {clause} ?{}", values.len()));
        }
    }
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM jobs WHERE {clauses} ORDER BY id DESC LIMIT ?1"
    ))?;
    let jobs = statement.query_map(params_from_iter(values), job)?;
    Ok(jobs.collect::<Result<_, _>>()?)
}

pub(super) fn unfinished(db: &Connection) -> Result<Vec<Job>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM jobs WHERE finished_at IS NULL ORDER BY id"
    ))?;
    let jobs = statement.query_map((), job)?;
    Ok(jobs.collect::<Result<_, _>>()?)
}

pub(super) fn expire(
    db: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(TenantId, Digest)>, StoreError> {
    let gone: Vec<Job> = db
        .prepare_cached(&format!(
            "DELETE FROM jobs WHERE seq IN
               (SELECT seq FROM jobs WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
             RETURNING {COLUMNS}"
        ))?
        .query_map(params![now.0, limit], job)?
        .collect::<Result<_, _>>()?;
    unrefer(db, &gone)
}

pub(super) fn delete(
    db: &Connection,
    tenant: &TenantId,
    id: &JobId,
) -> Result<Vec<(TenantId, Digest)>, StoreError> {
    match one(db, tenant, id)? {
        None => Err(StoreError::Missing(format!("job `{id}`"))),
        Some(job) if !job.state.is_final() => Err(StoreError::InUse(format!("job `{id}`"))),
        Some(job) => {
            db.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([id.as_str()])?;
            unrefer(db, &[job])
        }
    }
}

pub(super) fn blob_in_use(
    db: &Connection,
    tenant: &TenantId,
    digest: &Digest,
) -> Result<bool, StoreError> {
    let used = db
        .prepare_cached("SELECT 1 FROM blob_refs WHERE tenant = ?1 AND digest = ?2 LIMIT 1")?
        .exists([tenant.as_str(), digest.as_str()])?;
    Ok(used)
}

/// One blob may stand in a job several times: it is one reference.
fn refer(db: &Connection, tenant: &str, id: &JobId, blobs: &[BlobUse]) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "INSERT OR IGNORE INTO blob_refs (tenant, digest, job) VALUES (?1, ?2, ?3)",
    )?;
    for blob in blobs {
        statement.execute([tenant, blob.digest.as_str(), id.as_str()])?;
    }
    Ok(())
}

/// Removes the references of deleted jobs and returns the blobs nobody else refers to.
fn unrefer(db: &Connection, gone: &[Job]) -> Result<Vec<(TenantId, Digest)>, StoreError> {
    let mut blobs = BTreeSet::new();
    let mut delete =
        db.prepare_cached("DELETE FROM blob_refs WHERE tenant = ?1 AND digest = ?2 AND job = ?3")?;
    for job in gone {
        for blob in job.inputs.iter().chain(&job.outputs) {
            delete.execute([job.tenant.as_str(), blob.digest.as_str(), job.id.as_str()])?;
            blobs.insert((job.tenant.clone(), blob.digest.clone()));
        }
    }
    let mut free = Vec::new();
    for (tenant, digest) in blobs {
        if !blob_in_use(db, &tenant, &digest)? {
            free.push((tenant, digest));
        }
    }
    Ok(free)
}

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let error = match row.get_ref(17)?.as_str_or_null()? {
        Some(_) => Some(rows::json(row, 17)?),
        None => None,
    };
    Ok(Job {
        id: rows::parse(row, 0)?,
        tenant: rows::parse(row, 1)?,
        key: rows::parse_opt(row, 2)?,
        service: row.get(3)?,
        pipeline: row.get(4)?,
        params: row.get(5)?,
        inputs: rows::json(row, 6)?,
        priority: row.get(7)?,
        request_id: rows::parse(row, 8)?,
        traceparent: row.get(9)?,
        state: rows::state(row, 10)?,
        attempt: row.get(11)?,
        crashes: row.get(12)?,
        cancel_requested: row.get(13)?,
        device: row.get(14)?,
        metadata: row.get(15)?,
        outputs: rows::json(row, 16)?,
        error,
        created_at: rows::time(row, 18)?,
        started_at: rows::time_opt(row, 19)?,
        finished_at: rows::time_opt(row, 20)?,
        expires_at: rows::time_opt(row, 21)?,
        retention_secs: rows::uint(row, 22)?,
    })
}
