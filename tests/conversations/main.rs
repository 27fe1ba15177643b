//! Conversations with KVM's virtual GICv5, as the kernel's own code answered, repeated with the model.
//!
//! Source: `data/`, recorded from `arch/arm64/kvm/vgic/` of Linux 7.4, run in user space on a host in memory; `data/README.md` says
//! how, and what each line means.
//!
//! Rule: every answer of the model is the kernel's, looks into its tables included; there is no list of exceptions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod object;
mod reader;
mod replay;
mod table;

use reader::{conversations, unpack};
use replay::Replay;

/// So many wrong answers are shown; what comes after one may follow from it.
const SHOWN: usize = 20;

/// Repeats every conversation of a file: so many, with so many lines.
#[track_caller]
fn repeat(file: &str, gzip: &[u8], expected: (usize, usize)) {
    let text = unpack(gzip);
    let all = conversations(&text);
    let lines = all.iter().map(|conversation| conversation.lines.len()).sum();
    assert_eq!((all.len(), lines), expected, "{file}: conversations and their lines");
    let mut wrong = Vec::new();
    for conversation in &all {
        let mut replay = Replay::new();
        for line in &conversation.lines {
            let found = replay.perform(line.operation);
            if found.as_deref() != line.answer {
                wrong.push(format!(
                    "{file}, {}, line {}: {}\n    expected {}\n    found    {}",
                    conversation.name,
                    line.number,
                    line.operation,
                    line.answer.unwrap_or("no answer"),
                    found.as_deref().unwrap_or("no answer")
                ));
            }
        }
    }
    let shown = wrong.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} answers are not the kernel's; the first:\n{shown}", wrong.len());
}

macro_rules! files {
    ($($name:ident, $file:literal: $conversations:literal conversations, $lines:literal lines;)*) => {
        $(
            #[test]
            fn $name() {
                repeat($file, include_bytes!(concat!("data/", $file, ".gz")), ($conversations, $lines));
            }
        )*
    };
}

files! {
    random_0, "random-0.txt": 70 conversations, 14327 lines;
    random_1, "random-1.txt": 70 conversations, 12497 lines;
    random_2, "random-2.txt": 70 conversations, 12634 lines;
    random_3, "random-3.txt": 70 conversations, 13187 lines;
    scenarios, "scenarios.txt": 36 conversations, 8602 lines;
    selftest, "selftest.txt": 2 conversations, 1202 lines;
    stages, "stages.txt": 22 conversations, 32972 lines;
}
