//! Patterns in streams: searched for in the store's bytes, on the client's own task, after the workers' notes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use monitor_engine::{EndReason, Event, NextKind, Reader, Side, SockId};
use monitor_rpc::types::{Context, EventParams, PatternId};

use crate::events::{Delivery, EventRecord, RecordedEvent};
use crate::rpc::access::account::Lease;
use crate::rpc::subscriptions::notification_writer::NotificationWriter;
use crate::rpc::subscriptions::subscription::Subscription;
use crate::rpc::view;
use crate::scan::{Match, Place, Scratch, Set, Stream};

/// Bytes searched before other clients of this thread, and this client's requests, get their turn; a note counts as
/// some of them.
const TURN: usize = 256 * 1024;
const NOTE: usize = 256;
/// Bytes searched at a time: what is found in them is held until it is told.
const PIECE: usize = 8 * 1024;
/// Sides that one client's search knows. What comes on others is not searched, and that is told.
const MOST_SIDES: usize = 65_536;

/// `watch`. The workers' notes say no more than that there are bytes; they are read from the store, so that a note that
/// was lost is made up for by the next one.
pub(crate) struct Watch {
    subscription: Subscription,
    search: Search,
    /// `None`: searched to its end. Notes of what was read ahead of them may still come.
    places: HashMap<(SockId, Side), Option<Place>>,
    /// What is being looked at, and what comes then.
    looks: Vec<Look>,
    more: bool,
    _memory: Lease,
}

/// What is searched for, and how it is told.
pub(crate) struct Search {
    pub(crate) set: Arc<Set>,
    pub(crate) scratch: Scratch,
    /// What events call the patterns.
    pub(crate) names: Vec<PatternId>,
    /// Bytes around matches that are told.
    pub(crate) context: Option<usize>,
}

/// A side that has to be looked at.
#[derive(Clone, Copy, Debug)]
struct Look {
    id: SockId,
    side: Side,
    time: u64,
    /// The connection has ended: what is there is all.
    over: bool,
}

