//! The model of KVM's VGICv2: what user space and a guest see of it.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/gicv2.rs"]
mod common;

mod guest;
mod lifecycle;
mod registers;
