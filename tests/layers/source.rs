//! The modules of a crate, from its source: what each defines, and what it imports.
//!
//! Source: The Rust Reference, "Modules" and "Use declarations".
//!
//! Rule: code for tests is left out; a name belongs to the module that defines it, whatever re-exports it.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use syn::{Attribute, Item, ItemMod, UseTree, Visibility};

/// Sources by path from the root of the repository, with `/` between parts.
pub(crate) type Files = BTreeMap<String, String>;

pub(crate) struct Import {
    /// None: all names, by `*`.
    pub(crate) name: Option<String>,
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Visible to others than the module itself.
    pub(crate) reexport: bool,
}

pub(crate) struct Module {
    pub(crate) path: Vec<String>,
    pub(crate) file: String,
    pub(crate) root: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) items: Vec<Item>,
    pub(crate) children: BTreeMap<String, usize>,
    defined: BTreeSet<String>,
    /// What a macro that makes items may define: the names in its arguments, and those of items in a macro of the module.
    made: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Module(usize),
    /// Something that this module defines.
    Item(usize),
    /// Another crate, a generic parameter, a primitive type.
    Elsewhere,
}

#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) modules: Vec<Module>,
    /// By the name of the crate.
    roots: BTreeMap<String, usize>,
}

impl Tree {
    /// Reads a crate, after those that it uses.
    pub(crate) fn add(&mut self, name: &str, root: &str, files: &Files) {
        let file = parse(root, files);
        let id = self.module(vec![name.into()], root.into(), None, file.items);
        self.roots.insert(name.into(), id);
        self.children(id, folder(root), files);
    }

    fn module(&mut self, path: Vec<String>, file: String, parent: Option<usize>, items: Vec<Item>) -> usize {
        let id = self.modules.len();
        let items: Vec<Item> = items.into_iter().filter(|item| !is_for_tests(attributes(item))).collect();
        let root = parent.map_or(id, |parent| self.modules[parent].root);
        let (mut defined, mut made, mut imports) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for item in &items {
            match item {
                Item::Use(item) => flatten(&item.tree, &mut Vec::new(), &item.vis, &mut imports),
                Item::Macro(item) if item.ident.is_none() => names(item.mac.tokens.clone(), &mut made),
                Item::Macro(item) => {
                    defined.extend(item.ident.as_ref().map(ToString::to_string));
                    names_of_items(item.mac.tokens.clone(), &mut made);
                }
                item => defined.extend(name(item)),
            }
        }
        self.modules.push(Module { path, file, root, parent, items, children: BTreeMap::new(), defined, made, imports });
        id
    }

    fn children(&mut self, id: usize, dir: PathBuf, files: &Files) {
        let items = std::mem::take(&mut self.modules[id].items);
        let (modules, items): (Vec<Item>, _) = items.into_iter().partition(|item| matches!(item, Item::Mod(_)));
        self.modules[id].items = items;
        for item in modules {
            let Item::Mod(ItemMod { ident, content, attrs, .. }) = item else { continue };
            let mut path = self.modules[id].path.clone();
            path.push(ident.to_string());
            let child = match content {
                Some((_, items)) => {
                    let child = self.module(path, self.modules[id].file.clone(), Some(id), items);
                    self.children(child, dir.join(ident.to_string()), files);
                    child
                }
                None => {
                    let given = path_attribute(&attrs).map(|given| plain(&Path::new(&self.modules[id].file).with_file_name(given)));
                    let usual =
                        [dir.join(format!("{ident}.rs")), dir.join(ident.to_string()).join("mod.rs")].map(|path| plain(&path));
                    let file = given.into_iter().chain(usual).find(|file| files.contains_key(file));
                    let file = file.unwrap_or_else(|| panic!("{}: no file for module {ident}", self.modules[id].file));
                    let source = parse(&file, files);
                    let child = self.module(path, file.clone(), Some(id), source.items);
                    self.children(child, folder(&file), files);
                    child
                }
            };
            self.modules[id].children.insert(ident.to_string(), child);
        }
    }

