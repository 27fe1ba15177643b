//! Device attributes with their width in the type, and the device that has them.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst; Documentation/virt/kvm/api.rst, `KVM_SET_DEVICE_ATTR`.
//!
//! Rule: the only place that packs a group and a register into an attribute. An attribute that reads 8 bytes cannot be given 4.

use crate::Errno;
use crate::topology::Mpidr;
use crate::uapi::{device as dev, vgic_v5 as v5};
use core::fmt;
use core::marker::PhantomData;

/// Group and attribute number, without the width: how traces and messages name an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttrId {
    group: u32,
    attr: u64,
}

impl AttrId {
    /// `GRP_CTRL`, `INIT`.
    pub const INIT: AttrId = AttrId { group: dev::KVM_DEV_ARM_VGIC_GRP_CTRL, attr: dev::KVM_DEV_ARM_VGIC_CTRL_INIT as u64 };
    /// `GRP_IST`: both interrupt state tables of a GICv5.
    pub const IST: AttrId = AttrId { group: v5::KVM_DEV_ARM_VGIC_GRP_IST, attr: 0 };

    /// Any group and attribute, to name it or to ask for it; a value is transferred by an [`Attr`] only.
    #[must_use]
    pub const fn from_raw(group: u32, attr: u64) -> Self {
        AttrId { group, attr }
    }

    /// `kvm_device_attr.group`.
    #[must_use]
    pub const fn group(self) -> u32 {
        self.group
    }

    /// `kvm_device_attr.attr`.
    #[must_use]
    pub const fn attr(self) -> u64 {
        self.attr
    }

    /// The vCPU that a per-vCPU register belongs to.
    #[must_use]
    pub const fn mpidr(self) -> Option<Mpidr> {
        match self.group {
            dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS => {
                Some(Mpidr::from_packed((self.attr >> dev::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT) as u32))
            }
            _ => None,
        }
    }

    /// The Arm name of the register, or what the attribute is.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let find = |list: &'static [(&'static str, u64)], value: u64, prefix: &str| {
            list.iter().find(|(_, v)| *v == value).and_then(|(name, _)| name.strip_prefix(prefix))
        };
        match self.group {
            dev::KVM_DEV_ARM_VGIC_GRP_ADDR if self.attr == v5::KVM_VGIC_V5_ADDR_TYPE_IRS => Some("IRS address"),
            dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS => Some("NR_IRQS"),
            dev::KVM_DEV_ARM_VGIC_GRP_CTRL if self == Self::INIT => Some("INIT"),
            dev::KVM_DEV_ARM_VGIC_GRP_CTRL if self.attr == v5::KVM_DEV_ARM_VGIC_USERSPACE_PPIS as u64 => Some("USERSPACE_PPIS"),
            v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS => find(v5::irs::REGISTERS, self.attr, "GICV5_"),
            dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS => {
                find(v5::icc::REGISTERS, self.attr & dev::KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK, "SYS_")
            }
            v5::KVM_DEV_ARM_VGIC_GRP_IST if self == Self::IST => Some("IST"),
            _ => None,
        }
    }
}

impl fmt::Display for AttrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "group {} attribute {:#x}", self.group, self.attr)?,
        }
        match self.mpidr() {
            Some(mpidr) => write!(f, " of vCPU {mpidr}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for AttrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttrId({self})")
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
    impl Sealed for [u64; 2] {}
}

/// What a device attribute can point to. Sealed: the widths of the kernel and no others.
pub trait Word: sealed::Sealed + Copy + fmt::Debug + Eq {
    /// Bytes that the kernel copies.
    const BYTES: usize;

    /// The value in native byte order, at the start of a buffer that any attribute fits in.
    fn to_ne_bytes(self) -> [u8; 16];

    /// The value at the start of such a buffer.
    fn from_ne_bytes(bytes: [u8; 16]) -> Self;
}

impl Word for u32 {
    const BYTES: usize = 4;

    fn to_ne_bytes(self) -> [u8; 16] {
        let [a, b, c, d] = u32::to_ne_bytes(self);
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    fn from_ne_bytes([a, b, c, d, ..]: [u8; 16]) -> Self {
        u32::from_ne_bytes([a, b, c, d])
    }
}

impl Word for u64 {
    const BYTES: usize = 8;

    fn to_ne_bytes(self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h] = u64::to_ne_bytes(self);
        [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    fn from_ne_bytes([a, b, c, d, e, f, g, h, ..]: [u8; 16]) -> Self {
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Word for [u64; 2] {
    const BYTES: usize = 16;

    fn to_ne_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self) {
            *to = word.to_ne_bytes();
        }
        bytes
    }

    fn from_ne_bytes(bytes: [u8; 16]) -> Self {
        let mut words = [0; 2];
        for (word, from) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*from);
        }
        words
    }
}

