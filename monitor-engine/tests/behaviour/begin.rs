//! Beginning of a connection: with a SYN, with its answer, in the middle, on a tuple that was used before.

use monitor_engine::{CloseReason, Event, LinkType, PeekError, Side};

use crate::common::frame::{ACK, FIN, PSH, RST, SYN, Segment};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

#[test]
fn data_in_a_syn_counts_from_zero() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    let mut syn = flow.syn();
    syn.payload = b"GET /".to_vec();
    lab.ip(&syn.ip());
    assert_eq!(lab.text(S), "", "not before the server acknowledges it");
    let mut answer = flow.syn_ack();
    answer.ack = flow.isn[0].wrapping_add(6);
    answer.payload = b"200".to_vec();
    lab.ip(&answer.ip());
    flow.sent = [5, 3];
    flow.acked = [3, 5];
    flow.send(&mut lab, C, b" HTTP");
    assert_eq!(lab.text(S), "GET / HTTP");
    assert_eq!(lab.text(C), "200");
}

#[test]
fn refused_data_of_a_syn_is_sent_again() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    let mut syn = flow.syn();
    syn.payload = b"cookie".to_vec();
    lab.ip(&syn.ip());
    // The server acknowledges the SYN alone: the client sends the bytes again.
    lab.ip(&flow.syn_ack().ip());
    flow.send(&mut lab, C, b"cookie and more");
    assert_eq!(lab.text(S), "cookie and more");
    assert_eq!(lab.side(S).conflicts, 0);
}

#[test]
fn only_the_answer_to_a_syn_was_seen() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn_ack().ip());
    flow.send(&mut lab, C, b"up");
    flow.send(&mut lab, S, b"down");
    let connection = lab.only();
    assert_eq!(
        (connection.client, connection.server),
        (flow.client, flow.server)
    );
    assert!(
        !connection.midstream,
        "both initial sequence numbers are known"
    );
    assert_eq!(
        connection.sides.each_ref().map(|side| side.isn),
        [Some(5000), Some(1000)]
    );
    assert_eq!((lab.text(S).as_str(), lab.text(C).as_str()), ("up", "down"));
}

#[test]
fn data_before_the_answer_to_the_syn_is_placed_by_the_isn() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    flow.at(&mut lab, S, 4, b"late");
    lab.ip(&flow.syn_ack().ip());
    assert_eq!(lab.count("opened"), 1, "the data waited for the answer");
    flow.sent[1] = 8;
    flow.ack(&mut lab, C, 0);
    flow.send(&mut lab, C, b"up");
    assert_eq!(lab.text(S), "up");
}

#[test]
fn midstream_from_the_client() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.sent = [700, 900];
    flow.acked = [900, 700];
    flow.send(&mut lab, C, b"request");
    flow.send(&mut lab, S, b"answer");
    let connection = lab.only();
    assert!(connection.midstream);
    assert_eq!(
        (connection.client, connection.server),
        (flow.client, flow.server)
    );
    assert_eq!(
        (lab.text(S).as_str(), lab.text(C).as_str()),
        ("request", "answer")
    );
    assert_eq!(
        connection.sides.each_ref().map(|side| side.isn),
        [None, None]
    );
}

#[test]
fn midstream_from_the_server() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.sent = [700, 900];
    flow.acked = [900, 700];
    flow.send(&mut lab, S, b"answer");
    flow.send(&mut lab, C, b"request");
    let connection = lab.only();
    assert_eq!(
        (connection.client, connection.server),
        (flow.client, flow.server)
    );
    assert_eq!(
        (lab.text(S).as_str(), lab.text(C).as_str()),
        ("request", "answer")
    );
}

#[test]
fn a_midstream_connection_starts_at_the_first_byte_captured() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.at(&mut lab, C, 1000, b"seen");
    flow.at(&mut lab, C, 996, b"old ");
    flow.at(&mut lab, C, 998, b"d seen, more");
    assert_eq!(lab.text(S), "seen, more");
    assert_eq!(lab.count("before_start_bytes"), 4 + 2);
}

#[test]
fn midstream_with_its_syn_behind_it() {
    // A capture that reordered: the SYN comes after the first data.
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.send(&mut lab, C, b"hello");
    lab.ip(&flow.syn().ip());
    lab.ip(&flow.syn_ack().ip());
    flow.send(&mut lab, C, b" again");
    flow.send(&mut lab, S, b"yes");
    let connection = lab.only();
    assert_eq!(connection.sides[1].isn, Some(1000));
    assert_eq!(
        (lab.text(S).as_str(), lab.text(C).as_str()),
        ("hello again", "yes")
    );
}

