//! A state as the values of device attributes, as a VMM that reads and writes them one by one has it.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst, `GRP_DIST_REGS`, `GRP_CPU_REGS`; `arch/arm64/kvm/vgic/vgic-mmio-v2.c`: which
//! registers show the same state, which none, and what a new VM has in each.
//!
//! Rule: the order of a list means nothing. Every value has one place in a state, or is an error; what no value is given for is a finding.

use super::block::{BlockAt, sgi_sources};
use super::{Gicv2State, InterruptBlock};
use crate::registers::{Absent, RegisterTable};
use crate::report::{Place, Problem, Report};
use crate::state::gicv3::AttributeValue;
use crate::topology::{NrIrqs, VcpuId, Vcpus};
use crate::uapi::vgic_v2::cpu::GICC_DIR;
use crate::uapi::vgic_v2::dist::{GICD_CPENDSGIR, GICD_SGIR};
use crate::uapi::vgic_v2::*;
use crate::uapi::vgic_v3::dist::{GICD_ICACTIVER, GICD_ICENABLER, GICD_ICPENDR, GICD_TYPER};
use crate::{Attr, AttrId, AttributeError};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

impl Gicv2State {
    /// The state that values of attributes are: of an older snapshot of the VMM's own, say. `nr_irqs` and `vcpus` are the VM's; an
    /// attribute has the id of its vCPU in `[39:32]`.
    ///
    /// A register that no value is given for has KVM's reset value, and the report says so
    /// ([`Problem::AttributeMissing`](crate::report::Problem::AttributeMissing), or
    /// [`Problem::IdentityMissing`](crate::report::Problem::IdentityMissing) where it says what the controller is), once for each name of a
    /// register; what else may be wrong with the state, a check says. `GICD_TYPER` follows from the arguments. Registers without state are
    /// passed by, whatever their value: `GICD_ICPENDR`, `GICD_CPENDSGIR`, `GICD_SGIR`, `GICC_DIR`.
    ///
    /// ```
    /// use vgic_state::gicv2::Gicv2State;
    /// use vgic_state::uapi::vgic_v2::{cpu::GICC_PMR, *};
    /// use vgic_state::{NrIrqs, Vcpus};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let of_vcpu_1 = 1 << KVM_DEV_ARM_VGIC_CPUID_SHIFT;
    /// let old = [(KVM_DEV_ARM_VGIC_GRP_CPU_REGS, of_vcpu_1 | u64::from(GICC_PMR), 0x1f)];
    /// let (state, missing) = Gicv2State::from_attributes(NrIrqs::new(64)?, &Vcpus::with_default_mpidrs(2)?, &old)?;
    /// assert_eq!(state.vcpus[1].gicc.pmr, 0x1f);
    /// eprint!("{missing}");
    /// # assert_eq!(missing.findings.len(), 18);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`AttributeError`]: a value is of no register, of no vCPU of the VM, impossible, or differs from another one of the same register. Its
    /// text names no vCPU of a GICv2; its `attribute` does.
    pub fn from_attributes(
        nr_irqs: NrIrqs,
        vcpus: &Vcpus,
        attributes: &[AttributeValue],
    ) -> Result<(Self, Report), AttributeError> {
        let mut list = List { values: BTreeMap::new(), report: Report::default(), nr_irqs, vcpus };
        for (group, attr, value) in attributes {
            list.insert(AttrId::from_raw(*group, *attr), *value)?;
        }
        let state = Gicv2State::read(nr_irqs, vcpus, |attr, absent| list.take(attr.id(), absent))?;
        list.finish()?;
        Ok((state, list.report))
    }

    /// The registers as values of attributes, those that cannot be written among them, in the order in which a save reads them.
    /// [`Gicv2State::from_attributes`] makes the same state of them. This is no order for a restore:
    /// [`restore`](crate::InterruptState::restore) has it.
    #[must_use]
    pub fn attributes(&self) -> Vec<AttributeValue> {
        let any = self.vcpus.first().map_or(VcpuId::ZERO, |vcpu| vcpu.vcpu.id);
        let mut all = Vec::new();
        let mut put = |attr: Attr<u32>, value: u64| all.push((attr.id().group(), attr.id().attr(), value));
        for (row, value) in self.identity.rows().chain(self.dist.rows()) {
            put(Attr::gicv2_dist(any, row.key), value);
        }
        for spis in &self.spis {
            put_block(&spis.interrupts, BlockAt { vcpu: any, first: spis.first }, &mut put);
        }
        for vcpu in &self.vcpus {
            let id = vcpu.vcpu.id;
            for (row, value) in vcpu.identity.rows().chain(vcpu.gicc.rows()) {
                put(Attr::gicv2_cpu(id, row.key), value);
            }
            put_block(&vcpu.private, BlockAt::private(id), &mut put);
            for (n, word) in (0..).zip(vcpu.sgi_sources) {
                put(sgi_sources(id, n), word.into());
            }
        }
        all
    }
}

