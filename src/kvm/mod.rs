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
//!     let gic = Gicv5::initialise(KvmDevice::create_gicv5(&vm)?, 0x0800_0000, SpiCount::new(64)?, vcpus.clone())?;
//!     // The VMM keeps the device, and attaches to it for each operation.
//!     let device = gic.into_device();
//!
//!     // The guest runs on `fds`, and is stopped.
//!     let mut gic = Gicv5::attach(&device, vcpus)?;
//!     let flushed = gic.flush_tables()?;
//!     let mut image = vec![0; gic.image_max(&flushed)?];
//!     let length = gic.save_image(flushed, &mut image)?;
//!     image.truncate(length);
//!     drop(fds);
//!     Ok(())
//! }
//! ```

#![expect(unsafe_code, reason = "the kernel reads and writes through addresses inside of ioctl arguments")]

use crate::Errno;
use crate::attr::{Attr, AttrId, Command, Word};
use crate::device::{AttrDevice, IstDevice};
use crate::uapi::device::{KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, kvm_device_attr};
use crate::uapi::vgic_v5::kvm_vgic_v5_ist;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

mod bindings;
mod create;
mod descriptor;
#[cfg(feature = "shadow")]
mod memslots;

pub use create::{CreateError, DeviceType, Offered, probe, vcpu_numbers};
pub use descriptor::Descriptor;
#[cfg(feature = "shadow")]
pub use memslots::{VmMemslot, VmMemslots};

fn last_errno() -> Errno {
    Errno::from_raw(std::io::Error::last_os_error().raw_os_error().unwrap_or_default())
}

/// A virtual GIC of KVM, by a descriptor that is owned or borrowed.
///
/// No ioctl of a device needs it for itself alone, so that `&KvmDevice` is an [`AttrDevice`] and an [`IstDevice`], too: a VM that is
/// held in an `Arc` attaches to its devices with `&self`, for as long as a save or a restore takes.
///
/// ```no_run
/// use vgic_state::gicv3::Gicv3;
/// use vgic_state::kvm::KvmDevice;
/// use vgic_state::{DynInterruptState, Error, GuestMemoryRead, Vcpus};
///
/// struct Vm<M> {
///     gic: KvmDevice,
///     its: KvmDevice,
///     memory: M,
///     vcpus: Vcpus,
/// }
///
/// impl<M: GuestMemoryRead> Vm<M> {
///     fn save(&self) -> Result<Vec<u8>, Error> {
///         let mut gic = Gicv3::attach(&self.gic, vec![&self.its], &self.memory, self.vcpus.clone())?;
///         let flushed = gic.flush_tables()?;
///         let mut image = vec![0; gic.image_max(&flushed)?];
///         let length = gic.save_image(flushed, &mut image)?;
///         image.truncate(length);
///         Ok(image)
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KvmDevice<F = OwnedFd> {
    fd: F,
}

impl<F: Descriptor> KvmDevice<F> {
    /// Takes a descriptor that the VMM created itself: over, or for as long as it is borrowed.
    ///
    /// ```no_run
    /// use std::os::fd::{AsRawFd, BorrowedFd};
    /// use vgic_state::kvm::KvmDevice;
    /// # use kvm_ioctls::DeviceFd;
    ///
    /// // `gic` is a `DeviceFd` of any version of kvm-ioctls; of this crate's version, `&DeviceFd` and `DeviceFd` are taken as they are.
    /// fn device(gic: &DeviceFd) -> KvmDevice<BorrowedFd<'_>> {
    ///     // SAFETY: `gic` owns the descriptor, and keeps it open while it is borrowed; it is of a GIC that the VMM has created.
    ///     unsafe { KvmDevice::from_fd(BorrowedFd::borrow_raw(gic.as_raw_fd())) }
    /// }
    /// ```
    ///
    /// # Safety
    ///
    /// `fd` must be a virtual GIC device of KVM. The groups of other devices have the same numbers and values of other widths: the
    /// kernel would read or write beyond the value.
    #[must_use]
    pub unsafe fn from_fd(fd: F) -> Self {
        KvmDevice { fd }
    }

    /// The descriptor, for attributes that this crate has no name for.
    #[must_use]
    pub fn fd(&self) -> &F {
        &self.fd
    }

