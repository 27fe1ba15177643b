//! Access to the state of the host, which only a model offers: to look at it, and to change it.
//!
//! Source: none of the kernel's; the entries are the `L2_ISTE` of the Arm Generic Interrupt Controller Architecture Specification,
//! GICv5.
//!
//! Rule: a hook makes a state that some guest and some hardware could have made, and counts neither as an access nor as a run.

use super::ist::{LpiIst, Spi};
use super::vm::Vm;
use crate::uapi::vgic_v5::irs::{GICV5_IRS_IST_BASER, GICV5_IRS_IST_CFGR};
use crate::uapi::vgic_v5::irs_fields::GICV5_IRS_IST_BASER_VALID;
use crate::uapi::vgic_v5::ist::GICV5_ISTL2E_HWU;
use crate::{Errno, IntId};
use alloc::vec::Vec;

/// Where a planted guest has its LPI table.
const PLANTED_ADDRESS: u64 = 0x0000_0001_2345_6780 & !0x3f;

impl Vm {
    /// The state of an SPI in the host and in KVM; `None` before INIT, and if there is no such SPI.
    #[must_use]
    pub fn spi(&self, spi: u32) -> Option<Spi> {
        self.vgic()?.ist.spis.get(spi as usize).copied()
    }

    /// The entry (`L2_ISTE`) of an SPI or LPI in the host's table; `None` if there is none.
    #[must_use]
    pub fn entry(&self, id: IntId) -> Option<u32> {
        self.vgic()?.ist.entry(id).copied()
    }

    /// The interrupts that the last successful restore made pending, in the order in which it made them so.
    #[must_use]
    pub fn replayed(&self) -> Vec<IntId> {
        self.vgic().map(|vgic| vgic.ist.replayed.clone()).unwrap_or_default()
    }

    /// Puts a value, 0 to 3, into `L2_ISTE.HWU` of an SPI or LPI, as the hardware may at any time.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is no such interrupt.
    pub fn set_hwu(&mut self, id: IntId, hwu: u32) -> Result<(), Errno> {
        let entry = self.vgic_mut().and_then(|vgic| vgic.ist.entry_mut(id)).ok_or(Errno::EINVAL)?;
        *entry = *entry & !GICV5_ISTL2E_HWU | hwu << GICV5_ISTL2E_HWU.trailing_zeros() & GICV5_ISTL2E_HWU;
        Ok(())
    }

    /// Takes over the LPI table of a real guest: `IRS_IST_CFGR` and `IRS_IST_BASER` as that guest wrote them, and its entries, one
    /// little-endian 32-bit word per LPI, in the host's table. A table that exists is replaced.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the device is not initialised.
    /// - `EINVAL`: `IRS_IDR2` does not allow `bits`, or `table` is not `4 << bits` bytes long. Nothing changes then.
    pub fn plant_lpi_ist(&mut self, bits: u32, table: &[u8]) -> Result<(), Errno> {
        let vgic = self.vgic_mut().ok_or(Errno::EBUSY)?;
        if !vgic.irs.lpi_bits_allowed(bits) || table.len() as u64 != 4 << bits {
            return Err(Errno::EINVAL);
        }
        vgic.irs.store(GICV5_IRS_IST_CFGR, u64::from(bits));
        vgic.irs.store(GICV5_IRS_IST_BASER, PLANTED_ADDRESS | GICV5_IRS_IST_BASER_VALID);
        let entries = table.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry)).collect();
        vgic.ist.lpis = Some(LpiIst { bits, entries });
        Ok(())
    }

    /// Takes over the SPI table of a real guest, one little-endian 32-bit word per SPI. KVM's own state of the SPIs stays as it is.
    ///
    /// # Errors
    ///
    /// - `EBUSY`: the device is not initialised.
    /// - `EINVAL`: `table` is not 4 bytes per SPI long. Nothing changes then.
    pub fn plant_spi_ist(&mut self, table: &[u8]) -> Result<(), Errno> {
        let vgic = self.vgic_mut().ok_or(Errno::EBUSY)?;
        if table.len() != vgic.nr_spis() * 4 {
            return Err(Errno::EINVAL);
        }
        for (spi, entry) in vgic.ist.spis.iter_mut().zip(table.as_chunks::<4>().0) {
            spi.entry = u32::from_le_bytes(*entry);
        }
        Ok(())
    }
}
