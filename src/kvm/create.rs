//! What a host offers, and the creation of a device.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_CREATE_DEVICE`; `virt/kvm/kvm_main.c`, `arch/arm64/kvm/vgic/vgic-init.c` and
//! `vgic-its.c`, Linux 7.4, for what an error number means.
//!
//! Rule: the ioctl is issued here, and not by kvm-ioctls, whose types a VMM may have in another version.

#![expect(unsafe_code, reason = "an ioctl, and a new descriptor out of its argument")]

use super::{Descriptor, KvmDevice};
use crate::Errno;
use crate::gicv3::Gicv3State;
use crate::image::{self, ImageError, Kind};
use crate::topology::VcpuNumbers;
use crate::uapi::device::{KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES, KVM_CHECK_EXTENSION};
use crate::uapi::device::{KVM_CREATE_DEVICE, KVM_CREATE_DEVICE_TEST, KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V2};
use crate::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_V3, KVM_DEV_TYPE_ARM_VGIC_V5, kvm_create_device};
use core::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

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
    /// Whether the host has the controller that an image is of. Whether the image fits a VM,
    /// [`check_image`](crate::DynInterruptState::check_image) tells.
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
            Kind::Gicv2 => self.gicv2,
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
pub fn probe(vm: impl Descriptor) -> Result<Offered, Errno> {
    Ok(Offered {
        gicv2: offers(&vm, KVM_DEV_TYPE_ARM_VGIC_V2)?,
        gicv3: offers(&vm, KVM_DEV_TYPE_ARM_VGIC_V3)?,
        its: offers(&vm, KVM_DEV_TYPE_ARM_VGIC_ITS)?,
        gicv5: offers(&vm, KVM_DEV_TYPE_ARM_VGIC_V5)?,
    })
}

/// By which number the kernel names a vCPU, for [`Options::vcpu_numbers`](crate::Options::vcpu_numbers).
///
/// It is derived from `KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES`, which came with Linux 6.7, as did the change: d455d366c451 "KVM: arm64:
/// vgic-its: Treat the collection target address as a vcpu_id".
///
/// # Errors
///
/// `EBADF`, `ENOTTY` and the like: `vm` is not a VM of KVM.
pub fn vcpu_numbers(vm: impl Descriptor) -> Result<VcpuNumbers, Errno> {
    let capability: libc::c_ulong = KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES.into();
    // SAFETY: the argument is a number. What is no VM refuses the ioctl: its number is KVM's own.
    match unsafe { libc::ioctl(vm.descriptor().as_raw_fd(), KVM_CHECK_EXTENSION as _, capability) } {
        ..0 => Err(super::last_errno()),
        0 => Ok(VcpuNumbers::CreationOrder),
        _ => Ok(VcpuNumbers::VcpuId),
    }
}

/// In test mode, the kernel leaves the `fd` field as it was: no descriptor may be made of it.
fn offers(vm: &impl Descriptor, type_: u32) -> Result<bool, Errno> {
    match create_device(vm, kvm_create_device { type_, fd: 0, flags: KVM_CREATE_DEVICE_TEST }) {
        Ok(_) => Ok(true),
        Err(Errno::ENODEV) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// `KVM_CREATE_DEVICE`: the argument as the kernel leaves it.
fn create_device(vm: &impl Descriptor, mut device: kvm_create_device) -> Result<kvm_create_device, Errno> {
    // SAFETY: the kernel reads and writes one `struct kvm_create_device`, whose layout is asserted in `uapi`, during the call. What is
    // no VM refuses the number: it is KVM's own, and has the size and the direction of its argument in it.
    let result = unsafe { libc::ioctl(vm.descriptor().as_raw_fd(), KVM_CREATE_DEVICE as _, &raw mut device) };
    if result == 0 { Ok(device) } else { Err(super::last_errno()) }
}

/// A device that the crate creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceType {
    /// Virtual GICv2: `KVM_DEV_TYPE_ARM_VGIC_V2`.
    Gicv2,
    /// Virtual GICv3: `KVM_DEV_TYPE_ARM_VGIC_V3`.
    Gicv3,
    /// ITS of a virtual GICv3: `KVM_DEV_TYPE_ARM_VGIC_ITS`.
    Its,
    /// Virtual GICv5: `KVM_DEV_TYPE_ARM_VGIC_V5`.
    Gicv5,
}

impl DeviceType {
    const fn number(self) -> u32 {
        match self {
            DeviceType::Gicv2 => KVM_DEV_TYPE_ARM_VGIC_V2,
            DeviceType::Gicv3 => KVM_DEV_TYPE_ARM_VGIC_V3,
            DeviceType::Its => KVM_DEV_TYPE_ARM_VGIC_ITS,
            DeviceType::Gicv5 => KVM_DEV_TYPE_ARM_VGIC_V5,
        }
    }
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceType::Gicv2 => "GICv2",
            DeviceType::Gicv3 => "GICv3",
            DeviceType::Its => "ITS",
            DeviceType::Gicv5 => "GICv5",
        })
    }
}

/// A device that the kernel did not create. The VM is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateError {
    /// What was asked for.
    pub device: DeviceType,
    /// The kernel's error number, as it came.
    pub errno: Errno,
}

