//! The transfer of interrupt state tables between the kernel and buffers of the caller.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: a buffer is compared with what the device needs before the kernel sees a pointer.

use super::access::{get, read_irs};
use super::attach::Gicv5;
use crate::buffer::IstSizes;
use crate::error::{AccessError, DeviceError};
use crate::registers::RegisterTable;
use crate::state::gicv5::codec::Head;
use crate::state::gicv5::ist::{clear_hwu, set_level};
use crate::state::gicv5::{CpuInterface, Idr2, IrsIdentity, IrsState, IstBaser, IstCfgr};
use crate::topology::{LpiIdBits, Vcpu};
use crate::uapi::vgic_v5::irs;
use crate::{Attr, AttrId, Errno, Error, IstDevice, Operation};

impl<D: IstDevice> Gicv5<D> {
    /// Asks the device for the exact sizes of the buffers for its tables.
    ///
    /// The SPI table follows from the number of SPIs, the LPI table from `IRS_IST_CFGR` and `IRS_IST_BASER`, which the guest writes:
    /// ask with the vCPUs stopped.
    ///
    /// # Errors
    ///
    /// [`Error::Access`]: the device cannot be read. [`Error::Device`]: it reports a width of LPI IDs that no table can have, or more
    /// LPIs than an image can hold.
    pub fn ist_sizes(&self) -> Result<IstSizes, Error> {
        let ist_cfgr = get(&self.device, Attr::irs(irs::GICV5_IRS_IST_CFGR))?;
        let ist_baser = get(&self.device, Attr::irs(irs::GICV5_IRS_IST_BASER))?;
        self.sizes_of(ist_cfgr, ist_baser)
    }

    /// Has the kernel write both tables into the caller's bytes, of any alignment. No allocation, no copy.
    ///
    /// `ISTE.HWU` is cleared on the way out: it means nothing to another host. Level-triggered SPIs, by HM or by
    /// [`Options::level_spis`](crate::Options::level_spis), get HM = 1 and Pending = 0. After an error, the contents of the buffers
    /// are unspecified.
    ///
    /// # Errors
    ///
    /// [`Error::Device`]: an SPI was named that the device does not have. [`Error::Buffer`]: a buffer is not exactly what the device
    /// needs; the kernel has seen no pointer. [`Error::Access`]: the kernel refused. After `EBUSY`, the save is repeated as often as
    /// [`Options::retries`](crate::Options::retries) says. Otherwise as [`Gicv5::ist_sizes`].
    pub fn save_ists(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Error> {
        self.level_spis_exist()?;
        self.transfer(&self.ist_sizes()?, spi, lpi)
    }

    /// Has the kernel read both tables from the caller's bytes, of any alignment. No allocation, no copy.
    ///
    /// A step of a restore, after the IRS registers. Checks the buffers, not what is in them:
    /// [`InterruptState::restore`](crate::InterruptState::restore) does. The kernel gets level-triggered SPIs as [`Gicv5::save_ists`] has
    /// them, whatever the buffer has.
    ///
    /// # Errors
    ///
    /// [`Error::Device`]: an SPI was named that the device does not have. [`Error::Buffer`]: a buffer is not exactly what the device
    /// needs; the kernel has seen no pointer. [`Error::Access`]: the kernel refused. Otherwise as [`Gicv5::ist_sizes`].
    pub fn restore_ists(&mut self, spi: &[u8], lpi: Option<&[u8]>) -> Result<(), Error> {
        self.level_spis_exist()?;
        self.ist_sizes()?.check(spi, lpi)?;
        self.write_ists(spi, lpi).map_err(|errno| AccessError::new(Operation::Set, AttrId::IST, errno))?;
        Ok(())
    }

    pub(super) fn transfer(&self, sizes: &IstSizes, spi: &mut [u8], mut lpi: Option<&mut [u8]>) -> Result<(), Error> {
        sizes.check(spi, lpi.as_deref())?;
        let mut attempts = 1;
        while let Err(errno) = self.device.save_ist(spi, lpi.as_deref_mut()) {
            // The registers were just read: the vCPUs are stopped and the device is initialised. What is left of EBUSY is a VM that
            // did not come to rest.
            if errno != Errno::EBUSY || attempts > u32::from(self.options.retries) {
                return Err(AccessError { attempts, ..AccessError::new(Operation::Get, AttrId::IST, errno) }.into());
            }
            attempts += 1;
        }
        clear_hwu(spi);
        set_level(spi, &self.options.level_spis);
        if let Some(lpi) = lpi {
            clear_hwu(lpi);
        }
        Ok(())
    }

    fn sizes_of(&self, ist_cfgr: u64, ist_baser: u64) -> Result<IstSizes, Error> {
        if !IstBaser::from_bits(ist_baser).valid() {
            return Ok(IstSizes::new(self.target.spi_count, None));
        }
        let bits = u32::from(IstCfgr::from_bits(ist_cfgr as u32).lpi_id_bits());
        let bits = LpiIdBits::new(bits).map_err(|_| {
            // A host has more than 16 bits where a VMM asks for them by IRS_IDR2.
            if bits <= Idr2::from_bits(self.target.identity.idr2).id_bits().into() {
                DeviceError::LpiIdBits { found: bits, greatest: LpiIdBits::MAX.get() }
            } else {
                let attr = Attr::irs(irs::GICV5_IRS_IST_CFGR).id();
                DeviceError::Impossible { attr, value: ist_cfgr, reason: "LPI_ID_BITS is more than IRS_IDR2.ID_BITS" }
            }
        })?;
        Ok(IstSizes::new(self.target.spi_count, Some(bits)))
    }

    /// Everything but the tables and the CPU interfaces.
    pub(super) fn head(&self) -> Result<Head, Error> {
        let identity = IrsIdentity::read(|row| read_irs(&self.device, row))?;
        let irs = IrsState::read(|row| read_irs(&self.device, row))?;
        let sizes = self.sizes_of(irs.ist_cfgr.into(), irs.ist_baser)?;
        Ok(Head { spi_count: self.target.spi_count, identity, irs, sizes })
    }

    pub(super) fn cpu_interface(&self, vcpu: Vcpu) -> Result<CpuInterface, Error> {
        CpuInterface::read(|row| match self.ppis.lack(row) {
            true => Ok(0),
            false => get(&self.device, Attr::cpu_sysreg(vcpu.mpidr, row.key as u16)),
        })
    }
}
