//! The wire between host and sidecar: messages and service stubs generated from `proto/`.
//!
//! Owns no behaviour. Knows neither tenants nor models; `proto/` documents every field.

/// Version 1 of the service.
#[expect(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated from the contract; its style is the generator's"
)]
pub mod v1 {
    tonic::include_proto!("postern.sidecar.v1");
}

/// The protocol versions that this build speaks, oldest and newest. Both sides send theirs in
/// `Hello`; the newest common one is used, none in common is an error on both sides.
pub const PROTOCOL_MIN: u32 = 1;
/// See [`PROTOCOL_MIN`].
pub const PROTOCOL_MAX: u32 = 1;
