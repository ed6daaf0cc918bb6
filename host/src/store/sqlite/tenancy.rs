//! The SQL of tenants, plans, keys and quota windows.
//!
//! Each function runs inside a transaction that its caller opened. Knows how records are kept, not
//! what they mean: names and scopes were checked before.

use rusqlite::{Connection, ErrorCode, Row, params};

use super::rows;
use crate::clock::Timestamp;
use crate::ids::{KeyId, PlanName, TenantId};
use crate::store::{Key, Plan, QuotaWindow, StoreError, Tenant};

const KEY_COLUMNS: &str = "id, tenant, label, hash, scopes, created_at, expires_at, revoked_at";

pub(super) fn put_plan(db: &Connection, plan: &Plan) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO plans (name, spec) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET spec = excluded.spec",
    )?
    .execute(params![plan.name.as_str(), rows::to_json(plan)])?;
    Ok(())
}

pub(super) fn plans(db: &Connection) -> Result<Vec<Plan>, StoreError> {
    let mut statement = db.prepare_cached("SELECT spec FROM plans ORDER BY name")?;
    let plans = statement.query_map((), |row| rows::json(row, 0))?;
    Ok(plans.collect::<Result<_, _>>()?)
}

pub(super) fn delete_plan(db: &Connection, name: &PlanName) -> Result<(), StoreError> {
    let used = db
        .prepare_cached("SELECT 1 FROM tenants WHERE plan = ?1 LIMIT 1")?
        .exists([name.as_str()])?;
    if used {
        return Err(StoreError::InUse(format!("plan `{name}`")));
    }
    let deleted =
        db.prepare_cached("DELETE FROM plans WHERE name = ?1")?.execute([name.as_str()])?;
    one_changed(deleted, || format!("plan `{name}`"))
}

pub(super) fn create_tenant(db: &Connection, tenant: &Tenant) -> Result<(), StoreError> {
    plan_exists(db, &tenant.plan)?;
    db.prepare_cached(
        "INSERT INTO tenants (id, plan, suspended, created_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        tenant.id.as_str(),
        tenant.plan.as_str(),
        tenant.suspended,
        tenant.created_at.0
    ])
    .map_err(|error| exists(error, || format!("tenant `{}`", tenant.id)))?;
    Ok(())
}

pub(super) fn update_tenant(db: &Connection, tenant: &Tenant) -> Result<(), StoreError> {
    plan_exists(db, &tenant.plan)?;
    let changed = db
        .prepare_cached("UPDATE tenants SET plan = ?2, suspended = ?3 WHERE id = ?1")?
        .execute(params![tenant.id.as_str(), tenant.plan.as_str(), tenant.suspended])?;
    one_changed(changed, || format!("tenant `{}`", tenant.id))
}

pub(super) fn tenants(db: &Connection) -> Result<Vec<Tenant>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT id, plan, suspended, created_at FROM tenants ORDER BY id")?;
    let tenants = statement.query_map((), |row| {
        Ok(Tenant {
            id: rows::parse(row, 0)?,
            plan: rows::parse(row, 1)?,
            suspended: row.get(2)?,
            created_at: rows::time(row, 3)?,
        })
    })?;
    Ok(tenants.collect::<Result<_, _>>()?)
}

pub(super) fn create_key(db: &Connection, key: &Key) -> Result<(), StoreError> {
    if let Some(tenant) = &key.tenant {
        tenant_exists(db, tenant)?;
    }
    db.prepare_cached(&format!(
        "INSERT INTO keys ({KEY_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    ))?
    .execute(params![
        key.id.as_str(),
        key.tenant.as_ref().map(TenantId::as_str),
        key.label,
        key.hash,
        rows::to_json(&key.scopes),
        key.created_at.0,
        key.expires_at.map(|at| at.0),
        key.revoked_at.map(|at| at.0),
    ])
    .map_err(|error| exists(error, || format!("key `{}`", key.id)))?;
    Ok(())
}

pub(super) fn keys(db: &Connection, tenant: Option<&TenantId>) -> Result<Vec<Key>, StoreError> {
    let filter = if tenant.is_some() { "WHERE tenant = ?1" } else { "" };
    let mut statement = db.prepare_cached(&format!(
        "SELECT {KEY_COLUMNS} FROM keys {filter} ORDER BY created_at, id"
    ))?;
    let keys = match tenant {
        Some(tenant) => statement.query_map([tenant.as_str()], key)?.collect::<Result<_, _>>(),
        None => statement.query_map((), key)?.collect::<Result<_, _>>(),
    };
    Ok(keys?)
}

pub(super) fn revoke_key(db: &Connection, id: &KeyId, at: Timestamp) -> Result<(), StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE keys SET revoked_at = min(coalesce(revoked_at, ?2), ?2) WHERE id = ?1",
        )?
        .execute(params![id.as_str(), at.0])?;
    one_changed(changed, || format!("key `{id}`"))
}

pub(super) fn rotate_key(
    db: &Connection,
    old: &KeyId,
    old_expires_at: Timestamp,
    new: &Key,
) -> Result<(), StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE keys SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE id = ?1",
        )?
        .execute(params![old.as_str(), old_expires_at.0])?;
    one_changed(changed, || format!("key `{old}`"))?;
    create_key(db, new)
}

pub(super) fn save_quotas(db: &Connection, windows: &[QuotaWindow]) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "INSERT OR REPLACE INTO quotas (name, start_secs, used) VALUES (?1, ?2, ?3)",
    )?;
    for window in windows {
        statement.execute(params![window.name, window.start_secs, rows::int(window.used)])?;
    }
    Ok(())
}

pub(super) fn quotas(db: &Connection) -> Result<Vec<QuotaWindow>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT name, start_secs, used FROM quotas ORDER BY name")?;
    let windows = statement.query_map((), |row| {
        Ok(QuotaWindow { name: row.get(0)?, start_secs: row.get(1)?, used: rows::uint(row, 2)? })
    })?;
    Ok(windows.collect::<Result<_, _>>()?)
}

/// `Missing` when there is no such tenant.
pub(super) fn tenant_exists(db: &Connection, id: &TenantId) -> Result<(), StoreError> {
    let found = db.prepare_cached("SELECT 1 FROM tenants WHERE id = ?1")?.exists([id.as_str()])?;
    if found { Ok(()) } else { Err(StoreError::Missing(format!("tenant `{id}`"))) }
}

/// `Exists` when a row with this primary key is there already.
pub(super) fn exists(error: rusqlite::Error, what: impl FnOnce() -> String) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) if is_duplicate(&error) => StoreError::Exists(what()),
        _ => error.into(),
    }
}

fn is_duplicate(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    error.sqlite_error().is_some_and(|error| {
        [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE].contains(&error.extended_code)
    })
}

fn plan_exists(db: &Connection, name: &PlanName) -> Result<(), StoreError> {
    let found =
        db.prepare_cached("SELECT 1 FROM plans WHERE name = ?1")?.exists([name.as_str()])?;
    if found { Ok(()) } else { Err(StoreError::Missing(format!("plan `{name}`"))) }
}

fn one_changed(count: usize, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    if count == 0 { Err(StoreError::Missing(what())) } else { Ok(()) }
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        id: rows::parse(row, 0)?,
        tenant: rows::parse_opt(row, 1)?,
        label: row.get(2)?,
        hash: row.get(3)?,
        scopes: rows::json(row, 4)?,
        created_at: rows::time(row, 5)?,
        expires_at: rows::time_opt(row, 6)?,
        revoked_at: rows::time_opt(row, 7)?,
    })
}
