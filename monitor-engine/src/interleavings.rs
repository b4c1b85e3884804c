//! Model check of the store with loom: all interleavings of the accesses of one writer and one reader, and for each
//! relaxed load every value that it may return.
//!
//! The writer is the real [`Receiver`], the reader the real [`Reader`]. Each test is one of the ways to replace bytes
//! that a reader may be copying, or the one way to add some.

use std::sync::Arc;

use crate::payload::Payload;
use crate::reassembly::{Limits, Receiver, WriterState};
use crate::store::arena::{Arena, BLOCK};
use crate::store::header::{Identity, Sizes};
use crate::store::record::{NO_FIN, Record, flag};
use crate::store::{Release, fence};
use crate::{Counters, NoData, OverlapPolicy, Peek, PeekError, Reader, Side, SockId, Turn};

const SIDE: Side = Side::Server;
const WINDOW: usize = BLOCK;
/// Few enough that a freed block is allocated again at once.
const BLOCKS: u32 = 2;
/// The same with marks: their chunks take a block each.
const MARKED_BLOCKS: u32 = 3;
/// Window that allows several chunks of marks.
const MARKED_WINDOW: u64 = 1 << 12;
/// Times of marks, in different ticks.
const TIMES: [u64; 2] = [1 << 30, 2 << 30];

struct Writer {
    /// Time of the next segment.
    time: u64,
    /// Retention window, which bounds the chunks of marks, too.
    window: u64,
    arena: Arc<Arena>,
    writer: WriterState,
    counters: Counters,
}

impl Writer {
    fn new(policy: OverlapPolicy) -> Self {
        Self::with(policy, BLOCKS, false)
    }

    fn with(policy: OverlapPolicy, blocks: u32, marking: bool) -> Self {
        let arena =
            Arc::new(Arena::reserve(Sizes::new(1, blocks), Identity::default(), false).unwrap());
        let mut writer = WriterState::new(blocks, 8);
        writer.marking = marking;
        let mut writer = Self {
            time: TIMES[0],
            window: if marking {
                MARKED_WINDOW
            } else {
                WINDOW as u64
            },
            arena,
            writer,
            counters: Counters::default(),
        };
        writer.allocate(policy);
        writer
    }

    fn record(&self) -> Record<'_> {
        self.arena.record(0).unwrap()
    }

    /// Starts a connection as the engine does.
    fn allocate(&mut self, policy: OverlapPolicy) {
        self.record().update(|record| {
            record.generation.set(record.generation.get() + 1);
            record.flags.set(flag::ESTABLISHED);
            record.set_overlap([policy; 2]);
            let side = record.side(SIDE);
            for cell in [&side.stored.base, &side.next, &side.cold.contig_start] {
                cell.set(0);
            }
            side.set_end(0);
            side.join();
            side.set_fin(NO_FIN);
        });
    }

    /// Removes the connection as the engine does.
    fn remove(&mut self) {
        self.record()
            .update(|record| record.generation.set(record.generation.get() + 1));
        fence(Release);
        self.receiver(|receiver| {
            receiver.release();
        });
    }

    fn receiver(&mut self, act: impl FnOnce(&mut Receiver<'_, ()>)) {
        let arena = Arc::clone(&self.arena);
        let (time, window) = (self.time, self.window);
        act(&mut Receiver {
            arena: &arena,
            writer: &mut self.writer,
            counters: &self.counters,
            sink: &mut (),
            elsewhere: false,
            time,
            limits: Limits { window, ranges: 8 },
            id: SockId::new(0, 0, 0),
            name: SIDE,
            record: arena.record(0).unwrap(),
        });
    }

    fn segment(&mut self, off: usize, bytes: &[u8]) {
        let time = self.time;
        self.record().update(|record| record.touch(time));
        self.receiver(|receiver| {
            receiver.segment(off as i64, &Payload::new(bytes, &[], bytes.len()), false)
        });
    }

    /// Identifier of the current connection.
    fn id(&self) -> SockId {
        SockId::new(0, 0, self.record().generation.get() >> 1)
    }

    fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.arena), 0)
    }
}

