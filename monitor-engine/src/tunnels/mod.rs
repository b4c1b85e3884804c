//! Numbers of the tunnels that packets come through.
//!
//! A flow key and a record have the number in place of VLAN tags, so that equal addresses in two tunnels are two
//! connections and the record is no longer. Numbers that no connection has are reused.

use std::collections::HashMap;
use std::sync::Arc;

use monitor_common::types::TunnelKinds;

use crate::store::arena::Arena;
use monitor_reader::tunnels::set;
pub use monitor_reader::tunnels::{MAX_DEPTH, Path};

/// Most tunnels of one worker at once. Packets through others are counted and not followed.
const MOST: usize = 4096;

/// Time between two searches for numbers that no connection has, nanoseconds.
const SEARCH_PAUSE: u64 = 1_000_000_000;

/// Tunnels of one worker.
#[derive(Debug)]
pub struct Tunnels {
    kinds: TunnelKinds,
    /// Holds the table.
    arena: Arc<Arena>,
    numbers: HashMap<Path, u32>,
    free: Vec<u32>,
    /// Path of the last packet, and its number.
    last: Option<(Path, u32)>,
    /// A number was missing since the last search.
    full: bool,
    searched: Option<u64>,
}

impl Tunnels {
    /// Uses the table of an arena, which has [`Tunnels::most`] entries, for tunnels of some kinds.
    pub fn new(kinds: TunnelKinds, arena: Arc<Arena>) -> Self {
        let most = Self::most(kinds) as usize;
        Self {
            kinds,
            arena,
            numbers: HashMap::with_capacity(most),
            free: (0..most as u32).rev().collect(),
            last: None,
            full: false,
            searched: None,
        }
    }

    /// Returns the most entries of the table for tunnels of some kinds.
    pub fn most(kinds: TunnelKinds) -> u32 {
        if kinds.is_empty() { 0 } else { MOST as u32 }
    }

    /// Returns the memory of the table and its index, bytes.
    pub fn bytes(kinds: TunnelKinds) -> u64 {
        u64::from(Self::most(kinds)) * (3 * size_of::<Path>() as u64 + 16)
    }

    /// Returns the kinds that are followed.
    #[inline(always)]
    pub fn kinds(&self) -> TunnelKinds {
        self.kinds
    }

    /// Returns the number of a path; `None` if there are too many.
    pub fn number(&mut self, path: &Path) -> Option<u32> {
        if let Some((last, number)) = &self.last
            && last == path
        {
            return Some(*number);
        }
        let number = match self.numbers.get(path) {
            Some(number) => *number,
            None => {
                let Some(number) = self.free.pop() else {
                    self.full = true;
                    return None;
                };
                set(&self.arena, number, path);
                self.numbers.insert(*path, number);
                number
            }
        };
        self.last = Some((*path, number));
        Some(number)
    }

    /// Returns whether numbers are missing, and the last search for free ones was long enough ago.
    #[inline(always)]
    pub fn must_search(&self, now: u64) -> bool {
        self.full
            && self
                .searched
                .is_none_or(|searched| now >= searched.saturating_add(SEARCH_PAUSE))
    }

    /// Frees all numbers except those in use. Between two batches: a decoded segment has a number, and its connection may
    /// not be open yet.
    pub fn retain(&mut self, now: u64, in_use: impl Iterator<Item = u32>) {
        let mut keep = vec![false; MOST];
        for number in in_use {
            if let Some(keep) = keep.get_mut(number as usize) {
                *keep = true;
            }
        }
        let free = &mut self.free;
        self.numbers.retain(|_, number| {
            let kept = keep[*number as usize];
            if !kept {
                free.push(*number);
            }
            kept
        });
        self.last = None;
        self.full = false;
        self.searched = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use monitor_common::types::TunnelKind;
    use monitor_common::wire::Address;

    use monitor_reader::store::header::{Identity, Sizes};
    use monitor_reader::tunnels::get;

    use super::*;

    fn arena() -> Arc<Arena> {
        let sizes = Sizes {
            tunnels: Tunnels::most(TunnelKinds::ALL),
            ..Sizes::default()
        };
        Arc::new(Arena::reserve(sizes, Identity::default(), false).unwrap())
    }

    fn path(id: u32) -> Path {
        let ends = [Address::v4([10, 0, 0, 1]), Address::v4([10, 0, 0, 2])];
        let mut path = Path::default();
        assert!(path.enter(TunnelKind::Vxlan, Some(id), 0, ends));
        path
    }

    #[test]
    fn both_directions_have_one_path() {
        let ends = [Address::v4([10, 0, 0, 1]), Address::v4([10, 0, 0, 2])];
        let mut there = Path::default();
        there.enter(TunnelKind::Gre, None, 0, ends);
        let mut back = Path::default();
        back.enter(TunnelKind::Gre, None, 0, [ends[1], ends[0]]);
        assert_eq!(there, back);
        assert_eq!(there.tunnels()[0].id, None);
        assert!(there.enter(TunnelKind::Vxlan, Some(0), 0, ends));
        assert!(!there.enter(TunnelKind::Ipip, None, 0, ends), "too deep");
        let kinds: Vec<_> = there
            .tunnels()
            .iter()
            .map(|tunnel| (tunnel.kind, tunnel.id))
            .collect();
        assert_eq!(
            kinds,
            [(TunnelKind::Gre, None), (TunnelKind::Vxlan, Some(0))]
        );
    }

    #[test]
    fn numbers_without_a_connection_are_reused_and_others_kept() {
        let mut tunnels = Tunnels::new(TunnelKinds::ALL, arena());
        let numbers: Vec<u32> = (0..MOST as u32)
            .map(|id| tunnels.number(&path(id)).expect("room"))
            .collect();
        assert_eq!(tunnels.number(&path(0)), Some(numbers[0]), "a known one");
        assert!(!tunnels.must_search(5));
        assert_eq!(tunnels.number(&path(1 << 20)), None);
        assert!(tunnels.must_search(5));
        tunnels.retain(5, [numbers[7], numbers[9]].into_iter());
        assert_eq!(tunnels.number(&path(7)), Some(numbers[7]));
        assert_eq!(get(&tunnels.arena, numbers[9]), path(9));
        for id in 0..MOST as u32 - 2 {
            let number = tunnels.number(&path((1 << 20) + id)).expect("room again");
            assert!(number != numbers[7] && number != numbers[9]);
        }
        assert_eq!(tunnels.number(&path(5)), None);
        assert!(
            !tunnels.must_search(5 + SEARCH_PAUSE - 1) && tunnels.must_search(5 + SEARCH_PAUSE)
        );
    }
}
