//! GICv5 through the public interface, on the model.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../common/save.rs"]
mod save;

#[path = "../common/gicv5.rs"]
mod common;
#[path = "../common/seeds.rs"]
mod seeds;
#[path = "../common/snapshot.rs"]
mod snapshot;

mod errors;
mod findings;
mod fresh;
mod golden;
mod image;
mod level;
mod lists;
mod messages;
mod order;
mod ppis;
mod refusal;
mod round_trip;
#[cfg(feature = "serde")]
mod serde;
