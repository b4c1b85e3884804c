//! Meaning of filters, and messages for wrong ones.

use super::*;

const PLAIN: (&str, &str, &[u16]) = ("10.0.0.1:1234", "192.168.1.2:80", &[]);
const SIX: (&str, &str, &[u16]) = ("[2001:db8::1]:1234", "[2001:db8:1::2]:443", &[]);

fn judge(filter: &str, (client, server, vlan): (&str, &str, &[u16])) -> bool {
    let filter = Filter::compile(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    filter.matches_ends(client.parse().unwrap(), server.parse().unwrap(), vlan)
}

#[track_caller]
fn all(ends: (&str, &str, &[u16]), yes: &[&str], no: &[&str]) {
    for filter in yes {
        assert!(judge(filter, ends), "{filter} should want {ends:?}");
    }
    for filter in no {
        assert!(!judge(filter, ends), "{filter} should not want {ends:?}");
    }
}

#[test]
fn ends_are_found_on_either_side() {
    let yes = [
        "",
        "  ",
        "tcp",
        "ip",
        "host 10.0.0.1",
        "host 192.168.1.2",
        "port 80",
        "port 1234",
        "port http",
    ];
    let no = [
        "ip6",
        "host 10.0.0.2",
        "port 81",
        "host 2001:db8::1",
        "host ::a00:1",
        "port https",
    ];
    all(PLAIN, &yes, &no);
    let yes = [
        "ip6",
        "tcp",
        "host 2001:db8::1",
        "host 2001:0db8:0:0::1",
        "port 443",
        "ip6 host 2001:db8:1::2",
    ];
    all(
        SIX,
        &yes,
        &["ip", "host 10.0.0.1", "port 80", "net 0.0.0.0/0"],
    );
    all(
        PLAIN,
        &["host ::ffff:10.0.0.1", "net ::ffff:10.0.0.0/104"],
        &["host ::ffff:10.0.0.2"],
    );
}

#[test]
fn the_client_is_the_source() {
    let yes = [
        "src host 10.0.0.1",
        "src 10.0.0.1",
        "dst port 80",
        "dst 192.168.1.2",
        "tcp src port 1234",
        "src or dst port 80",
        "dst or src host 10.0.0.1",
        "src net 10 and dst net 192.168.1",
        "not src port 80",
        "src and dst net 0.0.0.0/0",
        "ip src host 10.0.0.1",
        "src 10.0.0.0/8",
    ];
    let no = [
        "dst host 10.0.0.1",
        "src port 80",
        "src and dst port 80",
        "src and dst net 10",
        "not dst port 80",
    ];
    all(PLAIN, &yes, &no);
}

#[test]
fn networks_and_ranges() {
    let yes = [
        "net 10.0.0.0/8",
        "net 10",
        "net 10/8",
        "net 10.0",
        "net 10.0.0.0/30",
        "net 10.0.0.1",
        "net 0/0",
        "net 192.168.1",
        "portrange 80-80",
        "portrange 0-65535",
        "portrange 1300-1200",
        "portrange 80",
        "portrange ssh-http",
        "portrange ftp-data-http",
    ];
    let no = [
        "net 11",
        "net 10.1",
        "net 10.0.0.2/31",
        "net ::/0",
        "portrange 81-1233",
        "portrange ftp-data",
    ];
    all(PLAIN, &yes, &no);
    let yes = [
        "net 2001:db8::/32",
        "net 2001:db8:1::/48",
        "net ::/0",
        "net 2001:db8::1",
        "src net 2001:db8::/48",
    ];
    all(
        SIX,
        &yes,
        &["net 2001:db9::/32", "dst net 2001:db8::/48", "net 0/0"],
    );
}

#[test]
fn joints_bind_equally_from_left_to_right() {
    // `and` first would make the first three true.
    let no = [
        "port 80 or port 1 and port 2",
        "port 80 || port 1 && port 2",
        "port 80 or 1 and 2",
    ];
    let yes = [
        "port 80 or (port 1 and port 2)",
        "port 1 and port 2 or port 80",
        "port 1 and 2 or 80",
        "not port 1 or port 2 and port 80",
        "! port 1 && ! port 2",
        "!port 1&&!port 2||port 3",
        "not (port 1 or port 2)",
        "not not port 80",
        "((port 80))",
        "!(!(port 80))",
    ];
    all(PLAIN, &yes, &no);
}

#[test]
fn a_value_takes_the_qualifiers_before_it() {
    let yes = [
        "port 1 or 80",
        "port (1 or 80)",
        "port (1 or (2 or 80))",
        "port 1 or (2 or 80)",
        "host 1.1.1.1 or 10.0.0.1",
        "dst port 1 or 80",
        "not port 1 and 80",
        "port not 1",
        "not host 1.1.1.1 and 10.0.0.1",
        "src net 11 or 10",
        "port 1 or host 10.0.0.1 and 192.168.1.2",
        "tcp dst port (http or https)",
        "port 1 or (host 1.1.1.1) or 80",
        "port 1 or (tcp and host 1.1.1.1) or (80)",
    ];
    let no = [
        "dst port 1 or 1234",
        "not port 80 and 1234",
        "not (port 1 or 80)",
        "port not 80",
        "dst net 11 or 10",
    ];
    all(PLAIN, &yes, &no);
}

#[test]
fn tags_are_peeled_from_the_outside() {
    let double = (PLAIN.0, PLAIN.1, &[100, 200][..]);
    let yes = [
        "vlan",
        "vlan 100",
        "vlan 100 and vlan 200",
        "vlan and vlan",
        "vlan 100 and port 80 and vlan 200",
        "vlan 7 or vlan 100",
        "(vlan 7 or vlan 100) and vlan 200",
        "vlan 7 or vlan 100 and vlan 200",
        "port 80",
        "not vlan 200",
        "not vlan 7 and vlan 100",
        "vlan and (vlan 7 or vlan 200)",
        "vlan 100 and not vlan 7",
    ];
    let no = [
        "vlan 200",
        "vlan 200 and vlan 100",
        "vlan 100 and vlan 100",
        "vlan and vlan and vlan",
        "not vlan",
        "vlan 7 or vlan 200",
        "not vlan 7 and vlan 200",
        "vlan 100 and not vlan 200",
    ];
    all(double, &yes, &no);
    all(
        (PLAIN.0, PLAIN.1, &[0]),
        &["vlan", "vlan 0", "vlan 0 and not vlan"],
        &["vlan and vlan"],
    );
    all(PLAIN, &["not vlan", "not vlan 0"], &["vlan", "vlan 0"]);
}

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
fn errors_point_at_what_is_wrong() {
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

#[test]
fn tcpdump_judges_the_same() {
    let ends = [
        ("10.0.0.1:1234", "10.0.0.2:80", &[][..]),
        ("10.0.0.2:80", "10.1.0.1:443", &[]),
        ("192.168.0.1:22", "10.0.0.1:1024", &[]),
        ("[2001:db8::1]:1234", "[2001:db8::2]:443", &[]),
        ("[fe80::1]:80", "[2001:db8:1::1]:22", &[]),
    ];
    let recorded = include_str!("tcpdump.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in recorded {
        let (verdict, filter) = line.split_once(' ').unwrap();
        let own = match Filter::compile(filter) {
            Ok(_) => ends
                .iter()
                .map(|ends| if judge(filter, *ends) { '1' } else { '0' })
                .collect(),
            Err(_) => "refused".to_owned(),
        };
        assert_eq!(own, verdict, "{filter}");
        count += 1;
    }
    assert_eq!(count, 320);
}
