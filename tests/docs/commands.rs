//! Commands of cargo and of the gate.
//!
//! Source: Cargo.toml; `.ci/run`.
//!
//! Rule: a command names a target that is there, and the gate runs what the README asks for.

use crate::document::Document;
use crate::{documents, none, tree};
use std::process::Command;

/// Lines of blocks, and code in sentences.
fn commands(document: &Document) -> impl Iterator<Item = &str> {
    let blocks = document.blocks.iter().flat_map(|(_, block)| block.lines());
    blocks.chain(document.code.iter().map(String::as_str))
}

fn ci() -> String {
    std::fs::read_to_string(tree::root().join(".ci/run")).expect("gate")
}

fn page<'a>(documents: &'a [Document], path: &str) -> &'a Document {
    documents.iter().find(|document| document.path == path).expect("page")
}

#[test]
fn every_target_of_a_command_is_there() {
    let mut messages = Vec::new();
    for document in documents() {
        for command in commands(&document) {
            let words: Vec<&str> = command.split([' ', '`']).collect();
            for pair in words.windows(2) {
                let folder = match pair[0] {
                    "--test" => "tests",
                    "--example" => "examples",
                    "--bench" => "benches",
                    _ => continue,
                };
                let place = if document.path.starts_with("fuzz/") || command.contains("seeds") {
                    format!("fuzz/{folder}")
                } else {
                    folder.into()
                };
                let target = pair[1].trim_end_matches([',', '.', ';', ')']);
                let is_there =
                    |place: &str| tree::has(&format!("{place}/{target}.rs")) || tree::has(&format!("{place}/{target}/main.rs"));
                // A word in capitals stands for a name.
                if target != target.to_uppercase() && !is_there(&place) && !is_there(&format!("embed/{folder}")) {
                    messages.push(format!("{}: `{command}`: there is no {place}/{target}", document.path));
                }
            }
        }
    }
    none(&messages);
}

#[test]
fn every_step_of_the_gate_is_explained() {
    let documents = documents();
    if documents.is_empty() {
        return;
    }
    let contributing = page(&documents, "CONTRIBUTING.md");
    let ci = ci();
    let steps: Vec<&str> = ci.lines().filter_map(|line| line.strip_prefix("step ")?.split(' ').next()).collect();
    assert!(steps.len() > 15, "{steps:?}");
    for step in &steps {
        assert!(contributing.code.iter().any(|code| code == step), "CONTRIBUTING.md: the step {step} is missing");
    }
}

#[test]
fn the_gate_runs_the_two_commands_of_the_readme() {
    let documents = documents();
    if documents.is_empty() {
        return;
    }
    let (_, block) = page(&documents, "README.md").blocks.iter().find(|(language, _)| language == "sh").expect("commands");
    let ci = ci();
    for line in block.lines() {
        let command = line.split('#').next().expect("command").trim();
        let (cargo, arguments) = command.split_at(command.match_indices(' ').nth(1).map_or(command.len(), |(at, _)| at));
        let run = format!("run {cargo} --locked{arguments}\n");
        assert!(ci.contains(&run), "the gate does not `{}`", run.trim());
    }
    assert_eq!(block.lines().count(), 2);
}

#[test]
fn the_readme_shows_what_its_example_prints() {
    let documents = documents();
    if documents.is_empty() {
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--locked", "--all-features", "--example", "migrate"]).current_dir(tree::root());
    // What a run for coverage has set is for its own binaries.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("text");
    let (_, block) = page(&documents, "README.md").blocks.iter().find(|(language, _)| language == "text").expect("output");
    let mut lines = printed.lines();
    for shown in block.lines().filter(|line| *line != "...") {
        assert!(lines.any(|line| line == shown), "README.md shows what the example does not print there: {shown}");
    }
}
