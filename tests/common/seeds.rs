//! How property tests draw their cases: from a fixed seed, so that a test says the same twice.
//!
//! A long run draws others: `VGIC_STATE_SEED=fresh VGIC_STATE_CASES=100000 cargo test --test judge`. A failure shows the seed that repeats
//! it: `VGIC_STATE_SEED=<number>`, with the same `VGIC_STATE_CASES`.
#![allow(clippy::expect_used, reason = "a test may panic")]

use proptest::test_runner::{Config, RngSeed};
use std::hash::{BuildHasher, RandomState};

/// This many cases, unless `VGIC_STATE_CASES` says otherwise, from the seed that `VGIC_STATE_SEED` says.
pub(crate) fn cases(cases: u32) -> Config {
    let variable = |name: &str| std::env::var(name).ok();
    let seed = match variable("VGIC_STATE_SEED").as_deref() {
        None => 5,
        Some("fresh") => RandomState::new().hash_one(std::process::id()),
        Some(number) => number.parse().expect("VGIC_STATE_SEED is a number, or \"fresh\""),
    };
    let cases = variable("VGIC_STATE_CASES").map_or(cases, |number| number.parse().expect("VGIC_STATE_CASES is a number"));
    // Shown by a test that fails.
    println!("VGIC_STATE_SEED={seed} VGIC_STATE_CASES={cases}");
    Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() }
}
