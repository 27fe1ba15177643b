//! GICv2 through the public interface, on the model.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/gicv2.rs"]
mod common;
#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../common/save.rs"]
mod save;
#[path = "../common/snapshot.rs"]
mod snapshot;

mod attributes;
mod errors;
mod image;
mod lists;
mod order;
mod refusal;
mod round_trip;
