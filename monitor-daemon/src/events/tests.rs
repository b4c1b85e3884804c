//! What listeners of an engine hear.

use std::sync::Arc;

use monitor_engine::{Engine, EngineConfig, Event, LinkType, Packet, Side, SockId};

use super::*;
use crate::filter::Filter;

const SYN: u8 = 2;
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
    bell: Arc<Bell>,
    line: Arc<Line>,
    tail: Tail,
}

fn listen(
    engine: &mut Engine<Publisher>,
    kinds: &[Kind],
    whose: Whose,
    notes: Option<usize>,
) -> Ear {
    let bell = Arc::new(Bell::new().unwrap());
    let line = Line::new(notes);
    let interest = Interest {
        kinds: Kinds::of(kinds),
        side: None,
        whose,
    };
    let slots = engine.reader().slots();
    let listener = Listener::new(7, &interest, slots, Arc::clone(&line), Arc::clone(&bell));
    engine.sink().listen(listener);
    Ear {
        bell,
        tail: Tail::new(Arc::clone(&line)),
        line,
    }
}

fn events(ear: &mut Ear) -> Vec<What> {
    let note = |told| match told {
        Told::Note(note) => Some(note.what),
        Told::Lost(count) => panic!("{count} lost"),
    };
    ear.tail.by_ref().filter_map(note).collect()
}

fn rung(bell: &Bell) -> bool {
    rustix::io::read(bell.fd(), &mut [0; 8]).is_ok()
}

const ALL: &[Kind] = &[
    Kind::Opened,
    Kind::Established,
    Kind::Data,
    Kind::State,
    Kind::Closed,
];

#[test]
fn neighbouring_data_of_a_batch_is_one_note_and_the_bell_rings_once() {
    let mut engine = engine();
    let mut ear = listen(
        &mut engine,
        &[Kind::Opened, Kind::Data],
        Whose::All,
        Some(10),
    );
    ear.bell.arm();
    process(
        &mut engine,
        5,
        &[
            segment(1, true, SYN, 99, b""),
            segment(1, true, ACK, 100, b"abc"),
        ],
    );
    assert!(rung(&ear.bell) && !rung(&ear.bell) && ear.line.take_news());
    process(
        &mut engine,
        6,
        &[
            segment(1, true, ACK, 103, b"de"),
            segment(1, true, ACK, 105, b"f"),
        ],
    );
    assert!(!rung(&ear.bell), "it is not armed");
    let id = engine.reader().connections(None).next().unwrap().id;
    let notes: Vec<_> = ear.tail.by_ref().collect();
    let Some(Told::Note(Note {
        time: 5,
        what: What::Opened { id: opened, ends },
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
        let what = What::Event(Event::Data {
            id,
            side: Side::Server,
            off,
            len,
        });
        Told::Note(Note {
            time,
            what,
            lost: 0,
        })
    };
    assert_eq!(notes[1..], [data(5, 0, 3), data(6, 3, 3)]);
}

#[test]
fn a_filter_is_asked_about_old_and_new_connections_and_about_each_inhabitant_of_a_slot() {
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
    let mut ear = listen(&mut engine, ALL, Whose::Some(filter), Some(10_000));
    for port in [5000, 5001, 7000, 7001] {
        process(&mut engine, 2, &[segment(port, true, ACK, 100, b"x")]);
    }
    // So many that every slot gets another inhabitant.
    for port in 10_000..20_000 {
        process(&mut engine, 3, &[segment(port, true, SYN, 99, b"")]);
    }
    process(&mut engine, 4, &[segment(5000, true, SYN, 999, b"")]);
    let (mut opened, mut data) = (Vec::new(), 0);
    for what in events(&mut ear) {
        match what {
            What::Opened { ends, .. } => opened.push(ends.client().port()),
            What::Event(Event::Data { .. }) => data += 1,
            What::Event(_) => {}
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
    let mut ear = listen(&mut engine, &[Kind::Data], Whose::One(first), Some(10));
    let mut level = listen(&mut engine, &[Kind::Data], Whose::One(second), None);
    process(&mut engine, 2, &[segment(1, true, ACK, 100, b"x")]);
    assert_eq!(events(&mut ear).len(), 1);
    assert!(ear.line.take_news() && !level.line.take_news());
    process(&mut engine, 2, &[segment(2, true, ACK, 100, b"x")]);
    assert!(!ear.line.take_news() && level.line.take_news());
    assert!(events(&mut ear).is_empty() && events(&mut level).is_empty());
    // Both are called 7: a name that is there twice is nobody's business, they go one after another.
    level.bell.arm();
    ear.bell.arm();
    engine.sink().forget(7);
    engine.sink().forget(7);
    engine.sink().forget(7);
    assert!(
        rung(&level.bell) && rung(&ear.bell),
        "what is to be freed has come back"
    );
    process(&mut engine, 2, &[segment(1, true, ACK, 101, b"x")]);
    assert!(events(&mut ear).is_empty() && !ear.line.take_news());
    ear.bell.arm();
    assert_eq!(
        Arc::strong_count(&ear.line),
        2,
        "only the tail and the test are left"
    );
}

#[test]
fn a_full_queue_loses_and_says_where() {
    let mut engine = engine();
    let mut ear = listen(&mut engine, &[Kind::Opened], Whose::All, Some(4));
    let open = |engine: &mut _, ports: std::ops::Range<u16>| {
        for port in ports {
            process(engine, 1, &[segment(port, true, SYN, 99, b"")]);
        }
    };
    let port = |told| match told {
        Told::Note(Note {
            what: What::Opened { ends, .. },
            ..
        }) => Ok(ends.client().port()),
        Told::Note(_) => panic!("another event"),
        Told::Lost(count) => Err(count),
    };
    open(&mut engine, 100..110);
    assert_eq!(ear.tail.next().map(port), Some(Ok(100)));
    open(&mut engine, 110..113);
    let rest: Vec<_> = ear.tail.by_ref().map(port).collect();
    assert_eq!(rest, [Ok(101), Ok(102), Ok(103), Err(6), Ok(110), Err(2)]);
}
