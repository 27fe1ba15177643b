//! A state as the values of device attributes, as a VMM that reads and writes them one by one has it.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst: groups, attributes and their widths;
//! `arch/arm64/kvm/vgic/vgic-mmio-v3.c`: which registers show the same state, which none, and what a new VM has in each.
//!
//! Rule: the order of a list means nothing. Every value has one place in a state, or is an error; what no value is given for is a finding.

use super::block::{BlockAt, InterruptBlock, router};
use super::read::Registers;
use super::registers::INITIAL_LPI_BASER;
use super::{Gicv3State, NOT_STATE, has_icc, maintenance_irq};
use crate::registers::{Absent, RegisterTable, Row};
use crate::report::{Place, Problem, Report};
use crate::topology::{Mpidr, NrIrqs, Vcpu, Vcpus};
use crate::uapi::device::{KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK, KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT};
use crate::uapi::vgic_v3::*;
use crate::{Attr, AttrId, AttributeError};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Group, attribute, value: `kvm_device_attr.group`, `kvm_device_attr.attr`, and what `addr` points to, whatever its width.
pub type AttributeValue = (u32, u64, u64);

/// The registers of a GICv3 and of its ITSes as values of device attributes, in any order.
///
/// An attribute of a vCPU has its affinity in `[63:32]`: see [`Mpidr::to_attr`]. A redistributor register of 64 bits is two values, as it
/// is two accesses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attributes {
    /// Those of the GICv3's own device.
    pub gic: Vec<AttributeValue>,
    /// Of each ITS: the guest physical address of its registers, and the values of its device.
    pub its: Vec<(u64, Vec<AttributeValue>)>,
}

impl Gicv3State {
    /// Makes a state of attribute values, for instance of a snapshot that the VMM has written without this crate. `nr_irqs` and `vcpus` are
    /// those of the VM.
    ///
    /// A register without a value gets KVM's reset value, and a finding in the report, one for each name of a register and each ITS:
    /// [`Problem::AttributeMissing`](crate::report::Problem::AttributeMissing), or
    /// [`Problem::IdentityMissing`](crate::report::Problem::IdentityMissing) for an identification register. The report has no other
    /// findings; a check finds what else is wrong with the state.
    ///
    /// `GICD_TYPER` and `GICR_TYPER` follow from the arguments, for a VM whose redistributors are one region, in the order of the
    /// `vcpu_id`s. Values of registers without state are ignored: `STATUSR`, `ICPENDR`, `GICR_WAKER`, and others that KVM does not
    /// implement.
    ///
    /// The vCPUs of the state have EL2 if a value of one of the EL2 registers is given; otherwise a value of `MAINT_IRQ` is ignored.
    ///
    /// The tables of the ITSes are in guest memory ([`Gicv3State::lpis`] is `None`).
    ///
    /// ```
    /// use vgic_state::gicv3::{Attributes, Gicv3State};
    /// use vgic_state::uapi::{device::*, vgic_v3::*};
    /// use vgic_state::{Mpidr, NrIrqs, Vcpus};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let vcpu = Mpidr::new(0, 0, 0, 0).to_attr();
    /// let mut old = Attributes::default();
    /// old.gic.push((KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, vcpu | u64::from(icc::SYS_ICC_CTLR_EL1), 0x400));
    /// old.gic.push((KVM_DEV_ARM_VGIC_GRP_DIST_REGS, dist::GICD_CTLR.into(), 0x12));
    ///
    /// let (state, report) = Gicv3State::from_attributes(NrIrqs::new(64)?, &Vcpus::with_default_mpidrs(1)?, &old)?;
    /// assert_eq!(state.dist.ctlr, 0x12);
    /// // One line for each name of a register: there is no value of most.
    /// eprint!("{report}");
    /// # assert_eq!(report.findings.len(), 30);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`AttributeError`]: a value is of no register, of no vCPU of the VM, impossible, or differs from another one of the same register;
    /// or `ICC_CTLR_EL1` is missing, which depends on the host.
    pub fn from_attributes(nr_irqs: NrIrqs, vcpus: &Vcpus, attributes: &Attributes) -> Result<(Self, Report), AttributeError> {
        let mut list = List {
            values: BTreeMap::new(),
            report: Report::default(),
            nr_irqs,
            last: vcpus.iter().last(),
            vcpus,
            has_its: !attributes.its.is_empty(),
        };
        for (group, attr, value) in &attributes.gic {
            list.insert(None, AttrId::from_raw(*group, *attr), *value)?;
        }
        for (n, (base, values)) in attributes.its.iter().enumerate() {
            for (group, attr, value) in values {
                list.insert(Some((n, *base)), AttrId::from_raw(*group, *attr), *value)?;
            }
        }
        let bases: Vec<u64> = attributes.its.iter().map(|(base, _)| *base).collect();
        let maintenance_irq = list.maintenance_irq();
        let state = Gicv3State::read(&mut list, nr_irqs, vcpus, &bases, maintenance_irq, None)?;
        list.finish(&state)?;
        Ok((state, list.report))
    }

