//! The `vgic-state` tool, run as a user runs it.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "../common/snapshot.rs"]
mod snapshot;

mod check;
mod commands;
mod diff;
mod documented;
mod dumps;
mod errors;
mod gicv2;
mod guests;
mod ist;
mod ist_memory;
mod its;
mod kernel;
mod manual;
mod plot;
mod show;

use snapshot::snapshot;
use std::process::{Command, Output};

/// Runs the tool where the images of guests are.
fn of_guests(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vgic-state")).args(args).current_dir(guests::directory()).output().expect("the tool starts")
}

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

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}
