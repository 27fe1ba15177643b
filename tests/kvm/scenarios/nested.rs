//! vCPUs with EL2 (nested virtualization): every register of the virtual CPU interface moves, and goes nowhere else.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`.
//!
//! Rule: where the host offers no EL2, a scenario observes nothing; `VGIC_STATE_KVM_NESTED=1` has one that does.

use super::{moved, save};
use crate::log::Log;
use crate::memory;
use crate::program;
use crate::rig::{Config, Rig};
use vgic_state::gicv3::{El2, El2State, Gicv3State, TargetEl2, has_icc};
use vgic_state::model::gicv3::Behaviour;
use vgic_state::report::Refusal;
use vgic_state::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1;
use vgic_state::uapi::vgic_v3::ich::*;
use vgic_state::{El2Policy, Errno, Error, InterruptState};

fn config(el2: bool) -> Config {
    Config { el2, ..Config::default() }
}

fn shows<R: Rig>() -> bool {
    R::kernel().has(Behaviour::HasEl2Registers)
}

/// A value of its own for each register of each vCPU, as a guest hypervisor could have.
fn fill<R: Rig>(rig: &mut R) {
    for vcpu in 0..rig.config().vcpus {
        let ctlr = rig.icc(vcpu, SYS_ICC_CTLR_EL1).expect("ICC_CTLR_EL1");
        let n = vcpu as u64;
        for row in El2State::REGISTERS.iter().filter(|row| has_icc(row.key, ctlr)) {
            let instr = row.key as u16;
            let value = match instr {
                SYS_ICH_HCR_EL2 => (5 + n) << 27 | 0x401 | 2 << n,
                SYS_ICH_VMCR_EL2 => (0xf0 - 8 * n) << 24 | (2 + n) << 21 | (3 + n) << 18 | 3,
                SYS_ICH_LR0_EL2..=SYS_ICH_LR15_EL2 => {
                    let register = u64::from(instr - SYS_ICH_LR0_EL2);
                    let linked = register % 4 == 2;
                    let link = if linked { 1 << 61 | 27 << 32 } else { 0 };
                    (1 + (n + register) % 3) << 62 | link | (8 * register) << 48 | (0x20 * (n + 1) + register)
                }
                _ => 1 << (u64::from(instr & 0xf) + n),
            };
            rig.set_icc(vcpu, instr, value).expect("register");
        }
    }
}

pub(crate) fn el2_registers_move<R: Rig>(log: &mut Log) {
    if !(R::offers_el2() && shows::<R>()) {
        return;
    }
    for maintenance_irq in [0, 20] {
        let mut source = R::new(Config { maintenance_irq, ..config(true) });
        program::basics(&mut source);
        fill(&mut source);
        let state = save(&mut source);
        assert_eq!(state.maintenance_irq, if maintenance_irq == 0 { 25 } else { 20 });
        for vcpu in &state.vcpus {
            let el2 = vcpu.el2.expect("EL2");
            assert!(el2.registers.values().all(|(row, value)| (value != 0) == has_icc(row.key, vcpu.icc.ctlr)));
        }
        assert_ne!(state.vcpus[0].el2, state.vcpus[1].el2);
        log.state(&state);
        let mut target = moved(&mut source);
        assert_eq!(save(&mut target), state);
    }
}

