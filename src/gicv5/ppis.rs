//! Registers of PPIs 64 to 127, which KVM answers for and does not have: eleven of the 26 of each vCPU.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v5.c`, Linux 7.4: they read as zero, and a write is ignored without an error. Arm GICv5
//! specification, PPIs: each has a priority of 4 or 5 bits.
//!
//! Rule: they are left out where this VM's kernel has shown that it has none of them, and nowhere else. That it knows them says nothing
//! (`KVM_HAS_DEVICE_ATTR` succeeds), nor does a zero: it may be the guest's. A write before the first run does: a kernel that keeps no
//! bit of any of the eight priority registers has no PPI there, whichever vCPU is asked, for it is one kernel. The registers of
//! priorities do nothing but hold them, so that the question leaves no trace behind the state's own value.

use super::access::get;
use crate::error::AccessError;
use crate::registers::Row;
use crate::topology::Mpidr;
use crate::uapi::vgic_v5::icc::*;
use crate::{Attr, AttrDevice, Error, Operation};
use core::ops::RangeInclusive;

/// Priorities of PPIs 64 to 127.
const PRIORITIES: RangeInclusive<u16> = SYS_ICC_PPI_PRIORITYR8_EL1..=SYS_ICC_PPI_PRIORITYR15_EL1;

/// What is known of a VM's kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ppis {
    /// Nobody has asked: all registers are read and written.
    #[default]
    Unknown,
    /// It has some above 63.
    Above63,
    /// It has none above 63.
    Below64,
}

/// Whether a register is of PPIs 64 to 127.
fn is_above_63(row: &Row) -> bool {
    u16::try_from(row.key).is_ok_and(|instr| {
        PRIORITIES.contains(&instr)
            || [SYS_ICC_PPI_ENABLER1_EL1, SYS_ICC_PPI_SACTIVER1_EL1, SYS_ICC_PPI_SPENDR1_EL1].contains(&instr)
    })
}

impl Ppis {
    /// Whether a register reads as zero, and ignores every write.
    pub(super) fn lack(self, row: &Row) -> bool {
        self == Ppis::Below64 && is_above_63(row)
    }
}

/// Asks the kernel in a VM that has not run yet, by eight registers of one vCPU: what is written is all ones. The value that one had before
/// is put back, unless a restore is about to write it; those that keep nothing have not changed.
pub(super) fn ask(device: &mut impl AttrDevice, mpidr: Mpidr, put_back: bool) -> Result<Ppis, Error> {
    for instr in PRIORITIES {
        let attr = Attr::cpu_sysreg(mpidr, instr);
        let before = if put_back { Some(get(device, attr)?) } else { None };
        set(device, attr, u64::MAX)?;
        let kept = get(device, attr);
        if kept != Ok(0) {
            // Also where it cannot be told.
            before.map_or(Ok(()), |before| set(device, attr, before))?;
            return kept.map(|_| Ppis::Above63);
        }
    }
    Ok(Ppis::Below64)
}

fn set(device: &mut impl AttrDevice, attr: Attr<u64>, value: u64) -> Result<(), Error> {
    let failed = |errno| AccessError { value: Some(value), ..AccessError::new(Operation::Set, attr.id(), errno) };
    device.set(attr, value).map_err(|errno| failed(errno).into())
}