#[test]
fn midstream_then_a_new_connection_on_the_same_ports() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.at(&mut lab, C, 5000, b"old stream");
    let old = lab.only();
    flow.isn = [77_000, 88_000];
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"new stream");
    let new = lab.newest(flow.client, flow.server).unwrap();
    assert_ne!(new.id, old.id);
    assert_eq!(lab.peek(new.id, S, 0, 99).unwrap(), b"new stream");
    assert_eq!(lab.peek(old.id, S, 0, 99).unwrap(), b"old stream");
    assert_eq!(
        lab.reader.connection(old.id).unwrap().closed,
        Some(CloseReason::Reused)
    );
}

#[test]
fn direction_by_ports_as_a_person_would() {
    for (from, to, client_sends) in [
        ("10.0.0.1:50000", "10.0.0.2:443", true),
        ("10.0.0.2:443", "10.0.0.1:50000", false),
        ("10.0.0.2:8080", "10.0.0.1:41000", false),
        ("10.0.0.1:1023", "10.0.0.2:513", true),
        ("10.0.0.1:60000", "10.0.0.2:59999", true),
    ] {
        let mut lab = Lab::new();
        let mut segment = Segment::new(from.parse().unwrap(), to.parse().unwrap(), 5, ACK | PSH);
        segment.payload = b"x".to_vec();
        lab.ip(&segment.ip());
        let sender = if client_sends {
            lab.only().client
        } else {
            lab.only().server
        };
        assert_eq!(sender.to_string(), from, "{from} to {to}");
    }
}

#[test]
fn one_sided_capture_client_only() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn().ip());
    for part in ["only ", "what ", "the client ", "sent"] {
        // Its acknowledgments advance over answers that were not captured.
        flow.acked[0] += 100;
        flow.send(&mut lab, C, part.as_bytes());
    }
    assert_eq!(lab.text(S), "only what the client sent");
    let connection = lab.only();
    assert_eq!(connection.sides[0].end, 0);
    assert!(matches!(
        lab.peek(connection.id, C, 0, 9),
        Err(PeekError::NoData { .. } | PeekError::NotConnected)
    ));
}

#[test]
fn one_sided_capture_server_only() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.syn_ack().ip());
    for part in ["only ", "the answer"] {
        flow.acked[1] += 50;
        flow.send(&mut lab, S, part.as_bytes());
    }
    flow.fin(&mut lab, S);
    assert_eq!(lab.text(C), "only the answer");
    assert_eq!(lab.only().server, flow.server);
}

#[test]
fn a_one_sided_hole_does_not_freeze_the_side() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.mute = true;
    flow.at(&mut lab, C, 0, b"abc");
    flow.at(&mut lab, C, 1000, b"def");
    let id = lab.only().id;
    assert_eq!(
        lab.peek(id, S, 1000, 9).unwrap(),
        b"def",
        "bytes behind a hole can be read"
    );
    lab.engine.finish();
    assert_eq!(lab.side(S).next, 1003);
}

#[test]
fn neither_a_rst_nor_a_bare_fin_opens_a_connection() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    lab.ip(&flow.segment(C, 0, RST, b"").ip());
    lab.ip(&flow.segment(C, 0, FIN, b"").ip());
    assert_eq!(lab.connections(), []);
    assert_eq!(lab.count("orphans"), 2);
}

#[test]
fn a_tuple_used_again_gets_a_new_id() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    let mut ids = Vec::new();
    for round in 0..5u32 {
        flow = Flow {
            isn: [1000 + round * 100_000, 5000 + round * 100_000],
            ..Flow::new()
        };
        flow.open(&mut lab);
        flow.send(&mut lab, C, format!("round {round}").as_bytes());
        let now = lab.newest(flow.client, flow.server).unwrap();
        assert!(!ids.contains(&now.id));
        ids.push(now.id);
        if round % 2 == 0 {
            flow.close(&mut lab);
        }
    }
    for (round, id) in ids.iter().enumerate() {
        assert_eq!(
            lab.peek(*id, S, 0, 99).unwrap(),
            format!("round {round}").as_bytes(),
            "still readable"
        );
        let closed = lab.reader.connection(*id).unwrap().closed;
        let expected = if round % 2 == 0 {
            CloseReason::Fin
        } else {
            CloseReason::Reused
        };
        assert_eq!(closed, Some(expected), "round {round}");
    }
    let reused = |event: &&Event| {
        matches!(
            event,
            Event::Closed {
                reason: CloseReason::Reused,
                ..
            }
        )
    };
    assert_eq!(lab.events().iter().filter(reused).count(), 2);
    let _ = flow;
}

