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
    if found.iter().copied().eq(vcpus.iter()) {
        return Ok(());
    }
    unique(&found)?;
    // What is in one of them alone; both are in the order of ids.
    let missing = found.iter().copied().find(|vcpu| !vcpus.iter().any(|other| other == *vcpu));
    let unexpected = vcpus.iter().find(|vcpu| found.binary_search(vcpu).is_err());
    let shares_name = |found: &Vcpu| vcpus.iter().find(|vcpu| vcpu.id == found.id || vcpu.mpidr == found.mpidr);
    Err(match (missing, unexpected) {
        (Some(found), unexpected) => match (shares_name(&found), unexpected) {
            (Some(expected), _) => Refusal::VcpuNames { expected, found },
            (None, Some(vcpu)) if vcpu < found => Refusal::VcpuUnexpected { vcpu },
            (None, _) => Refusal::VcpuMissing { vcpu: found },
        },
        (None, Some(vcpu)) => Refusal::VcpuUnexpected { vcpu },
        (None, None) => return Ok(()),
    })
}

/// Whether no two vCPUs have a name in common. They are in the order of ids.
fn unique(vcpus: &[Vcpu]) -> Result<(), Refusal> {
    let mut by_mpidr = vcpus.to_vec();
    by_mpidr.sort_unstable_by_key(|vcpu| vcpu.mpidr);
    let pairs = |vcpus: &[Vcpu], same: fn(&Vcpu, &Vcpu) -> bool| {
        let mut pairs = vcpus.iter().zip(vcpus.iter().skip(1));
        pairs.find(|(first, second)| same(first, second)).map(|(first, second)| (*first, *second))
    };
    let same_id = pairs(vcpus, |first, second| first.id == second.id);
    match same_id.or_else(|| pairs(&by_mpidr, |first, second| first.mpidr == second.mpidr)) {
        Some((first, second)) => Err(Refusal::VcpuTwice { first, second }),
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
