//! vCPUs with EL2: the registers of their virtual CPU interface, from user space; what a nested guest is given out of them.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`; what Linux 6.17 to 7.3 answer; Arm IHI 0069, virtual interrupts.

use crate::common::*;
use vgic_state::model::gicv3::{Behaviour, Host, Kernel, Vm};
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V3;
use vgic_state::uapi::vgic_v3::ich::*;
use vgic_state::{Attr, AttrDevice, Command, Errno};

/// A VM whose vCPUs have EL2, or have not.
fn vm(host: Host, el2: bool) -> Rig {
    let vm = Vm::new(host, new_memory());
    for index in 0..VCPUS.len() {
        if el2 { vm.create_el2_vcpu(vcpu(index)) } else { vm.create_vcpu(vcpu(index)) }.unwrap();
    }
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).unwrap();
    gic.set(Attr::dist_address(), DIST).unwrap();
    gic.set(Attr::redist_address(), REDIST).unwrap();
    gic.command(Command::Init).unwrap();
    Rig { memory: vm.memory(), vm, gic, its: Vec::new() }
}

fn get(rig: &Rig, instr: u16) -> Result<u64, Errno> {
    rig.gic.get(Attr::cpu_sysreg(VCPUS[1].1, instr))
}

fn set(rig: &mut Rig, instr: u16, value: u64) -> Result<(), Errno> {
    rig.gic.set(Attr::cpu_sysreg(VCPUS[1].1, instr), value)
}

#[test]
fn who_has_el2_and_who_shows_it() {
    for kernel in Kernel::ALL {
        let runs = kernel.has(Behaviour::RunsGuestsWithEl2);
        let empty = Vm::new(on(kernel), new_memory());
        assert_eq!(empty.create_el2_vcpu(vcpu(0)), if runs { Ok(()) } else { Err(Errno::EINVAL) }, "{kernel:?}");
        if runs {
            assert_eq!(empty.create_vcpu(vcpu(1)), Err(Errno::EINVAL), "{kernel:?}: all or none");
        }
        for el2 in [false, true].into_iter().filter(|el2| runs || !el2) {
            let mut rig = vm(on(kernel), el2);
            let shown = el2 && kernel.has(Behaviour::HasEl2Registers);
            for (name, instr) in REGISTERS {
                let id = Attr::<u64>::cpu_sysreg(VCPUS[1].1, *instr as u16).id();
                assert_eq!(rig.gic.has(id), if shown { Ok(()) } else { Err(Errno::ENXIO) }, "{kernel:?} {name}");
                if !shown {
                    let answers = (get(&rig, *instr as u16), set(&mut rig, *instr as u16, 0));
                    assert_eq!(answers, (Err(Errno::ENOENT), Err(Errno::ENOENT)), "{kernel:?} {name}");
                }
            }
        }
    }
    assert!(Kernel::ALL.iter().all(|kernel| kernel.has(Behaviour::RunsGuestsWithEl2) || !kernel.has(Behaviour::HasEl2Registers)));
}

#[test]
fn each_register_holds_a_value_of_its_own() {
    for (pri_bits, aprs) in [(5, 1), (6, 2), (7, 4), (8, 1)] {
        let mut rig = vm(Host { pri_bits, ..Host::default() }, true);
        let fixed = [SYS_ICC_SRE_EL2, SYS_ICH_VTR_EL2];
        let is_apr = |instr: u16| (SYS_ICH_AP0R0_EL2..=SYS_ICH_AP1R3_EL2).contains(&instr);
        let value = |instr: u16| u64::from(instr) << 40 | 0x7f;
        let all: Vec<u16> = REGISTERS.iter().map(|(_, instr)| *instr as u16).filter(|instr| !fixed.contains(instr)).collect();
        for instr in &all {
            let there = !is_apr(*instr) || instr & 3 < aprs;
            assert_eq!(set(&mut rig, *instr, value(*instr)), if there { Ok(()) } else { Err(Errno::EINVAL) }, "{instr:#x}");
        }
        for instr in &all {
            let there = !is_apr(*instr) || instr & 3 < aprs;
            assert_eq!(get(&rig, *instr), if there { Ok(value(*instr)) } else { Err(Errno::EINVAL) }, "{instr:#x}");
            let other = rig.gic.get(Attr::cpu_sysreg(VCPUS[0].1, *instr));
            assert_eq!(other, if there { Ok(0) } else { Err(Errno::EINVAL) }, "another vCPU's");
        }
    }
}

