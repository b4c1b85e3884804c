//! Flow table: slots by flow hash. Open addressing, linear probing, deletion by shifting back.

use crate::store::arena::prefetch;

/// Three entries for two records: at most two thirds full, so that a probe rarely leaves its cache line.
const SPARE: usize = 3;
const OF: usize = 2;

/// Slots by the lower half of the flow hash. (The upper half has already selected the worker: within one worker its bits
/// are not evenly spread.)
#[derive(Debug)]
pub struct Table {
    /// Tag in the upper half, slot + 1 in the lower; 0 is empty.
    entries: Vec<u64>,
    /// Number of removals (wraps).
    removals: u32,
}

/// Slot hint: result of an early look-up.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotHint {
    slot: Option<u32>,
    removals: u32,
}

impl Table {
    /// Creates a table for a number of slots.
    pub fn new(slots: u32) -> Self {
        Self {
            entries: vec![0; Self::len(slots)],
            removals: 0,
        }
    }

    fn len(slots: u32) -> usize {
        (slots as usize * SPARE / OF).max(8)
    }

    /// Returns the size in bytes of a table for a number of slots.
    pub fn bytes(slots: u32) -> u64 {
        (Self::len(slots) * size_of::<u64>()) as u64
    }

    /// Returns the half of a flow hash that the table uses.
    #[inline(always)]
    pub fn tag(hash: u64) -> u32 {
        hash as u32
    }

    #[inline(always)]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.entries.len() as u64) >> 32) as usize
    }

    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() {
            0
        } else {
            at + 1
        }
    }

    /// Prefetches the entry of a tag.
    #[inline(always)]
    pub fn prefetch(&self, tag: u32) {
        if let Some(entry) = self.entries.get(self.home(tag)) {
            prefetch(entry);
        }
    }

    /// Returns the first slot with a tag for which `matches` returns something.
    #[inline(always)]
    pub fn find<T>(&self, tag: u32, mut matches: impl FnMut(u32) -> Option<T>) -> Option<(u32, T)> {
        let mut at = self.home(tag);
        loop {
            let entry = *self.entries.get(at)?;
            if entry == 0 {
                return None;
            }
            if (entry >> 32) as u32 == tag {
                let slot = entry as u32 - 1;
                if let Some(found) = matches(slot) {
                    return Some((slot, found));
                }
            }
            at = self.after(at);
        }
    }

    /// Looks a tag up early. [`Table::resolve`] returns the slot later.
    #[inline(always)]
    pub fn hint(&self, tag: u32) -> SlotHint {
        SlotHint {
            slot: self.find(tag, |_| Some(())).map(|found| found.0),
            removals: self.removals,
        }
    }

    /// Returns the slot of a hint, unless a slot was removed in between.
    #[inline(always)]
    pub fn resolve(&self, hint: SlotHint) -> Option<u32> {
        hint.slot.filter(|_| hint.removals == self.removals)
    }

    /// Inserts a slot. There are more entries than slots, so there is always room.
    pub fn insert(&mut self, tag: u32, slot: u32) {
        let mut at = self.home(tag);
        while self.entries[at] != 0 {
            at = self.after(at);
        }
        self.entries[at] = u64::from(tag) << 32 | u64::from(slot + 1);
    }

    /// Removes a slot, if it is in the table.
    pub fn remove(&mut self, tag: u32, slot: u32) {
        self.removals = self.removals.wrapping_add(1);
        let wanted = u64::from(tag) << 32 | u64::from(slot + 1);
        let mut hole = self.home(tag);
        while self.entries[hole] != wanted {
            if self.entries[hole] == 0 {
                return;
            }
            hole = self.after(hole);
        }
        // Entries behind it that are not at home move up, so that no probe stops early.
        let mut at = hole;
        loop {
            at = self.after(at);
            let entry = self.entries[at];
            if entry == 0 {
                break;
            }
            let home = self.home((entry >> 32) as u32);
            let stays = if hole <= at {
                hole < home && home <= at
            } else {
                hole < home || home <= at
            };
            if !stays {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few distinct tags, so that chains collide, wrap around the end and are broken in the middle.
        #[test]
        fn the_table_behaves_like_a_map(ops in prop::collection::vec((0..40u32, 0..12u32, any::<bool>()), 1..400)) {
            let mut table = Table::new(40);
            let mut model: HashMap<u32, u32> = HashMap::new();
            for (slot, tag, add) in ops {
                let tag = tag.wrapping_mul(0x1555_5555);
                match model.get(&slot).copied() {
                    None if add => {
                        table.insert(tag, slot);
                        model.insert(slot, tag);
                    }
                    Some(tag) if !add => {
                        table.remove(tag, slot);
                        model.remove(&slot);
                    }
                    _ => {}
                }
                for (&slot, &tag) in &model {
                    let found = table.find(tag, |s| (s == slot).then_some(()));
                    prop_assert_eq!(found, Some((slot, ())));
                    prop_assert!(table.resolve(table.hint(tag)).is_some());
                }
                prop_assert_eq!(table.entries.iter().filter(|e| **e != 0).count(), model.len());
            }
        }
    }
}
