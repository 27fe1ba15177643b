//! What tables in the image cost, on a real kernel: the times of saves and restores, step by step, beside those of plain ones.
//!
//! `cargo bench --target aarch64-unknown-linux-musl --bench shadow`, and behind `--` the parts that are wanted: `saves`, `restores`,
//! `guest-memory`, `stage-2`. `docs/its-in-image.md` has figures.
//!
//! Rule: what is compared is measured in turns, and the median is shown; of a whole save also the least, which suffers less from a
//! busy machine. Nothing is asserted about time.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "not a part of the library")]

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[path = "marks.rs"]
mod faults;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod measure;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../../tests/common/save.rs"]
mod save;

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/fault.rs"]
mod fault;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/kernel.rs"]
mod kernel;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[allow(dead_code, reason = "the tests need all of it")]
mod layout;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/memory.rs"]
mod memory;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/program.rs"]
mod program;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/rig.rs"]
mod rig;

fn main() {
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    if kvm_ioctls::Kvm::new().is_ok() {
        return measure::all();
    }
    println!("skipped: no arm64 KVM here");
}
