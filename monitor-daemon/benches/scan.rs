//! Speed of the search in streams: text of a web page and bytes of a download, in pieces of 16 KiB.
#![allow(missing_docs, reason = "divan's main")]

use divan::Bencher;
use divan::counter::BytesCount;
use monitor_daemon::scan::{Limits, Pattern, Set, Stream, Syntax};

const LIMITS: Limits = Limits {
    patterns: 100_000,
    memory: 1 << 30,
};
const LEN: usize = 4 << 20;
const PIECE: usize = 16 << 10;

fn main() {
    divan::main();
}

/// The bytes that were searched are still there.
struct Kept<'a>(&'a [u8]);

impl Stream for Kept<'_> {
    fn read(&mut self, off: u64, to: &mut [u8]) -> bool {
        let from = self
            .0
            .get(off as usize..)
            .and_then(|rest| rest.get(..to.len()));
        from.map(|from| to.copy_from_slice(from)).is_some()
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// Words of letters, as in text; now and then one that is searched for.
fn text() -> Vec<u8> {
    let mut random = Random(1);
    let mut text = Vec::with_capacity(LEN + 20);
    while text.len() < LEN {
        if random.next().is_multiple_of(20_000) {
            text.extend_from_slice(word(random.next() as usize % 10_000).as_bytes());
        }
        for _ in 0..2 + random.next() % 8 {
            text.push(b'a' + (random.next() * random.next() % 26) as u8);
        }
        text.push(b' ');
    }
    text.truncate(LEN);
    text
}

fn bytes() -> Vec<u8> {
    let mut random = Random(2);
    (0..LEN).map(|_| random.next() as u8).collect()
}

/// Of ten letters and digits, as in a list of indicators.
fn word(number: usize) -> String {
    let mut random = Random(number as u64 * 7919 + 3);
    let mut word: String = (0..8)
        .map(|_| char::from(b'a' + (random.next() % 26) as u8))
        .collect();
    word += &number.to_string();
    word
}

fn literals(count: usize) -> Set {
    let literal = |number| Pattern {
        syntax: Syntax::Literal(word(number).into_bytes()),
        nocase: false,
    };
    Set::new(&(0..count).map(literal).collect::<Vec<_>>(), LIMITS).expect("they are small")
}

fn expressions(count: usize) -> Set {
    let regex = |number: usize| Pattern {
        syntax: Syntax::Regex(format!("{}=[0-9a-f]{{1,8}};", &word(number)[..6])),
        nocase: false,
    };
    Set::new(&(0..count).map(regex).collect::<Vec<_>>(), LIMITS).expect("they are small")
}

fn search(bencher: Bencher<'_, '_>, set: &Set, bytes: &[u8]) {
    let mut scratch = set.scratch();
    bencher
        .counter(BytesCount::of_slice(bytes))
        .bench_local(|| {
            let mut state = set.start(0);
            let mut found = 0;
            for piece in bytes.chunks(PIECE.min(set.max_piece())) {
                set.scan(&mut scratch, &mut state, piece);
                while set.next_match(&mut scratch, &mut Kept(bytes)).is_some() {
                    found += 1;
                }
            }
            found
        });
}

#[divan::bench(args = [1, 100, 10_000])]
fn literals_in_text(bencher: Bencher<'_, '_>, count: usize) {
    search(bencher, &literals(count), &text());
}

#[divan::bench(args = [1, 100, 10_000])]
fn literals_in_bytes(bencher: Bencher<'_, '_>, count: usize) {
    search(bencher, &literals(count), &bytes());
}

#[divan::bench(args = [1, 100, 10_000])]
fn expressions_in_text(bencher: Bencher<'_, '_>, count: usize) {
    search(bencher, &expressions(count), &text());
}

#[divan::bench(args = [1, 100, 10_000], sample_count = 3, sample_size = 1)]
fn compile_expressions(count: usize) -> Set {
    expressions(count)
}

#[divan::bench(args = [1, 100, 10_000], sample_count = 3, sample_size = 1)]
fn compile_literals(count: usize) -> Set {
    literals(count)
}
