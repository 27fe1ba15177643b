//! Carries out a restore: each step on the device it belongs to, written, and read back where the step asks for it.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c` and `vgic-its.c`: writes that are accepted and dropped.
//!
//! Rule: whatever fails, the error says what was done before.

use super::restore::{Step, Verify, Write, plan};
use super::{Gicv3, Gicv3State};
use crate::check::{Finding, Oddity, Place, Refusal, Report};
use crate::error::{AccessError, Applied, Operation, ReadBackError};
use crate::{Attr, AttrDevice, AttrId, Command, Error, Word};

impl<D: AttrDevice, M> Gicv3<D, M> {
    /// Writes a state that was checked.
    pub(super) fn replay(&mut self, state: &Gicv3State, report: &mut Report) -> Result<(), Error> {
        let mut total = 0;
        let Ok(()) = plan::<core::convert::Infallible>(state, |_| {
            total += 1;
            Ok(())
        });
        let mut applied = Applied { done: 0, total, last: None, memory_consumed: false };
        let accepted = self.options.accept_newer_revision;
        plan(state, |step| {
            let id = step.id();
            applied.memory_consumed |= id == Command::ItsRestoreTables.id();
            let (device, base) = match step.its.and_then(|n| state.its.get(n)) {
                None => (&mut self.gic, None),
                Some(its) => {
                    let place = self.target.its.iter().position(|(base, _)| *base == its.base);
                    let device = place.and_then(|n| self.its.get_mut(n)).ok_or(Refusal::ItsMissing { base: its.base })?;
                    (device, Some(its.base))
                }
            };
            match execute(device, step, base, &mut applied) {
                Err(Error::ReadBack(error)) if accepted && error.is_newer_revision() => {
                    report.findings.push(Finding { oddity: Oddity::NewerRevision, first: Place::Register(id), count: 1 });
                    Ok(())
                }
                result => result,
            }?;
            applied.done += 1;
            applied.last = Some(id);
            Ok::<(), Error>(())
        })?;
        // KVM's CPU interface now has the guest's number of priority bits, for good.
        for vcpu in &mut self.target.per_vcpu {
            if let Some(own) = state.vcpus.iter().find(|own| own.vcpu == vcpu.vcpu) {
                vcpu.icc_ctlr = own.icc.ctlr;
            }
        }
        Ok(())
    }
}

impl Step {
    fn id(&self) -> AttrId {
        match self.write {
            Write::U32(attr, _) => attr.id(),
            Write::U64(attr, _) => attr.id(),
            Write::Command(command) => command.id(),
        }
    }
}

fn execute(device: &mut impl AttrDevice, step: Step, its: Option<u64>, applied: &mut Applied) -> Result<(), Error> {
    match step.write {
        Write::U32(attr, value) => write(device, attr, value, step.verify, its, applied),
        Write::U64(attr, value) => write(device, attr, value, step.verify, its, applied),
        Write::Command(command) => device.command(command).map_err(|errno| {
            AccessError { its, applied: Some(*applied), ..AccessError::new(Operation::Set, command.id(), errno) }.into()
        }),
    }
}

fn write<W: Word + Into<u64>>(
    device: &mut impl AttrDevice,
    attr: Attr<W>,
    value: W,
    verify: Verify,
    its: Option<u64>,
    applied: &mut Applied,
) -> Result<(), Error> {
    let failed = |operation, errno, applied: &Applied| AccessError {
        its,
        applied: Some(*applied),
        ..AccessError::new(operation, attr.id(), errno)
    };
    if let Verify::Unless(_) = verify
        && device.get(attr).map_err(|errno| failed(Operation::Get, errno, applied))? == value
    {
        return Ok(());
    }
    device.set(attr, value).map_err(|errno| failed(Operation::Set, errno, applied))?;
    let (Verify::ReadBack(mask) | Verify::Unless(mask)) = verify else { return Ok(()) };
    let found = device.get(attr).map_err(|errno| {
        // The write is done, whatever the register reads.
        let applied = Applied { last: Some(attr.id()), ..*applied };
        failed(Operation::Get, errno, &applied)
    })?;
    let (written, found) = (value.into() & mask, found.into() & mask);
    if written != found {
        return Err(ReadBackError { attr: attr.id(), its, written, found, applied: *applied }.into());
    }
    Ok(())
}
