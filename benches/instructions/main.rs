//! How many instructions operations take: a regression that time on a busy machine hides.
//!
//! ```sh
//! cargo bench --bench instructions                                        # counts, compared with those in counts.tsv
//! VGIC_STATE_RECORD=1 cargo bench --bench instructions                    # those of this compiler are written there
//! ```
//!
//! Source: valgrind's callgrind, which executes each case once behind a first time that is not counted, in a process of its own.
//!
//! Rule: a count that is more than 5 % off what is recorded fails, in either direction, so that a gain is recorded, too. Counts are of a
//! compiler. With one that nobody has recorded, they are compared with those of the newest that somebody has, with room for what a
//! compiler may do; the message says so.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a benchmark may panic")]

mod cases;
mod counts;
#[path = "../../tests/common/gicv2.rs"]
mod rig2;
#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../../tests/common/save.rs"]
mod save;
#[allow(dead_code, reason = "of what the benches share, a part")]
#[path = "../compare/states.rs"]
mod states;

use counts::{Compiler, Recorded};
use std::process::{Command, ExitCode};

/// What is counted: everything from the call of this function to its end.
#[inline(never)]
fn counted(act: &mut dyn FnMut()) {
    std::hint::black_box(act)();
}

/// One case, in the process that valgrind runs.
fn run(case: &str) {
    let (_, make) = cases::ALL_CASES.iter().find(|(name, _)| *name == case).expect("no such case");
    // What happens once in a process: features of the CPU are looked up, memory is fetched from the system.
    make()();
    counted(&mut *make());
}

/// Instructions of a case.
fn count(case: &str) -> u64 {
    let out = std::env::temp_dir().join(format!("vgic-state-callgrind-{}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*instructions*counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("this program"))
        .args(["--case", case])
        // A copy takes as many instructions on each machine that the C library finds no more than the baseline on.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-ERMS,-FSRM")
        .status()
        .expect("valgrind");
    assert!(status.success(), "{case}: {status}");
    let text = std::fs::read_to_string(&out).expect("what callgrind has written");
    std::fs::remove_file(&out).expect("what callgrind has written");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    let total = total.and_then(|total| total.trim().parse().ok()).expect("a sum of instructions");
    assert!(total > 0, "{case}: the function that is counted was not found");
    total
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--case") {
        run(&arguments[at + 1]);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: no valgrind here");
        return ExitCode::SUCCESS;
    }
    let compiler = Compiler::this();
    let found: Vec<(String, u64)> = cases::ALL_CASES.iter().map(|(case, _)| ((*case).to_string(), count(case))).collect();
    let recorded = Recorded::read();
    if std::env::var_os("VGIC_STATE_RECORD").is_some() {
        recorded.with(&compiler, found).write();
        return ExitCode::SUCCESS;
    }
    if recorded.compare(&compiler, &found) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
