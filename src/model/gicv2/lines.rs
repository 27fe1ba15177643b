//! What user space drives: interrupt lines.
//!
//! Source: `arch/arm64/kvm/arm.c`, `kvm_vm_ioctl_irq_line`; `vgic.c`, `kvm_vgic_inject_irq`; Documentation/virt/kvm/api.rst,
//! `KVM_IRQ_LINE`.
//!
//! Rule: a rising edge makes an edge interrupt pending; a level interrupt is pending as long as its line is high.

use super::irq::{PRIVATE_IRQS, SGIS};
use super::state::State;
use super::vm::Vm;
use crate::{Errno, VcpuId};

impl Vm {
    /// `KVM_IRQ_LINE` of type SPI, by INTID: the first SPI is 32. Initialises the GICv2 if that was not done.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`, and `vgic.c`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: no GICv2.
    /// - `EINVAL`: below 32, or no such interrupt.
    pub fn set_spi_level(&self, intid: u32, level: bool) -> Result<(), Errno> {
        let mut state = self.lock();
        state.in_kernel()?;
        if intid < PRIVATE_IRQS {
            return Err(Errno::EINVAL);
        }
        state.init();
        state.irqs.inject(0, intid, level)
    }

    /// `KVM_IRQ_LINE` of type PPI, by INTID: 16 to 31. An [old kernel](crate::model::gicv3::Behaviour::NamesVcpusById) takes the
    /// number for a place in the order of creation. Initialises the GICv2 if that was not done.
    ///
    /// KVM ignores those that its timers and PMU own; the model has none of these, and every PPI is user space's.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`, and `vgic.c`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: no GICv2.
    /// - `EINVAL`: no such vCPU, or not a PPI.
    pub fn set_ppi_level(&self, id: VcpuId, intid: u32, level: bool) -> Result<(), Errno> {
        let mut state = self.lock();
        state.in_kernel()?;
        let vcpu = state.named_vcpu(id.get())?;
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
