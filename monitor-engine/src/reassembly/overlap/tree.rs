//! The red-black trees that out-of-order queues are kept in, all in one pool of nodes.
//!
//! Their shape is that of the kernel's lib/rbtree.c after the same insertions and removals: which queued segments an
//! arriving one meets depends on it ([`super::queue`]). Each node also knows how far its sub-tree reaches, so that
//! what covers a byte is found without a walk over all nodes.

use std::ops::{Index, IndexMut};

use crate::store::cell::Cell32;
use crate::store::range_set::Run;

/// A node's place in the pool.
pub type Id = u32;

/// No node. Its place in the pool holds an empty black node, so that looking at it needs no question first.
pub const NIL: Id = 0;

/// The child with lower starts.
pub const LEFT: usize = 0;
/// The child with higher starts.
pub const RIGHT: usize = 1;

/// The pool has no node left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A queued segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node {
    start: u64,
    end: u64,
    /// The highest `end` in this node's sub-tree.
    reach: u64,
    /// While the node is free: the next free one.
    parent: Id,
    child: [Id; 2],
    /// How many nodes the sub-tree has.
    count: u16,
    red: bool,
}

/// Nodes for the trees of all sides of one worker.
#[derive(Debug)]
pub struct Nodes {
    list: Vec<Node>,
    /// First of the nodes that were used before.
    free: Id,
    used: usize,
    most: usize,
}

impl Nodes {
    /// What one node takes, bytes.
    pub const BYTES: usize = size_of::<Node>();

    /// Room for `most` nodes, reserved now; memory is touched as nodes come into use.
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

    /// Nodes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    fn take(&mut self, node: Node) -> Result<Id, Full> {
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

    fn give(&mut self, id: Id) {
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

/// One side's queued segments by their starts, which are all different.
pub struct Tree<'a> {
    /// Where the nodes are.
    pub nodes: &'a mut Nodes,
    /// The topmost node.
    pub root: &'a Cell32,
}

impl Tree<'_> {
    /// How many nodes there are.
    pub fn len(&self) -> u16 {
        self.nodes[self.root.get()].count
    }

    /// The segment in a node.
    pub fn run(&self, id: Id) -> Run {
        (self.nodes[id].start, self.nodes[id].end)
    }

    /// A child, or [`NIL`].
    pub fn child(&self, id: Id, side: usize) -> Id {
        self.nodes[id].child[side]
    }

    /// The node with the lowest start.
    pub fn first(&self) -> Id {
        self.outermost(self.root.get(), LEFT)
    }

    /// The node with the highest start.
    pub fn last(&self) -> Id {
        self.outermost(self.root.get(), RIGHT)
    }

    /// The node with the next higher start.
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

    /// How far the segments reach that start below `start`; 0 if there are none.
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

    /// Puts a segment where a search for its start ends: on the free `side` of `parent`, or, with [`NIL`], alone.
    pub fn insert(&mut self, parent: Id, side: usize, run: Run) -> Result<Id, Full> {
        let (start, end) = run;
        let node = Node {
            start,
            end,
            reach: end,
            parent,
            child: [NIL; 2],
            count: 1,
            red: true,
        };
        let id = self.nodes.take(node)?;
        if parent == NIL {
            self.root.set(id);
        } else {
            self.nodes[parent].child[side] = id;
            self.update_up(parent);
        }
        self.balance_insertion(id);
        Ok(id)
    }

    /// Moves the end of a segment.
    pub fn set_end(&mut self, id: Id, end: u64) {
        self.nodes[id].end = end;
        self.update_up(id);
    }

    /// Takes a segment out.
    pub fn erase(&mut self, id: Id) {
        let Node {
            child: [left, right],
            red,
            parent,
            ..
        } = self.nodes[id];
        let mut missing_black = !red;
        // From here on upwards, sub-trees have changed.
        let mut lowest = parent;
        if left == NIL || right == NIL {
            let child = left.max(right);
            self.replace(id, child);
            if child != NIL {
                self.nodes[child].red = red;
                missing_black = false;
            }
        } else {
            let successor = self.outermost(right, LEFT);
            let Node {
                child: [_, orphan],
                red: was_red,
                parent,
                ..
            } = self.nodes[successor];
            lowest = successor;
            if parent != id {
                self.hang(parent, LEFT, orphan);
                self.hang(successor, RIGHT, right);
                lowest = parent;
            }
            self.hang(successor, LEFT, left);
            self.replace(id, successor);
            self.nodes[successor].red = red;
            missing_black = orphan == NIL && !was_red;
            if orphan != NIL {
                self.nodes[orphan].red = false;
            }
        }
        self.nodes.give(id);
        self.update_up(lowest);
        if missing_black && lowest != NIL {
            self.balance_removal(lowest);
        }
    }

    /// Takes all segments out.
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
                    self.nodes.give(at);
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

    /// Makes `child`, or nothing, a child of `parent`.
    fn hang(&mut self, parent: Id, side: usize, child: Id) {
        self.nodes[parent].child[side] = child;
        if child != NIL {
            self.nodes[child].parent = parent;
        }
    }

    /// Puts `new`, or nothing, where `old` hangs.
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

    /// A node sinks to `side`, its child on the other side rises into its place.
    fn rotate(&mut self, sinking: Id, side: usize) {
        let rising = self.child(sinking, 1 - side);
        self.replace(sinking, rising);
        self.hang(sinking, 1 - side, self.child(rising, side));
        self.hang(rising, side, sinking);
        self.update(sinking);
        self.update(rising);
    }

    /// A red node may hang below a red one, and the root may be red.
    fn balance_insertion(&mut self, inserted: Id) {
        let mut id = inserted;
        loop {
            let mut parent = self.nodes[id].parent;
            if parent == NIL {
                self.nodes[id].red = false;
                return;
            }
            if !self.red(parent) {
                return;
            }
            // A red node is not the root: there is one above.
            let above = self.nodes[parent].parent;
            let side = usize::from(self.child(above, RIGHT) == parent);
            let uncle = self.child(above, 1 - side);
            if self.red(uncle) {
                self.nodes[uncle].red = false;
                self.nodes[parent].red = false;
                self.nodes[above].red = true;
                id = above;
                continue;
            }
            if self.child(parent, 1 - side) == id {
                self.rotate(parent, side);
                parent = id;
            }
            self.nodes[parent].red = false;
            self.nodes[above].red = true;
            self.rotate(above, 1 - side);
            return;
        }
    }

    /// Below `parent`, on the side that has no node (or, further up, on the one we come from), a black node is missing.
    fn balance_removal(&mut self, parent: Id) {
        let (mut id, mut parent) = (NIL, parent);
        while parent != NIL {
            let side = usize::from(self.child(parent, RIGHT) == id);
            let other = 1 - side;
            let mut sibling = self.child(parent, other);
            if self.red(sibling) {
                self.nodes[sibling].red = false;
                self.nodes[parent].red = true;
                self.rotate(parent, side);
                sibling = self.child(parent, other);
            }
            let (near, far) = (self.child(sibling, side), self.child(sibling, other));
            if !self.red(near) && !self.red(far) {
                self.nodes[sibling].red = true;
                if self.red(parent) {
                    self.nodes[parent].red = false;
                    return;
                }
                (id, parent) = (parent, self.nodes[parent].parent);
                continue;
            }
            if !self.red(far) {
                self.rotate(sibling, other);
                sibling = near;
            }
            self.nodes[sibling].red = self.red(parent);
            self.nodes[parent].red = false;
            let far = self.child(sibling, other);
            self.nodes[far].red = false;
            self.rotate(parent, side);
            return;
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
