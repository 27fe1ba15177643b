//! IRS registers as a guest accesses them.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`, Linux 7.4, the handlers of guest accesses; Arm Generic Interrupt Controller
//! Architecture Specification, GICv5, IRS `CONFIG_FRAME`.
//!
//! Rule: a guest's access cannot fail; what is not there reads as 0 and ignores writes.

use super::device::Vgic;
use super::guest::Guest;
use super::irs;
use super::ist::LpiIst;
use crate::uapi::vgic_v5::irs::*;
use crate::uapi::vgic_v5::irs_fields::*;

impl Guest<'_> {
    /// A 32-bit read at `offset` in `CONFIG_FRAME`: a 32-bit register, or either half of a 64-bit one; 0 where none is.
    #[must_use]
    pub fn irs_read32(&self, offset: u32) -> u32 {
        self.irs_read(offset, 4) as u32
    }

    /// A 64-bit read at `offset` in `CONFIG_FRAME`; 0 where no 64-bit register is.
    #[must_use]
    pub fn irs_read64(&self, offset: u32) -> u64 {
        self.irs_read(offset, 8)
    }

    /// A 32-bit write at `offset` in `CONFIG_FRAME`: of a 32-bit register, or of either half of a 64-bit one, whose other half stays
    /// as it is; ignored where none can be written.
    ///
    /// `IRS_IST_CFGR` is immutable while the LPI table is valid. `IRS_SPI_CFGR` sets KVM's trigger mode of the SPI that
    /// `IRS_SPI_SELR` selects; the handling mode in the host's table stays what it was.
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

    fn irs_read(&self, offset: u32, bytes: u32) -> u64 {
        let (Some(vgic), Some((register, half))) = (&self.vgic, accessed(offset, bytes)) else { return 0 };
        let value = vgic.mmio_read(register);
        half.map_or(value, |half| u64::from((value >> half.shift()) as u32))
    }

    fn irs_write(&mut self, offset: u32, bytes: u32, value: u64) {
        let (Some(vgic), Some((register, half))) = (&mut self.vgic, accessed(offset, bytes)) else { return };
        let value = half.map_or(value, |half| {
            let other = vgic.mmio_read(register) & !(u64::from(u32::MAX) << half.shift());
            other | u64::from(value as u32) << half.shift()
        });
        vgic.mmio_write(register, value);
    }
}

/// Which 32 bits of a 64-bit register.
#[derive(Clone, Copy)]
enum Half {
    Low,
    High,
}

impl Half {
    fn shift(self) -> u32 {
        match self {
            Half::Low => 0,
            Half::High => 32,
        }
    }
}

/// The register that an access of so many bytes reaches, and which half if not all of it.
fn accessed(offset: u32, bytes: u32) -> Option<(u32, Option<Half>)> {
    let register = irs::at(offset)?;
    match (irs::width(register), bytes, offset - register) {
        (4, 4, 0) | (8, 8, 0) => Some((register, None)),
        (8, 4, 0) => Some((register, Some(Half::Low))),
        (8, 4, 4) => Some((register, Some(Half::High))),
        _ => None,
    }
}

impl Vgic {
    fn mmio_read(&self, register: u32) -> u64 {
        let selected = match register {
            GICV5_IRS_SPI_STATUSR if self.irs.selected_spi() < self.nr_spis() => GICV5_IRS_SPI_STATUSR_V,
            GICV5_IRS_PE_STATUSR if self.irs.pe_selected() => GICV5_IRS_PE_STATUSR_V | GICV5_IRS_PE_STATUSR_ONLINE,
            _ => 0,
        };
        self.irs_get(register) | u64::from(selected)
    }

    fn mmio_write(&mut self, register: u32, value: u64) {
        match register {
            GICV5_IRS_SPI_CFGR => {
                if let Some(spi) = self.ist.spis.get_mut(self.irs.selected_spi()) {
                    spi.level = irs::field(value as u32, GICV5_IRS_SPI_CFGR_TM) != 0;
                }
            }
            GICV5_IRS_IST_CFGR if self.irs.lpis_valid() => {}
            GICV5_IRS_IST_BASER => self.write_baser(value),
            _ => self.irs.store(register, value),
        }
    }

    fn write_baser(&mut self, value: u64) {
        match (self.irs.lpis_valid(), value & GICV5_IRS_IST_BASER_VALID != 0) {
            (true, false) => self.ist.lpis = None,
            (false, true) => match self.irs.lpi_id_bits() {
                Some(bits) => self.ist.lpis = Some(LpiIst::new(bits)),
                None => return,
            },
            (true, true) => return,
            (false, false) => {}
        }
        self.irs.store(GICV5_IRS_IST_BASER, value);
    }
}
