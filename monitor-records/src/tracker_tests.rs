//! Tests of the tracker, with a daemon that is a list of connections.

use std::collections::HashMap;

use monitor_common::{Side, SockId};
use monitor_rpc::types::SideRange;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use monitor_rpc::socket::Reset;

/// Time of the events; the connections opened after the trackers began to listen.
const NOW: f64 = 1001.0;

fn source(mode: &str) -> Source {
    Source {
        host: "h".to_owned(),
        instance: 7,
        mode: mode.to_owned(),
    }
}

fn tracker() -> Tracker {
    let mut tracker = Tracker::new(source("tap"), Duration::from_secs(300));
    tracker.listen(999.0);
    tracker
}

fn side() -> Value {
    json!({ "base": 0, "next": 5, "end": 9, "fin": null, "isn": null, "retained": 5, "gaps": 1, "retransmitted": 2,
        "conflicts": 3, "enabled": true, "window": 4096, "overlap": "linux" })
}

fn socket(sockid: u64, closed: Option<&str>) -> Socket {
    let value = json!({ "sockid": sockid, "client": "10.0.0.1:5", "server": "[::1]:80", "vlan": [7], "tunnels": [tunnel()],
        "interface": "lo", "state": { "client": "ESTABLISHED", "server": "ESTABLISHED" }, "opened": 1000.0, "last": 1001.5,
        "closed": closed, "midstream": false, "worker": 0, "sides": { "client": side(), "server": side() },
        "tls": { "version": null, "sni": "s", "alpn": ["h2"] } });
    serde_json::from_value(value).unwrap()
}

fn tunnel() -> Value {
    json!({ "kind": "vxlan", "id": 42, "ends": ["192.0.2.1", "192.0.2.2"] })
}

fn id(slot: u32, generation: u32) -> u64 {
    SockId::new(0, slot, generation).as_u64()
}

fn event(sockid: Option<u64>, body: EventBody) -> Notification {
    Notification {
        listener: 1,
        time: None,
        sockid,
        body,
    }
}

fn closed(sockid: u64) -> Notification {
    let reason = monitor_common::CloseReason::Fin;
    event(Some(sockid), EventBody::Closed { reason })
}

fn gap(sockid: u64, side: Side, len: u64) -> Notification {
    let off = 0;
    event(Some(sockid), EventBody::Gap(SideRange { side, off, len }))
}

fn refused(sockid: u64) -> Notification {
    let body = EventBody::Refused {
        side: Side::Server,
        seq: 1,
        len: 2,
        reason: monitor_common::Refusal::Window,
    };
    event(Some(sockid), body)
}

fn lost(count: u64) -> Notification {
    let body = EventBody::Lost {
        count: Some(count),
        ends: Some(count),
        side: None,
        off: None,
        len: None,
    };
    event(None, body)
}

/// Writes the final record of a connection, if there is one to write.
fn write(tracker: &mut Tracker, socket: &Socket) -> bool {
    let record = tracker.ended(socket);
    if let Some(record) = &record {
        tracker.written(record.sockid, record.part);
    }
    record.is_some()
}

#[test]
fn a_record_holds_the_fields_of_its_socket() {
    let mut tracker = tracker();
    tracker.event(&gap(9, Side::Client, 40), NOW);
    tracker.event(&refused(9), NOW);
    tracker.event(&closed(9), NOW);
    let mut socket = socket(9, Some("rst"));
    socket.reset = Some(Reset {
        by: Side::Server,
        time: Some(1001.25),
    });
    let record = tracker.ended(&socket).unwrap();
    let side = |gap_bytes: Option<u64>, refused: u64| json!({ "bytes": 9, "gaps": 1, "gap_bytes": gap_bytes, "retransmitted": 2, "conflicts": 3, "refused": refused });
    let expected = json!({ "v": 1, "host": "h", "instance": 7, "sockid": 9, "part": 0,
        "community_id": record.community_id, "client": "10.0.0.1:5", "server": "[::1]:80", "vlan": [7],
        "tunnels": [tunnel()], "interface": "lo", "opened": 1000.0, "last": 1001.5, "closed": "rst", "midstream": false,
        "reset": { "by": "server", "time": 1001.25 },
        "sides": { "client": side(Some(40), 0), "server": side(None, 1) },
        "tls": { "version": null, "sni": "s", "alpn": ["h2"] }, "mode": "tap" });
    assert_eq!(serde_json::to_value(&record).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Record>(expected).unwrap(), record);
}

