//! The virtual CPU interfaces of vCPUs with EL2: what no kernel takes, and what a nested guest would not be given as it was.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-v3-nested.c`, `arch/arm64/kvm/nested.c`; Arm IHI 0069, `ICH_LR<n>_EL2`, `ICH_HCR_EL2`.
//!
//! Rule: a guest hypervisor can write anything into these registers: what is only odd is no reason to refuse its state.

use crate::Attr;
use crate::registers::{RegisterTable, Row};
use crate::report::{Place, Problem, Report};
use crate::state::gicv3::{El2, El2State, Gicv3State, VcpuState, has_icc};
use crate::topology::Mpidr;
use crate::uapi::vgic_v3::ich::*;

const PPIS: core::ops::Range<u32> = 16..32;
/// Bits of `ICH_HCR_EL2` that KVM gives no guest: of a GICv4.
const HCR_GICV4: u64 = ICH_HCR_EL2_DVIM | ICH_HCR_EL2_VSGIEOICOUNT;

/// Judges the virtual CPU interfaces of a state, and its maintenance interrupt.
pub(super) fn virtual_cpu_interfaces(state: &Gicv3State, report: &mut Report) {
    let with = state.vcpus.iter().filter(|vcpu| vcpu.el2.is_some()).count();
    if let (1.., Some(without)) = (with, state.vcpus.iter().find(|vcpu| vcpu.el2.is_none())) {
        let hcr = Attr::<u64>::cpu_sysreg(without.vcpu.mpidr, SYS_ICH_HCR_EL2).id();
        report.add_refused(Problem::El2OfSome, Place { register: Some(hcr), ..Place::default() });
    }
    let intid = state.maintenance_irq;
    if if with == 0 { intid != 0 } else { !PPIS.contains(&intid) } {
        report.add_refused(Problem::MaintenanceIrq, Place::register(Attr::maintenance_irq().id(), intid));
    }
    for vcpu in &state.vcpus {
        if let Some(el2) = &vcpu.el2 {
            of_vcpu(vcpu, el2, state.nr_irqs.get(), report);
        }
    }
}

fn of_vcpu(vcpu: &VcpuState, el2: &El2, nr_irqs: u32, report: &mut Report) {
    let place = |instr: u32, value: u64| Place::register(Attr::cpu_sysreg(vcpu.vcpu.mpidr, instr as u16).id(), value);
    for (row, value) in el2.registers.rows() {
        if value != 0 && !has_icc(row.key, vcpu.icc.ctlr) {
            report.add_refused(Problem::ActivePriority, place(row.key, value));
        }
        // Active priorities are one number, of 32 bits.
        let known = if row.fields.is_empty() { u32::MAX.into() } else { row.known_bits() };
        if !is_list_register(row.key) && value & !known != 0 {
            report.add(Problem::ReservedBits, place(row.key, value));
        }
    }
    let tdir = if el2.identity.vtr & ICH_VTR_EL2_TDS == 0 { ICH_HCR_EL2_TDIR } else { 0 };
    if el2.registers.hcr & (HCR_GICV4 | tdir) != 0 {
        report.add(Problem::IgnoredBits, place(SYS_ICH_HCR_EL2.into(), el2.registers.hcr));
    }
    list_registers(vcpu.vcpu.mpidr, el2, nr_irqs, report);
}

fn is_list_register(instr: u32) -> bool {
    (u32::from(SYS_ICH_LR0_EL2)..=u32::from(SYS_ICH_LR15_EL2)).contains(&instr)
}

fn list_registers(mpidr: Mpidr, el2: &El2, nr_irqs: u32, report: &mut Report) {
    let registers = el2.registers.list_registers();
    let there = (el2.identity.vtr & ICH_VTR_EL2_LISTREGS) as usize + 1;
    let known = El2State::REGISTERS.iter().find(|row| is_list_register(row.key)).map_or(0, Row::known_bits);
    for (n, register) in registers.into_iter().enumerate() {
        let place = Place::register(Attr::cpu_sysreg(mpidr, SYS_ICH_LR0_EL2 + n as u16).id(), register);
        if n >= there {
            if register != 0 {
                report.add(Problem::ListRegisterBeyond, place);
            }
            continue;
        }
        let hardware = register & ICH_LR_EL2_HW != 0;
        if register & !known != 0 || (!hardware && register & ICH_LR_EL2_PINTID & !ICH_LR_EL2_EOI != 0) {
            report.add(Problem::ReservedBits, place);
        }
        if register & ICH_LR_EL2_STATE == 0 {
            continue;
        }
        let (intid, physical) = (register as u32, ((register & ICH_LR_EL2_PINTID) >> ICH_LR_EL2_PINTID.trailing_zeros()) as u32);
        if (1020..1024).contains(&intid) || intid > 0xffff {
            report.add(Problem::ListRegisterIntid, place);
        }
        if registers.iter().take(n).any(|other| *other & ICH_LR_EL2_STATE != 0 && *other as u32 == intid) {
            report.add(Problem::ListRegisterTwice, place);
        }
        if hardware && !(PPIS.start..nr_irqs).contains(&physical) {
            report.add(Problem::ListRegisterHardware, place);
        }
    }
}
