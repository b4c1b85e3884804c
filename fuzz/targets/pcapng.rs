//! pcapng files.
#![no_main]

mod capture;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // Nothing else is recognized as one.
    let section = [0x0a, 0x0d, 0x0d, 0x0a];
    capture::walk([&section[..], input].concat());
});
