//! Overlapping segments beyond a hole, as the Linux kernel delivers them: results of a running kernel, from the corpus of
//! captures if it exists, and of a list-based reference model.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::env;
use std::fs;
use std::path::PathBuf;

use common::{Flow, Lab};
use monitor_engine::{EngineConfig, Side};
use monitor_tests::skip;

/// A segment in units of some bytes: from where on, and how many.
type Chunk = (usize, usize);

/// Returns the bytes that the application reads, a letter a unit, after the chunks in this order and then a filler, '.', for
/// each unit that none of them carries.
fn engine(chunks: &[Chunk], unit: usize, isn: u32) -> String {
    let (mut lab, mut flow) = (
        Lab::with(EngineConfig {
            memory: 1 << 20,
            ..Lab::config()
        }),
        Flow::new(),
    );
    flow.isn[Side::Client.index()] = isn;
    flow.open(&mut lab);
    let mut send = |letter: u8, (start, units): Chunk| {
        flow.at(
            &mut lab,
            Side::Client,
            (start * unit) as i64,
            &vec![letter; units * unit],
        );
    };
    for (&chunk, letter) in chunks.iter().zip(b'A'..) {
        send(letter, chunk);
    }
    let units = end(chunks);
    for at in (0..units).filter(|at| !chunks.iter().any(|chunk| carries(*chunk, *at))) {
        send(b'.', (at, 1));
    }
    let bytes = lab.text(Side::Server).into_bytes();
    let all_equal = |letters: &[u8]| letters.iter().all(|letter| *letter == letters[0]);
    bytes
        .chunks(unit)
        .map(|letters| {
            if all_equal(letters) {
                char::from(letters[0])
            } else {
                '!'
            }
        })
        .collect()
}

fn end(chunks: &[Chunk]) -> usize {
    chunks
        .iter()
        .map(|chunk| chunk.0 + chunk.1)
        .max()
        .unwrap_or(0)
}

fn carries(chunk: Chunk, at: usize) -> bool {
    (chunk.0..chunk.0 + chunk.1).contains(&at)
}

/// The corpus: named by MONITOR_CORPUS, or next to the checkout.
fn corpus(file: &str) -> Option<String> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus"));
    let folder = env::var_os("MONITOR_CORPUS").map_or_else(beside, PathBuf::from);
    fs::read_to_string(folder.join(file)).ok()
}

#[test]
fn linux_agrees_with_the_kernel() {
    let Some(text) = corpus("kernel_overlap.json") else {
        skip!("no kernel_overlap.json here (MONITOR_CORPUS names its directory)");
    };
    let recorded: serde_json::Value = serde_json::from_str(&text).unwrap();
    let unit = recorded["unit_bytes"].as_u64().unwrap() as usize;
    let runs = recorded["runs"].as_array().unwrap();
    let mut wrong = Vec::new();
    for run in runs {
        let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let chunks: Vec<Chunk> = run["chunks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|chunk| (number(&chunk[0]), number(&chunk[1])))
            .collect();
        // In the other kinds sequence numbers stay far from the wrap.
        let isn = if run["kind"] == "seq_wrap" {
            u32::MAX - 5
        } else {
            1000
        };
        let got = engine(&chunks, unit, isn);
        if got != run["result"].as_str().unwrap() {
            wrong.push(format!("{chunks:?}: {got}, the kernel {}", run["result"]));
        }
    }
    assert!(!runs.is_empty());
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        runs.len(),
        wrong.join("\n")
    );
}

/// Reference model of the kernel with at most two segments queued when the third arrives: the first to arrive is compared first,
/// then the other one if it lies on the same side. (The last of all is asked before that whether it can be continued.)
#[derive(Default)]
struct ReferenceModel {
    /// In the order in which a search meets them.
    queue: Vec<(usize, String)>,
}

impl ReferenceModel {
    fn arrive(&mut self, start: usize, letters: String) {
        let end = start + letters.len();
        let last = self
            .queue
            .iter()
            .max_by_key(|queued| queued.0)
            .map(|queued| queued.0);
        let first = self.queue.first().map_or(0, |queued| queued.0);
        let ends = |queued: &(usize, String)| queued.0 + queued.1.len();
        let mut met: Vec<usize> = (0..self.queue.len()).collect();
        met.retain(|&index| index == 0 || (self.queue[index].0 < first) == (start < first));
        if let Some(index) = self.queue.iter().position(|queued| Some(queued.0) == last)
            && start >= ends(&self.queue[index])
        {
            met = vec![index];
        }
        for index in met {
            let queued = &mut self.queue[index];
            if queued.0 <= start && end <= ends(queued) {
                return;
            }
            if queued.0 == start {
                queued.1 = letters;
                return self.drop_covered(start, end);
            }
            if ends(queued) == start {
                return queued.1.push_str(&letters);
            }
        }
        self.queue.push((start, letters));
        self.drop_covered(start, end);
    }

    fn drop_covered(&mut self, start: usize, end: usize) {
        self.queue
            .retain(|queued| queued.0 <= start || queued.0 + queued.1.len() > end);
    }

    /// Of those that carry a unit the one that starts lowest gives it.
    fn read(&self, units: usize) -> String {
        let letter = |at: usize| {
            let carrier = self
                .queue
                .iter()
                .filter(|(start, letters)| carries((*start, letters.len()), at));
            let lowest = carrier.min_by_key(|queued| queued.0);
            lowest.map_or('.', |(start, letters)| {
                char::from(letters.as_bytes()[at - start])
            })
        };
        (0..units).map(letter).collect()
    }
}

#[test]
fn linux_agrees_with_its_reference_model_on_pairs_and_triples() {
    let all = || (1..5).flat_map(|start| (1..4).map(move |units| (start, units)));
    let pairs = all().flat_map(|a| all().map(move |b| vec![a, b]));
    let triples = all().flat_map(|a| all().flat_map(move |b| all().map(move |c| vec![a, b, c])));
    for chunks in pairs.chain(triples) {
        let mut model = ReferenceModel::default();
        for (&(start, units), letter) in chunks.iter().zip(["A", "B", "C"]) {
            model.arrive(start, letter.repeat(units));
        }
        assert_eq!(
            engine(&chunks, 3, 77),
            model.read(end(&chunks)),
            "{chunks:?}"
        );
    }
}