#[test]
fn a_closed_tuple_opened_again_with_the_same_isn() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"one");
    flow.close(&mut lab);
    let old = lab.only().id;
    lab.wait(2000);
    let mut flow = Flow::new();
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"two");
    let new = lab.newest(flow.client, flow.server).unwrap();
    assert_ne!(new.id, old);
    assert_eq!(lab.peek(new.id, S, 0, 9).unwrap(), b"two");
    assert_eq!(lab.peek(old, S, 0, 9).unwrap(), b"one");
}

#[test]
fn a_late_copy_of_an_old_segment_does_not_enter_the_new_connection() {
    let (mut lab, mut flow) = (Lab::new(), Flow::new());
    flow.open(&mut lab);
    flow.send(&mut lab, C, b"secret");
    let stray = flow.segment(C, 0, PSH, b"secret");
    flow.close(&mut lab);
    let mut flow = Flow {
        isn: [0x8000_0000, 0x9000_0000],
        ..Flow::new()
    };
    flow.open(&mut lab);
    lab.ip(&stray.ip());
    flow.send(&mut lab, C, b"public");
    let new = lab.newest(flow.client, flow.server).unwrap();
    assert_eq!(lab.runs(new.id, S), [(0, b"public".to_vec())]);
}

#[test]
fn the_same_addresses_in_another_vlan_are_another_connection() {
    let (mut lab, flow) = (Lab::new(), Flow::new());
    for (tags, text) in [
        (&[][..], "none"),
        (&[7], "seven"),
        (&[8], "eight"),
        (&[7, 8], "both"),
        (&[8, 7], "turn"),
    ] {
        let frame = flow.segment(C, 0, PSH, text.as_bytes()).ethernet(tags, 0);
        lab.frame(LinkType::Ethernet, &frame);
    }
    let mut found: Vec<_> = lab
        .connections()
        .iter()
        .map(|c| {
            (
                c.vlan.clone(),
                String::from_utf8(lab.peek(c.id, S, 0, 99).unwrap()).unwrap(),
            )
        })
        .collect();
    found.sort();
    let expected: Vec<(Vec<u16>, String)> = [
        (vec![], "none"),
        (vec![7], "seven"),
        (vec![7, 8], "both"),
        (vec![8], "eight"),
        (vec![8, 7], "turn"),
    ]
    .map(|(tags, text)| (tags, text.to_owned()))
    .to_vec();
    assert_eq!(found, expected);
}

#[test]
fn ipv6_and_its_mapped_form_are_two_connections() {
    let mut lab = Lab::new();
    for (client, server) in [
        ("10.0.0.1:5000", "10.0.0.2:80"),
        ("[::ffff:10.0.0.1]:5000", "[::ffff:10.0.0.2]:80"),
        ("[2001:db8::1]:5000", "[2001:db8::2]:80"),
    ] {
        let mut flow = Flow::between(client, server);
        flow.open(&mut lab);
        flow.send(&mut lab, C, client.as_bytes());
        let found = lab.newest(flow.client, flow.server).unwrap();
        assert_eq!(lab.peek(found.id, S, 0, 99).unwrap(), client.as_bytes());
    }
    assert_eq!(lab.connections().len(), 3);
}

#[test]
fn a_connection_with_itself() {
    // 127.0.0.1:5000 to 127.0.0.1:5000: a simultaneous open with oneself (RFC 9293 allows it, Linux does it).
    let (mut lab, mut flow) = (
        Lab::new(),
        Flow::between("127.0.0.1:5000", "127.0.0.1:5000"),
    );
    flow.isn = [9000, 9000];
    lab.ip(&flow.syn().ip());
    let mut answer = flow.syn_ack();
    answer.flags = SYN | ACK;
    lab.ip(&answer.ip());
    flow.send(&mut lab, C, b"echo");
    assert_eq!(lab.connections().len(), 1);
    assert_eq!(lab.text(S), "echo");
}