    /// The registers as attribute values, read-only ones included, in the order in which a save reads them.
    /// [`Gicv3State::from_attributes`] makes the same state of them.
    ///
    /// Mappings and LPIs in the state ([`Gicv3State::lpis`]) are no attributes. Do not write the values to a device in this order: a
    /// restore needs another one, which [`restore`](crate::InterruptState::restore) has.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        let mut all = Attributes::default();
        let gic = &mut all.gic;
        let mut put = |id: AttrId, value: u64| gic.push((id.group(), id.attr(), value));
        for (row, value) in self.identity.rows().chain(self.dist.rows()) {
            put(row.id(), value);
        }
        for vcpu in &self.vcpus {
            let mpidr = vcpu.vcpu.mpidr;
            for (row, value) in vcpu.identity.rows().chain(vcpu.redist.rows()) {
                put(Attr::redist(mpidr, row.key).id(), value & u64::from(u32::MAX));
                if row.is_wide() {
                    put(Attr::redist(mpidr, row.key + 4).id(), value >> 32);
                }
            }
            put_block(&vcpu.private, BlockAt::Private(mpidr), &mut put);
            for (row, value) in vcpu.icc.rows().filter(|(row, _)| has_icc(row.key, vcpu.icc.ctlr)) {
                put(Attr::cpu_sysreg(mpidr, row.key as u16).id(), value);
            }
            let el2 = vcpu.el2.iter().flat_map(|el2| el2.identity.rows().chain(el2.registers.rows()));
            for (row, value) in el2.filter(|(row, _)| has_icc(row.key, vcpu.icc.ctlr)) {
                put(Attr::cpu_sysreg(mpidr, row.key as u16).id(), value);
            }
        }
        if self.maintenance_irq != 0 {
            put(Attr::maintenance_irq().id(), self.maintenance_irq.into());
        }
        let any = self.vcpus.first().map_or(Mpidr::from_packed(0), |vcpu| vcpu.vcpu.mpidr);
        for spis in &self.spis {
            put_block(&spis.interrupts, BlockAt::Spis(spis.first, any), &mut put);
            for (intid, target) in (spis.first..).zip(spis.router) {
                put(router(intid).id(), target.into());
            }
        }
        for its in &self.its {
            let rows = its.identity.rows().chain(its.registers.rows());
            all.its.push((its.base, rows.map(|(row, value)| (row.group, row.key.into(), value)).collect()));
        }
        all
    }
}

