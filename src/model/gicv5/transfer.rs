//! `GRP_IST`: save of the interrupt state tables to user space, and restore from there.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5.c` (order) and `vgic-v5-tables.c` (entries), Linux 7.4;
//! Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: a save changes nothing of the VM. A restore takes entries as they come, but for Pending, which is replayed, and HWU, which
//! is dropped; one that fails undoes the LPI table, as far as the host lets it, and nothing else.

use super::device::Vgic;
use super::ist::LpiIst;
use crate::model::fault::{HostStep, Log};
use crate::model::shared::Shared;
use crate::model::user::IstArg;
use crate::uapi::vgic_v5::ist::{GICV5_ISTL2E_HM, GICV5_ISTL2E_HWU, GICV5_ISTL2E_PENDING};
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
        // Also where there is no LPI table.
        quiet(&mut log, HostStep::QuietAfterLpi)
    }

    /// Set of `GRP_IST`, once vCPUs are locked and the argument is in.
    pub(super) fn restore(&mut self, arg: &IstArg<'_>, log: &mut Log, dead: &mut bool) -> Result<(), Errno> {
        let lpi_bits = self.check_buffers(arg)?;
        if self.ist.lpis.is_some() {
            return Err(Errno::EBUSY);
        }
        if let Some(bits) = lpi_bits {
            // An LPI table is for a VM whose tables the hardware has; without one a restore may give them back for the first time.
            if !self.mapped {
                return Err(Errno::ENXIO);
            }
            log.host(HostStep::AllocateLpi)?;
            log.host(HostStep::MapLpi).inspect_err(|errno| *dead |= *errno == Errno::ETIMEDOUT)?;
            self.ist.lpis = Some(LpiIst::new(bits));
        }
        let pending = self.write_tables(arg, log).inspect_err(|_| self.undo(log))?;
        for id in &pending {
            if let Some(entry) = self.ist.entry_mut(*id) {
                *entry |= GICV5_ISTL2E_PENDING;
            }
        }
        self.ist.replayed = pending;
        self.owed = false;
        Ok(())
    }

    /// Takes the VM's tables from the hardware, writes them, and gives them back. What is to be made pending, in order.
    fn write_tables(&mut self, arg: &IstArg<'_>, log: &mut Log) -> Result<Vec<IntId>, Errno> {
        self.unmap(log)?;
        let mut pending = Vec::new();
        log.host(HostStep::SpiTable)?;
        for (index, spi) in (0..).zip(&mut self.ist.spis) {
            let entry = u32::from_le_bytes(arg.spi.load(index as usize)?);
            let is_pending = entry & GICV5_ISTL2E_PENDING != 0;
            if is_pending {
                log.host(HostStep::RememberPending)?;
                pending.push(IntId::Spi(index));
            }
            spi.entry = entry & !(GICV5_ISTL2E_PENDING | GICV5_ISTL2E_HWU);
            spi.level = entry & GICV5_ISTL2E_HM != 0;
            // Of a level interrupt too, active or not: nothing but another restore takes it away.
            spi.latch = is_pending;
        }
        log.host(HostStep::LpiTable)?;
        for (index, lpi) in (0..).zip(self.ist.lpis.iter_mut().flat_map(|lpis| &mut lpis.entries)) {
            let entry = u32::from_le_bytes(arg.lpi.load(index as usize)?);
            if entry & GICV5_ISTL2E_PENDING != 0 {
                log.host(HostStep::RememberPending)?;
                pending.push(IntId::Lpi(index));
            }
            *lpi = entry & !(GICV5_ISTL2E_PENDING | GICV5_ISTL2E_HWU);
        }
        self.map(log)?;
        Ok(pending)
    }

    /// Takes back what a restore that failed made: the LPI table, unless the hardware keeps the VM's tables. What fails here fails in
    /// silence.
    fn undo(&mut self, log: &mut Log) {
        if self.ist.lpis.is_some() && self.unmap(log).is_ok() {
            self.ist.lpis = None;
        }
        let _ = self.map(log);
    }

    fn unmap(&mut self, log: &mut Log) -> Result<(), Errno> {
        if self.mapped {
            log.host(HostStep::UnmapVm)?;
            self.mapped = false;
        }
        Ok(())
    }

    fn map(&mut self, log: &mut Log) -> Result<(), Errno> {
        if !self.mapped {
            log.host(HostStep::MapVm)?;
            self.mapped = true;
        }
        Ok(())
    }
}
