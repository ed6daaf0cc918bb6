//! `postern:policy/rules`: what each service said about its bodies when it described itself.

use crate::engine::Context;
use crate::engine::bindings::imports::postern::policy::rules::Host;

impl Host for Context {
    fn get(&mut self, service: String, route: String) -> wasmtime::Result<Option<String>> {
        let rules = self.imports.rules.get();
        Ok(rules.and_then(|rules| rules.get(&(service, route)).cloned()))
    }
}
