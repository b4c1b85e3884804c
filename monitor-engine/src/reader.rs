//! Reading connections from other threads.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use monitor_common::abi;

use crate::reassembly::retained_below;
use crate::store::arena::{Arena, BLOCK};
use crate::store::blocks::{Roots, number};
use crate::store::cell::Cell64;
use crate::store::range_set::{Run, walk};
use crate::store::record::{NO_FIN, Record, SideRecord, flag, side_flag};
use crate::store::{Acquire, fence, pause};
use crate::{
    CloseReason, Connection, Extents, NoData, Peek, PeekError, Side, SideStats, SockId, TcpState,
};

/// Looks at one engine's connections from any thread, without its help and without disturbing it.
#[derive(Clone)]
pub struct Reader {
    arena: Arc<Arena>,
    worker: u16,
}

/// One side as a read found it: where it may copy from, and what must be the same afterwards.
#[derive(Clone, Copy)]
struct Look {
    base: u64,
    next: u64,
    end: u64,
    fin: Option<u64>,
    roots: Roots,
    epoch: u32,
    established: bool,
    enabled: bool,
    /// The run that holds the offset, or the first one after it.
    run: Option<Run>,
}

impl Reader {
    pub(crate) fn new(arena: Arc<Arena>, worker: u16) -> Self {
        Self { arena, worker }
    }

    /// How many slots its connections have: [`SockId::slot`] is below that.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.arena.records()
    }

    /// The connection, or `None` if it never existed or is gone.
    #[must_use]
    pub fn connection(&self, id: SockId) -> Option<Connection> {
        let record = self
            .arena
            .record(id.slot())
            .filter(|_| id.worker() == self.worker)?;
        record.read_consistent(|record| is_current(record, id).then(|| self.view(id, record)))
    }

    /// Connections in the order of their slots, after `after`'s place (its connection may be gone), or from the start.
    pub fn connections(&self, after: Option<SockId>) -> impl Iterator<Item = Connection> + '_ {
        let first = match after.map(SockId::position) {
            Some((worker, _)) if worker > self.worker => self.arena.records(),
            Some((worker, slot)) if worker == self.worker => slot + 1,
            _ => 0,
        };
        // Slots are first used in order: from the first one never used on, there is nothing.
        (first..self.arena.records())
            .map_while(|slot| {
                self.arena
                    .record(slot)
                    .filter(|record| record.generation.get() != 0)
                    .map(|r| (slot, r))
            })
            .filter_map(|(slot, record)| {
                record.read_consistent(|record| {
                    let id = SockId::new(self.worker, slot, record.generation.get() >> 1);
                    record.occupied().then(|| self.view(id, record))
                })
            })
    }

    /// Copies the received bytes from `off` on to the front of `buf`, up to its length, stopping at a hole.
    /// An empty `buf` returns 0 bytes wherever `off` is.
    pub fn peek(
        &self,
        id: SockId,
        side: Side,
        off: u64,
        buf: &mut [u8],
    ) -> Result<Peek, PeekError> {
        let record = self.record(id)?;
        let mut tries = 0u32;
        loop {
            let look = record.read_consistent(|record| look(&self.arena, record, id, side, off))?;
            let len = look.readable(off, buf.len())?;
            let copied = self.copy(&look.roots, off, &mut buf[..len]);
            // What was copied is ordered before the second look.
            fence(Acquire);
            let cells = record.side(side);
            if is_current(record, id)
                && cells.epoch.get() == look.epoch
                && (len == 0 || cells.base.get() <= off)
                && copied
            {
                let end = off + len as u64;
                let eof = look.fin == Some(end) && (len > 0 || off == end);
                return Ok(Peek {
                    len,
                    base: look.base,
                    next: look.next,
                    end: look.end,
                    fin: look.fin,
                    eof,
                });
            }
            tries = tries.wrapping_add(1);
            pause(tries);
        }
    }

    /// Every retained run of bytes.
    pub fn extents(&self, id: SockId, side: Side) -> Result<Extents, PeekError> {
        let record = self.record(id)?;
        record.read_consistent(|record| {
            if !is_current(record, id) {
                return Err(PeekError::NoSuchConnection);
            }
            if !record.enabled(side) {
                return Err(PeekError::Disabled);
            }
            let cells = record.side(side);
            let (base, next, end) = (cells.base.get(), cells.next.get(), cells.end.get());
            let mut runs = Vec::new();
            each_run(&self.arena, cells, |run| {
                runs.push((run.0, run.1.saturating_sub(run.0)));
                true
            });
            Ok(Extents {
                runs,
                base,
                next,
                end,
            })
        })
    }

    fn record(&self, id: SockId) -> Result<&Record, PeekError> {
        self.arena
            .record(id.slot())
            .filter(|_| id.worker() == self.worker)
            .ok_or(PeekError::NoSuchConnection)
    }

    /// False if a block was missing: the copy of the roots was out of date.
    fn copy(&self, roots: &Roots, off: u64, buf: &mut [u8]) -> bool {
        let mut off = off;
        let mut rest = buf;
        while !rest.is_empty() {
            let at = off as usize % BLOCK;
            let (now, later) = rest.split_at_mut(rest.len().min(BLOCK - at));
            let Some(block) = roots.find(&self.arena, number(off)) else {
                return false;
            };
            if !self.arena.read(block, at, now) {
                return false;
            }
            off += now.len() as u64;
            rest = later;
        }
        true
    }

    fn view(&self, id: SockId, record: &Record) -> Connection {
        view(&self.arena, id, record)
    }
}