/// Returns what the final record says of the server's side: bytes of lost holes, and refused segments.
fn details(tracker: &mut Tracker, sockid: u64) -> (Option<u64>, Option<u64>) {
    let record = tracker.ended(&socket(sockid, Some("fin"))).unwrap();
    tracker.written(sockid, 0);
    (record.sides.server.gap_bytes, record.sides.server.refused)
}

#[test]
fn numbers_of_missed_events_are_unknown() {
    let mut tracker = tracker();
    let events = |sockid| [gap(sockid, Side::Server, 5), refused(sockid)];
    let pass = |tracker: &mut Tracker, events: &[Notification]| {
        for event in events {
            tracker.event(event, NOW);
        }
    };
    for slot in 1..=4 {
        pass(&mut tracker, &events(id(slot, 1)));
    }
    tracker.event(&closed(id(1, 1)), NOW);
    assert_eq!(details(&mut tracker, id(1, 1)), (Some(5), Some(1)));
    // A listing: more events may come. The hole is the only one that the connection has.
    assert_eq!(details(&mut tracker, id(2, 1)), (Some(5), None));
    // Another hole than the connection has.
    pass(&mut tracker, &events(id(3, 1)));
    tracker.event(&closed(id(3, 1)), NOW);
    assert_eq!(details(&mut tracker, id(3, 1)), (None, Some(2)));
    // Events were lost, but none of an end: no record is missing.
    let mut lost = lost(7);
    let EventBody::Lost { ends, .. } = &mut lost.body else {
        unreachable!("made above")
    };
    *ends = Some(0);
    assert_eq!(tracker.event(&lost, NOW), Request::Nothing);
    assert!(!tracker.is_incomplete());
    tracker.event(&closed(id(4, 1)), NOW);
    assert_eq!(details(&mut tracker, id(4, 1)), (None, None));
}

#[test]
fn a_closed_connection_is_written_once() {
    let mut tracker = tracker();
    assert_eq!(
        tracker.event(&closed(id(1, 1)), NOW),
        Request::Info(id(1, 1))
    );
    assert!(!write(&mut tracker, &socket(id(1, 1), None)), "it is open");
    assert!(write(&mut tracker, &socket(id(1, 1), Some("rst"))));
    assert!(!write(&mut tracker, &socket(id(1, 1), Some("rst"))));
    assert_eq!(tracker.event(&closed(id(1, 1)), NOW), Request::Nothing);
    let evicted = event(Some(id(1, 1)), EventBody::Evicted);
    assert_eq!(tracker.event(&evicted, NOW), Request::Nothing);
    assert_eq!(tracker.lost(0.0), None, "its record was written before");
}

#[test]
fn interim_records_are_numbered_by_the_intervals_since_the_start() {
    let mut tracker = tracker();
    let open = socket(id(1, 1), None);
    assert_eq!(tracker.open(&open, 900.0), None, "the clock was set back");
    assert_eq!(tracker.open(&open, 1299.0), None);
    let record = tracker.open(&open, 1301.0).unwrap();
    assert_eq!((record.part, record.closed), (1, None));
    tracker.written(record.sockid, record.part);
    assert_eq!(tracker.open(&open, 1500.0), None);
    assert_eq!(tracker.open(&open, 1000.0 + 905.0).unwrap().part, 3);
    assert!(write(&mut tracker, &socket(id(1, 1), Some("fin"))));
    assert_eq!(
        tracker.open(&open, 9000.0),
        None,
        "the listing was older than the end"
    );
    let replay = Tracker::new(source("replay"), Duration::from_secs(300));
    assert_eq!(replay.open(&open, 9000.0), None);
}

#[test]
fn a_listing_replaces_lost_events_and_the_rest_is_counted() {
    let mut tracker = tracker();
    assert_eq!(tracker.event(&lost(3), NOW), Request::List);
    // Two of the lost ones, and one with an event that waits in the queue.
    for slot in 1..=3 {
        assert!(write(&mut tracker, &socket(id(slot, 1), Some("fin"))));
    }
    tracker.listed();
    assert_eq!(tracker.event(&closed(id(3, 1)), NOW), Request::Nothing);
    assert!(tracker.is_incomplete());
    assert_eq!(tracker.lost(5.0).unwrap().lost, Some(1));
    assert!(!tracker.is_incomplete());
    assert_eq!(tracker.lost(6.0), None);
}

