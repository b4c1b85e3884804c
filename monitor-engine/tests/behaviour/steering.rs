//! What clients decide: connections that are stopped, and settings that change while a connection is followed.

use std::sync::Arc;

use monitor_common::abi::ShuntKey;
use monitor_common::wire::Address;
use monitor_engine::{
    CloseReason, Connection, ControlError, Event, NoData, OverlapPolicy, PeekError, Rule, Shunt,
    Side, SideSettings, TcpState,
};

use crate::common::frame::{ACK, PSH, RST, SYN};
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;
const SILENT: SideSettings = SideSettings {
    window: None,
    overlap: None,
    disable: true,
};
const NOTHING: SideSettings = SideSettings {
    window: None,
    overlap: None,
    disable: false,
};

fn window(bytes: u64) -> SideSettings {
    SideSettings {
        window: Some(bytes),
        ..NOTHING
    }
}

fn overlap(policy: OverlapPolicy) -> SideSettings {
    SideSettings {
        overlap: Some(policy),
        ..NOTHING
    }
}

/// A connection that said something both ways.
fn spoken(lab: &mut Lab) -> Flow {
    let mut flow = Flow::new();
    flow.open(lab);
    flow.send(lab, C, b"request");
    flow.send(lab, S, b"response");
    flow
}

fn shunts(lab: &mut Lab) -> Vec<Shunt> {
    lab.engine.shunts().collect()
}

fn key(flow: &Flow) -> ShuntKey {
    let end = |end: std::net::SocketAddr| (Address::from(end.ip()), end.port());
    ShuntKey::new(end(flow.client), end(flow.server), 0)
}

#[test]
fn a_stopped_connection_stays_readable_and_takes_nothing_more() {
    let mut lab = Lab::new();
    let mut flow = spoken(&mut lab);
    let id = lab.only().id;
    lab.events();
    let stopped = lab.engine.stop(id, None).unwrap();
    assert_eq!(stopped, lab.only(), "the answer is what readers see");
    assert_eq!(stopped.closed, Some(CloseReason::Stopped));
    assert_eq!(
        lab.events(),
        [Event::Closed {
            id,
            reason: CloseReason::Stopped
        }]
    );
    let segments = lab.count("segments");
    for _ in 0..3 {
        flow.send(&mut lab, C, b"more");
    }
    flow.rst(&mut lab, S, 8);
    assert_eq!(
        (lab.text(S), lab.text(C)),
        ("request".into(), "response".into())
    );
    assert_eq!(lab.only().closed, Some(CloseReason::Stopped));
    assert_eq!(
        (
            lab.count("stopped"),
            lab.count("closed"),
            lab.count("stopped_segments")
        ),
        (1, 1, 4)
    );
    assert_eq!(
        lab.count("segments"),
        segments,
        "what is dropped was not followed"
    );
    assert_eq!(lab.events(), []);
    // Again: nothing happens.
    assert_eq!(
        lab.engine.stop(id, None).unwrap().closed,
        Some(CloseReason::Stopped)
    );
    assert_eq!((lab.count("stopped"), lab.events()), (1, vec![]));
}

#[test]
fn a_stopped_connection_is_remembered_for_linger_and_while_its_packets_come() {
    let mut config = Lab::config();
    config.tcp.linger = Some(5_000_000_000);
    let mut lab = Lab::with(config);
    let mut flow = spoken(&mut lab);
    let id = lab.only().id;
    lab.engine.stop(id, None).unwrap();
    for _ in 0..10 {
        lab.wait(2000);
        flow.send(&mut lab, C, b"goes on");
    }
    assert_eq!(lab.peek(id, S, 0, 100).unwrap(), b"request");
    lab.wait(4000);
    assert_eq!(lab.connections().len(), 1);
    lab.wait(2000);
    assert_eq!(lab.connections(), []);
    assert_eq!(
        lab.engine.stop(id, None),
        Err(ControlError::NoSuchConnection)
    );
    assert_eq!(
        lab.engine.configure(id, [NOTHING; 2]),
        Err(ControlError::NoSuchConnection)
    );
}