/// A device attribute whose value is a `W`. Made by a constructor for each group, so that the width is always the group's.
///
/// ```compile_fail,E0308
/// use vgic_state::{Attr, AttrDevice, model::gicv5::Vm};
///
/// fn read(device: &Vm) -> u32 {
///     // IRS registers are u64 in this interface, whatever their architected width: this does not compile.
///     device.get::<u32>(Attr::irs(0x190)).unwrap()
/// }
/// ```
pub struct Attr<W> {
    id: AttrId,
    width: PhantomData<fn() -> W>,
}

impl<W> Attr<W> {
    const fn new(group: u32, attr: u64) -> Self {
        Attr { id: AttrId { group, attr }, width: PhantomData }
    }

    /// The attribute without its width.
    #[must_use]
    pub const fn id(self) -> AttrId {
        self.id
    }
}

impl<W> Clone for Attr<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Attr<W> {}

impl<W> fmt::Debug for Attr<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attr({})", self.id)
    }
}

impl Attr<u32> {
    /// `GRP_NR_IRQS`: number of interrupts; on a GICv5 the number of SPIs.
    #[must_use]
    pub const fn nr_irqs() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0)
    }
}

impl Attr<u64> {
    /// `GRP_ADDR`: guest physical address of the GICv5 IRS frames.
    #[must_use]
    pub const fn irs_address() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_ADDR, v5::KVM_VGIC_V5_ADDR_TYPE_IRS)
    }

    /// `GRP_IRS_REGS`: the IRS register at `offset` in `CONFIG_FRAME`, see [`uapi::vgic_v5::irs`](crate::uapi::vgic_v5::irs).
    #[must_use]
    pub const fn irs(offset: u32) -> Self {
        Attr::new(v5::KVM_DEV_ARM_VGIC_GRP_IRS_REGS, offset as u64)
    }

    /// `GRP_CPU_SYSREGS`: a CPU interface register of one vCPU, see [`uapi::vgic_v5::icc`](crate::uapi::vgic_v5::icc).
    #[must_use]
    pub const fn cpu_sysreg(mpidr: Mpidr, instr: u16) -> Self {
        Attr::new(
            dev::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
            (mpidr.packed() as u64) << dev::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT | instr as u64,
        )
    }
}

impl Attr<[u64; 2]> {
    /// `GRP_CTRL`, `USERSPACE_PPIS`: the PPIs that user space may drive, one bit each; get only.
    #[must_use]
    pub const fn userspace_ppis() -> Self {
        Attr::new(dev::KVM_DEV_ARM_VGIC_GRP_CTRL, v5::KVM_DEV_ARM_VGIC_USERSPACE_PPIS as u64)
    }
}

/// Commands of `GRP_CTRL`: attributes that are set without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Initialise the device. Every vCPU must exist.
    Init,
}

impl Command {
    /// The attribute that stands for the command.
    #[must_use]
    pub const fn id(self) -> AttrId {
        match self {
            Command::Init => AttrId::INIT,
        }
    }
}

/// A virtual GIC as device attributes: KVM's, or the model's.
///
/// A method is one ioctl. It returns the kernel's error number as it is; nothing is retried and nothing is remembered.
pub trait AttrDevice {
    /// `KVM_GET_DEVICE_ATTR`.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno>;

    /// `KVM_SET_DEVICE_ATTR`.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno>;

    /// `KVM_HAS_DEVICE_ATTR`: `ENXIO` where the device does not have the attribute.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    fn has(&self, attr: AttrId) -> Result<(), Errno>;

    /// `KVM_SET_DEVICE_ATTR` of a command.
    ///
    /// # Errors
    ///
    /// The kernel's error number.
    fn command(&mut self, command: Command) -> Result<(), Errno>;

    /// `KVM_GET_DEVICE_ATTR` of `GRP_IST`: the kernel writes the interrupt state tables of a GICv5 into the buffers.
    ///
    /// After an error the contents of the buffers mean nothing.
    ///
    /// # Errors
    ///
    /// The kernel's error number; `EINVAL` where a length is not exactly the kernel's.
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno>;

    /// `KVM_SET_DEVICE_ATTR` of `GRP_IST`: the kernel reads the interrupt state tables of a GICv5 from the buffers.
    ///
    /// # Errors
    ///
    /// The kernel's error number; `EINVAL` where a length is not exactly the kernel's.
    fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno>;
}

impl<D: AttrDevice + ?Sized> AttrDevice for &mut D {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        (**self).get(attr)
    }

    fn set<W: Word>(&mut self, attr: Attr<W>, value: W) -> Result<(), Errno> {
        (**self).set(attr, value)
    }

    fn has(&self, attr: AttrId) -> Result<(), Errno> {
        (**self).has(attr)
    }

    fn command(&mut self, command: Command) -> Result<(), Errno> {
        (**self).command(command)
    }

    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
        (**self).save_ist(spi, lpi)
    }

    fn restore_ist(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
        (**self).restore_ist(spi, lpi)
    }
}
