//! `postern:policy/tokens`: signatures are checked here, claims are read by the component.

use crate::engine::Context;
use crate::engine::bindings::imports::postern::policy::tokens::{Host, Refusal};
use crate::tokens::TokenError;

impl Host for Context {
    fn verify(&mut self, token: String) -> wasmtime::Result<Result<String, Refusal>> {
        Ok(self.imports.tokens.verify(&token).map_err(|error| match error {
            TokenError::Disabled => Refusal::Disabled,
            TokenError::Malformed => Refusal::Malformed,
            TokenError::Algorithm => Refusal::Algorithm,
            TokenError::UnknownKey => Refusal::UnknownKey,
            TokenError::Signature => Refusal::Signature,
            TokenError::Expired => Refusal::Expired,
            TokenError::NotYetValid => Refusal::NotYetValid,
            TokenError::Claims => Refusal::Claims,
        }))
    }
}