#[test]
fn only_a_new_syn_opens_a_connection_where_one_was_stopped() {
    let mut lab = Lab::new();
    let flow = spoken(&mut lab);
    let id = lab.only().id;
    lab.engine.stop(id, None).unwrap();
    assert_eq!(shunts(&mut lab), [Shunt::Start(key(&flow))]);
    lab.ip(&flow.syn().ip());
    lab.ip(&flow.syn_ack().ip());
    lab.ip(&flow.segment(S, 100, PSH, b"late").ip());
    let mut stray = flow.syn_ack();
    stray.seq = 77;
    lab.ip(&stray.ip());
    let mut contradiction = flow.syn();
    (contradiction.seq, contradiction.flags) = (77, SYN | RST);
    lab.ip(&contradiction.ip());
    assert_eq!(
        lab.only().id,
        id,
        "repeated, strayed and nonsensical segments"
    );
    assert_eq!(shunts(&mut lab), []);

    let mut again = Flow {
        isn: [900_000, 800_000],
        ..Flow::new()
    };
    again.open(&mut lab);
    again.send(&mut lab, C, b"another");
    assert_eq!(shunts(&mut lab), [Shunt::End(key(&again))]);
    let new = lab.newest(again.client, again.server).unwrap();
    assert!(new.id != id && !new.midstream && new.closed.is_none());
    assert_eq!(lab.peek(new.id, S, 0, 100).unwrap(), b"another");
    assert_eq!(
        lab.peek(id, S, 0, 100).unwrap(),
        b"request",
        "the old one is still readable"
    );
}

#[test]
fn an_answer_that_comes_after_the_stop_opens_nothing() {
    let mut lab = Lab::new();
    let flow = Flow::new();
    lab.ip(&flow.syn().ip());
    let id = lab.only().id;
    lab.engine.stop(id, None).unwrap();
    lab.ip(&flow.syn_ack().ip());
    lab.ip(&flow.segment(C, 0, PSH, b"request").ip());
    assert_eq!((lab.only().id, lab.count("stopped_segments")), (id, 2));
}

/// The capture may not have been able to, or have forgotten it.
#[test]
fn a_flow_whose_packets_go_on_coming_is_shunted_again_at_most_once_a_second() {
    let mut lab = Lab::new();
    let mut flow = spoken(&mut lab);
    let id = lab.only().id;
    lab.engine.stop(id, None).unwrap();
    assert_eq!(shunts(&mut lab).len(), 1);
    for _ in 0..25 {
        flow.send(&mut lab, C, b"x");
        lab.wait(100);
    }
    assert_eq!(shunts(&mut lab), [Shunt::Start(key(&flow)); 2]);
}

#[test]
fn a_flow_is_shunted_under_its_tags_and_version() {
    let mut lab = Lab::new();
    let flow = Flow::between("[2001:db8::9]:40000", "[2001:db8::1]:80");
    let frame = flow.segment(C, 0, PSH, b"x").ethernet(&[100, 7], 0);
    lab.frame(LinkType::Ethernet, &frame);
    let id = lab.only().id;
    lab.engine.stop(id, None).unwrap();
    use monitor_common::LinkType;
    use monitor_common::steer::{Ends, Everything, classify};
    let Ok(Ends::Flow { src, dst, link, .. }) =
        classify(&frame[..], LinkType::Ethernet, &Everything)
    else {
        panic!("not a segment");
    };
    assert_eq!(
        shunts(&mut lab),
        [Shunt::Start(ShuntKey::new(dst, src, link))]
    );
}

#[test]
fn a_connection_that_is_over_cannot_be_stopped_any_more() {
    let mut lab = Lab::new();
    let mut flow = spoken(&mut lab);
    flow.close(&mut lab);
    let id = lab.only().id;
    assert_eq!(
        lab.engine.stop(id, None).unwrap().closed,
        Some(CloseReason::Fin)
    );
    assert_eq!((lab.count("stopped"), shunts(&mut lab)), (0, vec![]));
}

