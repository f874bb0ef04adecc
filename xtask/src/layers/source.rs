//! The modules of a crate and what they read of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// Aliases that lead to aliases further than this lead in a circle.
const MOST_ALIASES: usize = 32;

/// A module, in a file of its own or inside another one's.
#[derive(Debug)]
struct Module {
    parent: Option<usize>,
    /// The module whose file holds it: itself, unless it is written inside another one.
    file_module: usize,
    /// Path from the crate's root.
    path: Vec<String>,
    file: String,
    children: BTreeMap<String, usize>,
    /// What `use` brings into scope, public or not (children see both), as written there.
    aliases: BTreeMap<String, Vec<String>>,
    /// Modules that `use …::*` reads, as written there.
    globs: Vec<Vec<String>>,
    /// Names that the module defines itself.
    items: BTreeSet<String>,
}

/// A path as somebody wrote it.
#[derive(Debug)]
struct Mention {
    module: usize,
    path: Vec<String>,
    line: usize,
}

/// One module's file naming something that another one's defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    /// Path of the module that reads, from the crate's root.
    pub from: Vec<String>,
    /// Path of the module that defines what is read.
    pub to: Vec<String>,
    /// File and line of the import.
    pub place: String,
    /// What is imported, as written.
    pub text: String,
}

impl Import {
    /// The innermost module that holds both ends (the number of segments of its path).
    pub fn common(&self) -> usize {
        self.from.iter().zip(&self.to).take_while(|(a, b)| a == b).count()
    }

    /// The rooms of [`Import::common`] that the ends are in, unless one end is that module itself.
    pub fn rooms(&self) -> Option<[&str; 2]> {
        let common = self.common();
        Some([self.from.get(common)?, self.to.get(common)?])
    }
}

impl std::fmt::Display for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// The modules of a library or program.
#[derive(Debug)]
pub(super) struct Tree {
    modules: Vec<Module>,
    /// Every import between files, sorted, each pair of file and text once.
    pub imports: Vec<Import>,
}

impl Tree {
    /// Parses the root file and all modules below it, except those for tests.
    pub fn load(
        root: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
        shown: &dyn Fn(&Path) -> String,
    ) -> Result<Self, String> {
        let mut loader = Loader { read, shown, modules: Vec::new(), mentions: Vec::new() };
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        loader.file(root.to_owned(), folder, None, Vec::new())?;
        let Loader { modules, mentions, .. } = loader;
        let mut tree = Self { modules, imports: Vec::new() };
        let mut imports = BTreeMap::new();
        for mention in &mentions {
            let mut faces = Vec::new();
            let Some(to) = tree.resolve(mention.module, &mention.path, &mut faces, 0) else { continue };
            if tree.is_imported(mention, to) {
                continue;
            }
            let from = &tree.modules[tree.modules[mention.module].file_module];
            // Faces of other rooms that the path goes through are read as well; one's own are only the way.
            faces.retain(|&face| !from.path.starts_with(&tree.modules[face].path));
            for to in faces.into_iter().chain([to]) {
                let to = &tree.modules[tree.modules[to].file_module];
                if from.path != to.path {
                    let key =
                        (from.file.clone(), from.path.clone(), to.path.clone(), mention.path.join("::"));
                    let line = imports.entry(key).or_insert(mention.line);
                    *line = mention.line.min(*line);
                }
            }
        }
        let imports = imports.into_iter().map(|((file, from, to, text), line)| Import {
            from,
            to,
            place: format!("{file}:{line}"),
            text,
        });
        tree.imports = imports.collect();
        Ok(tree)
    }

    /// Names of the modules in the module at a path, those for tests excepted; `None` when there is no such module.
    pub fn rooms(&self, path: &[&str]) -> Option<Vec<&str>> {
        let module = self.modules.iter().find(|m| m.path == path)?;
        Some(module.children.keys().map(String::as_str).collect())
    }

    /// Whether the first word of a path (`Thing::new`) was imported from the very module that defines the whole: then the
    /// import is there already.
    fn is_imported(&self, mention: &Mention, to: usize) -> bool {
        let alias = mention.path.first().and_then(|first| self.modules[mention.module].aliases.get(first));
        mention.path.len() > 1
            && alias.is_some_and(|alias| self.resolve(mention.module, alias, &mut Vec::new(), 0) == Some(to))
    }

