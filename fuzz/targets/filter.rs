//! Filters from clients: parsed, or refused at a position within them; and the same result for repeated calls.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use monitor_daemon::filter::{Filter, MAX_LEN};

fuzz_target!(|input: &str| {
    let v4: [SocketAddr; 2] = [([10, 0, 0, 1], 1234).into(), ([10, 0, 0, 2], 80).into()];
    let v6: [SocketAddr; 2] = [
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 1234).into(),
        ([0; 8], 443).into(),
    ];
    match Filter::compile(input) {
        Ok(filter) => {
            let negated = Filter::compile(&format!("not ({input})"));
            for ([client, server], vlan) in [(v4, &[][..]), (v4, &[1, 2]), (v6, &[]), (v6, &[4095])]
            {
                let wanted = filter.matches_ends(client, server, vlan);
                // It may be one level too deep, or empty.
                if let Ok(negated) = &negated {
                    assert_ne!(negated.matches_ends(client, server, vlan), wanted);
                }
            }
        }
        Err(error) => {
            assert!(error.offset <= input.len() && input.is_char_boundary(error.offset));
            let message = error.to_string();
            assert!(
                message.lines().count() == 3 && message.len() < 1024,
                "{message}"
            );
            assert!(input.len() <= MAX_LEN || error.offset <= MAX_LEN);
        }
    }
});
