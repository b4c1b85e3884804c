//! Configuration files: read, or refused with a sentence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monitor_daemon::config::Config;

fuzz_target!(|input: &str| {
    match Config::parse(input, "input.toml") {
        Ok(config) => assert!(config.rpc.socket.as_os_str().len() < 1 << 20),
        Err(error) => assert!(error.to_string().contains("input.toml"), "{error}"),
    }
});
