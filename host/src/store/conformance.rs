//! What every store engine must do, as one function that an engine's tests call.
//!
//! Each check is named after the promise it holds the engine to and uses tenants of its own, so
//! that they share one store. Knows the trait alone. What needs a restart is in the engine's tests.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::ids::{Digest, JobId, PlanName, RequestId, TenantId};
use crate::store::{
    BlobUse, Ending, Job, JobError, JobFilter, JobState, Key, Plan, QuotaWindow, Store, StoreError,
    Tenant,
};

/// Runs every check against an empty store.
pub(crate) async fn conformance(store: Arc<dyn Store>) {
    let db = store.as_ref();
    plans_are_replaced_and_kept_while_in_use(db).await;
    tenants_need_a_plan_and_exist_once(db).await;
    keys_are_stored_whole_and_belong_to_someone(db).await;
    revocation_and_rotation_only_shorten_a_key(db).await;
    policy_changes_raise_the_generation_and_jobs_do_not(db).await;
    jobs_are_stored_whole_and_exist_once(db).await;
    jobs_of_another_tenant_do_not_exist(db).await;
    an_attempt_starts_once_and_old_ones_change_nothing(db).await;
    final_states_never_change(db).await;
    only_final_states_end_a_job(db).await;
    cancel_ends_queued_jobs_and_marks_running_ones(db).await;
    listings_are_newest_first_and_paged(db).await;
    expiry_frees_blobs_within_a_tenant_only(db).await;
    deleting_is_for_final_jobs(db).await;
    quotas_are_replaced_by_name(db).await;
    one_of_eight_concurrent_endings_wins(store).await;
}

/// A tenant of its own for a check, with the plan it needs.
pub(crate) async fn tenant(db: &dyn Store, id: &str) -> TenantId {
    let id: TenantId = id.parse().unwrap();
    let plan = plan("default");
    let name = plan.name.clone();
    db.put_plan(plan).await.unwrap();
    let tenant = Tenant { id: id.clone(), plan: name, suspended: false, created_at: Timestamp(1) };
    db.create_tenant(tenant).await.unwrap();
    id
}

/// A key with something in every field.
pub(crate) fn key(id: &str, tenant: Option<&TenantId>) -> Key {
    Key {
        id: id.parse().unwrap(),
        tenant: tenant.cloned(),
        label: "Büro, \"two\"".into(),
        hash: [7; 32],
        scopes: vec!["vision".into(), "*".into()],
        created_at: Timestamp(5),
        expires_at: Some(Timestamp(9_000)),
        revoked_at: None,
    }
}

/// A queued job without blobs.
pub(crate) fn job(tenant: &TenantId) -> Job {
    Job {
        id: JobId::new(),
        tenant: tenant.clone(),
        key: Some("0123456789abcdef".parse().unwrap()),
        service: "vision".into(),
        pipeline: "vision@1".into(),
        params: r#"{"every_n":2}"#.into(),
        inputs: Vec::new(),
        priority: 1,
        request_id: RequestId::new(),
        traceparent: Some("00-abc-def-01".into()),
        state: JobState::Queued,
        attempt: 0,
        crashes: 0,
        cancel_requested: false,
        device: None,
        metadata: None,
        outputs: Vec::new(),
        error: None,
        created_at: Timestamp(1_000),
        started_at: None,
        finished_at: None,
        expires_at: None,
        retention_secs: 60,
    }
}

/// An ending without outputs.
pub(crate) fn ending(state: JobState) -> Ending {
    Ending { state, device: None, metadata: None, outputs: Vec::new(), error: None }
}

fn plan(name: &str) -> Plan {
    Plan { name: name.parse().unwrap(), ..Plan::default() }
}

fn digest(fill: u8) -> Digest {
    blake3::hash(&[fill]).into()
}

fn blob(name: &str, fill: u8) -> BlobUse {
    BlobUse { name: name.into(), digest: digest(fill), media_type: "image/png".into(), bytes: 3 }
}

