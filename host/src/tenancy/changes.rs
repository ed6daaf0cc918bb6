//! Changes: everything an operator does to tenants, plans and keys.
//!
//! Owns the rules that a record must meet before it is stored, one error per field. Both the
//! command line and the admin API call these; neither checks anything itself.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::ids::{ID_BYTES_MAX, KeyId, PlanName, TenantId};
use crate::secret::{KeyKind, KeyText, SecretError};
use crate::store::{Key, Plan, Store, StoreError, Tenant};
use crate::tenancy::Directory;

/// Characters of a key's label. Protects listings.
pub const LABEL_CHARS_MAX: usize = 200;
/// Scopes of one key. Protects the check that each request makes.
pub const SCOPES_MAX: usize = 64;
/// How long a rotated key may go on. Past this it is not a rotation.
pub const KEY_GRACE_MAX: Duration = Duration::from_secs(30 * DAY_SECS);

/// Ten years, the longest that a finished job may be kept.
const RETENTION_SECS_MAX: u64 = 3653 * DAY_SECS;
const DAY_SECS: u64 = 24 * 3600;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// A field that breaks its rule.
    #[error("`{field}` {rule}")]
    Invalid { field: &'static str, rule: &'static str },
    #[error("{0} exists already")]
    Exists(String),
    #[error("there is no {0}")]
    Missing(String),
    #[error("{0} is still in use")]
    InUse(String),
    /// Rotating what opens nothing.
    #[error("key `{0}` is revoked or has expired: create a new one")]
    KeyEnded(KeyId),
    #[error("no key can be made")]
    Secret(#[from] SecretError),
    #[error("the change could not be stored")]
    Store(#[source] StoreError),
}

/// What a new key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub tenant: TenantId,
    /// Free text for people.
    pub label: String,
    /// Names of services, or `*` for all.
    pub scopes: Vec<String>,
    /// `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Tenancy {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    clock: Clock,
}

impl Tenancy {
    #[must_use]
    pub fn new(store: Arc<dyn Store>, directory: Arc<Directory>, clock: Clock) -> Self {
        Self { store, directory, clock }
    }

    /// Adds the plans `default`, `free` and `pro` where they are missing; changes none.
    ///
    /// # Errors
    /// `Store`.
    pub async fn seed(&self) -> Result<(), TenancyError> {
        let present = self.store.plans().await?;
        for plan in default_plans() {
            if present.iter().all(|other| other.name != plan.name) {
                self.store.put_plan(plan).await?;
            }
        }
        self.changed().await
    }

    /// # Errors
    /// `Exists`; `Missing` for the plan.
    pub async fn create_tenant(
        &self,
        id: TenantId,
        plan: PlanName,
    ) -> Result<Tenant, TenancyError> {
        let tenant = Tenant { id, plan, suspended: false, created_at: self.clock.now() };
        self.store.create_tenant(tenant.clone()).await?;
        self.changed().await?;
        Ok(tenant)
    }

    /// # Errors
    /// `Missing` for tenant or plan.
    pub async fn set_plan(&self, id: &TenantId, plan: PlanName) -> Result<Tenant, TenancyError> {
        self.update(id, |tenant| tenant.plan = plan).await
    }

    /// From now on the tenant's keys open nothing; its jobs run on.
    ///
    /// # Errors
    /// `Missing`.
    pub async fn suspend(&self, id: &TenantId) -> Result<Tenant, TenancyError> {
        self.update(id, |tenant| tenant.suspended = true).await
    }

    /// # Errors
    /// `Missing`.
    pub async fn resume(&self, id: &TenantId) -> Result<Tenant, TenancyError> {
        self.update(id, |tenant| tenant.suspended = false).await
    }

