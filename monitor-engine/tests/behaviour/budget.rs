//! Full memory: evicted connections, retained ones, and the events about them.

use monitor_engine::{CloseReason, EngineConfig, Event, Side, SockId};

use crate::common::frame::ACK;
use crate::common::{Flow, Lab};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// 1 MiB: about 400 records and 400 blocks of 2 KiB.
fn small() -> Lab {
    let mut config = EngineConfig {
        memory: 1 << 20,
        ..Lab::config()
    };
    config.tcp.idle_timeout = None;
    config.tcp.linger = None;
    Lab::with(config)
}

fn evicted(lab: &mut Lab) -> Vec<SockId> {
    let id = |event| {
        if let Event::Evicted { id } = event {
            Some(id)
        } else {
            None
        }
    };
    lab.events().into_iter().filter_map(id).collect()
}

#[test]
fn too_small_a_budget_is_refused_with_a_reason() {
    let error = monitor_engine::Engine::new(
        EngineConfig {
            memory: 1000,
            ..Lab::config()
        },
        (),
    )
    .err()
    .unwrap();
    assert!(error.to_string().contains("too small"), "{error}");
}

#[test]
fn use_never_passes_the_budget() {
    let mut lab = small();
    for n in 0..3000 {
        let mut flow = Flow::numbered(n);
        flow.open(&mut lab);
        for _ in 0..n % 7 {
            flow.send(&mut lab, C, &[n as u8; 900]);
            flow.at(&mut lab, S, 5000, &[n as u8; 900]);
        }
        assert!(lab.count("used") <= lab.count("budget"));
    }
}

#[test]
fn closed_connections_go_first_oldest_first() {
    let mut lab = small();
    let mut closed = Vec::new();
    for n in 0..20 {
        let mut flow = Flow::numbered(n);
        flow.open(&mut lab);
        flow.send(&mut lab, C, b"closed");
        flow.close(&mut lab);
        closed.push(lab.newest(flow.client, flow.server).unwrap().id);
        lab.wait(10);
    }
    let mut kept = Flow::numbered(100);
    kept.open(&mut lab);
    kept.send(&mut lab, C, b"kept");
    // 25 MB of one flow: all that can be taken is taken.
    let mut big = Flow::numbered(200);
    big.open(&mut lab);
    let mut order = Vec::new();
    for _ in 0..1000 {
        big.send(&mut lab, C, &[7; 25_000]);
        order.extend(evicted(&mut lab));
    }
    assert_eq!(order, closed, "oldest first, and nobody else");
    assert_eq!(lab.count("evicted_closed"), 20);
    let kept = lab.newest(kept.client, kept.server).unwrap().id;
    assert_eq!(lab.peek(kept, S, 0, 9).unwrap(), b"kept");
}

#[test]
fn a_flood_of_syns_evicts_no_connection_that_carries_bytes() {
    let mut lab = small();
    let mut real: Vec<Flow> = (0..50).map(Flow::numbered).collect();
    for flow in &mut real {
        flow.open(&mut lab);
        flow.send(&mut lab, C, b"request");
    }
    for n in 1000..6000 {
        lab.ip(&Flow::numbered(n).syn().ip());
    }
    assert!(lab.count("evicted_half_open") > 4000);
    assert_eq!(lab.count("evicted_active"), 0);
    for flow in &mut real {
        flow.send(&mut lab, S, b"answer");
        let connection = lab.newest(flow.client, flow.server).unwrap();
        assert_eq!(lab.peek(connection.id, S, 0, 99).unwrap(), b"request");
        assert_eq!(lab.peek(connection.id, C, 0, 99).unwrap(), b"answer");
    }
}

#[test]
fn a_flood_of_single_data_packets_evicts_no_proven_connection() {
    let mut lab = small();
    let mut real: Vec<Flow> = (0..50).map(Flow::numbered).collect();
    for flow in &mut real {
        flow.open(&mut lab);
        flow.send(&mut lab, C, b"request");
    }
    for n in 1000..6000 {
        if n % 2 == 0 {
            lab.ip(&Flow::numbered(n).syn().ip());
        } else {
            Flow::numbered(n).at(&mut lab, C, 0, b"x");
        }
    }
    assert_eq!(lab.count("evicted_active"), 0);
    for flow in &real {
        let connection = lab.newest(flow.client, flow.server).unwrap();
        assert_eq!(lab.peek(connection.id, S, 0, 99).unwrap(), b"request");
    }
}

