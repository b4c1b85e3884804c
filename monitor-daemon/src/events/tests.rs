//! Tests of the events that subscribers of an engine get.

use std::sync::Arc;

use monitor_engine::{Engine, EngineConfig, Event, LinkType, Packet, Side};

use super::*;
use crate::filter::Filter;

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Returns a segment from 10.0.0.1 (or to it) of a connection to port 80 of 10.0.0.2.
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
            interface: 0,
            link: LinkType::Ip,
            data,
            more: &[],
            cut: 0,
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

/// Subscriber of an engine, with its queue and its log.
struct Ear {
    log: Arc<EventLog>,
    subscriber: Box<Subscriber>,
    wakeup: Wakeup,
    receiver: EventReceiver,
}

impl Ear {
    /// Subscribes to an engine without other subscribers.
    fn of(
        engine: &mut Engine<Publisher>,
        kinds: &[EventKind],
        scope: Scope,
        records: usize,
        capacity: usize,
    ) -> Self {
        let filter = EventFilter {
            kinds: EventKinds::of(kinds),
            side: None,
            worker: None,
            scope,
        };
        let log = EventLog::new(capacity, Arc::new(EventNotifier::new().unwrap()));
        let mut interest = Box::new(Interest::default());
        interest.add(&filter);
        engine.sink().set_interest(interest, Arc::clone(&log));
        let queue = EventQueue::new(records);
        let wakeup = Wakeup::new(&Arc::default());
        let start = (Arc::clone(&log), log.head());
        let receiver = EventReceiver::new(Arc::clone(&queue));
        let subscriber = Subscriber::new(7, &filter, start, engine.reader(), queue, wakeup.clone());
        assert!(wakeup.take());
        Self {
            log,
            subscriber,
            wakeup,
            receiver,
        }
    }

    /// Reads the log, and returns the deliveries.
    fn deliveries(&mut self) -> Vec<Delivery> {
        while self.subscriber.turn() {}
        self.receiver.by_ref().collect()
    }

    /// Returns the events, of which none may be lost.
    fn events(&mut self) -> Vec<RecordedEvent> {
        let event = |delivery| match delivery {
            Delivery::Record(record) => record.what,
            Delivery::Lost(losses) => panic!("{losses:?}"),
        };
        self.deliveries().into_iter().map(event).collect()
    }
}

/// Returns whether the descriptor was readable, and clears it.
fn is_notified(notifier: &EventNotifier) -> bool {
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
fn adjacent_data_of_a_batch_is_one_record_and_the_dispatcher_is_notified_once() {
    let mut engine = engine();
    let kinds = [EventKind::Opened, EventKind::Data];
    let mut ear = Ear::of(&mut engine, &kinds, Scope::All, 10, 100);
    let notifier = Arc::clone(ear.log.notifier());
    notifier.arm();
    process(
        &mut engine,
        5,
        &[
            segment(1, true, SYN, 99, b""),
            segment(1, true, ACK, 100, b"abc"),
        ],
    );
    assert!(is_notified(&notifier) && !is_notified(&notifier));
    process(
        &mut engine,
        6,
        &[
            segment(1, true, ACK, 103, b"de"),
            segment(1, true, ACK, 105, b"f"),
        ],
    );
    assert!(!is_notified(&notifier), "it is not armed");
    assert!(!ear.wakeup.is_set());
    let records = ear.deliveries();
    assert!(ear.wakeup.take());
    let id = engine.reader().connections(None).next().unwrap().id;
    let Some(Delivery::Record(EventRecord {
        time: 5,
        what: RecordedEvent::Opened { id: opened, ends },
        ..
    })) = records.first()
    else {
        panic!("{records:?}");
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
            lost: Losses::default(),
        })
    };
    assert_eq!(records[1..], [data(5, 0, 3), data(6, 3, 3)]);
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
    let mut ear = Ear::of(&mut engine, ALL, Scope::Some(filter), 10_000, 100_000);
    for port in [5000, 5001, 7000, 7001] {
        process(&mut engine, 2, &[segment(port, true, ACK, 100, b"x")]);
    }
    // Read now: later, the connections may be gone.
    let mut events = ear.events();
    // The connection ends, so that its slot may get another occupant.
    process(&mut engine, 2, &[segment(5000, true, RST | ACK, 101, b"")]);
    // Enough connections for a new occupant in every free slot.
    for port in 10_000..20_000 {
        process(&mut engine, 3, &[segment(port, true, SYN, 99, b"")]);
    }
    process(&mut engine, 4, &[segment(5000, true, SYN, 999, b"")]);
    events.extend(ear.events());
    let (mut opened, mut data) = (Vec::new(), 0);
    for event in events {
        match event {
            RecordedEvent::Opened { ends, .. } => opened.push(ends.client().port()),
            RecordedEvent::Event(Event::Data { .. }) => data += 1,
            RecordedEvent::Event(_) => {}
        }
    }
    assert_eq!((opened, data), (vec![7001, 5000], 2));
}

