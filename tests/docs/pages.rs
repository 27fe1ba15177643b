//! The pages as a whole.
//!
//! Source: none.
//!
//! Rule: a page says for whom it is, each is in the index, and no sentence stands on two of them.

use crate::document::Document;
use crate::{documents, none};
use std::collections::BTreeMap;

/// Shorter ones are no facts: "see below".
const LEAST_WORDS: usize = 7;

fn is_page(document: &Document) -> bool {
    document.path.starts_with("docs/") || document.path == "CONTRIBUTING.md"
}

#[test]
fn a_page_says_first_for_whom_it_is() {
    let documents = documents();
    let wrong = documents.iter().filter(|page| is_page(page) && !page.first.starts_with("For "));
    none(&wrong.map(|page| format!("{}: {}", page.path, page.first)).collect::<Vec<_>>());
}

#[test]
fn every_page_is_in_the_index() {
    let documents = documents();
    let Some(index) = documents.iter().find(|document| document.path == "docs/README.md") else { return };
    for page in documents.iter().filter(|page| is_page(page) && page.path != index.path) {
        let link = page.path.strip_prefix("docs/").map_or_else(|| format!("../{}", page.path), str::to_owned);
        assert!(index.links.contains(&link), "docs/README.md: {link} is missing");
    }
}

#[test]
fn the_readme_is_short() {
    let Ok(readme) = std::fs::read_to_string(crate::tree::root().join("README.md")) else { return };
    assert!(readme.lines().count() <= 150, "{} lines", readme.lines().count());
}

/// The sentences of a text, without regard to case and space.
fn sentences(text: &str) -> impl Iterator<Item = String> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let ends = [". ", "? ", ": ", "; "].iter().fold(words, |text, end| text.replace(end, "\n"));
    let sentences: Vec<String> = ends.split('\n').map(|sentence| sentence.trim_end_matches('.').to_owned()).collect();
    sentences.into_iter().filter(|sentence| sentence.split(' ').count() >= LEAST_WORDS)
}

#[test]
fn no_sentence_stands_on_two_pages() {
    let mut pages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for document in documents().iter().filter(|document| document.path != "CHANGELOG.md") {
        for sentence in document.texts.iter().flat_map(|text| sentences(text)) {
            let pages = pages.entry(sentence).or_default();
            if !pages.contains(&document.path) {
                pages.push(document.path.clone());
            }
        }
    }
    let twice = pages.iter().filter(|(_, pages)| pages.len() > 1);
    none(&twice.map(|(sentence, pages)| format!("{}: {sentence}", pages.join(", "))).collect::<Vec<_>>());
}
