//! The smallest embedding: a VM that is held in an `Arc`, and saved and restored by `&self`.
//!
//! Its kvm-ioctls and its vm-memory are older than those of vgic-state. Between the two are what std has, a descriptor, and a trait of
//! vgic-state that the VMM implements for its memory: nothing else needs to be of the same version.
//!
//! Rule: no lock but the kernel's. A backend is attached for one operation, and gone after it.

mod memory;

pub use memory::Memory;

use kvm_ioctls::{DeviceFd, VmFd};
use std::os::fd::{AsRawFd, BorrowedFd};
use vgic_state::gicv3::Gicv3;
use vgic_state::kvm::{KvmDevice, Offered, probe};
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, Errno, Error, Vcpus};

/// Where the controller is, in guest physical addresses.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Of the distributor, 64 KiB.
    pub dist: u64,
    /// Of the redistributors, 128 KiB for each vCPU.
    pub redist: u64,
    /// Of the ITS, 128 KiB.
    pub its: u64,
    /// Interrupts, the 32 private ones included.
    pub nr_irqs: u32,
}

/// A VM whose vCPUs are elsewhere.
pub struct Vm {
    gic: KvmDevice,
    its: KvmDevice,
    memory: Memory,
    vcpus: Vcpus,
    /// Dropped last.
    _vm: VmFd,
}

/// The descriptor of a VM of this VMM's kvm-ioctls.
pub fn descriptor(vm: &VmFd) -> BorrowedFd<'_> {
    // SAFETY: `vm` owns the descriptor, and closes it only when it is dropped.
    unsafe { BorrowedFd::borrow_raw(vm.as_raw_fd()) }
}

/// A device that the VMM has created itself, for as long as it is lent.
///
/// # Safety
///
/// `fd` is a GIC or an ITS.
pub unsafe fn device(fd: &DeviceFd) -> KvmDevice<BorrowedFd<'_>> {
    // SAFETY: `fd` owns the descriptor, and closes it only when it is dropped; what it is, the caller promises.
    unsafe { KvmDevice::from_fd(BorrowedFd::borrow_raw(fd.as_raw_fd())) }
}

/// What this host offers.
///
/// # Errors
///
/// As [`probe`].
pub fn offered(vm: &VmFd) -> Result<Offered, Errno> {
    probe(descriptor(vm))
}

impl Vm {
    /// Gives a VM its interrupt controller. All vCPUs exist, and KVM has the memory.
    ///
    /// # Errors
    ///
    /// A device was not created, or the kernel refused an attribute of it.
    pub fn new(vm: VmFd, memory: Memory, vcpus: Vcpus, layout: &Layout) -> Result<Self, Box<dyn std::error::Error>> {
        let mut gic = KvmDevice::create_gicv3(descriptor(&vm))?;
        gic.set(Attr::dist_address(), layout.dist)?;
        gic.set(Attr::redist_address(), layout.redist)?;
        gic.set(Attr::nr_irqs(), layout.nr_irqs)?;
        gic.command(Command::Init)?;
        let mut its = KvmDevice::create_its(descriptor(&vm))?;
        its.set(Attr::its_address(), layout.its)?;
        its.command(Command::Init)?;
        Ok(Vm { gic, its, memory, vcpus, _vm: vm })
    }

    /// The GICv3's own device: a reference to it is a device, too.
    pub fn gic(&self) -> &KvmDevice {
        &self.gic
    }

    /// The image of a VM whose vCPUs are stopped.
    ///
    /// # Errors
    ///
    /// What the crate says: the guest may go on.
    pub fn save(&self) -> Result<Vec<u8>, Error> {
        save(&mut Gicv3::attach(&self.gic, vec![&self.its], &self.memory, self.vcpus.clone())?)
    }

    /// Restores a VM that is new, with its memory in place.
    ///
    /// # Errors
    ///
    /// What the crate says: whether the VM is as it was.
    pub fn restore(&self, image: &[u8]) -> Result<(), Error> {
        restore(&mut Gicv3::attach(&self.gic, vec![&self.its], &self.memory, self.vcpus.clone())?, image)
    }
}

/// The image of a controller, whichever it is.
///
/// # Errors
///
/// What the crate says.
pub fn save(gic: &mut dyn DynInterruptState) -> Result<Vec<u8>, Error> {
    // `written` is for a VMM without a dirty log of KVM's.
    let flushed = gic.flush_tables()?;
    let mut image = vec![0; gic.image_max(&flushed)?];
    let length = gic.save_image(flushed, &mut image)?;
    image.truncate(length);
    Ok(image)
}

/// An image into a controller, whichever it is. What was found in it goes to the log.
///
/// # Errors
///
/// What the crate says.
pub fn restore(gic: &mut dyn DynInterruptState, image: &[u8]) -> Result<(), Error> {
    let report = gic.restore_image(image)?;
    eprint!("{report}");
    Ok(())
}
