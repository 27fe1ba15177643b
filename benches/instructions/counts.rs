//! The counts that are recorded: a line each, with the compiler that they are of.
//!
//! Rule: a case that is recorded and not counted any more fails, as does one that is counted and not recorded.

use std::fmt::Write as _;
use std::process::Command;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/counts.tsv");
const HEADER: &str = "architecture\tcompiler\tcase\tinstructions\n";

/// Percent that a count may be off.
const TOLERANCE: f64 = 5.0;
/// The same with another compiler than the one that is recorded.
const OTHER_COMPILER: f64 = 30.0;

/// What makes instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    architecture: String,
    /// A release: `1.95.0`.
    release: String,
}

impl Compiler {
    /// The one that has built this, if nothing has changed since.
    pub(crate) fn this() -> Self {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).arg("-vV").output().expect("rustc");
        let text = String::from_utf8(output.stdout).expect("text");
        let release = text.lines().find_map(|line| line.strip_prefix("release: ")).expect("a release");
        Compiler { architecture: std::env::consts::ARCH.into(), release: release.into() }
    }

    /// To tell a newer one from an older one.
    fn order(&self) -> Vec<u32> {
        self.release.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
    }
}

/// What is recorded.
pub(crate) struct Recorded(Vec<(Compiler, String, u64)>);

impl Recorded {
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(PATH).expect("counts.tsv");
        let line = |line: &str| {
            let mut fields = line.split('\t');
            let mut field = || fields.next().expect("four fields").to_string();
            let compiler = Compiler { architecture: field(), release: field() };
            (compiler, field(), field().parse().expect("a number"))
        };
        Recorded(text.strip_prefix(HEADER).expect("a header").lines().map(line).collect())
    }

    /// With the counts of a compiler in place of those that it had.
    pub(crate) fn with(mut self, compiler: &Compiler, found: Vec<(String, u64)>) -> Self {
        self.0.retain(|(other, _, _)| other != compiler);
        self.0.extend(found.into_iter().map(|(case, count)| (compiler.clone(), case, count)));
        self
    }

    pub(crate) fn write(&self) {
        let mut text = HEADER.to_string();
        for (Compiler { architecture, release }, case, count) in &self.0 {
            writeln!(text, "{architecture}\t{release}\t{case}\t{count}").expect("a String takes everything");
        }
        std::fs::write(PATH, text).expect("counts.tsv");
    }

    /// Prints what was found beside what is recorded; whether it may stay so.
    pub(crate) fn compare(&self, compiler: &Compiler, found: &[(String, u64)]) -> bool {
        let same = self.0.iter().map(|(other, _, _)| other).filter(|other| other.architecture == compiler.architecture);
        let Some(newest) = same.clone().find(|other| *other == compiler).or_else(|| same.max_by_key(|other| other.order())) else {
            println!("skipped: no counts are recorded for {}", compiler.architecture);
            return true;
        };
        let tolerance = if newest == compiler { TOLERANCE } else { OTHER_COMPILER };
        if newest != compiler {
            println!(
                "rustc {} is not recorded: compared with {}, and up to {tolerance} % may be the compiler's. \
                 VGIC_STATE_RECORD=1 records this one",
                compiler.release, newest.release
            );
        }
        let recorded = || self.0.iter().filter(|(other, _, _)| other == newest);
        let mut good = true;
        println!("{:>14} {:>14} {:>9}  case", "recorded", "found", "change");
        for (case, count) in found {
            let Some((_, _, before)) = recorded().find(|(_, name, _)| name == case) else {
                println!("{:>14} {count:>14} {:>9}  {case}: NOT RECORDED", "", "");
                good = false;
                continue;
            };
            let change = 100.0 * (*count as f64 / *before as f64 - 1.0);
            let verdict = if change.abs() <= tolerance { "" } else { ": CHANGED" };
            println!("{before:>14} {count:>14} {change:>+8.1}%  {case}{verdict}");
            good &= change.abs() <= tolerance;
        }
        for (_, case, before) in recorded().filter(|(_, case, _)| !found.iter().any(|(name, _)| name == case)) {
            println!("{before:>14} {:>14} {:>9}  {case}: NOT COUNTED", "", "");
            good = false;
        }
        if !good {
            println!("If that is meant: VGIC_STATE_RECORD=1 cargo bench --bench instructions, and say why in the commit.");
        }
        good
    }
}
