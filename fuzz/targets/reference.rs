//! Sequences of segments through the whole engine and through its reference model.
#![no_main]

#[path = "../../monitor-engine/tests/common/mod.rs"]
mod common;

use common::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(script) = Script::decode(input) else {
        return;
    };
    if let Err(fault) = script.check() {
        panic!("{fault}\n{script:?}");
    }
});
