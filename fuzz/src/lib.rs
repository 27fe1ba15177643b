//! What the fuzz targets do, one module for each, and what they share.
//!
//! Rule: a target asserts what the documents promise; an input that is no input is passed over.

#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/common/allocator.rs"]
mod allocator;
pub mod audit;
pub mod bound;
pub mod commands;
pub mod forward;
pub mod gicv3;
pub mod gicv5;
pub mod image;
pub mod lpis;
pub mod rig;
pub mod seeds;
pub mod tables;