async fn read(db: &dyn Store, job: &Job) -> Job {
    db.job(&job.tenant, &job.id).await.unwrap().expect("the job is there")
}

/// Asserts the error's kind; the text is for people.
macro_rules! refused {
    ($call:expr, $kind:ident) => {
        assert!(matches!($call.await, Err(StoreError::$kind(_))), "{}", stringify!($call))
    };
}

async fn plans_are_replaced_and_kept_while_in_use(db: &dyn Store) {
    let mut changed = plan("plan-a");
    db.put_plan(changed.clone()).await.unwrap();
    changed.quota_per_day = u64::MAX;
    db.put_plan(changed.clone()).await.unwrap();
    assert_eq!(db.plans().await.unwrap(), [changed.clone()]);

    let owner = tenant(db, "plan-owner").await;
    let mut record = db.tenants().await.unwrap().remove(0);
    record.plan = changed.name.clone();
    db.update_tenant(record.clone()).await.unwrap();
    refused!(db.delete_plan(&changed.name), InUse);
    db.put_plan(changed.clone()).await.unwrap();
    record.plan = "default".parse().unwrap();
    db.update_tenant(record).await.unwrap();
    db.delete_plan(&changed.name).await.unwrap();
    refused!(db.delete_plan(&changed.name), Missing);
    assert_eq!(owner.as_str(), "plan-owner");
}

async fn tenants_need_a_plan_and_exist_once(db: &dyn Store) {
    let id = tenant(db, "once").await;
    let all = db.tenants().await.unwrap();
    let mut record = all.into_iter().find(|tenant| tenant.id == id).unwrap();
    refused!(db.create_tenant(record.clone()), Exists);
    record.suspended = true;
    db.update_tenant(record.clone()).await.unwrap();
    assert!(db.tenants().await.unwrap().contains(&record));

    let no_plan: PlanName = "no-plan".parse().unwrap();
    refused!(db.update_tenant(Tenant { plan: no_plan.clone(), ..record.clone() }), Missing);
    let stranger = Tenant { id: "stranger".parse().unwrap(), ..record };
    refused!(db.update_tenant(stranger.clone()), Missing);
    refused!(db.create_tenant(Tenant { plan: no_plan, ..stranger }), Missing);
}

async fn keys_are_stored_whole_and_belong_to_someone(db: &dyn Store) {
    let owner = tenant(db, "key-owner").await;
    let other = tenant(db, "key-other").await;
    let stored = key("aaaaaaaaaaaaaaaa", Some(&owner));
    let admin = key("bbbbbbbbbbbbbbbb", None);
    db.create_key(stored.clone()).await.unwrap();
    db.create_key(admin.clone()).await.unwrap();
    refused!(db.create_key(stored.clone()), Exists);
    refused!(db.create_key(key("cccccccccccccccc", Some(&"nobody".parse().unwrap()))), Missing);

    assert_eq!(db.keys(Some(&owner)).await.unwrap(), std::slice::from_ref(&stored));
    assert_eq!(db.keys(Some(&other)).await.unwrap(), []);
    let all = db.keys(None).await.unwrap();
    assert!(all.contains(&stored) && all.contains(&admin));
}

