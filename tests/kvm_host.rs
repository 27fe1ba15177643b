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
        Err(error) => assert_eq!((offered.gicv5, error.errno), (false, Errno::ENODEV)),
    }
    if !cfg!(target_arch = "aarch64") {
        assert_eq!(offered, Default::default(), "only an Arm host has interrupt controllers of Arm");
    }
}

/// Whatever a VMM has of a VM, the answers are the same.
#[test]
fn a_vm_by_any_descriptor() {
    use std::fs::File;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
    use std::rc::Rc;
    use std::sync::Arc;

    let Some(vm) = vm() else { return };
    let offered = probe(&vm);
    #[expect(unsafe_code, reason = "as a VMM does whose types are of another version")]
    // SAFETY: `vm` is dropped after it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(vm.as_raw_fd()) };
    let owned = borrowed.try_clone_to_owned().expect("descriptor");
    assert_eq!(probe(borrowed), offered);
    assert_eq!(probe(&owned), offered);
    assert_eq!(probe(owned.as_fd()), offered);
    assert_eq!(probe(Rc::new(owned.as_fd())), offered);
    assert_eq!(probe(Box::new(File::from(owned.try_clone().expect("descriptor")))), offered);
    assert_eq!(KvmDevice::create_gicv5(owned).is_ok(), probe(borrowed).expect("probe").gicv5);
    let vm = Arc::new(vm);
    assert_eq!(probe(&vm), offered);
    assert_eq!(probe(vm), offered);
}

/// What is asked, and what the answer can mean.
#[test]
fn a_creation_that_fails_says_of_what() {
    let null = std::fs::File::open("/dev/null").expect("/dev/null");
    assert_eq!(probe(&null), Err(Errno::ENOTTY));
    let messages = [KvmDevice::create_gicv3(&null), KvmDevice::create_its(&null), KvmDevice::create_gicv5(&null)]
        .map(|created| created.map(drop).map_err(|error| error.to_string()));
    let of = |device| Err(format!("create {device}: ENOTTY (not a VM of KVM)"));
    assert_eq!(messages, [of("GICv3"), of("ITS"), of("GICv5")]);

    let Some(vm) = vm() else { return };
    if probe(&vm).expect("probe").gicv5 {
        return eprintln!("skipped: this host has a GICv5");
    }
    let error = KvmDevice::create_gicv5(&vm).map(drop).expect_err("no GICv5");
    assert!(error.to_string().starts_with("create GICv5: ENODEV (this host offers no virtual GICv5"), "{error}");
    assert_eq!(std::io::Error::from(error.errno).raw_os_error(), Some(19));
}

/// Every access to what is no device, by a device that is owned, lent or shared.
fn assert_enotty(mut device: impl vgic_state::IstDevice) {
    use vgic_state::{Attr, AttrId, Command};

    assert_eq!(device.get(Attr::irs(0x80)), Err(Errno::ENOTTY));
    assert_eq!(device.get(Attr::nr_irqs()), Err(Errno::ENOTTY));
    assert_eq!(device.get(Attr::userspace_ppis()), Err(Errno::ENOTTY));
    assert_eq!(device.set(Attr::irs(0x80), 1), Err(Errno::ENOTTY));
    assert_eq!(device.has(AttrId::IST), Err(Errno::ENOTTY));
    assert_eq!(device.command(Command::Init), Err(Errno::ENOTTY));
    assert_eq!(device.save_ist(&mut [0; 128], Some(&mut [0; 8])), Err(Errno::ENOTTY));
    assert_eq!(device.save_ist(&mut [0; 128], None), Err(Errno::ENOTTY));
    assert_eq!(device.restore_ist(&[0; 128], Some(&[0; 8])), Err(Errno::ENOTTY));
}

#[test]
#[expect(unsafe_code, reason = "descriptors are taken over or borrowed")]
fn a_descriptor_that_is_no_device_answers_enotty_to_everything() {
    use kvm_ioctls::DeviceFd;
    use std::fs::File;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
    use std::sync::Arc;

    let null = || File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    // SAFETY: the descriptor is owned and given up.
    let fd = unsafe { DeviceFd::from_raw_fd(null().into_raw_fd()) };
    // SAFETY: of all that is made in this test: /dev/null is no virtual GIC, but has no ioctl that reads or writes through an address
    // either, which is what the promise is about.
    let mut device = unsafe { KvmDevice::from_fd(fd) };
    assert_enotty(&device);
    assert_enotty(&mut device);
    assert_enotty(device.borrowed());
    assert!(format!("{device:?}").contains("DeviceFd"));
    assert_eq!(device.as_fd().as_raw_fd(), device.fd().as_raw_fd());
    let fd = device.into_fd();
    // SAFETY: as above.
    assert_enotty(unsafe { KvmDevice::from_fd(&fd) });
    let fd = OwnedFd::from(null());
    // SAFETY: as above.
    assert_enotty(unsafe { KvmDevice::from_fd(fd.as_fd()) });
    // SAFETY: as above.
    let shared = Arc::new(unsafe { KvmDevice::from_fd(fd) });
    assert_enotty(Arc::clone(&shared));
    assert_enotty(&*shared);
    assert_enotty(Box::new(shared));
}