    /// The same device by a borrowed descriptor: where a backend gets several devices, all must be of one type.
    #[must_use]
    pub fn borrowed(&self) -> KvmDevice<BorrowedFd<'_>> {
        KvmDevice { fd: self.fd.descriptor() }
    }

    /// Gives the descriptor back.
    #[must_use]
    pub fn into_fd(self) -> F {
        self.fd
    }

    /// An ioctl with an attribute.
    ///
    /// # Safety
    ///
    /// `attr.addr` is what this request and this attribute want there.
    unsafe fn ioctl(&self, request: u32, attr: kvm_device_attr) -> Result<(), Errno> {
        // SAFETY: the kernel reads one `struct kvm_device_attr`, whose layout is asserted in `uapi`, during the call; what is behind
        // `addr` is promised by the caller.
        let result = unsafe { libc::ioctl(self.fd.descriptor().as_raw_fd(), request as _, &raw const attr) };
        if result == 0 { Ok(()) } else { Err(last_errno()) }
    }

    /// `KVM_GET_DEVICE_ATTR`.
    ///
    /// # Safety
    ///
    /// `addr` points to what the kernel writes for this attribute, or to what it reads and to the buffers named there.
    unsafe fn get_raw(&self, id: AttrId, addr: u64) -> Result<(), Errno> {
        // SAFETY: promised by the caller.
        unsafe { self.ioctl(KVM_GET_DEVICE_ATTR, attr(id, addr)) }
    }

    /// `KVM_SET_DEVICE_ATTR`; `addr` is what the kernel reads.
    ///
    /// Safe with any address: through `addr` and what it names, the kernel only reads, so the worst that a wrong address does is
    /// `EFAULT` or a wrong value. [`Command::SavePendingTables`] and [`Command::ItsSaveTables`] do make the kernel write, but to guest
    /// memory, by way of the memory slots: whoever called the unsafe `VmFd::set_user_memory_region` has promised that memory to KVM
    /// for as long as the slot exists, and the guest may write there as well.
    fn set_raw(&self, id: AttrId, addr: u64) -> Result<(), Errno> {
        // SAFETY: the kernel writes nothing of this process by an address in the attribute, as above.
        unsafe { self.ioctl(KVM_SET_DEVICE_ATTR, attr(id, addr)) }
    }
}

fn attr(id: AttrId, addr: u64) -> kvm_device_attr {
    kvm_device_attr { flags: 0, group: id.group(), attr: id.attr(), addr }
}

impl<F: Descriptor> AsFd for KvmDevice<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.descriptor()
    }
}

/// A buffer with the alignment and the size of the largest value.
#[repr(C, align(8))]
struct Value([u8; 16]);

impl<F: Descriptor> AttrDevice for &KvmDevice<F> {
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
        // SAFETY: the kernel looks at group and attribute alone.
        unsafe { self.ioctl(KVM_HAS_DEVICE_ATTR, self::attr(attr, 0)) }
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        self.set_raw(command.id(), 0)
    }
}

impl<F: Descriptor> IstDevice for &KvmDevice<F> {
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

/// The same for a device that is owned or shared: each method by way of `&KvmDevice`.
macro_rules! by_reference {
    ($($type:ty),*) => {$(
        impl<F: Descriptor> AttrDevice for $type {
            fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
                let device: &KvmDevice<F> = self;
                AttrDevice::get(&device, attr)
            }

            fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
                let mut device: &KvmDevice<F> = self;
                AttrDevice::set(&mut device, attr, value)
            }

            fn has(&self, attr: AttrId) -> Result<(), Errno> {
                let device: &KvmDevice<F> = self;
                AttrDevice::has(&device, attr)
            }

            fn command(&mut self, command: Command) -> Result<(), Errno> {
                let mut device: &KvmDevice<F> = self;
                AttrDevice::command(&mut device, command)
            }
        }

        impl<F: Descriptor> IstDevice for $type {
            fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
                let device: &KvmDevice<F> = self;
                IstDevice::save_ist(&device, spi, lpi)
            }

            fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
                let mut device: &KvmDevice<F> = self;
                IstDevice::restore_ist(&mut device, spi, lpi)
            }
        }
    )*};
}

by_reference!(KvmDevice<F>, Arc<KvmDevice<F>>);
