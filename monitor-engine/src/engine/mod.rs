//! The engine: packets in, connections out.
//!
//! [`batch`] takes packets and finds their connections, [`open`] creates connections, [`follow`] applies one segment to
//! one connection, [`retire`] and [`evict`] end connections, [`control`] carries out the decisions of clients.

mod acknowledge;
mod apart;
mod batch;
mod bound;
mod conn;
mod control;
mod copies;
mod evict;
mod fin;
mod follow;
mod held;
mod losses;
mod open;
mod pending_losses;
mod plan;
mod resync;
mod retire;
mod timeouts;
mod transitions;

use std::sync::Arc;

use crate::decode::Decoder;
use crate::defrag::Defrag;
use crate::flow::{Class, Lists, Table};
use crate::reassembly::{Limits, Receiver, WriterState};
use crate::store::arena::{Arena, BLOCK};
use crate::store::blocks::BlockAllocator;
use crate::store::header::{Identity, Sizes};
use crate::store::range_set::MAX_RANGES;
use crate::store::record::{RECORD, Record};
use crate::tunnels::Tunnels;
use crate::{Counters, EngineConfig, LinkType, Reader, Side, Sink, SockId};
use bound::BoundSlots;
use conn::{Conn, window_cell};
pub use control::{ControlError, Rule, Shunt, SideSettings};
use held::segments::HeldSegments;
use pending_losses::PendingLosses;
pub use plan::EngineError;
use plan::Plan;
use timeouts::Pauses;

/// Follows the connections of one worker.
pub struct Engine<S: Sink = ()> {
    config: EngineConfig,
    decoder: Decoder,
    /// Most ranges of a side.
    max_ranges: usize,
    arena: Arc<Arena>,
    /// Records and blocks below which a shared store has its huge pages, and the numbers in use from which it needs more.
    provided_to: (u32, u32),
    provided: (u32, u32),
    writer: WriterState,
    /// Free slots of records; their numbers are allocated as those of blocks are.
    slots: BlockAllocator,
    table: Table,
    bound: BoundSlots,
    lists: Lists,
    defrag: Defrag,
    held: HeldSegments,
    pending_losses: PendingLosses,
    handoffs: Vec<Handoff>,
    /// Settings of new connections; the first rule that applies counts.
    rules: Vec<Rule>,
    shunts: Vec<Shunt>,
    counters: Arc<Counters>,
    sink: S,
    /// The segment being applied comes from another interface than the bytes before it.
    elsewhere: bool,
    /// Time of the latest packet, nanoseconds since the epoch.
    now: u64,
    /// Time of the next timeout: nothing is due before it.
    wake: u64,
    /// Most bytes that a side of a new connection retains.
    default_window: u32,
    /// Shortest timeout: no connection is due until its last packet is this old.
    shortest_timeout: u64,
    pauses: Pauses,
}

/// A datagram reassembled here for the worker that owns its flow.
#[derive(Debug)]
pub struct Handoff {
    /// Owner of the flow.
    pub worker: u16,
    /// Capture time, nanoseconds since the epoch.
    pub time: u64,
    /// Number of the interface where the last fragment was captured.
    pub interface: u16,
    /// First header of `data`.
    pub link: LinkType,
    /// The frame as if it had never been fragmented.
    pub data: Vec<u8>,
}

impl<S: Sink> Engine<S> {
    /// Creates an engine and reserves its memory.
    ///
    /// # Errors
    /// [`EngineError`] if the budget is too small or the address space is refused.
    pub fn new(config: EngineConfig, sink: S) -> Result<Self, EngineError> {
        let plan = Plan::of(config.memory.saturating_sub(Tunnels::bytes(config.tunnels)))?;
        let sizes = Sizes {
            records: plan.records,
            blocks: plan.blocks,
            tunnels: Tunnels::most(config.tunnels),
        };
        let identity = Identity {
            instance: config.instance,
            worker: config.worker,
        };
        let arena = Arena::reserve(sizes, identity, config.share).map_err(|source| {
            EngineError::Reserve {
                memory: config.memory,
                source,
            }
        })?;
        let arena = Arc::new(arena);
        let counters = Arc::new(Counters::default());
        counters.budget.set(config.memory);
        Ok(Self {
            decoder: Decoder {
                seed: config.seed,
                verify_checksums: config.tcp.verify_checksums,
                flow: config.flow,
                tunnels: Tunnels::new(config.tunnels, Arc::clone(&arena)),
            },
            max_ranges: config.tcp.max_ranges.clamp(1, MAX_RANGES),
            provided_to: (0, 0),
            provided: if config.share {
                (0, 0)
            } else {
                (u32::MAX, u32::MAX)
            },
            arena,
            writer: WriterState::new(plan.blocks, plan.queued),
            slots: BlockAllocator::new(plan.records),
            table: Table::new(plan.records),
            bound: BoundSlots::default(),
            lists: Lists::default(),
            defrag: Defrag::new(plan.fragments),
            held: HeldSegments::new(plan.held),
            pending_losses: PendingLosses::default(),
            handoffs: Vec::new(),
            rules: Vec::new(),
            shunts: Vec::new(),
            counters,
            sink,
            elsewhere: false,
            now: 0,
            wake: u64::MAX,
            default_window: window_cell(config.window),
            shortest_timeout: config.tcp.shortest_timeout(),
            pauses: Pauses::default(),
            config,
        })
    }

