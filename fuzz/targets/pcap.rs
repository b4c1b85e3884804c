//! Classic capture files, in both byte orders and both precisions.
#![no_main]

mod capture;

use libfuzzer_sys::fuzz_target;

const MAGIC: [[u8; 4]; 4] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
];

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    let magic = MAGIC[usize::from(kind & 3)];
    capture::walk([&magic[..], rest].concat());
});
