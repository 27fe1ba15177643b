//! The files of the repository.
//!
//! Source: none.
//!
//! Rule: what is built or fetched is no part of it.

use std::path::Path;
use std::sync::OnceLock;

/// Folders of what is built, recorded or fetched.
const LEFT_OUT: [&str; 6] = [".git", "target", "fuzz/corpus", "fuzz/target", "embed/target", "fuzz/artifacts"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files, by their paths from the root, sorted.
pub(crate) fn files() -> &'static [String] {
    static FILES: OnceLock<Vec<String>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut files = Vec::new();
        add("", &mut files);
        files.sort();
        files
    })
}

fn add(folder: &str, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(folder)).expect("folder") {
        let entry = entry.expect("entry");
        let name = entry.file_name().into_string().expect("name");
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if LEFT_OUT.contains(&path.as_str()) {
            continue;
        }
        if entry.file_type().expect("type").is_dir() {
            add(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Whether a file or a folder is there. `{a,b}` stands for each of its parts, a star for anything.
pub(crate) fn has(path: &str) -> bool {
    if let Some((start, rest)) = path.split_once('{') {
        let (parts, end) = rest.split_once('}').expect("a brace is closed");
        return parts.split(',').all(|part| has(&format!("{start}{part}{end}")));
    }
    let path = path.trim_end_matches('/');
    let is = |file: &String| match path.split_once('*') {
        Some((start, end)) => file.starts_with(start) && file.ends_with(end),
        None => file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    };
    files().iter().any(is)
}
