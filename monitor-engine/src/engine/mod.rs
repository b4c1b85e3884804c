//! The engine: packets in, connections out.

mod follow;
mod open;
mod retire;
mod steer;

use std::slice;
use std::sync::Arc;

use monitor_common::steer::worker;
use monitor_common::wire::{PROTOCOL_TCP, is_extension_header};

use crate::decode::{Decoder, Frame, Segment};
use crate::defrag::Defrag;
use crate::flow::{Class, Guess, Lists, Table};
use crate::reassembly::overlap::History;
use crate::reassembly::{Limits, Receiver};
use crate::store::Space;
use crate::store::blocks::{Pool, prefetch_place};
use crate::store::islands::MAX_ISLANDS;
use crate::store::memory::{BLOCK, Memory, prefetch_bytes};
use crate::store::record::Record;
use crate::store::windows::{self, Windows};
use crate::{Counters, EngineConfig, Packet, Reader, Side, Sink, SockId};
use follow::Graces;
pub use steer::{Rule, Shunt, SideSettings, SteerError};

/// Packets whose tables and records are fetched ahead together.
const BATCH: usize = 32;

/// So many packets ahead of its turn to be decoded a packet itself is fetched.
const NEXT: usize = 3;

/// So many bytes of payload ahead of a segment's turn the memory is fetched that its own go to: soon enough to be there,
/// late enough to be in the first-level cache still.
const AHEAD: usize = 6 << 10;

