//! Interrupt lines and MSIs, which user space drives and sends.
//!
//! Source: `arch/arm64/kvm/arm.c`, `kvm_vm_ioctl_irq_line`; `vgic.c`, `kvm_vgic_inject_irq`; `vgic-irqfd.c`, `kvm_set_msi`;
//! `vgic-its.c`, `vgic_its_inject_msi`; Documentation/virt/kvm/api.rst, `KVM_IRQ_LINE`, `KVM_SIGNAL_MSI`.
//!
//! Rule: a rising edge makes an edge interrupt pending; a level interrupt is pending as long as its line is high.

use super::behaviour::Behaviour;
use super::irq::{PRIVATE_IRQS, SGIS};
use super::state::State;
use super::vm::Vm;
use crate::uapi::vgic_v3::KVM_VGIC_V3_ITS_SIZE;
use crate::{Errno, VcpuId};

impl Vm {
    /// `KVM_IRQ_LINE` of type SPI: drives the line of an SPI high (`level`) or low. `intid` is its INTID, from 32.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`, and `vgic.c`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: the VM has no GICv3.
    /// - `EINVAL`: `intid` is below 32.
    /// - `EBUSY`: the GICv3 is not initialised; [on newer kernels](Behaviour::IrqLineNeedsInitFirst) before the interrupt.
    /// - `EINVAL`: there is no such interrupt. The INTID of a mapped LPI is accepted.
    pub fn set_spi_level(&self, intid: u32, level: bool) -> Result<(), Errno> {
        let mut state = self.lock();
        state.in_kernel()?;
        if intid < PRIVATE_IRQS {
            return Err(Errno::EINVAL);
        }
        state.initialised()?;
        state.irqs.inject(0, intid, level)
    }

    /// `KVM_IRQ_LINE` of type PPI: drives the line of a PPI high (`level`) or low. `intid` is its INTID, 16 to 31. An
    /// [old kernel](Behaviour::NamesVcpusById) takes the number of `id` as an index in the order of creation.
    ///
    /// KVM ignores PPIs that its timers and PMU own; the model has neither, so user space may drive every PPI.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`, and `vgic.c`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: the VM has no GICv3.
    /// - `EINVAL`: there is no such vCPU, or `intid` is not that of a PPI.
    /// - `EBUSY`: the GICv3 is not initialised; [on newer kernels](Behaviour::IrqLineNeedsInitFirst) before the interrupt.
    pub fn set_ppi_level(&self, id: VcpuId, intid: u32, level: bool) -> Result<(), Errno> {
        let mut state = self.lock();
        state.in_kernel()?;
        let vcpu = if state.host.kernel.has(Behaviour::NamesVcpusById) {
            state.index_of(id)
        } else {
            Some(id.get() as usize).filter(|index| *index < state.cpus.len())
        };
        let vcpu = vcpu.ok_or(Errno::EINVAL)?;
        if !(SGIS..PRIVATE_IRQS).contains(&intid) {
            return Err(Errno::EINVAL);
        }
        state.initialised()?;
        state.irqs.inject(vcpu, intid, level)
    }

    /// `KVM_SIGNAL_MSI` with `KVM_MSI_VALID_DEVID`: sends event `event_id` of device `device_id` to the ITS at the guest physical address
    /// `doorbell`. Gives 1 if the interrupt was delivered, 0 if the guest has not mapped the event.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_SIGNAL_MSI`, and `vgic-its.c`:
    /// - `EIO`: the VM is dead.
    /// - `EINVAL`: the VM has no GICv3.
    /// - `ENODEV`: the VM has no ITS.
    /// - `EINVAL`: no ITS has `doorbell` in its frames; any address in them is accepted.
    /// - `EBUSY`: the ITS is not enabled, or LPIs are not enabled on the vCPU that the interrupt is for.
    pub fn signal_msi(&self, doorbell: u64, device_id: u32, event_id: u32) -> Result<i32, Errno> {
        let mut state = self.lock();
        state.alive()?;
        if !state.dist.exists {
            return Err(Errno::EINVAL);
        }
        if !state.has_its {
            return Err(Errno::ENODEV);
        }
        let in_frames = |address: u64| doorbell.checked_sub(address).is_some_and(|offset| offset < KVM_VGIC_V3_ITS_SIZE);
        let its = state.its.iter().position(|its| its.address.is_some_and(in_frames)).ok_or(Errno::EINVAL)?;
        let delivered = state.with_its(its, |its, ctx, _| its.trigger(device_id, event_id, ctx)).unwrap_or(Ok(false))?;
        Ok(delivered.into())
    }
}

impl State {
    fn in_kernel(&self) -> Result<(), Errno> {
        self.alive()?;
        if !self.dist.exists {
            return Err(Errno::ENXIO);
        }
        if self.host.kernel.has(Behaviour::IrqLineNeedsInitFirst) { self.initialised() } else { Ok(()) }
    }

    fn initialised(&self) -> Result<(), Errno> {
        if self.dist.initialised { Ok(()) } else { Err(Errno::EBUSY) }
    }
}
