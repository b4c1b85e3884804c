//! Order of events and packets that arrive through different subscriptions.

use std::collections::{BTreeMap, HashSet};
use std::ffi::c_int;
use std::time::{Duration, Instant};

use monitor_client::EventBody;

use crate::item::Item;

/// Time that the slower subscription has to catch up.
const DELAY: Duration = Duration::from_millis(20);

/// Place in the order: time in seconds as the bits of a positive number, which sort as it does; rank; number.
type Place = (u64, u8, u64);

/// Things that wait, by time.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    /// Sockets that have events and packets.
    listeners: HashSet<c_int>,
    waiting: BTreeMap<Place, (Instant, c_int, Item)>,
    added: u64,
    /// Time of the last event, for events without one.
    last: u64,
}

impl Merge {
    /// Sets the sockets that have events and packets.
    pub(crate) fn set(&mut self, listeners: HashSet<c_int>) {
        self.listeners = listeners;
    }

    /// Adds a thing, or returns it if its socket has nothing to merge.
    pub(crate) fn add(&mut self, listener: c_int, item: Item, now: Instant) -> Option<Item> {
        if !self.listeners.contains(&listener) {
            return Some(item);
        }
        self.added += 1;
        let (time, rank) = self.place(&item);
        self.waiting
            .insert((time, rank, self.added), (now, listener, item));
        None
    }

    /// Returns the earliest thing, if it has waited long enough.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(c_int, Item)> {
        let first = self.waiting.first_entry()?;
        if first.get().0 + DELAY > now {
            return None;
        }
        let (_, listener, item) = first.remove();
        Some((listener, item))
    }

    /// Returns the time at which the earliest thing has waited long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (arrival, _, _) = self.waiting.values().next()?;
        Some(*arrival + DELAY)
    }

    /// Returns the time of a thing, and its rank among those of one packet: the connection opens before its packet, and
    /// everything else follows it.
    fn place(&mut self, item: &Item) -> (u64, u8) {
        match item {
            // The same arithmetic as the daemon's, so that the times of an event and its packet are equal.
            Item::Packet(frame, _) => ((frame.time_ns as f64 / 1e9).to_bits(), 1),
            Item::Event(event) => {
                if let Some(time) = event.time {
                    self.last = time.max(0.0).to_bits();
                }
                let rank = match event.body {
                    EventBody::Opened { .. } => 0,
                    _ => 2,
                };
                (self.last, rank)
            }
            Item::Reopened => (self.last, 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use monitor_client::Notification;

    use super::*;
    use crate::frame::Frame;
    use crate::item::Purpose;

    fn event(time: f64, body: EventBody) -> Item {
        Item::Event(Box::new(Notification {
            listener: 1,
            time: Some(time),
            sockid: Some(9),
            body,
        }))
    }

    fn packet(time_ns: u64) -> Item {
        let mut bytes = vec![0x45, 0, 0, 20];
        bytes.resize(20, 0);
        let frame = Frame::parse(time_ns, 101, &bytes).unwrap();
        Item::Packet(Arc::new(frame), Purpose::Flow)
    }

    #[test]
    fn an_event_that_is_late_keeps_its_place() {
        let (mut merge, now) = (Merge::default(), Instant::now());
        assert!(merge.add(1, packet(5), now).is_some(), "nothing to merge");
        merge.set(HashSet::from([1]));
        let time = 1_790_000_000_123_456_789_u64;
        let seconds = time as f64 / 1e9;
        let opened = EventBody::Opened {
            client: "10.0.0.1:1".parse().unwrap(),
            server: "10.0.0.2:2".parse().unwrap(),
            vlan: Vec::new(),
            midstream: false,
        };
        for item in [
            packet(time),
            event(seconds, EventBody::Established),
            packet(time + 1_000_000),
            event(seconds, opened),
        ] {
            assert!(merge.add(1, item, now).is_none());
        }
        assert!(merge.next(now).is_none());
        let later = now + DELAY;
        assert_eq!(merge.deadline(), Some(later));
        let names: Vec<_> = std::iter::from_fn(|| merge.next(later))
            .map(|(_, item)| match item {
                Item::Event(event) => event.body.name(),
                _ => "packet",
            })
            .collect();
        assert_eq!(names, ["opened", "packet", "established", "packet"]);
    }
}
