//! Connections and sides that clients stop.

use monitor_common::abi::ShuntKey;
use monitor_common::wire::Address;
use monitor_engine::{
    CloseReason, ControlError, Event, PeekError, Shunt, Side, SideSettings, TcpState,
};

use crate::common::frame::{PSH, RST, SYN};
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
fn a_stopped_connection_stays_readable_and_accepts_nothing() {
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
fn a_stopped_connection_is_listed_for_linger_and_while_its_packets_arrive() {
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
fn an_answer_after_the_stop_opens_no_connection() {
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
fn a_flow_with_more_packets_is_shunted_at_most_once_a_second() {
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
fn a_closed_connection_cannot_be_stopped() {
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
fn a_stopped_side_retains_nothing_and_its_states_advance() {
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
fn a_connection_with_both_sides_stopped_is_stopped() {
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
fn the_edge_of_a_disabled_side_moves_over_holes() {
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
        flow.ack(&mut lab, S, 37 + (n as u64 + 1) * 60_000);
    }
    assert_eq!(edges(&lab), (2_400_037, 2_400_037, 2_400_037, 1));
    assert_eq!(lab.count("unstored_bytes"), 0);
}
