//! Meaning of filters, and messages for wrong ones.

mod errors;
mod reference;

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
