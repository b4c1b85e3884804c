//! Received ranges of a side: the contiguous one that ends at the in-order edge, and those of its set of ranges.

use super::arena::Arena;
use super::ranges::for_each_range;
use super::record::{NONE, SideRecord};
use crate::ByteRange;

/// Calls `each` for the retained ranges of a side in order, until it returns false. On a torn record: with arbitrary
/// ranges, a bounded number of times.
pub fn for_each_retained(
    arena: &Arena,
    side: SideRecord<'_>,
    mut each: impl FnMut(ByteRange) -> bool,
) {
    let base = side.stored.base.get();
    let contiguous = ByteRange::new(side.cold.contig_start.get().max(base), side.next.get());
    let mut contiguous = Some(contiguous).filter(|range| !range.is_empty());
    let mut more = true;
    for_each_range(arena, side.cold.ranges.get(), |range| {
        if let Some(contiguous) = contiguous.take_if(|contiguous| contiguous.start < range.start) {
            more = each(contiguous);
        }
        more = more && each(ByteRange::new(range.start.max(base), range.end));
        more
    });
    if let Some(contiguous) = contiguous.filter(|_| more) {
        each(contiguous);
    }
}

/// Returns the number of bytes retained below `limit`.
pub fn retained_below(arena: &Arena, side: SideRecord<'_>, limit: u64) -> u64 {
    let base = side.stored.base.get();
    let kept = |range: ByteRange| range.end.min(limit).saturating_sub(range.start.max(base));
    let mut sum = kept(ByteRange::new(
        side.cold.contig_start.get(),
        side.next.get(),
    ));
    if side.cold.ranges.get() == NONE {
        return sum;
    }
    for_each_range(arena, side.cold.ranges.get(), |range| {
        sum = sum.saturating_add(kept(range));
        range.start < limit
    });
    sum
}
