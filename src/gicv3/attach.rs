//! The backend: devices, guest memory, and what the devices were when it was attached.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
//!
//! Rule: what is given is compared with what the devices show of themselves, once.

use super::access::{get, read_dist, read_its, read_redist};
use super::el2;
use super::once::Once;
use crate::error::DeviceError;
use crate::flushed::Flush;
use crate::judge::Ranges;
use crate::judge::gicv3::{Target, TargetEl2, TargetVcpu};
use crate::memory::{GuestMemoryRead, GuestRange};
use crate::options::{El2Policy, Options};
use crate::registers::RegisterTable;
use crate::state::gicv3::codec::MAX_ITS;
use crate::state::gicv3::{DistIdentity, ItsIdentity, RedistIdentity};
use crate::topology::{Mpidr, NrIrqs, Vcpus};
use crate::uapi::vgic_v3::dist::GICD_TYPER_LPIS;
use crate::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1;
use crate::uapi::vgic_v3::redist::{GICR_TYPER_AFFINITY_VALUE, GICR_TYPER_LAST, GICR_TYPER_PROCESSOR_NUMBER};
use crate::{Attr, AttrDevice, Error};
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// The bits of `GICR_TYPER` that say which vCPU it is of: its affinity without Aff3, which KVM does not show, and its `vcpu_id`.
const NAMES: u64 = GICR_TYPER_AFFINITY_VALUE & (u64::MAX >> 8) | GICR_TYPER_PROCESSOR_NUMBER;

