//! The flush of tables: into guest memory, or into shadow memory.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, arm-vgic-v3.rst.
//!
//! Rule: registers are read first. A vCPU that still runs is found out by that, before guest memory is diverted under it; and once the
//! kernel has written, nothing may keep the caller from learning where.

use super::lpis::{self, Registers, TableStrategy};
use super::{Gicv3, ItsState, RedistState, read_its, read_redist, tables};
use crate::guest_memory::{GuestMemoryRead, GuestRange, join};
use crate::registers::RegisterTable;
use crate::shadow::ShadowError;
use crate::{AttrDevice, Error};
use alloc::vec::Vec;

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    /// Whether a save puts tables into the image.
    pub(super) fn needs_flush(&self) -> bool {
        !self.its.is_empty() && self.options.tables == TableStrategy::Image
    }

    pub(super) fn flush(&mut self) -> Result<Vec<GuestRange>, Error> {
        self.flushed = None;
        if self.its.is_empty() {
            return Ok(Vec::new());
        }
        let mut redists = Vec::with_capacity(self.target.vcpus.len());
        for vcpu in self.target.vcpus.iter() {
            redists.push((vcpu, RedistState::read(|row| read_redist(&self.gic, vcpu.mpidr, row))?));
        }
        let mut units = Vec::with_capacity(self.its.len());
        for (its, (base, _)) in self.its.iter().zip(&self.target.its) {
            units.push(ItsState::read(|row| read_its(its, *base, row))?);
        }
        let registers = Registers::new(redists, &units, &self.target);
        match self.options.tables {
            TableStrategy::Image => {
                let mut saved = self.save_to_shadow(&registers)?;
                lpis::read_configuration(&mut saved, &self.memory, &registers);
                self.flushed = Some(saved);
                Ok(Vec::new())
            }
            TableStrategy::GuestMemory => {
                let mapped = self.options.verify_flush.then(|| self.save_to_shadow(&registers)).transpose()?;
                lpis::save_tables(&mut self.gic, &mut self.its, &registers)?;
                if let Some(mapped) = mapped {
                    lpis::verify(&mapped, &self.memory, &registers)?;
                }
                let mut ranges: Vec<GuestRange> =
                    registers.redists.iter().map(|(_, redist)| tables::pending_table(redist)).collect();
                for (registers, (_, identity)) in units.iter().zip(&self.target.its) {
                    tables::written_by_save(identity, registers, &self.memory, &mut ranges);
                }
                Ok(join(ranges))
            }
        }
    }

    fn save_to_shadow(&mut self, registers: &Registers) -> Result<crate::its::LpiState, Error> {
        let divert = self.memory.divert().ok_or(ShadowError::Unavailable)?;
        let saved = lpis::save(&mut self.gic, &mut self.its, divert, registers)?;
        lpis::check_memory(&saved, registers, &self.memory)?;
        Ok(saved)
    }
}