    /// # Errors
    /// `Store`.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, TenancyError> {
        Ok(self.store.tenants().await?)
    }

    /// Adds or replaces a plan; in force at once for everyone who has it.
    ///
    /// # Errors
    /// `Invalid`.
    pub async fn put_plan(&self, plan: Plan) -> Result<(), TenancyError> {
        check_plan(&plan)?;
        self.store.put_plan(plan).await?;
        self.changed().await
    }

    /// # Errors
    /// `Missing`; `InUse` while a tenant has it.
    pub async fn delete_plan(&self, name: &PlanName) -> Result<(), TenancyError> {
        self.store.delete_plan(name).await?;
        self.changed().await
    }

    /// # Errors
    /// `Store`.
    pub async fn plans(&self) -> Result<Vec<Plan>, TenancyError> {
        Ok(self.store.plans().await?)
    }

    /// # Errors
    /// `Invalid`; `Missing` for the tenant.
    pub async fn create_key(&self, new: NewKey) -> Result<(Key, KeyText), TenancyError> {
        let now = self.clock.now();
        check_label(&new.label)?;
        check_scopes(&new.scopes)?;
        if new.expires_at.is_some_and(|at| at <= now) {
            return Err(invalid("expires_at", "must be in the future"));
        }
        let (mut key, text) = self.new_key(Some(new.tenant), new.label)?;
        key.scopes = new.scopes;
        key.expires_at = new.expires_at;
        self.store.create_key(key.clone()).await?;
        self.changed().await?;
        Ok((key, text))
    }

    /// An operator's key, `ak_…`, that never expires.
    ///
    /// # Errors
    /// `Invalid`.
    pub async fn create_admin_key(&self, label: String) -> Result<(Key, KeyText), TenancyError> {
        check_label(&label)?;
        let (key, text) = self.new_key(None, label)?;
        self.store.create_key(key.clone()).await?;
        self.changed().await?;
        Ok((key, text))
    }

    /// All keys, of one tenant or of everyone, operators' included.
    ///
    /// # Errors
    /// `Missing` for the tenant.
    pub async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<Key>, TenancyError> {
        if let Some(id) = tenant {
            self.find_tenant(id).await?;
        }
        Ok(self.store.keys(tenant).await?)
    }

    /// A new key in place of `id`, which goes on for `grace`. It may do the same, and lasts as long
    /// as the old one was made for: a key for 90 days is followed by one for 90 days.
    ///
    /// # Errors
    /// `Missing`; `KeyEnded`; `Invalid` for a grace past [`KEY_GRACE_MAX`].
    pub async fn rotate(
        &self,
        id: &KeyId,
        grace: Duration,
    ) -> Result<(Key, KeyText), TenancyError> {
        if grace > KEY_GRACE_MAX {
            return Err(invalid("grace", "must be at most 30 days"));
        }
        let now = self.clock.now();
        let keys = self.store.keys(None).await?;
        let old = keys.into_iter().find(|key| key.id == *id);
        let old = old.ok_or_else(|| TenancyError::Missing(format!("key `{id}`")))?;
        if old.revoked_at.is_some() || old.expires_at.is_some_and(|at| at <= now) {
            return Err(TenancyError::KeyEnded(old.id));
        }
        let (mut key, text) = self.new_key(old.tenant, old.label)?;
        key.scopes = old.scopes;
        key.expires_at = old.expires_at.map(|at| now.plus(at.since(old.created_at)));
        self.store.rotate_key(id, now.plus(grace), key.clone()).await?;
        self.changed().await?;
        Ok((key, text))
    }

    /// From now on the key opens nothing. Again: the first time stays.
    ///
    /// # Errors
    /// `Missing`.
    pub async fn revoke(&self, id: &KeyId) -> Result<(), TenancyError> {
        self.store.revoke_key(id, self.clock.now()).await?;
        self.changed().await
    }

    async fn update(
        &self,
        id: &TenantId,
        change: impl FnOnce(&mut Tenant),
    ) -> Result<Tenant, TenancyError> {
        let mut tenant = self.find_tenant(id).await?;
        change(&mut tenant);
        self.store.update_tenant(tenant.clone()).await?;
        self.changed().await?;
        Ok(tenant)
    }

    /// From the store, not the directory: another process may have changed it just now.
    async fn find_tenant(&self, id: &TenantId) -> Result<Tenant, TenancyError> {
        let tenants = self.store.tenants().await?;
        let found = tenants.into_iter().find(|tenant| tenant.id == *id);
        found.ok_or_else(|| TenancyError::Missing(format!("tenant `{id}`")))
    }

    fn new_key(
        &self,
        tenant: Option<TenantId>,
        label: String,
    ) -> Result<(Key, KeyText), TenancyError> {
        let kind = if tenant.is_some() { KeyKind::Tenant } else { KeyKind::Admin };
        let (id, text) = KeyText::generate(kind)?;
        let key = Key {
            id,
            tenant,
            label,
            hash: self.directory.hasher().hash(text.presented()),
            scopes: Vec::new(),
            created_at: self.clock.now(),
            expires_at: None,
            revoked_at: None,
        };
        Ok((key, text))
    }

    async fn changed(&self) -> Result<(), TenancyError> {
        Ok(self.directory.refresh().await?)
    }
}