/// The state of a virtual GICv3 behind its devices: the GICv3 itself, and its ITSes.
///
/// `D` is a device: a `KvmDevice`, a reference to one, or a device of the model. `M` is guest memory, in which KVM keeps the tables of an
/// ITS; it is read after a flush, to tell what the kernel has written, and by a check. Without an ITS it is
/// [`NoGuestMemory`](crate::NoGuestMemory).
///
#[cfg_attr(all(feature = "model", feature = "vm-memory"), doc = "```")]
#[cfg_attr(not(all(feature = "model", feature = "vm-memory")), doc = "```ignore")]
/// use vgic_state::gicv3::Gicv3;
/// use vgic_state::model::gicv3::{Device, Host, Vm};
/// use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
/// use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, InterruptState, Vcpus};
/// use vm_memory::{GuestAddress, GuestMemoryMmap};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A VM as every VMM makes it; here on the model, elsewhere with `KvmDevice::create_gicv3` and `create_its`.
/// fn new_vm(
///     vcpus: &Vcpus,
///     memory: &GuestMemoryMmap,
/// ) -> Result<Gicv3<Device, GuestMemoryMmap>, Box<dyn std::error::Error>> {
///     let vm = Vm::new(Host::default(), memory.clone());
///     for vcpu in vcpus.iter() {
///         vm.create_vcpu(vcpu)?;
///     }
///     let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3)?;
///     gic.set(Attr::dist_address(), 0x0800_0000)?;
///     gic.set(Attr::redist_address(), 0x080a_0000)?;
///     gic.set(Attr::nr_irqs(), 64)?;
///     let mut its = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS)?;
///     its.set(Attr::its_address(), 0x0808_0000)?;
///     gic.command(Command::Init)?;
///     its.command(Command::Init)?;
///     Ok(Gicv3::attach(gic, vec![its], memory.clone(), vcpus.clone())?)
/// }
///
/// let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0x4000_0000), 2 << 20)])?;
/// let vcpus = Vcpus::with_default_mpidrs(2)?;
/// let mut source = new_vm(&vcpus, &memory)?;
/// // Guest memory is saved after the flush: `flushed.written()` lists what the kernel wrote.
/// let flushed = source.flush_tables()?;
/// let state = source.save(flushed)?;
///
/// // The destination has guest memory as it was after the flush.
/// let mut destination = new_vm(&vcpus, &memory)?;
/// let report = destination.restore(&state)?;
/// assert!(report.findings.is_empty());
/// let flushed = destination.flush_tables()?;
/// assert_eq!(destination.save(flushed)?, state);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Gicv3<D, M> {
    pub(super) gic: D,
    pub(super) its: Vec<D>,
    pub(super) memory: M,
    pub(super) target: Target,
    /// The kernel is one of those that take the `vcpu_id` for the number of a vCPU: it has an attribute that came later.
    pub(super) shows_vcpu_ids: bool,
    pub(super) options: Options,
    /// The flush that a save can be of: none before the first, nor behind a restore that was begun.
    pub(super) last_flush: Option<Flush>,
}

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    /// Attaches to devices that are initialised and have their addresses: reads what they are, so that a state can be checked later
    /// without touching them.
    ///
    /// No vCPU may be running, and every vCPU is initialised. `vcpus` are all vCPUs of the VM, `its` all its ITSes, `memory` all its
    /// memory.
    ///
    /// The arguments are compared with what the device shows: affinity and id of each vCPU, whether the last redistributor is one of
    /// theirs, whether there are ITSes. The interface does not tell how many vCPUs a VM has: if the list lacks one in the middle, its state
    /// is lost without an error.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: a device cannot be read; `EINVAL`: the VM has no vCPU with this affinity. [`Error::Device`]: the vCPUs or
    /// ITSes are not those of the VM, or the device reports what no device can.
    pub fn attach(gic: D, its: Vec<D>, memory: M, vcpus: Vcpus) -> Result<Self, Error> {
        Self::read(gic, its, memory, vcpus).map_err(Error::while_setting_up)
    }

    /// Reads what the device is.
    fn read(gic: D, its: Vec<D>, memory: M, vcpus: Vcpus) -> Result<Self, Error> {
        let nr_irqs = get(&gic, Attr::nr_irqs(), None)?;
        let nr_irqs = NrIrqs::new(nr_irqs).map_err(|_| DeviceError::Impossible {
            attr: Attr::nr_irqs().id(),
            value: nr_irqs.into(),
            reason: "not a number of interrupts that the interface allows",
        })?;
        let identity = DistIdentity::read(|row| read_dist(&gic, row))?;
        let (mut per_vcpu, mut once) = (Vec::with_capacity(vcpus.len()), Once::default());
        for vcpu in vcpus.iter() {
            let redist = RedistIdentity::read(|row| read_redist(&gic, vcpu.mpidr, row, &mut once))?;
            let names = u64::from(vcpu.mpidr.packed()) << GICR_TYPER_AFFINITY_VALUE.trailing_zeros()
                | u64::from(vcpu.id.get()) << GICR_TYPER_PROCESSOR_NUMBER.trailing_zeros();
            if (redist.typer ^ names) & NAMES != 0 {
                return Err(DeviceError::OtherVcpu { vcpu, typer: redist.typer }.into());
            }
            let icc_ctlr = get(&gic, Attr::cpu_sysreg(vcpu.mpidr, SYS_ICC_CTLR_EL1), None)?;
            per_vcpu.push(TargetVcpu { vcpu, redist, icc_ctlr, el2: None });
        }
        if per_vcpu.iter().all(|vcpu| vcpu.redist.typer & GICR_TYPER_LAST == 0) {
            return Err(DeviceError::LastVcpuMissing.into());
        }
        let lpis = identity.typer & GICD_TYPER_LPIS != 0;
        if lpis == its.is_empty() {
            return Err(DeviceError::ItsMissing { lpis, given: its.len() }.into());
        }
        if its.len() > MAX_ITS as usize {
            return Err(DeviceError::TooManyIts { given: its.len() }.into());
        }
        let mut units: Vec<(u64, ItsIdentity)> = Vec::with_capacity(its.len());
        for its in &its {
            let base = get(its, Attr::its_address(), None)?;
            if units.iter().any(|(other, _)| *other == base) {
                return Err(DeviceError::ItsTwice { base }.into());
            }
            units.push((base, ItsIdentity::read(|row| read_its(its, base, row))?));
        }
        let first = vcpus.iter().next().map_or(Mpidr::from_packed(0), |vcpu| vcpu.mpidr);
        let (el2, has_maintenance_irq) = el2::shown(&gic, first)?;
        if let TargetEl2::Shown { .. } = el2 {
            for of_vcpu in &mut per_vcpu {
                of_vcpu.el2 = Some(el2::identity(&gic, of_vcpu.vcpu.mpidr, &mut once)?);
            }
        }
        let target = Target { nr_irqs, identity, vcpus, per_vcpu, its: units, el2 };
        Ok(Gicv3 { gic, its, memory, target, shows_vcpu_ids: has_maintenance_irq, options: Options::default(), last_flush: None })
    }

    /// The same backend with other options.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The options. A change holds from the next operation on.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// The vCPUs and identification registers that a state is checked against.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The device of the GICv3 itself.
    #[must_use]
    pub fn gic(&self) -> &D {
        &self.gic
    }

    /// The devices of the ITSes, in the order in which they were given.
    #[must_use]
    pub fn its(&self) -> &[D] {
        &self.its
    }

    /// The device of the GICv3 itself, for other uses than state. The backend does not notice if registers are written through it.
    pub fn gic_mut(&mut self) -> &mut D {
        &mut self.gic
    }

    /// The devices of the ITSes, for other uses than state.
    pub fn its_mut(&mut self) -> &mut [D] {
        &mut self.its
    }

    /// Guest memory.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Guest memory, for instance to take the dirty logs of slots that were diverted.
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Gives everything back: the device of the GICv3, the devices of the ITSes, guest memory.
    #[must_use]
    pub fn into_parts(self) -> (D, Vec<D>, M) {
        (self.gic, self.its, self.memory)
    }

    /// The maintenance interrupt of vCPUs whose EL2 is carried; none if they have no EL2, or its state may be lost.
    pub(super) fn el2(&self) -> Option<u32> {
        match self.target.el2 {
            TargetEl2::Shown { maintenance_irq } if self.options.el2 != El2Policy::Lost => Some(maintenance_irq),
            _ => None,
        }
    }

    /// Refuses to lose the state of EL2 that the VMM knows of and the device does not show.
    pub(super) fn loses_nothing(&self) -> Result<(), DeviceError> {
        match self.options.el2 {
            El2Policy::Required if self.el2().is_none() => Err(DeviceError::El2StateUnavailable),
            _ => Ok(()),
        }
    }

    /// What a state is compared with: the device, without the EL2 that may be lost.
    pub(super) fn fitting(&self) -> Cow<'_, Target> {
        if self.options.el2 != El2Policy::Lost || self.target.el2 == TargetEl2::Absent {
            return Cow::Borrowed(&self.target);
        }
        let mut target = self.target.clone();
        target.el2 = TargetEl2::Absent;
        target.per_vcpu.iter_mut().for_each(|vcpu| vcpu.el2 = None);
        Cow::Owned(target)
    }

    /// What the guest owns, as it is now.
    pub(super) fn ranges(&self) -> Ranges {
        let everything = || alloc::vec![GuestRange::new(0, u64::MAX)];
        let memory = || Ranges::new(self.memory.ranges().unwrap_or_else(everything), Vec::new());
        self.options.ranges.clone().unwrap_or_else(memory)
    }

    /// Addresses of the ITSes, in the order they were given in.
    pub(super) fn its_bases(&self) -> Vec<u64> {
        self.target.its.iter().map(|(base, _)| *base).collect()
    }
}