#[test]
fn a_stopped_side_keeps_nothing_and_its_states_go_on() {
    let mut lab = Lab::new();
    let mut flow = spoken(&mut lab);
    let id = lab.only().id;
    let used = lab.count("used");
    let stopped = lab.engine.stop(id, Some(S)).unwrap();
    assert_eq!(stopped.closed, None);
    assert!(lab.count("used") < used, "its block is free again");
    assert_eq!(lab.count("evicted_bytes"), 7);
    flow.send(&mut lab, C, b"unseen");
    flow.send(&mut lab, S, b" seen");
    let [client, server] = lab.only().sides;
    assert!(client.enabled && !server.enabled);
    assert_eq!(
        (server.base, server.next, server.end, server.retained),
        (13, 13, 13, 0)
    );
    assert_eq!(lab.peek(id, S, 0, 10), Err(PeekError::Disabled));
    assert_eq!(lab.peek(id, S, 13, 10), Err(PeekError::Disabled));
    assert_eq!(lab.reader.extents(id, S), Err(PeekError::Disabled));
    assert_eq!(lab.text(C), "response seen");
    flow.close(&mut lab);
    let closed = lab.only();
    assert_eq!(closed.closed, Some(CloseReason::Fin));
    assert_eq!(closed.sides[S.index()].fin, Some(13));
    assert_eq!(closed.states, [TcpState::TimeWait, TcpState::Closed]);
    assert_eq!(
        lab.count("evicted_bytes"),
        7,
        "what was not kept was not evicted"
    );
    assert_eq!(shunts(&mut lab), [], "the other side is wanted");
}

#[test]
fn a_connection_whose_sides_are_both_stopped_is_stopped() {
    let mut lab = Lab::new();
    let flow = spoken(&mut lab);
    let id = lab.only().id;
    assert_eq!(lab.engine.stop(id, Some(C)).unwrap().closed, None);
    assert_eq!(lab.engine.stop(id, Some(C)).unwrap().closed, None);
    assert_eq!(
        lab.engine.stop(id, Some(S)).unwrap().closed,
        Some(CloseReason::Stopped)
    );
    assert_eq!(shunts(&mut lab), [Shunt::Start(key(&flow))]);
    // Two sides that are switched off are a connection that is followed, without bytes.
    let mut lab = Lab::new();
    let mut flow = spoken(&mut lab);
    let id = lab.only().id;
    let both = lab.engine.configure(id, [SILENT; 2]).unwrap();
    assert_eq!(
        (both.closed, both.sides.map(|side| side.enabled)),
        (None, [false, false])
    );
    flow.close(&mut lab);
    assert_eq!(
        (lab.only().closed, shunts(&mut lab)),
        (Some(CloseReason::Fin), vec![])
    );
}

#[test]
fn the_edge_of_a_side_without_bytes_goes_on_over_holes() {
    let mut lab = Lab::new();
    let mut flow = spoken(&mut lab);
    let id = lab.only().id;
    flow.at(&mut lab, C, 20, b"ahead");
    lab.engine.configure(id, [NOTHING, SILENT]).unwrap();
    lab.events();
    let edges = |lab: &Lab| {
        let side = lab.side(S);
        (side.base, side.next, side.end, side.gaps)
    };
    assert_eq!(
        edges(&lab),
        (7, 7, 25, 0),
        "it still waits for what is missing"
    );
    flow.at(&mut lab, C, 30, b"further");
    assert_eq!(edges(&lab), (7, 7, 37, 0));
    flow.at(&mut lab, C, 7, &[b'x'; 13]);
    assert_eq!(
        edges(&lab),
        (25, 25, 37, 0),
        "filled, and on over what waited"
    );
    flow.at(&mut lab, C, 0, b"request");
    assert_eq!(lab.side(S).retransmitted, 7);
    flow.ack(&mut lab, S, 37);
    lab.wait(300);
    assert_eq!(edges(&lab), (37, 37, 37, 1), "lost on evidence");
    assert!(lab.events().contains(&Event::Gap {
        id,
        side: S,
        off: 25,
        len: 5
    }));
    // The fast path, and more than the window at once.
    let big = vec![1; 60_000];
    for n in 0..40 {
        flow.at(&mut lab, C, 37 + n * 60_000, &big);
    }
    assert_eq!(edges(&lab), (2_400_037, 2_400_037, 2_400_037, 1));
    assert_eq!(lab.count("unstored_bytes"), 0);
}

