//! The metadata store: tenants, plans, keys, jobs, quota windows.
//!
//! Owns the record types and the trait that every engine implements; `store/sqlite.rs` is the
//! embedded one. Knows no HTTP, no component and no pipeline. `store/conformance.rs` is what every
//! implementation must pass. Always: a job's final state never changes, and a write that carries an
//! old attempt number changes nothing (fencing); the store enforces both, not its callers.

#[cfg(test)]
mod conformance;
pub mod sqlite;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{Digest, JobId, KeyId, PlanName, RequestId, TenantId};

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    pub id: TenantId,
    pub plan: PlanName,
    /// A suspended tenant's keys and tokens open nothing; its jobs run on.
    pub suspended: bool,
    pub created_at: Timestamp,
}

/// What a tenant may use. 0 is "no limit" for the first group, and not allowed in the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    pub name: PlanName,
    /// `requests` every `period_secs`, up to `burst` at once.
    pub requests: u32,
    pub period_secs: u32,
    pub burst: u32,
    /// Requests a UTC day.
    pub quota_per_day: u64,
    /// Requests open at the same time.
    pub in_flight: u32,

    /// Jobs of one tenant that run at the same time; the others queue.
    pub jobs_running_max: u32,
    /// Jobs of one tenant that are not final; one more is refused with 429.
    pub jobs_active_max: u32,
    /// 0 is served first.
    pub priority: u32,
    /// How long a finished job and its artifacts are kept.
    pub retention_secs: u64,
}

/// An API key as stored: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub id: KeyId,
    /// `None`: an operator's key for the admin API.
    pub tenant: Option<TenantId>,
    /// Free text for people, at most 200 characters.
    pub label: String,
    /// Keyed hash of the secret.
    #[serde(skip)]
    pub hash: [u8; 32],
    /// Services; `*` is all.
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// Where a job is. The last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Loading,
    Running,
    Succeeded,
    Failed,
    Canceled,
    Expired,
}

/// A blob that a job uses, under the name that the pipeline (`slot`) or the client (`output`)
/// knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobUse {
    pub name: String,
    pub digest: Digest,
    pub media_type: String,
    pub bytes: u64,
}

/// Why a job did not succeed, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// The HTTP status that a synchronous request gets.
    pub status: u16,
    pub code: String,
    pub detail: String,
    pub field: Option<String>,
}

/// The durable record of one pipeline run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub tenant: TenantId,
    pub key: Option<KeyId>,
    pub service: String,
    /// `name@version`.
    pub pipeline: String,
    /// A JSON object.
    pub params: String,
    pub inputs: Vec<BlobUse>,
    pub priority: u32,
    pub request_id: RequestId,
    pub traceparent: Option<String>,
    pub state: JobState,
    /// 0 until it first starts; each start adds one.
    pub attempt: u32,
    /// How many times the sidecar died while it ran.
    pub crashes: u32,
    pub cancel_requested: bool,
    pub device: Option<String>,
    /// The pipeline's metadata, a JSON object, once succeeded.
    pub metadata: Option<String>,
    pub outputs: Vec<BlobUse>,
    pub error: Option<JobError>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When a final job and its artifacts are deleted.
    pub expires_at: Option<Timestamp>,
    /// Seconds from finish to expiry, from the plan at submission.
    pub retention_secs: u64,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Must be final.
    pub state: JobState,
    pub device: Option<String>,
    pub metadata: Option<String>,
    pub outputs: Vec<BlobUse>,
    pub error: Option<JobError>,
}

/// Which jobs a listing shows, newest first.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub tenant: Option<TenantId>,
    pub state: Option<JobState>,
    pub service: Option<String>,
    /// Only jobs older than this one.
    pub after: Option<JobId>,
    /// 1 to 200.
    pub limit: u32,
}

/// A quota window: how much of `name` was used in the window that began at `start_secs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaWindow {
    pub name: String,
    /// Unix seconds.
    pub start_secs: i64,
    pub used: u64,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0} exists already")]
    Exists(String),
    #[error("there is no {0}")]
    Missing(String),
    #[error("{0} is still in use")]
    InUse(String),
    #[error("the store failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What every store engine does. Each method is one transaction; when it returns `Ok`, the change
