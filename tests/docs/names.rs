//! Names in backticks: paths, items of the source, codes of findings.
//!
//! Source: `src/report/problem.rs` for the codes.
//!
//! Rule: a name that looks like one of ours is one of ours.

use crate::{documents, none, tree};
use std::collections::BTreeSet;
use vgic_state::report::Problem;

/// Where a path of the repository begins.
const FOLDERS: [&str; 11] =
    ["src/", "tests/", "docs/", "examples/", "benches/", "fuzz/", "embed/", "uapi/", "snapshots/", ".ci/", ".cargo/"];

/// Every word of the source that can be a name.
fn words() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for file in
        tree::files().iter().filter(|file| file.ends_with(".rs") || file.ends_with(".toml") || file.starts_with("tests/kvm/env/"))
    {
        let Ok(source) = std::fs::read_to_string(tree::root().join(file)) else { continue };
        words.extend(source.split(|letter: char| !letter.is_alphanumeric() && letter != '_').map(str::to_owned));
    }
    words
}

/// Public modules that documents name items by.
const MODULES: [&str; 10] = ["forward", "gicv2", "gicv3", "gicv5", "image", "its", "judge", "kvm", "report", "shadow"];

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

#[test]
fn every_path_in_backticks_is_there() {
    let mut messages = Vec::new();
    for document in documents() {
        for code in &document.code {
            let is_path = FOLDERS.iter().any(|folder| code.starts_with(folder)) && !code.contains(' ');
            // Of a folder that is made by a run.
            if is_path && !code.starts_with("fuzz/corpus") && !tree::has(code) {
                messages.push(format!("{}: `{code}` is not there", document.path));
            }
        }
    }
    none(&messages);
}

#[test]
fn every_item_in_backticks_is_in_the_source() {
    let words = words();
    let public = include_str!("../../snapshots/public_items.snap");
    let mut messages = Vec::new();
    for document in documents() {
        for code in &document.code {
            // `Type::item`, `Error::Device(NotFresh)`, `KvmDevice::create_*`; `a_long_name_in_small_letters`.
            let parts: Vec<&str> =
                code.split("::").flat_map(|part| part.split(['(', ')'])).filter(|part| !part.is_empty()).collect();
            let is_item = code.contains("::") && !code.contains([' ', '/', '<', '&', '=']);
            let is_function = is_name(code) && code.matches('_').count() >= 2 && *code == code.to_lowercase();
            // Of other projects, as a sentence about one of them says.
            let of_another = ["KvmVm", "VgicConfig", "Gic", "Vm", "GICv3"].contains(&parts.first().copied().unwrap_or_default());
            if !(is_item || is_function) || of_another || document.path.ends_with("CHANGELOG.md") {
                continue;
            }
            // What is named by its module is in it.
            if MODULES.contains(&parts[0]) && parts.len() > 1 {
                let path = format!("{}::{}", parts[0], parts[1]);
                if !parts[1].ends_with('*')
                    && !public.lines().any(|line| line.strip_prefix(&path).is_some_and(|rest| rest.starts_with([' ', ':'])))
                {
                    messages.push(format!("{}: `{code}`: {path} is not public", document.path));
                }
            }
            for part in parts {
                let is_there = match part.strip_suffix('*') {
                    Some(start) => words.iter().any(|word| word.starts_with(start)),
                    None => !is_name(part) || words.contains(part),
                };
                if !is_there {
                    messages.push(format!("{}: `{code}`: the source has no {part}", document.path));
                }
            }
        }
    }
    none(&messages);
}

/// `a_test` in `tests/of_it`.
#[test]
fn every_test_that_is_named_with_its_place_is_there() {
    let mut messages = Vec::new();
    for document in documents() {
        for text in &document.texts {
            let names = document.code.iter().filter(|code| is_name(code));
            for (name, place) in names.flat_map(|name| document.code.iter().map(move |place| (name, place))) {
                if !place.starts_with("tests/") || !text.contains(&format!("{name} in {place}")) {
                    continue;
                }
                let files = tree::files().iter().filter(|file| file.starts_with(place.as_str()) && file.ends_with(".rs"));
                let is_there = |file: &String| {
                    std::fs::read_to_string(tree::root().join(file)).expect("source").contains(&format!("fn {name}"))
                };
                if !files.clone().any(is_there) {
                    messages.push(format!("{}: `{name}` is not in {place}", document.path));
                }
            }
        }
    }
    none(&messages);
}

#[test]
fn every_code_of_a_finding_is_one() {
    let codes: Vec<&str> = Problem::ALL.iter().map(|problem| problem.code()).collect();
    let starts: BTreeSet<&str> = codes.iter().map(|code| code.split('-').next().expect("word")).collect();
    let mut messages = Vec::new();
    for document in documents().iter().filter(|document| document.path.starts_with("docs/")) {
        for code in &document.code {
            let is_code = code.contains('-')
                && code.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
            let begins_like_one = starts.contains(code.split('-').next().expect("word"));
            let is_known = codes.contains(&code.as_str()) || ["vm-memory", "kvm-ioctls", "vgic-state"].contains(&code.as_str());
            if is_code && begins_like_one && !is_known {
                messages.push(format!("{}: `{code}` is no finding", document.path));
            }
        }
    }
    none(&messages);
}
