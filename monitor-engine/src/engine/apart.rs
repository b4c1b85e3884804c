//! Connections with equal addresses and ports at the same time on different interfaces (link-local addresses, VRFs), where
//! copies on several interfaces belong together (`flow.interface = "merge"`).
//!
//! A SYN on an interface where a live connection was not seen begins either a successor of that connection or another one
//! beside it. If the answer comes on the same interface, and the SYN on no other, the new connection is bound to that
//! interface, and the old one continues. A copy of its SYN on another interface shows that both have one path: then it is
//! the successor after all, and the old one closes as `reused`.

use monitor_common::Refusal;
use monitor_common::wire::flags;

use super::Engine;
use super::conn::Conn;
use super::copies::home_of;
use super::held::segments::Held;
use crate::decode::Segment;
use crate::flow::Table;
use crate::store::arena::Arena;
use crate::store::record::side_flag;
use crate::{Side, Sink};

impl<S: Sink> Engine<S> {
    /// Returns whether a SYN of `old`'s flow that `answer` confirms begins a connection beside `old`, on another interface.
    pub(super) fn is_beside(&self, old: Conn<'_>, syn: &Held, answer: &Segment<'_>) -> bool {
        let homes = Side::BOTH.map(|side| old.record.sequences(side).home.get());
        let is_known = homes[syn.sender.peer().index()] != 0;
        let home = home_of(syn.interface);
        let is_elsewhere = homes.iter().all(|known| *known != home);
        let is_copy = |other: &Held| {
            other.reason == Refusal::Syn
                && other.belongs_to(old)
                && other.tcp.seq == syn.tcp.seq
                && other.interface != syn.interface
        };
        is_known
            && is_elsewhere
            && answer.interface == syn.interface
            && self.bound.has_room()
            && !self.held.list.iter().any(is_copy)
    }

    /// Looks a segment's connection up where some are bound: the one of the segment's interface comes first, then one that
    /// is bound to none.
    #[cold]
    #[inline(never)]
    pub(super) fn find_bound<'a>(
        &self,
        arena: &'a Arena,
        segment: &Segment<'_>,
    ) -> Option<(Conn<'a>, bool)> {
        let find = |wanted: &dyn Fn(Option<u16>) -> bool| {
            let found = self.table.find(Table::tag(segment.hash), |slot| {
                let is_wanted = wanted(self.bound.interface(slot));
                is_wanted
                    .then(|| self.match_slot(arena, segment, slot))
                    .flatten()
            });
            found.map(|(_, found)| found)
        };
        find(&|interface| interface == Some(segment.interface))
            .or_else(|| find(&|interface| interface.is_none()))
            .or_else(|| find(&|_| true))
    }

    /// Makes a bound connection the successor of its flow if a SYN on another interface is a copy of its own.
    #[cold]
    #[inline(never)]
    pub(super) fn unbind_copied(&mut self, arena: &Arena, segment: &Segment<'_>) {
        if segment.tcp.flags & (flags::SYN | flags::RST) != flags::SYN {
            return;
        }
        let tag = Table::tag(segment.hash);
        let is_copied = |slot: u32| {
            let interface = self.bound.interface(slot)?;
            let (conn, from_client) = self.match_slot(arena, segment, slot)?;
            let receiver = if from_client {
                Side::Server
            } else {
                Side::Client
            };
            let fwd = conn.record.side(receiver);
            let is_own = fwd.has(side_flag::ISN) && fwd.offset(segment.tcp.seq) == -1;
            (interface != segment.interface && is_own).then_some(conn)
        };
        let Some((slot, _)) = self.table.find(tag, is_copied) else {
            return;
        };
        let old = self.table.find(tag, |slot| {
            let is_free = self.bound.interface(slot).is_none();
            is_free
                .then(|| self.match_slot(arena, segment, slot))
                .flatten()
        });
        if let Some((_, (old, _))) = old {
            self.detach_predecessor(old);
        }
        self.bound.remove(slot);
    }
}