impl CreateError {
    /// What the error number means for this device; empty where the kernel documents nothing.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        match (self.device, self.errno) {
            (DeviceType::Gicv5, Errno::ENODEV) => {
                "this host offers no virtual GICv5: its hardware has none, its kernel is older than Linux 7.4, or it runs protected VMs"
            }
            (DeviceType::Gicv2, Errno::ENODEV) => {
                "this host offers no virtual GICv2: it has none, and its GICv3 has no GICV for one; or it runs protected VMs"
            }
            (DeviceType::Gicv3, Errno::ENODEV) => "this host offers no virtual GICv3",
            (DeviceType::Its, Errno::ENODEV) => "the VM has no GICv3, or this host offers no ITS",
            (DeviceType::Gicv2 | DeviceType::Gicv3 | DeviceType::Gicv5, Errno::EEXIST) => {
                "the VM has an interrupt controller already"
            }
            (DeviceType::Gicv2 | DeviceType::Gicv3 | DeviceType::Gicv5, Errno::EBUSY) => "a vCPU is being created, or has run",
            (DeviceType::Gicv2, Errno::E2BIG) => "the VM has more vCPUs than the 8 that a GICv2 can have",
            (DeviceType::Gicv3, Errno::E2BIG) => "the VM has more vCPUs than a GICv3 of KVM can have",
            (DeviceType::Gicv5, Errno::E2BIG) => "a vcpu_id is beyond what the host supports",
            (_, Errno::EBADF | Errno::ENOTTY) => "not a VM of KVM",
            (_, Errno::EIO) => "the VM is dead, or belongs to another process",
            (_, Errno::ENOMEM) => "the host has no memory left",
            (_, errno) if [libc::EMFILE, libc::ENFILE].contains(&errno.raw()) => "no descriptor is left",
            _ => "",
        }
    }
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "create {}: {}", self.device, self.errno)?;
        match self.meaning() {
            "" => Ok(()),
            meaning => write!(f, " ({meaning})"),
        }
    }
}

impl core::error::Error for CreateError {}

impl KvmDevice {
    /// Creates the GICv5 of a VM.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: the host has no GICv5, its kernel is older than Linux 7.4, or it runs protected VMs.
    /// - `EEXIST`: the VM has an interrupt controller.
    /// - `EBUSY`: a vCPU is being created or has run.
    /// - `E2BIG`: a `vcpu_id` is beyond what the host supports.
    pub fn create_gicv5(vm: impl Descriptor) -> Result<Self, CreateError> {
        Self::create(&vm, DeviceType::Gicv5)
    }

    /// Creates the GICv3 of a VM.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: the host cannot give its VMs a GICv3.
    /// - `EEXIST`: the VM has an interrupt controller.
    /// - `EBUSY`: a vCPU is being created or has run.
    /// - `E2BIG`: the VM has more vCPUs than a GICv3 of KVM.
    pub fn create_gicv3(vm: impl Descriptor) -> Result<Self, CreateError> {
        Self::create(&vm, DeviceType::Gicv3)
    }

    /// Creates the GICv2 of a VM.
    ///
    /// # Errors
    ///
    /// - `ENODEV`: the host cannot give its VMs a GICv2: it has none, and its GICv3 has no virtual CPU interface of one (GICV); or it runs
    ///   protected VMs.
    /// - `EEXIST`: the VM has an interrupt controller.
    /// - `EBUSY`: a vCPU is being created or has run.
    /// - `E2BIG`: the VM has more than 8 vCPUs.
    pub fn create_gicv2(vm: impl Descriptor) -> Result<Self, CreateError> {
        Self::create(&vm, DeviceType::Gicv2)
    }

    /// Creates an ITS of a VM with a GICv3; a VM may have several.
    ///
    /// # Errors
    ///
    /// `ENODEV`: the VM has no GICv3, or the host has none. `ENOMEM`: the host has no memory left.
    pub fn create_its(vm: impl Descriptor) -> Result<Self, CreateError> {
        Self::create(&vm, DeviceType::Its)
    }

    fn create(vm: &impl Descriptor, device: DeviceType) -> Result<Self, CreateError> {
        let failed = |errno| CreateError { device, errno };
        // A descriptor is never this: what is no KVM and says success has written none.
        let none = u32::MAX;
        let created = create_device(vm, kvm_create_device { type_: device.number(), fd: none, flags: 0 }).map_err(failed)?;
        let fd = RawFd::try_from(created.fd).map_err(|_| failed(Errno::EBADF))?;
        // SAFETY: the kernel has just made this descriptor, of a device of this type, and nobody else has it.
        Ok(unsafe { KvmDevice::from_fd(OwnedFd::from_raw_fd(fd)) })
    }
}

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

    #[test]
    fn a_device_that_is_not_created_says_what_was_asked_and_why_not() {
        let of = |device, errno| CreateError { device, errno }.to_string();
        for (device, errno, message) in [
            (
                DeviceType::Gicv5,
                Errno::ENODEV,
                "create GICv5: ENODEV (this host offers no virtual GICv5: its hardware has none, its kernel is older than Linux 7.4, \
                 or it runs protected VMs)",
            ),
            (DeviceType::Gicv3, Errno::EEXIST, "create GICv3: EEXIST (the VM has an interrupt controller already)"),
            (DeviceType::Its, Errno::ENODEV, "create ITS: ENODEV (the VM has no GICv3, or this host offers no ITS)"),
            (DeviceType::Its, Errno::from_raw(libc::EMFILE), "create ITS: EMFILE (no descriptor is left)"),
            (DeviceType::Gicv2, Errno::E2BIG, "create GICv2: E2BIG (the VM has more vCPUs than the 8 that a GICv2 can have)"),
            (DeviceType::Gicv3, Errno::ENXIO, "create GICv3: ENXIO"),
        ] {
            assert_eq!(of(device, errno), message);
        }
    }
}