    /// What a path means in a module. An error is a path into this crate that leads nowhere.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Result<Found, String> {
        self.follow(module, path, &mut Vec::new())
    }

    fn follow(&self, module: usize, path: &[String], seen: &mut Vec<(usize, String)>) -> Result<Found, String> {
        let Some((first, mut rest)) = path.split_first() else { return Ok(Found::Elsewhere) };
        let mut found = match first.as_str() {
            "crate" => Found::Module(self.modules[module].root),
            "self" => Found::Module(module),
            "super" => Found::Module(self.modules[module].parent.unwrap_or(module)),
            name => match self.lookup(module, name, seen) {
                Some(found) => found,
                None => self.roots.get(name).map_or(Found::Elsewhere, |&root| Found::Module(root)),
            },
        };
        while let (Found::Module(at), Some((name, after))) = (found, rest.split_first()) {
            rest = after;
            found = match name.as_str() {
                "self" => found,
                "super" => Found::Module(self.modules[at].parent.unwrap_or(at)),
                name => self
                    .lookup(at, name, seen)
                    .ok_or_else(|| format!("{}: nothing is `{}`", self.modules[module].file, path.join("::")))?,
            };
        }
        Ok(found)
    }

    fn lookup(&self, module: usize, name: &str, seen: &mut Vec<(usize, String)>) -> Option<Found> {
        let of = &self.modules[module];
        if let Some(&child) = of.children.get(name) {
            return Some(Found::Module(child));
        }
        if of.defined.contains(name) {
            return Some(Found::Item(module));
        }
        let key = (module, name.to_owned());
        if seen.contains(&key) {
            return None;
        }
        seen.push(key);
        let named = of.imports.iter().filter(|import| import.name.as_deref() == Some(name));
        let found = named.filter_map(|import| self.follow(module, &import.path, seen).ok()).next();
        let found = found.or_else(|| of.made.contains(name).then_some(Found::Item(module)));
        let found = found.or_else(|| {
            of.imports.iter().filter(|import| import.name.is_none()).find_map(|import| {
                match self.follow(module, &import.path, seen).ok()? {
                    Found::Module(at) => self.lookup(at, name, seen),
                    _ => None,
                }
            })
        });
        seen.pop();
        found
    }
}

fn parse(path: &str, files: &Files) -> syn::File {
    let source = files.get(path).unwrap_or_else(|| panic!("no file {path}"));
    syn::parse_file(source).unwrap_or_else(|error| panic!("{path}:{}: {error}", error.span().start().line))
}

/// Where the files of the modules in a file lie.
fn folder(file: &str) -> PathBuf {
    let path = Path::new(file);
    match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => path.parent().unwrap_or(path).to_owned(),
        _ => path.with_extension(""),
    }
}

fn plain(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.push(part.to_str().unwrap()),
            _ => (),
        }
    }
    parts.join("/")
}

fn path_attribute(attrs: &[Attribute]) -> Option<String> {
    let attr = attrs.iter().find(|attr| attr.path().is_ident("path"))?;
    match &attr.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
        _ => None,
    }
}

/// `#[cfg(test)]`, `#[cfg(all(doctest, ..))]`.
fn is_for_tests(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let mut words = BTreeSet::new();
        if let (true, syn::Meta::List(list)) = (attr.path().is_ident("cfg"), &attr.meta) {
            names(list.tokens.clone(), &mut words);
        }
        ["test", "doctest"].iter().any(|word| words.contains(*word)) && !words.contains("not") && !words.contains("any")
    })
}

fn names(tokens: TokenStream, into: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => names(group.stream(), into),
            TokenTree::Ident(ident) => drop(into.insert(ident.to_string())),
            _ => (),
        }
    }
}

/// What follows `struct`, `enum` and so on.
fn names_of_items(tokens: TokenStream, into: &mut BTreeSet<String>) {
    let mut is_item = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) => names_of_items(group.stream(), into),
            TokenTree::Ident(ident) => {
                let ident = ident.to_string();
                let keyword = matches!(ident.as_str(), "const" | "enum" | "fn" | "static" | "struct" | "trait" | "type" | "union");
                if is_item && !keyword {
                    into.insert(ident);
                }
                is_item = keyword;
            }
            _ => is_item = false,
        }
    }
}

pub(crate) fn flatten(tree: &UseTree, path: &mut Vec<String>, vis: &Visibility, into: &mut Vec<Import>) {
    let reexport = !matches!(vis, Visibility::Inherited);
    let mut push = |name: Option<String>, path: Vec<String>, span: proc_macro2::Span| {
        into.push(Import { name, path, line: span.start().line, reexport });
    };
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            flatten(&tree.tree, path, vis, into);
            path.pop();
        }
        // `{self}` is the module itself.
        UseTree::Name(tree) if tree.ident == "self" => push(path.last().cloned(), path.clone(), tree.ident.span()),
        UseTree::Name(tree) => {
            push(Some(tree.ident.to_string()), [path.as_slice(), &[tree.ident.to_string()]].concat(), tree.ident.span());
        }
        UseTree::Rename(tree) => {
            let mut full = path.clone();
            full.extend((tree.ident != "self").then(|| tree.ident.to_string()));
            push(Some(tree.rename.to_string()), full, tree.ident.span());
        }
        UseTree::Glob(tree) => push(None, path.clone(), tree.star_token.spans[0]),
        UseTree::Group(tree) => tree.items.iter().for_each(|tree| flatten(tree, path, vis, into)),
    }
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

pub(crate) fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}