async fn revocation_and_rotation_only_shorten_a_key(db: &dyn Store) {
    let owner = tenant(db, "rotating").await;
    let old = key("1000000000000000", Some(&owner));
    db.create_key(old.clone()).await.unwrap();
    for (at, want) in [(500, 500), (700, 500), (300, 300)] {
        db.revoke_key(&old.id, Timestamp(at)).await.unwrap();
        let stored = db.keys(Some(&owner)).await.unwrap();
        assert_eq!(stored[0].revoked_at, Some(Timestamp(want)));
    }
    let nobody = "ffffffffffffffff".parse().unwrap();
    refused!(db.revoke_key(&nobody, Timestamp(1)), Missing);

    let new = |id| Key { created_at: Timestamp(6), ..key(id, Some(&owner)) };
    db.rotate_key(&old.id, Timestamp(99_000), new("2000000000000000")).await.unwrap();
    assert_eq!(db.keys(Some(&owner)).await.unwrap()[0].expires_at, Some(Timestamp(9_000)));
    db.rotate_key(&old.id, Timestamp(700), new("3000000000000000")).await.unwrap();
    refused!(db.rotate_key(&nobody, Timestamp(1), new("4000000000000000")), Missing);
    refused!(db.rotate_key(&old.id, Timestamp(1), new("3000000000000000")), Exists);
    let stored = db.keys(Some(&owner)).await.unwrap();
    assert_eq!(stored[0].expires_at, Some(Timestamp(700)), "a refused rotation changes nothing");
    assert_eq!(stored.len(), 3);
}

async fn policy_changes_raise_the_generation_and_jobs_do_not(db: &dyn Store) {
    let mut seen = db.policy_generation();
    let mut raised = |what: &str| {
        let now = db.policy_generation();
        assert!(now > seen, "{what}");
        seen = now;
    };
    let owner = tenant(db, "generation").await;
    raised("plan and tenant");
    let stored = key("5000000000000000", Some(&owner));
    db.create_key(stored.clone()).await.unwrap();
    raised("new key");
    db.rotate_key(&stored.id, Timestamp(1), key("6000000000000000", None)).await.unwrap();
    raised("rotation");
    db.revoke_key(&stored.id, Timestamp(1)).await.unwrap();
    raised("revocation");

    let before = db.policy_generation();
    let queued = job(&owner);
    db.create_job(queued.clone()).await.unwrap();
    db.finish_job(&queued.id, 0, Timestamp(2), ending(JobState::Failed)).await.unwrap();
    db.save_quotas(Vec::new()).await.unwrap();
    assert_eq!(db.policy_generation(), before);
}

