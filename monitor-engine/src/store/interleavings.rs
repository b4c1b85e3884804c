//! Every way in which one writer and one reader can meet, by the model checker loom: all interleavings of their
//! accesses to the store, and for each relaxed load every value that it may return.
//!
//! The writer is the real [`Receiver`], the reader the real [`Reader`]. Each test is one of the ways to replace
//! bytes that a reader may be copying, or the one way to add some.

use std::sync::Arc;

use super::blocks::Pool;
use super::memory::{BLOCK, Memory};
use super::record::{NO_FIN, Record, flag};
use super::windows::Windows;
use super::{Release, Space, fence};
use crate::payload::Payload;
use crate::reassembly::overlap::History;
use crate::reassembly::{Limits, Receiver};
use crate::{Counters, NoData, OverlapPolicy, Peek, PeekError, Reader, Side, SockId};

const SIDE: Side = Side::Server;
const WINDOW: usize = BLOCK;
/// Few enough that what is given back is taken again at once.
const BLOCKS: u32 = 2;

struct Writer {
    memory: Arc<Memory>,
    space: Space,
    counters: Counters,
}

impl Writer {
    fn new(policy: OverlapPolicy) -> Self {
        let memory = Arc::new(Memory::reserve(1, BLOCKS).unwrap());
        let space = Space {
            blocks: Pool::new(BLOCKS),
            history: History::new(8),
            parts: Vec::new(),
        };
        let mut writer = Self {
            memory,
            space,
            counters: Counters::default(),
        };
        writer.move_in(policy);
        writer
    }

    fn record(&self) -> &Record {
        self.memory.record(0).unwrap()
    }

    /// A connection moves in, as the engine lets it.
    fn move_in(&mut self, policy: OverlapPolicy) {
        self.record().write(|record| {
            record.generation.set(record.generation.get() + 1);
            record.flags.set(flag::ESTABLISHED);
            record.set_overlap([policy; 2]);
            let side = record.side(SIDE);
            for cell in [&side.base, &side.next, &side.end, &side.run] {
                cell.set(0);
            }
            side.fin.set(NO_FIN);
        });
    }

    /// And out.
    fn move_out(&mut self) {
        self.record()
            .write(|record| record.generation.set(record.generation.get() + 1));
        fence(Release);
        self.receiver(|receiver| {
            receiver.release();
        });
    }

    fn receiver(&mut self, act: impl FnOnce(&mut Receiver<'_, ()>)) {
        let memory = Arc::clone(&self.memory);
        act(&mut Receiver {
            memory: &memory,
            space: &mut self.space,
            counters: &self.counters,
            sink: &mut (),
            limits: Limits {
                window: WINDOW as u64,
                islands: 8,
            },
            id: SockId::new(0, 0, 0),
            name: SIDE,
            record: memory.record(0).unwrap(),
        });
    }

    fn segment(&mut self, off: usize, bytes: &[u8]) {
        self.receiver(|receiver| {
            receiver.segment(off as i64, &Payload::new(bytes, &[], bytes.len()), false)
        });
    }

    /// The connection that lives there now.
    fn id(&self) -> SockId {
        SockId::new(0, 0, self.record().generation.get() >> 1)
    }

    fn reader(&self) -> Reader {
        Reader::new(
            Arc::clone(&self.memory),
            Arc::new(Windows::new(WINDOW as u64, 1)),
            0,
        )
    }
}

/// Lets `write` meet a reader of `off..off + N` in every way there is with so many preemptions (more take hours, not
/// minutes); `right` judges what the reader got.
fn meet<const N: usize>(
    preemptions: usize,
    start: fn() -> Writer,
    off: usize,
    write: fn(&mut Writer),
    right: fn(&Result<Peek, PeekError>, [u8; N]),
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let mut writer = start();
        let (reader, id) = (writer.reader(), writer.id());
        let thread = loom::thread::spawn(move || {
            let mut bytes = [0; N];
            let peek = reader.peek(id, SIDE, off as u64, &mut bytes);
            right(&peek, bytes);
        });
        write(&mut writer);
        thread.join().unwrap();
    });
}

#[test]
fn bytes_that_are_announced_are_there() {
    meet::<16>(
        2,
        || Writer::new(OverlapPolicy::Linux),
        0,
        |writer| writer.segment(0, &[b'a'; 16]),
        |peek, bytes| match peek {
            Ok(peek) => assert_eq!((peek.len, bytes), (16, [b'a'; 16])),
            Err(PeekError::NoData { reason, .. }) => assert_eq!(*reason, NoData::Future),
            Err(error) => panic!("{error:?}"),
        },
    );
}

#[test]
fn a_block_used_again_is_never_read_under_its_old_offset() {
    meet::<8>(
        1,
        || {
            let mut writer = Writer::new(OverlapPolicy::Linux);
            writer.segment(0, &[b'a'; BLOCK]);
            writer
        },
        BLOCK - 8,
        // Ahead of a hole, and so far that the window leaves the first block: its place is the first one free.
        |writer| writer.segment(2 * BLOCK - 8, &[b'b'; 8]),
        |peek, bytes| match peek {
            Ok(peek) => assert_eq!((peek.len, bytes), (8, [b'a'; 8])),
            Err(PeekError::NoData { reason, .. }) => assert_eq!(*reason, NoData::Evicted),
            Err(error) => panic!("{error:?}"),
        },
    );
}

#[test]
fn bytes_that_are_overwritten_are_read_before_or_after() {
    meet::<16>(
        2,
        || {
            let mut writer = Writer::new(OverlapPolicy::Last);
            writer.segment(0, &[b'a'; 16]);
            writer
        },
        0,
        |writer| writer.segment(0, &[b'b'; 16]),
        |peek, bytes| {
            assert_eq!(peek.as_ref().map(|peek| peek.len), Ok(16));
            assert!(bytes == [b'a'; 16] || bytes == [b'b'; 16], "{bytes:?}");
        },
    );
}

#[test]
fn the_blocks_of_a_connection_that_is_gone_are_never_read_under_its_id() {
    meet::<8>(
        1,
        || {
            let mut writer = Writer::new(OverlapPolicy::Linux);
            writer.segment(0, &[b'a'; 8]);
            writer
        },
        0,
        |writer| {
            writer.move_out();
            // Whoever needs a block next writes into it, whatever that connection is.
            let block = writer.space.blocks.take().unwrap();
            writer.memory.write(block, 0, &[b'b'; 8]);
        },
        |peek, bytes| match peek {
            Ok(peek) => assert_eq!((peek.len, bytes), (8, [b'a'; 8])),
            Err(error) => assert_eq!(*error, PeekError::NoSuchConnection),
        },
    );
}

#[test]
fn the_blocks_of_a_side_that_is_switched_off_are_never_read_as_its_own() {
    meet::<8>(
        1,
        || {
            let mut writer = Writer::new(OverlapPolicy::Linux);
            writer.segment(0, &[b'a'; 8]);
            writer
        },
        0,
        |writer| {
            writer.receiver(|receiver| {
                receiver.disable();
            });
            let block = writer.space.blocks.take().unwrap();
            writer.memory.write(block, 0, &[b'b'; 8]);
        },
        |peek, bytes| match peek {
            Ok(peek) => assert_eq!((peek.len, bytes), (8, [b'a'; 8])),
            Err(error) => assert_eq!(*error, PeekError::Disabled),
        },
    );
}
