//! Receiver under test.

use std::sync::Arc;

use super::{SPAN, Segment};
use crate::payload::Payload;
use crate::reassembly::{Limits, Receiver, WriterState};
use crate::store::arena::Arena;
use crate::store::header::{Identity, Sizes};
use crate::store::record::{NO_FIN, Record, flag};
use crate::{Counters, Event, OverlapPolicy, Reader, Side, SockId};

/// A real receiver of one side of one connection.
pub struct Bench {
    arena: Arc<Arena>,
    pub writer: WriterState,
    pub counters: Counters,
    pub events: Vec<Event>,
}

impl Bench {
    pub fn new(policy: OverlapPolicy, queued: u32) -> Self {
        let arena =
            Arc::new(Arena::reserve(Sizes::new(1, 64), Identity::default(), false).unwrap());
        let record = arena.record(0).unwrap();
        record.generation.set(1);
        record.flags.set(flag::ESTABLISHED);
        record.set_overlap([OverlapPolicy::First, policy]);
        record.side(Side::Server).set_fin(NO_FIN);
        let writer = WriterState::new(64, queued);
        Self {
            arena,
            writer,
            counters: Counters::default(),
            events: Vec::new(),
        }
    }

    pub fn receiver(&mut self) -> Receiver<'_, Vec<Event>> {
        Receiver {
            arena: &self.arena,
            writer: &mut self.writer,
            counters: &self.counters,
            sink: &mut self.events,
            elsewhere: false,
            time: 0,
            limits: Limits {
                window: 1 << 16,
                ranges: 1000,
            },
            id: SockId::new(0, 0, 0),
            name: Side::Server,
            record: self.arena.record(0).unwrap(),
        }
    }

    pub fn segment(&mut self, segment: Segment) {
        let bytes = vec![segment.byte; (segment.end - segment.start) as usize];
        self.receiver().segment(
            segment.start as i64,
            &Payload::new(&bytes, &[], bytes.len()),
            false,
        );
    }

    pub fn record(&self) -> Record<'_> {
        self.arena.record(0).unwrap()
    }

    /// Returns the received bytes, offset by offset.
    pub fn view(&self) -> Vec<Option<u8>> {
        let reader = Reader::new(Arc::clone(&self.arena), 0);
        let id = SockId::new(0, 0, 0);
        let byte = |off| {
            let mut byte = [0];
            reader
                .peek(id, Side::Server, off, &mut byte)
                .ok()
                .filter(|peek| peek.len == 1)
                .map(|_| byte[0])
        };
        (0..SPAN as u64).map(byte).collect()
    }
}