/// A hypervisor has given its guest three interrupts in list registers; that guest is in the handler of one while it is moved.
pub(crate) fn el2_guest_acknowledges_what_was_in_list_registers<R: Rig>(log: &mut Log) {
    if !(R::offers_el2() && shows::<R>()) {
        return;
    }
    const PENDING_GROUP1: u64 = 1 << 62 | 1 << 60;
    let mut source = R::new(config(true));
    let lists = [(0x80, 33), (0x40, 50), (0xa0, 60)].map(|(priority, intid)| PENDING_GROUP1 | priority << 48 | intid);
    for (register, value) in (SYS_ICH_LR0_EL2..).zip(lists) {
        source.set_icc(0, register, value).expect("list register");
    }
    // VPMR, VBPR0, VBPR1, VENG1.
    source.set_icc(0, SYS_ICH_VMCR_EL2, 0xf0 << 24 | 2 << 21 | 3 << 18 | 2).expect("ICH_VMCR_EL2");
    source.set_icc(0, SYS_ICH_HCR_EL2, 1).expect("ICH_HCR_EL2");
    // The hypervisor has run.
    assert!(source.acknowledge(0).is_empty());
    assert_eq!(source.nested_enter_handler(0), 50);
    let shown = |rig: &mut R| [0, 1, 2].map(|n| rig.icc(0, SYS_ICH_LR0_EL2 + n));
    log.value("in a handler", (shown(&mut source), source.icc(0, SYS_ICH_AP1R0_EL2)));
    let state = save(&mut source);
    log.state(&state);
    let mut target = moved(&mut source);
    assert_eq!(save(&mut target), state);
    for rig in [&mut source, &mut target] {
        assert!(rig.nested_acknowledge(0).is_empty(), "the others are of lower priorities");
        rig.nested_leave_handler(0, 50);
        assert_eq!(rig.nested_acknowledge(0), [33, 60]);
        log.value("afterwards", (shown(rig), rig.icc(0, SYS_ICH_AP1R0_EL2), rig.icc(0, SYS_ICH_HCR_EL2)));
        log.state(&save(rig));
    }
}

pub(crate) fn el2_stays_where_it_can_be<R: Rig>(log: &mut Log) {
    let mut plain = R::new(config(false));
    let refusal = |rig: &mut R, state: &Gicv3State| match rig.gicv3().restore(state) {
        Err(Error::Refused(refusal)) => *refusal,
        other => panic!("not refused: {other:?}"),
    };
    // From a kernel that has them to one that has not: every kernel is asked.
    let mut from_elsewhere = save(&mut plain);
    from_elsewhere.maintenance_irq = 25;
    from_elsewhere.vcpus.iter_mut().for_each(|vcpu| vcpu.el2 = Some(El2::default()));
    let mut fresh = R::with_memory(config(false), memory::copy(plain.memory()));
    assert_eq!(refusal(&mut fresh, &from_elsewhere), Refusal::El2Missing);
    if !R::offers_el2() {
        return;
    }
    let mut nested = R::new(config(true));
    log.value("EL2", nested.gicv3().target().el2);
    if !shows::<R>() {
        assert_eq!(nested.gicv3().target().el2, TargetEl2::Unknown);
        assert_eq!(refusal(&mut nested, &from_elsewhere), Refusal::El2Missing);
        let state = save(&mut plain);
        nested.gicv3().options_mut().el2 = El2Policy::Required;
        assert!(matches!(nested.gicv3().restore(&state), Err(Error::Device(_))));
        return;
    }
    fill(&mut nested);
    let (with, without) = (save(&mut nested), save(&mut plain));
    let fresh = |el2| R::with_memory(config(el2), memory::copy(plain.memory()));
    assert_eq!(refusal(&mut fresh(false), &with), Refusal::El2Missing);
    assert_eq!(refusal(&mut fresh(true), &without), Refusal::El2Unexpected);
    let mut other = R::new(Config { maintenance_irq: 22, ..config(true) });
    assert_eq!(refusal(&mut other, &with), Refusal::MaintenanceIrq { expected: 22, found: 25 });
}

pub(crate) fn el2_registers_of_a_new_vm<R: Rig>(log: &mut Log) {
    if !R::offers_el2() {
        return;
    }
    for el2 in [false, true] {
        let mut rig = R::new(config(el2));
        for (name, instr) in REGISTERS {
            let instr = *instr as u16;
            let before = rig.icc(1, instr);
            let answers: Vec<(Result<(), Errno>, Result<u64, Errno>)> =
                [u64::MAX, 0].map(|value| (rig.set_icc(1, instr, value), rig.icc(1, instr))).to_vec();
            log.value(name, (before, answers));
        }
    }
}
