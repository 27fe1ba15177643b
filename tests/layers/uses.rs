//! Which file uses what of which other file.
//!
//! Source: The Rust Reference, "Paths".
//!
//! Rule: a `use` and a path count as a use of the file that defines the item. That a module re-exports what is below it is no use. What a
//! method call needs by the type of a value alone is not seen.

use crate::source::{Found, Import, Tree, attributes, flatten};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// One place where a file uses another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) line: usize,
    /// The path as it is written.
    pub(crate) item: String,
}

impl Tree {
    /// All uses between files, by place.
    pub(crate) fn uses(&mut self) -> Result<Vec<Use>, String> {
        let mut paths = Vec::new();
        for module in &mut self.modules {
            let mut seen = Paths::default();
            module.items.iter().for_each(|item| seen.visit_item(item));
            // An import inside of a function is one of its module.
            let mut inner = seen.imports;
            inner.retain(|inner| !module.imports.iter().any(|import| import.path == inner.path && import.line == inner.line));
            module.imports.extend(inner);
            paths.push(seen.paths);
        }
        let mut uses = Vec::new();
        for (id, paths) in paths.into_iter().enumerate() {
            for import in &self.modules[id].imports {
                self.imported(id, import, &mut uses)?;
            }
            for (path, line, certain) in paths {
                match self.resolve(id, &path) {
                    Ok(Found::Item(at)) => self.push(id, at, line, path.join("::"), &mut uses),
                    Err(error) if certain => return Err(error),
                    _ => (),
                }
            }
        }
        uses.sort();
        uses.dedup();
        Ok(uses)
    }

    fn imported(&self, id: usize, import: &Import, uses: &mut Vec<Use>) -> Result<(), String> {
        let written = import.path.join("::") + if import.name.is_none() { "::*" } else { "" };
        let found = self.resolve(id, &import.path)?;
        let targets = match (found, &import.name) {
            (Found::Item(at), _) => vec![at],
            (Found::Module(at), None) => {
                let again = self.modules[at].imports.iter().filter(|import| import.reexport);
                let again = again.filter_map(|import| match self.resolve(at, &import.path) {
                    Ok(Found::Item(at)) => Some(at),
                    _ => None,
                });
                again.chain([at]).collect()
            }
            // What is used of a module is seen where it is.
            _ => Vec::new(),
        };
        for at in targets {
            if !(import.reexport && self.is_below(at, id)) {
                self.push(id, at, import.line, written.clone(), uses);
            }
        }
        Ok(())
    }

    fn is_below(&self, module: usize, top: usize) -> bool {
        self.modules[module].path.starts_with(&self.modules[top].path)
    }

    fn push(&self, from: usize, to: usize, line: usize, item: String, uses: &mut Vec<Use>) {
        let [from, to] = [from, to].map(|module| self.modules[module].file.clone());
        if from != to {
            uses.push(Use { from, to, line, item });
        }
    }
}

#[derive(Default)]
struct Paths {
    imports: Vec<Import>,
    /// Path, line, and whether it must lead somewhere.
    paths: Vec<(Vec<String>, usize, bool)>,
}

impl Paths {
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons, mut argument) = (Vec::new(), 0, 0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    let goes_on = colons == 2 && !path.is_empty();
                    if !goes_on {
                        self.token_path(std::mem::take(&mut path));
                        line = ident.span().start().line;
                    }
                    // `$crate` is a path of here, `$name` is an argument.
                    if !(argument && ident != "crate") {
                        path.push((ident.to_string(), line));
                    }
                    (colons, argument) = (0, false);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                token => {
                    self.token_path(std::mem::take(&mut path));
                    (colons, argument) = (0, matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '$'));
                    if let TokenTree::Group(group) = token {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.token_path(path);
    }

    fn token_path(&mut self, path: Vec<(String, usize)>) {
        if let ([_, _, ..], Some(&(_, line))) = (path.as_slice(), path.first()) {
            self.paths.push((path.into_iter().map(|(name, _)| name).collect(), line, false));
        }
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        flatten(&item.tree, &mut Vec::new(), &item.vis, &mut self.imports);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let certain = matches!(names[0].as_str(), "crate" | "super" | "self");
            self.paths.push((names, path.segments[0].ident.span().start().line, certain));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'a syn::Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }

    fn visit_item(&mut self, item: &'a syn::Item) {
        if !attributes(item).iter().any(|attr| attr.path().is_ident("test")) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, _: &'a syn::ItemMod) {}

    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_attribute(&mut self, _: &'a syn::Attribute) {}
}
