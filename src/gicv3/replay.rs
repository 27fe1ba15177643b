//! Carries out a restore: each step on the device it belongs to, written, and read back where the step asks for it.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c` and `vgic-its.c`: writes that are accepted and dropped.
//!
//! Rule: whatever fails, the error says what was done before.

use super::attach::Gicv3;
use super::lpis;
use super::restore::{Phase, RESTORE_ORDER, Step, Verify, Write, plan};
use crate::error::{AccessError, Applied, ReadBackError};
use crate::judge::gicv3::Target;
use crate::memory::GuestMemoryRead;
use crate::options::Options;
use crate::report::{Place, Problem, Refusal, Report};
use crate::state::gicv3::Gicv3State;
use crate::{Attr, AttrDevice, AttrId, Command, Error, Operation, Word};

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    /// Writes a state that was checked.
    pub(super) fn replay(&mut self, state: &Gicv3State, report: &mut Report) -> Result<(), Error> {
        let mut total = 0;
        let Ok(()) = plan::<core::convert::Infallible>(state, |_| {
            total += 1;
            Ok(())
        });
        let applied = Applied { done: 0, total, last: None, memory_consumed: false };
        let Gicv3 { gic, its, memory, target, options, .. } = self;
        let mut devices = Devices { gic, its, target, options, state, report, applied };
        for (phase, _) in RESTORE_ORDER {
            match &state.lpis {
                // The kernel reads tables that are not the guest's. The command queue, which it reads next, is.
                Some(lpis) if *phase == Phase::ItsTables && !state.its.is_empty() => {
                    let mut before = devices.applied;
                    let restored = lpis::restore(memory.divert(), state, lpis, options.lpi_configuration, &mut || {
                        let done = phase.steps(state, &mut |step| devices.carry_out(step));
                        before = devices.applied;
                        done
                    });
                    restored.map_err(|error| match error {
                        Error::Shadow { error, .. } => Error::Shadow { error, applied: Some(before.into()) },
                        Error::Tables(error) => Error::TablesNotBuilt { error, applied: before.into() },
                        error => error,
                    })?;
                }
                _ => phase.steps(state, &mut |step| devices.carry_out(step))?,
            }
        }
        // KVM's CPU interface now has the guest's number of priority bits, for good.
        for (n, vcpu) in self.target.per_vcpu.iter_mut().enumerate() {
            // Mostly both are in the same order.
            let same_place = state.vcpus.get(n).filter(|own| own.vcpu == vcpu.vcpu);
            if let Some(own) = same_place.or_else(|| state.vcpus.iter().find(|own| own.vcpu == vcpu.vcpu)) {
                vcpu.icc_ctlr = own.icc.ctlr;
            }
        }
        Ok(())
    }
}

/// The devices that a restore writes, and how far it is.
struct Devices<'a, D> {
    gic: &'a mut D,
    its: &'a mut [D],
    target: &'a Target,
    options: &'a Options,
    state: &'a Gicv3State,
    report: &'a mut Report,
    applied: Applied,
}

impl<D: AttrDevice> Devices<'_, D> {
    fn carry_out(&mut self, step: Step) -> Result<(), Error> {
        let id = step.id();
        // From shadow memory, the kernel takes nothing of the guest's.
        self.applied.memory_consumed |= id == Command::ItsRestoreTables.id() && self.state.lpis.is_none();
        let (device, base) = match step.its.and_then(|n| self.state.its.get(n)) {
            None => (&mut *self.gic, None),
            Some(its) => {
                let place = self.target.its.iter().position(|(base, _)| *base == its.base);
                let device = place.and_then(|n| self.its.get_mut(n)).ok_or(Refusal::ItsMissing { base: its.base })?;
                (device, Some(its.base))
            }
        };
        match execute(device, step, base, &mut self.applied) {
            Err(Error::ReadBack(error)) if self.options.accept_newer_revision && error.is_newer_revision() => {
                self.report.add(Problem::NewerRevision, Place::register(id, error.found).allowed(error.written, error.written));
                Ok(())
            }
            result => result,
        }?;
        self.applied.done += 1;
        self.applied.last = Some(id);
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
        value: (operation == Operation::Set).then_some(value.into()),
        applied: Some(*applied),
        ..AccessError::new(operation, attr.id(), errno)
    };
    let unless = match verify {
        Verify::No | Verify::ReadBack(_) => None,
        Verify::Unless(_) => Some(u64::MAX),
        Verify::UnlessBits(mask) => Some(mask),
    };
    if let Some(mask) = unless {
        let found = device.get(attr).map_err(|errno| failed(Operation::Get, errno, applied))?;
        if (found.into() ^ value.into()) & mask == 0 {
            return Ok(());
        }
    }
    device.set(attr, value).map_err(|errno| failed(Operation::Set, errno, applied))?;
    let (Verify::ReadBack(mask) | Verify::Unless(mask) | Verify::UnlessBits(mask)) = verify else { return Ok(()) };
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
