//! Guest code on one vCPU: its CPU interface, and the delivery of interrupts there.
//!
//! Source: Arm Generic Interrupt Controller Architecture Specification, GICv5, CPU interface; `arch/arm64/tools/sysreg`, Linux 7.4.
//!
//! Rule: what is acknowledged is what the architecture would signal: pending, enabled, not active, for this PE, above the running
//! priority and not masked.

use super::cpu::{Cpu, EDGE_PPIS};
use super::device::Vgic;
use super::host::Host;
use crate::uapi::vgic_v5::icc::*;
use crate::uapi::vgic_v5::ist::*;
use crate::{IntId, VcpuId};

/// Guest code on a vCPU, inside [`Vm::run`](super::Vm::run).
///
/// Priorities are 0 to 31; a lower number is a higher priority. In a VM without a GICv5 every read gives 0 and nothing has an effect.
#[derive(Debug)]
pub struct Guest<'a> {
    pub(super) host: Host,
    pub(super) id: VcpuId,
    pub(super) cpu: &'a mut Cpu,
    pub(super) vgic: Option<&'a mut Vgic>,
}

impl Guest<'_> {
    /// `ICC_IAFFIDR_EL1.IAFFID`: the number by which SPIs and LPIs are routed to this PE. It is the vCPU's `vcpu_id`.
    #[must_use]
    pub fn iaffid(&self) -> u16 {
        self.id.iaffid()
    }

    /// Reads a CPU interface register by a name of [`uapi::vgic_v5::icc`](crate::uapi::vgic_v5::icc); 0 for any other.
    #[must_use]
    pub fn icc_read(&self, instr: u16) -> u64 {
        if self.vgic.is_none() { 0 } else { self.cpu.get(instr).unwrap_or(0) }
    }

    /// Writes a CPU interface register by a name of [`uapi::vgic_v5::icc`](crate::uapi::vgic_v5::icc); ignored for any other.
    ///
    /// Unlike user space, a guest reaches only the PPIs that exist; `ICC_PPI_SACTIVER0_EL1` and `ICC_PPI_SPENDR0_EL1` set the bits
    /// that are 1 and leave the others; the pending state of a level PPI is its line and cannot be written.
    pub fn icc_write(&mut self, instr: u16, value: u64) {
        if self.vgic.is_none() {
            return;
        }
        let value = match instr {
            SYS_ICC_PPI_ENABLER0_EL1 => value & self.host.ppis,
            SYS_ICC_PPI_SACTIVER0_EL1 => self.cpu.active | value & self.host.ppis,
            SYS_ICC_PPI_SPENDR0_EL1 => self.cpu.pending | value & self.host.ppis & EDGE_PPIS,
            SYS_ICC_PPI_PRIORITYR0_EL1..=SYS_ICC_PPI_PRIORITYR7_EL1 => {
                for (ppi, priority) in (u32::from(instr - SYS_ICC_PPI_PRIORITYR0_EL1) * 8..).zip(value.to_le_bytes()) {
                    self.set_ppi_priority(ppi, u32::from(priority));
                }
                return;
            }
            _ => value,
        };
        // Not a register: ignored.
        let _ = self.cpu.set(instr, value);
    }

    /// `ICC_CR0_EL1.EN` = 1: interrupts are signalled to this PE.
    pub fn enable_interface(&mut self) {
        self.icc_write(SYS_ICC_CR0_EL1, 1);
    }

    /// `ICC_CR0_EL1.EN` = 0: no interrupt is signalled to this PE.
    pub fn disable_interface(&mut self) {
        self.icc_write(SYS_ICC_CR0_EL1, 0);
    }

    /// `ICC_PCR_EL1.PRIORITY`: only interrupts of this priority or a higher one are signalled.
    pub fn set_priority_mask(&mut self, priority: u32) {
        self.icc_write(SYS_ICC_PCR_EL1, u64::from(priority));
    }

    /// Enables or disables a PPI in `ICC_PPI_ENABLER0_EL1`.
    pub fn enable_ppi(&mut self, ppi: u32, enable: bool) {
        let bit = 1_u64.checked_shl(ppi).unwrap_or(0);
        let value = if enable { self.cpu.enable | bit } else { self.cpu.enable & !bit };
        self.icc_write(SYS_ICC_PPI_ENABLER0_EL1, value);
    }

    /// Sets the priority of a PPI in `ICC_PPI_PRIORITYR<n>_EL1`.
    pub fn set_ppi_priority(&mut self, ppi: u32, priority: u32) {
        if self.vgic.is_some() && self.ppi(ppi) {
            self.cpu.set_priority(ppi, priority);
        }
    }

    /// Sets or clears the pending state of an edge-triggered PPI: `ICC_PPI_SPENDR0_EL1`, `ICC_PPI_CPENDR0_EL1`.
    pub fn pend_ppi(&mut self, ppi: u32, pending: bool) {
        let bit = 1_u64.checked_shl(ppi).unwrap_or(0);
        if pending {
            self.icc_write(SYS_ICC_PPI_SPENDR0_EL1, bit);
        } else if self.vgic.is_some() {
            self.cpu.pending &= !(bit & EDGE_PPIS);
        }
    }

    /// `GICR CDIA`: acknowledges the interrupt of the highest priority that is signalled. It becomes active, its priority the
    /// running one; if its handling mode is edge, it is no longer pending. KVM does not notice: its latch of an SPI stays set.
    ///
    /// Of several interrupts with the same priority: PPIs before SPIs before LPIs, then the lowest ID. The architecture leaves that choice
    /// open. `None`: no interrupt is signalled.
    pub fn acknowledge(&mut self) -> Option<IntId> {
        let (priority, id) = self.signalled()?;
        self.cpu.apr |= 1_u32.checked_shl(priority)?;
        let hwu = self.host.hwu;
        match id {
            IntId::Ppi(ppi) => {
                let bit = 1_u64.checked_shl(ppi)?;
                self.cpu.active |= bit;
                self.cpu.pending &= !(bit & EDGE_PPIS);
            }
            IntId::Spi(number) | IntId::Lpi(number) => {
                let entry = self.vgic.as_mut()?.ist.entry_mut(id)?;
                *entry |= GICV5_ISTL2E_ACTIVE;
                if *entry & GICV5_ISTL2E_HM == 0 {
                    *entry &= !GICV5_ISTL2E_PENDING;
                }
                if hwu {
                    let value = (1 + number % 3) << GICV5_ISTL2E_HWU.trailing_zeros();
                    *entry = *entry & !GICV5_ISTL2E_HWU | value;
                }
            }
        }
        Some(id)
    }

    /// `GIC CDEOI`: drops the running priority. The interrupt itself stays active.
    pub fn eoi(&mut self) {
        if self.vgic.is_some() {
            self.cpu.apr &= self.cpu.apr.wrapping_sub(1);
        }
    }

    /// `GIC CDDI`: deactivates the interrupt. KVM does not notice: an interrupt that is pending stays pending.
    pub fn deactivate(&mut self, id: IntId) {
        let Some(vgic) = &mut self.vgic else { return };
        if let IntId::Ppi(ppi) = id {
            self.cpu.active &= !1_u64.checked_shl(ppi).unwrap_or(0);
            return;
        }
        if let Some(entry) = vgic.ist.entry_mut(id) {
            *entry &= !GICV5_ISTL2E_ACTIVE;
        }
    }

    /// Whether a PPI exists for this guest.
    fn ppi(&self, ppi: u32) -> bool {
        self.host.ppis & 1_u64.checked_shl(ppi).unwrap_or(0) != 0
    }

    /// The interrupt that is signalled, with its priority.
    fn signalled(&self) -> Option<(u32, IntId)> {
        let vgic = self.vgic.as_ref()?;
        if !self.cpu.enabled {
            return None;
        }
        let ready = self.cpu.pending & self.cpu.enable & !self.cpu.active;
        let ppis = (0..u64::BITS).filter(|ppi| ready >> ppi & 1 != 0).map(|ppi| (self.cpu.priority(ppi), IntId::Ppi(ppi)));
        let iri = vgic.ist.iter().filter(|(_, entry)| vgic.irs.enabled && self.is_candidate(*entry)).map(|(id, entry)| {
            let priority = (entry & GICV5_ISTL2E_PRIORITY) >> GICV5_ISTL2E_PRIORITY.trailing_zeros();
            (priority & vgic.irs.priority_mask(), id)
        });
        let running = self.cpu.running_priority();
        ppis.chain(iri).filter(|(priority, _)| *priority <= self.cpu.pcr && running.is_none_or(|running| *priority < running)).min()
    }

    /// Whether an SPI or LPI is to be signalled to this PE.
    fn is_candidate(&self, entry: u32) -> bool {
        let state = entry & (GICV5_ISTL2E_PENDING | GICV5_ISTL2E_ACTIVE | GICV5_ISTL2E_ENABLE);
        // An entry routed to one of many PEs goes to none: the guest's IRS has no such routing. The architecture leaves it open.
        state == GICV5_ISTL2E_PENDING | GICV5_ISTL2E_ENABLE
            && entry & GICV5_ISTL2E_IRM == 0
            && entry >> GICV5_ISTL2E_IAFFID.trailing_zeros() == self.id.get()
    }
}
