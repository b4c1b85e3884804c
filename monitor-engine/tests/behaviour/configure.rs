//! Settings that clients change while a connection is followed, and rules for new connections.

use std::sync::Arc;

use monitor_engine::{
    Connection, ControlError, NoData, OverlapPolicy, PeekError, Rule, Side, SideSettings,
};

use crate::common::frame::ACK;
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
    assert_eq!(now.sides.map(|side| side.window), [1 << 20, 10_000]);
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

/// Bytes that wait under First were not queued as Linux does: they count as one segment until the hole is filled.
#[test]
fn a_policy_that_needs_the_queue_starts_with_the_waiting_ranges() {
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
fn connections_start_with_the_settings_of_the_first_matching_rule() {
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
fn a_rule_distinguishes_client_and_server() {
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
