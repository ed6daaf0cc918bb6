//! The table of routes that services declared.
//!
//! Owns the matching of method and path. Always: two services cannot have the same route, and none
//! can take one of the host's own; the host does not start then.

use std::sync::Arc;

use matchit::Router;

use super::Service;
use crate::engine::bindings::shaping::exports::postern::shaping::service::Route;

/// First segments that belong to the host.
const RESERVED: [&str; 10] = [
    "/admin",
    "/livez",
    "/readyz",
    "/health",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/v1/jobs",
    "/v1/models",
    "/v1/services",
];

/// Why a service's route cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("service `{service}` asks for {method} {path}, which is taken")]
    Taken { service: Arc<str>, method: String, path: String },
    #[error("service `{service}` declares the path {path:?}, which is none")]
    Path { service: Arc<str>, path: String },
}

/// A route that fits a request.
#[derive(Debug, Clone)]
pub struct Found {
    pub service: Arc<Service>,
    pub route: Arc<Route>,
    /// Path parameters, percent-decoded.
    pub params: Vec<(String, String)>,
}

/// What the table says about a request.
#[derive(Debug)]
pub enum Match {
    Found(Found),
    /// The path exists with these methods.
    OtherMethods(Vec<String>),
    None,
}

/// A route and whose it is.
type Owned = (Arc<Service>, Arc<Route>);

/// The table: per path, its methods.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<usize>,
    paths: Vec<(String, Vec<Owned>)>,
}

impl Routes {
    pub(super) fn add(&mut self, service: &Arc<Service>, route: Route) -> Result<(), RouteError> {
        let path = route.path.clone();
        let taken = || RouteError::Taken {
            service: service.name.clone(),
            method: route.method.clone(),
            path: path.clone(),
        };
        let reserved = |own: &&str| path == **own || path.starts_with(&format!("{own}/"));
        if RESERVED.iter().any(reserved) {
            return Err(taken());
        }
        let known = self.paths.iter().position(|(known, _)| *known == path);
        let index = match known {
            Some(index) => index,
            None => {
                let bad =
                    |_| RouteError::Path { service: service.name.clone(), path: path.clone() };
                self.router.insert(path.clone(), self.paths.len()).map_err(bad)?;
                self.paths.push((path.clone(), Vec::new()));
                self.paths.len() - 1
            }
        };
        let methods = &mut self.paths[index].1;
        if methods.iter().any(|(_, other)| other.method == route.method) {
            return Err(taken());
        }
        methods.push((service.clone(), Arc::new(route)));
        Ok(())
    }

    /// The route for a request.
    #[must_use]
    pub fn find(&self, method: &str, path: &str) -> Match {
        let Ok(hit) = self.router.at(path) else { return Match::None };
        let methods = &self.paths[*hit.value].1;
        let Some((service, route)) = methods.iter().find(|(_, route)| route.method == method)
        else {
            let allowed = methods.iter().map(|(_, route)| route.method.clone()).collect();
            return Match::OtherMethods(allowed);
        };
        let decode = |(name, value): (&str, &str)| {
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            (name.to_owned(), value.into_owned())
        };
        let params = hit.params.iter().map(decode).collect();
        Match::Found(Found { service: service.clone(), route: route.clone(), params })
    }
}
