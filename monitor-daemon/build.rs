//! Copies the BPF objects to the path that `include_bytes!` reads.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// Directory of the objects to embed; by default the one that `cargo xtask build-ebpf` fills in the workspace.
const DIRECTORY_VARIABLE: &str = "MONITOR_BPF_OBJECTS";
const DEFAULT_DIRECTORY: &str = "../target/bpf";
const OBJECTS: [&str; 2] = ["monitor-ebpf", "monitor-ebpf-socket"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={DIRECTORY_VARIABLE}");
    let given = env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from);
    let directory = given.clone().unwrap_or_else(|| {
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join(DEFAULT_DIRECTORY)
    });
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for name in OBJECTS {
        let object = directory.join(name);
        println!("cargo::rerun-if-changed={}", object.display());
        let bytes = match fs::read(&object) {
            Ok(bytes) => bytes,
            // Without it the daemon still builds and replays files; a live capture names the missing part.
            Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Vec::new()
            }
            Err(error) => {
                return Err(format!(
                    "{DIRECTORY_VARIABLE}: cannot read {}: {error}",
                    object.display()
                )
                .into());
            }
        };
        fs::write(out.join(name), bytes)?;
    }
    Ok(())
}
