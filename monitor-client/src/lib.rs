//! The RPC's types and a Rust client.
