//! KVM's devices behind their file descriptors, and what a host offers.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_CREATE_DEVICE`, `KVM_GET_DEVICE_ATTR`, `KVM_SET_DEVICE_ATTR`;
//! Documentation/virt/kvm/devices/arm-vgic-v5.rst.
//!
//! Rule: all unsafe code for attributes is here. A pointer that the kernel gets comes from a buffer that this module owns or from a
//! slice that the caller lent, with the length of that slice.
//!
//! ```no_run
//! use kvm_ioctls::Kvm;
//! use vgic_state::gicv5::Gicv5;
//! use vgic_state::kvm::{KvmDevice, probe};
//! use vgic_state::{DynInterruptState, SpiCount, Vcpus};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let vm = Kvm::new()?.create_vm()?;
//!     if !probe(&vm)?.gicv5 {
//!         return Err("this host offers no GICv5".into());
//!     }
//!     // All vCPUs, with ids and affinities as the guest sees them; then their controller.
//!     let vcpus = Vcpus::with_default_mpidrs(2)?;
//!     let fds = vcpus.iter().map(|vcpu| vm.create_vcpu(vcpu.id.get().into())).collect::<Result<Vec<_>, _>>()?;
//!     let mut gic = Gicv5::initialise(KvmDevice::create_gicv5(&vm)?, 0x0800_0000, SpiCount::new(64)?, vcpus)?;
//!
//!     // The guest runs on `fds`, and is stopped.
//!     let mut image = vec![0; gic.requirements()?.image_max];
//!     let length = gic.save_image(&mut image)?;
//!     image.truncate(length);
//!     drop(fds);
//!     Ok(())
//! }
//! ```

#![expect(unsafe_code, reason = "the kernel reads and writes through addresses inside of ioctl arguments")]

use crate::Errno;
use crate::attr::{Attr, AttrDevice, AttrId, Command, IstDevice, Word};
use crate::gicv3::Gicv3State;
use crate::image::{self, ImageError, Kind};
use crate::uapi::device::{KVM_CREATE_DEVICE, KVM_CREATE_DEVICE_TEST, KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V2};
use crate::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_V3, KVM_DEV_TYPE_ARM_VGIC_V5, kvm_create_device};
use crate::uapi::vgic_v5::kvm_vgic_v5_ist;
use kvm_bindings::kvm_device_attr;
use kvm_ioctls::{DeviceFd, VmFd};
use std::os::fd::AsRawFd;

#[cfg(feature = "guest-memory")]
mod memslots;

#[cfg(feature = "guest-memory")]
pub use memslots::{VmHandle, VmMemslot, VmMemslots};

/// Interrupt controllers that a host can give a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Virtual GICv2.
    pub gicv2: bool,
    /// Virtual GICv3.
    pub gicv3: bool,
    /// ITS of a virtual GICv3.
    pub its: bool,
    /// Virtual GICv5.
    pub gicv5: bool,
}

impl Offered {
    /// Whether an image can be restored on this host, as far as the kind of controller goes; whether it fits a VM says
    /// [`check_image`](crate::DynInterruptState::check_image).
    ///
    /// ```
    /// # fn f(image: &[u8]) -> Result<(), vgic_state::image::ImageError> {
    /// use vgic_state::kvm::Offered;
    ///
    /// // An Arm server of today.
    /// let host = Offered { gicv3: true, its: true, ..Offered::default() };
    /// if !host.can_restore(image)? {
    ///     eprintln!("the guest has a {}, this host does not offer one", vgic_state::image::kind(image)?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImageError`]: the bytes are not an image that can be read.
    pub fn can_restore(&self, image: &[u8]) -> Result<bool, ImageError> {
        Ok(match image::kind(image)? {
            Kind::Gicv5 => self.gicv5,
            Kind::Gicv3 => self.gicv3 && (self.its || Gicv3State::parse(image)?.its.is_empty()),
        })
    }
}

/// Asks which interrupt controllers the host can give this VM. No device is created.
///
/// A host that is not an Arm host offers none.
///
/// # Errors
///
/// `EBADF`, `ENOTTY` and the like: `vm` is not a VM of KVM. That a device is not offered is no error.
pub fn probe(vm: &VmFd) -> Result<Offered, Errno> {
    Ok(Offered {
        gicv2: offers(vm, KVM_DEV_TYPE_ARM_VGIC_V2)?,
        gicv3: offers(vm, KVM_DEV_TYPE_ARM_VGIC_V3)?,
        its: offers(vm, KVM_DEV_TYPE_ARM_VGIC_ITS)?,
        gicv5: offers(vm, KVM_DEV_TYPE_ARM_VGIC_V5)?,
    })
}

