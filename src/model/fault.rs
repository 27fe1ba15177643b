//! Faults on demand: failures that a healthy device shows too rarely for a test.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v5.c` and `vgic-v5-tables.c`, Linux 7.4, for where a host operation can fail.
//!
//! Rule: a fault is what the kernel could have answered at that point; it leaves the state that the kernel would leave.

use super::trace::{Access, Op};
use crate::{AttrId, Errno};
use alloc::vec::Vec;

/// A failure that is armed for later accesses. Several can be armed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// One access fails, before it has any effect.
    Access {
        /// How many accesses come before the one that fails; 0: the next access fails. Get, set and has all count.
        after: u32,
        /// What it fails with.
        errno: Errno,
    },
    /// Every get and every set of one attribute fails, before it has any effect.
    Attribute {
        /// The attribute.
        id: AttrId,
        /// What it fails with.
        errno: Errno,
    },
    /// The VM's interrupts are not quiescent while the tables of a GICv5 are saved: the next gets of `GRP_IST` fail with `EBUSY`.
    ///
    /// KVM checks this three times: after its request to quiesce the VM, after it copied the SPI table, and after it copied the LPI
    /// table. The failures go through these three in turn: the first leaves the buffers unchanged, the later ones leave them partly
    /// written.
    NotQuiesced {
        /// How many gets fail.
        times: u32,
    },
    /// An operation of the host that an access needs fails once, at the point of the access where KVM does it. If two such faults are
    /// armed for one operation, the second applies to the next time that it is done.
    Host {
        /// The operation.
        step: HostStep,
        /// How many operations of this kind still succeed before it.
        after: u32,
        /// What it fails with.
        errno: Errno,
    },
}

impl Fault {
    /// The `n`-th access from now, counted from 0, fails.
    #[must_use]
    pub const fn access(n: u32, errno: Errno) -> Self {
        Fault::Access { after: n, errno }
    }

    /// Every get and set of `id` fails.
    #[must_use]
    pub const fn attribute(id: AttrId, errno: Errno) -> Self {
        Fault::Attribute { id, errno }
    }

    /// The next `times` saves of the interrupt state tables of a GICv5 fail with `EBUSY`: [`Fault::NotQuiesced`].
    #[must_use]
    pub const fn not_quiesced(times: u32) -> Self {
        Fault::NotQuiesced { times }
    }

    /// The next operation `step` of the host fails.
    #[must_use]
    pub const fn host(step: HostStep, errno: Errno) -> Self {
        Fault::host_after(0, step, errno)
    }

    /// One operation `step` of the host fails, after `n` of them that succeed.
    #[must_use]
    pub const fn host_after(n: u32, step: HostStep, errno: Errno) -> Self {
        Fault::Host { step, after: n, errno }
    }
}

/// An operation of the host that KVM does inside an access to an attribute of a GICv5. In parentheses: how it can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostStep {
    /// INIT: allocation of a VM id (`ENOSPC`) and of memory (`ENOMEM`).
    Init,
    /// INIT: the command that makes the host's SPI table valid. `ETIMEDOUT` here kills the VM.
    MapSpi,
    /// Save: the request to quiesce the VM's interrupts (`ETIMEDOUT`, `EBUSY`).
    Quiesce,
    /// Save: the check that the VM stayed quiescent while the SPI table was copied (`ETIMEDOUT`, `EBUSY`).
    QuietAfterSpi,
    /// Save: the check that the VM stayed quiescent while the LPI table was copied (`ETIMEDOUT`, `EBUSY`).
    QuietAfterLpi,
    /// Save and restore: access to the host's SPI table (`ENXIO`, `ENOMEM`).
    SpiTable,
    /// Save and restore: access to the host's LPI table (`ENXIO`, `ENOMEM`).
    LpiTable,
    /// Restore: allocation of the host's LPI table (`ENOMEM`, `EINVAL`).
    AllocateLpi,
    /// Restore: the command that makes the host's LPI table valid. `ETIMEDOUT` here kills the VM.
    MapLpi,
    /// Restore: the command that takes the VM's tables from the hardware (`ETIMEDOUT`). A restore that fails may issue it once more, to
    /// remove the LPI table.
    UnmapVm,
    /// Restore: allocation of the record of one interrupt that is to be made pending (`ENOMEM`).
    RememberPending,
    /// INIT and restore: the command that gives the VM's tables to the hardware (`ETIMEDOUT`). A restore that fails issues it once
    /// more.
    MapVm,
}

/// The armed faults and the record: what an access through a shared reference changes.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) trace: Vec<Access>,
    faults: Vec<Fault>,
    not_quiesced: u32,
    /// Which of the three looks finds the VM not quiet next.
    look: u8,
}

impl Log {
    pub(super) fn arm(&mut self, fault: Fault) {
        match fault {
            Fault::NotQuiesced { times } => (self.not_quiesced, self.look) = (times, 0),
            fault => self.faults.push(fault),
        }
    }

    pub(super) fn disarm(&mut self) {
        *self = Log { trace: core::mem::take(&mut self.trace), ..Log::default() };
    }

    /// The answer that a fault gives to an access. Counts the access.
    pub(super) fn intercept(&mut self, op: Op, id: AttrId) -> Result<(), Errno> {
        let mut answer = Ok(());
        self.faults.retain_mut(|fault| match fault {
            Fault::Access { after: 0, errno } => {
                answer = Err(*errno);
                false
            }
            Fault::Access { after, .. } => {
                *after -= 1;
                true
            }
            Fault::Attribute { id: of, errno } if *of == id && op != Op::Has => {
                answer = Err(*errno);
                true
            }
            _ => true,
        });
        answer
    }

    /// One operation of the host.
    pub(super) fn host(&mut self, step: HostStep) -> Result<(), Errno> {
        for (index, fault) in self.faults.iter_mut().enumerate() {
            match fault {
                Fault::Host { step: at, after: 0, errno } if *at == step => {
                    let errno = *errno;
                    self.faults.remove(index);
                    return Err(errno);
                }
                Fault::Host { step: at, after, .. } if *at == step => *after -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Where this save is disturbed, if it is. Counts the save.
    pub(super) fn disturbance(&mut self) -> Option<HostStep> {
        self.not_quiesced = self.not_quiesced.checked_sub(1)?;
        let step = match self.look {
            0 => HostStep::Quiesce,
            1 => HostStep::QuietAfterSpi,
            _ => HostStep::QuietAfterLpi,
        };
        self.look = (self.look + 1) % 3;
        Some(step)
    }
}
