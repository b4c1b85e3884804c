//! Where packets come from: the host itself (tap), a port (mirror), files (replay).

pub mod bpf;
pub mod replay;
