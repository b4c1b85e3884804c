//! Red-black trees of out-of-order queues, with all nodes in one pool.
//!
//! Their shape is that of the kernel's lib/rbtree.c after the same insertions and removals: the segments that an arriving
//! one is compared with depend on it ([`super::queue`]). Each node also has the reach of its sub-tree, so that the segments
//! that cover a byte are found without a walk over all nodes.

mod balance;
#[cfg(test)]
mod tests;

use std::ops::{Index, IndexMut};

use crate::ByteRange;
use crate::store::cell::Cell32;

/// Index of a node in the pool.
pub type Id = u32;

/// Index of no node. The pool has an empty black node there, so that it can be read without a check.
pub const NIL: Id = 0;

/// The child with lower starts.
pub const LEFT: usize = 0;
/// The child with higher starts.
pub const RIGHT: usize = 1;

/// Error of an allocation: the pool has no free node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Node of a queued segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node {
    start: u64,
    end: u64,
    /// Highest `end` in the sub-tree.
    reach: u64,
    /// Parent; of a free node the next free one.
    parent: Id,
    child: [Id; 2],
    /// Number of nodes in the sub-tree.
    count: u16,
    red: bool,
}

/// Nodes for the trees of all sides of one worker.
#[derive(Debug)]
pub struct Nodes {
    list: Vec<Node>,
    /// First free node of those that were used before.
    free: Id,
    used: usize,
    most: usize,
}

impl Nodes {
    /// Bytes of one node.
    pub const BYTES: usize = size_of::<Node>();

    /// Creates a pool of `most` nodes. Their memory is reserved now and touched when they are first used.
    pub fn new(most: usize) -> Self {
        let mut list = Vec::with_capacity(most + 1);
        list.push(Node::default());
        Self {
            list,
            free: NIL,
            used: 0,
            most,
        }
    }

    /// Returns the number of nodes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    fn alloc(&mut self, node: Node) -> Result<Id, Full> {
        if self.free != NIL {
            let id = self.free;
            self.free = self[id].parent;
            self[id] = node;
            self.used += 1;
            return Ok(id);
        }
        if self.used == self.most {
            return Err(Full);
        }
        self.list.push(node);
        self.used += 1;
        Ok((self.list.len() - 1) as Id)
    }

    fn free_node(&mut self, id: Id) {
        self[id].parent = self.free;
        self.free = id;
        self.used -= 1;
    }
}

impl Index<Id> for Nodes {
    type Output = Node;

    #[inline(always)]
    fn index(&self, id: Id) -> &Node {
        &self.list[id as usize]
    }
}

impl IndexMut<Id> for Nodes {
    #[inline(always)]
    fn index_mut(&mut self, id: Id) -> &mut Node {
        &mut self.list[id as usize]
    }
}

/// Queued segments of one side, by their starts, which are all different.
pub struct Tree<'a> {
    pub nodes: &'a mut Nodes,
    pub root: &'a Cell32,
}

