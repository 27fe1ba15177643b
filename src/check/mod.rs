//! What a check says: that a state cannot be restored, or what is odd about one that can.
//!
//! Rule: a refusal says what was expected and what was found; nothing here touches a device.

mod report;

pub use report::{Finding, Oddity, Place, Report};

use crate::AttrId;
use crate::audit;
use crate::buffer::IstKind;
use crate::its::TableError;
use crate::registers::RegisterTable;
use crate::topology::{IntId, NrIrqs, SpiCount, Vcpu, Vcpus};
use alloc::vec::Vec;

/// A state that cannot be restored on this device. The device was not accessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The VM lacks a vCPU that the state has, by both names.
    #[error("the state has {vcpu}, the VM does not")]
    VcpuMissing {
        /// The vCPU of the state.
        vcpu: Vcpu,
    },
    /// The VM has a vCPU that the state lacks, by both names.
    #[error("the VM has {vcpu}, the state does not")]
    VcpuUnexpected {
        /// The vCPU of the VM.
        vcpu: Vcpu,
    },
    /// The number of SPIs differs.
    #[error("the state has {found} SPIs, the device {expected}", found = found.get(), expected = expected.get())]
    SpiCount {
        /// SPIs of the device.
        expected: SpiCount,
        /// SPIs of the state.
        found: SpiCount,
    },
    /// The number of interrupts of a GICv3 differs.
    #[error("the state has {found} interrupts, the device {expected}", found = found.get(), expected = expected.get())]
    NrIrqs {
        /// Interrupts of the device.
        expected: NrIrqs,
        /// Interrupts of the state.
        found: NrIrqs,
    },
    /// The SPIs of the state are not 32 by 32, each once, in order.
    #[error("the state does not have every SPI of its {count} interrupts once and in order", count = nr_irqs.get())]
    SpiBanks {
        /// Interrupts of the state.
        nr_irqs: NrIrqs,
    },
    /// The number of ITSes differs.
    #[error("the state has {found} ITSes, the VM {expected}")]
    ItsCount {
        /// ITSes of the VM.
        expected: usize,
        /// ITSes of the state.
        found: usize,
    },
    /// The VM lacks an ITS that the state has.
    #[error("the state has an ITS at {base:#x}, the VM does not")]
    ItsMissing {
        /// Guest physical address.
        base: u64,
    },
    /// The state has an ITS twice.
    #[error("the state has two ITSes at {base:#x}")]
    ItsTwice {
        /// Guest physical address.
        base: u64,
    },
    /// A register has a value that the kernel would refuse, or drop without an error.
    #[error("{register} is {value:#x}: {rule}")]
    Register {
        /// The register.
        register: AttrId,
        /// Its value.
        value: u64,
        /// What must hold.
        rule: &'static str,
    },
    /// An identification register that the target cannot honour.
    #[error("{register}.{field} is {found}, the device has {expected}: {rule}")]
    Identity {
        /// The register.
        register: AttrId,
        /// The field, by its Arm name.
        field: &'static str,
        /// The value of the device.
        expected: u64,
        /// The value of the state.
        found: u64,
        /// What the kernel accepts.
        rule: &'static str,
    },
    /// `IRS_IST_CFGR` describes a table that the kernel would refuse.
    #[error("IRS_IST_CFGR.{field} is {found}: {rule}")]
    IstCfgr {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What the kernel accepts.
        rule: &'static str,
    },
    /// LPIs and mappings that cannot be, or that cannot be written as tables.
    #[error(transparent)]
    Tables(#[from] TableError),
    /// An audit found what is worse than the VMM accepts.
    #[error("{}: {_0}", _0.severity())]
    Audit(alloc::boxed::Box<audit::Finding>),
    /// The state has the tables in it, and the backend was given guest memory that cannot be diverted.
    #[error("the state has tables in it: the backend needs the memory slots of the VM to restore it")]
    NoShadow,
    /// The width of the LPI IDs is outside what the device and the state's own `IRS_IDR2` allow.
    #[error("IRS_IST_CFGR.LPI_ID_BITS is {found}, from {min} to {max} are possible")]
    LpiIdBits {
        /// The width of the state.
        found: u32,
        /// The least width.
        min: u32,
        /// The greatest width.
        max: u32,
    },
    /// The state has an LPI table, but its guest had none.
    #[error("the state has an LPI IST although IRS_IST_BASER.VALID is 0")]
    LpiIstUnexpected,
    /// The guest had an LPI table, but the state has none.
    #[error("the state has no LPI IST although IRS_IST_BASER.VALID is 1")]
    LpiIstMissing,
    /// A table of one kind in the place of the other.
    #[error("an {found} where the {expected} belongs")]
    IstKind {
        /// The table that belongs there.
        expected: IstKind,
        /// The table that is there.
        found: IstKind,
    },
    /// A table does not have the size that its registers give it.
    #[error("the {table} has {found} bytes, its registers give it {expected}")]
    IstSize {
        /// The table.
        table: IstKind,
        /// The size that follows from the registers.
        expected: usize,
        /// The size of the table.
        found: usize,
    },
    /// A table entry with reserved bits: no kernel writes one.
    #[error("{interrupt}: reserved bits [8:5] of the entry {entry:#010x} are set")]
    ReservedBits {
        /// The first such interrupt.
        interrupt: IntId,
        /// Its entry.
        entry: u32,
    },
    /// Something a guest could have made but should not have, and the VMM asked for strictness.
    #[error("refused as asked: {0}")]
    Strict(Finding),
}

