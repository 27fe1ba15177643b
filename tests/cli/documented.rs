//! `README.md` and `docs/tool.md`: what they show is what the tool prints.
//!
//! Rule: `INSTA_UPDATE=always cargo test --test cli documented` writes it anew.

use super::{check, guests, ist_memory, of_guests, stderr, stdout};
use std::fs;
use std::path::Path;

/// A document, and at least how many commands it shows.
const DOCUMENTS: [(&str, usize); 2] = [("README.md", 1), ("docs/tool.md", 8)];
/// The picture in `docs/tool.md`.
const PICTURE: &str = "docs/guest.svg";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_update() -> bool {
    std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always")
}

/// The text with the output of each command behind it, and how many commands there are.
fn with_output(document: &str) -> (String, usize) {
    let (mut text, mut commands, mut in_block) = (String::new(), 0, false);
    for line in document.lines() {
        if line == "```console" {
            in_block = true;
        } else if line == "```" && in_block {
            in_block = false;
        } else if let Some(command) = line.strip_prefix("$ vgic-state ").filter(|_| in_block) {
            let output = of_guests(&command.split(' ').collect::<Vec<_>>());
            assert_eq!(stderr(&output), "", "{command}");
            let separator = if text.ends_with("```console\n") { "" } else { "\n" };
            text.push_str(&format!("{separator}{line}\n{}", stdout(&output)));
            commands += 1;
            continue;
        } else if in_block {
            // The output of a command, as it was.
            continue;
        }
        text.push_str(line);
        text.push('\n');
    }
    (text, commands)
}

#[test]
fn a_document_shows_what_the_tool_prints() {
    guests::write(guests::directory(), "lost.img", &check::lost());
    guests::write(guests::directory(), "two.bin", &ist_memory::two_levels());
    for (name, least) in DOCUMENTS {
        let document = fs::read_to_string(root().join(name)).expect("document");
        let (expected, commands) = with_output(&document);
        assert!(commands >= least, "{name}: {commands} commands");
        if is_update() {
            fs::write(root().join(name), expected).expect("document");
            continue;
        }
        for (line, (found, expected)) in (1..).zip(document.lines().zip(expected.lines())) {
            assert_eq!(found, expected, "{name}, line {line}: INSTA_UPDATE=always writes it anew");
        }
        assert_eq!(document.len(), expected.len(), "{name}");
    }
}

#[test]
fn the_picture_of_a_document_is_what_the_tool_draws() {
    let output = of_guests(&["plot", "guest.img", "-o", "-"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    if is_update() {
        return fs::write(root().join(PICTURE), stdout(&output)).expect("picture");
    }
    let found = fs::read_to_string(root().join(PICTURE)).expect("picture");
    // Not assert_eq: nobody wants to read both.
    assert!(found == stdout(&output), "{PICTURE}: INSTA_UPDATE=always draws it anew");
}
