//! System instructions of a guest on one SPI or LPI.
//!
//! Source: Arm Generic Interrupt Controller Architecture Specification, GICv5, `GIC CD*`; `arch/arm64/tools/sysreg`, Linux 7.4,
//! `ICC_ICSR_EL1`.
//!
//! Rule: an instruction changes one field of one entry. On an interrupt that does not exist, and on PPIs, it does nothing: those are
//! configured by registers.

use super::guest::Guest;
use crate::IntId;
use crate::uapi::vgic_v5::icc::SYS_ICC_ICSR_EL1;
use crate::uapi::vgic_v5::ist::*;

impl Guest<'_> {
    /// `GIC CDPEND`: sets or clears Pending.
    pub fn cdpend(&mut self, id: IntId, pending: bool) {
        self.change(id, GICV5_ISTL2E_PENDING, u32::from(pending));
    }

    /// `GIC CDEN`: enables the interrupt.
    pub fn cden(&mut self, id: IntId) {
        self.change(id, GICV5_ISTL2E_ENABLE, 1);
    }

    /// `GIC CDDIS`: disables the interrupt.
    pub fn cddis(&mut self, id: IntId) {
        self.change(id, GICV5_ISTL2E_ENABLE, 0);
    }

    /// `GIC CDPRI`: sets the priority, 0 to 31; bits that the IRS does not implement are ignored.
    pub fn cdpri(&mut self, id: IntId, priority: u32) {
        let implemented = self.vgic.as_ref().map_or(0, |vgic| vgic.irs.priority_mask());
        self.change(id, GICV5_ISTL2E_PRIORITY, priority & implemented);
    }

    /// `GIC CDAFF`: routes the interrupt to the PE with this IAFFID, which need not exist.
    pub fn cdaff(&mut self, id: IntId, iaffid: u16) {
        self.change(id, GICV5_ISTL2E_IAFFID, u32::from(iaffid));
    }

    /// `GIC CDHM`: sets the handling mode, level or edge. KVM's trigger mode of an SPI, in `IRS_SPI_CFGR`, does not follow.
    pub fn cdhm(&mut self, id: IntId, level: bool) {
        self.change(id, GICV5_ISTL2E_HM, u32::from(level));
    }

    /// `GIC CDRCFG`, then a read of `ICC_ICSR_EL1`, which holds the result: F in bit 0, Enabled 1, Pending 2, IRM 3, Active 4, HM 5,
    /// Priority 15:11, IAFFID 47:32. Only F is set if the interrupt does not exist.
    pub fn cdrcfg(&mut self, id: IntId) -> u64 {
        let Some(vgic) = &self.vgic else { return 0 };
        let icsr = vgic.ist.entry(id).map_or(1, |entry| {
            let bit = |mask: u32, at: u32| u64::from(*entry & mask != 0) << at;
            bit(GICV5_ISTL2E_ENABLE, 1)
                | bit(GICV5_ISTL2E_PENDING, 2)
                | bit(GICV5_ISTL2E_IRM, 3)
                | bit(GICV5_ISTL2E_ACTIVE, 4)
                | bit(GICV5_ISTL2E_HM, 5)
                | u64::from(*entry & GICV5_ISTL2E_PRIORITY)
                | u64::from(*entry & GICV5_ISTL2E_IAFFID) << 16
        });
        self.icc_write(SYS_ICC_ICSR_EL1, icsr);
        icsr
    }

    /// Puts `value` into the field `mask` of an entry.
    fn change(&mut self, id: IntId, mask: u32, value: u32) {
        if let Some(vgic) = &mut self.vgic
            && let Some(entry) = vgic.ist.entry_mut(id)
        {
            *entry = *entry & !mask | value << mask.trailing_zeros() & mask;
        }
    }
}
