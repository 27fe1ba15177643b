//! How much of a save and of a restore is spent inside of the kernel, on a real one.
//!
//! ```sh
//! cargo bench --target aarch64-unknown-linux-musl --bench kernel           # VGIC_STATE_BENCH=lpis, vcpus or vcpus-its: a part
//! ```
//!
//! Rule: shares, not times: the machine may be an emulated one. Each operation is done in turns with the others, and the least of each
//! part counts, which suffers least from a busy machine.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a benchmark may panic")]

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[path = "timed.rs"]
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
#[path = "../../tests/kvm/layout.rs"]
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
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod vcpus;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod vm;

fn main() {
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    if kvm_ioctls::Kvm::new().is_ok() {
        // A part of it by its name.
        let parts: [(&str, fn()); 3] = [("lpis", measure::all), ("vcpus", vcpus::without_its), ("vcpus-its", vcpus::with_its)];
        let asked = std::env::var("VGIC_STATE_BENCH").ok();
        parts.iter().filter(|(name, _)| asked.as_deref().is_none_or(|asked| asked == *name)).for_each(|(_, run)| run());
        return;
    }
    println!("skipped: no arm64 KVM here");
}