async fn jobs_are_stored_whole_and_exist_once(db: &dyn Store) {
    let owner = tenant(db, "whole").await;
    let mut stored = job(&owner);
    stored.inputs = vec![blob("video", 1), blob("mask", 2)];
    stored.priority = u32::MAX;
    db.create_job(stored.clone()).await.unwrap();
    assert_eq!(read(db, &stored).await, stored);
    refused!(db.create_job(stored.clone()), Exists);

    assert!(db.start_job(&stored.id, 1, Timestamp(2_000)).await.unwrap());
    let error = JobError {
        status: 422,
        code: "bad_video".into(),
        detail: "no frames".into(),
        field: Some("video".into()),
    };
    let ending = Ending {
        state: JobState::Failed,
        device: Some("cpu".into()),
        metadata: Some(r#"{"frames":[]}"#.into()),
        outputs: vec![blob("edges", 3)],
        error: Some(error.clone()),
    };
    assert!(db.finish_job(&stored.id, 1, Timestamp(3_000), ending.clone()).await.unwrap());
    stored.state = JobState::Failed;
    stored.attempt = 1;
    stored.device = ending.device;
    stored.metadata = ending.metadata;
    stored.outputs = ending.outputs;
    stored.error = Some(error);
    stored.started_at = Some(Timestamp(2_000));
    stored.finished_at = Some(Timestamp(3_000));
    stored.expires_at = Some(Timestamp(63_000));
    assert_eq!(read(db, &stored).await, stored);

    let forever = Job { retention_secs: u64::MAX, ..job(&owner) };
    db.create_job(forever.clone()).await.unwrap();
    let canceled = db.cancel_job(&owner, &forever.id, Timestamp(1)).await.unwrap().unwrap();
    assert!(canceled.expires_at > Some(Timestamp(1)), "a huge retention does not overflow");
    refused!(db.create_job(job(&"nobody".parse().unwrap())), Missing);
}

async fn jobs_of_another_tenant_do_not_exist(db: &dyn Store) {
    let owner = tenant(db, "owner").await;
    let thief = tenant(db, "thief").await;
    let mut theirs = job(&owner);
    theirs.inputs = vec![blob("frame", 10)];
    db.create_job(theirs.clone()).await.unwrap();

    assert_eq!(db.job(&thief, &theirs.id).await.unwrap(), None);
    assert_eq!(db.cancel_job(&thief, &theirs.id, Timestamp(2)).await.unwrap(), None);
    assert!(!db.blob_in_use(&thief, &digest(10)).await.unwrap());
    assert!(db.blob_in_use(&owner, &digest(10)).await.unwrap());
    let filter = JobFilter { tenant: Some(thief.clone()), limit: 10, ..JobFilter::default() };
    assert_eq!(db.jobs(filter).await.unwrap(), []);
    assert_eq!(read(db, &theirs).await, theirs, "nothing was changed");

    db.cancel_job(&owner, &theirs.id, Timestamp(2)).await.unwrap();
    refused!(db.delete_job(&thief, &theirs.id), Missing);
    db.delete_job(&owner, &theirs.id).await.unwrap();
}

async fn an_attempt_starts_once_and_old_ones_change_nothing(db: &dyn Store) {
    let owner = tenant(db, "fencing").await;
    let stored = job(&owner);
    let id = &stored.id;
    db.create_job(stored.clone()).await.unwrap();
    assert!(!db.requeue_job(id, 0, true).await.unwrap(), "it has not been started");
    assert!(db.start_job(id, 1, Timestamp(2)).await.unwrap());
    assert!(!db.start_job(id, 2, Timestamp(2)).await.unwrap(), "it is not queued");
    assert!(!db.requeue_job(id, 0, true).await.unwrap());
    assert!(db.requeue_job(id, 1, true).await.unwrap());
    assert!(!db.requeue_job(id, 1, true).await.unwrap(), "lost once, counted once");
    assert!(!db.start_job(id, 1, Timestamp(3)).await.unwrap(), "an attempt is not repeated");
    assert!(db.start_job(id, 2, Timestamp(3)).await.unwrap());
    assert!(!db.finish_job(id, 1, Timestamp(4), ending(JobState::Succeeded)).await.unwrap());

    let now = read(db, &stored).await;
    assert_eq!((now.state, now.attempt, now.crashes), (JobState::Running, 2, 1));
    assert_eq!(now.started_at, Some(Timestamp(3)));
    assert!(db.finish_job(id, 2, Timestamp(5), ending(JobState::Succeeded)).await.unwrap());

    let unknown = JobId::new();
    assert!(!db.start_job(&unknown, 1, Timestamp(1)).await.unwrap());
    assert!(!db.requeue_job(&unknown, 1, false).await.unwrap());
    assert!(!db.finish_job(&unknown, 1, Timestamp(1), ending(JobState::Failed)).await.unwrap());
}

async fn final_states_never_change(db: &dyn Store) {
    let owner = tenant(db, "final").await;
    let states = [JobState::Succeeded, JobState::Failed, JobState::Canceled, JobState::Expired];
    for state in states {
        let stored = Job { state: JobState::Running, attempt: 1, ..job(&owner) };
        let id = &stored.id;
        db.create_job(stored.clone()).await.unwrap();
        assert!(db.finish_job(id, 1, Timestamp(5), ending(state)).await.unwrap());
        let ended = read(db, &stored).await;
        assert_eq!(ended.state, state);

        let other = Ending { outputs: vec![blob("late", 20)], ..ending(JobState::Failed) };
        assert!(!db.finish_job(id, 1, Timestamp(6), other).await.unwrap());
        assert!(!db.start_job(id, 2, Timestamp(6)).await.unwrap());
        assert!(!db.requeue_job(id, 1, true).await.unwrap());
        let asked = db.cancel_job(&owner, id, Timestamp(6)).await.unwrap();
        assert_eq!(asked.as_ref(), Some(&ended));
        assert_eq!(read(db, &stored).await, ended);
    }
    assert!(!db.blob_in_use(&owner, &digest(20)).await.unwrap());
}

async fn only_final_states_end_a_job(db: &dyn Store) {
    let owner = tenant(db, "ending").await;
    let stored = job(&owner);
    db.create_job(stored.clone()).await.unwrap();
    for state in [JobState::Queued, JobState::Loading, JobState::Running] {
        refused!(db.finish_job(&stored.id, 0, Timestamp(5), ending(state)), Engine);
    }
    assert_eq!(read(db, &stored).await, stored);
}

async fn cancel_ends_queued_jobs_and_marks_running_ones(db: &dyn Store) {
    let owner = tenant(db, "cancel").await;
    let queued = job(&owner);
    db.create_job(queued.clone()).await.unwrap();
    let canceled = db.cancel_job(&owner, &queued.id, Timestamp(7_000)).await.unwrap().unwrap();
    assert_eq!(canceled.state, JobState::Canceled);
    assert!(canceled.cancel_requested);
    assert_eq!(canceled.finished_at, Some(Timestamp(7_000)));
    assert_eq!(canceled.expires_at, Some(Timestamp(67_000)));
    let again = db.cancel_job(&owner, &queued.id, Timestamp(9_000)).await.unwrap();
    assert_eq!(again, Some(canceled), "idempotent");

    let running = Job { state: JobState::Running, attempt: 1, ..job(&owner) };
    db.create_job(running.clone()).await.unwrap();
    let marked = db.cancel_job(&owner, &running.id, Timestamp(7_000)).await.unwrap().unwrap();
    assert_eq!((marked.state, marked.cancel_requested), (JobState::Running, true));
    assert_eq!((marked.finished_at, marked.expires_at), (None, None));
    assert!(db.requeue_job(&running.id, 1, true).await.unwrap());
    assert!(!db.start_job(&running.id, 2, Timestamp(8)).await.unwrap(), "a cancel was asked for");
    assert_eq!(db.cancel_job(&owner, &JobId::new(), Timestamp(1)).await.unwrap(), None);
}

async fn listings_are_newest_first_and_paged(db: &dyn Store) {
    let owner = tenant(db, "listing").await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let service = if number % 2 == 0 { "vision" } else { "sharp" };
        let stored = Job { service: service.into(), ..job(&owner) };
        db.create_job(stored.clone()).await.unwrap();
        ids.insert(0, stored.id);
    }
    db.cancel_job(&owner, &ids[1], Timestamp(2)).await.unwrap();
    let mine = JobFilter { tenant: Some(owner), limit: 10, ..JobFilter::default() };
    let list = async |filter: JobFilter| -> Vec<JobId> {
        db.jobs(filter).await.unwrap().into_iter().map(|job| job.id).collect()
    };
    assert_eq!(list(mine.clone()).await, ids);
    assert_eq!(list(JobFilter { limit: 2, ..mine.clone() }).await, ids[..2]);
    let after = Some(ids[1].clone());
    assert_eq!(list(JobFilter { limit: 2, after, ..mine.clone() }).await, ids[2..4]);
    let after = Some(ids[4].clone());
    assert!(list(JobFilter { after, ..mine.clone() }).await.is_empty());
    let service = Some("sharp".to_owned());
    assert_eq!(list(JobFilter { service, ..mine.clone() }).await, [ids[1].clone(), ids[3].clone()]);
    let state = Some(JobState::Canceled);
    assert_eq!(list(JobFilter { state, ..mine.clone() }).await, ids[1..2]);
    assert_eq!(list(JobFilter { limit: 0, ..mine.clone() }).await, ids[..1], "at least one");
    assert_eq!(list(JobFilter { tenant: None, ..mine }).await[..5], ids);

    let unfinished = db.unfinished_jobs().await.unwrap();
    assert!(unfinished.is_sorted_by(|a, b| a.id < b.id), "oldest first");
    assert!(unfinished.iter().all(|job| !job.state.is_final()));
    let found = ids.iter().filter(|id| unfinished.iter().any(|job| job.id == **id));
    assert_eq!(found.count(), 4);
}

