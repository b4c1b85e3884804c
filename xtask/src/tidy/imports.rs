//! Import graph of a crate: an edge for each source file that uses an item of another one.
//!
//! A path is followed through re-exports to the file that defines the item. A re-export (`pub use`) is no use, and
//! neither is `mod child;`. Test modules are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tokens::{Token, tokens};
use crate::workspace::root;

/// Re-exports followed at most, so that a circle of them ends.
const MAX_REEXPORTS: usize = 8;

/// A crate's files and the uses between them.
#[derive(Debug, Default)]
pub struct Graph {
    /// Edges from the using file to the defining file, as paths relative to the checkout.
    pub edges: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

/// Path of a module within its crate; the crate root is empty.
type ModulePath = Vec<String>;

/// A source file as a module.
#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    defined: BTreeSet<String>,
    /// Imported names with their paths, as written.
    names: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Paths that the code uses, as written.
    used: Vec<Vec<String>>,
}

/// Reads the sources of one crate, from the `src` directory `source`.
///
/// # Errors
///
/// A file cannot be read.
pub fn graph(source: &Path, files: &[PathBuf]) -> Result<Graph> {
    let mut texts = Vec::new();
    for file in files.iter().filter(|file| file.starts_with(source)) {
        let text = fs::read_to_string(root().join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        texts.push((file.clone(), text));
    }
    Ok(Modules::new(source, &texts).graph())
}

struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    fn new(source: &Path, texts: &[(PathBuf, String)]) -> Self {
        let has_library = texts.iter().any(|(file, _)| file.ends_with("src/lib.rs"));
        let mut modules = BTreeMap::new();
        for (file, text) in texts {
            // Beside a library, main.rs is a small crate of its own, without modules.
            if has_library && file.ends_with("src/main.rs") {
                continue;
            }
            if let Some(path) = module_path(source, file) {
                modules.insert(path, Module::new(file, &tokens(text)));
            }
        }
        Self(modules)
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for (path, module) in &self.0 {
            if !self.is_reachable(path) {
                continue;
            }
            for used in &module.used {
                let Some(target) = self.resolve(path, used, 0) else {
                    continue;
                };
                let target = &self.0[&target].file;
                if *target != module.file {
                    let edges = graph.edges.entry(module.file.clone()).or_default();
                    edges.insert(target.clone());
                }
            }
        }
        graph
    }

    /// Returns whether every module on the way is declared outside of tests.
    fn is_reachable(&self, path: &[String]) -> bool {
        (0..path.len()).all(|depth| {
            let parent = self.0.get(&path[..depth]);
            parent.is_some_and(|parent| parent.children.contains(&path[depth]))
        })
    }

    /// Follows a path to the module that defines its item; `None` for other crates and for mere modules.
    fn resolve(&self, from: &[String], path: &[String], reexports: usize) -> Option<ModulePath> {
        if reexports > MAX_REEXPORTS {
            return None;
        }
        let (mut at, mut rest) = self.start(from, path, reexports)?;
        while let Some((name, others)) = rest.split_first() {
            let module = self.0.get(&at)?;
            if module.children.contains(name) {
                at.push(name.clone());
                rest = others;
                continue;
            }
            return self.item(&at, module, rest, reexports);
        }
        None
    }

    /// Returns the module where a path starts and the segments that follow.
    fn start<'p>(
        &self,
        from: &[String],
        path: &'p [String],
        reexports: usize,
    ) -> Option<(ModulePath, &'p [String])> {
        let module = self.0.get(from)?;
        let (first, mut rest) = path.split_first()?;
        let mut at = from.to_vec();
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
                while let Some(("super", others)) = rest.split_first().map(|(n, o)| (n.as_str(), o))
                {
                    at.pop()?;
                    rest = others;
                }
            }
            child if module.children.contains(child) => at.push(child.to_owned()),
            name => {
                // An imported module: its path takes the name's place.
                let import = module.names.get(name)?;
                if import.first() == Some(first) {
                    return None;
                }
                let target = self.module(from, import, reexports + 1)?;
                return Some((target, rest));
            }
        }
        Some((at, rest))
    }

    /// Follows a path that names a module.
    fn module(&self, from: &[String], path: &[String], reexports: usize) -> Option<ModulePath> {
        if reexports > MAX_REEXPORTS {
            return None;
        }
        let (mut at, rest) = self.start(from, path, reexports)?;
        for name in rest {
            if !self.0.get(&at)?.children.contains(name) {
                return None;
            }
            at.push(name.clone());
        }
        Some(at)
    }

    /// Finds the module that defines the first name of `rest`; `None` if it is another crate's.
    fn item(
        &self,
        at: &[String],
        module: &Module,
        rest: &[String],
        reexports: usize,
    ) -> Option<ModulePath> {
        let name = rest.first()?;
        if module.defined.contains(name) {
            return Some(at.to_vec());
        }
        if let Some(import) = module.names.get(name) {
            if let Some(target) = self.module(at, import, reexports + 1) {
                let mut path = vec!["crate".to_owned()];
                path.extend(target);
                path.extend(rest[1..].iter().cloned());
                return self.resolve(at, &path, reexports + 1);
            }
            return self.resolve(at, import, reexports + 1);
        }
        let behind_glob = module.globs.iter().find_map(|glob| {
            let target = self.module(at, glob, reexports + 1)?;
            let behind = self.0.get(&target)?;
            let is_there = behind.defined.contains(name) || behind.names.contains_key(name);
            is_there.then(|| self.item(&target, behind, rest, reexports + 1))
        });
        behind_glob.unwrap_or_else(|| Some(at.to_vec()))
    }
}

