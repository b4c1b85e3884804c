//! Matches: their ends and begins.

use super::{Kept, matches, plain, search, set, whole};
use crate::scan::*;

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
pub fn endless(len: usize) -> Vec<Option<u8>> {
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
