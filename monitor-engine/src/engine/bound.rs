//! List of the connections that are bound to one interface: others have equal addresses and ports on other interfaces.
//!
//! **Invariant:** bounded. Empty on nearly every host; then it costs a packet one comparison.

use std::collections::HashMap;

/// Slots of the connections that are bound to one interface, with its number.
#[derive(Debug, Default)]
pub struct BoundSlots(HashMap<u32, u16>);

impl BoundSlots {
    /// Largest number of bound connections. A further one closes its predecessor.
    const MOST: usize = 1024;

    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes a slot, if it is bound.
    #[inline(always)]
    pub fn remove(&mut self, slot: u32) {
        if !self.0.is_empty() {
            self.0.remove(&slot);
        }
    }

    pub fn insert(&mut self, slot: u32, interface: u16) {
        self.0.insert(slot, interface);
    }

    pub fn has_room(&self) -> bool {
        self.0.len() < Self::MOST
    }

    /// Returns the interface that a connection is bound to.
    pub fn interface(&self, slot: u32) -> Option<u16> {
        self.0.get(&slot).copied()
    }
}
