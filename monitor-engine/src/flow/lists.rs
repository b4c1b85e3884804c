//! Lists of connections in the order in which they end: by timeouts, and when memory runs out.
//!
//! All connections of a class share one timeout. So a list in order of last activity is both the queue of its timers and
//! the order of its eviction: the connection that is due next is its head. A packet moves its connection to the end only
//! if that was not done for [`REFRESH`] milliseconds. So a busy connection touches its neighbours' cache lines once a
//! second, and a timeout is late by a second at most.

use crate::store::arena::{Arena, prefetch};
use crate::store::record::NONE;

/// Age of a position in a list from which on a packet renews it, milliseconds.
const REFRESH: u32 = 1000;

/// Class of a connection: its phase, and whether it holds bytes. Eviction for a record considers all classes, eviction for
/// blocks only those that hold bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// An empty slot.
    Free = 0,
    /// Closed, still readable.
    Closed,
    /// A SYN, or a SYN and its answer, and nothing yet that only a real client can send.
    HalfOpen,
    /// Half-open with bytes: a single packet midstream, or data in a SYN.
    Unverified,
    /// Established without any byte.
    EstablishedIdle,
    /// Established with bytes.
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

    /// Returns the class with a number.
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

    /// Returns the class of an open connection.
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
struct List {
    first: u32,
    last: u32,
    len: u64,
}

/// A doubly linked list for each class, linked through the records.
#[derive(Debug, Default)]
pub struct Lists {
    lists: [List; Class::COUNT],
}

impl Lists {
    /// Returns the number of connections of a class.
    pub fn len(&self, class: Class) -> u64 {
        self.lists[class as usize].len
    }

    /// Returns the eviction candidate of a class (list head).
    pub fn first(&self, class: Class) -> Option<u32> {
        self.lists[class as usize].first.checked_sub(1)
    }

    /// Returns the eviction candidate after a connection.
    pub fn after(&self, arena: &Arena, slot: u32) -> Option<u32> {
        arena.record(slot)?.cold.next.get().checked_sub(1)
    }

    /// Moves a connection to the end of its list, unless that was done recently. `now` is in milliseconds. Returns whether
    /// it was moved.
    #[inline]
    pub fn touch(&mut self, arena: &Arena, slot: u32, now: u32) -> bool {
        let Some(record) = arena.record(slot) else {
            return false;
        };
        let stale = now.wrapping_sub(record.listed.get()) >= REFRESH;
        if stale {
            self.enter(arena, slot, Class::of(record.class()), now);
        }
        stale
    }

    /// Prefetches the parts of records that [`Lists::touch`] or [`Lists::enter`] will write to. `ends`: the packet may end
    /// the connection.
    #[inline(always)]
    pub fn prefetch(&self, arena: &Arena, slot: u32, now: u32, ends: bool) {
        let Some(hot) = arena.hot(slot) else { return };
        if ends || now.wrapping_sub(hot.listed.get()) >= REFRESH {
            Self::prefetch_links(arena, slot);
        } else if hot.class() != Class::Active as u8 {
            // The packet may move it to another list.
            arena.prefetch_cold(slot);
        }
    }

    #[inline(never)]
    fn prefetch_links(arena: &Arena, slot: u32) {
        let Some(record) = arena.record(slot) else {
            return;
        };
        for link in [&record.cold.prev, &record.cold.next] {
            let neighbour = link.get().checked_sub(1);
            if let Some(neighbour) = neighbour.and_then(|slot| arena.record(slot)) {
                prefetch(&raw const neighbour.cold.prev);
            }
        }
    }

    /// Moves a connection from its list to the end of another.
    pub fn enter(&mut self, arena: &Arena, slot: u32, class: Class, now: u32) {
        self.leave(arena, slot);
        let Some(record) = arena.record(slot) else {
            return;
        };
        record.set_class(class as u8);
        record.listed.set(now);
        let list = &mut self.lists[class as usize];
        let last = std::mem::replace(&mut list.last, slot + 1);
        list.len += 1;
        record.cold.prev.set(last);
        record.cold.next.set(NONE);
        match last.checked_sub(1).and_then(|last| arena.record(last)) {
            Some(before) => before.cold.next.set(slot + 1),
            None => list.first = slot + 1,
        }
    }

    /// Removes a connection from its list. Its class is [`Class::Free`] then.
    pub fn leave(&mut self, arena: &Arena, slot: u32) {
        let Some(record) = arena.record(slot) else {
            return;
        };
        let class = Class::of(record.class());
        if class == Class::Free {
            return;
        }
        let list = &mut self.lists[class as usize];
        let (prev, next) = (record.cold.prev.get(), record.cold.next.get());
        match prev.checked_sub(1).and_then(|prev| arena.record(prev)) {
            Some(before) => before.cold.next.set(next),
            None => list.first = next,
        }
        match next.checked_sub(1).and_then(|next| arena.record(next)) {
            Some(behind) => behind.cold.prev.set(prev),
            None => list.last = prev,
        }
        list.len -= 1;
        record.set_class(Class::Free as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::header::{Identity, Sizes};

    fn order(lists: &Lists, arena: &Arena, class: Class) -> Vec<u32> {
        std::iter::successors(lists.first(class), |&slot| lists.after(arena, slot)).collect()
    }

    #[test]
    fn a_list_stays_in_order_of_activity() {
        let arena = Arena::reserve(Sizes::new(4, 0), Identity::default(), false).unwrap();
        let mut lists = Lists::default();
        for slot in 0..4 {
            lists.enter(&arena, slot, Class::Active, slot);
        }
        lists.touch(&arena, 1, 500);
        assert_eq!(
            order(&lists, &arena, Class::Active),
            [0, 1, 2, 3],
            "moved recently: stays"
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
