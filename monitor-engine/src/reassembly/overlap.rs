//! Whose bytes win where segments overlap and differ.

use crate::OverlapPolicy;
use crate::store::islands::Run;

/// Whether an arriving segment's bytes replace received ones. `next` is the in-order edge; `island` the received run
/// that the overlap lies in, if it lies ahead of the edge. (Bytes behind the edge have been delivered: they stay,
/// except under `last`.)
pub fn new_wins(policy: OverlapPolicy, segment: Run, next: u64, island: Option<Run>) -> bool {
    let Some(island) = island else { return policy == OverlapPolicy::Last };
    match policy {
        OverlapPolicy::First => false,
        OverlapPolicy::Last => true,
        OverlapPolicy::Bsd => segment.0 < island.0,
        // In order: it goes to the application before anything that is queued. Ahead of a hole: of two queued
        // segments the one that starts further left keeps the common part, of two that start together the longer.
        OverlapPolicy::Linux => {
            segment.0 <= next || segment.0 < island.0 || (segment.0 == island.0 && segment.1 > island.1)
        }
    }
}