#[test]
fn what_the_host_has_is_compared() {
    let host = Host { pri_bits: 7, list_registers: 16, seis: true, tds: false, ..Host::default() };
    for (host, vtr) in [(Host::default(), 0x9018_0003), (host, 6 << 29 | 6 << 26 | 1 << 22 | 1 << 20 | 15)] {
        let mut rig = vm(host, true);
        for (instr, own) in [(SYS_ICC_SRE_EL2, 0xf), (SYS_ICH_VTR_EL2, vtr)] {
            for (value, answer) in [(own, Ok(())), (own ^ 1, Err(Errno::EINVAL)), (0, Err(Errno::EINVAL))] {
                assert_eq!(set(&mut rig, instr, value), answer, "{instr:#x} {value:#x}");
                assert_eq!(get(&rig, instr), Ok(own));
            }
        }
    }
}

#[test]
fn the_first_run_leaves_what_a_guest_can_have() {
    for (tds, kept) in [(true, 0xf800_7cff), (false, 0xf800_3cff)] {
        let mut rig = vm(Host { tds, ..Host::default() }, true);
        for instr in [SYS_ICH_HCR_EL2, SYS_ICH_VMCR_EL2, SYS_ICH_LR15_EL2] {
            set(&mut rig, instr, u64::MAX).unwrap();
            assert_eq!(get(&rig, instr), Ok(u64::MAX));
        }
        assert_eq!(rig.gic.get(Attr::maintenance_irq()), Ok(0));
        rig.vm.run(vcpu(1).id, |_| ()).unwrap();
        let all = [SYS_ICH_HCR_EL2, SYS_ICH_VMCR_EL2, SYS_ICH_LR15_EL2].map(|instr| get(&rig, instr));
        assert_eq!(all, [Ok(kept), Ok(u64::MAX), Ok(u64::MAX)]);
        assert_eq!(rig.gic.get(Attr::maintenance_irq()), Ok(25));
        set(&mut rig, SYS_ICH_HCR_EL2, u64::MAX).unwrap();
        assert_eq!(get(&rig, SYS_ICH_HCR_EL2), Ok(kept));
    }
}

const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 1 << 63;
const HW: u64 = 1 << 61;
const GROUP1: u64 = 1 << 60;

/// A list register with an interrupt of group 1.
fn list(state: u64, priority: u64, intid: u64) -> u64 {
    state | GROUP1 | priority << 48 | intid
}

/// A vCPU whose guest has given its own guest these list registers, and this `ICH_VMCR_EL2` beside VENG1 and VPMR.
fn nested(vmcr: u64, lists: &[u64]) -> Rig {
    let mut rig = vm(Host { list_registers: 4, ..Host::default() }, true);
    set(&mut rig, SYS_ICH_VMCR_EL2, 0xf0 << 24 | 2 << 21 | 3 << 18 | 2 | vmcr).unwrap();
    for (register, value) in (SYS_ICH_LR0_EL2..).zip(lists) {
        set(&mut rig, register, *value).unwrap();
    }
    set(&mut rig, SYS_ICH_HCR_EL2, 1).unwrap();
    rig
}

fn acknowledge(rig: &Rig) -> Option<u32> {
    rig.vm.run(vcpu(1).id, |guest| guest.nested_acknowledge()).unwrap()
}

fn end(rig: &Rig, intid: u32) {
    rig.vm.run(vcpu(1).id, |guest| guest.nested_eoi(intid)).unwrap();
}

#[test]
fn a_nested_guest_takes_what_is_pending_in_list_registers_by_priority() {
    let rig = nested(0, &[list(PENDING, 0xc0, 50), list(PENDING, 0x40, 33), list(ACTIVE, 0x80, 60), list(PENDING, 0x80, 8195)]);
    assert_eq!(acknowledge(&rig), Some(33));
    let active = list(ACTIVE, 0x40, 33);
    assert_eq!((get(&rig, SYS_ICH_LR1_EL2), get(&rig, SYS_ICH_AP1R0_EL2)), (Ok(active), Ok(1 << (0x40 >> 3))));
    assert_eq!(acknowledge(&rig), None, "the others are of a lower priority than the one that is active");
    end(&rig, 33);
    assert_eq!((get(&rig, SYS_ICH_LR1_EL2), get(&rig, SYS_ICH_AP1R0_EL2)), (Ok(list(0, 0x40, 33)), Ok(0)));
    // An LPI is never active; its priority is.
    assert_eq!(acknowledge(&rig), Some(8195));
    assert_eq!((get(&rig, SYS_ICH_LR3_EL2), get(&rig, SYS_ICH_AP1R0_EL2)), (Ok(list(0, 0x80, 8195)), Ok(1 << (0x80 >> 3))));
    end(&rig, 8195);
    assert_eq!(acknowledge(&rig), Some(50));
    end(&rig, 50);
    assert_eq!((acknowledge(&rig), get(&rig, SYS_ICH_HCR_EL2)), (None, Ok(1)));
}

