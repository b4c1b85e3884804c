//! Limits of patterns and of the work for each byte.

use super::matches::endless;
use super::{Kept, LIMITS, literal, matches, regex, search, set};
use crate::scan::*;

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
