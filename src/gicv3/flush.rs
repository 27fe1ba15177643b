//! The flush of tables: into guest memory, or into shadow memory.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, arm-vgic-v3.rst.
//!
//! Rule: registers are read first. A vCPU that still runs is found out by that, before guest memory is diverted under it; and once the
//! kernel has written, nothing may keep the caller from learning where.

use super::access::{read_its, read_redist};
use super::attach::Gicv3;
use super::once::Once;
use super::{lpis, written};
use crate::flushed::{Flush, Flushed};
use crate::image::Kind;
use crate::its::{LpiState, TableError};
use crate::judge::gicv3::{check_memory, check_slots};
use crate::memory::{GuestMemoryRead, GuestRange, ShadowError, join};
use crate::options::TableStrategy;
use crate::registers::RegisterTable;
use crate::state::gicv3::layout::Layout;
use crate::state::gicv3::{ItsState, RedistState};
use crate::topology::Vcpu;
use crate::{Attr, AttrDevice, AttrId, Error};
use alloc::vec::Vec;

/// Registers of a vCPU as they were read, 32 bits each.
fn words(vcpu: Vcpu, redist: &RedistState) -> impl Iterator<Item = (AttrId, u32)> {
    redist.rows().flat_map(move |(row, value)| {
        let half = move |n: u32| (Attr::redist(vcpu.mpidr, row.key + 4 * n).id(), (value >> (32 * n)) as u32);
        (0..1 + u32::from(row.is_wide())).map(half)
    })
}

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    pub(super) fn flush(&mut self) -> Result<Flushed, Error> {
        // Before the kernel writes guest memory for a save that would be refused.
        self.loses_nothing()?;
        if self.its.is_empty() {
            return Ok(Flushed::nothing(Kind::Gicv3));
        }
        let mut redists = Vec::with_capacity(self.target.vcpus.len());
        let mut once = Once::default();
        for vcpu in self.target.vcpus.iter() {
            redists.push((vcpu, RedistState::read(|row| read_redist(&self.gic, vcpu.mpidr, row, &mut once))?));
        }
        let mut units = Vec::with_capacity(self.its.len());
        for (its, (base, _)) in self.its.iter().zip(&self.target.its) {
            units.push(ItsState::read(|row| read_its(its, *base, row))?);
        }
        let read = redists.iter().flat_map(|(vcpu, redist)| words(*vcpu, redist)).collect();
        let registers = Layout::new(redists, &units, self.target.its.iter().copied());
        // What was flushed before is older.
        let flush = self.last_flush.insert(Flush::default()).clone();
        match self.options.tables {
            TableStrategy::Image => {
                let mut saved = self.save_to_shadow(&registers)?;
                lpis::read_configuration(&mut saved, &self.memory, &registers);
                Ok(Flushed::for_state(flush, saved).with_registers(read))
            }
            TableStrategy::GuestMemory => {
                let mapped = self.options.verify_flush.then(|| self.save_to_shadow(&registers)).transpose()?;
                lpis::save_tables(&mut self.gic, &mut self.its, &registers)?;
                if let Some(mapped) = mapped {
                    lpis::verify(&mapped, &self.memory, &registers)?;
                }
                let mut ranges: Vec<GuestRange> =
                    registers.redists.iter().map(|(_, redist)| written::pending_table(redist)).collect();
                for (registers, (_, identity)) in units.iter().zip(&self.target.its) {
                    written::written_by_save(identity, registers, &self.memory, &mut ranges);
                }
                Ok(Flushed::written_to(flush, join(ranges)).with_registers(read))
            }
        }
    }

    fn save_to_shadow(&mut self, registers: &Layout) -> Result<LpiState, Error> {
        // Before the first slot changes.
        check_slots(registers, &self.memory)?;
        let slots = self.memory.diverted().map(join);
        let divert = self.memory.divert().ok_or(ShadowError::Unavailable)?;
        let saved = lpis::save(&mut self.gic, &mut self.its, divert, registers)?;
        check_memory(&saved, registers, &self.memory, slots.as_deref(), &|table, address| TableError::NotDiverted {
            table,
            address,
        })?;
        Ok(saved)
    }
}
