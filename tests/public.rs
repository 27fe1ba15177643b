//! Everything that `cargo doc` shows, as a list, so that a review sees what has become public, and what no longer is.
//!
//! Source: the pages that rustdoc writes, which have macros expanded and hidden items left out. Names, and not the layout of a page, are
//! taken from there: the identifiers that links go to.
//!
//! Rule: what is of no use to the author of a VMM is `#[doc(hidden)]`. The constants of `uapi` have snapshots of their own.

#![cfg(all(feature = "kvm", feature = "shadow", target_os = "linux"))]
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "common/snapshot.rs"]
mod snapshot;

use snapshot::snapshot;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Documents the library, in a directory of its own: the directory of the tests may be in use.
fn document() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("public");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["doc", "--quiet", "--locked", "--lib", "--no-deps", "--features", "model,serde"]);
    cargo.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "--target-dir"]).arg(&directory);
    // What a run for coverage has set is for its own binaries.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(variable);
    }
    assert!(cargo.status().expect("cargo").success());
    directory.join("doc/vgic_state")
}

/// The values of an attribute of HTML, in order.
fn values<'a>(html: &'a str, attribute: &str) -> impl Iterator<Item = &'a str> {
    html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next())
}

/// What stands between one identifier and the next of those given, or the end.
fn part<'a>(html: &'a str, start: Option<&str>, ends: &[&str]) -> &'a str {
    let mark = |id: &str| format!("id=\"{id}\"");
    let start = start.map_or(Some(0), |id| html.find(&mark(id)));
    let Some(rest) = start.map(|start| &html[start..]) else { return "" };
    let end = ends.iter().filter_map(|id| rest.find(&mark(id))).min();
    &rest[..end.unwrap_or(rest.len())]
}

/// What an item has of its own, and which traits it implements.
fn describe(html: &str, lines: &mut String) {
    let traits = "trait-implementations";
    let own = part(html, None, &[traits, "implementors", "foreign-impls", "synthetic-implementations", "blanket-implementations"]);
    for (what, prefixes) in [
        ("fields", &["structfield."][..]),
        ("variants", &["variant."]),
        ("constants", &["associatedconstant."]),
        ("types", &["associatedtype."]),
        ("methods", &["tymethod.", "method."]),
    ] {
        let names: Vec<String> = values(own, "id=\"")
            .filter_map(|id| prefixes.iter().find_map(|prefix| id.strip_prefix(prefix)))
            // Behind a variant come its fields.
            .filter(|name| !name.ends_with(".fields"))
            .map(|name| name.replace(".field.", "."))
            .collect();
        if !names.is_empty() {
            writeln!(lines, "  {what}: {}", names.join(" ")).expect("text");
        }
    }
    let implemented = part(html, Some(traits), &["synthetic-implementations", "blanket-implementations"]);
    let implemented: Vec<String> = values(implemented, "id=\"")
        .filter_map(|id| id.strip_prefix("impl-"))
        .map(|id| id.split("-for-").next().unwrap_or(id).replace("%3C", "<").replace("%3E", ">").replace("%26", "&"))
        .filter(|name| !name.starts_with("Structural"))
        .collect();
    if !implemented.is_empty() {
        writeln!(lines, "  impl: {}", implemented.join(" ")).expect("text");
    }
}

#[test]
fn what_is_public_is_listed() {
    let root = document();
    let all = fs::read_to_string(root.join("all.html")).expect("list");
    let mut pages: Vec<&str> = values(&all, "href=\"").filter(|page| page.ends_with(".html") && !page.contains("..")).collect();
    pages.retain(|page| !page.starts_with("uapi/") && page.matches('.').count() == 2);
    let mut items: Vec<(String, &str, &str)> = pages
        .into_iter()
        .map(|page| {
            let (module, file) = page.rsplit_once('/').unwrap_or(("", page));
            let mut parts = file.split('.');
            let (kind, name) = (parts.next().expect("kind"), parts.next().expect("name"));
            (module.split('/').chain([name]).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("::"), kind, page)
        })
        .collect();
    // Those of the root, then module by module.
    items.sort_by_key(|(path, ..)| (path.rsplit_once("::").map(|(module, _)| module.to_owned()), path.clone()));
    assert!(items.len() > 100, "rustdoc writes other pages than this test reads");
    let mut lines = String::new();
    for (path, kind, page) in items {
        let html = fs::read_to_string(root.join(page)).expect("page");
        let open =
            if html.contains("class=\"rust item-decl\"") && html.contains("Non-exhaustive") { ", non-exhaustive" } else { "" };
        writeln!(lines, "{path} ({kind}{open})").expect("text");
        describe(&html, &mut lines);
    }
    snapshot!("public_items", lines);
}

/// A name has one meaning: types that share one are those of several controllers. `Device` is a term of two fields: of KVM, what a model is;
/// of an ITS, what has events.
#[test]
fn no_two_public_types_share_a_name_but_those_of_several_controllers() {
    let list = include_str!("../snapshots/public_items.snap");
    let types = list.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(" ("));
    let types = types.filter(|(_, kind)| ["struct", "enum", "trait", "type"].iter().any(|name| kind.starts_with(name)));
    let mut modules = std::collections::BTreeMap::<&str, Vec<&str>>::new();
    for (path, _) in types {
        let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
        modules.entry(name).or_default().push(module);
    }
    assert!(modules.len() > 100, "{}", modules.len());
    // What is left of a module without the controller that it is of.
    let of_controllers = |module: &str| module.strip_suffix(['2', '3', '5']).map(str::to_owned);
    for (name, modules) in modules.iter().filter(|(name, modules)| modules.len() > 1 && **name != "Device") {
        let first = of_controllers(modules[0]);
        assert!(first.is_some() && modules.iter().all(|module| of_controllers(module) == first), "{name}: {modules:?}");
    }
}
