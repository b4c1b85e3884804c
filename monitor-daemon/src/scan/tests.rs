//! Streams in pieces, against searches of the whole by the crate regex.

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

#[test]
fn a_match_is_found_when_its_last_byte_arrives() {
    let set = set(&["GET /secret", "pass(word|phrase): "]);
    let (mut scratch, mut state) = (set.scratch(), set.start(0));
    let text = b"GET /secret password: ";
    let mut stream = Kept {
        bytes: text,
        base: 0,
    };
    let mut scan = |bytes: &[u8]| {
        set.scan(&mut scratch, &mut state, bytes);
        plain(&set, &mut scratch, &mut stream)
    };
    assert_eq!(scan(&text[..11]), [(0, 0, 11)]);
    assert_eq!(scan(&text[11..21]), []);
    assert_eq!(
        scan(&text[21..]),
        [(1, 12, 10)],
        "its begin is in an earlier piece"
    );
    set.finish(&mut scratch, &mut state);
    assert_eq!(
        plain(&set, &mut scratch, &mut stream),
        [],
        "it is not found again"
    );
}

#[test]
fn look_around_assertions_see_the_neighbouring_bytes() {
    assert_eq!(
        whole(
            &["^ab", "ab$", r"\bab\b", r"(?m)^c", r"(?m)c$"],
            "ab c\nc ab"
        ),
        [
            (0, 0, 2),
            (2, 0, 2),
            (4, 3, 1),
            (3, 5, 1),
            (1, 7, 2),
            (2, 7, 2)
        ]
    );
    let text: Vec<_> = "ab ab".bytes().map(Some).collect();
    let open = search(&set(&["ab$", r"\bab\b"]), 0, &text, &[1], false);
    assert_eq!(open, [(1, 0, 2)], "what may go on is not over");
    // Behind a hole is not the start, and in front of one is not the end.
    let text = [
        Some(b'a'),
        Some(b'b'),
        None,
        Some(b'a'),
        Some(b'b'),
        None,
        Some(b'x'),
    ];
    let found = search(
        &set(&["^ab", "ab$", r"\bab\b", "abab"]),
        0,
        &text,
        &[9],
        true,
    );
    assert_eq!(found, [(0, 0, 2), (2, 0, 2), (2, 3, 2)]);
}

#[test]
fn patterns_match_bytes_unless_unicode_is_asked_for() {
    // Two bytes have no case; as a letter, they have.
    let found = whole(&["(?i)gRÜN", "(?u)(?i)gRÜN"], "grün grÜn");
    assert_eq!(found, [(1, 0, 5), (0, 6, 5), (1, 6, 5)]);
    let text: Vec<_> = [0xff, 0xfe, 0, b'x'].map(Some).to_vec();
    assert_eq!(
        search(&set(&[r"\xff.", r"\x00"]), 0, &text, &[1], false),
        [(0, 0, 2), (1, 2, 1)]
    );
}

#[test]
fn a_begin_further_back_than_reach_is_cut() {
    let reach = REACH as usize;
    let text =
        |gap: usize| -> Vec<_> { format!("a{}b", "-".repeat(gap)).bytes().map(Some).collect() };
    let set = set(&["a[^c]*b"]);
    assert_eq!(
        search(&set, 0, &text(reach - 2), &[100], false),
        [(0, 0, REACH)]
    );
    assert_eq!(
        search(&set, 0, &text(reach - 1), &[100], false),
        [(0, 1, REACH)],
        "cut"
    );
    let bytes = "-".repeat(50);
    let (mut scratch, mut state) = (set.scratch(), set.start(0));
    let mut gone = Kept {
        bytes: b"",
        base: 0,
    };
    set.scan(&mut scratch, &mut state, format!("a{bytes}").as_bytes());
    assert_eq!(matches(&set, &mut scratch, &mut gone), []);
    set.scan(&mut scratch, &mut state, b"--b");
    assert_eq!(
        matches(&set, &mut scratch, &mut gone),
        [Match {
            pattern: 0,
            off: 51,
            len: 3,
            cut: true
        }],
        "evicted before it was needed"
    );
}

/// Returns text on which each of the patterns continues to match after its first match, without a new begin.
fn endless(len: usize) -> Vec<Option<u8>> {
    let mut text = vec![Some(b'b'); len];
    text[0] = Some(b'a');
    text
}

#[test]
fn a_pattern_that_matches_at_every_byte_without_a_begin_is_found_once() {
    let set = set(&["a[^z]*b", "a[^z]+b{2}"]);
    let found = search(&set, 0, &endless(20_000), &[1000, 77], true);
    assert_eq!(found, [(0, 0, 2), (1, 0, 4)]);
}

