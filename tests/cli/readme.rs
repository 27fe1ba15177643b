//! The section "Tool" of the README: what it shows is what the tool prints.
//!
//! Rule: `INSTA_UPDATE=always` writes it anew.

use super::{check, guests, ist_memory, of_guests, stderr, stdout};
use std::fs;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The text with the output of each command behind it, and how many commands there are.
fn with_output(readme: &str) -> (String, usize) {
    let (mut text, mut commands, mut in_block) = (String::new(), 0, false);
    for line in readme.lines() {
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
fn the_readme_shows_what_the_tool_prints() {
    guests::write(guests::directory(), "lost.img", &check::lost());
    guests::write(guests::directory(), "two.bin", &ist_memory::two_levels());
    let readme = fs::read_to_string(README).expect("README");
    let (expected, commands) = with_output(&readme);
    assert!(commands >= 6, "{commands} commands");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        return fs::write(README, expected).expect("README");
    }
    for (line, (found, expected)) in (1..).zip(readme.lines().zip(expected.lines())) {
        assert_eq!(found, expected, "README.md, line {line}: INSTA_UPDATE=always writes it anew");
    }
    assert_eq!(readme.len(), expected.len());
}
