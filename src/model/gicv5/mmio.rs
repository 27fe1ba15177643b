//! IRS registers as a guest accesses them.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`, Linux 7.4, the handlers of guest accesses; Arm Generic Interrupt Controller
//! Architecture Specification, GICv5, IRS `CONFIG_FRAME`.
//!
//! Rule: a guest's access cannot fail; what is not there reads as 0 and ignores writes.

use super::Guest;
use super::irs::{field, register, width};
use super::ist::LpiIst;
use super::vm::Vgic;
use crate::uapi::vgic_v5::irs::*;
use crate::uapi::vgic_v5::irs_fields::*;
use crate::uapi::vgic_v5::ist::GICV5_ISTL2E_HM;

impl Guest<'_> {
    /// A 32-bit read at `offset` in `CONFIG_FRAME`; 0 where no 32-bit register is.
    #[must_use]
    pub fn irs_read32(&self, offset: u32) -> u32 {
        self.irs_read(offset, 4) as u32
    }

    /// A 64-bit read at `offset` in `CONFIG_FRAME`; 0 where no 64-bit register is.
    #[must_use]
    pub fn irs_read64(&self, offset: u32) -> u64 {
        self.irs_read(offset, 8)
    }

    /// A 32-bit write at `offset` in `CONFIG_FRAME`; ignored where no 32-bit register can be written.
    ///
    /// `IRS_IST_CFGR` is immutable while the LPI table exists. `IRS_SPI_CFGR` sets the trigger mode of the SPI that `IRS_SPI_SELR`
    /// selects; see [`Host::spi_cfgr_sets_hm`](super::Host::spi_cfgr_sets_hm).
    pub fn irs_write32(&mut self, offset: u32, value: u32) {
        self.irs_write(offset, 4, u64::from(value));
    }

    /// A 64-bit write at `offset` in `CONFIG_FRAME`; ignored where no 64-bit register can be written.
    ///
    /// `IRS_IST_BASER`: setting VALID makes the LPI table, of the shape that `IRS_IST_CFGR` says, with all entries 0; clearing it
    /// drops the table. While the table exists, nothing else of the register changes. An `IRS_IST_CFGR` that `IRS_IDR2` does not
    /// allow makes no table, and VALID stays 0.
    pub fn irs_write64(&mut self, offset: u32, value: u64) {
        self.irs_write(offset, 8, value);
    }

    // Chosen: an access of another width than the register's is like one to nothing.
    fn irs_read(&self, offset: u32, bytes: u32) -> u64 {
        match (&self.vgic, register(u64::from(offset))) {
            (Some(vgic), Ok(register)) if width(register) == bytes => vgic.mmio_read(register),
            _ => 0,
        }
    }

    fn irs_write(&mut self, offset: u32, bytes: u32, value: u64) {
        if let (Some(vgic), Ok(register)) = (&mut self.vgic, register(u64::from(offset)))
            && width(register) == bytes
        {
            vgic.mmio_write(register, value, self.host.spi_cfgr_sets_hm);
        }
    }
}

impl Vgic {
    fn mmio_read(&self, register: u32) -> u64 {
        let selected = match register {
            GICV5_IRS_SPI_STATUSR if (self.irs.spi_selr as usize) < self.nr_spis() => GICV5_IRS_SPI_STATUSR_V,
            GICV5_IRS_PE_STATUSR if self.irs.pe_selected() => GICV5_IRS_PE_STATUSR_V | GICV5_IRS_PE_STATUSR_ONLINE,
            _ => 0,
        };
        self.irs_get(register) | u64::from(selected)
    }

    fn mmio_write(&mut self, register: u32, value: u64, spi_cfgr_sets_hm: bool) {
        match register {
            GICV5_IRS_SPI_CFGR => {
                let level = field(value as u32, GICV5_IRS_SPI_CFGR_TM) != 0;
                if let Some(spi) = self.ist.spis.get_mut(self.irs.spi_selr as usize) {
                    spi.level = level;
                    if spi_cfgr_sets_hm {
                        spi.entry = spi.entry & !GICV5_ISTL2E_HM | if level { GICV5_ISTL2E_HM } else { 0 };
                    }
                }
            }
            GICV5_IRS_IST_CFGR => {
                if self.ist.lpis.is_none() {
                    self.irs.set_ist(value as u32, self.irs_get(GICV5_IRS_IST_BASER));
                }
            }
            GICV5_IRS_IST_BASER => self.write_baser(value),
            _ => self.irs.store(register, value as u32),
        }
    }

    fn write_baser(&mut self, value: u64) {
        let cfgr = self.irs_get(GICV5_IRS_IST_CFGR) as u32;
        let valid = value & GICV5_IRS_IST_BASER_VALID != 0;
        match (self.ist.lpis.is_some(), valid) {
            // Chosen: the write that drops the table stores its address field too.
            (true, false) => self.ist.lpis = None,
            (false, true) => match self.irs.lpi_id_bits() {
                Some(bits) => self.ist.lpis = Some(LpiIst::new(bits)),
                // Chosen: the whole write is ignored.
                None => return,
            },
            (true, true) => return,
            (false, false) => {}
        }
        self.irs.set_ist(cfgr, value);
    }
}
