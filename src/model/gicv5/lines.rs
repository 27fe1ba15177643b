//! Interrupt lines: those that user space drives with `KVM_IRQ_LINE`, and those of KVM's own devices.
//!
//! Source: `arch/arm64/kvm/arm.c`, `kvm_vm_ioctl_irq_line`; `arch/arm64/kvm/vgic/vgic.c`, Linux 7.4; Documentation/virt/kvm/api.rst,
//! `KVM_IRQ_LINE`.
//!
//! Rule: a rising edge sets the latch of an edge interrupt; a level interrupt is pending as long as its line is high or its latch is
//! set.

use super::cpu::EDGE_PPIS;
use super::vm::Vm;
use crate::{Errno, VcpuId};

impl Vm {
    /// `KVM_IRQ_LINE` of type SPI: drives the line of an SPI high (`level`) or low. `spi` is its number, from 0.
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: no device.
    /// - `EBUSY`: the device is not initialised.
    /// - `EINVAL`: no such SPI.
    pub fn set_spi_level(&mut self, spi: u32, level: bool) -> Result<(), Errno> {
        self.alive()?;
        let device = self.device.as_mut().ok_or(Errno::ENXIO)?;
        let vgic = device.vgic.as_mut().ok_or(Errno::EBUSY)?;
        let spi = vgic.ist.spis.get_mut(spi as usize).ok_or(Errno::EINVAL)?;
        // Of an edge KVM keeps no line, and takes every rise; of a level it takes what is new.
        match (spi.level, level) {
            (true, _) if spi.line == level => return Ok(()),
            (true, _) => spi.line = level,
            (false, true) => spi.latch = true,
            (false, false) => return Ok(()),
        }
        spi.deliver();
        Ok(())
    }

    /// `KVM_IRQ_LINE` of type PPI: drives the line of a PPI high (`level`) or low. User space may drive only the PPIs in `USERSPACE_PPIS`,
    /// which is `SW_PPI` (3).
    ///
    /// # Errors
    ///
    /// In this order; api.rst, `KVM_IRQ_LINE`:
    /// - `EIO`: the VM is dead.
    /// - `ENXIO`: no device.
    /// - `EBUSY`: the device is not initialised.
    /// - `EINVAL`: no such vCPU, no such PPI, or one that user space may not drive.
    pub fn set_ppi_level(&mut self, id: VcpuId, ppi: u32, level: bool) -> Result<(), Errno> {
        self.alive()?;
        let device = self.device.as_ref().ok_or(Errno::ENXIO)?;
        device.vgic.as_ref().ok_or(Errno::EBUSY)?;
        self.change_ppi(id, ppi, level, device.userspace_ppis)
    }

    /// Drives the line of a PPI as KVM's timers and PMU do. They own the PPIs in [`Host::ppis`](super::Host::ppis), except `SW_PPI`.
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
}