    /// The module that defines what a path written in `module` names; `None` for what other crates define. The modules
    /// that hand it on by a `use` are added to `faces`.
    fn resolve(&self, module: usize, path: &[String], faces: &mut Vec<usize>, depth: usize) -> Option<usize> {
        if depth > MOST_ALIASES {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(0, rest, faces, depth),
            "self" => self.descend(module, rest, faces, depth),
            "super" => {
                let mut at = self.modules[module].parent?;
                let mut rest = rest;
                while let Some((_, further)) = rest.split_first().filter(|(s, _)| *s == "super") {
                    at = self.modules[at].parent?;
                    rest = further;
                }
                self.descend(at, rest, faces, depth)
            }
            name => {
                let known = &self.modules[module];
                let here = known.children.contains_key(name) || known.aliases.contains_key(name);
                if here { self.descend(module, path, faces, depth) } else { None }
            }
        }
    }

    /// The module that defines what a path names, seen from inside `module`.
    fn descend(&self, module: usize, path: &[String], faces: &mut Vec<usize>, depth: usize) -> Option<usize> {
        let Some((name, rest)) = path.split_first() else { return Some(module) };
        if name == "self" {
            return self.descend(module, rest, faces, depth);
        }
        let here = &self.modules[module];
        let child = here.children.get(name);
        let alias = here.aliases.get(name);
        match (child, alias) {
            // A module and a function of the same name: only the module has a path behind it.
            (Some(&child), None) => self.descend(child, rest, faces, depth),
            (Some(&child), Some(_)) if !rest.is_empty() => self.descend(child, rest, faces, depth),
            (_, Some(alias)) => {
                faces.push(module);
                let path: Vec<String> = alias.iter().chain(rest).cloned().collect();
                self.resolve(module, &path, faces, depth + 1)
            }
            (None, None) if here.items.contains(name) => Some(module),
            (None, None) => {
                faces.push(module);
                let found = here.globs.iter().find_map(|glob| {
                    let target = self.resolve(module, glob, faces, depth + 1)?;
                    let inside = &self.modules[target];
                    let known = inside.items.contains(name)
                        || inside.aliases.contains_key(name)
                        || inside.children.contains_key(name);
                    if known { self.descend(target, path, faces, depth + 1) } else { None }
                });
                Some(found.unwrap_or(module))
            }
        }
    }
}

struct Loader<'a> {
    read: &'a dyn Fn(&Path) -> Option<String>,
    shown: &'a dyn Fn(&Path) -> String,
    modules: Vec<Module>,
    mentions: Vec<Mention>,
}

impl Loader<'_> {
    /// Loads the module in a file; modules below it are in `folder`.
    fn file(
        &mut self,
        file: PathBuf,
        folder: PathBuf,
        parent: Option<usize>,
        path: Vec<String>,
    ) -> Result<usize, String> {
        let shown = (self.shown)(&file);
        let text = (self.read)(&file).ok_or_else(|| format!("cannot read {shown}"))?;
        let parsed = syn::parse_file(&text).map_err(|e| format!("{shown}:{}: {e}", e.span().start().line))?;
        let module = self.add(parent, None, path, shown);
        self.items(module, &folder, &parsed.items)?;
        Ok(module)
    }

    fn add(
        &mut self,
        parent: Option<usize>,
        inside: Option<usize>,
        path: Vec<String>,
        file: String,
    ) -> usize {
        let module = self.modules.len();
        self.modules.push(Module {
            parent,
            file_module: inside.unwrap_or(module),
            path,
            file,
            children: BTreeMap::new(),
            aliases: BTreeMap::new(),
            globs: Vec::new(),
            items: BTreeSet::new(),
        });
        module
    }

    fn items(&mut self, module: usize, folder: &Path, items: &[Item]) -> Result<(), String> {
        for item in items {
            let (attributes, name) = described(item);
            if attributes.iter().any(is_test) {
                continue;
            }
            if let Item::Mod(inner) = item {
                let name = inner.ident.to_string();
                let mut path = self.modules[module].path.clone();
                path.push(name.clone());
                let below = folder.join(&name);
                let child = match &inner.content {
                    Some((_, items)) => {
                        let (inside, file) =
                            (self.modules[module].file_module, self.modules[module].file.clone());
                        let child = self.add(Some(module), Some(inside), path, file);
                        self.items(child, &below, items)?;
                        child
                    }
                    None => {
                        let candidates = [folder.join(format!("{name}.rs")), below.join("mod.rs")];
                        let file = candidates.into_iter().find(|f| (self.read)(f).is_some());
                        let file = file.ok_or_else(|| {
                            format!(
                                "{} declares `mod {name}`, whose file was not found",
                                self.modules[module].file
                            )
                        })?;
                        self.file(file, below, Some(module), path)?
                    }
                };
                self.modules[module].children.insert(name, child);
            } else {
                self.modules[module].items.extend(name);
                Visitor { module, loader: self }.visit_item(item);
            }
        }
        Ok(())
    }

    fn mention(&mut self, module: usize, path: Vec<String>, line: usize) {
        self.mentions.push(Mention { module, path, line });
    }
}

