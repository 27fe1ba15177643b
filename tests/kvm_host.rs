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
    // Bites on a host with a GIC, where a test of a type succeeds; a unit test of `kvm` asks for a type that every host has.
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

#[test]
fn a_descriptor_that_is_no_device_answers_enotty_to_everything() {
    use kvm_ioctls::DeviceFd;
    use std::fs::File;
    use std::os::fd::{FromRawFd, IntoRawFd};
    use vgic_state::{Attr, AttrDevice, AttrId, Command, IstDevice};

    let file = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    #[expect(unsafe_code, reason = "a descriptor is taken over")]
    // SAFETY: the descriptor is owned and given up. /dev/null is no virtual GIC, but has no ioctl that reads or writes through an
    // address either, which is what the promise is about.
    let mut device = unsafe { KvmDevice::from_device_fd(DeviceFd::from_raw_fd(file.into_raw_fd())) };

    assert_eq!(device.get(Attr::irs(0x80)), Err(Errno::ENOTTY));
    assert_eq!(device.get(Attr::nr_irqs()), Err(Errno::ENOTTY));
    assert_eq!(device.get(Attr::userspace_ppis()), Err(Errno::ENOTTY));
    assert_eq!(device.set(Attr::irs(0x80), 1), Err(Errno::ENOTTY));
    assert_eq!(device.has(AttrId::IST), Err(Errno::ENOTTY));
    assert_eq!(device.command(Command::Init), Err(Errno::ENOTTY));
    assert_eq!(device.save_ist(&mut [0; 128], Some(&mut [0; 8])), Err(Errno::ENOTTY));
    assert_eq!(device.save_ist(&mut [0; 128], None), Err(Errno::ENOTTY));
    assert_eq!(device.restore_ist(&[0; 128], Some(&[0; 8])), Err(Errno::ENOTTY));
    assert!(format!("{:?}", device.device_fd()).contains("DeviceFd"));
    drop(device.into_device_fd());
}
