//! What an audit finds, through the public interface, on tables that the model has flushed.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../common/save.rs"]
mod save;

#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../common/gicv3.rs"]
mod common;
#[path = "../common/seeds.rs"]
mod seeds;
#[path = "../common/snapshot.rs"]
mod snapshot;

mod believed;
mod bits;
mod cases;
mod clean;
mod codes;
mod ist;
mod mappings;
mod random;
mod rig;
mod walk;
mod work;
