//! Carries out a restore: every register and both tables, in the one order.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, restore sequence.
//!
//! Rule: whatever fails, the error says what was done before.

use super::attach::Gicv5;
use crate::error::{AccessError, Applied};
use crate::registers::RegisterTable;
use crate::state::gicv5::{CpuInterface, Gicv5State, IrsIdentity, IrsState, Ist};
use crate::{Attr, AttrId, Errno, Error, IstDevice, Operation};

impl<D: IstDevice> Gicv5<D> {
    /// Writes a state that was checked.
    pub(super) fn replay(&mut self, state: &Gicv5State<'_>) -> Result<(), Error> {
        let registers = IrsIdentity::ROWS.len() + IrsState::ROWS.len() + state.vcpus.len() * CpuInterface::ROWS.len();
        let mut applied = Applied { done: 0, total: registers + 1, last: None, memory_consumed: false };
        let mut step = |attr: AttrId, value: Option<u64>, result: Result<(), Errno>| match result {
            Ok(()) => {
                applied = Applied { done: applied.done + 1, last: Some(attr), ..applied };
                Ok(())
            }
            Err(errno) => Err(AccessError { value, applied: Some(applied), ..AccessError::new(Operation::Set, attr, errno) }),
        };
        for (row, value) in state.identity.rows().chain(state.irs.rows()) {
            let attr = Attr::irs(row.key);
            step(attr.id(), Some(value), self.device.set(attr, value))?;
        }
        let lpi = state.lpi_ist.as_ref().map(Ist::as_bytes);
        step(AttrId::IST, None, self.write_ists(state.spi_ist.as_bytes(), lpi))?;
        for vcpu in &state.vcpus {
            for (row, value) in vcpu.registers.rows() {
                let attr = Attr::cpu_sysreg(vcpu.vcpu.mpidr, row.key as u16);
                step(attr.id(), Some(value), self.device.set(attr, value))?;
            }
        }
        // The restore narrowed the device to what the guest has seen.
        self.target.identity = state.identity;
        Ok(())
    }
}