#[test]
fn what_keeps_a_nested_guest_from_an_interrupt() {
    let one = |vmcr: u64, lr: u64| acknowledge(&nested(vmcr, &[lr]));
    let lr = list(PENDING, 0x40, 33);
    assert_eq!(one(0, lr), Some(33));
    assert_eq!(one(0, list(PENDING, 0xf0, 33)), None, "the mask");
    assert_eq!(one(0, list(PENDING | ACTIVE, 0x40, 33)), None, "active still");
    assert_eq!(one(0, lr & !GROUP1), None, "group 0 is not enabled");
    assert_eq!(one(1, lr & !GROUP1), None, "group 0 has a register of its own");
    // A special INTID is no interrupt, and is pending no more.
    let rig = nested(0, &[list(PENDING, 0x40, 1022)]);
    assert_eq!((acknowledge(&rig), get(&rig, SYS_ICH_LR0_EL2)), (None, Ok(list(0, 0x40, 1022))));
    let mut rig = nested(0, &[0, 0, 0, 0, lr]);
    assert_eq!(acknowledge(&rig), None, "the host has four list registers");
    set(&mut rig, SYS_ICH_LR0_EL2, lr).unwrap();
    set(&mut rig, SYS_ICH_HCR_EL2, 0).unwrap();
    assert_eq!(acknowledge(&rig), None, "ICH_HCR_EL2.En");
    // A vCPU without EL2 has none of it.
    let rig = vm(Host::default(), false);
    let answers = rig.vm.run(vcpu(1).id, |guest| {
        guest.ich_write(SYS_ICH_LR0_EL2, lr);
        guest.nested_eoi(33);
        (guest.ich_read(SYS_ICH_LR0_EL2), guest.nested_acknowledge())
    });
    assert_eq!(answers, Ok((0, None)));
}

#[test]
fn what_a_nested_guest_ends() {
    const EOI_COUNT: u64 = 1 << 27;
    // With EOImode, nothing is deactivated.
    let rig = nested(1 << 9, &[list(PENDING, 0x40, 33)]);
    assert_eq!(acknowledge(&rig), Some(33));
    end(&rig, 33);
    assert_eq!((get(&rig, SYS_ICH_LR0_EL2), get(&rig, SYS_ICH_AP1R0_EL2)), (Ok(list(ACTIVE, 0x40, 33)), Ok(0)));
    // Of one that is in no list register, the hypervisor is told the number.
    let rig = nested(0, &[list(PENDING, 0x40, 33)]);
    assert_eq!(acknowledge(&rig), Some(33));
    end(&rig, 34);
    assert_eq!((get(&rig, SYS_ICH_HCR_EL2), get(&rig, SYS_ICH_AP1R0_EL2)), (Ok(EOI_COUNT | 1), Ok(0)));
    end(&rig, 34);
    assert_eq!(get(&rig, SYS_ICH_HCR_EL2), Ok(EOI_COUNT | 1), "no priority is active");
    // One that is linked to an interrupt of the hypervisor's.
    let rig = nested(0, &[list(PENDING | HW, 0x40, 27 | 30 << 32)]);
    let isactiver = Attr::redist(VCPUS[1].1, 0x1_0300);
    rig.vm.run(vcpu(1).id, |guest| guest.redist_write32(vcpu(1).id, 0x1_0300, 1 << 30)).unwrap();
    assert_eq!((acknowledge(&rig), rig.gic.get(isactiver)), (Some(27), Ok(1 << 30)));
    end(&rig, 27);
    assert_eq!((get(&rig, SYS_ICH_LR0_EL2), rig.gic.get(isactiver)), (Ok(list(HW, 0x40, 27 | 30 << 32)), Ok(0)));
}