/// Whether the vCPUs of a state are those of the VM.
pub(crate) fn check_vcpus(state: impl Iterator<Item = Vcpu>, vcpus: &Vcpus) -> Result<(), Refusal> {
    let mut found: Vec<Vcpu> = state.collect();
    found.sort_unstable();
    let mut expected = vcpus.iter();
    for vcpu in found {
        match expected.next() {
            Some(other) if other == vcpu => {}
            Some(other) if other < vcpu => return Err(Refusal::VcpuUnexpected { vcpu: other }),
            _ => return Err(Refusal::VcpuMissing { vcpu }),
        }
    }
    match expected.next() {
        Some(vcpu) => Err(Refusal::VcpuUnexpected { vcpu }),
        None => Ok(()),
    }
}

/// What the kernel asks of a field of an identification register, compared with the device's own.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    Equal,
    NotGreater,
    NotLess,
}

impl Rule {
    /// Compares the value of a field in a state with the device's.
    pub(crate) fn judge(self, register: AttrId, field: &'static str, expected: u64, found: u64) -> Result<(), Refusal> {
        let (holds, rule) = match self {
            Rule::Equal => (found == expected, "must be equal"),
            Rule::NotGreater => (found <= expected, "must not be greater"),
            Rule::NotLess => (found >= expected, "must not be less"),
        };
        if holds { Ok(()) } else { Err(Refusal::Identity { register, field, expected, found, rule }) }
    }
}

/// Rules for one register: its key, a field by its Arm name and its mask, and what the kernel asks of it.
pub(crate) type FieldRule = (u32, &'static str, u64, Rule);

/// Compares the registers of a state with the device's own, field by field.
pub(crate) fn check_fields<T: RegisterTable>(
    found: &T,
    device: &T,
    rules: &'static [FieldRule],
    attr: impl Fn(u32) -> AttrId,
) -> Result<(), Refusal> {
    for ((row, found), (_, device)) in found.rows().zip(device.rows()) {
        for (_, field, mask, rule) in rules.iter().filter(|(key, ..)| *key == row.key) {
            let value = |register: u64| (register & mask) >> mask.trailing_zeros();
            let (found, expected) = (value(found), value(device));
            rule.judge(attr(row.key), field, expected, found)?;
        }
    }
    Ok(())
}