/// `KVM_CREATE_DEVICE` in test mode, as a plain ioctl: `VmFd::create_device` would wrap the `fd` field, which the kernel leaves at 0
/// in this mode, into an owned descriptor and close standard input with it.
fn offers(vm: &VmFd, type_: u32) -> Result<bool, Errno> {
    let mut device = kvm_create_device { type_, fd: 0, flags: KVM_CREATE_DEVICE_TEST };
    // SAFETY: the kernel reads and writes one `struct kvm_create_device`, whose layout is asserted in `uapi`, during the call.
    let result = unsafe { libc::ioctl(vm.as_raw_fd(), KVM_CREATE_DEVICE as _, &raw mut device) };
    if result == 0 {
        return Ok(true);
    }
    match last_errno() {
        Errno::ENODEV => Ok(false),
        errno => Err(errno),
    }
}

fn last_errno() -> Errno {
    Errno::from_raw(std::io::Error::last_os_error().raw_os_error().unwrap_or_default())
}

/// A virtual GIC of KVM.
#[derive(Debug)]
pub struct KvmDevice {
    fd: DeviceFd,
}

impl KvmDevice {
    /// Creates the GICv5 of a VM.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: the host has no GICv5, its kernel is older than Linux 7.4, or it runs protected VMs.
    /// - `EEXIST`: the VM has an interrupt controller.
    /// - `EBUSY`: a vCPU is being created or has run.
    /// - `E2BIG`: a `vcpu_id` is beyond what the host supports.
    pub fn create_gicv5(vm: &VmFd) -> Result<Self, Errno> {
        Self::create(vm, KVM_DEV_TYPE_ARM_VGIC_V5)
    }

    /// Creates the GICv3 of a VM.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: the host cannot give its VMs a GICv3.
    /// - `EEXIST`: the VM has an interrupt controller.
    /// - `EBUSY`: a vCPU is being created or has run.
    /// - `E2BIG`: the VM has more vCPUs than a GICv3 of KVM.
    pub fn create_gicv3(vm: &VmFd) -> Result<Self, Errno> {
        Self::create(vm, KVM_DEV_TYPE_ARM_VGIC_V3)
    }

    /// Creates an ITS of a VM with a GICv3; a VM may have several.
    ///
    /// # Errors
    ///
    /// `ENODEV`: the VM has no GICv3, or the host has none. `ENOMEM`: the host has no memory left.
    pub fn create_its(vm: &VmFd) -> Result<Self, Errno> {
        Self::create(vm, KVM_DEV_TYPE_ARM_VGIC_ITS)
    }

    fn create(vm: &VmFd, type_: u32) -> Result<Self, Errno> {
        let mut device = kvm_bindings::kvm_create_device { type_, fd: 0, flags: 0 };
        match vm.create_device(&mut device) {
            Ok(fd) => Ok(KvmDevice { fd }),
            Err(error) => Err(Errno::from_raw(error.errno())),
        }
    }

    /// Takes over a descriptor that the VMM created itself.
    ///
    /// # Safety
    ///
    /// `fd` must be a virtual GIC device of KVM. The groups of other devices have the same numbers and values of other widths: the
    /// kernel would read or write beyond the value.
    #[must_use]
    pub unsafe fn from_device_fd(fd: DeviceFd) -> Self {
        KvmDevice { fd }
    }

    /// The descriptor, for attributes that this crate has no name for.
    #[must_use]
    pub fn device_fd(&self) -> &DeviceFd {
        &self.fd
    }

    /// Gives the descriptor back.
    #[must_use]
    pub fn into_device_fd(self) -> DeviceFd {
        self.fd
    }

    /// `KVM_GET_DEVICE_ATTR`.
    ///
    /// # Safety
    ///
    /// `addr` points to what the kernel writes for this attribute, or to what it reads and to the buffers named there.
    unsafe fn get_raw(&self, id: AttrId, addr: u64) -> Result<(), Errno> {
        let mut attr = kvm_device_attr { flags: 0, group: id.group(), attr: id.attr(), addr };
        // SAFETY: promised by the caller.
        unsafe { self.fd.get_device_attr(&mut attr) }.map_err(|error| Errno::from_raw(error.errno()))
    }

