//! Streams in pieces, against searches of the whole by the crate regex.

mod limits;
mod matches;

use std::collections::BTreeSet;

use proptest::prelude::*;
use regex::bytes::Regex;

use super::*;

const LIMITS: Limits = Limits {
    patterns: 10_000,
    memory: 64 << 20,
};

fn regex(text: &str) -> Pattern {
    Pattern {
        syntax: Syntax::Regex(text.to_owned()),
        nocase: false,
    }
}

fn literal(text: &[u8]) -> Pattern {
    Pattern {
        syntax: Syntax::Literal(text.to_vec()),
        nocase: false,
    }
}

fn set(patterns: &[&str]) -> Set {
    Set::new(
        &patterns.iter().map(|text| regex(text)).collect::<Vec<_>>(),
        LIMITS,
    )
    .unwrap()
}

/// A side that keeps its bytes from `base` on.
struct Kept<'a> {
    bytes: &'a [u8],
    base: u64,
}

impl Stream for Kept<'_> {
    fn read(&mut self, off: u64, to: &mut [u8]) -> bool {
        let from = off
            .checked_sub(self.base)
            .and_then(|from| self.bytes.get(from as usize..)?.get(..to.len()));
        if let Some(from) = from {
            to.copy_from_slice(from);
        }
        from.is_some()
    }
}

/// Pattern, offset and length of every match.
type Found = Vec<(u32, u64, u64)>;

/// Takes all matches of the last call.
fn matches(set: &Set, scratch: &mut Scratch, stream: &mut Kept<'_>) -> Vec<Match> {
    std::iter::from_fn(|| set.next_match(scratch, stream)).collect()
}

fn plain(set: &Set, scratch: &mut Scratch, stream: &mut Kept<'_>) -> Found {
    matches(set, scratch, stream)
        .iter()
        .map(|found| (found.pattern, found.off, found.len))
        .collect()
}

/// Searches text that starts at `base`, in pieces; `None` in it is a hole.
fn search(set: &Set, base: u64, text: &[Option<u8>], pieces: &[usize], fin: bool) -> Found {
    let bytes: Vec<u8> = text.iter().map(|byte| byte.unwrap_or(b'?')).collect();
    let mut stream = Kept {
        bytes: &bytes,
        base,
    };
    let (mut scratch, mut state) = (set.scratch(), set.start(base));
    let mut found = Vec::new();
    let mut pieces = pieces.iter().cycle();
    let mut at = 0;
    while at < text.len() {
        let run = text[at..].iter().take_while(|byte| byte.is_some()).count();
        if run == 0 {
            at += text[at..].iter().take_while(|byte| byte.is_none()).count();
            set.skip(&mut scratch, &mut state, base + at as u64);
            found.extend(plain(set, &mut scratch, &mut stream));
            continue;
        }
        let piece = run.min(*pieces.next().unwrap());
        set.scan(&mut scratch, &mut state, &bytes[at..at + piece]);
        found.extend(plain(set, &mut scratch, &mut stream));
        at += piece;
        assert_eq!(state.at(), base + at as u64);
    }
    if fin {
        set.finish(&mut scratch, &mut state);
        found.extend(plain(set, &mut scratch, &mut stream));
    }
    found
}

fn whole(patterns: &[&str], text: &str) -> Found {
    let text: Vec<_> = text.bytes().map(Some).collect();
    search(&set(patterns), 0, &text, &[text.len().max(1)], true)
}

/// The same by trying every begin for every end.
fn obvious(patterns: &[&str], base: u64, text: &[Option<u8>]) -> Found {
    let mut found = Vec::new();
    let mut start = 0;
    for run in text.split(Option::is_none) {
        let bytes: Vec<u8> = run.iter().flatten().copied().collect();
        for (pattern, text) in patterns.iter().enumerate() {
            let exact = Regex::new(&format!(r"\A(?:(?-u){text})\z")).unwrap();
            let mut free = 0;
            for end in 1..=bytes.len() {
                if let Some(begin) = (free..end).find(|begin| exact.is_match(&bytes[*begin..end])) {
                    found.push((
                        pattern as u32,
                        base + (start + begin) as u64,
                        (end - begin) as u64,
                    ));
                    free = end;
                }
            }
        }
        start += run.len() + 1;
    }
    found
}

const POOL: [&str; 17] = [
    "a[^b]*c|cb",
    "(a|bc)[ab]*c",
    "ab?[^c]*b|b\\n",
    "a",
    "ab",
    "aba",
    "abab|b",
    "a+",
    "ab*c",
    "a.*c",
    "(?s)b.{3}",
    "[^a]{2,4}a",
    "c(a|bb)+c",
    "(?s)a.*",
    "a\\x00?b",
    "ca{2}",
    "bc",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn matches_do_not_depend_on_the_pieces(
        patterns in prop::sample::subsequence(&POOL[..], 1..8),
        text in prop::collection::vec(prop_oneof![8 => prop::sample::select(&b"abc\n\0"[..]).prop_map(Some), 1 => Just(None)], 0..120),
        pieces in prop::collection::vec(1..12_usize, 1..6),
        base in prop::sample::select(&[0, 1, 5 << 32][..]),
        fin in any::<bool>(),
    ) {
        let found = search(&set(&patterns), base, &text, &pieces, fin);
        let mut ends: Vec<_> = found.iter().map(|(_, off, len)| off + len).collect();
        prop_assert!(ends.is_sorted(), "in the order of their ends");
        ends.dedup();
        let expected: BTreeSet<_> = obvious(&patterns, base, &text).into_iter().collect();
        prop_assert_eq!(found.len(), expected.len());
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn literals_are_found_as_expressions_are(
        literals in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"aAb"[..]), 1..5), 1..20),
        text in prop::collection::vec(prop::sample::select(&b"aAbB"[..]).prop_map(Some), 0..200),
        pieces in prop::collection::vec(1..12_usize, 1..6),
        nocase in any::<bool>(),
    ) {
        let make = |what: fn(&[u8]) -> Syntax| {
            let patterns: Vec<_> = literals.iter().map(|literal| Pattern { syntax: what(literal), nocase }).collect();
            Set::new(&patterns, LIMITS).unwrap()
        };
        let as_literals = make(|literal| Syntax::Literal(literal.to_vec()));
        // A repetition is no literal.
        let as_regexes = make(|literal| Syntax::Regex(format!("(?:{}){{1}}[ab]{{0}}", String::from_utf8_lossy(literal))));
        prop_assert_eq!(
            search(&as_literals, 0, &text, &pieces, true),
            search(&as_regexes, 0, &text, &pieces[..1], true)
        );
    }
}