/// Runs `write` against a reader of `off..off + N` in every interleaving with at most `preemptions` preemptions (more take
/// hours, not minutes); `check` judges the reader's result.
fn meet<const N: usize>(
    preemptions: usize,
    start: fn() -> Writer,
    off: usize,
    write: fn(&mut Writer),
    check: fn(&Result<Peek, PeekError>, [u8; N]),
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let mut writer = start();
        let (reader, id) = (writer.reader(), writer.id());
        let thread = loom::thread::spawn(move || {
            let mut bytes = [0; N];
            let peek = reader.peek(id, SIDE, off as u64, &mut bytes);
            check(&peek, bytes);
        });
        write(&mut writer);
        thread.join().unwrap();
    });
}

#[test]
fn announced_bytes_are_stored() {
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
fn a_reused_block_is_never_read_at_its_old_offset() {
    meet::<8>(
        1,
        || {
            let mut writer = Writer::new(OverlapPolicy::Linux);
            writer.segment(0, &[b'a'; BLOCK]);
            // Otherwise the writer sets that flag, too, and the test takes three minutes instead of one.
            writer.record().update(|record| record.side(SIDE).part());
            writer
        },
        BLOCK - 8,
        // Beyond a hole, where the window leaves the first block, which is the next to be allocated.
        |writer| writer.segment(2 * BLOCK - 8, &[b'b'; 8]),
        |peek, bytes| match peek {
            Ok(peek) => assert_eq!((peek.len, bytes), (8, [b'a'; 8])),
            Err(PeekError::NoData { reason, .. }) => assert_eq!(*reason, NoData::Evicted),
            Err(error) => panic!("{error:?}"),
        },
    );
}

#[test]
fn overwritten_bytes_are_read_before_or_after() {
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
fn the_blocks_of_a_removed_connection_are_never_read_by_its_id() {
    meet::<8>(
        1,
        || {
            let mut writer = Writer::new(OverlapPolicy::Linux);
            writer.segment(0, &[b'a'; 8]);
            writer
        },
        0,
        |writer| {
            writer.remove();
            // Another connection allocates the block and writes to it.
            let block = writer.writer.blocks.alloc().unwrap();
            writer.arena.write(block, 0, &[b'b'; 8]);
        },
        |peek, bytes| match peek {
            Ok(peek) => assert_eq!((peek.len, bytes), (8, [b'a'; 8])),
            Err(error) => assert_eq!(*error, PeekError::NoSuchConnection),
        },
    );
}

#[test]
fn the_blocks_of_a_disabled_side_are_never_read_as_its_own() {
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
            let block = writer.writer.blocks.alloc().unwrap();
            writer.arena.write(block, 0, &[b'b'; 8]);
        },
        |peek, bytes| match peek {
            Ok(peek) => assert_eq!((peek.len, bytes), (8, [b'a'; 8])),
            Err(error) => assert_eq!(*error, PeekError::Disabled),
        },
    );
}

#[test]
fn marks_of_a_reused_block_are_never_read() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(1);
    model.check(|| {
        let mut writer = Writer::with(OverlapPolicy::Linux, MARKED_BLOCKS, true);
        writer.segment(0, &[b'a'; 8]);
        writer.time = TIMES[1];
        writer.segment(8, &[b'b'; 8]);
        let (reader, id) = (writer.reader(), writer.id());
        let thread = loom::thread::spawn(move || {
            let found = reader.turns(id, [0, 0], 9).unwrap();
            let turn = |turn: &Turn| (turn.off, turn.len, turn.time);
            let turns: Vec<_> = found.turns.iter().map(turn).collect();
            let all = [(0, 8, TIMES[0]), (8, 8, TIMES[1])];
            assert!(turns == all || turns == all[1..], "{turns:?}");
        });
        writer.receiver(|receiver| receiver.raise_base(8));
        // Something else takes the block of the first mark.
        let block = writer.writer.blocks.alloc().unwrap();
        writer
            .arena
            .words(block)
            .iter()
            .for_each(|word| word.set(999));
        thread.join().unwrap();
    });
}
