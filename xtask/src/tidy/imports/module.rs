//! Names of a source file: modules, items, imports and paths in code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::tidy::tokens::Token;

/// A source file as a module.
#[derive(Debug, Default)]
pub struct Module {
    pub file: PathBuf,
    pub children: BTreeSet<String>,
    pub defined: BTreeSet<String>,
    /// Imported names with their paths, as written.
    pub names: BTreeMap<String, Vec<String>>,
    pub globs: Vec<Vec<String>>,
    /// Paths that the code uses, as written.
    pub used: Vec<Vec<String>>,
}

impl Module {
    pub fn new(file: &Path, tokens: &[Token]) -> Self {
        let mut module = Self {
            file: file.to_owned(),
            ..Self::default()
        };
        let mut depth = 0_usize;
        // Depths at which modules written in the file itself begin: `super` inside is this file.
        let mut inline: Vec<usize> = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let next = |distance: usize| tokens.get(at + distance).map(String::as_str);
            match tokens[at].as_str() {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    inline.retain(|start| *start < depth);
                }
                "mod" if next(2) == Some(";") => {
                    module.children.extend(tokens.get(at + 1).cloned());
                }
                "mod" if next(2) == Some("{") => {
                    module.defined.extend(tokens.get(at + 1).cloned());
                    inline.push(depth);
                }
                "use" => {
                    let is_reexport = at > 0 && ["pub", ")"].contains(&tokens[at - 1].as_str());
                    at = module.read_use(tokens, at + 1, is_reexport, inline.len());
                    continue;
                }
                "macro_rules" if next(1) == Some("!") => {
                    module.defined.extend(tokens.get(at + 2).cloned());
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union"
                    if depth == 0 =>
                {
                    module.defined.extend(tokens.get(at + 1).cloned());
                }
                _ if next(1) == Some("::") => {
                    at = module.read_path(tokens, at, inline.len());
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        module
    }

    /// Reads a path in code and returns the index behind it.
    fn read_path(&mut self, tokens: &[Token], start: usize, inline: usize) -> usize {
        let mut at = start;
        let mut path = vec![tokens[at].clone()];
        while tokens.get(at + 1).is_some_and(|token| token == "::")
            && tokens.get(at + 2).is_some_and(|token| is_name(token))
        {
            path.push(tokens[at + 2].clone());
            at += 2;
        }
        self.used.push(outside(path, inline));
        at + 1
    }

    /// Reads the tree after `use` and returns the index behind its `;`.
    fn read_use(
        &mut self,
        tokens: &[Token],
        start: usize,
        is_reexport: bool,
        inline: usize,
    ) -> usize {
        let end = tokens[start..].iter().position(|token| token == ";");
        let end = end.map_or(tokens.len(), |end| start + end);
        for (path, alias) in use_paths(&tokens[start..end]) {
            let mut path = outside(path, inline);
            if alias == "*" {
                self.globs.push(path.clone());
                path.push(alias);
            } else {
                self.names.insert(alias, path.clone());
            }
            if !is_reexport {
                self.used.push(path);
            }
        }
        end + 1
    }
}

/// Removes one leading `super` for each module written inside the file.
fn outside(mut path: Vec<String>, inline: usize) -> Vec<String> {
    for _ in 0..inline {
        if path.first().is_some_and(|first| first == "super") {
            path.remove(0);
            if path.first().is_none_or(|first| first != "super") {
                path.insert(0, "self".to_owned());
            }
        }
    }
    path
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Returns the paths of a use tree with the names that they get; `*` for a glob.
fn use_paths(tree: &[Token]) -> Vec<(Vec<String>, String)> {
    let mut prefix = Vec::new();
    let mut at = 0;
    while at < tree.len() {
        match tree[at].as_str() {
            "::" => {}
            "{" => return branches(&tree[at + 1..], &prefix),
            "*" => return vec![(prefix, "*".to_owned())],
            "as" => {
                let alias = tree.get(at + 1).cloned().unwrap_or_default();
                return vec![(prefix, alias)];
            }
            name => prefix.push(name.to_owned()),
        }
        at += 1;
    }
    if prefix.len() > 1 && prefix.last().is_some_and(|last| last == "self") {
        prefix.pop();
    }
    let alias = prefix.last().cloned().unwrap_or_default();
    vec![(prefix, alias)]
}

fn branches(inside: &[Token], prefix: &[String]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (index, token) in inside.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth > 0 => depth -= 1,
            "," | "}" if depth == 0 => {
                if index > start {
                    let mut branch: Vec<Token> = prefix.to_vec();
                    branch.extend_from_slice(&inside[start..index]);
                    found.extend(use_paths(&branch));
                }
                start = index + 1;
            }
            _ => {}
        }
    }
    found
}
