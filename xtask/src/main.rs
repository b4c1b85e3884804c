//! cargo xtask: build, load, test.

fn main() {}
