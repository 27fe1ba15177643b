//! Reads the registers of a state.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
//!
//! Rule: which registers, and in which order, the state says.

use super::access::{get, read_its};
use super::attach::Gicv3;
use crate::its::LpiState;
use crate::memory::GuestMemoryRead;
use crate::registers::Row;
use crate::state::gicv3::Gicv3State;
use crate::state::gicv3::read::{Absent, Registers};
use crate::{Attr, AttrDevice, Error};

/// The devices of a VM.
struct Devices<'a, D> {
    gic: &'a D,
    its: &'a [D],
}

impl<D: AttrDevice> Registers for Devices<'_, D> {
    type Error = Error;

    fn word(&mut self, attr: Attr<u32>, _: Absent) -> Result<u32, Error> {
        get(self.gic, attr, None)
    }

    fn cpu_sysreg(&mut self, attr: Attr<u64>, _: Absent) -> Result<u64, Error> {
        get(self.gic, attr, None)
    }

    fn its(&mut self, n: usize, base: u64, row: &'static Row, _: Absent) -> Result<u64, Error> {
        // There are as many as their addresses.
        self.its.get(n).map_or(Ok(0), |its| read_its(its, base, row))
    }
}

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    /// Reads everything but the tables.
    pub(super) fn read_state(&self, lpis: Option<LpiState>) -> Result<Gicv3State, Error> {
        let mut devices = Devices { gic: &self.gic, its: &self.its };
        Gicv3State::read(&mut devices, self.target.nr_irqs, &self.target.vcpus, &self.its_bases(), lpis)
    }
}
