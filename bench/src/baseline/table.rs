//! Flows by their hash: open addressing, half full at most, nothing but hash and number in an entry.

use crate::sys::prefetch;

const EMPTY: u64 = u64::MAX;
const FIRST: usize = 1 << 10;

pub struct Table {
    /// The hash in the upper half, the flow's number in the lower one.
    entries: Vec<u64>,
    used: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: vec![EMPTY; FIRST],
            used: 0,
        }
    }
}

impl Table {
    /// Fetches the entry where a search starts.
    #[inline]
    pub fn prefetch(&self, tag: u32) {
        prefetch(&self.entries[self.home(tag)]);
    }

    /// Returns the flow of that entry: nearly always the one that a search will find.
    #[inline]
    pub fn guess(&self, tag: u32) -> Option<u32> {
        let entry = self.entries[self.home(tag)];
        (entry != EMPTY).then_some(entry as u32)
    }

    /// The flow with this hash that `is` the right one.
    #[inline]
    pub fn find(&self, tag: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let entry = self.entries[at];
            if entry == EMPTY {
                return None;
            }
            if (entry >> 32) as u32 == tag && is(entry as u32) {
                return Some(entry as u32);
            }
            at = self.after(at);
        }
    }

    pub fn insert(&mut self, tag: u32, number: u32) {
        if self.used * 2 >= self.entries.len() {
            self.grow();
        }
        self.used += 1;
        let mut at = self.home(tag);
        while self.entries[at] != EMPTY {
            at = self.after(at);
        }
        self.entries[at] = u64::from(tag) << 32 | u64::from(number);
    }

    /// Takes an entry out and closes the gap behind it.
    pub fn remove(&mut self, tag: u32, number: u32) {
        let wanted = u64::from(tag) << 32 | u64::from(number);
        let mut hole = self.home(tag);
        while self.entries[hole] != wanted {
            hole = self.after(hole);
        }
        self.used -= 1;
        let mut at = self.after(hole);
        while self.entries[at] != EMPTY {
            let home = self.home((self.entries[at] >> 32) as u32);
            let mask = self.entries.len() - 1;
            // An entry with its home at or before the hole moves into it.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.entries[hole] = self.entries[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.entries[hole] = EMPTY;
    }

    fn grow(&mut self) {
        let larger = vec![EMPTY; self.entries.len() * 2];
        let old = std::mem::replace(&mut self.entries, larger);
        self.used = 0;
        for entry in old.into_iter().filter(|entry| *entry != EMPTY) {
            self.insert((entry >> 32) as u32, entry as u32);
        }
    }

    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.entries.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use monitor_tests::wiregen::Random;

    use super::*;

    #[test]
    fn it_agrees_with_a_map() {
        let mut random = Random::new(1);
        let (mut table, mut reference) = (Table::default(), BTreeMap::new());
        for number in 0..20_000_u32 {
            // Few hashes, so that they collide and runs wrap around the end.
            let tag = random.below(3000) as u32 * 7;
            table.insert(tag, number);
            reference.insert(number, tag);
            if random.below(5) < 4 {
                let (&number, &tag) = reference.iter().nth(random.below(reference.len())).unwrap();
                table.remove(tag, number);
                reference.remove(&number);
                assert_eq!(table.find(tag, |found| found == number), None);
            }
        }
        for (number, tag) in reference {
            assert_eq!(table.find(tag, |found| found == number), Some(number));
        }
    }
}
