//! The gate: the policy chain and the services behind it, as components.
//!
//! Owns the pools of all components and the table of routes that services declared. Knows the order
//! of the chain, not HTTP framing and not what a service does. Always: no request reaches a
//! service before `auth`, `rate-limit` and `validation` have said yes, in this order; credentials
//! reach `auth` alone; a component that does not answer refuses. Start at [`Gate::load`].

mod pages;
mod routes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use wasmtime::Store;
use wasmtime::component::{InstancePre, Resource};

use crate::blobs::Blob;
use crate::engine::bindings::auth::Auth;
use crate::engine::bindings::imports::postern::types::http::{Head, Header};
use crate::engine::bindings::imports::postern::types::principals::Principal;
use crate::engine::bindings::pages::Pages;
use crate::engine::bindings::rate_limit::RateLimit;
use crate::engine::bindings::shaping::Shaping;
use crate::engine::bindings::shaping::exports::postern::shaping::service as wit;
use crate::engine::bindings::validation::Validation;
use crate::engine::imports::Rules;
use crate::engine::pool::{ComponentError, Pool, PoolOptions, World};
use crate::engine::{CacheOutcome, Call, Context, Limits, LoadError, Sandbox};
use crate::ids::{KeyId, TenantId};
use crate::metrics::Metrics;
use crate::problem::{self, Problem};
use crate::settings;
use crate::store::Job;
pub use pages::{Page, PageContent};
pub use routes::{Found, Match, RouteError, Routes};

/// A policy decision takes microseconds; this is for a machine under water.
const POLICY_WALL: Duration = Duration::from_secs(5);
/// Validation and shaping may search a body of a gigabyte on a slow disk.
const BODY_WALL: Duration = Duration::from_secs(120);
/// How long a request waits for an instance before it is told to come back.
const QUEUE_WAIT: Duration = Duration::from_millis(100);
/// Headers that only `auth` may see.
const CREDENTIALS: [&str; 3] = ["authorization", "x-api-key", "cookie"];

/// Why the gate cannot open.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("there is no folder of components at {0}; `cargo xtask guests` builds them")]
    NoComponents(PathBuf, #[source] std::io::Error),
    #[error("component `{component}` did not describe itself")]
    Describe { component: Arc<str>, source: ComponentError },
    #[error("component `{component}` {fault}")]
    Pages { component: Arc<str>, fault: String },
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// One service.
#[derive(Debug)]
pub struct Service {
    pub name: Arc<str>,
    pub title: String,
    pub version: String,
    pub pipelines: Vec<String>,
    /// OpenAPI fragment.
    pub openapi: String,
    pool: Pool<Shaping>,
}

/// Who asks, once `auth` and `rate-limit` have said yes.
#[derive(Debug)]
pub struct Admitted {
    pub tenant: TenantId,
    pub scopes: Vec<String>,
    /// For the answer.
    pub headers: Vec<Header>,
    /// Carries the places in gauges: to be kept until the request has been answered.
    pub call: Arc<Call>,
}

/// A service's answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<Header>,
    pub body: AnswerBody,
}

/// The body of an [`Answer`].
#[derive(Debug)]
pub enum AnswerBody {
    Empty,
    Bytes(Vec<u8>),
    Blob(Blob),
}

/// A request for a service, after the chain.
#[derive(Debug)]
pub struct Request {
    pub head: Head,
    pub found: Found,
    pub body: Option<Blob>,
    pub wait_ms: u32,
}

/// The chain and the services.
#[derive(Debug)]
pub struct Gate {
    auth: Pool<Auth>,
    rate_limit: Pool<RateLimit>,
    validation: Pool<Validation>,
    services: Vec<Arc<Service>>,
    routes: Routes,
}

