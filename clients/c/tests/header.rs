//! Comparison of mos_api.h with cbindgen's output.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping it"
)]

use std::fs;
use std::path::Path;

/// Set it to write the header instead.
const WRITE: &str = "MONITOR_WRITE_HEADER";

#[test]
fn the_header_is_the_one_that_cbindgen_makes() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(here.join("src/types.rs"))
        .with_src(here.join("src/api.rs"))
        .generate()
        .unwrap();
    let mut made = Vec::new();
    bindings.write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let header = here.join("mos_api.h");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&header, &made).unwrap();
    }
    assert!(
        fs::read_to_string(&header).is_ok_and(|text| text == made),
        "mos_api.h is not up to date: run `{WRITE}=1 cargo test -p monitor-mos --test header`\n{made}"
    );
}
