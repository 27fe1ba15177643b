//! Interrupt lines, which user space drives.
//!
//! Source: `arch/arm64/kvm/arm.c`, `kvm_vm_ioctl_irq_line`; `vgic.c`, `kvm_vgic_inject_irq`; Documentation/virt/kvm/api.rst,
//! `KVM_IRQ_LINE`.
//!
//! Rule: a rising edge makes an edge interrupt pending; a level interrupt is pending as long as its line is high.

use super::irq::{PRIVATE_IRQS, SGIS};
use super::state::State;
use super::vm::Vm;
use crate::model::gicv3::Behaviour;
use crate::{Errno, VcpuId};

impl Vm {
    /// `KVM_IRQ_LINE` of type SPI: drives the line of an SPI high (`level`) or low. `intid` is its INTID, from 32. Initialises the GICv2 if
    /// it is not initialised.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`, and `vgic.c`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: the VM has no GICv2.
    /// - `EINVAL`: `intid` is below 32, or there is no such interrupt.
    pub fn set_spi_level(&self, intid: u32, level: bool) -> Result<(), Errno> {
        let mut state = self.lock();
        state.in_kernel()?;
        if intid < PRIVATE_IRQS {
            return Err(Errno::EINVAL);
        }
        state.init();
        state.irqs.inject(0, intid, level)
    }

    /// `KVM_IRQ_LINE` of type PPI: drives the line of a PPI high (`level`) or low. `intid` is its INTID, 16 to 31. An
    /// [old kernel](crate::model::gicv3::Behaviour::NamesVcpusById) takes the number of `id` as an index in the order of creation.
    /// Initialises the GICv2 if it is not initialised.
    ///
    /// KVM ignores PPIs that its timers and PMU own; the model has neither, so user space may drive every PPI.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`, and `vgic.c`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: the VM has no GICv2.
    /// - `EINVAL`: there is no such vCPU, or `intid` is not that of a PPI.
    pub fn set_ppi_level(&self, id: VcpuId, intid: u32, level: bool) -> Result<(), Errno> {
        let mut state = self.lock();
        state.in_kernel()?;
        let vcpu = state.named_vcpu(id.get(), Behaviour::NamesVcpusById)?;
        if !(SGIS..PRIVATE_IRQS).contains(&intid) {
            return Err(Errno::EINVAL);
        }
        state.init();
        state.irqs.inject(vcpu, intid, level)
    }
}

impl State {
    fn in_kernel(&self) -> Result<(), Errno> {
        self.alive()?;
        if self.dist.exists { Ok(()) } else { Err(Errno::ENXIO) }
    }
}