impl Module {
    fn new(file: &Path, tokens: &[Token]) -> Self {
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

/// Returns the module path of a file: `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`, `lib.rs` and `main.rs` the root.
fn module_path(source: &Path, file: &Path) -> Option<ModulePath> {
    let inside = file.strip_prefix(source).ok()?.with_extension("");
    let mut path: ModulePath = inside
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let last = path.last().map(String::as_str);
    if last == Some("mod") || (path.len() == 1 && matches!(last, Some("lib" | "main"))) {
        path.pop();
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the edges of a crate, given its files with their text, as `from -> to`.
    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let texts: Vec<_> = files
            .iter()
            .map(|(file, text)| (Path::new("src").join(file), (*text).to_owned()))
            .collect();
        let graph = Modules::new(Path::new("src"), &texts).graph();
        let mut found = Vec::new();
        for (from, targets) in &graph.edges {
            for to in targets {
                found.push(format!("{} -> {}", from.display(), to.display()));
            }
        }
        found
    }

    #[test]
    fn a_use_leads_to_the_file_that_defines_the_item() {
        let found = edges(&[
            ("lib.rs", "mod a; mod b; pub use a::Item;"),
            ("a/mod.rs", "mod c; pub use c::{Item, Other as More};"),
            ("a/c.rs", "pub struct Item; pub struct Other;"),
            ("b.rs", "use crate::Item; fn f() { crate::a::More::new(); }"),
        ]);
        assert_eq!(found, ["src/b.rs -> src/a/c.rs"]);
    }

    #[test]
    fn a_child_and_its_parent_use_each_other() {
        let found = edges(&[
            ("main.rs", "mod a; struct Own; fn f() { a::g(); }"),
            ("a.rs", "use super::Own; pub fn g() {}"),
        ]);
        assert_eq!(
            found,
            ["src/a.rs -> src/main.rs", "src/main.rs -> src/a.rs"]
        );
    }

    #[test]
    fn imported_modules_and_globs_are_followed() {
        let found = edges(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "pub use crate::c::*;"),
            ("b.rs", "use crate::a; fn f() { a::item(); }"),
            ("c.rs", "pub fn item() {}"),
        ]);
        assert_eq!(found, ["src/b.rs -> src/c.rs"]);
    }

    #[test]
    fn items_of_other_crates_are_no_edges() {
        let found = edges(&[
            ("lib.rs", "mod a; pub use other::Item; struct Own;"),
            (
                "a.rs",
                "use crate::Item; use std::fmt; fn f() { fmt::g(); }",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn tests_and_inline_modules_add_nothing() {
        let found = edges(&[
            ("lib.rs", "mod a; struct Own; #[cfg(test)] mod tests;"),
            (
                "a.rs",
                "mod inside { use super::X; } struct X; #[cfg(test)] mod t { use crate::Own; }",
            ),
            ("tests.rs", "use crate::a::X;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