#[test]
fn the_end_of_a_connection_passes_a_filter_after_the_connection_is_gone() {
    let config = EngineConfig {
        memory: 1 << 20,
        ..EngineConfig::default()
    };
    let mut engine = Publisher::engine(config).unwrap();
    process(&mut engine, 1, &[segment(5000, true, SYN, 99, b"")]);
    let filter = Arc::new(Filter::compile("port 5000").unwrap());
    let kinds = [EventKind::Evicted, EventKind::Closed];
    let mut ear = Ear::of(&mut engine, &kinds, Scope::Some(filter), 100, 100_000);
    for port in 10_000..20_000 {
        process(&mut engine, 2, &[segment(port, true, SYN, 99, b"")]);
    }
    let events = ear.events();
    assert!(
        matches!(events[..], [RecordedEvent::Event(Event::Evicted { .. })]),
        "{events:?}"
    );
}

#[test]
fn one_connection_and_nothing_without_interest() {
    let mut engine = engine();
    process(
        &mut engine,
        1,
        &[
            segment(1, true, SYN, 99, b""),
            segment(2, true, SYN, 99, b""),
        ],
    );
    let reader = engine.reader();
    let first = reader
        .connections(None)
        .find(|connection| connection.client.port() == 1)
        .unwrap()
        .id;
    let mut ear = Ear::of(&mut engine, &[EventKind::Data], Scope::One(first), 10, 10);
    process(&mut engine, 2, &[segment(2, true, ACK, 100, b"x")]);
    assert_eq!(ear.log.head(), 0, "it isn't even written");
    process(&mut engine, 2, &[segment(1, true, ACK, 100, b"x")]);
    assert_eq!(ear.events().len(), 1);
    // The previous interest comes back to be freed.
    let notifier = Arc::clone(ear.log.notifier());
    notifier.arm();
    let nothing = Box::new(Interest::default());
    engine.sink().set_interest(nothing, Arc::clone(&ear.log));
    assert!(is_notified(&notifier));
    process(&mut engine, 2, &[segment(1, true, ACK, 101, b"x")]);
    assert_eq!(ear.log.head(), 1);
}

/// Opens connections from these ports.
fn open(engine: &mut Engine<Publisher>, ports: std::ops::Range<u16>) {
    for port in ports {
        process(engine, 1, &[segment(port, true, SYN, 99, b"")]);
    }
}

/// Returns the client's port of an opened connection, or the number of lost records.
fn port(delivery: Delivery) -> Result<u16, u64> {
    match delivery {
        Delivery::Record(EventRecord {
            what: RecordedEvent::Opened { ends, .. },
            ..
        }) => Ok(ends.client().port()),
        Delivery::Record(_) => panic!("another event"),
        Delivery::Lost(losses) => {
            assert_eq!(losses.ends, 0, "no end was subscribed to");
            Err(losses.count)
        }
    }
}

#[test]
fn a_full_queue_loses_records_and_reports_them_in_their_place() {
    let mut engine = engine();
    let mut ear = Ear::of(&mut engine, &[EventKind::Opened], Scope::All, 4, 100);
    open(&mut engine, 100..110);
    while ear.subscriber.turn() {}
    assert_eq!(ear.receiver.next().map(port), Some(Ok(100)));
    open(&mut engine, 110..113);
    let rest: Vec<_> = ear.deliveries().into_iter().map(port).collect();
    assert_eq!(rest, [Ok(101), Ok(102), Ok(103), Err(6), Ok(110), Err(2)]);
}

#[test]
fn a_subscriber_that_the_log_overtakes_reports_the_loss_and_continues() {
    let mut engine = engine();
    let mut ear = Ear::of(&mut engine, &[EventKind::Opened], Scope::All, 100, 16);
    open(&mut engine, 100..103);
    let start: Vec<_> = ear.deliveries().into_iter().map(port).collect();
    assert_eq!(start, [Ok(100), Ok(101), Ok(102)]);
    open(&mut engine, 103..150);
    let rest: Vec<_> = ear.deliveries().into_iter().map(port).collect();
    let expected = std::iter::once(Err(33)).chain((136..150).map(Ok));
    assert_eq!(rest, expected.collect::<Vec<_>>());
}

#[test]
fn lost_ends_of_connections_are_counted_apart() {
    let mut engine = engine();
    let kinds = [EventKind::Opened, EventKind::Closed];
    let mut ear = Ear::of(&mut engine, &kinds, Scope::All, 2, 100);
    open(&mut engine, 100..103);
    let reset = |port| segment(port, true, RST, 100, b"");
    process(&mut engine, 2, &[reset(100), reset(101)]);
    while ear.subscriber.turn() {}
    let lost = |count, ends| Some(Delivery::Lost(Losses { count, ends }));
    assert_eq!(ear.receiver.next().map(port), Some(Ok(100)));
    assert_eq!(ear.receiver.next().map(port), Some(Ok(101)));
    assert_eq!(ear.receiver.next(), lost(3, 2));
    // Entries that were overwritten may all be ends.
    let mut engine = self::engine();
    let mut ear = Ear::of(&mut engine, &kinds, Scope::All, 100, 16);
    open(&mut engine, 0..40);
    ear.subscriber.turn();
    let Some(Delivery::Lost(losses)) = ear.receiver.next() else {
        panic!("a log of 16 entries holds no 40 events");
    };
    assert_eq!(losses.ends, losses.count);
}