fn put_block(block: &InterruptBlock, at: BlockAt, put: &mut impl FnMut(Attr<u32>, u64)) {
    for (row, words) in block.rows() {
        for (n, word) in (0..).zip(words) {
            put(at.attr(row, n), (*word).into());
        }
    }
}

/// A value that was given.
struct Given {
    /// As it was given.
    attribute: AttrId,
    value: u64,
    used: bool,
}

/// The values of a list, each where it belongs: group, and vCPU with offset.
struct List<'a> {
    values: BTreeMap<(u32, u64), Given>,
    report: Report,
    nr_irqs: NrIrqs,
    vcpus: &'a Vcpus,
}

/// Registers whose bits are cleared by a write, and which show what those 0x80 bytes before them do.
const CLEARING: [u32; 2] = [GICD_ICENABLER, GICD_ICACTIVER];
const CLEARING_BYTES: u32 = 0x80;

/// One key for each piece of state.
fn key(attribute: AttrId) -> (u32, u64) {
    let (group, attr) = (attribute.group(), attribute.attr());
    let offset = attr as u32;
    let clearing = CLEARING.iter().any(|first| (*first..first + CLEARING_BYTES).contains(&offset));
    let offset = if group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS && clearing { offset - CLEARING_BYTES } else { offset };
    let vcpu = if attribute.is_of_gicv2_vcpu() { attr & KVM_DEV_ARM_VGIC_CPUID_MASK } else { 0 };
    (group, vcpu | u64::from(offset))
}

impl List<'_> {
    fn insert(&mut self, attribute: AttrId, value: u64) -> Result<(), AttributeError> {
        let vcpu = attribute.attr() >> KVM_DEV_ARM_VGIC_CPUID_SHIFT;
        if ![KVM_DEV_ARM_VGIC_GRP_DIST_REGS, KVM_DEV_ARM_VGIC_GRP_CPU_REGS].contains(&attribute.group()) {
            return Err(AttributeError::Unknown { its: None, attribute, value });
        }
        if value > u32::MAX.into() {
            return Err(AttributeError::Value { its: None, attribute, value, max: u32::MAX.into() });
        }
        if !self.vcpus.iter().any(|own| u64::from(own.id.get()) == vcpu) {
            return Err(AttributeError::UnknownVcpu { attribute, value });
        }
        match self.values.insert(key(attribute), Given { attribute, value, used: false }) {
            Some(first) if first.value != value && !is_stateless(attribute) => {
                Err(AttributeError::Conflict { its: None, attribute, first: first.value, second: value })
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, attribute: AttrId, absent: Absent) -> Result<u32, AttributeError> {
        if let Some(given) = self.values.get_mut(&key(attribute)) {
            given.used = true;
            // Not above 32 bits: looked at when it was put in.
            return Ok(given.value as u32);
        }
        let value = absent.reset.or_else(|| self.of_the_vm(attribute)).ok_or(AttributeError::Missing { attribute })?;
        if !absent.optional {
            let problem = if absent.is_identity { Problem::IdentityMissing } else { Problem::AttributeMissing };
            self.report.add(problem, Place::register(attribute, value));
        }
        Ok(value as u32)
    }

    /// `GICD_TYPER`: CPUNumber `[7:5]`, ITLinesNumber `[4:0]`.
    fn of_the_vm(&self, attribute: AttrId) -> Option<u64> {
        let vcpus = (self.vcpus.len() as u64).saturating_sub(1) & 7;
        (attribute.attr() as u32 == GICD_TYPER).then(|| u64::from(self.nr_irqs.get() / 32 - 1) | vcpus << 5)
    }

    /// What is left has no place in the state.
    fn finish(&self) -> Result<(), AttributeError> {
        for Given { attribute, value, .. } in self.values.values().filter(|given| !given.used) {
            let (attribute, value) = (*attribute, *value);
            if is_stateless(attribute) {
                continue;
            }
            if !is_beyond(attribute) {
                return Err(AttributeError::Unknown { its: None, attribute, value });
            }
            if value != 0 {
                return Err(AttributeError::Value { its: None, attribute, value, max: 0 });
            }
        }
        Ok(())
    }
}

/// Whether a register has no state: those of [`NOT_STATE`](super::NOT_STATE).
fn is_stateless(attribute: AttrId) -> bool {
    let dist = [GICD_ICPENDR, GICD_SGIR, GICD_CPENDSGIR].map(|offset| Attr::gicv2_dist(VcpuId::ZERO, offset));
    let is = |other: Attr<u32>| attribute.has_name_of(other.id());
    dist.into_iter().any(is) || is(Attr::gicv2_cpu(VcpuId::ZERO, GICC_DIR))
}

/// Whether it is one of interrupts that the VM does not have, where KVM shows zero. Everything else of these registers has been used.
fn is_beyond(attribute: AttrId) -> bool {
    let offset = attribute.attr() as u32;
    attribute.group() == KVM_DEV_ARM_VGIC_GRP_DIST_REGS
        && offset.is_multiple_of(4)
        && InterruptBlock::ROWS.iter().any(|row| (row.offset..row.offset + row.bits * 0x80).contains(&offset))
}