async fn expiry_frees_blobs_within_a_tenant_only(db: &dyn Store) {
    db.expire_jobs(Timestamp(i64::MAX), u32::MAX).await.unwrap();
    let one = tenant(db, "expiry-one").await;
    let two = tenant(db, "expiry-two").await;
    // Both tenants have blob 30; `one` has it twice, and an output of its own.
    let mut jobs = Vec::new();
    for (owner, finish) in [(&one, 1_000), (&one, 5_000), (&two, 9_000)] {
        let stored = Job { inputs: vec![blob("a", 30), blob("b", 30)], ..job(owner) };
        db.create_job(stored.clone()).await.unwrap();
        let outputs = if finish == 1_000 { vec![blob("out", 31)] } else { Vec::new() };
        let ending = Ending { outputs, ..ending(JobState::Succeeded) };
        assert!(db.finish_job(&stored.id, 0, Timestamp(finish), ending).await.unwrap());
        jobs.push(stored);
    }
    let expire = async |at| db.expire_jobs(Timestamp(at), 1).await.unwrap();
    assert_eq!(expire(60_999).await, []);
    assert_eq!(expire(61_000).await, [(one.clone(), digest(31))], "30 is still needed");
    assert_eq!(expire(99_000).await, [(one.clone(), digest(30))], "whatever `two` does");
    assert!(!db.blob_in_use(&one, &digest(30)).await.unwrap());
    assert!(db.blob_in_use(&two, &digest(30)).await.unwrap());
    assert_eq!(expire(99_000).await, [(two.clone(), digest(30))]);
    assert_eq!(expire(99_000).await, []);
    assert_eq!(db.job(&one, &jobs[0].id).await.unwrap(), None);
}

