//! The monitoring socket of mOS for C: mOS's names and signatures, over the RPC of monitord.
//!
//! C programs include `mos_api.h` beside this crate. cbindgen generates it from [`api`], [`types`] and [`event_types`], and a
//! test compares the two. Where mOS's own code differs from its manual page of `mtcp_ppeek`, this crate follows the page: it returns
//! every errno that the page names, and no other.
//!
//! **Invariant:** only `memory` accesses the caller's memory. A context is never dereferenced: `mctx` is looked up in a
//! list, so that a destroyed or invalid one is `EACCES` and not a crash.

#![expect(
    unsafe_code,
    reason = "C hands over pointers: they are followed in `memory`, on the promises of `api`"
)]

mod active;
mod address;
pub mod api;
mod clock;
mod context;
mod definitions;
mod dispatch;
pub mod event_types;
mod failure;
mod feeds;
pub mod filter;
mod frame;
pub mod headers;
mod item;
mod memory;
mod merge;
mod monitor;
mod numbers;
mod options;
mod peek;
mod pending;
mod registry;
mod resync;
mod serve;
mod settings;
mod sockets;
mod step;
mod store;
mod sys;
mod timers;
pub mod types;
