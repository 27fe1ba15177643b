//! GICv3 and ITS through the public interface, on the model.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../common/save.rs"]
mod save;

#[path = "../common/gicv3.rs"]
mod common;
#[path = "../common/seeds.rs"]
mod seeds;
#[path = "../common/snapshot.rs"]
mod snapshot;

mod attributes;
mod el2;
mod errors;
mod guest;
mod image;
mod lists;
mod lpis;
mod order;
mod refusal;
mod round_trip;
