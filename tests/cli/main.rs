//! The `vgic-state` tool, run as a user runs it.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "../common/snapshot.rs"]
mod snapshot;

mod ist;

use snapshot::snapshot;
use std::process::{Command, Output};

/// Runs the tool from the root of the package.
fn vgic_state(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vgic-state"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the tool starts")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}
