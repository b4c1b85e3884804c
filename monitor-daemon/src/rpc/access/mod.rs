//! Clients as users of the system: identity, roles, and shares of the server's memory.

pub(crate) mod account;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod peer;
pub(crate) mod policy;
pub(crate) mod processor_time;
