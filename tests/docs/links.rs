//! Links between documents, and to files.
//!
//! Source: RFC 3986, relative references.
//!
//! Rule: a link leads to a file that is there and to a heading that it has. What is on other machines is not asked for.

use crate::document::Document;
use crate::{documents, none, tree};

/// A path without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What is wrong with a link, if anything is.
fn wrong(document: &Document, link: &str, documents: &[Document]) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = if path.is_empty() { document.path.clone() } else { normal(&format!("{}{path}", document.folder())) };
    if !tree::has(&path) {
        return Some(format!("{}: {link} leads to no file", document.path));
    }
    let found = documents.iter().find(|document| document.path == path);
    let has_anchor = anchor.is_empty() || found.is_some_and(|found| found.anchors.iter().any(|other| other == anchor));
    (!has_anchor).then(|| format!("{}: {link} leads to no heading", document.path))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let documents = documents();
    let mut messages = Vec::new();
    for document in &documents {
        messages.extend(document.links.iter().filter_map(|link| wrong(document, link, &documents)));
    }
    none(&messages);
}

/// In documentation comments, and where a file says what its source is.
#[test]
fn every_document_that_the_source_names_is_there() {
    let documents = documents();
    let mut messages = Vec::new();
    for file in tree::files().iter().filter(|file| !documents.is_empty() && file.ends_with(".rs")) {
        let source = std::fs::read_to_string(tree::root().join(file)).expect("source");
        for line in source.lines().filter(|line| line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("`docs/") {
                let (path, rest) = line[at + 1..].split_once('`').unwrap_or((&line[at + 1..], ""));
                let Some(document) = documents.iter().find(|document| document.path == path) else {
                    if !tree::has(path) {
                        messages.push(format!("{file}: {path} is not there"));
                    }
                    continue;
                };
                // A name in quotes behind it is one of its sections.
                let mut rest = rest;
                while let Some((name, behind)) = rest.strip_prefix(", \"").and_then(|rest| rest.split_once('"')) {
                    if !document.headings.iter().any(|heading| heading == name || heading.starts_with(&format!("{name}:"))) {
                        messages.push(format!("{file}: {path} has no section \"{name}\""));
                    }
                    rest = behind;
                }
            }
        }
    }
    none(&messages);
}