impl Gate {
    /// Loads every component of `dir`, asks the services to describe themselves and builds the
    /// table of routes.
    ///
    /// # Errors
    /// See [`GateError`]: a gate with a part missing does not open.
    pub async fn load(
        sandbox: &Arc<Sandbox>,
        dir: &Path,
        settings: &settings::Sandbox,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, GateError> {
        let loader = Loader { sandbox, dir, settings, metrics };
        let policy = settings.policy_cpu_ms_max;
        let mut gate = Self {
            auth: loader.pool("auth", policy)?,
            rate_limit: loader.pool("rate-limit", policy)?,
            validation: loader.pool("validation", settings.shaping_cpu_ms_max)?,
            services: Vec::new(),
            routes: Routes::default(),
        };
        let mut rules = Rules::new();
        for component in loader.shaping_components()? {
            let (service, routes, pages) = loader.service(&component).await?;
            let service = Arc::new(service);
            for page in pages {
                gate.routes.add_page(&service, page)?;
            }
            for route in routes {
                rules.insert((service.name.to_string(), route.name.clone()), route.rules.clone());
                gate.routes.add(&service, route)?;
            }
            gate.services.push(service);
        }
        // The rules are set once; a second gate on one sandbox would be a fault of ours.
        assert!(sandbox.imports().rules.set(rules).is_ok(), "a sandbox has one gate");
        Ok(gate)
    }

    /// The table of routes.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// All services.
    #[must_use]
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// `auth`, then `rate-limit`. `head` leaves without credentials. `call` has no tenant yet;
    /// its service is the scope that is asked for.
    ///
    /// # Errors
    /// What the components refused with, or that one of them failed.
    pub async fn admit(&self, head: &mut Head, call: Call) -> Result<Admitted, Problem> {
        let call = Arc::new(call);
        let broken = |error| broken(&error, &call);
        let mut lease = self.auth.lease(Some(call.clone())).await.map_err(broken)?;
        let (store, auth) = lease.parts();
        let auth = auth.postern_policy_authentication();
        let answer = timeout(POLICY_WALL, auth.call_authenticate(store, head, &call.service)).await;
        let principal = lease.finish(answer).map_err(broken)??;
        head.headers.retain(|header| !CREDENTIALS.contains(&header.name.as_str()));

        let call = Arc::new(identified(&call, &principal)?);
        let broken = |error| self::broken(&error, &call);
        let mut lease = self.rate_limit.lease(Some(call.clone())).await.map_err(broken)?;
        let (store, rate_limit) = lease.parts();
        let admission = rate_limit.postern_policy_admission();
        let answer =
            timeout(POLICY_WALL, admission.call_admit(store, &principal, &call.service)).await;
        let headers = lease.finish(answer).map_err(broken)??;
        let tenant = call.tenant.clone().expect("`identified` sets it");
        Ok(Admitted { tenant, scopes: principal.scopes, headers, call })
    }

    /// `validation`.
    ///
    /// # Errors
    /// What the component refused with, or that it failed.
    pub async fn check(&self, admitted: &Admitted, request: &Request) -> Result<(), Problem> {
        let call = &admitted.call;
        let broken = |error| broken(&error, call);
        let mut lease = self.validation.lease(Some(call.clone())).await.map_err(broken)?;
        let (store, validation) = lease.parts();
        let body = hand_over(store, request.body.clone());
        let (head, found) = (&request.head, &request.found);
        let answer = timeout(BODY_WALL, async {
            let checking = validation.postern_policy_checking();
            checking.call_check(store, head, &found.service.name, &found.route.name, body?).await
        })
        .await;
        Ok(lease.finish(answer).map_err(broken)??)
    }

    /// The service's answer.
    ///
    /// # Errors
    /// What the service refused with, or that it failed.
    pub async fn handle(&self, admitted: &Admitted, request: Request) -> Result<Answer, Problem> {
        let call = &admitted.call;
        let broken = |error| broken(&error, call);
        let service = request.found.service.clone();
        let wall = BODY_WALL + Duration::from_millis(request.wait_ms.into());
        let mut lease = service.pool.lease(Some(call.clone())).await.map_err(broken)?;
        let (store, shaping) = lease.parts();
        let body = hand_over(store, request.body);
        let answer = timeout(wall, async {
            let asked = wit::Request {
                head: request.head,
                route: request.found.route.name.clone(),
                path_params: request.found.params,
                body: body?,
                wait_ms: request.wait_ms,
            };
            let shaping = shaping.postern_shaping_service();
            match shaping.call_handle(&mut *store, &asked).await? {
                Ok(response) => answer_of(store, response).map(Ok),
                Err(problem) => Ok(Err(Problem::from(problem))),
            }
        })
        .await;
        lease.finish(answer).map_err(broken)?
    }

    /// The `result` of a job that succeeded, in its service's own words. `None` when the service is
    /// not installed any more.
    ///
    /// # Errors
    /// That the component failed.
    pub async fn present(&self, job: &Job, call: &Arc<Call>) -> Result<Option<String>, Problem> {
        let broken = |error| broken(&error, call);
        let Some(service) = self.services.iter().find(|s| *s.name == *job.service) else {
            return Ok(None);
        };
        let outcome = crate::engine::imports::outcome(job)?;
        let mut lease = service.pool.lease(Some(call.clone())).await.map_err(broken)?;
        let (store, shaping) = lease.parts();
        let shaping = shaping.postern_shaping_service();
        let answer = timeout(POLICY_WALL, shaping.call_present(store, &outcome)).await;
        lease.finish(answer).map(Some).map_err(broken)
    }

    /// Gives memory of idle instances back; called now and then.
    pub fn shrink(&self) {
        self.auth.shrink();
        self.rate_limit.shrink();
        self.validation.shrink();
        for service in &self.services {
            service.pool.shrink();
        }
    }
}

/// A handle on the body, in the instance's table.
fn hand_over(
    store: &mut Store<Context>,
    body: Option<Blob>,
) -> wasmtime::Result<Option<Resource<Blob>>> {
    Ok(body.map(|blob| store.data_mut().table.push(blob)).transpose()?)
}

fn answer_of(store: &mut Store<Context>, response: wit::Response) -> wasmtime::Result<Answer> {
    let body = match response.body {
        wit::Body::Empty => AnswerBody::Empty,
        wit::Body::Bytes(bytes) => AnswerBody::Bytes(bytes),
        wit::Body::Blob(blob) => AnswerBody::Blob(store.data_mut().table.delete(blob)?),
    };
    Ok(Answer { status: response.status, headers: response.headers, body })
}

/// The call with the tenant that `auth` named.
fn identified(call: &Call, principal: &Principal) -> Result<Call, Problem> {
    let fault = |_| {
        tracing::error!(request_id = %call.request_id, "auth named no possible tenant");
        Problem::new(problem::COMPONENT_FAILED, "component `auth` named no possible tenant")
    };
    let tenant: TenantId = principal.tenant.parse().map_err(fault)?;
    let key = principal.key.as_deref().map(str::parse::<KeyId>).transpose().map_err(fault)?;
    Ok(Call {
        request_id: call.request_id.clone(),
        tenant: Some(tenant),
        key,
        service: call.service.clone(),
        traceparent: call.traceparent.clone(),
        wait_ms_max: call.wait_ms_max,
        held: Mutex::default(),
    })
}

/// A component without an answer: the client gets an id, the log gets the cause.
fn broken(error: &ComponentError, call: &Call) -> Problem {
    let cause = std::error::Error::source(error).map(|cause| format!("{cause:?}"));
    tracing::error!(
        request_id = %call.request_id,
        tenant = call.tenant.as_ref().map(TenantId::as_str),
        kind = error.kind(),
        %error,
        cause,
        "component failed"
    );
    match error {
        ComponentError::Busy { .. } => {
            Problem::new(problem::OVERLOADED, error.to_string()).retry_after(Duration::from_secs(1))
        }
        _ => Problem::new(problem::COMPONENT_FAILED, error.to_string()),
    }
}

/// What a shaping component may export besides its world.
const PAGES: &str = "postern:shaping/pages@0.1.0";

/// A service as its component described it.
type Loaded = (Service, Vec<wit::Route>, Vec<Page>);

/// Makes pools of the files in one folder.
struct Loader<'a> {
    sandbox: &'a Arc<Sandbox>,
    dir: &'a Path,
    settings: &'a settings::Sandbox,
    metrics: &'a Arc<Metrics>,
}

