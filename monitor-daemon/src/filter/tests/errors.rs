//! Messages for wrong filters.

use super::{PLAIN, judge};
use crate::filter::*;

/// The place that a wrong filter's error points at, and its words.
fn wrong(filter: &str) -> (usize, String) {
    let error = Filter::compile(filter).expect_err(filter);
    (error.offset, error.problem.to_string())
}

#[test]
fn the_message_shows_the_place() {
    let error = Filter::compile("port 80 or htpp and tcp").unwrap_err();
    let expected = "the filter is wrong at 11: `htpp` is not a port: a number from 0 to 65535, or a name such as `http`\n\
        \u{20} port 80 or htpp and tcp\n\
        \u{20}            ^~~~";
    assert_eq!(error.to_string(), expected);
    let long = format!("port 80 or {} and tcp", "port 443 or ".repeat(20));
    let message = Filter::compile(&long).unwrap_err().to_string();
    let lines: Vec<_> = message.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[1].starts_with("  …") && lines[1].chars().count() < 100,
        "{message}"
    );
    let caret = lines[2]
        .chars()
        .position(|character| character == '^')
        .unwrap();
    assert_eq!(
        lines[1].chars().skip(caret).take(3).collect::<String>(),
        "and"
    );
    let odd = Filter::compile("port 80\n\t é\u{7}")
        .unwrap_err()
        .to_string();
    assert_eq!(odd.lines().count(), 3, "{odd:?}");
    assert!(!odd.contains('\u{7}') && odd.contains("'é'"), "{odd:?}");
}

#[test]
fn errors_point_at_the_wrong_text() {
    let cases = [
        (
            "port",
            4,
            "expected a port such as `80` or `http`, not the end",
        ),
        (
            "port or",
            5,
            "expected a port such as `80` or `http`, not `or`",
        ),
        (
            "port 80 and",
            11,
            "expected a primitive such as `port 80` or `host 10.0.0.1`, not the end",
        ),
        (
            "port 80 port 81",
            8,
            "expected `and`, `or` or the end, not `port`",
        ),
        ("(port 80", 8, "expected `and`, `or` or `)`, not the end"),
        (
            "port 80)",
            7,
            "expected `and`, `or` or the end: no `(` is open, not `)`",
        ),
        (
            "()",
            1,
            "expected a primitive such as `port 80` or `host 10.0.0.1`, not `)`",
        ),
        (
            "tcp host 10.0.0.1",
            4,
            "expected `port` or `portrange` after `tcp`, not `host`",
        ),
        (
            "tcp src 10.0.0.1",
            8,
            "expected `port` or `portrange` after `tcp`, not `10.0.0.1`",
        ),
        (
            "tcp src",
            7,
            "expected `port` or `portrange` after `tcp`, not the end",
        ),
        ("tcp 80", 4, "expected `and`, `or` or the end, not `80`"),
        (
            "ip port 80",
            3,
            "expected `host` or `net` after `ip` or `ip6`; ports are those of `tcp`, not `port`",
        ),
        ("ip host ::1", 8, "`::1` is not an address of `ip`"),
        ("ip6 net 10", 8, "`10` is not an address of `ip6`"),
        (
            "host example.org",
            5,
            "`example.org` is not an address such as `10.0.0.1` or `2001:db8::1`; names are not looked up",
        ),
        (
            "host 10.0.0.0/8",
            5,
            "`host` takes one address: write `net 10.0.0.0/8`",
        ),
        (
            "host 10",
            5,
            "`10` is not an address such as `10.0.0.1` or `2001:db8::1`; names are not looked up",
        ),
        (
            "net 10.1.2.3/8",
            4,
            "`10.1.2.3/8` has bits set beyond its length: the network is `10.0.0.0/8`",
        ),
        (
            "net 10.0.0.0/33",
            4,
            "`10.0.0.0/33` is not a network such as `10.0.0.0/8`, `192.168` or `2001:db8::/32`",
        ),
        (
            "port 65536",
            5,
            "`65536` is not a port: a number from 0 to 65535, or a name such as `http`",
        ),
        (
            "port 80-90",
            5,
            "`80-90` is not a port: a number from 0 to 65535, or a name such as `http`",
        ),
        (
            "portrange 1-b",
            10,
            "`1-b` is not a range of ports such as `8000-8080`",
        ),
        (
            "vlan 4096",
            5,
            "`4096` is not a VLAN id: a number from 0 to 4095",
        ),
        (
            "src or 10.0.0.1",
            4,
            "expected `host`, `net`, `port`, `portrange` or an address, not `or`",
        ),
        (
            "port 80 & port 81",
            8,
            "'&' has no meaning in a filter; `and` is `&&`",
        ),
        (
            "tcp[13] = 2",
            3,
            "'[' has no meaning in a filter; it judges connections, and cannot look at the bytes of packets",
        ),
    ];
    for (filter, offset, words) in cases {
        assert_eq!(wrong(filter), (offset, words.to_owned()), "{filter}");
    }
    for (filter, offset) in [
        ("80", 0),
        ("udp", 0),
        ("tcp or 80", 7),
        ("vlan or 80", 8),
        ("PORT 80", 0),
        ("port +80", 5),
    ] {
        assert_eq!(wrong(filter).0, offset, "{filter}");
    }
    for network in [
        "",
        "/8",
        "10/",
        "10.0.0.0.0/8",
        "10..0",
        "256",
        "10/8/8",
        "::/129",
        "2001:db8",
        "::1/64",
        "1.2.3.4/24",
    ] {
        assert_eq!(wrong(&format!("net {network}")).0, 4, "{network}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let longest = format!("port 80{}", " ".repeat(MAX_LEN - 7));
    assert!(Filter::compile(&longest).is_ok());
    let error = Filter::compile(&format!("{longest}é")).unwrap_err();
    assert_eq!((error.problem, error.offset), (Problem::TooLong, MAX_LEN));
    for open in ["(", "!", "not ", "port (", "!("] {
        let error = Filter::compile(&format!("{}port 80", open.repeat(MAX_LEN / open.len() - 9)))
            .unwrap_err();
        assert!(
            matches!(error.problem, Problem::TooDeep | Problem::Unexpected { .. }),
            "{open}: {error}"
        );
    }
    let nested = |depth: usize| format!("{}port 80{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::compile(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(wrong(&nested(MAX_DEPTH + 1)).0, MAX_DEPTH);
    // A chain is no nesting: as long as the text allows.
    let chain = format!("port 1{}", " or 80".repeat((MAX_LEN - 6) / 6));
    assert!(judge(&chain, PLAIN));
}
