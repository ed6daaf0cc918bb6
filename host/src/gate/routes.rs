//! The table of routes that services declared.
//!
//! Owns the matching of method and path. Always: two services cannot have the same route, and none
//! can take one of the host's own; the host does not start then.

use std::sync::Arc;

use matchit::Router;

use super::{Page, Service};
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
    /// A page that anyone may read.
    Page(Arc<Service>, Arc<Page>),
    /// The path exists with these methods.
    OtherMethods(Vec<String>),
    None,
}

/// The methods that a page takes.
const PAGE_METHODS: [&str; 2] = ["GET", "HEAD"];

/// One path: its routes by method, and its page.
#[derive(Debug, Default)]
struct Place {
    path: String,
    routes: Vec<(Arc<Service>, Arc<Route>)>,
    page: Option<(Arc<Service>, Arc<Page>)>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<usize>,
    places: Vec<Place>,
}

impl Routes {
    pub(super) fn add(&mut self, service: &Arc<Service>, route: Route) -> Result<(), RouteError> {
        let Route { method, path, .. } = &route;
        let taken = taken(service, method, path);
        let place = self.place(service, method, path)?;
        let has_page = place.page.is_some() && PAGE_METHODS.contains(&method.as_str());
        if has_page || place.routes.iter().any(|(_, other)| other.method == *method) {
            return Err(taken);
        }
        place.routes.push((service.clone(), Arc::new(route)));
        Ok(())
    }

    pub(super) fn add_page(
        &mut self,
        service: &Arc<Service>,
        page: Page,
    ) -> Result<(), RouteError> {
        let [method, _] = PAGE_METHODS;
        let taken = taken(service, method, &page.path);
        let place = self.place(service, method, &page.path)?;
        let is_page = |method: &str| PAGE_METHODS.contains(&method);
        if place.page.is_some() || place.routes.iter().any(|(_, other)| is_page(&other.method)) {
            return Err(taken);
        }
        place.page = Some((service.clone(), Arc::new(page)));
        Ok(())
    }

    /// The place of a path, made if there is none.
    fn place(
        &mut self,
        service: &Arc<Service>,
        method: &str,
        path: &str,
    ) -> Result<&mut Place, RouteError> {
        let reserved = |own: &&str| *own == path || path.starts_with(&format!("{own}/"));
        if RESERVED.iter().any(reserved) {
            return Err(taken(service, method, path));
        }
        let known = self.places.iter().position(|place| place.path == path);
        let index = match known {
            Some(index) => index,
            None => {
                let bad = |_| RouteError::Path { service: service.name.clone(), path: path.into() };
                self.router.insert(path, self.places.len()).map_err(bad)?;
                self.places.push(Place { path: path.to_owned(), ..Place::default() });
                self.places.len() - 1
            }
        };
        Ok(&mut self.places[index])
    }

    /// What answers a request.
    #[must_use]
    pub fn find(&self, method: &str, path: &str) -> Match {
        let Ok(hit) = self.router.at(path) else { return Match::None };
        let place = &self.places[*hit.value];
        if let Some((service, page)) = &place.page
            && PAGE_METHODS.contains(&method)
        {
            return Match::Page(service.clone(), page.clone());
        }
        let found = place.routes.iter().find(|(_, route)| route.method == method);
        let Some((service, route)) = found else {
            let routes = place.routes.iter().map(|(_, route)| route.method.clone());
            let pages = place.page.iter().flat_map(|_| PAGE_METHODS.map(str::to_owned));
            return Match::OtherMethods(routes.chain(pages).collect());
        };
        let decode = |(name, value): (&str, &str)| {
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            (name.to_owned(), value.into_owned())
        };
        let params = hit.params.iter().map(decode).collect();
        Match::Found(Found { service: service.clone(), route: route.clone(), params })
    }
}

fn taken(service: &Service, method: &str, path: &str) -> RouteError {
    let (service, method, path) = (service.name.clone(), method.to_owned(), path.to_owned());
    RouteError::Taken { service, method, path }
}