impl Loader<'_> {
    fn pool<W: World>(&self, component: &str, cpu_ms_max: u32) -> Result<Pool<W>, LoadError> {
        self.pool_of(component, self.load(component)?, cpu_ms_max)
    }

    fn load(&self, component: &str) -> Result<InstancePre<Context>, LoadError> {
        let (pre, outcome) = self.sandbox.load(&self.dir.join(format!("{component}.wasm")))?;
        let cached = outcome == CacheOutcome::Hit;
        tracing::debug!(component, cached, "component loaded");
        Ok(pre)
    }

    fn pool_of<W: World>(
        &self,
        component: &str,
        pre: InstancePre<Context>,
        cpu_ms_max: u32,
    ) -> Result<Pool<W>, LoadError> {
        let options = PoolOptions {
            limits: Limits {
                memory_bytes_max: usize::try_from(self.settings.memory_bytes_max)
                    .unwrap_or(usize::MAX),
                cpu_epochs_max: cpu_ms_max,
            },
            instances_max: usize::try_from(self.settings.instances_max).unwrap_or(usize::MAX),
            queue_wait: QUEUE_WAIT,
            uses_min: self.settings.uses_min,
        };
        Pool::new(self.sandbox.clone(), component.into(), pre, options, self.metrics.clone())
    }

    /// The names of all `shape-*.wasm`, sorted.
    fn shaping_components(&self) -> Result<Vec<String>, GateError> {
        let missing = |error| GateError::NoComponents(self.dir.to_owned(), error);
        let mut names = Vec::new();
        for file in std::fs::read_dir(self.dir).map_err(missing)? {
            let name = file.map_err(missing)?.file_name().to_string_lossy().into_owned();
            if let Some(stem) = name.strip_suffix(".wasm")
                && stem.starts_with("shape-")
            {
                names.push(stem.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    async fn service(&self, component: &str) -> Result<Loaded, GateError> {
        let cpu_ms_max = self.settings.shaping_cpu_ms_max;
        let pre = self.load(component)?;
        let pages = self.pages(component, &pre).await?;
        let pool: Pool<Shaping> = self.pool_of(component, pre, cpu_ms_max)?;
        let silent = |source| GateError::Describe { component: component.into(), source };
        let mut lease = pool.lease(None).await.map_err(silent)?;
        let (store, shaping) = lease.parts();
        let shaping = shaping.postern_shaping_service();
        let answer = timeout(POLICY_WALL, shaping.call_describe(store)).await;
        let description = lease.finish(answer).map_err(silent)?;
        let service = Service {
            name: description.name.into(),
            title: description.title,
            version: description.version,
            pipelines: description.pipelines,
            openapi: description.openapi,
            pool,
        };
        Ok((service, description.routes, pages))
    }

    /// What the component shows to anyone; nothing where it does not export it.
    async fn pages(
        &self,
        component: &str,
        pre: &InstancePre<Context>,
    ) -> Result<Vec<Page>, GateError> {
        if pre.component().get_export_index(None, PAGES).is_none() {
            return Ok(Vec::new());
        }
        let cpu_ms_max = self.settings.shaping_cpu_ms_max;
        let pool: Pool<Pages> = self.pool_of(component, pre.clone(), cpu_ms_max)?;
        let silent = |source| GateError::Describe { component: component.into(), source };
        let mut lease = pool.lease(None).await.map_err(silent)?;
        let (store, exports) = lease.parts();
        let exports = exports.postern_shaping_pages();
        let answer = timeout(POLICY_WALL, exports.call_describe(store)).await;
        let listed = lease.finish(answer).map_err(silent)?;
        pages::checked(listed)
            .map_err(|fault| GateError::Pages { component: component.into(), fault })
    }
}
