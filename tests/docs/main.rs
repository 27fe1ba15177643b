//! What the documents say of each other, of files, of names and of commands is so.
//!
//! Source: CommonMark; the anchors that GitHub makes of headings.
//!
//! Rule: a document names nothing that is not there, and a fact stands once.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod commands;
mod document;
mod links;
mod names;
mod pages;
mod tree;

use document::Document;

/// Every document of the repository; none in the package, which lacks some of the files that they name.
fn documents() -> Vec<Document> {
    if !tree::root().join(".ci/run").exists() {
        return Vec::new();
    }
    let documents: Vec<_> = tree::files().iter().filter(|path| path.ends_with(".md")).map(|path| Document::read(path)).collect();
    assert!(documents.len() >= 15, "{} documents", documents.len());
    documents
}

/// Fails with every message at once.
fn none(messages: &[String]) {
    assert!(messages.is_empty(), "\n{}", messages.join("\n"));
}