    /// Applies other settings from now on: the filter and the overlap policies to new connections, the rest to all.
    /// Worker number, key, memory and window stay as they were at creation.
    pub fn reconfigure(&mut self, config: &EngineConfig) {
        let EngineConfig { filter, tcp, .. } = config.clone();
        self.decoder.verify_checksums = tcp.verify_checksums;
        self.max_ranges = tcp.max_ranges.clamp(1, MAX_RANGES);
        self.shortest_timeout = tcp.shortest_timeout();
        // The next packet looks for connections that are due by the new timeouts.
        self.wake = 0;
        self.config = EngineConfig {
            filter,
            tcp,
            ..self.config.clone()
        };
    }

    /// Touches the whole store, so that no packet waits until the kernel has found a page. From then on the process's
    /// resident size is the budget.
    ///
    /// # Errors
    /// The system's error. The store works nevertheless, but less evenly.
    pub fn prefault(&mut self) -> std::io::Result<()> {
        self.provided = (u32::MAX, u32::MAX);
        self.arena.prefault()
    }

    /// Advances the time when no packets arrive (nanoseconds since the epoch), so that timeouts fire.
    pub fn advance(&mut self, now: u64) {
        self.tick(now);
        self.defrag.expire(self.now, &self.counters);
        self.finish_call();
    }

    /// Ends the capture: declares holes lost that can no longer be filled. Connections stay as they are.
    pub fn finish(&mut self) {
        let arena = Arc::clone(&self.arena);
        // Connections that have timed out first: decisions at the end must not prolong them.
        self.retire_all_overdue();
        self.finish_held(&arena);
        for class in Class::USED {
            for slot in self.members(class) {
                let Some(conn) = self.conn(&arena, slot) else {
                    continue;
                };
                for side in Side::BOTH {
                    self.receiver(conn, side).declare_lost_below(u64::MAX);
                }
                self.close_if_over(conn);
            }
        }
        self.finish_call();
    }

    /// Returns the datagrams for other workers since the last call. Nearly always empty, and free of cost then.
    pub fn handoffs(&mut self) -> std::vec::Drain<'_, Handoff> {
        self.handoffs.drain(..)
    }

    /// Creates a reader for any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.arena), self.config.worker)
    }

    /// Returns the counters, which any thread may read.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Returns the sink of the events.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Returns the handle of the connection in a slot; `None` past the last slot.
    #[inline(always)]
    fn conn<'a>(&self, arena: &'a Arena, slot: u32) -> Option<Conn<'a>> {
        let record = arena.record(slot)?;
        Some(Conn {
            slot,
            id: SockId::new(self.config.worker, slot, record.generation.get() >> 1),
            record,
        })
    }

    /// Returns the number of bytes that a side retains at most.
    #[inline(always)]
    fn window(&self, record: Record<'_>, side: Side) -> u64 {
        // Nearly always the same one, so that its line of the record isn't needed.
        u64::from(if record.has_own_windows() {
            record.window(side)
        } else {
            self.default_window
        })
    }

    /// Returns the writing end of one side.
    #[inline(always)]
    fn receiver<'a>(&'a mut self, conn: Conn<'a>, side: Side) -> Receiver<'a, S> {
        let window = self.window(conn.record, side);
        Receiver {
            id: conn.id,
            arena: &self.arena,
            writer: &mut self.writer,
            counters: &self.counters,
            sink: &mut self.sink,
            elsewhere: self.elsewhere,
            time: self.now,
            limits: Limits {
                window,
                ranges: self.max_ranges,
            },
            name: side,
            record: conn.record,
        }
    }

    /// Ends a call: updates the gauges and flushes the sink.
    fn finish_call(&mut self) {
        self.update_gauges();
        self.provide_ahead();
        self.sink.flush();
    }

    /// Makes the kernel provide the next huge pages of a shared store: the first use would get small ones. That takes as
    /// long as the first use of anonymous memory, and happens as often. Not needed after [`Engine::prefault`].
    #[inline]
    fn provide_ahead(&mut self) {
        let used = (self.slots.untouched(), self.writer.blocks.untouched());
        if used.0 >= self.provided.0 || used.1 >= self.provided.1 {
            self.provide(used);
        }
    }

    #[cold]
    fn provide(&mut self, used: (u32, u32)) {
        /// Bytes provided beyond those in use. The next call is due when half of them are used: a few batches.
        const AHEAD: usize = 8 << 20;
        let ahead = |used: u32, each: usize| used.saturating_add((AHEAD / each) as u32);
        let to = (ahead(used.0, RECORD), ahead(used.1, BLOCK));
        let (records, blocks) = (self.arena.records(), self.arena.blocks());
        self.arena
            .provide(self.provided_to, (to.0.min(records), to.1.min(blocks)));
        self.provided_to = to;
        let half = |used: u32, to: u32, total: u32| {
            if to >= total {
                u32::MAX
            } else {
                used + (to - used) / 2
            }
        };
        self.provided = (half(used.0, to.0, records), half(used.1, to.1, blocks));
    }

    fn update_gauges(&self) {
        self.counters.clock.set(self.now);
        let records = self.slots.used() * RECORD as u64;
        let blocks = self.writer.blocks.used() * BLOCK as u64;
        let held = self.writer.queues.used() + self.defrag.used() as u64 + self.held.used() as u64;
        self.counters.used.set(records + blocks + held);
        let mut active = 0;
        for class in [
            Class::HalfOpen,
            Class::Unverified,
            Class::EstablishedIdle,
            Class::Active,
        ] {
            active += self.lists.len(class);
        }
        self.counters.active.set(active);
        self.counters.lingering.set(self.lists.len(Class::Closed));
    }
}
