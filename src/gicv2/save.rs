//! Reads the registers of a state.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst.
//!
//! Rule: which registers, and in which order, the state says.

use super::access::get;
use super::attach::Gicv2;
use crate::state::gicv2::Gicv2State;
use crate::{AttrDevice, Error};

impl<D: AttrDevice> Gicv2<D> {
    pub(super) fn read_state(&self) -> Result<Gicv2State, Error> {
        Gicv2State::read(self.target.nr_irqs, &self.target.vcpus, |attr, _| get(&self.gic, attr))
    }
}