impl Watch {
    pub(crate) fn new(subscription: Subscription, search: Search, memory: Lease) -> Self {
        Self {
            subscription,
            search,
            places: HashMap::new(),
            looks: Vec::new(),
            more: false,
            _memory: memory,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.subscription.number()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.more || self.subscription.is_ready()
    }

    pub(crate) async fn notify(&mut self, writer: &mut NotificationWriter<'_>) -> io::Result<()> {
        self.subscription.take_ready();
        let mut left = TURN;
        while left > 0 {
            if let Some(look) = self.looks.last().copied() {
                match self.step(look, writer).await? {
                    0 => drop(self.looks.pop()),
                    searched => left = left.saturating_sub(searched),
                }
                continue;
            }
            left = left.saturating_sub(NOTE);
            match self.subscription.next() {
                Some(Delivery::Record(note)) => self.note(&note, writer),
                Some(Delivery::Lost(count)) => self.lost(count, writer),
                None => {
                    self.more = false;
                    return Ok(());
                }
            }
            writer.out.flush_if_full().await?;
        }
        self.more = true;
        Ok(())
    }

    fn note(&mut self, note: &EventRecord, writer: &mut NotificationWriter<'_>) {
        let RecordedEvent::Event(event) = note.what else {
            return;
        };
        let look = |id, side, over| Look {
            id,
            side,
            time: note.time,
            over,
        };
        match event {
            Event::Data { id, side, off, len } => {
                if self.know(id, side, off, writer) {
                    self.looks.push(look(id, side, false));
                } else {
                    let params = EventParams {
                        off: Some(off),
                        len: Some(len),
                        ..self.about("lost", id, side)
                    };
                    writer.event(&params);
                }
            }
            Event::Closed { id, .. } => self
                .looks
                .extend(Side::BOTH.map(|side| look(id, side, true))),
            // A FIN without bytes.
            Event::State { id, .. } => self
                .looks
                .extend(Side::BOTH.map(|side| look(id, side, false))),
            Event::Evicted { id } => Side::BOTH
                .into_iter()
                .for_each(|side| self.forget(id, side)),
            _ => {}
        }
    }

    /// What the notes told of may have been anything: all sides are looked at.
    fn lost(&mut self, count: u64, writer: &mut NotificationWriter<'_>) {
        writer.lost(self.number(), count);
        self.sweep(&writer.shared.status.readers);
        self.looks
            .extend(self.places.keys().map(|&(id, side)| Look {
                id,
                side,
                time: 0,
                over: false,
            }));
    }

    /// Whether the side is searched, from `off` on if it is new.
    fn know(&mut self, id: SockId, side: Side, off: u64, writer: &NotificationWriter<'_>) -> bool {
        if self.places.contains_key(&(id, side)) {
            return true;
        }
        if self.places.len() >= MOST_SIDES {
            self.sweep(&writer.shared.status.readers);
        }
        let room = self.places.len() < MOST_SIDES;
        if room {
            self.places
                .insert((id, side), Some(self.search.set.start(off)));
        }
        room
    }

    /// Forgets what is gone.
    fn sweep(&mut self, readers: &[Reader]) {
        self.places.retain(|(id, _), _| {
            readers
                .get(usize::from(id.worker()))
                .is_some_and(|reader| reader.connection(*id).is_some())
        });
    }

    fn forget(&mut self, id: SockId, side: Side) {
        self.places.remove(&(id, side));
    }

    /// Searches on; how many bytes, at least 1 when there was something. 0: there is nothing more for now.
    async fn step(&mut self, look: Look, writer: &mut NotificationWriter<'_>) -> io::Result<usize> {
        let Look { id, side, over, .. } = look;
        let readers = &writer.shared.status.readers;
        let place = self.places.get_mut(&(id, side)).and_then(Option::as_mut);
        let (Some(reader), Some(place)) = (readers.get(usize::from(id.worker())), place) else {
            if over {
                self.forget(id, side);
            }
            return Ok(0);
        };
        let at = place.at();
        let next = reader.next_from(id, side, at, writer.peeks.own(PIECE));
        let Search { set, scratch, .. } = &mut self.search;
        let mut stream = Stored { reader, id, side };
        let mut matches: Vec<Match> = Vec::new();
        let mut last = false;
        let searched = match next.kind {
            NextKind::Bytes { len, eof, .. } => {
                matches.extend(set.scan(scratch, place, writer.peeks.filled(len), &mut stream));
                if eof {
                    matches.extend(set.finish(scratch, place, &mut stream));
                }
                last = eof;
                len
            }
            NextKind::Lost { to } | NextKind::Gap { to } => {
                matches.extend(set.skip(scratch, place, to, &mut stream));
                NOTE
            }
            NextKind::End(EndReason::Eof) => {
                matches.extend(set.finish(scratch, place, &mut stream));
                last = true;
                0
            }
            NextKind::End(EndReason::Closed) if over => {
                // What waited for the next byte is not waited for any more.
                matches.extend(set.skip(scratch, place, at, &mut stream));
                last = true;
                0
            }
            NextKind::Pending | NextKind::End(EndReason::Closed) => 0,
            NextKind::Busy => {
                // It is read again, after other clients.
                tokio::task::yield_now().await;
                return Ok(NOTE);
            }
            NextKind::End(EndReason::Disabled | EndReason::Gone) => {
                last = true;
                0
            }
        };
        let dropped = scratch.take_dropped();
        if over && last {
            self.forget(id, side);
        } else if last {
            self.places.insert((id, side), None);
        }
        if let NextKind::Lost { to } = next.kind {
            writer.event(&EventParams {
                off: Some(at),
                len: Some(to - at),
                ..self.about("lost", id, side)
            });
        }
        writer.shared.metrics.searched_bytes.add(searched as u64);
        self.matched(look, &matches, writer).await?;
        if dropped > 0 {
            writer.event(&EventParams {
                count: Some(dropped),
                ..self.about("lost", id, side)
            });
        }
        Ok(searched)
    }

    async fn matched(
        &self,
        look: Look,
        matches: &[Match],
        writer: &mut NotificationWriter<'_>,
    ) -> io::Result<()> {
        for found in matches {
            let reader = writer
                .shared
                .status
                .readers
                .get(usize::from(look.id.worker()));
            let context = self.search.context.zip(reader);
            let params = EventParams {
                time: (look.time > 0).then(|| view::seconds(look.time)),
                off: Some(found.off),
                len: Some(found.len),
                pattern: self.search.names.get(found.pattern as usize).cloned(),
                cut: found.cut.then_some(true),
                context: context
                    .and_then(|(around, reader)| surroundings(reader, look, found, around)),
                ..self.about("match", look.id, look.side)
            };
            writer.event(&params);
            writer.out.flush_if_full().await?;
        }
        Ok(())
    }

    fn about(&self, event: &'static str, id: SockId, side: Side) -> EventParams {
        EventParams {
            listener: self.number(),
            event: Cow::Borrowed(event),
            sockid: Some(id.as_u64()),
            side: Some(view::side_name(side)),
            ..EventParams::default()
        }
    }
}

/// The match and so many bytes around it, as far as they are there.
fn surroundings(reader: &Reader, look: Look, found: &Match, around: usize) -> Option<Context> {
    let wanted = usize::try_from(found.len)
        .unwrap_or(usize::MAX)
        .saturating_add(around);
    let read = |off: u64| {
        let mut bytes = vec![0; wanted.saturating_add((found.off.saturating_sub(off)) as usize)];
        let len = reader.peek(look.id, look.side, off, &mut bytes).ok()?.len;
        bytes.truncate(len);
        // Up to a hole in front of the match, or not at all.
        (off + len as u64 > found.off).then(|| Context {
            off,
            data: STANDARD.encode(&bytes),
        })
    };
    read(found.off.saturating_sub(around as u64)).or_else(|| read(found.off))
}

/// A side in the store.
struct Stored<'a> {
    reader: &'a Reader,
    id: SockId,
    side: Side,
}

impl Stream for Stored<'_> {
    fn read(&mut self, off: u64, to: &mut [u8]) -> bool {
        self.reader
            .peek(self.id, self.side, off, to)
            .is_ok_and(|peek| peek.len == to.len())
    }
}
