//! The flush of tables: into guest memory, or into shadow memory.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, arm-vgic-v3.rst.
//!
//! Rule: registers are read first. A vCPU that still runs is found out by that, before guest memory is diverted under it; and once the
//! kernel has written, nothing may keep the caller from learning where: if that can no longer be read, it is all of memory.

use super::access::{read_its, read_redist};
use super::attach::Gicv3;
use super::once::Once;
use super::{lpis, written};
use crate::flushed::{Flush, Flushed};
use crate::image::Kind;
use crate::its::{LpiState, TableError};
use crate::judge::gicv3::{check_memory, check_slots};
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError, ShadowError, first_outside, join};
use crate::options::TableStrategy;
use crate::registers::RegisterTable;
use crate::state::gicv3::layout::Layout;
use crate::state::gicv3::{ItsState, RedistState};
use crate::topology::Vcpu;
use crate::{Attr, AttrDevice, AttrId, Error};
use alloc::vec::Vec;

/// Guest physical addresses have at most 52 bits.
const ADDRESS_END: u64 = 1 << 52;

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
                lpis::read_configuration(&mut saved, &self.memory, &registers)?;
                Ok(Flushed::for_state(flush, saved).with_registers(read))
            }
            TableStrategy::GuestMemory => {
                written::check_readable(&registers.its, &self.memory)?;
                let mapped = self.options.verify_flush.then(|| self.save_to_shadow(&registers)).transpose()?;
                lpis::save_tables(&mut self.gic, &mut self.its, &registers)?;
                if let Some(mapped) = mapped {
                    lpis::verify(&mapped, &self.memory, &registers)?;
                }
                let mut ranges: Vec<GuestRange> =
                    registers.redists.iter().map(|(_, redist)| written::pending_table(redist)).collect();
                let written = units.iter().zip(&self.target.its).try_for_each(|(registers, (_, identity))| {
                    written::written_by_save(identity, registers, &self.memory, &mut ranges)
                });
                if written.is_err() {
                    ranges.extend(self.memory.ranges().unwrap_or_else(|| Vec::from([GuestRange::new(0, ADDRESS_END)])));
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
        let saved = lpis::save(&mut self.gic, &mut self.its, divert, registers);
        let saved = saved.map_err(|error| self.not_diverted(error, slots.as_deref()))?;
        check_memory(&saved, registers, &self.memory, slots.as_deref(), &|table, address| TableError::NotDiverted {
            table,
            address,
            in_memory: true,
        })?;
        Ok(saved)
    }

    /// What it is that the shadow does not have, by the slots and the memory that were given.
    fn not_diverted(&self, error: Error, slots: Option<&[GuestRange]>) -> Error {
        let Error::Tables(error) = error else { return error };
        let TableError::NotDiverted { table, address, .. } = *error else { return Error::Tables(error) };
        let byte = GuestRange::new(address, 1);
        if slots.is_some_and(|slots| first_outside(byte, slots).is_none()) {
            // It was diverted, and the shadow cannot be accessed there: a file that has become shorter.
            return TableError::Outside { table, address }.into();
        }
        let in_memory = match self.memory.ranges().map(join) {
            Some(ranges) => first_outside(byte, &ranges).is_none(),
            None => match self.memory.read(address, &mut [0]) {
                Err(error @ MemoryError::Failed(_)) => return TableError::memory(error, table, address).into(),
                read => read.is_ok(),
            },
        };
        TableError::NotDiverted { table, address, in_memory }.into()
    }
}
