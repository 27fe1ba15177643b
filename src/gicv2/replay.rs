//! Carries out a restore: each step written, and read back where the step asks for it.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v2.c`: writes that are accepted and dropped.
//!
//! Rule: whatever fails, the error says what was done before.

use super::attach::Gicv2;
use super::restore::{Step, plan};
use crate::error::{AccessError, Applied, ReadBackError};
use crate::report::{Place, Problem, Report};
use crate::state::gicv2::Gicv2State;
use crate::{AttrDevice, Error, Operation};

impl<D: AttrDevice> Gicv2<D> {
    /// Writes a state that was checked.
    pub(super) fn replay(&mut self, state: &Gicv2State, report: &mut Report) -> Result<(), Error> {
        let any = self.any();
        let mut applied = Applied { done: 0, total: 0, last: None, memory_consumed: false };
        let Ok(()) = plan::<core::convert::Infallible>(state, any, |_| {
            applied.total += 1;
            Ok(())
        });
        let Gicv2 { gic, options, .. } = self;
        plan(state, any, |step| {
            let id = step.attr.id();
            match write(gic, step, &applied) {
                Err(Error::ReadBack(error)) if options.accept_newer_revision && error.is_newer_revision() => {
                    report.add(Problem::NewerRevision, Place::register(id, error.found).allowed(error.written, error.written));
                    Ok(())
                }
                result => result,
            }?;
            applied.done += 1;
            applied.last = Some(id);
            Ok(())
        })
    }
}

fn write(gic: &mut impl AttrDevice, step: Step, applied: &Applied) -> Result<(), Error> {
    let Step { attr, value, verify } = step;
    gic.set(attr, value).map_err(|errno| AccessError {
        value: Some(value.into()),
        applied: Some(*applied),
        ..AccessError::new(Operation::Set, attr.id(), errno)
    })?;
    let Some(mask) = verify else { return Ok(()) };
    let found = gic.get(attr).map_err(|errno| {
        // The write is done, whatever the register reads.
        let applied = Applied { last: Some(attr.id()), ..*applied };
        AccessError { applied: Some(applied), ..AccessError::new(Operation::Get, attr.id(), errno) }
    })?;
    let (written, found) = ((value & mask).into(), (found & mask).into());
    if written != found {
        return Err(ReadBackError { attr: attr.id(), its: None, written, found, applied: *applied }.into());
    }
    Ok(())
}
