//! What the fuzz targets do, one module for each, and what they share.
//!
//! Rule: a target asserts what the documents promise; an input that is no input is passed over.

#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/common/allocator.rs"]
mod allocator;
pub mod audit;
pub mod bound;
pub mod codes;
pub mod commands;
#[path = "../../tests/common/codes.rs"]
mod fit;
pub mod forward;
pub mod gicv2;
pub mod gicv3;
pub mod gicv5;
pub mod image;
pub mod lpis;
pub mod rig;
pub mod seeds;
pub mod tables;
pub mod tool;

// The readers of the tool and what it judges, which know each other, and what an error is, from the root of their crate.
#[path = "../../src/bin/vgic-state/failure.rs"]
mod failure;
#[allow(dead_code, reason = "the tool needs all of it")]
#[path = "../../src/bin/vgic-state/input.rs"]
mod input;
#[allow(dead_code, reason = "the tool needs all of it")]
#[path = "../../src/bin/vgic-state/judged.rs"]
mod judged;
#[path = "../../src/bin/vgic-state/known.rs"]
mod known;
#[allow(dead_code, reason = "the tool needs all of it")]
#[path = "../../src/bin/vgic-state/number.rs"]
mod number;
#[allow(dead_code, reason = "the tool needs all of it")]
#[path = "../../src/bin/vgic-state/ram.rs"]
mod ram;