#[test]
fn when_all_are_active_the_one_idle_longest_goes() {
    let mut lab = small();
    let mut flows: Vec<Flow> = (0..600).map(Flow::numbered).collect();
    let mut ids = Vec::new();
    for flow in &mut flows {
        flow.open(&mut lab);
        flow.send(&mut lab, C, b"x");
        ids.push(lab.newest(flow.client, flow.server).unwrap().id);
        lab.wait(1100);
    }
    let gone = evicted(&mut lab);
    assert!(gone.len() > 100);
    assert_eq!(gone, ids[..gone.len()]);
    assert_eq!(lab.count("evicted_active"), gone.len() as u64);
}

#[test]
fn an_evicted_id_is_never_valid_again() {
    let mut lab = small();
    let mut ids = std::collections::HashSet::new();
    let mut first = None;
    for n in 0..5000 {
        lab.ip(&Flow::numbered(n).syn().ip());
        for event in lab.events() {
            if let Event::Opened { id } = event {
                assert!(ids.insert(id), "{id:?} was used before");
                first.get_or_insert(id);
            }
        }
    }
    assert!(lab.reader.connection(first.unwrap()).is_none());
    let living = ids
        .iter()
        .filter(|id| lab.reader.connection(**id).is_some())
        .count();
    assert_eq!(living, lab.connections().len());
    for id in ids {
        assert!(
            lab.reader
                .connection(id)
                .is_none_or(|connection| connection.id == id)
        );
    }
}

#[test]
fn one_big_flow_alone_keeps_its_newest_bytes() {
    let mut config = EngineConfig {
        memory: 1 << 20,
        window: 1 << 30,
        ..Lab::config()
    };
    config.tcp.idle_timeout = None;
    let (mut lab, mut flow) = (Lab::with(config), Flow::new());
    flow.open(&mut lab);
    let mut sent = 0u64;
    for _ in 0..3000 {
        let part: Vec<u8> = (sent..sent + 1460).map(|off| (off / 11) as u8).collect();
        flow.send(&mut lab, C, &part);
        sent += 1460;
    }
    let side = lab.side(S);
    assert_eq!((side.next, side.end, side.gaps), (sent, sent, 0));
    assert!(
        side.retained > 500_000,
        "{} of 1 MiB hold bytes",
        side.retained
    );
    let (off, bytes) = lab.held(S).remove(0);
    assert_eq!(off, side.base);
    assert!(
        bytes
            .iter()
            .zip(off..)
            .all(|(byte, off)| *byte == (off / 11) as u8)
    );
    assert_eq!(lab.count("unstored_bytes"), 0);
}

#[test]
fn a_sink_is_notified_of_every_end() {
    let mut lab = small();
    for n in 0..2000 {
        let mut flow = Flow::numbered(n);
        flow.open(&mut lab);
        if n % 3 == 0 {
            flow.close(&mut lab);
        }
    }
    let (mut opened, mut closed, mut evicted) = (0u64, 0u64, 0u64);
    for event in lab.events() {
        match event {
            Event::Opened { .. } => opened += 1,
            Event::Closed { reason, .. } => {
                assert_eq!(reason, CloseReason::Fin);
                closed += 1;
            }
            Event::Evicted { .. } => evicted += 1,
            _ => {}
        }
    }
    assert_eq!(opened, 2000);
    assert_eq!(opened, lab.count("opened"));
    assert_eq!(closed, 667);
    assert_eq!(evicted + lab.count("active") + lab.count("lingering"), 2000);
}

#[test]
fn both_sides_of_a_flow_grow_out_of_memory_together() {
    // Pool exhaustion between the two halves of a flow.
    let mut lab = small();
    let mut flow = Flow::new();
    flow.open(&mut lab);
    for _ in 0..2000 {
        flow.send(&mut lab, C, &[1; 1460]);
        flow.send(&mut lab, S, &[2; 1460]);
    }
    lab.ip(&flow.segment(C, flow.sent[0] as i64, ACK, b"").ip());
    for side in Side::BOTH {
        let view = lab.side(side);
        assert_eq!((view.next, view.gaps), (2000 * 1460, 0));
        assert!(view.retained > 0);
    }
}
