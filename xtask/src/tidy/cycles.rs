//! Direction of imports between the files of a crate: no cycles, and an order of modules where one is declared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::imports::{Graph, graph};
use super::sources::rust_files;

/// Directories with the order of their modules: a module uses only those before it.
const ORDERS: &[(&str, &[&str])] = &[
    (
        "monitor-daemon/src",
        &[
            "config", "filter", "scan", "tls", "util", "packets", "events", "control", "status",
            "stats", "capture", "rpc", "worker", "live", "service",
        ],
    ),
    (
        "monitor-engine/src",
        &[
            "packet",
            "payload",
            "config",
            "event",
            "refusal",
            "counters",
            "store",
            "tunnels",
            "state",
            "seq",
            "flow",
            "decode",
            "defrag",
            "acceptance",
            "reassembly",
            "engine",
        ],
    ),
    (
        "monitor-reader/src",
        &["view", "path", "store", "tunnels", "reader"],
    ),
    (
        "monitor-daemon/src/rpc",
        &[
            "access",
            "metrics",
            "method_times",
            "view",
            "protocol",
            "transport",
            "dispatcher",
            "fairness",
            "packet_logs",
            "shared",
            "subscriptions",
            "session",
            "methods",
            "connection",
            "serve",
        ],
    ),
];

/// Checks every crate of the checkout.
pub fn check(findings: &mut Vec<String>) -> Result<()> {
    let files = rust_files()?;
    for source in sources(&files) {
        let graph = graph(&source, &files)?;
        check_cycles(&graph, findings);
        for (directory, order) in ORDERS {
            if Path::new(directory).starts_with(&source) {
                check_order(&graph, Path::new(directory), order, findings);
            }
        }
    }
    Ok(())
}

fn check_cycles(graph: &Graph, findings: &mut Vec<String>) {
    for cycle in cycles(graph) {
        findings.push(format!("import cycle: {}", describe(graph, &cycle)));
    }
}

/// Returns the `src` directories that hold a crate's root.
fn sources(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    files
        .iter()
        .filter(|file| file.ends_with("src/lib.rs") || file.ends_with("src/main.rs"))
        .filter_map(|file| file.parent().map(Path::to_owned))
        .collect()
}

/// Returns the sets of files that reach each other, each in order.
fn cycles(graph: &Graph) -> Vec<Vec<PathBuf>> {
    let reach: BTreeMap<_, _> = graph
        .edges
        .keys()
        .map(|file| (file, reachable(graph, file)))
        .collect();
    let mut found = BTreeSet::new();
    for (file, targets) in &reach {
        if targets.contains(*file) {
            let together = targets
                .iter()
                .filter(|other| reach.get(other).is_some_and(|back| back.contains(*file)));
            found.insert(together.cloned().collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}

fn reachable(graph: &Graph, from: &Path) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut pending = vec![from.to_owned()];
    while let Some(file) = pending.pop() {
        for target in graph.edges.get(&file).into_iter().flatten() {
            if reached.insert(target.clone()) {
                pending.push(target.clone());
            }
        }
    }
    reached
}

/// Writes a cycle as its edges.
fn describe(graph: &Graph, cycle: &[PathBuf]) -> String {
    let mut lines = Vec::new();
    for file in cycle {
        let inside = graph.edges[file].iter().filter(|to| cycle.contains(to));
        for to in inside {
            lines.push(format!("\n    {} uses {}", file.display(), to.display()));
        }
    }
    lines.concat()
}

fn check_order(graph: &Graph, directory: &Path, order: &[&str], findings: &mut Vec<String>) {
    let rank = |file: &Path| {
        let inside = file.strip_prefix(directory).ok()?.with_extension("");
        let module = inside.iter().next()?.to_string_lossy().into_owned();
        Some((order.iter().position(|name| *name == module), module))
    };
    let is_root = |name: &str| ["lib", "main", "mod"].contains(&name);
    for (file, targets) in &graph.edges {
        let Some((from_rank, from)) = rank(file) else {
            continue;
        };
        for (target_rank, to) in targets.iter().filter_map(|target| rank(target)) {
            if from == to || is_root(&from) {
                continue;
            }
            if from_rank.is_none() || from_rank <= target_rank {
                findings.push(format!(
                    "{}: `{from}` must not use `{to}`; the order of modules in {} is {}",
                    file.display(),
                    directory.display(),
                    order.join(", ")
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph_of(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in edges {
            let targets = graph.edges.entry(PathBuf::from(from)).or_default();
            targets.insert(PathBuf::from(to));
        }
        graph
    }

    #[test]
    fn files_that_reach_each_other_are_one_cycle() {
        let graph = graph_of(&[
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
            ("d", "a"),
            ("e", "f"),
            ("f", "e"),
        ]);
        let found = cycles(&graph);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], ["a", "b", "c"].map(PathBuf::from));
        assert!(cycles(&graph_of(&[("a", "b"), ("a", "c"), ("b", "c")])).is_empty());
    }

    #[test]
    fn a_cycle_is_an_error_that_names_its_files() {
        let mut findings = Vec::new();
        check_cycles(
            &graph_of(&[("a", "b"), ("b", "a"), ("b", "c")]),
            &mut findings,
        );
        let cycle = "import cycle: \n    a uses b\n    b uses a";
        assert_eq!(findings, [cycle]);
    }

    #[test]
    fn the_order_of_modules_holds() {
        let errors = |edges: &[(&str, &str)]| {
            let mut findings = Vec::new();
            check_order(
                &graph_of(edges),
                Path::new("src"),
                &["low", "high"],
                &mut findings,
            );
            findings.len()
        };
        assert_eq!(errors(&[("src/high/a.rs", "src/low.rs")]), 0);
        assert_eq!(errors(&[("src/lib.rs", "src/low.rs")]), 0);
        assert_eq!(errors(&[("src/low.rs", "src/high/a.rs")]), 1);
        assert_eq!(errors(&[("src/other.rs", "src/low.rs")]), 1);
    }
}