async fn deleting_is_for_final_jobs(db: &dyn Store) {
    let owner = tenant(db, "deleting").await;
    let stored = Job { inputs: vec![blob("a", 40)], ..job(&owner) };
    db.create_job(stored.clone()).await.unwrap();
    refused!(db.delete_job(&owner, &stored.id), InUse);
    db.cancel_job(&owner, &stored.id, Timestamp(2)).await.unwrap();
    let free = db.delete_job(&owner, &stored.id).await.unwrap();
    assert_eq!(free, [(owner.clone(), digest(40))]);
    refused!(db.delete_job(&owner, &stored.id), Missing);
}

async fn quotas_are_replaced_by_name(db: &dyn Store) {
    let window = |name: &str, used| QuotaWindow { name: name.into(), start_secs: 86_400, used };
    db.save_quotas(vec![window("a", 1), window("b", 2)]).await.unwrap();
    db.save_quotas(vec![window("b", 7)]).await.unwrap();
    assert_eq!(db.quotas().await.unwrap(), [window("a", 1), window("b", 7)]);
}

async fn one_of_eight_concurrent_endings_wins(store: Arc<dyn Store>) {
    let owner = tenant(store.as_ref(), "race").await;
    for _ in 0..20 {
        let stored = Job { state: JobState::Running, attempt: 1, ..job(&owner) };
        store.create_job(stored.clone()).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8_u8 {
            let (store, id) = (store.clone(), stored.id.clone());
            tasks.spawn(async move {
                let outputs = vec![blob("out", 100 + number)];
                let ending = Ending { outputs, ..ending(JobState::Succeeded) };
                let won = store.finish_job(&id, 1, Timestamp(9), ending).await.unwrap();
                won.then_some(number)
            });
        }
        let winners: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        let ended = read(store.as_ref(), &stored).await;
        assert_eq!(ended.outputs, [blob("out", 100 + winners[0])]);
        let free = store.delete_job(&owner, &stored.id).await.unwrap();
        assert_eq!(free, [(owner.clone(), digest(100 + winners[0]))], "losers leave nothing");
    }
}
