//! monitord: captures TCP, reassembles it, and serves its bytes over a Unix socket.

fn main() {}