    /// `KVM_SET_DEVICE_ATTR`; `addr` is what the kernel reads.
    ///
    /// Safe with any address: through `addr` and what it names, the kernel only reads, so the worst that a wrong address does is
    /// `EFAULT` or a wrong value. [`Command::SavePendingTables`] and [`Command::ItsSaveTables`] do make the kernel write, but to guest
    /// memory, by way of the memory slots: whoever called the unsafe `VmFd::set_user_memory_region` has promised that memory to KVM
    /// for as long as the slot exists, and the guest may write there as well.
    fn set_raw(&self, id: AttrId, addr: u64) -> Result<(), Errno> {
        let attr = kvm_device_attr { flags: 0, group: id.group(), attr: id.attr(), addr };
        self.fd.set_device_attr(&attr).map_err(|error| Errno::from_raw(error.errno()))
    }
}

/// A buffer with the alignment and the size of the largest value.
#[repr(C, align(8))]
struct Value([u8; 16]);

impl AttrDevice for KvmDevice {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        let mut value = Value([0; 16]);
        // SAFETY: the kernel writes the value of a virtual GIC attribute: 4, 8 or 16 bytes by its group, which `Attr<W>` binds to
        // `W`; the buffer has 16, whatever `W` is, and lives across the call.
        unsafe { self.get_raw(attr.id(), (&raw mut value) as u64) }?;
        Ok(W::from_ne_bytes(value.0))
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
        let value = Value(value.to_ne_bytes());
        self.set_raw(attr.id(), (&raw const value) as u64)
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        let attr = kvm_device_attr { flags: 0, group: attr.group(), attr: attr.attr(), addr: 0 };
        self.fd.has_device_attr(&attr).map_err(|error| Errno::from_raw(error.errno()))
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.set_raw(command.id(), 0)
    }
}

impl IstDevice for KvmDevice {
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
        let (lpi_ist_addr, lpi_ist_size) = lpi.map_or((0, 0), |lpi| (lpi.as_mut_ptr() as u64, lpi.len() as u64));
        let ist =
            kvm_vgic_v5_ist { spi_ist_addr: spi.as_mut_ptr() as u64, spi_ist_size: spi.len() as u64, lpi_ist_addr, lpi_ist_size };
        // SAFETY: the kernel reads the struct and writes at most `*_ist_size` bytes at `*_ist_addr` (GRP_IST: any other size than the
        // table's is refused with EINVAL before a byte is written). Both are of slices that are mutably borrowed across the call, and
        // any byte is a valid `u8`.
        unsafe { self.get_raw(AttrId::IST, (&raw const ist) as u64) }
    }

    fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
        let (lpi_ist_addr, lpi_ist_size) = lpi.map_or((0, 0), |lpi| (lpi.as_ptr() as u64, lpi.len() as u64));
        let ist = kvm_vgic_v5_ist { spi_ist_addr: spi.as_ptr() as u64, spi_ist_size: spi.len() as u64, lpi_ist_addr, lpi_ist_size };
        self.set_raw(AttrId::IST, (&raw const ist) as u64)
    }
}

/// Where kvm-bindings has a constant, it is the same; the GICv5 ones are not there yet.
const _: () = {
    use crate::uapi::device as dev;
    use core::mem::offset_of;
    use kvm_bindings as kb;
    assert!(KVM_DEV_TYPE_ARM_VGIC_V2 == kb::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2);
    assert!(KVM_DEV_TYPE_ARM_VGIC_V3 == kb::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3);
    assert!(KVM_DEV_TYPE_ARM_VGIC_ITS == kb::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS);
    assert!(KVM_CREATE_DEVICE_TEST == kb::KVM_CREATE_DEVICE_TEST);
    assert!(crate::uapi::memory::KVM_MEM_LOG_DIRTY_PAGES == kb::KVM_MEM_LOG_DIRTY_PAGES);
    assert!(crate::uapi::memory::KVM_MEM_READONLY == kb::KVM_MEM_READONLY);
    assert!(size_of::<kvm_create_device>() == size_of::<kb::kvm_create_device>());
    assert!(offset_of!(kvm_create_device, type_) == offset_of!(kb::kvm_create_device, type_));
    assert!(offset_of!(kvm_create_device, fd) == offset_of!(kb::kvm_create_device, fd));
    assert!(offset_of!(kvm_create_device, flags) == offset_of!(kb::kvm_create_device, flags));
    assert!(size_of::<dev::kvm_device_attr>() == size_of::<kvm_device_attr>());
    assert!(offset_of!(dev::kvm_device_attr, flags) == offset_of!(kvm_device_attr, flags));
    assert!(offset_of!(dev::kvm_device_attr, group) == offset_of!(kvm_device_attr, group));
    assert!(offset_of!(dev::kvm_device_attr, attr) == offset_of!(kvm_device_attr, attr));
    assert!(offset_of!(dev::kvm_device_attr, addr) == offset_of!(kvm_device_attr, addr));
};

