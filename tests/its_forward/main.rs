//! Commands from an untrusted queue: what is passed on, what is refused with which word, and who owns which memory when.
//!
//! Source: Arm IHI 0069, "ITS commands" and their errors.
//!
//! Rule: every reason to refuse has a command that is refused for it alone, next to one that is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;
mod linux;
mod memory;
mod policy;
mod queues;
mod random;
#[path = "../common/seeds.rs"]
mod seeds;
mod tables;
mod vpes;
