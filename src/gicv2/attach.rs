//! The backend: the device, and what it was when the backend was attached.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst; `arch/arm64/kvm/vgic/vgic-kvm-device.c`, `vgic_v2_parse_attr`.
//!
//! Rule: what is given is compared with what the device shows of itself, once; no vCPU is named that a VM with a GICv2 cannot have.

use super::access::{get, read_cpu, read_dist};
use crate::error::DeviceError;
use crate::judge::gicv2::{Target, TargetVcpu};
use crate::options::Options;
use crate::registers::RegisterTable;
use crate::state::gicv2::block::{BlockAt, InterruptBlock};
use crate::state::gicv2::{CpuIdentity, DistIdentity};
use crate::topology::{NrIrqs, VcpuId, Vcpus};
use crate::uapi::vgic_v2::VGIC_V2_MAX_CPUS;
use crate::{Attr, AttrDevice, Error};
use alloc::vec::Vec;

/// The state of a virtual GICv2 behind its device.
///
#[cfg_attr(all(feature = "model", feature = "vm-memory"), doc = "```")]
#[cfg_attr(not(all(feature = "model", feature = "vm-memory")), doc = "```ignore")]
/// use vgic_state::gicv2::Gicv2;
/// use vgic_state::model::gicv2::{Device, Host, Vm};
/// use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, InterruptState, Vcpus, uapi};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A VM as every VMM makes it; here on the model, elsewhere with `KvmDevice::create_gicv2`.
/// fn new_vm(vcpus: &Vcpus) -> Result<Gicv2<Device>, Box<dyn std::error::Error>> {
///     let vm = Vm::new(Host::default());
///     for vcpu in vcpus.iter() {
///         vm.create_vcpu(vcpu)?;
///     }
///     let mut gic = vm.create_device(uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2)?;
///     gic.set(Attr::gicv2_dist_address(), 0x0800_0000)?;
///     gic.set(Attr::gicv2_cpu_address(), 0x0801_0000)?;
///     gic.set(Attr::nr_irqs(), 64)?;
///     gic.command(Command::Init)?;
///     Ok(Gicv2::attach(gic, vcpus.clone())?)
/// }
///
/// let vcpus = Vcpus::with_default_mpidrs(2)?;
/// let mut source = new_vm(&vcpus)?;
/// // A device holds its line high.
/// source.gic_mut().set(Attr::gicv2_dist(vcpus.iter().next().unwrap().id, 0xc08), 0)?;
/// source.gic().vm().set_spi_level(40, true)?;
/// let flushed = source.flush_tables()?;
/// let state = source.save(flushed)?;
///
/// let mut destination = new_vm(&vcpus)?;
/// let report = destination.restore(&state)?;
/// // The interface has no line levels: the VMM drives the lines that its devices hold.
/// assert_eq!(report.to_string(), "lines to drive: SPI 8\n");
/// destination.gic().vm().set_spi_level(40, true)?;
/// let flushed = destination.flush_tables()?;
/// assert_eq!(destination.save(flushed)?, state);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Gicv2<D> {
    pub(super) gic: D,
    pub(super) target: Target,
    pub(super) options: Options,
}

impl<D: AttrDevice> Gicv2<D> {
    /// Attaches to a device that has its addresses and its number of interrupts: reads what it is, so that a state can be checked later
    /// without touching it. A device that is not initialised is initialised by that, as KVM does with every access.
    ///
    /// No vCPU may be running. `vcpus` are all vCPUs of the VM: their number is compared with `GICD_TYPER.CPUNumber`, their ids must be
    /// below 8. Create vCPUs in the order of their ids, from 0 on: since Linux 6.16, KVM shows a vCPU its id as its target, but takes the target
    /// bits that a guest writes for places in the order of creation, which no register shows. Linux 6.1 before 6.1.91 takes an id in an
    /// attribute for such a place, too. Linux 6.7, and 6.8 before 6.8.10, crash on an id that no vCPU has (CVE-2024-36953).
    ///
    /// # Errors
    ///
    /// [`Error::Device`]: the device has no interrupts yet, another number of vCPUs, or reports what no device can; an id is not below
    /// 8. [`Error::Access`]: it cannot be read; `EINVAL`: the VM has no vCPU with this id.
    pub fn attach(gic: D, vcpus: Vcpus) -> Result<Self, Error> {
        Self::read(gic, vcpus).map_err(Error::while_setting_up)
    }

    fn read(gic: D, vcpus: Vcpus) -> Result<Self, Error> {
        if let Some(vcpu) = vcpus.iter().find(|vcpu| vcpu.id.get() >= VGIC_V2_MAX_CPUS) {
            return Err(DeviceError::VcpuBeyondGicv2 { vcpu }.into());
        }
        let any = vcpus.iter().next().map_or(VcpuId::ZERO, |vcpu| vcpu.id);
        let nr_irqs = match get(&gic, Attr::nr_irqs())? {
            // The private ones alone.
            0..=32 => return Err(DeviceError::NotInitialised.into()),
            count => NrIrqs::new(count).map_err(|_| DeviceError::Impossible {
                attr: Attr::nr_irqs().id(),
                value: count.into(),
                reason: "not a number of interrupts that the interface allows",
            })?,
        };
        let identity = DistIdentity::read(|row| read_dist(&gic, any, row))?;
        let device = (identity.typer >> 5 & 7) as usize + 1;
        if device != vcpus.len() {
            return Err(DeviceError::Vcpus { device, given: vcpus.len() }.into());
        }
        let mut per_vcpu: Vec<TargetVcpu> = Vec::with_capacity(vcpus.len());
        for vcpu in vcpus.iter() {
            let attr = BlockAt::private(vcpu.id).attr(&InterruptBlock::TARGETS, 0);
            let targets = get(&gic, attr)?;
            let own = targets & 0xff;
            if !own.is_power_of_two() || targets != own * 0x0101_0101 || per_vcpu.iter().any(|other| other.targets == targets) {
                let reason = "each vCPU is a target of its own";
                return Err(DeviceError::Impossible { attr: attr.id(), value: targets.into(), reason }.into());
            }
            per_vcpu.push(TargetVcpu { vcpu, targets, gicc: CpuIdentity::read(|row| read_cpu(&gic, vcpu.id, row))? });
        }
        Ok(Gicv2 { gic, target: Target { nr_irqs, identity, vcpus, per_vcpu }, options: Options::default() })
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

    /// The device.
    #[must_use]
    pub fn gic(&self) -> &D {
        &self.gic
    }

    /// The device, for other uses than state. The backend does not notice if registers are written through it.
    pub fn gic_mut(&mut self) -> &mut D {
        &mut self.gic
    }

    /// Gives the device back.
    #[must_use]
    pub fn into_gic(self) -> D {
        self.gic
    }

    /// The vCPU by which the distributor is reached.
    pub(super) fn any(&self) -> VcpuId {
        self.target.vcpus.iter().next().map_or(VcpuId::ZERO, |vcpu| vcpu.id)
    }
}
