//! Import graph of a crate: an edge for each source file that uses an item of another one.
//!
//! A path is followed through re-exports to the file that defines the item. A re-export (`pub use`) is no use, and
//! neither is `mod child;`. Test modules are left out.

mod module;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::module::Module;
use super::tokens::tokens;
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
