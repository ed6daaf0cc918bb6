//! The directory: who is known, answered from memory.
//!
//! Owns a snapshot of all tenants, plans and keys and replaces it when the store's
//! `policy_generation` has moved. Always: whoever lacks the secret cannot tell, by answer or by
//! work, whether a key id exists. If the store cannot be read the last snapshot stays in use.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Timestamp;
use crate::ids::{PlanName, TenantId};
use crate::secret::{KeyHasher, KeyKind, PresentedKey, ServerSecret};
use crate::store::{Key, Plan, Store, StoreError, Tenant};

/// How often the generation is looked at; with the store's own look at other processes a change
/// is seen within half a second.
const POLL: Duration = Duration::from_millis(200);
/// A snapshot that changed while it was read is read again, this often at most; the next poll
/// comes anyway.
const READS_MAX: usize = 3;

/// See the module. Share it as `Arc<Directory>`.
#[derive(Debug)]
pub struct Directory {
    store: Arc<dyn Store>,
    hasher: KeyHasher,
    snapshot: ArcSwap<Snapshot>,
    /// One refresh at a time, so that an older snapshot never replaces a newer one.
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Snapshot {
    generation: u64,
    tenants: HashMap<TenantId, Arc<Tenant>>,
    plans: HashMap<PlanName, Arc<Plan>>,
    /// By the number that the id is.
    tenant_keys: HashMap<u64, VerifiedKey>,
    admin_keys: HashMap<u64, VerifiedAdmin>,
}

/// A tenant's key that opens the gate.
#[derive(Debug, Clone)]
pub struct VerifiedKey {
    pub key: Arc<Key>,
    pub tenant: Arc<Tenant>,
}

/// An operator's key.
#[derive(Debug, Clone)]
pub struct VerifiedAdmin {
    pub key: Arc<Key>,
}

/// Why a key opens nothing. The last three are told only to who has the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    #[error("not of the form `sk_<id>_<secret>`")]
    Malformed,
    #[error("no such key")]
    Unknown,
    #[error("the key has expired")]
    Expired,
    #[error("the key has been revoked")]
    Revoked,
    #[error("the tenant is suspended")]
    Suspended,
}

impl VerifiedKey {
    /// May this key use `service`?
    #[must_use]
    pub fn allows(&self, service: &str) -> bool {
        self.key.scopes.iter().any(|scope| scope == "*" || scope == service)
    }
}

