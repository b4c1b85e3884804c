//! The monitoring socket of mOS for C: mOS's names and signatures, over the RPC of monitord.
//!
//! `mos_api.h` beside this crate is what a C program includes; cbindgen makes it of [`api`] and [`types`], and a test
//! holds the two equal. The manual page of `mtcp_ppeek` is kept where mOS's own code does not keep it: every errno that
//! it names is returned, and nothing else happens.
//!
//! Memory of the caller is reached in `memory` alone. Contexts are never dereferenced: `mctx` is looked up in a list, so
//! that one that was destroyed, or never was one, is `EACCES` and not a crash.

#![expect(
    unsafe_code,
    reason = "C hands over pointers: they are followed in `memory`, on the promises of `api`"
)]

mod address;
pub mod api;
mod context;
mod failure;
mod memory;
mod options;
pub mod types;
