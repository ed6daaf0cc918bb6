//! Component `validation`: is the request well-formed, by the rules of its route?
//!
//! Knows JSON, forms and the first bytes of media files; no service: what a route takes is the
//! JSON of `route.rules` (`postern:shaping`), read once per instance. A body is never copied or
//! decoded as a whole. Rules that cannot be read refuse every request (500 `rules_invalid`).

mod check;
mod media;
mod rules;

use std::cell::RefCell;
use std::rc::Rc;

use bindings::exports::postern::policy::checking::Guest;
use bindings::postern::policy;
use postern_guest::bindings::postern::types::blobs::Blob;
use postern_guest::{Head, Problem};

use crate::rules::Rules;

mod bindings {
    //! Generated from `wit/`.

    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/policy"],
        world: "postern:policy/validation",
        with: {
            "postern:types/http@0.1.0": postern_guest::bindings::postern::types::http,
            "postern:types/problems@0.1.0": postern_guest::bindings::postern::types::problems,
            "postern:types/blobs@0.1.0": postern_guest::bindings::postern::types::blobs,
            "postern:types/settings@0.1.0": postern_guest::bindings::postern::types::settings,
            "postern:types/log@0.1.0": postern_guest::bindings::postern::types::log,
        },
        generate_all,
    });
}

/// One route's rules; `None`: it has none.
type Known = Result<Option<Rc<Rules>>, String>;

/// Rules that this instance has read, by service and route. A handful: a list is the fastest map.
#[derive(Default)]
struct Cache(Vec<(String, String, Known)>);

impl Cache {
    fn get(&mut self, service: &str, route: &str) -> Known {
        let found = self.0.iter().find(|known| known.0 == service && known.1 == route);
        if let Some((_, _, known)) = found {
            return known.clone();
        }
        let known = match policy::rules::get(service, route) {
            Some(text) => Rules::parse(&text).map(|rules| Some(Rc::new(rules))),
            None => Ok(None),
        };
        self.0.push((service.to_owned(), route.to_owned(), known.clone()));
        known
    }
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

struct Validation;

impl Guest for Validation {
    fn check(
        head: Head,
        service: String,
        route: String,
        body: Option<&Blob>,
    ) -> Result<(), Problem> {
        let known = CACHE.with_borrow_mut(|cache| cache.get(&service, &route));
        match known {
            Ok(None) => Ok(()),
            Ok(Some(rules)) => check::check(&rules, &head, body),
            Err(fault) => {
                let detail = format!("the rules of {service}/{route} are broken: {fault}");
                Err(Problem::new(500, "rules_invalid", detail))
            }
        }
    }
}

#[expect(unsafe_code, reason = "generated: the entry points that the host calls")]
mod entry {
    use super::{Validation, bindings};

    bindings::export!(Validation with_types_in bindings);
}
