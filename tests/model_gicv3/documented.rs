//! `docs/kernels.md` is what the table of behaviours says, and what was seen on real kernels.
//!
//! Source: [`Behaviour`]; `tests/kvm/env/seen`, which `tests/kvm/env/matrix` writes.
//!
//! Rule: the document is written here (`VGIC_STATE_WRITE_DOCS=1 cargo test --test model_gicv3 documented`) and compared here, so that
//! it cannot be out of date.

use std::fmt::Write;
use std::path::Path;
use vgic_state::model::gicv3::{Behaviour, Kernel};

/// A line that the matrix wrote: a kernel, its scenarios, and whether its host crashed.
struct Seen {
    name: String,
    kernel: Kernel,
    pages: &'static str,
    passed: u32,
    failed: u32,
    crash: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn seen() -> Vec<Seen> {
    let text = std::fs::read_to_string(root().join("tests/kvm/env/seen")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let seen = lines.map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, passed, failed, crash] = fields[..] else { panic!("{line}") };
        let (release, pages) = name.strip_suffix("-16k").map_or((name, "4 KiB"), |release| (release, "16 KiB"));
        Seen {
            name: name.to_string(),
            kernel: release.parse().unwrap(),
            pages,
            passed: passed.parse().unwrap(),
            failed: failed.parse().unwrap(),
            crash: crash == "crash",
        }
    });
    seen.collect()
}

/// Which of the known releases have a behaviour, line by line.
fn releases(behaviour: Behaviour) -> String {
    let known: Vec<Kernel> = Kernel::known().collect();
    let mut parts: Vec<String> = Vec::new();
    // The line from which on all have it is said at the end.
    let since = known.iter().rposition(|kernel| !kernel.has(behaviour)).map_or(0, |last| last + 1);
    for line in known[..since].chunk_by(|one, two| one.line() == two.line()) {
        let (with, without): (Vec<&Kernel>, Vec<&Kernel>) = line.iter().partition(|kernel| kernel.has(behaviour));
        let (major, minor) = line[0].line();
        match (with.first(), without.is_empty()) {
            (None, _) => {}
            (Some(_), true) => parts.push(format!("{major}.{minor}")),
            (Some(first), false) => parts.push(format!("{major}.{minor} from {first} on")),
        }
    }
    if let Some(first) = known.get(since) {
        let whole = since == 0 || known[since - 1].line() != first.line();
        let (major, minor) = first.line();
        let from = if whole { format!("{major}.{minor}") } else { first.to_string() };
        let last = known[known.len() - 1].line() == first.line();
        parts.push(if last { format!("{from} on, as far as known") } else { format!("every one from {from} on") });
    }
    parts.join(", ")
}

fn document() -> String {
    let mut text = String::from(
        "# Which kernel does what\n\n\
         For whoever decides on which kernels guests run and between which they move: what each release of Linux does with a GICv2, a GICv3 and an\n\
         ITS, what that means for a VMM, and which commit brought it.\n\n\
         `tests/model_gicv3/documented.rs` writes this document from the table that the model uses (`model::gicv3::Behaviour`), and a\n\
         test compares the two. To change it, change the table, then run\n\
         `VGIC_STATE_WRITE_DOCS=1 cargo test --test model_gicv3 documented`.\n\n\
         A later version does not always have what an earlier one has: fixes go to the long-term lines and to the newest line, and not\n\
         to those between. To learn what a host does, look up the release of its kernel (`Kernel::from_uname`); the model refuses a\n\
         release that was not examined.\n\n\
         ## Overview\n\n",
    );
    let mut row = |name: &str, cells: &[String]| {
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    row("a host of Linux ...", &Kernel::ALL.map(|kernel| kernel.to_string()));
    row("---", &Kernel::ALL.map(|_| "---".to_string()));
    for behaviour in Behaviour::ALL {
        row(behaviour.title(), &Kernel::ALL.map(|kernel| if kernel.has(behaviour) { "yes" } else { "-" }.to_string()));
    }
    text.push_str(
        "\n## Each behaviour\n\n\
         What it means for a VMM that saves and restores; which of the examined releases have it; the commit in mainline.\n",
    );
    for behaviour in Behaviour::ALL {
        let commit = if behaviour.commit().is_empty() { "not known" } else { behaviour.commit() };
        let _ = write!(
            text,
            "\n### {behaviour:?}\n\n{}: {}.\n\n- Releases: {}.\n- Commit: {commit}.\n",
            capital(behaviour.title()),
            behaviour.matters(),
            releases(behaviour)
        );
    }
    text.push_str(
        "\n## Seen on real kernels\n\n\
         Every scenario of `tests/kvm`, run on Debian's arm64 kernels in QEMU's emulation. What the kernel was observed to do is\n\
         compared with what the model does, line by line. The last column is what the host does at `SAVE_TABLES` after the guest has\n\
         unmapped a collection that has events. `tests/kvm/env/matrix` runs the scenarios and writes `tests/kvm/env/seen`, from which\n\
         this table is made.\n\n\
         | Linux | pages | scenarios passed | failed | host after a guest's unmapped collection |\n|---|---|---|---|---|\n",
    );
    for seen in seen() {
        let (crash, Seen { kernel, pages, passed, failed, .. }) = (if seen.crash { "crashes" } else { "goes on" }, &seen);
        let release = if seen.name.contains("-rc") { seen.name.as_str() } else { &kernel.to_string() };
        let _ = writeln!(text, "| {release} | {pages} | {passed} | {failed} | {crash} |");
    }
    text
}

fn capital(text: &str) -> String {
    // A name of a register stays as it is.
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[test]
fn docs_kernels_md_is_what_the_table_says() {
    let path = root().join("docs/kernels.md");
    let text = document();
    if std::env::var_os("VGIC_STATE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(found == text, "docs/kernels.md is out of date: VGIC_STATE_WRITE_DOCS=1 cargo test --test model_gicv3 documented");
}

#[test]
fn what_was_seen_is_what_the_table_says() {
    let seen = seen();
    for seen in &seen {
        assert_eq!(seen.failed, 0, "{}", seen.name);
        assert_eq!(seen.crash, !seen.kernel.has(Behaviour::SavesEventsWithoutCollection), "{}", seen.name);
    }
    // Every line, and every set of behaviours but that of a 6.1 that nobody packages any more.
    for kernel in Kernel::known() {
        assert!(seen.iter().any(|seen| seen.kernel.line() == kernel.line()), "{kernel}");
    }
    for kernel in &Kernel::ALL[1..] {
        let alike = |seen: &Seen| Behaviour::ALL.iter().all(|behaviour| seen.kernel.has(*behaviour) == kernel.has(*behaviour));
        assert!(seen.iter().any(alike), "{kernel}");
    }
    assert!(seen.iter().any(|seen| seen.pages == "16 KiB"));
    // And each has its like among those that tests go through.
    for seen in &seen {
        let alike = |kernel: &Kernel| Behaviour::ALL.iter().all(|behaviour| seen.kernel.has(*behaviour) == kernel.has(*behaviour));
        assert_eq!(Kernel::ALL.iter().filter(|kernel| alike(kernel)).count(), 1, "{}", seen.name);
    }
}
