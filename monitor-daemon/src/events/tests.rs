//! Tests of the events that subscribers of an engine get.

use std::sync::Arc;

use monitor_engine::{Engine, EngineConfig, Event, LinkType, Packet, Side, SockId};

use super::*;
use crate::filter::Filter;

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A segment from 10.0.0.1 (or to it) of a connection to port 80 of 10.0.0.2.
fn segment(port: u16, from_client: bool, flags: u8, seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut ends = [([10, 0, 0, 1], port), ([10, 0, 0, 2], 80)];
    if !from_client {
        ends.reverse();
    }
    let [(src, sport), (dst, dport)] = ends;
    let mut packet = vec![0x45, 0];
    packet.extend(((40 + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet.extend(src);
    packet.extend(dst);
    packet.extend(sport.to_be_bytes());
    packet.extend(dport.to_be_bytes());
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

fn process(engine: &mut Engine<Publisher>, time: u64, packets: &[Vec<u8>]) {
    let packets: Vec<_> = packets
        .iter()
        .map(|data| Packet {
            time,
            link: LinkType::Ip,
            data,
            more: &[],
            checksum: monitor_engine::Checksum::Unknown,
        })
        .collect();
    engine.process(&packets);
}

fn engine() -> Engine<Publisher> {
    Publisher::engine(EngineConfig {
        memory: 4 << 20,
        ..EngineConfig::default()
    })
    .unwrap()
}

struct Ear {
    notifier: Arc<EventNotifier>,
    queue: Arc<EventQueue>,
    tail: EventReceiver,
}

fn listen(
    engine: &mut Engine<Publisher>,
    kinds: &[EventKind],
    scope: Scope,
    notes: Option<usize>,
) -> Ear {
    let notifier = Arc::new(EventNotifier::new().unwrap());
    let queue = EventQueue::new(notes);
    let interest = EventFilter {
        kinds: EventKinds::of(kinds),
        side: None,
        scope,
    };
    let slots = engine.reader().slots();
    let listener = Subscriber::new(
        7,
        &interest,
        slots,
        Arc::clone(&queue),
        Arc::clone(&notifier),
    );
    engine.sink().subscribe(listener);
    Ear {
        notifier,
        tail: EventReceiver::new(Arc::clone(&queue)),
        queue,
    }
}

fn events(ear: &mut Ear) -> Vec<RecordedEvent> {
    let note = |told| match told {
        Delivery::Record(note) => Some(note.what),
        Delivery::Lost(count) => panic!("{count} lost"),
    };
    ear.tail.by_ref().filter_map(note).collect()
}

fn rung(notifier: &EventNotifier) -> bool {
    rustix::io::read(notifier, &mut [0; 8]).is_ok()
}

const ALL: &[EventKind] = &[
    EventKind::Opened,
    EventKind::Established,
    EventKind::Data,
    EventKind::State,
    EventKind::Closed,
];

#[test]
fn neighbouring_data_of_a_batch_is_one_note_and_the_bell_rings_once() {
    let mut engine = engine();
    let mut ear = listen(
        &mut engine,
        &[EventKind::Opened, EventKind::Data],
        Scope::All,
        Some(10),
    );
    ear.notifier.arm();
    process(
        &mut engine,
        5,
        &[
            segment(1, true, SYN, 99, b""),
            segment(1, true, ACK, 100, b"abc"),
        ],
    );
    assert!(rung(&ear.notifier) && !rung(&ear.notifier) && ear.queue.take_pending());
    process(
        &mut engine,
        6,
        &[
            segment(1, true, ACK, 103, b"de"),
            segment(1, true, ACK, 105, b"f"),
        ],
    );
    assert!(!rung(&ear.notifier), "it is not armed");
    let id = engine.reader().connections(None).next().unwrap().id;
    let notes: Vec<_> = ear.tail.by_ref().collect();
    let Some(Delivery::Record(EventRecord {
        time: 5,
        what: RecordedEvent::Opened { id: opened, ends },
        ..
    })) = notes.first()
    else {
        panic!("{notes:?}");
    };
    assert_eq!(
        (*opened, ends.client().to_string(), ends.midstream),
        (id, "10.0.0.1:1".to_owned(), false)
    );
    let data = |time, off, len| {
        let what = RecordedEvent::Event(Event::Data {
            id,
            side: Side::Server,
            off,
            len,
        });
        Delivery::Record(EventRecord {
            time,
            what,
            lost: 0,
        })
    };
    assert_eq!(notes[1..], [data(5, 0, 3), data(6, 3, 3)]);
}

#[test]
fn a_filter_is_evaluated_for_old_and_new_connections_and_for_each_occupant_of_a_slot() {
    let config = EngineConfig {
        memory: 1 << 20,
        ..EngineConfig::default()
    };
    let mut engine = Publisher::engine(config).unwrap();
    process(
        &mut engine,
        1,
        &[
            segment(5000, true, SYN, 99, b""),
            segment(5001, true, SYN, 99, b""),
        ],
    );
    let filter = Arc::new(Filter::compile("src port 5000 or 7001").unwrap());
    let mut ear = listen(&mut engine, ALL, Scope::Some(filter), Some(10_000));
    for port in [5000, 5001, 7000, 7001] {
        process(&mut engine, 2, &[segment(port, true, ACK, 100, b"x")]);
    }
    // The connection ends, so that its slot may get another occupant.
    process(&mut engine, 2, &[segment(5000, true, RST | ACK, 101, b"")]);
    // Enough connections for a new occupant in every free slot.
    for port in 10_000..20_000 {
        process(&mut engine, 3, &[segment(port, true, SYN, 99, b"")]);
    }
    process(&mut engine, 4, &[segment(5000, true, SYN, 999, b"")]);
    let (mut opened, mut data) = (Vec::new(), 0);
    for what in events(&mut ear) {
        match what {
            RecordedEvent::Opened { ends, .. } => opened.push(ends.client().port()),
            RecordedEvent::Event(Event::Data { .. }) => data += 1,
            RecordedEvent::Event(_) => {}
        }
    }
    assert_eq!((opened, data), (vec![7001, 5000], 2));
}

#[test]
fn one_connection_one_side_and_nothing_after_forgetting() {
    let mut engine = engine();
    process(
        &mut engine,
        1,
        &[
            segment(1, true, SYN, 99, b""),
            segment(2, true, SYN, 99, b""),
        ],
    );
    let id = |port| {
        let reader = engine.reader();
        reader
            .connections(None)
            .find(|connection| connection.client.port() == port)
            .unwrap()
            .id
    };
    let (first, second): (SockId, SockId) = (id(1), id(2));
    assert_ne!(first, second);
    let mut ear = listen(&mut engine, &[EventKind::Data], Scope::One(first), Some(10));
    let mut level = listen(&mut engine, &[EventKind::Data], Scope::One(second), None);
    process(&mut engine, 2, &[segment(1, true, ACK, 100, b"x")]);
    assert_eq!(events(&mut ear).len(), 1);
    assert!(ear.queue.take_pending() && !level.queue.take_pending());
    process(&mut engine, 2, &[segment(2, true, ACK, 100, b"x")]);
    assert!(!ear.queue.take_pending() && level.queue.take_pending());
    assert!(events(&mut ear).is_empty() && events(&mut level).is_empty());
    // Both have the number 7: a number may be used twice, and the subscribers are removed one after the other.
    level.notifier.arm();
    ear.notifier.arm();
    engine.sink().unsubscribe(7);
    engine.sink().unsubscribe(7);
    engine.sink().unsubscribe(7);
    assert!(
        rung(&level.notifier) && rung(&ear.notifier),
        "what is to be freed has come back"
    );
    process(&mut engine, 2, &[segment(1, true, ACK, 101, b"x")]);
    assert!(events(&mut ear).is_empty() && !ear.queue.take_pending());
    ear.notifier.arm();
    assert_eq!(
        Arc::strong_count(&ear.queue),
        2,
        "only the tail and the test are left"
    );
}

#[test]
fn a_full_queue_loses_and_says_where() {
    let mut engine = engine();
    let mut ear = listen(&mut engine, &[EventKind::Opened], Scope::All, Some(4));
    let open = |engine: &mut _, ports: std::ops::Range<u16>| {
        for port in ports {
            process(engine, 1, &[segment(port, true, SYN, 99, b"")]);
        }
    };
    let port = |told| match told {
        Delivery::Record(EventRecord {
            what: RecordedEvent::Opened { ends, .. },
            ..
        }) => Ok(ends.client().port()),
        Delivery::Record(_) => panic!("another event"),
        Delivery::Lost(count) => Err(count),
    };
    open(&mut engine, 100..110);
    assert_eq!(ear.tail.next().map(port), Some(Ok(100)));
    open(&mut engine, 110..113);
    let rest: Vec<_> = ear.tail.by_ref().map(port).collect();
    assert_eq!(rest, [Ok(101), Ok(102), Ok(103), Err(6), Ok(110), Err(2)]);
}
