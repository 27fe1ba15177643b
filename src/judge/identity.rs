//! What a state is compared with the VM by: its vCPUs, and fields of identification registers.
//!
//! Source: `arch/arm64/kvm/vgic/`: which values of identification registers a write refuses.
//!
//! Rule: the first difference is the refusal; what a guest has seen must not change.

use crate::AttrId;
use crate::registers::RegisterTable;
use crate::report::Refusal;
use crate::topology::{Vcpu, Vcpus};
use alloc::vec::Vec;

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
