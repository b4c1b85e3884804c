//! The same packets give the same connections, bytes and events, in any batches and with any number of workers.

use std::collections::BTreeMap;

use monitor_engine::{Engine, EngineConfig, Event, LinkType, Packet, Side, SockId};
use proptest::prelude::*;

use crate::common::frame::{FIN, PSH, RST, fragments};
use crate::common::{Flow, Lab, MS, S as SECOND};

/// History of one connection: its events without its id, and its bytes.
type Story = (String, Vec<String>, Vec<(u64, Vec<u8>)>);

/// All connections' stories, in an order of their own.
fn stories(packets: &[(u64, Vec<u8>)], workers: u16, batch: usize) -> Vec<Story> {
    let mut all = Vec::new();
    for worker in 0..workers {
        let mut config = EngineConfig {
            memory: 32 << 20,
            worker,
            workers,
            only_own: true,
            ..Lab::config()
        };
        config.tcp.idle_timeout = Some(5 * SECOND);
        config.tcp.linger = None;
        let mut engine = Engine::new(config, Vec::new()).unwrap();
        for chunk in packets.chunks(batch) {
            let packet = |(time, data): &'_ (u64, Vec<u8>)| (*time, data.clone());
            let chunk: Vec<_> = chunk.iter().map(packet).collect();
            let chunk: Vec<Packet<'_>> = chunk
                .iter()
                .map(|(time, data)| Packet {
                    time: *time,
                    interface: 0,
                    link: LinkType::Ip,
                    data,
                    more: &[],
                    cut: 0,
                    checksum: monitor_engine::Checksum::Unknown,
                })
                .collect();
            engine.process(&chunk);
        }
        engine.finish();
        all.extend(worker_stories(&mut engine));
    }
    all.sort();
    all
}

fn worker_stories(engine: &mut Engine<Vec<Event>>) -> Vec<Story> {
    let reader = engine.reader();
    let mut events: BTreeMap<SockId, Vec<String>> = BTreeMap::new();
    for event in std::mem::take(engine.sink()) {
        let id = id(&event);
        let text = format!("{event:?}").replace(&format!("{id:?}"), "");
        events.entry(id).or_default().push(text);
    }
    reader
        .connections(None)
        .map(|mut connection| {
            let id = std::mem::replace(&mut connection.id, SockId::new(0, 0, 0));
            let mut bytes = Vec::new();
            for side in Side::BOTH {
                for (off, len) in reader.extents(id, side).unwrap().runs {
                    let mut run = vec![0; len as usize];
                    assert_eq!(
                        reader.peek(id, side, off, &mut run).unwrap().len as u64,
                        len
                    );
                    bytes.push((off, run));
                }
            }
            (
                format!("{connection:?}"),
                events.remove(&id).unwrap_or_default(),
                bytes,
            )
        })
        .collect()
}

fn id(event: &Event) -> SockId {
    match *event {
        Event::Opened { id }
        | Event::Established { id }
        | Event::Data { id, .. }
        | Event::Gap { id, .. }
        | Event::Filled { id, .. }
        | Event::Retransmit { id, .. }
        | Event::Conflict { id, .. }
        | Event::Refused { id, .. }
        | Event::State { id, .. }
        | Event::Closed { id, .. }
        | Event::Evicted { id } => id,
    }
}

/// Sender, flow, kind, offset, and time since the last packet.
type Act = (bool, u32, u8, i64, u64);

fn packets(acts: &[Act]) -> Vec<(u64, Vec<u8>)> {
    let mut now = 1_000 * SECOND;
    let mut out = Vec::new();
    for &(client, flow, kind, off, pause) in acts {
        now += pause;
        let mut flow = Flow::numbered(flow);
        flow.acked = [off as u64 + 40, off as u64 + 40];
        let from = if client { Side::Client } else { Side::Server };
        match kind {
            0 => out.push((now, flow.syn().ip())),
            1 => out.push((now, flow.syn_ack().ip())),
            2 => out.push((now, flow.segment(from, off, FIN, b"end").ip())),
            3 => out.push((now, flow.segment(from, off, RST, b"").ip())),
            4 => {
                let whole = flow.segment(from, off, PSH, &[off as u8; 60]).ip();
                out.extend(
                    fragments(&whole, off as u32, 24)
                        .into_iter()
                        .rev()
                        .map(|part| (now, part)),
                );
            }
            _ => out.push((now, flow.segment(from, off, PSH, &[off as u8; 25]).ip())),
        }
    }
    out
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let pause = prop_oneof![20 => 0..50 * MS, 1 => 0..2 * SECOND, 1 => 4 * SECOND..7 * SECOND];
    prop::collection::vec(
        (
            any::<bool>(),
            0..8u32,
            0..20u8,
            (0..12i64).prop_map(|n| n * 20),
            pause,
        ),
        1..300,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn batches_and_workers_change_nothing(acts in acts(), batch in 2..100usize) {
        let packets = packets(&acts);
        let one = stories(&packets, 1, 1);
        for workers in [1, 4] {
            let other = stories(&packets, workers, batch);
            let differ = one.iter().zip(&other).find(|(one, other)| one != other);
            prop_assert!(differ.is_none(), "{} workers, batches of {}: {:#?}", workers, batch, differ);
            prop_assert_eq!(one.len(), other.len());
        }
    }
}
