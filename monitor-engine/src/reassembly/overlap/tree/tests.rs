//! Trees against the kernel's shape and against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Searches a start. Returns its node, or parent and side of its place.
fn search(tree: &Tree<'_>, start: u64) -> Result<Id, (Id, usize)> {
    let mut place = (NIL, LEFT);
    let mut at = tree.root.get();
    while at != NIL {
        let here = tree.range(at).start;
        if start == here {
            return Ok(at);
        }
        place = (at, if start < here { LEFT } else { RIGHT });
        at = tree.child(at, place.1);
    }
    Err(place)
}

/// Returns all nodes by their starts.
fn in_order(tree: &Tree<'_>) -> Vec<Id> {
    let mut ids = Vec::new();
    let mut at = tree.first();
    while at != NIL {
        ids.push(at);
        at = tree.next(at);
    }
    ids
}

/// Computes FNV-1a over key and colour of every node, parents first, and over the places without a node.
fn digest(tree: &Tree<'_>, at: Id, hash: &mut u64) {
    let value = if at == NIL {
        0
    } else {
        tree.range(at).start * 2 + 2 + u64::from(tree.red(at))
    };
    *hash = (*hash ^ value).wrapping_mul(0x100_0000_01b3);
    if at != NIL {
        digest(tree, tree.child(at, LEFT), hash);
        digest(tree, tree.child(at, RIGHT), hash);
    }
}

/// The digests come from the insertion and removal of the kernel's lib/rbtree.c, compiled as a program that does the same
/// steps. Keys below `span` come from a linear congruential generator; a key in the tree is removed, any other inserted; the
/// digest includes the whole tree after each step.
#[test]
fn the_shape_equals_the_kernels() {
    for (span, steps, kernel) in [
        (8, 500, 0xec0b_797e_ce18_8777_u64),
        (40, 1000, 0x446e_4b6f_55d8_d791),
        (1000, 3000, 0x3e88_5c56_ada9_d24b),
    ] {
        let (mut nodes, root) = (Nodes::new(1000), Cell32::default());
        let mut tree = Tree {
            nodes: &mut nodes,
            root: &root,
        };
        let (mut random, mut hash) = (span, 0xcbf2_9ce4_8422_2325);
        for _ in 0..steps {
            random = 6_364_136_223_846_793_005_u64
                .wrapping_mul(random)
                .wrapping_add(1_442_695_040_888_963_407);
            let key = (random >> 33) % span;
            match search(&tree, key) {
                Ok(id) => tree.erase(id),
                Err((parent, side)) => assert!(
                    tree.insert(parent, side, ByteRange::new(key, key + 1))
                        .is_ok()
                ),
            }
            digest(&tree, tree.root.get(), &mut hash);
        }
        assert_eq!(hash, kernel, "{steps} steps over {span} keys");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(u64, u64),
    Erase(u64),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => (0..60u64, 1..20u64).prop_map(|(start, len)| Op::Put(start, start + len)),
        25 => (0..60u64).prop_map(Op::Erase),
        1 => Just(Op::Clear),
    ]
}

fn apply(tree: &mut Tree<'_>, model: &mut BTreeMap<u64, u64>, op: &Op) {
    match *op {
        Op::Put(start, end) => match search(tree, start) {
            Ok(id) => {
                tree.set_end(id, end);
                model.insert(start, end);
            }
            Err((parent, side)) => {
                if tree
                    .insert(parent, side, ByteRange::new(start, end))
                    .is_ok()
                {
                    model.insert(start, end);
                } else {
                    assert_eq!(model.len(), 40, "the pool is full");
                }
            }
        },
        Op::Erase(start) => {
            if let Ok(id) = search(tree, start) {
                tree.erase(id);
            }
            model.remove(&start);
        }
        Op::Clear => {
            tree.clear();
            model.clear();
        }
    }
}

proptest! {
    #[test]
    fn a_tree_behaves_like_a_map(ops in prop::collection::vec(op(), 1..400)) {
        let (mut nodes, root) = (Nodes::new(40), Cell32::default());
        let mut tree = Tree { nodes: &mut nodes, root: &root };
        let mut model = BTreeMap::new();
        for op in &ops {
            apply(&mut tree, &mut model, op);
            let ranges: Vec<ByteRange> = in_order(&tree).into_iter().map(|id| tree.range(id)).collect();
            let expected: Vec<ByteRange> = model.iter().map(|(start, end)| ByteRange::new(*start, *end)).collect();
            prop_assert_eq!(ranges, expected);
            prop_assert_eq!(usize::from(tree.len()), model.len());
            prop_assert_eq!(tree.range(tree.last()).start, model.keys().next_back().copied().unwrap_or(0));
            for start in (0..60).step_by(7) {
                let reach = model.range(..start).map(|(_, end)| *end).max().unwrap_or(0);
                prop_assert_eq!(tree.reach_below(start), reach);
            }
        }
        tree.clear();
        prop_assert_eq!(nodes.used(), 0, "every node is free again");
    }
}