impl From<StoreError> for TenancyError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists(what) => Self::Exists(what),
            StoreError::Missing(what) => Self::Missing(what),
            StoreError::InUse(what) => Self::InUse(what),
            engine @ StoreError::Engine(_) => Self::Store(engine),
        }
    }
}

/// `default` is what a single team needs; `free` and `pro` are a beginning for a price list.
fn default_plans() -> [Plan; 3] {
    let plan = |name: &str| Plan { name: name.parse().expect("a slug"), ..Plan::default() };
    [
        plan("default"),
        Plan {
            requests: 60,
            burst: 10,
            quota_per_day: 1000,
            in_flight: 8,
            jobs_running_max: 1,
            jobs_active_max: 10,
            priority: 2,
            ..plan("free")
        },
        Plan {
            requests: 6000,
            burst: 600,
            in_flight: 256,
            jobs_running_max: 16,
            jobs_active_max: 1000,
            priority: 0,
            retention_secs: 7 * DAY_SECS,
            ..plan("pro")
        },
    ]
}

fn check_plan(plan: &Plan) -> Result<(), TenancyError> {
    let limited = plan.requests > 0;
    let rules = [
        (limited && plan.period_secs == 0, "period_secs", "must be at least 1 with `requests`"),
        (limited && plan.burst == 0, "burst", "must be at least 1 with `requests`"),
        (plan.jobs_running_max == 0, "jobs_running_max", "must be at least 1"),
        (
            plan.jobs_active_max < plan.jobs_running_max,
            "jobs_active_max",
            "must be at least `jobs_running_max`",
        ),
        (
            !(1..=RETENTION_SECS_MAX).contains(&plan.retention_secs),
            "retention_secs",
            "must be from 1 to 315619200, ten years",
        ),
    ];
    match rules.into_iter().find(|(broken, ..)| *broken) {
        Some((_, field, rule)) => Err(invalid(field, rule)),
        None => Ok(()),
    }
}

fn check_label(label: &str) -> Result<(), TenancyError> {
    if label.chars().count() > LABEL_CHARS_MAX {
        return Err(invalid("label", "must be at most 200 characters"));
    }
    if label.chars().any(char::is_control) {
        return Err(invalid("label", "must be one line without control characters"));
    }
    Ok(())
}

fn check_scopes(scopes: &[String]) -> Result<(), TenancyError> {
    if scopes.is_empty() || scopes.len() > SCOPES_MAX {
        return Err(invalid("scopes", "must name 1 to 64 services, or `*` for all"));
    }
    if !scopes.iter().all(|scope| scope == "*" || is_service(scope)) {
        return Err(invalid("scopes", "must be service names (a-z, 0-9 and '-') or `*`"));
    }
    Ok(())
}

/// Whether the service exists is not asked: it may be installed tomorrow.
fn is_service(name: &str) -> bool {
    name.len() <= ID_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn invalid(field: &'static str, rule: &'static str) -> TenancyError {
    TenancyError::Invalid { field, rule }
}