impl Directory {
    /// Reads everything once.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        store: Arc<dyn Store>,
        server: &ServerSecret,
    ) -> Result<Arc<Self>, StoreError> {
        let directory = Arc::new(Self {
            store,
            hasher: KeyHasher::new(server),
            snapshot: ArcSwap::default(),
            refreshing: tokio::sync::Mutex::default(),
        });
        directory.refresh().await?;
        Ok(directory)
    }

    /// Catches up with the store; costs one atomic read when nothing has changed. Cancel safe.
    ///
    /// # Errors
    /// The store's; the old snapshot stays.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        if self.snapshot.load().generation == self.store.policy_generation() {
            return Ok(());
        }
        let _alone = self.refreshing.lock().await;
        for _ in 0..READS_MAX {
            // Asked before reading: a change in between is seen again, never missed.
            let generation = self.store.policy_generation();
            if self.snapshot.load().generation == generation {
                break;
            }
            self.snapshot.store(Arc::new(self.read(generation).await?));
        }
        Ok(())
    }

    /// Refreshes until `shutdown` is ready.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut failing = false;
        loop {
            match tokio::time::timeout(POLL, &mut shutdown).await {
                Ok(()) => return,
                Err(_elapsed) => {}
            }
            let result = self.refresh().await;
            if let Err(error) = &result
                && !failing
            {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "tenants and keys cannot be read; the last ones stay");
            }
            failing = result.is_err();
        }
    }

    /// Looks up what a client presented, and compares the secret in constant time.
    ///
    /// # Errors
    /// Says why the key opens nothing.
    pub fn verify_key(&self, presented: &str, now: Timestamp) -> Result<VerifiedKey, KeyRefusal> {
        let presented = parse(presented, KeyKind::Tenant)?;
        let snapshot = self.snapshot.load();
        let found = snapshot.tenant_keys.get(&presented.id);
        self.authentic(presented, found.map(|found| found.key.as_ref()))?;
        let found = found.ok_or(KeyRefusal::Unknown)?;
        in_force(&found.key, now)?;
        if found.tenant.suspended {
            return Err(KeyRefusal::Suspended);
        }
        Ok(found.clone())
    }

    /// The same for an operator's key, `ak_…`.
    ///
    /// # Errors
    /// Says why the key opens nothing.
    pub fn verify_admin_key(
        &self,
        presented: &str,
        now: Timestamp,
    ) -> Result<VerifiedAdmin, KeyRefusal> {
        let presented = parse(presented, KeyKind::Admin)?;
        let snapshot = self.snapshot.load();
        let found = snapshot.admin_keys.get(&presented.id);
        self.authentic(presented, found.map(|found| found.key.as_ref()))?;
        let found = found.ok_or(KeyRefusal::Unknown)?;
        in_force(&found.key, now)?;
        Ok(found.clone())
    }

    /// `None`: no such tenant. A suspended one is found.
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.snapshot.load().tenants.get(id).cloned()
    }

    /// `None`: no such plan.
    #[must_use]
    pub fn plan(&self, name: &PlanName) -> Option<Arc<Plan>> {
        self.snapshot.load().plans.get(name).cloned()
    }

    pub(super) fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// An unknown id costs the same hash and comparison, against a hash that nothing has.
    fn authentic(&self, presented: PresentedKey<'_>, key: Option<&Key>) -> Result<(), KeyRefusal> {
        let stored = key.map_or(&[0; 32], |key| &key.hash);
        let matches = self.hasher.matches(presented, stored);
        if matches && key.is_some() { Ok(()) } else { Err(KeyRefusal::Unknown) }
    }

    /// Keys before tenants before plans, so that what a record refers to is read after it.
    async fn read(&self, generation: u64) -> Result<Snapshot, StoreError> {
        let keys = self.store.keys(None).await?;
        let tenants = self.store.tenants().await?;
        let plans = self.store.plans().await?;
        let mut snapshot = Snapshot {
            generation,
            tenants: tenants.into_iter().map(|t| (t.id.clone(), Arc::new(t))).collect(),
            plans: plans.into_iter().map(|p| (p.name.clone(), Arc::new(p))).collect(),
            ..Snapshot::default()
        };
        for key in keys {
            let id = u64::from_str_radix(key.id.as_str(), 16).expect("a key id is 16 hex digits");
            let key = Arc::new(key);
            match &key.tenant {
                None => {
                    snapshot.admin_keys.insert(id, VerifiedAdmin { key });
                }
                Some(tenant) => {
                    if let Some(tenant) = snapshot.tenants.get(tenant).cloned() {
                        snapshot.tenant_keys.insert(id, VerifiedKey { key, tenant });
                    }
                }
            }
        }
        Ok(snapshot)
    }
}

fn parse(text: &str, kind: KeyKind) -> Result<PresentedKey<'_>, KeyRefusal> {
    PresentedKey::parse(text).filter(|key| key.kind == kind).ok_or(KeyRefusal::Malformed)
}

/// A time that has come counts.
fn in_force(key: &Key, now: Timestamp) -> Result<(), KeyRefusal> {
    if key.revoked_at.is_some_and(|at| at <= now) {
        Err(KeyRefusal::Revoked)
    } else if key.expires_at.is_some_and(|at| at <= now) {
        Err(KeyRefusal::Expired)
    } else {
        Ok(())
    }
}
