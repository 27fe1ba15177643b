//! Interrupt lines: those that user space drives with `KVM_IRQ_LINE`, and those of KVM's own devices.
//!
//! Source: `arch/arm64/kvm/arm.c`, `kvm_vm_ioctl_irq_line`; `arch/arm64/kvm/vgic/vgic.c`, Linux 7.4; Documentation/virt/kvm/api.rst,
//! `KVM_IRQ_LINE`.
//!
//! Rule: a rising edge makes an edge interrupt pending; a level interrupt is pending as long as its line is high.

use super::cpu::EDGE_PPIS;
use super::host::SW_PPI;
use super::vm::Vm;
use crate::uapi::vgic_v5::ist::GICV5_ISTL2E_PENDING;
use crate::{Errno, VcpuId};

impl Vm {
    /// `KVM_IRQ_LINE` of type SPI. SPIs count from 0.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: no device.
    /// - `EBUSY`: the device is not initialised. That this comes before the number is inferred.
    /// - `EINVAL`: no such SPI.
    pub fn set_spi_level(&mut self, spi: u32, level: bool) -> Result<(), Errno> {
        self.alive()?;
        let device = self.device.as_mut().ok_or(Errno::ENXIO)?;
        let vgic = device.vgic.as_mut().ok_or(Errno::EBUSY)?;
        let spi = vgic.ist.spis.get_mut(spi as usize).ok_or(Errno::EINVAL)?;
        if !spi.level {
            // An edge: KVM keeps no line of it, and hands on every rise.
            if level {
                spi.latch = true;
                spi.entry |= GICV5_ISTL2E_PENDING;
            }
        } else if spi.line != level {
            spi.line = level;
            if level {
                spi.entry |= GICV5_ISTL2E_PENDING;
            } else if !spi.latch {
                spi.entry &= !GICV5_ISTL2E_PENDING;
            }
        }
        Ok(())
    }

    /// `KVM_IRQ_LINE` of type PPI: only those in `USERSPACE_PPIS`, which is `SW_PPI` (3).
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: no device.
    /// - `EINVAL`: no such vCPU, no such PPI, or one that user space may not drive; before INIT it may drive none.
    pub fn set_ppi_level(&mut self, id: VcpuId, ppi: u32, level: bool) -> Result<(), Errno> {
        self.alive()?;
        self.device.as_ref().ok_or(Errno::ENXIO)?;
        self.change_ppi(id, ppi, level, self.userspace_ppis())
    }

    /// Drives the line of a PPI as KVM's timers and PMU do: those in [`Host::ppis`](super::Host::ppis) but `SW_PPI`.
    ///
    /// # Errors
    ///
    /// `EIO`: the VM is dead. `EINVAL`: no such vCPU, or no device of KVM owns the PPI.
    pub fn drive_ppi(&mut self, id: VcpuId, ppi: u32, level: bool) -> Result<(), Errno> {
        self.alive()?;
        self.change_ppi(id, ppi, level, self.host.ppis & !EDGE_PPIS)
    }

    fn change_ppi(&mut self, id: VcpuId, ppi: u32, level: bool, allowed: u64) -> Result<(), Errno> {
        let state = self.vcpus.iter_mut().find(|state| state.vcpu.id == id).ok_or(Errno::EINVAL)?;
        let bit = 1_u64.checked_shl(ppi).filter(|bit| bit & allowed != 0).ok_or(Errno::EINVAL)?;
        if level {
            state.cpu.pending |= bit;
        } else {
            state.cpu.pending &= !(bit & !EDGE_PPIS);
        }
        Ok(())
    }

    /// First word of `USERSPACE_PPIS`. Chosen: empty before INIT, which makes it.
    pub(super) fn userspace_ppis(&self) -> u64 {
        if self.vgic().is_some() { 1 << SW_PPI } else { 0 }
    }
}