/// A connection as its record shows it; inside a read, or by the writer.
pub fn view(arena: &Arena, id: SockId, record: &Record) -> Connection {
    let flags = record.flags.get();
    let (ports, link) = (record.ports.get(), record.link.get());
    Connection {
        id,
        client: address(&record.client, link, (ports >> 16) as u16),
        server: address(&record.server, link, ports as u16),
        vlan: abi::tags(link).collect(),
        opened: record.opened.get(),
        last: record.last.get(),
        closed: CloseReason::from_number(record.closed.get()),
        midstream: flags & flag::MIDSTREAM != 0,
        states: record
            .sides
            .each_ref()
            .map(|side| TcpState::from_number(side.state.get())),
        sides: Side::BOTH.map(|side| side_view(arena, record, side)),
    }
}

fn side_view(arena: &Arena, record: &Record, name: Side) -> SideStats {
    let side = record.side(name);
    let enabled = record.enabled(name);
    SideStats {
        isn: side
            .has(side_flag::ISN)
            .then(|| side.start.get().wrapping_sub(1)),
        base: side.base.get(),
        next: side.next.get(),
        end: side.end.get(),
        fin: fin(side),
        retained: if enabled {
            retained_below(arena, side, u64::MAX)
        } else {
            0
        },
        gaps: u64::from(side.gaps.get()),
        retransmitted: side.retransmitted.get(),
        conflicts: u64::from(side.conflicts.get()),
        enabled,
        window: u64::from(record.windows[name.index()].get()),
        overlap: record.overlap(name),
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl Look {
    /// How many bytes can be read from `off` on, up to `most`.
    fn readable(&self, off: u64, most: usize) -> Result<usize, PeekError> {
        if !self.enabled {
            return Err(PeekError::Disabled);
        }
        if most == 0 {
            return Ok(0);
        }
        if let Some((start, end)) = self.run
            && start <= off
        {
            return Ok(usize::try_from(end - off).unwrap_or(usize::MAX).min(most));
        }
        if !self.established && self.end == 0 {
            return Err(PeekError::NotConnected);
        }
        let (base, next, end) = (self.base, self.next, self.end);
        let (reason, next_extent) = if off < base {
            (NoData::Evicted, None)
        } else if self.fin.is_some_and(|fin| off >= fin) {
            (NoData::Eof, None)
        } else if off >= end.max(next) {
            (NoData::Future, None)
        } else {
            (NoData::Gap, self.run.map(|run| run.0))
        };
        Err(PeekError::NoData {
            reason,
            next_extent,
            base,
            next,
            end,
        })
    }
}

/// Everything a read needs, from one moment.
fn look(
    arena: &Arena,
    record: &Record,
    id: SockId,
    name: Side,
    off: u64,
) -> Result<Look, PeekError> {
    if !is_current(record, id) {
        return Err(PeekError::NoSuchConnection);
    }
    let side = record.side(name);
    let mut found = None;
    each_run(arena, side, |run| {
        if run.1 > off {
            found = Some(run);
        }
        found.is_none()
    });
    Ok(Look {
        base: side.base.get(),
        next: side.next.get(),
        end: side.end.get(),
        fin: fin(side),
        roots: Roots::of(side),
        epoch: side.epoch.get(),
        established: record.flags.get() & flag::ESTABLISHED != 0,
        enabled: record.enabled(name),
        run: found,
    })
}

/// The retained runs of a side in order, until `each` returns false.
fn each_run(arena: &Arena, side: &SideRecord, mut each: impl FnMut(Run) -> bool) {
    let base = side.base.get();
    let main = (side.contig_start.get().max(base), side.next.get());
    let mut main = (main.0 < main.1).then_some(main);
    let mut go_on = true;
    walk(arena, side.ranges.get(), |run| {
        if let Some(main) = main.take_if(|main| main.0 < run.0) {
            go_on = each(main);
        }
        go_on = go_on && each((run.0.max(base), run.1));
        go_on
    });
    if let Some(main) = main.filter(|_| go_on) {
        each(main);
    }
}

fn is_current(record: &Record, id: SockId) -> bool {
    let generation = record.generation.get();
    generation & 1 == 1 && generation >> 1 == id.generation()
}

fn fin(side: &SideRecord) -> Option<u64> {
    Some(side.fin.get()).filter(|fin| *fin != NO_FIN)
}

fn address(cells: &[Cell64; 2], link: u32, port: u16) -> SocketAddr {
    let bits = u128::from(cells[0].get()) << 64 | u128::from(cells[1].get());
    let ip = if abi::is_v6(link) {
        Ipv6Addr::from_bits(bits).into()
    } else {
        Ipv4Addr::from_bits(bits as u32).into()
    };
    SocketAddr::new(ip, port)
}
