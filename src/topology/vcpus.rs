//! vCPUs: `vcpu_id`, affinity, and the set of both.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_CPU_SYSREGS`; `arch/arm64/kvm/vgic/vgic-v5.c`, Linux 7.4 (limit of
//! 512, IAFFID is the `vcpu_id`); Arm ARM, `MPIDR_EL1`.
//!
//! Rule: a vCPU is named by its affinity and its id, never by its position.

use super::TopologyError;
use alloc::vec::Vec;
use core::fmt;

/// Affinity of a vCPU: the Aff3 to Aff0 fields of its `MPIDR_EL1`, and nothing else of that register.
///
/// A VMM has it in one of two 64-bit forms. A value of one, taken for the other, is another vCPU's affinity or nobody's:
///
/// | | Aff3 | Aff2 | Aff1 | Aff0 | to tell it by |
/// |---|---|---|---|---|---|
/// | `MPIDR_EL1`, as `KVM_GET_ONE_REG` gives it: [`Mpidr::from_register`] | `[39:32]` | `[23:16]` | `[15:8]` | `[7:0]` | bit 31 is 1 |
/// | `kvm_device_attr.attr`, as the VMM ORs it to an offset: [`Mpidr::from_attr`] | `[63:56]` | `[55:48]` | `[47:40]` | `[39:32]` | bits `[31:0]` are 0 |
///
/// ```
/// use vgic_state::Mpidr;
///
/// // vCPU 0x21 with KVM's affinity: Aff1 2, Aff0 1.
/// assert_eq!(Mpidr::from_register(0x8000_0201), Mpidr::new(0, 0, 2, 1));
/// assert_eq!(Mpidr::from_attr(0x0000_0201_0000_0000), Mpidr::new(0, 0, 2, 1));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mpidr(u32);

impl Mpidr {
    /// The affinity with the given fields, most significant first.
    #[must_use]
    pub const fn new(aff3: u8, aff2: u8, aff1: u8, aff0: u8) -> Self {
        Mpidr(u32::from_be_bytes([aff3, aff2, aff1, aff0]))
    }

    /// Takes the affinity fields of a value of `MPIDR_EL1`: Aff3 `[39:32]`, Aff2 `[23:16]`, Aff1 `[15:8]`, Aff0 `[7:0]`. The other bits
    /// do not matter.
    #[must_use]
    pub const fn from_register(mpidr_el1: u64) -> Self {
        Mpidr(((mpidr_el1 >> 8) as u32 & 0xff00_0000) | (mpidr_el1 as u32 & 0x00ff_ffff))
    }

    /// Takes the affinity `[63:32]` of a device attribute (`KVM_DEV_ARM_VGIC_V3_MPIDR_MASK`): Aff3 `[63:56]`, Aff2 `[55:48]`, Aff1
    /// `[47:40]`, Aff0 `[39:32]`. The other bits, where an attribute has its register, do not matter.
    #[must_use]
    pub const fn from_attr(attr: u64) -> Self {
        Mpidr((attr >> 32) as u32)
    }

    /// The affinity at its place in a device attribute, with no register: see [`Mpidr::from_attr`].
    #[must_use]
    pub const fn to_attr(self) -> u64 {
        (self.0 as u64) << 32
    }

    /// Takes `Aff3[31:24] Aff2[23:16] Aff1[15:8] Aff0[7:0]`: [`Mpidr::from_attr`] without the 32 bits below.
    #[must_use]
    pub const fn from_packed(packed: u32) -> Self {
        Mpidr(packed)
    }

    /// `Aff3[31:24] Aff2[23:16] Aff1[15:8] Aff0[7:0]`: [`Mpidr::to_attr`] without the 32 bits below.
    #[must_use]
    pub const fn packed(self) -> u32 {
        self.0
    }

    /// The affinity fields at their place in `MPIDR_EL1`.
    #[must_use]
    pub const fn to_register(self) -> u64 {
        ((self.0 as u64 & 0xff00_0000) << 8) | (self.0 as u64 & 0x00ff_ffff)
    }
}

impl fmt::Display for Mpidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [aff3, aff2, aff1, aff0] = self.0.to_be_bytes();
        write!(f, "{aff3}.{aff2}.{aff1}.{aff0}")
    }
}

impl fmt::Debug for Mpidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mpidr({self})")
    }
}

/// The `vcpu_id` that user space gave with `KVM_CREATE_VCPU`, below 512. To a GICv5 guest it is the vCPU's IAFFID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcpuId(u16);

impl VcpuId {
    /// Ids are below this: `VGIC_V5_MAX_CPUS`.
    pub const LIMIT: u32 = 512;
    /// Where it does not matter which vCPU is named.
    pub(crate) const ZERO: VcpuId = VcpuId(0);