#[test]
fn the_work_of_a_byte_is_bounded_by_the_number_of_patterns() {
    let patterns: Vec<String> = (0..25)
        .map(|number| format!("a[^z]*b{{{}}}", number % 5 + 1))
        .collect();
    let set = set(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
    let text: Vec<u8> = endless(64 << 10).into_iter().flatten().collect();
    let mut stream = Kept {
        bytes: &text,
        base: 0,
    };
    let (mut scratch, mut state) = (set.scratch(), set.start(0));
    let (mut work, mut found) = (0, 0);
    for piece in text.chunks(set.max_piece().min(8192)) {
        set.scan(&mut scratch, &mut state, piece);
        let once = scratch.take_work();
        assert!(once <= 200_000, "{once} steps in one call");
        found += matches(&set, &mut scratch, &mut stream).len();
        work += once + scratch.take_work();
    }
    assert_eq!(found, 25);
    assert!(
        work <= 8 * text.len(),
        "{work} steps for {} bytes",
        text.len()
    );
}

#[test]
fn patterns_that_cannot_be_searched_are_refused_with_the_reason() {
    let refused = |patterns: &[Pattern], limits| Set::new(patterns, limits).unwrap_err();
    assert_eq!(refused(&[], LIMITS), SetError::None);
    let few = Limits {
        patterns: 1,
        ..LIMITS
    };
    assert_eq!(
        refused(&[regex("a"), regex("b")], few),
        SetError::TooMany { given: 2, most: 1 }
    );
    for (wrong, why) in [
        ("a(", "unclosed group"),
        ("a*", "empty text"),
        ("", "empty text"),
        (r"a\1", "backreferences"),
        (r"(a{1000}){1000}", "too big"),
        (r"(?s)a.{2000}b", "simpler"),
        (r"(?u)\bx", "Unicode word"),
    ] {
        let error = refused(
            &[
                regex("fine"),
                literal(b"also"),
                regex(wrong),
                regex("fine too"),
            ],
            LIMITS,
        );
        let SetError::Pattern {
            index: 2,
            why: told,
        } = &error
        else {
            panic!("{wrong}: {error}")
        };
        assert!(
            told.contains(why) || told.contains("simpler"),
            "{wrong}: {told}"
        );
    }
    assert!(matches!(
        refused(&[literal(b"")], LIMITS),
        SetError::Pattern { index: 0, .. }
    ));
    let small = Limits {
        memory: 100_000,
        ..LIMITS
    };
    let many: Vec<_> = (0..2000)
        .map(|number| literal(format!("number {number}").as_bytes()))
        .collect();
    assert_eq!(refused(&many, small), SetError::TooLarge { most: 100_000 });
    let many: Vec<_> = (0..200)
        .map(|number| regex(&format!("a{number}.*b{number}")))
        .collect();
    assert_eq!(refused(&many, small), SetError::TooLarge { most: 100_000 });
}

#[test]
fn thousands_of_patterns_are_searched_together() {
    let patterns: Vec<_> = (0..5000)
        .map(|number| literal(format!("<{number}>").as_bytes()))
        .collect();
    let set = Set::new(&patterns, LIMITS).unwrap();
    let text: Vec<_> = (0..5000)
        .flat_map(|number| format!("<{number}>").into_bytes())
        .map(Some)
        .collect();
    let found = search(&set, 0, &text, &[7, 1000], false);
    assert_eq!(found.len(), 5000);
    assert!(
        found
            .iter()
            .enumerate()
            .all(|(number, found)| found.0 == number as u32)
    );
    let mixed: Vec<_> = (0..300)
        .map(|number| regex(&format!("user{number}=[a-z]+;")))
        .collect();
    let set = Set::new(&mixed, LIMITS).unwrap();
    let text: Vec<_> = (0..300)
        .flat_map(|number| format!("user{number}=abc;").into_bytes())
        .map(Some)
        .collect();
    assert_eq!(search(&set, 0, &text, &[13], false).len(), 300);
}

#[test]
fn matches_beyond_the_limit_are_counted() {
    let patterns: Vec<_> = (0..40)
        .map(|number| regex(&format!("a|never{number}")))
        .collect();
    let set = Set::new(&patterns, LIMITS).unwrap();
    let (mut scratch, mut state) = (set.scratch(), set.start(0));
    let text = vec![b'a'; 1000];
    set.scan(&mut scratch, &mut state, &text);
    let mut stream = Kept {
        bytes: &text,
        base: 0,
    };
    let told = matches(&set, &mut scratch, &mut stream).len() as u64;
    let dropped = scratch.take_dropped();
    assert!(
        told < 40_000 && told + dropped == 40_000,
        "{told} {dropped}"
    );
    assert_eq!(scratch.take_dropped(), 0);
}
