//! Memory of pattern searches: the accounted bytes bound the resident ones.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

use std::process::Command;

use mimalloc::MiMalloc;
use monitor_daemon::scan::{Limits, Pattern, ScanState, Scratch, Set, Stream, Syntax};

/// That of the daemon: its rounding counts.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const LIMITS: Limits = Limits {
    patterns: 10_000,
    memory: 64 << 20,
};
/// Enough searches that the memory of the test itself doesn't matter.
const SEARCHES: usize = 8;
const SIDES: usize = 40;

/// Returns the resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").trim().parse().unwrap();
    kib * 1024
}

/// All bytes are retained.
struct Text<'a>(&'a [u8]);

impl Stream for Text<'_> {
    fn read(&mut self, off: u64, to: &mut [u8]) -> bool {
        let from = self.0.get(off as usize..off as usize + to.len());
        from.map(|from| to.copy_from_slice(from)).is_some()
    }
}

fn compile() -> Set {
    let expression = |number: usize| Pattern {
        syntax: Syntax::Regex(format!("user{number}=[a-z]+;")),
        nocase: false,
    };
    let literal = |number: usize| Pattern {
        syntax: Syntax::Literal(format!("token-{number}").into_bytes()),
        nocase: number.is_multiple_of(2),
    };
    let patterns: Vec<_> = (0..400)
        .map(expression)
        .chain((0..240).map(literal))
        .collect();
    Set::new(&patterns, LIMITS).unwrap()
}

fn search() -> (Set, Scratch, Vec<ScanState>) {
    let set = compile();
    let mut scratch = set.scratch();
    let text: Vec<u8> = (0..200)
        .flat_map(|number| format!("user{number}=abc;token-{number} ").into_bytes())
        .collect();
    let states = (0..SIDES).map(|_| {
        let mut state = set.start(0);
        for piece in text.chunks(set.max_piece()) {
            set.scan(&mut scratch, &mut state, piece);
            while set.next_match(&mut scratch, &mut Text(&text)).is_some() {}
        }
        state
    });
    let states = states.collect();
    (set, scratch, states)
}

/// Variable of the allocator: milliseconds until freed memory returns to the system. It is read at the start of a process.
const DELAY: &str = "MIMALLOC_PURGE_DELAY";

#[test]
fn the_accounted_memory_of_searches_bounds_the_resident_memory() {
    if std::env::var_os(DELAY).is_none() {
        let mut this = Command::new(std::env::current_exe().unwrap());
        let output = this.env(DELAY, "0").arg("--nocapture").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{text}");
        assert!(output.status.success() && text.contains("accounted"));
        return;
    }
    // What compiling takes for a moment stays with the allocator, before and afterwards.
    let _first = search();
    let before = resident();
    let searches: Vec<_> = (0..SEARCHES).map(|_| search()).collect();
    let used = resident() - before;
    let mut parts = [0, 0, 0];
    for (set, scratch, states) in &searches {
        parts[0] += set.memory();
        parts[1] += scratch.memory();
        parts[2] += states.iter().map(ScanState::memory).sum::<usize>();
    }
    let accounted: usize = parts.iter().sum();
    println!("sets, scratch, states: {parts:?}; accounted {accounted}, resident {used}");
    assert!(
        used <= accounted + accounted / 10,
        "{used} resident, {accounted} accounted: {parts:?}"
    );
}
