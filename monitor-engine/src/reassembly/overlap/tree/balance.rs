//! Balancing, step by step as in the kernel's lib/rbtree.c.

use super::{Id, NIL, RIGHT, Tree};

impl Tree<'_> {
    /// Repairs the tree after an insertion: a red node may be below a red one, and the root may be red.
    pub(super) fn balance_insertion(&mut self, inserted: Id) {
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
            // A red parent is not the root, so it has a parent.
            let above = self.nodes[parent].parent;
            let side = usize::from(self.child(above, RIGHT) == parent);
            let uncle = self.child(above, 1 - side);
            // A red uncle: recolour, and continue two levels up.
            if self.red(uncle) {
                self.nodes[uncle].red = false;
                self.nodes[parent].red = false;
                self.nodes[above].red = true;
                id = above;
                continue;
            }
            // An inner grandchild: rotate it to the outside first.
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

    /// Repairs the tree after a removal: below `parent`, on the side without a node (further up: on the side of the
    /// child just repaired), a black node is missing.
    pub(super) fn balance_removal(&mut self, parent: Id) {
        let (mut id, mut parent) = (NIL, parent);
        while parent != NIL {
            let side = usize::from(self.child(parent, RIGHT) == id);
            let other = 1 - side;
            let mut sibling = self.child(parent, other);
            // A red sibling: rotate, so that the new one is black.
            if self.red(sibling) {
                self.nodes[sibling].red = false;
                self.nodes[parent].red = true;
                self.rotate(parent, side);
                sibling = self.child(parent, other);
            }
            let (near, far) = (self.child(sibling, side), self.child(sibling, other));
            // No red nephew: take the black from both sides, and continue one level up.
            if !self.red(near) && !self.red(far) {
                self.nodes[sibling].red = true;
                if self.red(parent) {
                    self.nodes[parent].red = false;
                    return;
                }
                (id, parent) = (parent, self.nodes[parent].parent);
                continue;
            }
            // Only the near nephew is red: rotate it to the far side first.
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
