//! vCPUs with EL2: the registers of their virtual CPU interface, from user space.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`; what Linux 6.17 to 7.3 answer.

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