#[test]
fn connections_that_are_gone_before_they_can_be_read_are_counted() {
    let mut tracker = tracker();
    assert_eq!(
        tracker.event(&closed(id(1, 1)), NOW),
        Request::Info(id(1, 1))
    );
    tracker.gone(id(1, 1));
    tracker.event(&event(Some(id(2, 1)), EventBody::Evicted), NOW);
    assert_eq!(tracker.lost(5.0).unwrap().lost, Some(2));
}

#[test]
fn what_was_written_before_a_start_is_not_written_again() {
    let mut before = tracker();
    assert!(write(&mut before, &socket(id(1, 1), Some("fin"))));
    before.written(id(2, 1), 4);
    let mut after = tracker();
    before
        .state()
        .for_each(|(sockid, part)| after.written(sockid, part));
    assert!(!write(&mut after, &socket(id(1, 1), Some("fin"))));
    let open = socket(id(2, 1), None);
    assert_eq!(after.open(&open, 1000.0 + 4.5 * 300.0), None);
    assert_eq!(after.open(&open, 1000.0 + 5.5 * 300.0).unwrap().part, 5);
    assert!(
        write(&mut after, &socket(id(1, 2), Some("fin"))),
        "the next connection of the slot"
    );
}

proptest! {
    /// Connections come, end and vanish in slots; events get lost in a queue; the program is killed between any two
    /// steps. Each connection has at most one final record, and each one without is counted.
    #[test]
    fn no_record_is_doubled_and_every_missing_one_is_counted(steps in prop::collection::vec((0u32..4, 0u8..6), 1..200)) {
        let mut stored: Vec<(u64, u32)> = Vec::new();
        let mut slots: HashMap<u32, (u32, bool)> = HashMap::new();
        let mut queue: Vec<Notification> = Vec::new();
        let (mut overflow, mut ends, mut missed) = (0, 0, 0);
        let mut tracker = tracker();
        for (slot, step) in steps {
            match step {
                // A connection opens; the slot's previous one is removed.
                0 | 1 => {
                    let generation = slots.get(&slot).map_or(0, |(generation, _)| generation + 1);
                    if slots.get(&slot).is_none_or(|(_, ended)| *ended) {
                        slots.insert(slot, (generation, false));
                    }
                }
                // It ends.
                2 | 3 => if let Some((generation, ended @ false)) = slots.get_mut(&slot) {
                    *ended = true;
                    ends += 1;
                    if queue.len() < 2 && overflow == 0 {
                        queue.push(closed(id(slot, *generation)));
                    } else {
                        overflow += 1;
                    }
                },
                // The program catches up.
                _ => catch_up(&mut tracker, &mut queue, &mut overflow, &slots, &mut stored),
            }
        }
        catch_up(&mut tracker, &mut queue, &mut overflow, &slots, &mut stored);
        missed += tracker.lost(0.0).map_or(0, |lost| lost.lost.unwrap());
        let mut unique = stored.clone();
        unique.sort_unstable();
        unique.dedup();
        prop_assert_eq!(unique.len(), stored.len(), "no record twice");
        prop_assert_eq!(stored.len() as u64 + missed, ends, "every end is a record or counted");
    }
}

fn catch_up(
    tracker: &mut Tracker,
    queue: &mut Vec<Notification>,
    overflow: &mut u64,
    slots: &HashMap<u32, (u32, bool)>,
    stored: &mut Vec<(u64, u32)>,
) {
    let mut events = std::mem::take(queue);
    if *overflow > 0 {
        events.push(lost(std::mem::take(overflow)));
    }
    let current = |sockid: u64| {
        let sock = SockId::from_u64(sockid).unwrap();
        let &(generation, ended) = slots.get(&sock.slot())?;
        (generation == sock.generation()).then(|| socket(sockid, ended.then_some("fin")))
    };
    for event in events {
        let found = match tracker.event(&event, NOW) {
            Request::Nothing => Vec::new(),
            Request::Info(sockid) => {
                let found = current(sockid);
                if found.is_none() {
                    tracker.gone(sockid);
                }
                found.into_iter().collect()
            }
            Request::List => slots
                .iter()
                .filter_map(|(&slot, &(generation, _))| current(id(slot, generation)))
                .collect(),
        };
        for socket in found {
            if let Some(record) = tracker.ended(&socket) {
                stored.push((record.sockid, record.part));
                tracker.written(record.sockid, record.part);
            }
        }
        tracker.listed();
    }
}