    /// Accepts what KVM accepts at most; a host may have a lower limit.
    ///
    /// # Errors
    ///
    /// [`TopologyError::VcpuId`]: 512 or above.
    pub const fn new(id: u32) -> Result<Self, TopologyError> {
        if id >= Self::LIMIT {
            return Err(TopologyError::VcpuId { found: id });
        }
        Ok(VcpuId(id as u16))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// The vCPU's IAFFID, as in an interrupt state table entry.
    #[must_use]
    pub const fn iaffid(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VcpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One vCPU by both of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vcpu {
    /// `vcpu_id`: interrupts name their target by it.
    pub id: VcpuId,
    /// Affinity: device attributes name the vCPU by it.
    pub mpidr: Mpidr,
}

impl Vcpu {
    /// The vCPU with the affinity that KVM gives to this id unless user space changes it: Aff0 is `id[3:0]`, Aff1 `id[11:4]`, Aff2
    /// `id[19:12]`.
    ///
    /// # Errors
    ///
    /// [`TopologyError::VcpuId`]: 512 or above.
    pub const fn with_default_mpidr(id: u32) -> Result<Self, TopologyError> {
        match VcpuId::new(id) {
            Ok(id) => {
                let n = id.get();
                Ok(Vcpu { id, mpidr: Mpidr::new(0, (n >> 12) as u8, (n >> 4) as u8, (n & 0xf) as u8) })
            }
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Vcpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vCPU {} ({})", self.id, self.mpidr)
    }
}

/// The vCPUs of a VM: 1 to 512, no id and no affinity twice, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vcpus(Vec<Vcpu>);

impl Vcpus {
    /// Collects the vCPUs of a VM, in any order.
    ///
    /// # Errors
    ///
    /// - [`TopologyError::NoVcpu`]: the set is empty.
    /// - [`TopologyError::DuplicateVcpuId`], [`TopologyError::DuplicateMpidr`]: two vCPUs share a name, so that state could go to
    ///   the wrong one.
    pub fn new(vcpus: impl IntoIterator<Item = Vcpu>) -> Result<Self, TopologyError> {
        // Ids are below 512 and distinct: one vCPU more than there are ids proves a duplicate, and no input makes this grow further.
        let mut vcpus: Vec<Vcpu> = vcpus.into_iter().take(VcpuId::LIMIT as usize + 1).collect();
        vcpus.sort_unstable();
        if vcpus.is_empty() {
            return Err(TopologyError::NoVcpu);
        }
        for (a, b) in vcpus.iter().zip(vcpus.iter().skip(1)) {
            if a.id == b.id {
                return Err(TopologyError::DuplicateVcpuId { id: a.id });
            }
        }
        let mut mpidrs: Vec<Mpidr> = vcpus.iter().map(|vcpu| vcpu.mpidr).collect();
        mpidrs.sort_unstable();
        for (a, b) in mpidrs.iter().zip(mpidrs.iter().skip(1)) {
            if a == b {
                return Err(TopologyError::DuplicateMpidr { mpidr: *a });
            }
        }
        Ok(Vcpus(vcpus))
    }

    /// The vCPUs with ids 0 to `count` - 1 and the affinities that KVM gives them by default.
    ///
    /// # Errors
    ///
    /// [`TopologyError::NoVcpu`] for 0, [`TopologyError::VcpuId`] above 512.
    pub fn with_default_mpidrs(count: u32) -> Result<Self, TopologyError> {
        let last = VcpuId::new(count.saturating_sub(1))?;
        let vcpus: Result<Vec<Vcpu>, TopologyError> = (0..=last.get()).take(count as usize).map(Vcpu::with_default_mpidr).collect();
        Self::new(vcpus?)
    }

    /// The vCPUs with these ids, in any order, and the affinities that KVM gives them by default: see [`Vcpu::with_default_mpidr`].
    ///
    /// ```
    /// use vgic_state::{Mpidr, Vcpus};
    ///
    /// // A VM whose vCPUs are numbered by socket.
    /// let vcpus = Vcpus::from_ids([0, 1, 0x20, 0x21])?;
    /// assert_eq!(vcpus.iter().last().map(|vcpu| vcpu.mpidr), Some(Mpidr::new(0, 0, 2, 1)));
    /// # Ok::<(), vgic_state::TopologyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TopologyError::NoVcpu`] for none, [`TopologyError::VcpuId`]: 512 or above, [`TopologyError::DuplicateVcpuId`].
    pub fn from_ids(ids: impl IntoIterator<Item = u32>) -> Result<Self, TopologyError> {
        // One more than there are proves a duplicate, as above.
        let vcpus: Result<Vec<Vcpu>, TopologyError> =
            ids.into_iter().take(VcpuId::LIMIT as usize + 1).map(Vcpu::with_default_mpidr).collect();
        Self::new(vcpus?)
    }

    /// The vCPUs in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Vcpu> + Clone + '_ {
        self.0.iter().copied()
    }

    /// The number of vCPUs: 1 to 512.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
