//! Level-triggered SPIs, which KVM's tables do not have and the VMM does.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`, `vgic-v5-tables.c`, Linux 7.4: a guest's write of `IRS_SPI_CFGR` reaches no table, a
//! restore takes the trigger mode from `ISTE.HM`, and a latch that it restores is cleared by no line.
//!
//! Rule: what is saved and what is restored has HM = 1 and Pending = 0 for every SPI that is level-triggered; its line is driven
//! afterwards.

use super::attach::Gicv5;
use crate::error::DeviceError;
use crate::state::gicv5::ist::{lacks_level, set_level};
use crate::topology::SpiCount;
use crate::{Errno, IstDevice};

impl<D: IstDevice> Gicv5<D> {
    /// Refuses to go on with SPIs that the VM does not have: the set is of something else.
    pub(super) fn level_spis_exist(&self) -> Result<(), DeviceError> {
        let spi_count = self.target.spi_count;
        match self.options.level_spis.iter().find(|spi| *spi >= spi_count.get()) {
            Some(spi) => Err(DeviceError::LevelSpi { spi, spi_count }),
            None => Ok(()),
        }
    }

    /// Has the kernel read both tables, whose sizes were checked. A table of SPIs that lacks a level-triggered one is mended on the
    /// stack, 4 KiB at most.
    pub(super) fn write_ists(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Errno> {
        let level = self.options.level_spis;
        if !lacks_level(spi, &level) {
            return self.device.restore_ist(spi, lpi);
        }
        let mut room = [0; SpiCount::MAX.ist_bytes()];
        // No table of SPIs is larger.
        let mended = room.get_mut(..spi.len()).ok_or(Errno::EINVAL)?;
        mended.copy_from_slice(spi);
        set_level(mended, &level);
        self.device.restore_ist(mended, lpi)
    }
}
