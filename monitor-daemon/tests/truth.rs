//! Real captures, read as by `monitord replay`, compared with the streams on which two independent readers agree.
//!
//! The captures are test data of other projects and no part of this one. They are searched in `$MONITOR_CORPUS` and in
//! `../shared/corpus` beside the checkout. Without them the tests are skipped with a message.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use monitor_daemon::capture::replay::{CaptureFile, More};
use monitor_engine::{Engine, EngineConfig, OverlapPolicy, Side, TcpConfig};
use monitor_tests::skip;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Directions that cannot be equal: capture, stream, side, reason.
const EXCEPTIONS: [(&str, u64, u64, &str); 1] = [(
    "arkime/pcap__tcpseq_synthetic.pcap",
    0,
    0,
    "a single segment 240 MiB ahead of a side whose receiver isn't captured",
)];

const NOWHERE: &str = "no captures with known answers here (MONITOR_CORPUS names their directory)";

/// Direction of a stream: a line of `gold.jsonl`.
#[derive(Clone, Debug, Deserialize)]
struct Gold {
    file: String,
    stream: u64,
    side: u64,
    src: (IpAddr, u16),
    dst: (IpAddr, u16),
    isn: Option<u32>,
    base: u32,
    base_source: String,
    bytes: u64,
    contiguous: u64,
    sha256_contiguous: String,
    sha256_present: String,
    /// First of several.
    gaps: Vec<(u64, u64)>,
    gap_count: usize,
}

/// Line of `index.jsonl`.
#[derive(Deserialize)]
struct Listed {
    file: String,
}

#[derive(Deserialize)]
struct Variant {
    variant: String,
    base: String,
}

/// Direction as the engine has it.
#[derive(Debug)]
struct Direction {
    isn: Option<u32>,
    bytes: u64,
    contiguous: u64,
    sha256_contiguous: String,
    sha256_present: String,
    gaps: Vec<(u64, u64)>,
}

type Ends = (SocketAddr, SocketAddr);

#[test]
fn every_capture_equals_its_reference_with_policy_first() {
    let Some(corpus) = corpus() else {
        skip!("{NOWHERE}")
    };
    captures(&corpus, OverlapPolicy::First);
}

#[test]
fn every_capture_equals_its_reference_with_policy_linux() {
    let Some(corpus) = corpus() else {
        skip!("{NOWHERE}")
    };
    captures(&corpus, OverlapPolicy::Linux);
}

#[test]
fn every_variant_equals_its_base_with_policy_first() {
    let Some(corpus) = corpus() else {
        skip!("{NOWHERE}")
    };
    variants(&corpus, OverlapPolicy::First);
}

#[test]
fn every_variant_equals_its_base_with_policy_linux() {
    let Some(corpus) = corpus() else {
        skip!("{NOWHERE}")
    };
    variants(&corpus, OverlapPolicy::Linux);
}

fn captures(corpus: &Path, policy: OverlapPolicy) {
    let gold = gold(corpus);
    let index = fs::read_to_string(corpus.join("index.jsonl")).unwrap();
    let mut faults = Faults::default();
    for line in index.lines() {
        let Listed { file } = serde_json::from_str(line).unwrap();
        // In a few the readers agree on no stream; they must not cause a failure.
        let directions = gold.get(&file).map_or(&[][..], Vec::as_slice);
        faults.check(
            &corpus.join("pcaps").join(file),
            directions,
            policy,
            Numbers::Own,
        );
    }
    let equal = faults.equal;
    faults.report();
    assert_eq!(
        equal + EXCEPTIONS.len(),
        gold.values().map(Vec::len).sum::<usize>()
    );
}

fn variants(corpus: &Path, policy: OverlapPolicy) {
    let gold = gold(corpus);
    let list = fs::read_to_string(corpus.join("variants/variants.json")).unwrap();
    let variants: Vec<Variant> = serde_json::from_str(&list).unwrap();
    assert!(variants.len() >= 142);
    let mut faults = Faults::default();
    for Variant { variant, base } in &variants {
        let path = corpus.join("variants/pcaps").join(variant);
        // This variant changes the sequence numbers.
        let numbers = if variant.contains(".wrap.") {
            Numbers::Moved
        } else {
            Numbers::Own
        };
        faults.check(&path, &gold[base], policy, numbers);
    }
    faults.report();
}

/// Returns the directory of the captures.
fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let named = std::env::var_os("MONITOR_CORPUS").map(PathBuf::from);
    named
        .into_iter()
        .chain([beside])
        .find(|path| path.join("gold.jsonl").is_file())
}

fn gold(corpus: &Path) -> HashMap<String, Vec<Gold>> {
    let mut gold: HashMap<String, Vec<Gold>> = HashMap::new();
    for line in fs::read_to_string(corpus.join("gold.jsonl"))
        .unwrap()
        .lines()
    {
        let direction: Gold = serde_json::from_str(line).unwrap();
        gold.entry(direction.file.clone())
            .or_default()
            .push(direction);
    }
    gold
}

