//! Carries out a restore: every register and both tables, in the one order.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, restore sequence.
//!
//! Rule: nothing is written where this attachment has restored before, or where the device shows a restore or a guest; whatever fails, the
//! error says what was done before.

use super::access::get;
use super::attach::Gicv5;
use super::ppis::{self, Ppis};
use crate::error::{AccessError, Applied, DeviceError};
use crate::registers::RegisterTable;
use crate::state::gicv5::{CpuInterface, Gicv5State, IrsIdentity, IrsState, Ist};
use crate::uapi::vgic_v5::{irs, irs_fields};
use crate::{Attr, AttrId, Errno, Error, IstDevice, Operation};

/// With fewer vCPUs, asking for the PPIs that the kernel has takes 16 accesses and saves hardly as many: 11 for each.
const MANY_VCPUS: usize = 3;

impl<D: IstDevice> Gicv5<D> {
    /// Refuses to write where a restore was before, or a guest. Through this attachment, a restore is remembered as soon as one step of it
    /// is done. Of what went through another one, the device shows an IRS that is enabled, or an LPI table: a new GICv5 has neither. After
    /// a run the kernel refuses the first write.
    ///
    /// Not found: a restore through another attachment of a state with `IRSEN` and `VALID` clear, or one that failed before it wrote
    /// `IST_BASER`. There is no LPI table then, and every register and all of the SPI table are written again: the device is as after
    /// the second restore alone.
    pub(super) fn is_fresh(&self) -> Result<(), Error> {
        if self.restored {
            return Err(DeviceError::RestoredBefore.into());
        }
        let shown = [
            (Attr::irs(irs::GICV5_IRS_CR0), u64::from(irs_fields::GICV5_IRS_CR0_IRSEN)),
            (Attr::irs(irs::GICV5_IRS_IST_BASER), irs_fields::GICV5_IRS_IST_BASER_VALID),
        ];
        for (attr, bit) in shown {
            let value = get(&self.device, attr)?;
            if value & bit != 0 {
                return Err(DeviceError::NotFresh { attr: attr.id(), value }.into());
            }
        }
        Ok(())
    }

    /// Writes a state that was checked, and remembers if anything of it was written.
    pub(super) fn replay(&mut self, state: &Gicv5State<'_>) -> Result<(), Error> {
        let result = self.write(state);
        self.restored |= match &result {
            Ok(()) => true,
            Err(error) => error.applied().is_some_and(|applied| applied.done > 0),
        };
        result
    }

    fn write(&mut self, state: &Gicv5State<'_>) -> Result<(), Error> {
        let registers = IrsIdentity::ROWS.len() + IrsState::ROWS.len() + state.vcpus.len() * CpuInterface::ROWS.len();
        let mut progress = Progress(Applied { done: 0, total: registers + 1, last: None, memory_consumed: false });
        for (row, value) in state.identity.rows().chain(state.irs.rows()) {
            let attr = Attr::irs(row.key);
            progress.step(attr.id(), Some(value), self.device.set(attr, value))?;
        }
        let lpi = state.lpi_ist.as_ref().map(Ist::as_bytes);
        progress.step(AttrId::IST, None, self.write_ists(state.spi_ist.as_bytes(), lpi))?;
        for vcpu in &state.vcpus {
            if self.ppis == Ppis::Unknown && state.vcpus.len() >= MANY_VCPUS {
                // The vCPU's registers are written next.
                self.ppis = ppis::ask(&mut self.device, vcpu.vcpu.mpidr, false).map_err(|error| progress.so_far(error))?;
            }
            for (row, value) in vcpu.registers.rows() {
                let attr = Attr::cpu_sysreg(vcpu.vcpu.mpidr, row.key as u16);
                // Left out, it is as it would be when written.
                let result = if self.ppis.lack(row) { Ok(()) } else { self.device.set(attr, value) };
                progress.step(attr.id(), Some(value), result)?;
            }
        }
        // The restore narrowed the device to what the guest has seen.
        self.target.identity = state.identity;
        Ok(())
    }
}

/// How far a restore has come.
struct Progress(Applied);

impl Progress {
    fn step(&mut self, attr: AttrId, value: Option<u64>, result: Result<(), Errno>) -> Result<(), Error> {
        match result {
            Ok(()) => {
                self.0 = Applied { done: self.0.done + 1, last: Some(attr), ..self.0 };
                Ok(())
            }
            Err(errno) => Err(self.so_far(AccessError { value, ..AccessError::new(Operation::Set, attr, errno) }.into())),
        }
    }

    /// The same error, which says what was done before.
    fn so_far(&self, error: Error) -> Error {
        match error {
            Error::Access(error) => AccessError { applied: Some(self.0), ..*error }.into(),
            error => error,
        }
    }
}
