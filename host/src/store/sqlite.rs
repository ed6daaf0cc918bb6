//! The embedded store: one SQLite file in WAL mode, shared with the command line.
//!
//! Owns the file and its connections: one writer thread (`writer`), a few readers (`readers`), one
//! that moves the log into the file (`checkpoints`). The SQL stands in `jobs` and `tenancy`, the
//! tables in `schema.sql`. Always: a write is answered after its transaction has been committed.
//! Cancel safety: a write whose future is dropped after its first poll may still happen, whole.

mod checkpoints;
mod jobs;
mod readers;
mod rows;
mod schema;
mod tenancy;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::ids::{Digest, JobId, KeyId, PlanName, TenantId};
use crate::store::{Ending, Job, JobFilter, Key, Plan, QuotaWindow, Store, StoreError, Tenant};

use checkpoints::Checkpoints;
use readers::Readers;
use writer::{Subject, Writer};

/// What an answered write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A kill of any process. A power cut may lose the last moments before it, never the file:
    /// `synchronous = NORMAL`, no wait for the disk. A write costs microseconds.
    #[default]
    Process,
    /// A power cut as well: `synchronous = FULL`, each transaction waits for the disk.
    Power,
}

/// See the module.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    _checkpoints: Checkpoints,
}

impl SqliteStore {
    /// Opens the file, which is created (mode 0600) or brought to the present schema.
    ///
    /// # Errors
    /// `Engine`: not a database, not writable, or of a newer schema; the source says which.
    pub fn open(path: &Path) -> Result<Arc<Self>, StoreError> {
        Self::open_with(path, Durability::default())
    }

    /// [`SqliteStore::open`] with a choice of what a write survives.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(path: &Path, durability: Durability) -> Result<Arc<Self>, StoreError> {
        let writer = schema::open(path, durability)?;
        let checkpoints = Checkpoints::start(schema::connect(path, durability)?)?;
        Ok(Arc::new(Self {
            writer: Writer::start(writer, durability == Durability::Process)?,
            readers: Readers::new(path.to_owned()),
            _checkpoints: checkpoints,
        }))
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn put_plan(&self, plan: Plan) -> Result<(), StoreError> {
        self.writer.run(Subject::Policy, move |db| tenancy::put_plan(db, &plan)).await
    }

    async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        self.readers.scan(tenancy::plans).await
    }

    async fn delete_plan(&self, name: &PlanName) -> Result<(), StoreError> {
        let name = name.clone();
        self.writer.run(Subject::Policy, move |db| tenancy::delete_plan(db, &name)).await
    }

    async fn create_tenant(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.writer.run(Subject::Policy, move |db| tenancy::create_tenant(db, &tenant)).await
    }

    async fn update_tenant(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.writer.run(Subject::Policy, move |db| tenancy::update_tenant(db, &tenant)).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.readers.scan(tenancy::tenants).await
    }

    async fn create_key(&self, key: Key) -> Result<(), StoreError> {
        self.writer.run(Subject::Policy, move |db| tenancy::create_key(db, &key)).await
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<Key>, StoreError> {
        let tenant = tenant.cloned();
        self.readers.scan(move |db| tenancy::keys(db, tenant.as_ref())).await
    }

    async fn revoke_key(&self, id: &KeyId, at: Timestamp) -> Result<(), StoreError> {
        let id = id.clone();
        self.writer.run(Subject::Policy, move |db| tenancy::revoke_key(db, &id, at)).await
    }

    async fn rotate_key(
        &self,
        old: &KeyId,
        old_expires_at: Timestamp,
        new: Key,
    ) -> Result<(), StoreError> {
        let old = old.clone();
        self.writer
            .run(Subject::Policy, move |db| tenancy::rotate_key(db, &old, old_expires_at, &new))
            .await
    }

    async fn create_job(&self, job: Job) -> Result<(), StoreError> {
        self.writer.run(Subject::Jobs, move |db| jobs::create(db, &job)).await
    }

    async fn start_job(&self, id: &JobId, attempt: u32, at: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer.run(Subject::Jobs, move |db| jobs::start(db, &id, attempt, at)).await
    }

    async fn requeue_job(
        &self,
        id: &JobId,
        attempt: u32,
        crashed: bool,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer.run(Subject::Jobs, move |db| jobs::requeue(db, &id, attempt, crashed)).await
    }

    async fn finish_job(
        &self,
        id: &JobId,
        attempt: u32,
        at: Timestamp,
        ending: Ending,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer.run(Subject::Jobs, move |db| jobs::finish(db, &id, attempt, at, &ending)).await
    }

    async fn cancel_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
        at: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.writer.run(Subject::Jobs, move |db| jobs::cancel(db, &tenant, &id, at)).await
    }

    async fn job(&self, tenant: &TenantId, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.readers.look_up(|db| jobs::one(db, tenant, id)).await
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>, StoreError> {
        self.readers.scan(move |db| jobs::list(db, &filter)).await
    }

    async fn unfinished_jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.readers.scan(jobs::unfinished).await
    }

    async fn expire_jobs(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(TenantId, Digest)>, StoreError> {
        self.writer.run(Subject::Jobs, move |db| jobs::expire(db, now, limit)).await
    }

    async fn delete_job(
        &self,
        tenant: &TenantId,
        id: &JobId,
    ) -> Result<Vec<(TenantId, Digest)>, StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.writer.run(Subject::Jobs, move |db| jobs::delete(db, &tenant, &id)).await
    }

    async fn blob_in_use(&self, tenant: &TenantId, digest: &Digest) -> Result<bool, StoreError> {
        self.readers.look_up(|db| jobs::blob_in_use(db, tenant, digest)).await
    }

    async fn save_quotas(&self, windows: Vec<QuotaWindow>) -> Result<(), StoreError> {
        self.writer.run(Subject::Jobs, move |db| tenancy::save_quotas(db, &windows)).await
    }

    async fn quotas(&self) -> Result<Vec<QuotaWindow>, StoreError> {
        self.readers.scan(tenancy::quotas).await
    }

    fn policy_generation(&self) -> u64 {
        self.writer.policy_generation()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}
