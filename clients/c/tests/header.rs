//! Comparison of mos_api.h and cpu.h with cbindgen's output.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fs;
use std::path::Path;

/// Set it to write the header instead.
const WRITE: &str = "MONITOR_WRITE_HEADER";

/// Generates a header from sources, and compares it with the file of its name.
#[track_caller]
fn check(header: &str, config: &str, sources: &[&str]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join(config)).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources {
        builder = builder.with_src(here.join("src").join(source));
    }
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = here.join(header);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &made).unwrap();
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|text| text == made),
        "{header} is not up to date: run `{WRITE}=1 cargo test -p monitor-mos --test header`\n{made}"
    );
}

#[test]
fn the_header_is_the_one_that_cbindgen_makes() {
    let sources = [
        "types.rs",
        "event_types.rs",
        "api/process.rs",
        "api/monitor.rs",
        "api/streams.rs",
        "api/packets.rs",
        "api/store.rs",
    ];
    check("mos_api.h", "cbindgen.toml", &sources);
}

#[test]
fn the_header_of_processors_is_the_one_that_cbindgen_makes() {
    check("cpu.h", "cpu.toml", &["api/cpu.rs"]);
}
