//! monitorctl: asks a running monitord.

fn main() {}
