//! Connections in the order in which they are let go: by timeouts, and when memory runs out.
//!
//! All connections of a class share one timeout, so a list in order of last activity is at once the queue of its
//! timers and the order of its eviction: whoever is due stands at its head. A packet moves its connection to the
//! end only if it has not been moved for [`REFRESH`] milliseconds, so a busy connection costs its neighbours'
//! cache lines once a second and a timeout is late by a second at most.

use crate::store::arena::{Arena, prefetch};
use crate::store::record::{NONE, Record};

/// How stale a place in a list may get, milliseconds.
const REFRESH: u32 = 1000;

/// What state of life a connection is in, and whether it holds bytes: whoever needs a record looks at all lists,
/// whoever needs blocks at those of holders only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// An empty slot.
    Free = 0,
    /// Over, still readable.
    Closed,
    /// A SYN, or a SYN and its answer, and nothing yet that only a real client can send.
    HalfOpen,
    /// As half-open, and it holds bytes: a single packet midstream, or data in a SYN.
    Unverified,
    /// Established, and has not carried a byte.
    EstablishedIdle,
    /// Established, and holds bytes.
    Active,
}

impl Class {
    const COUNT: usize = 6;
    /// All but [`Class::Free`].
    pub const USED: [Self; 5] = [
        Self::Closed,
        Self::HalfOpen,
        Self::Unverified,
        Self::EstablishedIdle,
        Self::Active,
    ];

    /// The class that a record says it is in.
    pub fn of(class: u8) -> Self {
        match class {
            1 => Self::Closed,
            2 => Self::HalfOpen,
            3 => Self::Unverified,
            4 => Self::EstablishedIdle,
            5 => Self::Active,
            _ => Self::Free,
        }
    }

    /// The class of a living connection.
    pub fn open(verified: bool, holds_bytes: bool) -> Self {
        match (verified, holds_bytes) {
            (false, false) => Self::HalfOpen,
            (false, true) => Self::Unverified,
            (true, false) => Self::EstablishedIdle,
            (true, true) => Self::Active,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    first: u32,
    last: u32,
    len: u64,
}

/// A doubly linked list for each class, through the records themselves.
#[derive(Debug, Default)]
pub struct Lists {
    ends: [Ends; Class::COUNT],
}

impl Lists {
    /// How many connections are in this class.
    pub fn len(&self, class: Class) -> u64 {
        self.ends[class as usize].len
    }

    /// Who is to go first.
    pub fn first(&self, class: Class) -> Option<u32> {
        self.ends[class as usize].first.checked_sub(1)
    }

    /// Who is to go after this one.
    pub fn after(&self, arena: &Arena, slot: u32) -> Option<u32> {
        arena.record(slot)?.next.get().checked_sub(1)
    }

    /// Moves a connection to the end of its list, unless it was put there lately. `now` in milliseconds. Returns
    /// whether it was moved.
    #[inline]
    pub fn touch(&mut self, arena: &Arena, slot: u32, now: u32) -> bool {
        let Some(record) = arena.record(slot) else {
            return false;
        };
        let stale = now.wrapping_sub(record.listed.get()) >= REFRESH;
        if stale {
            self.enter(arena, slot, Class::of(record.class.get()), now);
        }
        stale
    }

    /// Tells the processor which records [`Lists::touch`] will write to.
    #[inline(always)]
    pub fn prefetch(&self, arena: &Arena, record: &Record, now: u32) {
        if now.wrapping_sub(record.listed.get()) < REFRESH {
            return;
        }
        for link in [&record.prev, &record.next] {
            if let Some(neighbour) = link
                .get()
                .checked_sub(1)
                .and_then(|slot| arena.record(slot))
            {
                prefetch(&raw const neighbour.prev);
            }
        }
    }

    /// Puts a connection at the end of a list, taking it out of the one that it is in.
    pub fn enter(&mut self, arena: &Arena, slot: u32, class: Class, now: u32) {
        self.leave(arena, slot);
        let Some(record) = arena.record(slot) else {
            return;
        };
        record.class.set(class as u8);
        record.listed.set(now);
        let ends = &mut self.ends[class as usize];
        let last = std::mem::replace(&mut ends.last, slot + 1);
        ends.len += 1;
        record.prev.set(last);
        record.next.set(NONE);
        match last.checked_sub(1).and_then(|last| arena.record(last)) {
            Some(before) => before.next.set(slot + 1),
            None => ends.first = slot + 1,
        }
    }

    /// Takes a connection out of its list; its class is [`Class::Free`] then.
    pub fn leave(&mut self, arena: &Arena, slot: u32) {
        let Some(record) = arena.record(slot) else {
            return;
        };
        let class = Class::of(record.class.get());
        if class == Class::Free {
            return;
        }
        let ends = &mut self.ends[class as usize];
        let (prev, next) = (record.prev.get(), record.next.get());
        match prev.checked_sub(1).and_then(|prev| arena.record(prev)) {
            Some(before) => before.next.set(next),
            None => ends.first = next,
        }
        match next.checked_sub(1).and_then(|next| arena.record(next)) {
            Some(behind) => behind.prev.set(prev),
            None => ends.last = prev,
        }
        ends.len -= 1;
        record.class.set(Class::Free as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(lists: &Lists, arena: &Arena, class: Class) -> Vec<u32> {
        std::iter::successors(lists.first(class), |&slot| lists.after(arena, slot)).collect()
    }

    #[test]
    fn stays_in_order_of_activity() {
        let arena = Arena::reserve(4, 0).unwrap();
        let mut lists = Lists::default();
        for slot in 0..4 {
            lists.enter(&arena, slot, Class::Active, slot);
        }
        lists.touch(&arena, 1, 500);
        assert_eq!(
            order(&lists, &arena, Class::Active),
            [0, 1, 2, 3],
            "moved lately: stays"
        );
        lists.touch(&arena, 1, 1500);
        lists.enter(&arena, 3, Class::Closed, 1500);
        assert_eq!(order(&lists, &arena, Class::Active), [0, 2, 1]);
        assert_eq!(order(&lists, &arena, Class::Closed), [3]);
        for slot in 0..4 {
            lists.leave(&arena, slot);
        }
        assert_eq!(
            (lists.first(Class::Active), lists.len(Class::Closed)),
            (None, 0)
        );
    }
}
