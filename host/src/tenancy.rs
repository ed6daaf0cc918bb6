//! Tenancy: tenants, plans and keys, as operators change them and as requests see them.
//!
//! `Directory` is the view for the hot path, in memory; `Tenancy` is every change, checked, for
//! command line and admin API alike. Knows no HTTP and no component. Always: a change through
//! `Tenancy` is visible in its `Directory` when the call returns; one by another process within a
//! second. A key's secret leaves this module once, in the answer that made it.

mod changes;
mod directory;
#[cfg(test)]
mod tests;

pub use changes::{KEY_GRACE_MAX, LABEL_CHARS_MAX, NewKey, SCOPES_MAX, Tenancy, TenancyError};
pub use directory::{Directory, KeyRefusal, VerifiedAdmin, VerifiedKey};
