//! Every single bit of images and of tables in guest memory, changed: refused, or restored as what the changed bytes say.
//!
//! Rule: what KVM does not keep is listed by field, with the reason ([`kept`]); nothing else may get lost.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../common/save.rs"]
mod save;

#[path = "../common/gicv2.rs"]
mod gicv2_rig;
mod kept;
mod reading;
mod rig;
mod sections;
mod tables;
