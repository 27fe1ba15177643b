//! The layers of the crate hold: nothing is used against their order, and there is no circle.
//!
//! Source: `docs/architecture.md`.
//!
//! Rule: dependencies point one way, between files and between folders. A file is a file: what a `mod.rs` defines is its own, and a file
//! below it that uses that closes a circle if the `mod.rs` uses the file. That a module re-exports what is below it is no use.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/snapshot.rs"]
mod snapshot;

mod circles;
mod crafted;
mod order;
mod source;
mod uses;

use order::LAYERS;
use source::{Files, Tree};
use std::path::Path;
use uses::Use;

fn read(dir: &Path, name: &str, into: &mut Files) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{name}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            read(&path, &name, into);
        } else if name.ends_with(".rs") {
            into.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The library and the tool.
fn the_crate() -> Tree {
    let mut files = Files::new();
    for dir in ["src", "uapi"] {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), dir, &mut files);
    }
    let mut tree = Tree::default();
    tree.add("vgic_state", "src/lib.rs", &files);
    tree.add("tool", "src/bin/vgic-state/main.rs", &files);
    tree
}

fn uses() -> Vec<Use> {
    the_crate().uses().unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn none(messages: Vec<String>) {
    assert!(messages.is_empty(), "\n{}", messages.join("\n"));
}

#[test]
fn nothing_is_used_against_the_order_of_layers() {
    none(order::against(&uses(), LAYERS));
}

#[test]
fn there_is_no_circle_of_files() {
    none(circles::of_files(&uses()));
}

#[test]
fn there_is_no_circle_of_folders() {
    none(circles::of_folders(&uses()));
}

#[test]
fn every_module_is_there() {
    let files = the_crate();
    let is_there = |module: &&order::Module| files.modules.iter().any(|at| order::is_in(&at.file, module));
    let gone = LAYERS.iter().copied().flatten().filter(|module| !is_there(module));
    none(gone.map(|module| format!("{} is not there: tests/layers/order.rs has it\n", module.place)).collect());
}

#[test]
fn the_document_shows_the_layers() {
    let layers = order::document(LAYERS);
    assert!(include_str!("../../docs/architecture.md").contains(&layers), "docs/architecture.md must have:\n{layers}");
}

/// A test says the same twice: every property draws its cases from `tests/common/seeds.rs`.
#[test]
fn every_property_has_a_seed() {
    let mut files = Files::new();
    for dir in ["src", "tests"] {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), dir, &mut files);
    }
    let mut properties = 0;
    let mut without = Vec::new();
    for (name, text) in files {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (n, line) in lines.iter().enumerate().filter(|(_, line)| **line == concat!("propt", "est! {")) {
            properties += 1;
            if !lines.get(n + 1).is_some_and(|next| next.starts_with("#![proptest_config(") && next.contains("seeds::cases(")) {
                without.push(format!("{name}:{}: `{line}` draws from a random seed: it needs seeds::cases\n", n + 1));
            }
        }
    }
    assert!(properties >= 10, "{properties} properties");
    none(without);
}
