//! Component `auth`: who is asking, and may they use this service?
//!
//! Knows how a credential travels in a request and what a refusal is called; not what keys exist,
//! how secrets are compared or tokens verified: the host does that behind `keys` and `tokens`.
//! Fails closed: whatever is not understood is refused. Setting: `tenant_claim` (default
//! `tenant`), the claim of a token that names the tenant.

mod credential;
mod decide;

use std::sync::OnceLock;

use bindings::exports::postern::policy::authentication::Guest;
use bindings::postern::policy::{keys, tenants, tokens};
use postern_guest::bindings::postern::types::settings;
use postern_guest::{Head, Principal, Problem};

mod bindings {
    //! Generated from `wit/`.

    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/policy"],
        world: "postern:policy/auth",
        with: {
            "postern:types/http@0.1.0": postern_guest::bindings::postern::types::http,
            "postern:types/principals@0.1.0": postern_guest::bindings::postern::types::principals,
            "postern:types/problems@0.1.0": postern_guest::bindings::postern::types::problems,
            "postern:types/settings@0.1.0": postern_guest::bindings::postern::types::settings,
            "postern:types/log@0.1.0": postern_guest::bindings::postern::types::log,
        },
        generate_all,
    });
}

/// The host, as `decide` asks it.
struct Host;

impl decide::Directory for Host {
    fn key(&self, presented: &str) -> Result<keys::KeyRecord, keys::Refusal> {
        keys::verify(presented)
    }
    fn token(&self, token: &str) -> Result<String, tokens::Refusal> {
        tokens::verify(token)
    }
    fn tenant(&self, id: &str) -> Option<tenants::Tenant> {
        tenants::find(id)
    }
    fn tenant_claim(&self) -> &str {
        // The same for the life of an instance.
        static CLAIM: OnceLock<String> = OnceLock::new();
        CLAIM.get_or_init(|| settings::get("tenant_claim").unwrap_or_else(|| "tenant".to_owned()))
    }
}

struct Auth;

impl Guest for Auth {
    fn authenticate(head: Head, scope: String) -> Result<Principal, Problem> {
        decide::authenticate(&Host, &head, &scope)
    }
}

#[expect(unsafe_code, reason = "generated: the entry points that the host calls")]
mod entry {
    use super::{Auth, bindings};

    bindings::export!(Auth with_types_in bindings);
}