#[cfg(target_arch = "aarch64")]
const _: () = {
    use crate::uapi::{device as dev, vgic_v3 as v3};
    use kvm_bindings as kb;
    assert!(v3::KVM_VGIC_V3_ADDR_TYPE_DIST == kb::KVM_VGIC_V3_ADDR_TYPE_DIST as u64);
    assert!(v3::KVM_VGIC_V3_ADDR_TYPE_REDIST == kb::KVM_VGIC_V3_ADDR_TYPE_REDIST as u64);
    assert!(v3::KVM_VGIC_ITS_ADDR_TYPE == kb::KVM_VGIC_ITS_ADDR_TYPE as u64);
    assert!(v3::KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION == kb::KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION as u64);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_DIST_REGS == kb::KVM_DEV_ARM_VGIC_GRP_DIST_REGS);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS == kb::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO == kb::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_ITS_REGS == kb::KVM_DEV_ARM_VGIC_GRP_ITS_REGS);
    assert!(v3::KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ == kb::KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ);
    assert!(v3::KVM_DEV_ARM_ITS_SAVE_TABLES == kb::KVM_DEV_ARM_ITS_SAVE_TABLES);
    assert!(v3::KVM_DEV_ARM_ITS_RESTORE_TABLES == kb::KVM_DEV_ARM_ITS_RESTORE_TABLES);
    assert!(v3::KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES == kb::KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES);
    assert!(v3::KVM_DEV_ARM_ITS_CTRL_RESET == kb::KVM_DEV_ARM_ITS_CTRL_RESET);
    assert!(v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT == kb::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT);
    assert!(v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK == kb::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK);
    assert!(v3::KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK == kb::KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK);
    assert!(v3::VGIC_LEVEL_INFO_LINE_LEVEL == kb::VGIC_LEVEL_INFO_LINE_LEVEL);
    assert!(dev::KVM_DEV_ARM_VGIC_GRP_ADDR == kb::KVM_DEV_ARM_VGIC_GRP_ADDR);
    assert!(dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS == kb::KVM_DEV_ARM_VGIC_GRP_NR_IRQS);
    assert!(dev::KVM_DEV_ARM_VGIC_GRP_CTRL == kb::KVM_DEV_ARM_VGIC_GRP_CTRL);
    assert!(dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS == kb::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS);
    assert!(dev::KVM_DEV_ARM_VGIC_CTRL_INIT == kb::KVM_DEV_ARM_VGIC_CTRL_INIT);
    assert!(dev::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT == kb::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT);
    // bindgen made a signed number of it
    assert!(dev::KVM_DEV_ARM_VGIC_V3_MPIDR_MASK == kb::KVM_DEV_ARM_VGIC_V3_MPIDR_MASK as u64);
    assert!(dev::KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK == kb::KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK as u64);
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// What descriptor 0 is, if it is open.
    fn standard_input() -> Option<PathBuf> {
        std::fs::read_link("/proc/self/fd/0").ok()
    }

    /// `KVM_DEV_TYPE_VFIO` exists on every architecture, so that a host without a GIC answers a test with success, too.
    #[test]
    fn a_test_that_succeeds_leaves_standard_input_open() {
        const KVM_DEV_TYPE_VFIO: u32 = 4;
        let vm = match kvm_ioctls::Kvm::new().and_then(|kvm| kvm.create_vm()) {
            Ok(vm) => vm,
            Err(error) => return eprintln!("skipped: no VM from /dev/kvm: {error}"),
        };
        let Some(before) = standard_input() else { return eprintln!("skipped: standard input is closed") };
        match offers(&vm, KVM_DEV_TYPE_VFIO) {
            Ok(false) => return eprintln!("skipped: this KVM has no VFIO device"),
            answer => assert_eq!(answer, Ok(true)),
        }
        assert_eq!(standard_input(), Some(before.clone()));
        assert_eq!(offers(&vm, KVM_DEV_TYPE_VFIO), Ok(true));
        assert_eq!(standard_input(), Some(before));
    }
}
