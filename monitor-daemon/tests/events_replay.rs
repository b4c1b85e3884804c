//! Events of a replay: the same for any number of workers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use monitor_daemon::capture::replay::{Options, Replay};
use monitor_daemon::events::{
    Delivery, EventFilter, EventKind, EventKinds, EventLog, EventNotifier, EventQueue,
    EventReceiver, Interest, Publisher, RecordedEvent, Scope, Subscriber, Wakeup,
};
use monitor_engine::{EngineConfig, Event};
use monitor_tests::wiregen::{Capture, End, Flow, Layers, Random};

const KINDS: &[EventKind] = &[
    EventKind::Opened,
    EventKind::Established,
    EventKind::Data,
    EventKind::Gap,
    EventKind::Filled,
    EventKind::Retransmit,
    EventKind::Conflict,
    EventKind::State,
    EventKind::Closed,
    EventKind::Evicted,
];

/// Flows with all that goes wrong, among each other.
fn capture() -> Capture {
    Capture::mix((0..40_u16).map(|number| {
        let mut random = Random::new(number.into());
        let mut flow = Flow::new(
            &format!("10.0.0.{}:{}", number % 7, 30_000 + number),
            "10.1.0.1:80",
        );
        flow.open();
        for _ in 0..5 {
            let (request, response) = (random.below(5000), random.below(50_000));
            flow.send(End::Client, &random.bytes(request))
                .send(End::Server, &random.bytes(response));
        }
        if number % 3 == 0 {
            flow.reset(End::Server)
        } else {
            flow.close()
        };
        flow.duplicate(&mut random, 3)
            .overlap(&mut random, 3)
            .reorder(&mut random, 5, 4);
        flow.lose(&mut random, 1);
        Capture::of(&Layers::ethernet(), &flow)
    }))
}

/// Returns the events of each connection in order, by the client's address. Consecutive data events are merged: the
/// events between them decide which ones arrive together.
fn events(file: &std::path::Path, workers: u16) -> BTreeMap<String, Vec<String>> {
    let replay = Replay::open(
        &[file.to_owned()],
        Options {
            workers,
            ..Options::default()
        },
    )
    .unwrap();
    let notifier = Arc::new(EventNotifier::new().unwrap());
    let filter = EventFilter {
        kinds: EventKinds::of(KINDS),
        side: None,
        worker: None,
        scope: Scope::All,
    };
    let mut all = BTreeMap::new();
    for worker in 0..workers {
        let config = EngineConfig {
            worker,
            workers,
            only_own: true,
            memory: 32 << 20,
            ..Default::default()
        };
        let mut engine = Publisher::engine(config).unwrap();
        let log = EventLog::new(1 << 20, Arc::clone(&notifier));
        let mut interest = Box::new(Interest::default());
        interest.add(&filter);
        engine.sink().set_interest(interest, Arc::clone(&log));
        let queue = EventQueue::new(1 << 20);
        let mut subscriber = Subscriber::new(
            1,
            &filter,
            (log, 0),
            engine.reader(),
            Arc::clone(&queue),
            Wakeup::new(&Arc::default()),
        );
        replay
            .run(worker, &mut engine, &mut |_, _| true, || ())
            .unwrap();
        while subscriber.turn() {}
        let mut names = HashMap::new();
        for told in EventReceiver::new(queue) {
            let Delivery::Record(note) = told else {
                panic!("{told:?}")
            };
            let (id, text) = match note.what {
                RecordedEvent::Opened { id, ends } => {
                    names.insert(id, ends.client().to_string());
                    (id, "opened".to_owned())
                }
                RecordedEvent::Event(event) => {
                    (monitor_daemon::events::subject(&event).0, describe(event))
                }
            };
            let list: &mut Vec<String> = all.entry(names[&id].clone()).or_default();
            match list.last_mut().and_then(|last| joined(last, &text)) {
                Some(longer) => *list.last_mut().unwrap() = longer,
                None => list.push(text),
            }
        }
    }
    all
}

fn describe(event: Event) -> String {
    match event {
        Event::Data { side, off, len, .. } => format!("data {side:?} {off} {len}"),
        // Without its id, which names a worker and a slot.
        event => {
            let text = format!("{event:?}");
            let (kind, rest) = text.split_once(" { ").unwrap();
            format!("{kind} {}", rest.split_once(')').unwrap().1)
        }
    }
}

fn joined(last: &str, next: &str) -> Option<String> {
    let parse = |text: &str| {
        let (side, numbers) = text.strip_prefix("data ")?.split_once(' ')?;
        let (off, len) = numbers.split_once(' ')?;
        Some((
            side.to_owned(),
            off.parse::<u64>().ok()?,
            len.parse::<u64>().ok()?,
        ))
    };
    let ((side, off, len), (other, from, more)) = (parse(last)?, parse(next)?);
    (side == other && off + len == from).then(|| format!("data {side} {off} {}", len + more))
}

#[test]
fn one_worker_and_four_deliver_the_same_events() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("capture");
    std::fs::write(&file, capture().pcap()).unwrap();
    let (one, four) = (events(&file, 1), events(&file, 4));
    assert_eq!(one.len(), 40);
    for (client, events) in &one {
        assert_eq!(Some(events), four.get(client), "{client}");
    }
    assert_eq!(one.len(), four.len());
    let everything = one
        .values()
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    for kind in [
        "opened",
        "Established",
        "data",
        "Gap",
        "Retransmit",
        "State",
        "Closed",
    ] {
        assert!(everything.contains(kind), "no {kind} in the capture");
    }
}
