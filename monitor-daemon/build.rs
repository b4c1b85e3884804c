//! Puts the BPF object where `include_bytes!` finds it.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// Names the object to embed; by default the one that `cargo xtask build-ebpf` leaves in the workspace.
const OBJECT_VARIABLE: &str = "MONITOR_BPF_OBJECT";
const DEFAULT_OBJECT: &str = "../target/bpf/monitor-ebpf";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={OBJECT_VARIABLE}");
    let given = env::var_os(OBJECT_VARIABLE).map(PathBuf::from);
    let object = given.clone().unwrap_or_else(|| {
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join(DEFAULT_OBJECT)
    });
    println!("cargo::rerun-if-changed={}", object.display());
    let bytes = match fs::read(&object) {
        Ok(bytes) => bytes,
        // Without it the daemon still builds, replays files, and says at run time what is missing.
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(format!(
                "{OBJECT_VARIABLE}: cannot read {}: {error}",
                object.display()
            )
            .into());
        }
    };
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(PathBuf::from(out).join("monitor-ebpf"), bytes)?;
    Ok(())
}