#[test]
fn a_smaller_window_frees_at_once_and_a_larger_one_holds_more() {
    let mut lab = Lab::new();
    let mut flow = Flow::new();
    flow.open(&mut lab);
    for n in 0..100u8 {
        flow.send(&mut lab, C, &[n; 1000]);
        flow.send(&mut lab, S, &[n; 1000]);
    }
    let id = lab.only().id;
    let used = lab.count("used");
    let now = lab.engine.configure(id, [NOTHING, window(10_000)]).unwrap();
    assert_eq!(now.sides.clone().map(|side| side.window), [1 << 20, 10_000]);
    assert_eq!(
        now.sides.map(|side| (side.base, side.next)),
        [(0, 100_000), (90_000, 100_000)]
    );
    assert!(lab.count("used") + 80_000 < used);
    assert_eq!(
        lab.peek(id, S, 0, 1),
        Err(PeekError::NoData {
            reason: NoData::Evicted,
            next_extent: None,
            base: 90_000,
            next: 100_000,
            end: 100_000
        })
    );
    flow.send(&mut lab, C, &[7; 500]);
    assert_eq!(lab.side(S).base, 90_500);
    lab.engine.configure(id, [window(3 << 20); 2]).unwrap();
    for _ in 0..40 {
        flow.send(&mut lab, C, &[8; 50_000]);
        flow.send(&mut lab, S, &[8; 50_000]);
    }
    assert_eq!(
        [lab.side(C).base, lab.side(S).base],
        [0, 90_500],
        "the configured window was 1 MiB"
    );
    // The next one is as configured.
    let mut other = Flow::numbered(2);
    other.open(&mut lab);
    let other = lab.newest(other.client, other.server).unwrap();
    assert_eq!(other.sides.map(|side| side.window), [1 << 20; 2]);
}

#[test]
fn a_smaller_window_gives_up_the_holes_that_it_leaves_behind() {
    let mut lab = Lab::new();
    let mut flow = spoken(&mut lab);
    let id = lab.only().id;
    flow.at(&mut lab, C, 100, &[1; 900]);
    lab.engine.configure(id, [NOTHING, window(500)]).unwrap();
    let side = lab.side(S);
    assert_eq!(
        (side.base, side.next, side.gaps, side.retained),
        (500, 1000, 1, 500)
    );
}

#[test]
fn another_policy_decides_from_the_next_segment_on() {
    for (policy, expected) in [
        (OverlapPolicy::First, b"xOLDOLD"),
        (OverlapPolicy::Last, b"xNEWNEW"),
    ] {
        let mut lab = Lab::policy(OverlapPolicy::Linux);
        let mut flow = Flow::new();
        flow.open(&mut lab);
        let id = lab.only().id;
        flow.at(&mut lab, C, 1, b"OLDOLD");
        lab.engine
            .configure(id, [NOTHING, overlap(policy)])
            .unwrap();
        assert_eq!(
            lab.only().sides.map(|side| side.overlap),
            [OverlapPolicy::Linux, policy]
        );
        flow.at(&mut lab, C, 1, b"NEWNEW");
        flow.at(&mut lab, C, 0, b"x");
        assert_eq!(lab.peek(id, S, 0, 10).unwrap(), expected);
    }
}