/// Relation of a capture's sequence numbers to those of its reference.
#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    Own,
    Moved,
}

#[derive(Default)]
struct Faults {
    equal: usize,
    different: Vec<String>,
}

impl Faults {
    fn check(&mut self, path: &Path, gold: &[Gold], policy: OverlapPolicy, numbers: Numbers) {
        let mut read = read(path, policy);
        for direction in gold {
            let ends = (direction.src.into(), direction.dst.into());
            let candidates = read.entry(ends).or_default();
            if let Some(found) = candidates
                .iter()
                .position(|read| read.is(direction, numbers))
            {
                candidates.swap_remove(found);
                self.equal += 1;
            } else if !excepted(direction) {
                let file = path.display();
                self.different
                    .push(format!("{file}: {direction:?}\n  read: {candidates:?}"));
            }
        }
    }

    fn report(self) {
        assert!(self.equal > 0);
        let Self { equal, different } = self;
        assert!(
            different.is_empty(),
            "{} differ, {equal} are equal:\n{}",
            different.len(),
            different.join("\n")
        );
    }
}

fn excepted(gold: &Gold) -> bool {
    EXCEPTIONS.iter().any(|(file, stream, side, _)| {
        (*file, *stream, *side) == (&gold.file, gold.stream, gold.side)
    })
}

impl Direction {
    fn is(&self, gold: &Gold, numbers: Numbers) -> bool {
        // The peer's SYN+ACK determines the initial sequence number as well.
        let start = match gold.base_source.as_str() {
            "first_packet" => None,
            _ => Some(gold.base.wrapping_sub(1)),
        };
        assert!(
            gold.isn.is_none() || gold.isn == start,
            "the truth contradicts itself: {gold:?}"
        );
        let known = numbers == Numbers::Moved || self.isn == start;
        let gaps = self.gaps.len() == gold.gap_count && self.gaps.starts_with(&gold.gaps);
        known
            && gaps
            && (self.bytes, self.contiguous) == (gold.bytes, gold.contiguous)
            && self.sha256_contiguous == gold.sha256_contiguous
            && self.sha256_present == gold.sha256_present
    }
}

/// Reads a capture; returns its directions by sender and receiver.
fn read(path: &Path, policy: OverlapPolicy) -> HashMap<Ends, Vec<Direction>> {
    // Nothing must be evicted: the reference has all bytes.
    let tcp = TcpConfig {
        overlap: policy,
        idle_timeout: None,
        linger: None,
        max_ranges: 10_000,
        ..TcpConfig::default()
    };
    let config = EngineConfig {
        memory: 1 << 30,
        window: 1 << 29,
        tcp,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config, ()).unwrap();
    let mut file = CaptureFile::open(path).unwrap();
    // A damaged file is used up to the damage, as in a replay.
    while let Ok(More::Yes) = file.batch(u64::MAX, |packets| engine.process(packets)) {}
    engine.finish();
    let reader = engine.reader();
    let mut all: HashMap<Ends, Vec<Direction>> = HashMap::new();
    for connection in reader.connections(None) {
        for side in Side::BOTH {
            let (client, server) = (connection.client, connection.server);
            let ends = if side == Side::Server {
                (client, server)
            } else {
                (server, client)
            };
            let view = &connection.sides[side.index()];
            let mut runs = Vec::new();
            for (off, len) in reader.extents(connection.id, side).unwrap().runs {
                let mut bytes = vec![0; usize::try_from(len).unwrap()];
                let peek = reader.peek(connection.id, side, off, &mut bytes).unwrap();
                assert_eq!(peek.len, bytes.len(), "a run is read whole");
                runs.push((off, bytes));
            }
            all.entry(ends)
                .or_default()
                .push(Direction::of(view.isn, view.fin, &runs));
        }
    }
    all
}

impl Direction {
    fn of(isn: Option<u32>, fin: Option<u64>, runs: &[(u64, Vec<u8>)]) -> Self {
        let contiguous = runs
            .first()
            .filter(|run| run.0 == 0)
            .map_or(&[][..], |run| &run.1);
        let mut present = Sha256::new();
        let mut gaps = Vec::new();
        let mut at = 0;
        for (off, bytes) in runs {
            if *off > at {
                gaps.push((at, off - at));
            }
            present.update(bytes);
            at = off + bytes.len() as u64;
        }
        if let Some(fin) = fin.filter(|fin| *fin > at) {
            gaps.push((at, fin - at));
        }
        Self {
            isn,
            bytes: runs.iter().map(|run| run.1.len() as u64).sum(),
            contiguous: contiguous.len() as u64,
            sha256_contiguous: hex(&Sha256::digest(contiguous)),
            sha256_present: hex(&present.finalize()),
            gaps,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