/// Attributes of an item and the name that it defines.
fn described(item: &Item) -> (&[Attribute], Option<String>) {
    let (attributes, name) = match item {
        Item::Const(i) => (&i.attrs, Some(&i.ident)),
        Item::Enum(i) => (&i.attrs, Some(&i.ident)),
        Item::Fn(i) => (&i.attrs, Some(&i.sig.ident)),
        Item::Impl(i) => (&i.attrs, None),
        Item::Macro(i) => (&i.attrs, i.ident.as_ref()),
        Item::Mod(i) => (&i.attrs, None),
        Item::Static(i) => (&i.attrs, Some(&i.ident)),
        Item::Struct(i) => (&i.attrs, Some(&i.ident)),
        Item::Trait(i) => (&i.attrs, Some(&i.ident)),
        Item::TraitAlias(i) => (&i.attrs, Some(&i.ident)),
        Item::Type(i) => (&i.attrs, Some(&i.ident)),
        Item::Union(i) => (&i.attrs, Some(&i.ident)),
        Item::Use(i) => (&i.attrs, None),
        Item::ExternCrate(i) => (&i.attrs, None),
        Item::ForeignMod(i) => (&i.attrs, None),
        _ => return (&[], None),
    };
    (attributes, name.map(ToString::to_string))
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[test]`.
fn is_test(attribute: &Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let Ok(list) = attribute.meta.require_list() else { return false };
    let words: Vec<String> = flat(list.tokens.clone()).into_iter().map(|(word, _)| word).collect();
    let first = words.iter().find(|w| *w != "all").map(String::as_str);
    attribute.path().is_ident("cfg") && first == Some("test")
}

/// Collects the paths in an item.
struct Visitor<'a, 'l> {
    module: usize,
    loader: &'a mut Loader<'l>,
}

impl Visitor<'_, '_> {
    fn use_tree(&mut self, tree: &UseTree, prefix: &[String], line: usize) {
        let with =
            |name: &syn::Ident| -> Vec<String> { prefix.iter().cloned().chain([name.to_string()]).collect() };
        match tree {
            UseTree::Path(path) => self.use_tree(&path.tree, &with(&path.ident), line),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, prefix, tree.span().start().line);
                }
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.alias(prefix.last().cloned(), prefix.to_vec(), line)
            }
            UseTree::Name(name) => self.alias(Some(name.ident.to_string()), with(&name.ident), line),
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { prefix.to_vec() } else { with(&rename.ident) };
                self.alias(Some(rename.rename.to_string()), path, line);
            }
            UseTree::Glob(_) => {
                self.loader.modules[self.module].globs.push(prefix.to_vec());
                self.loader.mention(self.module, prefix.to_vec(), line);
            }
        }
    }

    fn alias(&mut self, name: Option<String>, path: Vec<String>, line: usize) {
        // `pub(crate) use macro_name;` names what is here already.
        if let Some(name) = name.filter(|name| name != "_" && path != [name.clone()]) {
            self.loader.modules[self.module].aliases.insert(name, path.clone());
        }
        self.loader.mention(self.module, path, line);
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let words = flat(tokens);
        let mut at = 0;
        while at < words.len() {
            let (_, line) = words[at];
            let mut path = Vec::new();
            while let Some((word, _)) = words.get(at).filter(|(word, _)| is_word(word)) {
                path.push(word.clone());
                at += 1;
                if words.get(at).is_some_and(|(w, _)| w == "::") { at += 1 } else { break }
            }
            match path.len() {
                0 => at += 1,
                1 => {}
                _ => self.loader.mention(self.module, path, line),
            }
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_, '_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.use_tree(&item.tree, &[], item.span().start().line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let segments = path.segments.iter().map(|s| s.ident.to_string()).collect();
            self.loader.mention(self.module, segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    /// Visibilities name modules (`pub(in crate::ops)`) without reading them, and attributes hold no code.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        let test = match statement {
            syn::Stmt::Item(item) => described(item).0.iter().any(is_test),
            syn::Stmt::Local(local) => local.attrs.iter().any(is_test),
            _ => false,
        };
        if !test {
            visit::visit_stmt(self, statement);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !item.attrs.iter().any(is_test) {
            visit::visit_impl_item_fn(self, item);
        }
    }
}

fn is_word(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The words of a token stream in order, groups opened, `::` as one word and other signs one by one.
fn flat(tokens: TokenStream) -> Vec<(String, usize)> {
    let mut words: Vec<(String, usize)> = Vec::new();
    let mut colon = false;
    for token in tokens {
        let line = token.span().start().line;
        let was_colon = std::mem::take(&mut colon);
        match token {
            TokenTree::Group(group) => words.extend(flat(group.stream())),
            TokenTree::Ident(ident) => words.push((ident.to_string(), line)),
            TokenTree::Punct(sign) if sign.as_char() == ':' && was_colon => {
                words.pop();
                words.push(("::".to_owned(), line));
            }
            TokenTree::Punct(sign) => {
                colon = sign.as_char() == ':';
                words.push((sign.as_char().to_string(), line));
            }
            TokenTree::Literal(literal) => words.push((format!("\"{literal}"), line)),
        }
    }
    words
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A crate from files, each a path below `src` and its text.
    pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
        let read = |path: &Path| {
            let path = path.to_str()?;
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        Tree::load(Path::new("lib.rs"), &read, &|path| path.display().to_string()).unwrap()
    }

    fn pairs(tree: &Tree) -> Vec<(String, String)> {
        let mut all: Vec<_> = tree.imports.iter().map(|i| (i.from.join("::"), i.to.join("::"))).collect();
        all.dedup();
        all
    }

    fn reads(files: &[(&str, &str)]) -> Vec<(String, String)> {
        // What the root declares is of no interest here.
        pairs(&tree(files)).into_iter().filter(|(from, _)| !from.is_empty()).collect()
    }

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn nested_braces_supers_and_renames_are_followed() {
        let found = reads(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            (
                "a.rs",
                "use crate::{b::{self, Thing as Other}, c::deep::{self as d, *}}; fn f() { b::g(); d::h() }",
            ),
            ("b.rs", "pub struct Thing; pub fn g() { super::c::deep::h() }"),
            ("c/mod.rs", "pub mod deep;"),
            ("c/deep.rs", "pub fn h() { super::super::b::g() }"),
        ]);
        for expected in [pair("a", "b"), pair("a", "c::deep"), pair("b", "c::deep"), pair("c::deep", "b")] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
    }

    #[test]
    fn faces_are_looked_through() {
        let files = [
            ("lib.rs", "mod room;"),
            ("room/mod.rs", "mod a; mod b; pub use a::{Thing, a}; pub struct Own;"),
            ("room/a.rs", "pub struct Thing; pub fn a() {}"),
            ("room/b.rs", "use super::{Thing, a}; use crate::room::Own;"),
        ];
        let found = reads(&files);
        assert!(found.contains(&pair("room::b", "room::a")), "{found:?}");
        assert!(found.contains(&pair("room::b", "room")), "{found:?}");
    }

    #[test]
    fn faces_of_other_rooms_are_read() {
        let found = reads(&[
            ("lib.rs", "mod low; mod high; mod user;"),
            ("low.rs", "pub struct Thing;"),
            ("high/mod.rs", "mod part; pub use crate::low::Thing; pub use part::g;"),
            ("high/part.rs", "pub fn g() {}"),
            ("user.rs", "use crate::high::Thing; fn f() { crate::high::g() }"),
        ]);
        for expected in [pair("user", "low"), pair("user", "high"), pair("user", "high::part")] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
    }

    #[test]
    fn tests_comments_and_other_crates_are_left_out() {
        let found = reads(&[
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod tests;"),
            (
                "a.rs",
                "//! [`crate::b`]\nuse std::fmt; use burn::b::Tensor;\n#[cfg(test)] use crate::b::g;\n\
                 #[cfg(test)] mod tests { use crate::b::g; } fn f() { #[cfg(test)] use crate::b::g; }",
            ),
            ("b.rs", "pub fn g() {}"),
        ]);
        assert_eq!(found, []);
    }

    #[test]
    fn macros_are_read() {
        let found = reads(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "macro_rules! run { ($x:expr) => { $crate::b::g($x) }; } pub(crate) use run;"),
            ("b.rs", "pub fn g(x: u8) {}"),
            ("c.rs", "use crate::a::run; fn f() { run!(crate::b::g(1)); println!(\"{}\", crate::b::g(2)) }"),
        ]);
        assert_eq!(found, [pair("a", "b"), pair("c", "a"), pair("c", "b")]);
    }

    #[test]
    fn modules_inside_a_file_belong_to_it() {
        let found = reads(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub mod inner { use super::super::b::g; use super::f; } pub fn f() {}"),
            ("b.rs", "pub fn g() {}"),
        ]);
        assert_eq!(found, [pair("a", "b")]);
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let read = |path: &Path| (path == Path::new("lib.rs")).then(|| "mod gone;".to_owned());
        let error = Tree::load(Path::new("lib.rs"), &read, &|p| p.display().to_string()).unwrap_err();
        assert!(error.contains("mod gone"), "{error}");
    }
}