fn put_block(block: &InterruptBlock, at: BlockAt, put: &mut impl FnMut(AttrId, u64)) {
    for (row, words) in block.rows() {
        for (n, word) in (0..).zip(words) {
            put(at.attr(row, n).id(), (*word).into());
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

/// Where a value belongs: an ITS by its place, then group and attribute.
type Key = (Option<usize>, u32, u64);

/// The values of a list, each where it belongs.
struct List<'a> {
    values: BTreeMap<Key, Given>,
    report: Report,
    nr_irqs: NrIrqs,
    vcpus: &'a Vcpus,
    last: Option<Vcpu>,
    has_its: bool,
}

/// Distributor or redistributor registers whose bits are cleared by a write, and which show what the registers this many bytes before
/// them do.
const CLEARING: &[(u32, u32, u32, u64)] = &[
    (KVM_DEV_ARM_VGIC_GRP_DIST_REGS, dist::GICD_ICENABLER, 0x80, 0x80),
    (KVM_DEV_ARM_VGIC_GRP_DIST_REGS, dist::GICD_ICACTIVER, 0x80, 0x80),
    (KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, redist::GICR_ICENABLER0, 4, 0x80),
    (KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, redist::GICR_ICACTIVER0, 4, 0x80),
];

/// One key for each piece of state.
fn key(its: Option<usize>, attribute: AttrId) -> Key {
    let (group, attr) = (attribute.group(), attribute.attr());
    let offset = attr as u32;
    // Line levels of SPIs are those of no vCPU.
    if group == KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO && attribute.mpidr().is_none() {
        return (its, group, offset.into());
    }
    let clearing = CLEARING.iter().find(|(of, first, bytes, _)| *of == group && (*first..first + bytes).contains(&offset));
    (its, group, attr - clearing.map_or(0, |(.., distance)| *distance))
}

/// The greatest value of an attribute.
fn max(attribute: AttrId) -> u64 {
    match attribute.group() {
        KVM_DEV_ARM_VGIC_GRP_DIST_REGS
        | KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
        | KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
        | KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ => u32::MAX.into(),
        _ => u64::MAX,
    }
}

impl List<'_> {
    fn insert(&mut self, its: Option<(usize, u64)>, attribute: AttrId, value: u64) -> Result<(), AttributeError> {
        let (place, base) = its.unzip();
        if value > max(attribute) {
            return Err(AttributeError::Value { its: base, attribute, value, max: max(attribute) });
        }
        if its.is_none() && attribute.mpidr().is_some_and(|mpidr| !self.vcpus.iter().any(|vcpu| vcpu.mpidr == mpidr)) {
            return Err(AttributeError::UnknownVcpu { attribute, value });
        }
        let given = Given { attribute, value, used: false };
        match self.values.insert(key(place, attribute), given) {
            Some(first) if first.value != value && !is_stateless(attribute) => {
                Err(AttributeError::Conflict { its: base, attribute, first: first.value, second: value })
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, its: Option<(usize, u64)>, attribute: AttrId, absent: Absent) -> Result<u64, AttributeError> {
        let (place, base) = its.unzip();
        if let Some(given) = self.values.get_mut(&key(place, attribute)) {
            given.used = true;
            return Ok(given.value);
        }
        let value = absent.reset.or_else(|| self.of_the_vm(attribute)).ok_or(AttributeError::Missing { attribute })?;
        if !absent.optional {
            let problem = if absent.is_identity { Problem::IdentityMissing } else { Problem::AttributeMissing };
            self.report.add(problem, Place { its: base, ..Place::register(attribute, value) });
        }
        Ok(value)
    }

    /// The maintenance interrupt, if the vCPUs have EL2: there is a value of some register of it.
    fn maintenance_irq(&mut self) -> Option<u32> {
        let has_el2 = self.values.keys().any(|(_, group, attr)| {
            let instr = attr & KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK;
            *group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS && ich::REGISTERS.iter().any(|(_, encoding)| *encoding == instr)
        });
        let given = self.values.get_mut(&key(None, Attr::maintenance_irq().id()));
        let value = given.map_or(0, |given| {
            given.used = true;
            given.value as u32
        });
        has_el2.then(|| maintenance_irq(value))
    }

    /// The value in a new VM of a register for which it depends on what the VM is made of.
    fn of_the_vm(&self, attribute: AttrId) -> Option<u64> {
        let offset = attribute.attr() as u32;
        match (attribute.group(), attribute.mpidr()) {
            (KVM_DEV_ARM_VGIC_GRP_DIST_REGS, _) if offset == dist::GICD_TYPER => {
                // IDbits [23:19], LPIS [17], ITLinesNumber [4:0].
                let lpis = if self.has_its { 15 << 19 | 1 << 17 } else { 9 << 19 };
                Some(u64::from(self.nr_irqs.get() / 32 - 1) | lpis)
            }
            // KVM sets it when it creates an ITS.
            (KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, _) if offset == redist::GICR_PROPBASER => {
                Some(if self.has_its { INITIAL_LPI_BASER } else { 0 })
            }
            (KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, _) if offset == redist::GICR_PROPBASER + 4 => Some(0),
            (KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, Some(mpidr)) => {
                let vcpu = self.vcpus.iter().find(|vcpu| vcpu.mpidr == mpidr)?;
                match offset.checked_sub(redist::GICR_TYPER)? {
                    // Processor_Number [23:8], Last [4], PLPIS [0].
                    0 => Some(u64::from(vcpu.id.get()) << 8 | u64::from(self.last == Some(vcpu)) << 4 | u64::from(self.has_its)),
                    // Affinity_Value: KVM has Aff2 to Aff0.
                    4 => Some(u64::from(mpidr.packed() & 0x00ff_ffff)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// What is left has no place in the state.
    fn finish(&mut self, state: &Gicv3State) -> Result<(), AttributeError> {
        for ((its, ..), given) in self.values.iter().filter(|(_, given)| !given.used) {
            let (attribute, value) = (given.attribute, given.value);
            let its = its.and_then(|n| state.its.get(n)).map(|its| its.base);
            let is_of_gic = its.is_none();
            if is_of_gic && is_stateless(attribute) {
                continue;
            }
            if !(is_of_gic && is_zero(attribute)) {
                return Err(AttributeError::Unknown { its, attribute, value });
            }
            if value != 0 {
                return Err(AttributeError::Value { its, attribute, value, max: 0 });
            }
        }
        Ok(())
    }
}

/// Whether a register has no state.
fn is_stateless(attribute: AttrId) -> bool {
    let offset = attribute.attr() as u32;
    NOT_STATE.iter().any(|(group, first, end, _)| *group == attribute.group() && (*first..*end).contains(&offset))
}

/// Whether KVM shows zero: the distributor's registers of private interrupts and of interrupts that the VM does not have, the upper half
/// of `GICD_IROUTER`, and active priorities of more priority bits than there are. Everything else of these registers has been used.
fn is_zero(attribute: AttrId) -> bool {
    let attr = attribute.attr();
    match attribute.group() {
        KVM_DEV_ARM_VGIC_GRP_DIST_REGS => {
            attr.is_multiple_of(4)
                && dist::ARRAYS.iter().any(|(first, end, _)| (u64::from(*first)..u64::from(*end)).contains(&attr))
        }
        KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO => attr as u32 & KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK == 0 && attr.is_multiple_of(32),
        KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS => {
            let instr = attr & KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK;
            attr & !(u64::from(u32::MAX) << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT) == instr && !has_icc(instr as u32, 0)
        }
        _ => false,
    }
}

impl Registers for List<'_> {
    type Error = AttributeError;

    fn word(&mut self, attr: Attr<u32>, absent: Absent) -> Result<u32, AttributeError> {
        // Not above 32 bits: looked at when it was put in.
        self.take(None, attr.id(), absent).map(|value| value as u32)
    }

    fn cpu_sysreg(&mut self, attr: Attr<u64>, absent: Absent) -> Result<u64, AttributeError> {
        self.take(None, attr.id(), absent)
    }

    fn its(&mut self, n: usize, base: u64, row: &'static Row, absent: Absent) -> Result<u64, AttributeError> {
        let value = self.take(Some((n, base)), row.id(), absent)?;
        if value > row.max {
            return Err(AttributeError::Value { its: Some(base), attribute: row.id(), value, max: row.max });
        }
        Ok(value)
    }
}