/// What waits under First was never queued as Linux would: it counts as one segment until the hole is filled.
#[test]
fn a_policy_that_needs_the_queue_makes_do_with_what_waits() {
    let mut lab = Lab::policy(OverlapPolicy::First);
    let mut flow = Flow::new();
    flow.open(&mut lab);
    let id = lab.only().id;
    flow.at(&mut lab, C, 10, b"first");
    lab.engine
        .configure(id, [NOTHING, overlap(OverlapPolicy::Linux)])
        .unwrap();
    flow.at(&mut lab, C, 8, b"..SECOND");
    flow.at(&mut lab, C, 0, b"01234567");
    assert_eq!(
        lab.peek(id, S, 0, 100).unwrap(),
        b"01234567..SECOND",
        "it starts lower"
    );
    // And segment by segment again behind the next hole.
    flow.at(&mut lab, C, 20, b"first");
    flow.at(&mut lab, C, 20, b"again!");
    flow.at(&mut lab, C, 16, b"....");
    assert_eq!(lab.peek(id, S, 16, 100).unwrap(), b"....again!");
    assert_eq!(lab.count("overlap_history_full"), 0);
}

#[test]
fn nothing_can_be_set_on_a_side_without_bytes() {
    let mut lab = Lab::new();
    spoken(&mut lab);
    let id = lab.only().id;
    lab.engine.configure(id, [SILENT, NOTHING]).unwrap();
    let before = lab.only();
    assert_eq!(
        lab.engine.configure(id, [window(5000); 2]),
        Err(ControlError::Disabled(C))
    );
    assert_eq!(
        lab.engine.configure(id, [overlap(OverlapPolicy::Bsd); 2]),
        Err(ControlError::Disabled(C))
    );
    assert_eq!(lab.only(), before);
    lab.engine.configure(id, [SILENT, window(5000)]).unwrap();
}

fn rule(applies: fn(&Connection) -> bool, client: SideSettings, server: SideSettings) -> Rule {
    Rule {
        applies: Arc::new(applies),
        sides: [client, server],
    }
}

#[test]
fn connections_start_with_what_the_first_fitting_rule_says() {
    let mut lab = Lab::new();
    let rules = vec![
        rule(|c| c.server.port() == 443, NOTHING, SILENT),
        rule(|c| c.server.port() != 80, SILENT, SILENT),
        rule(
            |c| c.server.ip().is_ipv4(),
            window(100),
            overlap(OverlapPolicy::Last),
        ),
    ];
    lab.engine.set_rules(rules);
    let mut opened = |server: &str| {
        let mut flow = Flow::between("10.0.0.1:40000", server);
        flow.open(&mut lab);
        flow.send(&mut lab, S, &[9; 300]);
        let [client, server] = lab.newest(flow.client, flow.server).unwrap().sides;
        (
            (client.enabled, client.window, client.retained),
            (server.enabled, server.overlap),
        )
    };
    let linux = OverlapPolicy::Linux;
    assert_eq!(
        opened("192.0.2.1:443"),
        ((true, 1 << 20, 300), (false, linux))
    );
    assert_eq!(
        opened("192.0.2.1:22"),
        ((false, 1 << 20, 0), (false, linux))
    );
    assert_eq!(
        opened("192.0.2.1:80"),
        ((true, 100, 100), (true, OverlapPolicy::Last))
    );
    // Those that are there stay as they are.
    lab.engine.set_rules(Vec::new());
    let mut flow = Flow::between("10.0.0.1:40001", "192.0.2.1:443");
    flow.open(&mut lab);
    assert!(
        lab.newest(flow.client, flow.server)
            .unwrap()
            .sides
            .iter()
            .all(|side| side.enabled)
    );
    let old = lab
        .connections()
        .into_iter()
        .find(|c| c.server.port() == 22)
        .unwrap();
    assert!(old.sides.iter().all(|side| !side.enabled));
}

/// The sender of the first segment may be either end.
#[test]
fn a_rule_sees_who_called_whom() {
    let mut lab = Lab::new();
    lab.engine.set_rules(vec![rule(
        |c| c.midstream && c.server.port() == 80,
        NOTHING,
        SILENT,
    )]);
    let flow = Flow::new();
    lab.ip(&flow.segment(S, 0, ACK, b"").ip());
    assert_eq!(lab.only().sides.map(|side| side.enabled), [true, false]);
}
