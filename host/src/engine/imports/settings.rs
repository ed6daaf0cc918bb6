//! `postern:types/settings`: the operator's `[components.<name>]`.

use crate::engine::Context;
use crate::engine::bindings::imports::postern::types::settings::Host;

impl Host for Context {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let own = self.imports.settings.get(&*self.component);
        Ok(own.and_then(|settings| settings.get(&name).cloned()))
    }
}
