//! Tenancy from end to end, over the embedded store and a clock that stands still.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::ids::TenantId;
use crate::secret::ServerSecret;
use crate::store::sqlite::SqliteStore;
use crate::store::{Plan, Store};

struct Office {
    tenancy: Tenancy,
    directory: Arc<Directory>,
    clock: Clock,
    folder: tempfile::TempDir,
}

/// A seeded installation with tenant `acme`.
async fn office() -> Office {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp(1_000_000));
    let (tenancy, directory) = process(&folder, &clock).await;
    tenancy.seed().await.unwrap();
    tenancy.create_tenant(acme(), "free".parse().unwrap()).await.unwrap();
    Office { tenancy, directory, clock, folder }
}

/// One process over the file: the office itself, or the command line beside it.
async fn process(folder: &tempfile::TempDir, clock: &Clock) -> (Tenancy, Arc<Directory>) {
    let store: Arc<dyn Store> = SqliteStore::open(&folder.path().join("postern.db")).unwrap();
    let server = ServerSecret::from_bytes([3; 32]);
    let directory = Directory::open(store.clone(), &server).await.unwrap();
    (Tenancy::new(store, directory.clone(), clock.clone()), directory)
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn new_key() -> NewKey {
    NewKey {
        tenant: acme(),
        label: "laptop".into(),
        scopes: vec!["vision".into()],
        expires_at: None,
    }
}

impl Office {
    fn refusal(&self, text: &str) -> Option<KeyRefusal> {
        self.directory.verify_key(text, self.clock.now()).err()
    }
}

#[track_caller]
fn invalid<T: std::fmt::Debug>(result: Result<T, TenancyError>, want: &str) {
    match result {
        Err(TenancyError::Invalid { field, .. }) => assert_eq!(field, want),
        other => panic!("{want}: {other:?}"),
    }
}

#[tokio::test]
async fn a_new_key_works_at_once_for_its_scopes() {
    let office = office().await;
    let (key, text) = office.tenancy.create_key(new_key()).await.unwrap();
    let verified = office.directory.verify_key(text.reveal(), office.clock.now()).unwrap();
    assert_eq!(*verified.key, key);
    assert_eq!((verified.tenant.id.as_str(), verified.tenant.plan.as_str()), ("acme", "free"));
    assert!(verified.allows("vision") && !verified.allows("sharp"));

    let all = NewKey { scopes: vec!["*".into()], ..new_key() };
    let (_, text) = office.tenancy.create_key(all).await.unwrap();
    let verified = office.directory.verify_key(text.reveal(), office.clock.now()).unwrap();
    assert!(verified.allows("sharp"));
}

#[tokio::test]
async fn unknown_ids_and_wrong_secrets_get_one_answer() {
    let office = office().await;
    let (key, text) = office.tenancy.create_key(new_key()).await.unwrap();
    let wrong_secret = format!("sk_{}_{}", key.id, "0".repeat(64));
    let unknown_id = text.reveal().replace(key.id.as_str(), "0000000000000000");
    let admin_prefix = text.reveal().replacen("sk_", "ak_", 1);
    assert_eq!(office.refusal(&wrong_secret), Some(KeyRefusal::Unknown));
    assert_eq!(office.refusal(&unknown_id), Some(KeyRefusal::Unknown));
    for malformed in ["", "sk_", "Bearer x", &admin_prefix, &text.reveal()[1..]] {
        assert_eq!(office.refusal(malformed), Some(KeyRefusal::Malformed), "{malformed}");
    }
    office.tenancy.revoke(&key.id).await.unwrap();
    assert_eq!(office.refusal(&wrong_secret), Some(KeyRefusal::Unknown), "tells nothing");
}

#[tokio::test]
async fn expiry_revocation_and_suspension_close_the_gate() {
    let office = office().await;
    let expires_at = Some(office.clock.now().plus(Duration::from_secs(60)));
    let short = NewKey { expires_at, ..new_key() };
    let (_, short) = office.tenancy.create_key(short).await.unwrap();
    let (key, text) = office.tenancy.create_key(new_key()).await.unwrap();
    assert_eq!((office.refusal(short.reveal()), office.refusal(text.reveal())), (None, None));

    office.clock.advance(Duration::from_secs(60));
    assert_eq!(office.refusal(short.reveal()), Some(KeyRefusal::Expired));
    office.tenancy.suspend(&acme()).await.unwrap();
    assert_eq!(office.refusal(text.reveal()), Some(KeyRefusal::Suspended));
    office.tenancy.resume(&acme()).await.unwrap();
    assert_eq!(office.refusal(text.reveal()), None);
    office.tenancy.revoke(&key.id).await.unwrap();
    assert_eq!(office.refusal(text.reveal()), Some(KeyRefusal::Revoked));
}

#[tokio::test]
async fn rotation_lets_the_old_key_go_on_for_its_grace() {
    let office = office().await;
    let lifetime = Duration::from_secs(1000);
    let expires_at = Some(office.clock.now().plus(lifetime));
    let (old, old_text) =
        office.tenancy.create_key(NewKey { expires_at, ..new_key() }).await.unwrap();
    office.clock.advance(Duration::from_secs(100));
    let grace = Duration::from_secs(10);
    let (new, new_text) = office.tenancy.rotate(&old.id, grace).await.unwrap();
    assert_eq!((&new.label, &new.scopes), (&old.label, &old.scopes));
    assert_eq!(new.expires_at, Some(office.clock.now().plus(lifetime)));
    assert_eq!(office.refusal(old_text.reveal()), None);
    office.clock.advance(grace);
    assert_eq!(office.refusal(old_text.reveal()), Some(KeyRefusal::Expired));
    assert_eq!(office.refusal(new_text.reveal()), None);

    let ended = office.tenancy.rotate(&old.id, grace).await;
    assert!(matches!(ended, Err(TenancyError::KeyEnded(_))));
    let unknown = "ffffffffffffffff".parse().unwrap();
    let missing = office.tenancy.rotate(&unknown, grace).await;
    assert!(matches!(missing, Err(TenancyError::Missing(_))));
    invalid(office.tenancy.rotate(&new.id, KEY_GRACE_MAX + grace).await, "grace");
}

#[tokio::test]
async fn operators_keys_are_their_own_kind() {
    let office = office().await;
    let now = office.clock.now();
    let (key, text) = office.tenancy.create_admin_key("ops".into()).await.unwrap();
    assert_eq!(*office.directory.verify_admin_key(text.reveal(), now).unwrap().key, key);
    assert_eq!(office.refusal(text.reveal()), Some(KeyRefusal::Malformed));
    let (next, next_text) = office.tenancy.rotate(&key.id, Duration::ZERO).await.unwrap();
    assert_eq!(next.tenant, None);
    let refusal = office.directory.verify_admin_key(text.reveal(), now).err();
    assert_eq!(refusal, Some(KeyRefusal::Expired));
    office.tenancy.revoke(&next.id).await.unwrap();
    let refusal = office.directory.verify_admin_key(next_text.reveal(), now).err();
    assert_eq!(refusal, Some(KeyRefusal::Revoked));
}

#[tokio::test]
async fn another_process_is_noticed_within_a_second() {
    let office = office().await;
    let (key, text) = office.tenancy.create_key(new_key()).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = office.directory.clone().run(async { stopped.await.unwrap_or_default() });
    let revoke = async {
        let (command_line, _) = process(&office.folder, &office.clock).await;
        command_line.revoke(&key.id).await.unwrap();
        let noticed = async {
            while office.refusal(text.reveal()).is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(1), noticed).await.expect("within a second");
        drop(stop);
    };
    tokio::join!(run, revoke);
    assert_eq!(office.refusal(text.reveal()), Some(KeyRefusal::Revoked));
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_its_field() {
    let office = office().await;
    let tenancy = &office.tenancy;
    let refused = async |key: NewKey, field| invalid(tenancy.create_key(key).await, field);
    refused(NewKey { label: "ä".repeat(201), ..new_key() }, "label").await;
    refused(NewKey { label: "a\nb".into(), ..new_key() }, "label").await;
    refused(NewKey { expires_at: Some(office.clock.now()), ..new_key() }, "expires_at").await;
    let bad = [vec![], vec!["Vision"], vec!["vision", ""], vec!["vision*"], vec!["a"; 65]];
    for scopes in bad {
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        refused(NewKey { scopes, ..new_key() }, "scopes").await;
    }
    invalid(tenancy.create_admin_key("\u{7}".into()).await, "label");
    let longest = NewKey { label: "ä".repeat(200), ..new_key() };
    assert!(tenancy.create_key(longest).await.is_ok());

    let plan = Plan::default();
    let plans = [
        (Plan { period_secs: 0, ..plan.clone() }, "period_secs"),
        (Plan { burst: 0, ..plan.clone() }, "burst"),
        (Plan { jobs_running_max: 0, ..plan.clone() }, "jobs_running_max"),
        (Plan { jobs_active_max: 3, ..plan.clone() }, "jobs_active_max"),
        (Plan { retention_secs: 0, ..plan.clone() }, "retention_secs"),
        (Plan { retention_secs: u64::MAX, ..plan.clone() }, "retention_secs"),
    ];
    for (plan, field) in plans {
        invalid(tenancy.put_plan(plan).await, field);
    }
    let unlimited = Plan { requests: 0, period_secs: 0, burst: 0, ..plan };
    tenancy.put_plan(unlimited).await.unwrap();
}

#[tokio::test]
async fn plans_change_for_everyone_at_once_and_seeding_changes_none() {
    let office = office().await;
    let free = "free".parse().unwrap();
    let mut plan = Plan::clone(&office.directory.plan(&free).unwrap());
    plan.requests = 7;
    office.tenancy.put_plan(plan).await.unwrap();
    office.tenancy.seed().await.unwrap();
    assert_eq!(office.directory.plan(&free).unwrap().requests, 7);
    assert_eq!(office.tenancy.plans().await.unwrap().len(), 3);

    let in_use = office.tenancy.delete_plan(&free).await;
    assert!(matches!(in_use, Err(TenancyError::InUse(_))));
    let pro = "pro".parse().unwrap();
    assert_eq!(office.tenancy.set_plan(&acme(), pro).await.unwrap().plan.as_str(), "pro");
    assert_eq!(office.directory.tenant(&acme()).unwrap().plan.as_str(), "pro");
    office.tenancy.delete_plan(&free).await.unwrap();
    assert_eq!(office.directory.plan(&free), None);

    let nobody = "nobody".parse().unwrap();
    let missing = office.tenancy.suspend(&nobody).await;
    assert!(matches!(missing, Err(TenancyError::Missing(_))));
    let missing = office.tenancy.keys(Some(&nobody)).await;
    assert!(matches!(missing, Err(TenancyError::Missing(_))));
    let exists = office.tenancy.create_tenant(acme(), "pro".parse().unwrap()).await;
    assert!(matches!(exists, Err(TenancyError::Exists(_))));
}
