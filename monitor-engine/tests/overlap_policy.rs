//! Overlap policies by network: that of the receiving host counts.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Flow, Lab};
use monitor_engine::{OverlapPolicy, Prefix, Side, TcpPolicy};

fn v4(ip: [u8; 4], len: u8) -> Prefix {
    Prefix::new(ip.into(), len).unwrap()
}

/// Returns the stream after a late copy that is longer, starts where the first copy starts, and waits with it beyond a hole.
/// First: AAAB, Last: BBBB, Bsd: AAAB, Linux: BBBB; and then a copy of a delivered byte, which only Last takes: C.
fn told_apart(lab: &mut Lab, flow: &mut Flow, from: Side) -> String {
    flow.at(lab, from, 1, b"AAA");
    flow.at(lab, from, 1, b"BBBB");
    flow.at(lab, from, 0, b".");
    flow.at(lab, from, 0, b"CC");
    lab.text(from.peer())
}

#[test]
fn the_receivers_prefix_decides() {
    let default = OverlapPolicy::Linux;
    let server = v4([192, 0, 2, 1], 32);
    let elsewhere = v4([192, 0, 3, 0], 24);
    let clients = v4([10, 0, 0, 0], 8);
    let policy = |networks: &[Prefix], overlap| TcpPolicy {
        networks: networks.to_vec(),
        overlap,
    };
    let (linux, first, last, bsd) = (".BBBB", ".AAAB", "CCBBB", ".AAAB");
    for (policies, at_client, at_server) in [
        (vec![], linux, linux),
        (vec![policy(&[server], OverlapPolicy::First)], linux, first),
        (vec![policy(&[clients], OverlapPolicy::Last)], last, linux),
        (
            vec![policy(&[elsewhere], OverlapPolicy::First)],
            linux,
            linux,
        ),
        (
            vec![policy(&[elsewhere, server, clients], OverlapPolicy::Bsd)],
            bsd,
            bsd,
        ),
        // The first that names the host counts.
        (
            vec![
                policy(&[server], OverlapPolicy::Last),
                policy(&[v4([0; 4], 0)], OverlapPolicy::First),
            ],
            first,
            last,
        ),
    ] {
        let mut config = Lab::config();
        (config.tcp.overlap, config.tcp.policies) = (default, policies.clone());
        let (mut lab, mut flow) = (Lab::with(config), Flow::new());
        flow.open(&mut lab);
        assert_eq!(
            told_apart(&mut lab, &mut flow, Side::Client),
            at_server,
            "{policies:?}"
        );
        assert_eq!(
            told_apart(&mut lab, &mut flow, Side::Server),
            at_client,
            "{policies:?}"
        );
    }
}

#[test]
fn ipv4_prefixes_do_not_name_ipv6_hosts() {
    let mut config = Lab::config();
    config.tcp.policies = vec![TcpPolicy {
        networks: vec![v4([0; 4], 0)],
        overlap: OverlapPolicy::First,
    }];
    let (mut lab, mut flow) = (
        Lab::with(config),
        Flow::between("[2001:db8::1]:40000", "[2001:db8::2]:80"),
    );
    flow.open(&mut lab);
    assert_eq!(told_apart(&mut lab, &mut flow, Side::Client), ".BBBB");
}
