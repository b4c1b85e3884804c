//! Language of comments and documents: how often words appear that CONTRIBUTING.md replaces by plainer ones.
//!
//! The limits are rates that comparable projects keep without trying. Counted are comment lines of Rust sources, the
//! first words of doc comments, and the top-level documents with those of docs/.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::sources::rust_files;
use crate::workspace::root;

/// Words counted together, or pairs of words, and their limit for 10,000 words.
const GROUPS: &[(&[&str], f64)] = &[
    (&["what", "whatever"], 15.0),
    (&["who", "whoever", "whom", "whose"], 3.0),
    (&["tell", "tells", "told", "telling"], 3.0),
    (&["nobody", "somebody", "everybody", "anybody"], 1.0),
    (&["so many", "so much", "so long", "so far"], 3.0),
    (
        &[
            "anew",
            "meanwhile",
            "go on",
            "goes on",
            "went on",
            "going on",
            "in vain",
            "for ever",
        ],
        3.0,
    ),
];

/// First words that a doc comment must not have.
const OPENINGS: &[&str] = &[
    "what", "whatever", "whether", "who", "whom", "whose", "how", "so", "as", "one", "those",
    "where",
];

/// Limit of such openings, in percent of the doc comments.
const MAX_OPENINGS_PERCENT: f64 = 4.0;

/// Checks comments and documents.
pub fn check(findings: &mut Vec<String>) -> Result<()> {
    let mut comments = String::new();
    let mut openings = Vec::new();
    for path in rust_files()? {
        read_comments(&text(&path)?, &mut comments, &mut openings);
    }
    check_words("comments", &comments, findings);
    check_openings(&openings, findings);

    let mut documents = String::new();
    for path in document_files()? {
        // Every second part lies within a code block.
        for part in text(Path::new(&path))?.split("```").step_by(2) {
            documents.push_str(part);
        }
        documents.push('\n');
    }
    check_words("documents", &documents, findings);
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns README.md and the like, and docs/*.md.
fn document_files() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (directory, prefix) in [(root(), ""), (root().join("docs"), "docs/")] {
        for entry in fs::read_dir(&directory)
            .with_context(|| format!("cannot list {}", directory.display()))?
        {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let is_document = name.strip_suffix(".md").is_some_and(|stem| {
                !prefix.is_empty() || stem.chars().all(|c| c.is_ascii_uppercase())
            });
            if is_document {
                found.push(format!("{prefix}{name}"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Appends a source's comment lines, and the first word of each doc comment.
fn read_comments(source: &str, comments: &mut String, openings: &mut Vec<String>) {
    let mut is_inside = false;
    for line in source.lines().map(str::trim_start) {
        let (is_doc, comment) = match line.strip_prefix("///").or(line.strip_prefix("//!")) {
            Some(comment) => (true, comment),
            None => (false, line.strip_prefix("//").unwrap_or_default()),
        };
        comments.push_str(comment);
        comments.push('\n');
        if is_doc && !is_inside {
            openings.extend(first_word(comment));
        }
        is_inside = is_doc;
    }
}

fn first_word(comment: &str) -> Option<String> {
    let start = comment.find(|c: char| c.is_ascii_alphabetic())?;
    let word = &comment[start..];
    let end = word.find(|c: char| !c.is_ascii_alphabetic() && c != '\'');
    Some(word[..end.unwrap_or(word.len())].to_ascii_lowercase())
}

fn check_words(name: &str, text: &str, findings: &mut Vec<String>) {
    let total = number_of_words(text).max(1);
    for (group, limit) in GROUPS {
        let count: usize = group.iter().map(|word| occurrences(text, word)).sum();
        let rate = 10_000.0 * count as f64 / total as f64;
        if rate > *limit {
            findings.push(format!(
                "{name}: {} {rate:.1} times in 10,000 words, limit {limit}; CONTRIBUTING.md says what to write",
                group.join(", ")
            ));
        }
    }
}

fn check_openings(openings: &[String], findings: &mut Vec<String>) {
    let count = openings
        .iter()
        .filter(|word| OPENINGS.contains(&word.as_str()))
        .count();
    let percent = 100.0 * count as f64 / openings.len().max(1) as f64;
    if percent > MAX_OPENINGS_PERCENT {
        findings.push(format!(
            "comments: {percent:.1} % of doc comments open with {}, limit {MAX_OPENINGS_PERCENT} %",
            OPENINGS.join(", ")
        ));
    }
}

fn number_of_words(text: &str) -> usize {
    let is_inner = |c: char| c.is_ascii_alphabetic() || c == '\'' || c == '-';
    text.split(|c| !is_inner(c))
        .filter(|word| word.contains(|c: char| c.is_ascii_alphabetic()))
        .count()
}

/// Counts a word, or two words with one space between them, in any case.
fn occurrences(text: &str, words: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let text = text.to_lowercase();
    text.match_indices(words)
        .filter(|(at, found)| {
            let before = text[..*at].chars().next_back();
            let after = text[at + found.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_counted() {
        assert_eq!(
            occurrences("What, whatever what_is somewhat what", "what"),
            2
        );
        assert_eq!(occurrences("so many, so\nmany", "so many"), 1);
        assert_eq!(number_of_words("It's a well-known 3 x - y"), 5);
    }

    #[test]
    fn a_doc_comment_has_one_opening() {
        let mut comments = String::new();
        let mut openings = Vec::new();
        let source =
            "//! Why: one.\n//! Two.\nfn a() {} // not counted\n    /// `How` three.\n// four\n";
        read_comments(source, &mut comments, &mut openings);
        assert_eq!(openings, ["why", "how"]);
        assert_eq!(number_of_words(&comments), 6);
    }

    #[test]
    fn too_many_are_a_finding() {
        let mut findings = Vec::new();
        check_words("x", "what is this", &mut findings);
        check_openings(&["how".to_owned()], &mut findings);
        check_words("x", "this is it", &mut findings);
        assert_eq!(findings.len(), 2);
    }
}