/// Follows the connections of one worker.
pub struct Engine<S: Sink = ()> {
    config: EngineConfig,
    decoder: Decoder,
    /// Islands that a side may have.
    islands: usize,
    memory: Arc<Memory>,
    windows: Arc<Windows>,
    space: Space,
    slots: Pool,
    table: Table,
    lists: Lists,
    defrag: Defrag,
    graces: Graces,
    handoffs: Vec<Handoff>,
    /// What connections start with.
    rules: Vec<Rule>,
    /// The windows that they may give to connections.
    rule_windows: Vec<u8>,
    shunts: Vec<Shunt>,
    counters: Arc<Counters>,
    sink: S,
    /// The latest packet's time, nanoseconds since the epoch.
    now: u64,
    /// Nothing is due before this time.
    wake: u64,
    /// No connection is due with a packet later than so long ago.
    patience: u64,
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The budget cannot hold even a few connections.
    #[error(
        "a store of {memory} bytes for each worker is too small: at least {least} are needed; raise [store] memory or lower [capture] workers"
    )]
    TooSmall {
        /// Asked for, bytes for this worker.
        memory: u64,
        /// The least that works.
        least: u64,
    },
    /// The address space was refused.
    #[error("cannot reserve {memory} bytes for the store")]
    Reserve {
        /// Asked for, bytes.
        memory: u64,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A datagram put together here whose flow belongs to another worker.
#[derive(Debug)]
pub struct Handoff {
    /// Who is to get it.
    pub worker: u16,
    /// Its time, nanoseconds since the epoch.
    pub time: u64,
    /// What `data` starts with.
    pub link: crate::LinkType,
    /// A frame as if it had never been fragmented.
    pub data: Vec<u8>,
}

impl<S: Sink> Engine<S> {
    /// An engine with its memory reserved.
    pub fn new(config: EngineConfig, sink: S) -> Result<Self, EngineError> {
        let plan = Plan::of(config.memory)?;
        let memory =
            Memory::reserve(plan.records, plan.blocks).map_err(|source| EngineError::Reserve {
                memory: config.memory,
                source,
            })?;
        let counters = Arc::new(Counters::default());
        counters.budget.set(config.memory);
        Ok(Self {
            decoder: Decoder {
                seed: config.seed,
                verify_checksums: config.tcp.verify_checksums,
            },
            islands: config.tcp.max_ranges.clamp(1, MAX_ISLANDS),
            memory: Arc::new(memory),
            windows: Arc::new(Windows::new(config.window.max(1), windows::MOST)),
            space: Space {
                blocks: Pool::new(plan.blocks),
                history: History::new(plan.waiting),
                parts: Vec::new(),
            },
            slots: Pool::new(plan.records),
            table: Table::new(plan.records),
            lists: Lists::default(),
            defrag: Defrag::new(plan.fragments, config.fragments.clone()),
            graces: Graces::default(),
            handoffs: Vec::new(),
            rules: Vec::new(),
            rule_windows: Vec::new(),
            shunts: Vec::new(),
            counters,
            sink,
            now: 0,
            wake: u64::MAX,
            patience: retire::patience(&config.tcp),
            config,
        })
    }

    /// Takes other settings from now on: the filter and the overlap policies for connections to come, the rest for all.
    /// What an engine is made with stays: its place, its key, its memory and its window.
    pub fn reconfigure(&mut self, config: &EngineConfig) {
        let EngineConfig {
            filter,
            fragments,
            tcp,
            ..
        } = config.clone();
        self.decoder.verify_checksums = tcp.verify_checksums;
        self.islands = tcp.max_ranges.clamp(1, MAX_ISLANDS);
        self.defrag.limit(fragments.clone());
        self.patience = retire::patience(&tcp);
        // Whatever is due by the new timeouts is found with the next packet.
        self.wake = 0;
        self.config = EngineConfig {
            filter,
            fragments,
            tcp,
            ..self.config.clone()
        };
    }

    /// Touches the whole store, so that no packet waits for the kernel to find a page. From then on the process's
    /// resident size is the budget. An error means that the store works, but not as evenly.
    pub fn prefault(&self) -> std::io::Result<()> {
        self.memory.prefault()
    }

    /// Follows a batch of packets, in order. Never fails: what cannot be followed is counted.
    pub fn process(&mut self, packets: &[Packet<'_>]) {
        let memory = Arc::clone(&self.memory);
        // Another processor wrote them; those of a file were read by this thread a moment ago.
        let mut far = if self.config.only_own {
            [].iter()
        } else {
            packets.iter()
        };
        far.by_ref()
            .take(NEXT)
            .for_each(|packet| prefetch_bytes(packet.data));
        for batch in packets.chunks(BATCH) {
            self.batch(&memory, batch, &mut far);
        }
        self.settle();
    }

    /// Tells the time when no packets come (nanoseconds since the epoch): timeouts fire.
    pub fn advance(&mut self, now: u64) {
        self.tick(now);
        self.defrag.expire(self.now, &self.counters);
        self.settle();
    }

    /// The capture is over: holes that can no longer be filled are declared lost. Connections stay as they are.
    pub fn finish(&mut self) {
        self.retire_all_overdue();
        for class in [Class::Closed, Class::Unproven, Class::Active] {
            for slot in self.members(class) {
                for side in Side::BOTH {
                    if let Some(mut receiver) = self.receiver(slot, side) {
                        receiver.give_up_holes(u64::MAX);
                    }
                }
            }
        }
        self.settle();
    }

    /// Datagrams for other workers since the last call. Empty nearly always; costs nothing then.
    pub fn handoffs(&mut self) -> std::vec::Drain<'_, Handoff> {
        self.handoffs.drain(..)
    }

    /// A view for any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(
            Arc::clone(&self.memory),
            Arc::clone(&self.windows),
            self.config.worker,
        )
    }

    /// Its counters, for any thread.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Where its events go.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Decodes all first, so that the memory each packet needs is on its way while the others are decoded. Of the packets
    /// that are far away, the next of `far` is fetched with each.
    fn batch(
        &mut self,
        memory: &Memory,
        packets: &[Packet<'_>],
        far: &mut slice::Iter<'_, Packet<'_>>,
    ) {
        let mut frames = [Frame::Nothing; BATCH];
        let mut segments = [Segment::default(); BATCH];
        let mut bytes = 0;
        for ((packet, frame), segment) in packets.iter().zip(&mut frames).zip(&mut segments) {
            if let Some(far) = far.next() {
                prefetch_bytes(far.data);
            }
            bytes += packet.len();
            *frame = self.decoder.frame(packet, &self.counters, segment);
            if *frame == Frame::Segment {
                self.table.prefetch(Table::tag(segment.hash));
            }
        }
        self.counters.packets.add(packets.len() as u64);
        self.counters.bytes.add(bytes as u64);
        let frames = &frames[..packets.len().min(BATCH)];
        let mut guesses = [Guess::default(); BATCH];
        for ((frame, segment), guess) in frames.iter().zip(&segments).zip(&mut guesses) {
            if *frame == Frame::Segment {
                *guess = self.table.guess(Table::tag(segment.hash));
                if let Some(slot) = self.table.recall(*guess) {
                    memory.prefetch_record(slot);
                }
            }
        }
        for (segment, guess) in segments.iter().zip(guesses) {
            if let Some(record) = self
                .table
                .recall(guess)
                .and_then(|slot| memory.record(slot))
            {
                self.lists
                    .prefetch(memory, record, retire::millis(segment.time.max(self.now)));
            }
        }
        let steered = !self.config.only_own;
        let mut later = segments.iter().zip(guesses);
        let mut ahead = 0;
        for (((frame, packet), segment), guess) in
            frames.iter().zip(packets).zip(&segments).zip(guesses)
        {
            while ahead < AHEAD
                && let Some((segment, guess)) = later.next()
            {
                self.fetch_place(memory, segment, guess);
                ahead += segment.payload.len();
            }
            ahead -= segment.payload.len();
            match frame {
                Frame::Segment => self.segment(memory, segment, guess, steered),
                Frame::Piece => self.piece(memory, packet),
                Frame::Nothing => {}
            }
        }
    }

    /// Has the memory fetched that a segment's bytes will go to.
    #[inline(always)]
    fn fetch_place(&self, memory: &Memory, segment: &Segment<'_>, guess: Guess) {
        if segment.payload.len() > 0
            && let Some(record) = self
                .table
                .recall(guess)
                .and_then(|slot| memory.record(slot))
            && let Some(from_client) = segment.key.matches(record)
        {
            let receiver = if from_client {
                Side::Server
            } else {
                Side::Client
            };
            let side = record.side(receiver);
            let window = self.windows.get(record.windows[receiver.index()].get());
            if let Ok(off) = u64::try_from(side.offset(segment.tcp.seq)) {
                prefetch_place(memory, side, off, segment.payload.len(), window);
            }
        }
    }

    fn piece(&mut self, memory: &Memory, packet: &Packet<'_>) {
        let Some(piece) = Decoder::piece(packet) else {
            return;
        };
        let protocol = piece.datagram.protocol;
        let hidden = piece.datagram.version == 6 && is_extension_header(protocol);
        if protocol != PROTOCOL_TCP && !hidden {
            self.counters.not_tcp.add(1);
            return;
        }
        self.tick(packet.time);
        let Some(whole) = self.defrag.add(&piece, self.now, &self.counters) else {
            return;
        };
        let packet = Packet {
            time: packet.time,
            link: whole.link,
            data: &whole.data,
            more: &[],
        };
        self.counters.packets.add(1);
        self.counters.bytes.add(packet.len() as u64);
        let mut segment = Segment::default();
        if self.decoder.frame(&packet, &self.counters, &mut segment) != Frame::Segment {
            return;
        }
        let owner = self.owner(&segment);
        if owner == self.config.worker || self.config.only_own {
            self.segment(memory, &segment, Guess::default(), false);
        } else {
            let Packet { time, link, .. } = packet;
            self.handoffs.push(Handoff {
                worker: owner,
                time,
                link,
                data: whole.data.clone(),
            });
        }
    }

    /// Time goes on, and what is due by then happens before the packet that brings the time is looked at: what
    /// becomes of a connection depends on the packets alone, not on how they are batched or shared among workers.
    #[inline(always)]
    fn tick(&mut self, time: u64) {
        self.now = self.now.max(time);
        self.sink.time(self.now);
        if self.now >= self.wake {
            self.expire();
        }
    }

    fn owner(&self, segment: &Segment<'_>) -> u16 {
        worker(segment.hash, u32::from(self.config.workers)) as u16
    }

    /// `steered`: it came here because it belongs here.
    fn segment(&mut self, memory: &Memory, segment: &Segment<'_>, guess: Guess, steered: bool) {
        self.tick(segment.time);
        if !steered && self.owner(segment) != self.config.worker {
            self.counters.other_worker.add(1);
            return;
        }
        let tag = Table::tag(segment.hash);
        let is = |slot| {
            memory
                .record(slot)
                .and_then(|record| segment.key.matches(record))
        };
        let find = |table: &Table| table.find(tag, is);
        let guessed = self
            .table
            .recall(guess)
            .and_then(|slot| Some((slot, is(slot)?)));
        let mut known = guessed.or_else(|| find(&self.table));
        if let Some((slot, _)) = known.filter(|known| self.quiet(memory, known.0)) {
            self.retire_overdue(slot);
            known = find(&self.table);
        }
        let found = match known {
            Some((slot, from_client)) if !self.starts_anew(slot, from_client, segment) => {
                Some((slot, from_client))
            }
            known => self.open(segment, known.map(|known| known.0)),
        };
        if let Some((slot, from_client)) = found {
            let sender = if from_client {
                Side::Client
            } else {
                Side::Server
            };
            if let Some(record) = memory.record(slot) {
                self.follow(slot, record, sender, segment);
            }
        }
    }

    fn id(&self, slot: u32, record: &Record) -> SockId {
        SockId::new(self.config.worker, slot, record.generation.get() >> 1)
    }

    /// The writing end of one side.
    fn receiver(&mut self, slot: u32, name: Side) -> Option<Receiver<'_, S>> {
        let record = self.memory.record(slot)?;
        let window = self.windows.get(record.windows[name.index()].get());
        Some(Receiver {
            id: self.id(slot, record),
            memory: &self.memory,
            space: &mut self.space,
            counters: &self.counters,
            sink: &mut self.sink,
            limits: Limits {
                window,
                islands: self.islands,
            },
            name,
            record,
        })
    }

    /// What is left to do when a call ends.
    fn settle(&mut self) {
        self.gauges();
        self.sink.flush();
    }

    fn gauges(&self) {
        self.counters.clock.set(self.now);
        let records = self.slots.used() * size_of::<Record>() as u64;
        let blocks = self.space.blocks.used() * BLOCK as u64;
        let held = self.space.history.used() + self.defrag.used() as u64;
        self.counters.used.set(records + blocks + held);
        let living = [
            Class::HalfOpen,
            Class::Unproven,
            Class::Silent,
            Class::Active,
        ];
        self.counters
            .active
            .set(living.iter().map(|class| self.lists.len(*class)).sum());
        self.counters.lingering.set(self.lists.len(Class::Closed));
    }
}