impl Tree<'_> {
    /// Returns the number of nodes.
    pub fn len(&self) -> u16 {
        self.nodes[self.root.get()].count
    }

    /// Returns the segment of a node.
    pub fn range(&self, id: Id) -> ByteRange {
        ByteRange::new(self.nodes[id].start, self.nodes[id].end)
    }

    /// Returns a child, or [`NIL`].
    pub fn child(&self, id: Id, side: usize) -> Id {
        self.nodes[id].child[side]
    }

    /// Returns the node with the lowest start.
    pub fn first(&self) -> Id {
        self.outermost(self.root.get(), LEFT)
    }

    /// Returns the node with the highest start.
    pub fn last(&self) -> Id {
        self.outermost(self.root.get(), RIGHT)
    }

    /// Returns the node with the next higher start.
    pub fn next(&self, id: Id) -> Id {
        let right = self.child(id, RIGHT);
        if right != NIL {
            return self.outermost(right, LEFT);
        }
        let (mut below, mut at) = (id, self.nodes[id].parent);
        while at != NIL && self.child(at, RIGHT) == below {
            (below, at) = (at, self.nodes[at].parent);
        }
        at
    }

    /// Returns the highest end of the segments that start below `start`; 0 if there are none.
    pub fn reach_below(&self, start: u64) -> u64 {
        let mut reach = 0;
        let mut at = self.root.get();
        while at != NIL {
            let node = &self.nodes[at];
            if node.start < start {
                reach = reach.max(node.end).max(self.nodes[node.child[LEFT]].reach);
                at = node.child[RIGHT];
            } else {
                at = node.child[LEFT];
            }
        }
        reach
    }

    /// Inserts a segment where a search for its start ends: on the free `side` of `parent`, or, with [`NIL`], as the root.
    ///
    /// # Errors
    /// [`Full`].
    pub fn insert(&mut self, parent: Id, side: usize, segment: ByteRange) -> Result<Id, Full> {
        let ByteRange { start, end } = segment;
        let node = Node {
            start,
            end,
            reach: end,
            parent,
            child: [NIL; 2],
            count: 1,
            red: true,
        };
        let id = self.nodes.alloc(node)?;
        if parent == NIL {
            self.root.set(id);
        } else {
            self.nodes[parent].child[side] = id;
            self.update_up(parent);
        }
        self.balance_insertion(id);
        Ok(id)
    }

    /// Changes the end of a segment.
    pub fn set_end(&mut self, id: Id, end: u64) {
        self.nodes[id].end = end;
        self.update_up(id);
    }

    /// Removes a segment.
    pub fn erase(&mut self, id: Id) {
        let Node {
            child: [left, right],
            red,
            parent,
            ..
        } = self.nodes[id];
        // The path through the removed place has one black node too few.
        let mut missing_black = !red;
        // Lowest node with a changed sub-tree.
        let mut lowest = parent;
        if left == NIL || right == NIL {
            let child = left.max(right);
            self.replace(id, child);
            if child != NIL {
                self.nodes[child].red = red;
                missing_black = false;
            }
        } else {
            // Two children: the next node takes its place, and that node's only child the next node's.
            let successor = self.outermost(right, LEFT);
            let Node {
                child: [_, orphan],
                red: was_red,
                parent,
                ..
            } = self.nodes[successor];
            lowest = successor;
            if parent != id {
                self.link(parent, LEFT, orphan);
                self.link(successor, RIGHT, right);
                lowest = parent;
            }
            self.link(successor, LEFT, left);
            self.replace(id, successor);
            self.nodes[successor].red = red;
            missing_black = orphan == NIL && !was_red;
            if orphan != NIL {
                self.nodes[orphan].red = false;
            }
        }
        self.nodes.free_node(id);
        self.update_up(lowest);
        if missing_black && lowest != NIL {
            self.balance_removal(lowest);
        }
    }

    /// Removes all segments.
    pub fn clear(&mut self) {
        let mut at = self.root.get();
        self.root.set(NIL);
        while at != NIL {
            let Node { child, parent, .. } = self.nodes[at];
            match [LEFT, RIGHT].into_iter().find(|&side| child[side] != NIL) {
                Some(side) => {
                    self.nodes[at].child[side] = NIL;
                    at = child[side];
                }
                None => {
                    self.nodes.free_node(at);
                    at = parent;
                }
            }
        }
    }

    fn outermost(&self, top: Id, side: usize) -> Id {
        let mut at = top;
        while self.child(at, side) != NIL {
            at = self.child(at, side);
        }
        at
    }

    fn red(&self, id: Id) -> bool {
        self.nodes[id].red
    }

    fn update(&mut self, id: Id) {
        let node = &self.nodes[id];
        let (left, right) = (
            &self.nodes[node.child[LEFT]],
            &self.nodes[node.child[RIGHT]],
        );
        let (reach, count) = (
            node.end.max(left.reach).max(right.reach),
            left.count + right.count + 1,
        );
        let node = &mut self.nodes[id];
        (node.reach, node.count) = (reach, count);
    }

    fn update_up(&mut self, id: Id) {
        let mut at = id;
        while at != NIL {
            self.update(at);
            at = self.nodes[at].parent;
        }
    }

    /// Links `child`, or nothing, below `parent`.
    fn link(&mut self, parent: Id, side: usize, child: Id) {
        self.nodes[parent].child[side] = child;
        if child != NIL {
            self.nodes[child].parent = parent;
        }
    }

    /// Links `new`, or nothing, in the place of `old`.
    fn replace(&mut self, old: Id, new: Id) {
        let parent = self.nodes[old].parent;
        if parent == NIL {
            self.root.set(new);
        } else {
            let side = usize::from(self.child(parent, RIGHT) == old);
            self.nodes[parent].child[side] = new;
        }
        if new != NIL {
            self.nodes[new].parent = parent;
        }
    }

    /// Rotates a node down to `side`; its child on the other side takes its place.
    fn rotate(&mut self, sinking: Id, side: usize) {
        let rising = self.child(sinking, 1 - side);
        self.replace(sinking, rising);
        self.link(sinking, 1 - side, self.child(rising, side));
        self.link(rising, side, sinking);
        self.update(sinking);
        self.update(rising);
    }
}