/// survives a kill of the process.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// Adds or replaces a plan.
    async fn put_plan(&self, plan: Plan) -> Result<(), StoreError>;
    async fn plans(&self) -> Result<Vec<Plan>, StoreError>;
    /// `InUse` while a tenant has it.
    async fn delete_plan(&self, name: &PlanName) -> Result<(), StoreError>;

    /// `Exists`, or `Missing` for the plan.
    async fn create_tenant(&self, tenant: Tenant) -> Result<(), StoreError>;
    /// Changes plan and suspension of an existing tenant.
    async fn update_tenant(&self, tenant: Tenant) -> Result<(), StoreError>;
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// `Missing` for the tenant, `Exists` for the id.
    async fn create_key(&self, key: Key) -> Result<(), StoreError>;
    /// All keys, of one tenant or of everyone (operators' included).
    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<Key>, StoreError>;
    /// Sets the time of revocation if it is not set or later. `Missing`.
    async fn revoke_key(&self, id: &KeyId, at: Timestamp) -> Result<(), StoreError>;
    /// Rotation: adds `new` and lets `old` expire at `old_expires_at` (or earlier, as it was), in
    /// one transaction.
    async fn rotate_key(
        &self,
        old: &KeyId,
        old_expires_at: Timestamp,
        new: Key,
    ) -> Result<(), StoreError>;

    /// Accepts a job (state `Queued`, or `Running` with attempt 1 when it starts at once) and the
    /// references to its input blobs.
    async fn create_job(&self, job: Job) -> Result<(), StoreError>;
    /// `Queued` to `Running` with `attempt`. False when the job is not queued any more, or a cancel
    /// was asked for.
    async fn start_job(&self, id: &JobId, attempt: u32, at: Timestamp) -> Result<bool, StoreError>;
    /// Back to `Queued` after a lost attempt; adds one crash if `crashed`. False when the attempt
    /// is not the current one, or has been given up already, or the job is final.
    async fn requeue_job(
        &self,
        id: &JobId,
        attempt: u32,
        crashed: bool,
    ) -> Result<bool, StoreError>;
    /// Writes the ending with its output references. False when the job is final already or the
    /// attempt is not the current one.
    async fn finish_job(
        &self,
        id: &JobId,
        attempt: u32,
        at: Timestamp,
        ending: Ending,
    ) -> Result<bool, StoreError>;
    /// Marks a job to be cancelled; a queued one becomes `Canceled` at once. Returns the job as it
    /// is then; `None`: no such job of that tenant.
    async fn cancel_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
        at: Timestamp,
    ) -> Result<Option<Job>, StoreError>;
    /// `None`: no such job of that tenant.
    async fn job(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>, StoreError>;
    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>, StoreError>;
    /// Every job that is not final, oldest first: what a restarted host goes on with.
    async fn unfinished_jobs(&self) -> Result<Vec<Job>, StoreError>;
    /// Deletes up to `limit` final jobs whose time has passed, and returns the blobs that no job of
    /// the same tenant refers to any more.
    async fn expire_jobs(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(TenantId, Digest)>, StoreError>;
    /// Deletes one final job now, with the same answer. `InUse` while it is not final.
    async fn delete_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
    ) -> Result<Vec<(TenantId, Digest)>, StoreError>;
    /// Does any job of the tenant refer to this blob?
    async fn blob_in_use(&self, tenant: &TenantId, digest: &Digest) -> Result<bool, StoreError>;

    /// Replaces the stored quota windows by name.
    async fn save_quotas(&self, windows: Vec<QuotaWindow>) -> Result<(), StoreError>;
    async fn quotas(&self) -> Result<Vec<QuotaWindow>, StoreError>;

    /// A number that grows when tenants, plans or keys change, also when another process changed
    /// them. Cheap: it is asked several times a second.
    fn policy_generation(&self) -> u64;
}

impl JobState {
    /// Final states never change.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled | Self::Expired)
    }

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: "default".parse().expect("a slug"),
            requests: 600,
            period_secs: 60,
            burst: 60,
            quota_per_day: 0,
            in_flight: 64,
            jobs_running_max: 4,
            jobs_active_max: 100,
            priority: 1,
            retention_secs: 24 * 3600,
        }
    }
}
