//! Settings of a side that change while it is followed.

use super::Receiver;
use crate::store::blocks::number;
use crate::store::received::retained_below;
use crate::store::record::{NONE, flag};
use crate::store::{Release, fence};
use crate::{OverlapPolicy, Side, Sink};

impl<S: Sink> Receiver<'_, S> {
    /// Frees all bytes and retains none from now on. Edges and holes are tracked as before.
    pub fn disable(&mut self) {
        if !self.enabled() {
            return;
        }
        let side = self.side();
        let evicted = retained_below(self.arena, side, u64::MAX);
        let (first, last) = (
            number(side.stored.base.get()),
            number(side.end().max(side.stored.base.get())),
        );
        let marks = side.stored.marks.get();
        self.record.update(|record| {
            record.add_flag(flag::DISABLED_CLIENT, self.name);
            side.stored.marks.set(NONE);
            side.cold.epoch.set(side.cold.epoch.get().wrapping_add(1));
            self.retain_nothing();
        });
        // Readers look at the epoch again after they have copied: from here on the blocks may be reused.
        fence(Release);
        self.writer.queues.restart(&side.cold.ooo_queue);
        self.blocks().release_all(first, last + 1);
        self.marks().free_ring(marks);
        self.counters.evicted_bytes.add(evicted);
    }

    /// Fits the retained bytes into a window that was changed: evicts the surplus at once.
    pub fn fit(&mut self) {
        let side = self.side();
        let newest = side.end().max(side.next.get());
        if newest.saturating_sub(side.stored.base.get()) > self.limits.window {
            self.raise_base(newest - self.limits.window);
        }
    }

    /// Sets the overlap policy from now on.
    pub fn set_policy(&mut self, policy: OverlapPolicy) {
        let side = self.side();
        if self.record.overlap(self.name) == policy {
            return;
        }
        self.record.update(|record| {
            let mut policies = Side::BOTH.map(|side| record.overlap(side));
            policies[self.name.index()] = policy;
            record.set_overlap(policies);
        });
        if self.enabled() && self.hole_end().is_some() {
            self.record.update(|_| side.part());
            self.writer.queues.forget(&side.cold.ooo_queue);
        } else {
            self.writer.queues.restart(&side.cold.ooo_queue);
        }
    }
}
