//! The device from its creation on: what is configured, the registers, and the tables behind them.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-init.c`, `vgic-v5.c` and `vgic-irs-v5.c`, Linux 7.4; arm-vgic-v5.rst, `GRP_IRS_REGS`.
//!
//! Rule: a write of user space is refused where it contradicts a table that exists, and otherwise keeps the bits that KVM keeps.

use super::host::Host;
use super::irs::Irs;
use super::ist::Ist;
use crate::Errno;
use crate::uapi::vgic_v5::irs::*;
use crate::uapi::vgic_v5::irs_fields::*;

/// The device from its creation on.
#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) irs_address: Option<u64>,
    /// 0 until set, or until INIT takes the default.
    pub(super) nr_spis: u32,
    /// PPIs that user space may drive, one bit each; none until INIT finds vCPUs that it can serve.
    pub(super) userspace_ppis: u64,
    /// What INIT makes.
    pub(super) vgic: Option<Vgic>,
}

/// The device from INIT on.
#[derive(Debug)]
pub(super) struct Vgic {
    pub(super) irs: Irs,
    pub(super) ist: Ist,
    /// The hardware has the VM's tables. Not so after a restore that could not give them back.
    pub(super) mapped: bool,
    /// `IRS_IST_BASER` was made valid by user space, and no table was restored since.
    pub(super) owed: bool,
}

impl Vgic {
    /// Number of SPIs.
    pub(super) fn nr_spis(&self) -> usize {
        self.ist.spis.len()
    }

    /// What user space reads. The upper half of a 32-bit register is 0.
    pub(super) fn irs_get(&self, register: u32) -> u64 {
        match register {
            GICV5_IRS_SPI_CFGR => u64::from(self.ist.spis.get(self.irs.selected_spi()).is_some_and(|spi| spi.level)),
            _ => self.irs.read(register),
        }
    }

    /// What user space writes. The upper half of a 32-bit register does not matter.
    pub(super) fn irs_set(&mut self, register: u32, value: u64, host: &Host) -> Result<(), Errno> {
        match register {
            GICV5_IRS_IDR0..=GICV5_IRS_IDR7 => return self.irs.set_idr(register, value as u32, host),
            GICV5_IRS_IST_CFGR => {
                let (new, old) = self.irs.ist_cfgr(value as u32);
                if self.ist.lpis.is_some() && new != old {
                    return Err(Errno::EINVAL);
                }
            }
            GICV5_IRS_IST_BASER => {
                let (new, old) = self.irs.ist_baser(value);
                if self.ist.lpis.is_some() && new != old {
                    return Err(Errno::EINVAL);
                }
                // From here on the first run insists on a table; making the register invalid again does not help.
                self.owed |= new & GICV5_IRS_IST_BASER_VALID != 0 && !self.irs.lpis_valid();
            }
            _ => {}
        }
        self.irs.store(register, value);
        Ok(())
    }
}
