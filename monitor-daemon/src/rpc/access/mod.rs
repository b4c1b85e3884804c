//! Clients as users of the system: identity, roles, and shares of what the server may hold.

pub(crate) mod account;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod peer;
pub(crate) mod policy;
