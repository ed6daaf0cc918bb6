//! `postern:types/log`: a component's lines in the host's log, with its name and its request.

use crate::engine::Context;
use crate::engine::bindings::imports::postern::types::log::{Host, Level};
use crate::ids::TenantId;
use crate::problem::cut;

/// Longest line; what is over is cut.
const LINE_BYTES_MAX: usize = 8 << 10;

impl Host for Context {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let dropped_bytes = message.len().saturating_sub(LINE_BYTES_MAX);
        let text = cut(message, LINE_BYTES_MAX);
        let component = &*self.component;
        let call = self.call.as_deref();
        let request_id = call.map(|call| call.request_id.as_str());
        let tenant = call.and_then(|call| call.tenant.as_ref()).map(TenantId::as_str);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    component,
                    request_id,
                    tenant,
                    text,
                    dropped_bytes,
                    "component says"
                )
            };
        }
        match level {
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warn => line!(warn),
            Level::Error => line!(error),
        }
        Ok(())
    }
}
