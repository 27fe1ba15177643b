//! `GRP_IST`: the interrupt state tables out to user space, and back in.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5.c` (order) and `vgic-v5-tables.c` (entries), Linux 7.4;
//! Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: a save changes nothing of the VM. A restore takes entries as they come, but for Pending, which is replayed, and HWU, which
//! is dropped; one that fails undoes the LPI table and nothing else.

use super::ist::LpiIst;
use super::vm::Vgic;
use crate::model::fault::Log;
use crate::model::shared::Shared;
use crate::model::{HostStep, IstArg};
use crate::uapi::vgic_v5::ist::{GICV5_ISTL2E_ACTIVE, GICV5_ISTL2E_HM, GICV5_ISTL2E_HWU, GICV5_ISTL2E_PENDING};
use crate::{Errno, IntId};
use alloc::vec::Vec;

impl Vgic {
    /// Both buffers against the tables that the registers say there are. Gives the width of the LPI table, if there is one.
    fn check_buffers(&self, arg: &IstArg<'_>) -> Result<Option<u32>, Errno> {
        if arg.spi.is_null() || arg.spi.size != self.nr_spis() as u64 * 4 {
            return Err(Errno::EINVAL);
        }
        if !self.irs.lpis_valid() {
            return if arg.lpi.is_null() && arg.lpi.size == 0 { Ok(None) } else { Err(Errno::EINVAL) };
        }
        let bits = self.irs.lpi_id_bits().ok_or(Errno::EINVAL)?;
        if arg.lpi.is_null() || arg.lpi.size != 4 << bits {
            return Err(Errno::EINVAL);
        }
        Ok(Some(bits))
    }

    /// Get of `GRP_IST`, once vCPUs are locked and the argument is in.
    pub(super) fn save(&self, arg: &mut IstArg<'_>, log: &Shared<Log>) -> Result<(), Errno> {
        let lpi_bits = self.check_buffers(arg)?;
        let mut log = log.lock();
        let disturbed = log.disturbance();
        let quiet = |log: &mut Log, step: HostStep| {
            log.host(step)?;
            if disturbed == Some(step) { Err(Errno::EBUSY) } else { Ok(()) }
        };

        quiet(&mut log, HostStep::Quiesce)?;
        log.host(HostStep::SpiTable)?;
        for (index, spi) in self.ist.spis.iter().enumerate() {
            arg.spi.store(index, spi.entry.to_le_bytes())?;
        }
        quiet(&mut log, HostStep::QuietAfterSpi)?;
        log.host(HostStep::LpiTable)?;
        match (lpi_bits, &self.ist.lpis) {
            (None, None) => {}
            (Some(bits), Some(lpis)) if lpis.bits != bits => return Err(Errno::EINVAL),
            (Some(_), Some(lpis)) => {
                for (index, entry) in lpis.entries.iter().enumerate() {
                    arg.lpi.store(index, entry.to_le_bytes())?;
                }
            }
            // The registers were restored and the table was not.
            (Some(_), None) | (None, Some(_)) => return Err(Errno::ENXIO),
        }
        // Chosen: KVM looks a third time even where there is no LPI table.
        quiet(&mut log, HostStep::QuietAfterLpi)
    }

    /// Set of `GRP_IST`, once vCPUs are locked and the argument is in.
    pub(super) fn restore(&mut self, arg: &IstArg<'_>, log: &mut Log, dead: &mut bool) -> Result<(), Errno> {
        let lpi_bits = self.check_buffers(arg)?;
        if self.ist.lpis.is_some() {
            return Err(Errno::EBUSY);
        }
        if let Some(bits) = lpi_bits {
            log.host(HostStep::AllocateLpi)?;
            log.host(HostStep::MapLpi).inspect_err(|errno| *dead |= *errno == Errno::ETIMEDOUT)?;
            self.ist.lpis = Some(LpiIst::new(bits));
        }
        let mut pending = Vec::new();
        let written = self.write_tables(arg, log, &mut pending);
        if let Err(errno) = written {
            self.ist.lpis = None;
            return Err(errno);
        }
        for id in &pending {
            if let Some(entry) = self.ist.entry_mut(*id) {
                *entry |= GICV5_ISTL2E_PENDING;
            }
        }
        self.ist.replayed = pending;
        self.owed = false;
        Ok(())
    }

    /// The part of a restore between the VM being taken from the hardware and given back.
    fn write_tables(&mut self, arg: &IstArg<'_>, log: &mut Log, pending: &mut Vec<IntId>) -> Result<(), Errno> {
        let mut sanitise = |id: IntId, bytes: [u8; 4]| {
            let entry = u32::from_le_bytes(bytes);
            if entry & GICV5_ISTL2E_PENDING != 0 {
                pending.push(id);
            }
            entry & !(GICV5_ISTL2E_PENDING | GICV5_ISTL2E_HWU)
        };

        log.host(HostStep::UnmapVm)?;
        log.host(HostStep::SpiTable)?;
        for (index, spi) in self.ist.spis.iter_mut().enumerate() {
            let bytes = arg.spi.load(index)?;
            let is_pending = u32::from_le_bytes(bytes) & GICV5_ISTL2E_PENDING != 0;
            spi.entry = sanitise(IntId::Spi(index as u32), bytes);
            spi.level = spi.entry & GICV5_ISTL2E_HM != 0;
            // A level SPI that is active keeps its latch: it may have been acknowledged from it.
            if !spi.level || is_pending || spi.entry & GICV5_ISTL2E_ACTIVE == 0 {
                spi.latch = is_pending;
            }
        }
        log.host(HostStep::LpiTable)?;
        if let Some(lpis) = &mut self.ist.lpis {
            for (index, entry) in lpis.entries.iter_mut().enumerate() {
                *entry = sanitise(IntId::Lpi(index as u32), arg.lpi.load(index)?);
            }
        }
        log.host(HostStep::MapVm)
    }
}
