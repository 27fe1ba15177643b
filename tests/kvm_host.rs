//! This machine's own KVM, whatever it offers.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
#![cfg(all(feature = "kvm", target_os = "linux"))]

use vgic_state::Errno;
use vgic_state::kvm::{KvmDevice, probe};

/// A VM of this machine; without KVM the test says that it was skipped.
fn vm() -> Option<kvm_ioctls::VmFd> {
    match kvm_ioctls::Kvm::new().and_then(|kvm| kvm.create_vm()) {
        Ok(vm) => Some(vm),
        Err(error) => {
            eprintln!("skipped: no VM from /dev/kvm: {error}");
            None
        }
    }
}

#[test]
fn probing_offers_what_can_be_created_and_leaves_standard_input_open() {
    let Some(vm) = vm() else { return };
    let before = std::fs::read_link("/proc/self/fd/0").expect("standard input is open");
    let offered = probe(&vm).expect("probe");
    for _ in 0..3 {
        assert_eq!(probe(&vm), Ok(offered));
    }
    assert_eq!(std::fs::read_link("/proc/self/fd/0").expect("standard input is still open"), before);

    match KvmDevice::create_gicv5(&vm) {
        Ok(_) => assert!(offered.gicv5),
        Err(errno) => assert_eq!((offered.gicv5, errno), (false, Errno::ENODEV)),
    }
    if !cfg!(target_arch = "aarch64") {
        assert_eq!(offered, Default::default(), "only an Arm host has interrupt controllers of Arm");
    }
}
