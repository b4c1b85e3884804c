//! Sorted selection: the first connections in an order, in memory for the requested number alone.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use monitor_engine::Connection;
use monitor_rpc::types::Sort;

use crate::rpc::methods::selection::bytes;

/// Memory of one connection, with two VLAN ids.
pub(crate) const BYTES: usize = size_of::<Ranked>() + 16;

/// First connections of the list that is being built.
pub(crate) struct Top {
    sort: Sort,
    limit: usize,
    /// Heap with the last one of the order on top.
    best: BinaryHeap<Reverse<Ranked>>,
}

struct Ranked {
    rank: u64,
    connection: Connection,
}

impl Top {
    pub(crate) fn new(sort: Sort, limit: usize) -> Self {
        Self {
            sort,
            limit,
            best: BinaryHeap::new(),
        }
    }

    pub(crate) fn offer(&mut self, connection: Connection) {
        let offered = Ranked {
            rank: rank(self.sort, &connection),
            connection,
        };
        if self.best.len() < self.limit {
            self.best.push(Reverse(offered));
        } else if let Some(mut worst) = self.best.peek_mut()
            && worst.0 < offered
        {
            worst.0 = offered;
        }
    }

    /// Returns the connections in their order.
    pub(crate) fn into_sorted(self) -> impl Iterator<Item = Connection> {
        self.best
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse(ranked)| ranked.connection)
    }
}

/// Returns the rank; a higher one comes first.
fn rank(sort: Sort, connection: &Connection) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    match sort {
        Sort::Opened => connection.opened,
        Sort::Last => connection.last,
        Sort::Bytes => bytes(connection),
        Sort::Rate => {
            let life = connection
                .last
                .saturating_sub(connection.opened)
                .max(SECOND);
            let rate = u128::from(bytes(connection)) * u128::from(SECOND) / u128::from(life);
            u64::try_from(rate).unwrap_or(u64::MAX)
        }
    }
}

/// Orders by rank, then by slot as unsorted lists do.
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |ranked: &Self| Reverse(ranked.connection.id.position());
        self.rank
            .cmp(&other.rank)
            .then_with(|| place(self).cmp(&place(other)))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use monitor_engine::{SideStats, SockId, TcpState};
    use proptest::prelude::*;

    use super::*;

    fn connection(slot: u32, [opened, life, bytes]: [u64; 3]) -> Connection {
        let side = |end| SideStats {
            end,
            ..SideStats::default()
        };
        Connection {
            id: SockId::new(0, slot, 1),
            client: ([10, 0, 0, 1], 1).into(),
            server: ([10, 0, 0, 2], 2).into(),
            vlan: Vec::new(),
            tunnels: Vec::new(),
            interface: 0,
            opened,
            last: opened + life,
            closed: None,
            reset: None,
            fins: [None; 2],
            midstream: false,
            states: [TcpState::Established; 2],
            sides: [side(bytes / 3), side(bytes - bytes / 3)],
        }
    }

    proptest! {
        #[test]
        fn the_first_of_all_sorted(
            numbers in prop::collection::vec(prop::array::uniform3(0..20_u64), 0..60),
            limit in 1..30_usize,
        ) {
            const SECOND: u64 = 1_000_000_000;
            let numbers: Vec<_> = numbers.iter().map(|[opened, life, bytes]| [*opened, life * SECOND / 4, *bytes]).collect();
            for sort in [Sort::Opened, Sort::Last, Sort::Bytes, Sort::Rate] {
                let mut top = Top::new(sort, limit);
                for (slot, numbers) in numbers.iter().enumerate() {
                    top.offer(connection(slot as u32, *numbers));
                }
                let found: Vec<_> = top.into_sorted().map(|connection| connection.id.slot() as usize).collect();
                let mut all: Vec<_> = (0..numbers.len()).collect();
                all.sort_by_key(|&slot| {
                    let [opened, life, bytes] = numbers[slot];
                    Reverse(match sort {
                        Sort::Opened => opened,
                        Sort::Last => opened + life,
                        Sort::Bytes => bytes,
                        Sort::Rate => bytes * SECOND / life.max(SECOND),
                    })
                });
                all.truncate(limit);
                prop_assert_eq!(found, all);
            }
        }
    }
}
