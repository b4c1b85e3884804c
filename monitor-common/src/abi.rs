//! Keys, values and names of the maps that the daemon fills and the BPF programs read.

/// Most workers that can share one queue: XSKMAP index = queue × `MAX_WORKERS` + worker.
pub const MAX_WORKERS: u32 = 64;