/// How a budget is spent.
struct Plan {
    records: u32,
    blocks: u32,
    /// Segments ahead of holes that are told apart.
    waiting: u32,
    fragments: usize,
}

impl Plan {
    /// Less cannot hold a useful number of connections.
    const LEAST: u64 = 1 << 20;
    /// A connection of a few kilobytes each way, the usual one, takes five blocks or more: one part in eight for the
    /// records lets neither run out long before the other.
    const RECORDS_SHARE: u64 = 8;
    /// 200 000 segments in 512 MiB: a segment is told apart while it waits only, and costs a fiftieth of its bytes.
    const WAITING_SHARE: u64 = 64;
    const FRAGMENTS_SHARE: u64 = 64;
    const FRAGMENTS_MOST: u64 = 16 << 20;

    fn of(memory: u64) -> Result<Self, EngineError> {
        if memory < Self::LEAST {
            return Err(EngineError::TooSmall {
                memory,
                least: Self::LEAST,
            });
        }
        let number = size_of::<u32>() as u64;
        let a_record = size_of::<Record>() as u64 + number + Table::bytes(1024) / 1024;
        let records = (memory / Self::RECORDS_SHARE / a_record)
            .clamp(64, u64::from(SockId::MAX_SLOTS)) as u32;
        let fragments = (memory / Self::FRAGMENTS_SHARE).min(Self::FRAGMENTS_MOST);
        let waiting = (memory / Self::WAITING_SHARE / History::BYTES).min(1 << 30);
        let rest = memory - u64::from(records) * a_record - waiting * History::BYTES - fragments;
        let blocks = rest / (BLOCK as u64 + number);
        Ok(Self {
            records,
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX - 1),
            waiting: waiting as u32,
            fragments: fragments as usize,
        })
    }
}
