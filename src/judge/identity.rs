//! What a state is compared with the VM by: its vCPUs, and fields of identification registers.
//!
//! Source: `arch/arm64/kvm/vgic/`: which values of identification registers a write refuses.
//!
//! Rule: the first difference is the refusal; what a guest has seen must not change.

use crate::AttrId;
use crate::registers::{Field, Meaning, RegisterTable};
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
    /// Nothing.
    Any,
}

impl Rule {
    /// Compares the value of a field in a state with the device's.
    pub(crate) fn judge(self, register: AttrId, field: &'static str, expected: u64, found: u64) -> Result<(), Refusal> {
        let (holds, rule) = match self {
            Rule::Equal => (found == expected, "must be equal"),
            Rule::NotGreater => (found <= expected, "must not be greater"),
            Rule::NotLess => (found >= expected, "must not be less"),
            Rule::Any => return Ok(()),
        };
        if holds { Ok(()) } else { Err(Refusal::Identity { register, field, expected, found, rule }) }
    }
}

/// Bits that are no field of their register.
pub(crate) const RESERVED: &str = "reserved";

/// A field of which less is asked than to be equal: the key of its register, its Arm name, and the rule.
pub(crate) type Exception = (u32, &'static str, Rule);

/// Compares the registers of a state with the device's own, field by field: all must be equal but for the exceptions.
pub(crate) fn check_fields<T: RegisterTable>(
    found: &T,
    device: &T,
    exceptions: &[Exception],
    attr: impl Fn(u32) -> AttrId,
) -> Result<(), Refusal> {
    // Equal values keep every rule.
    for ((row, found), (_, device)) in found.rows().zip(device.rows()).filter(|((_, found), (_, device))| found != device) {
        let reserved = Field::new(RESERVED, row.max & !row.known_bits(), Meaning::Bits);
        for field in row.fields.iter().chain([&reserved]) {
            let exception = exceptions.iter().find(|(key, name, _)| *key == row.key && *name == field.name);
            let rule = exception.map_or(Rule::Equal, |(_, _, rule)| *rule);
            rule.judge(attr(row.key), field.name, field.of(device), field.of(found))?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Exception, RESERVED};
    use crate::registers::RegisterTable;

    /// Each register has fields to be compared by, and each exception is one of a field.
    pub(crate) fn has_fields<T: RegisterTable>(exceptions: &[Exception]) {
        assert!(T::ROWS.iter().all(|row| !row.fields.is_empty()));
        for (key, name, _) in exceptions {
            let row = T::ROWS.iter().find(|row| row.key == *key).expect("a register of the table");
            assert!(*name == RESERVED || row.fields.iter().any(|field| field.name == *name), "{key:#x}: no field {name}");
        }
    }
}
