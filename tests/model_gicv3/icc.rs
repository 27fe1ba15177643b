//! CPU interface registers from user space.
//!
//! Source: `arch/arm64/kvm/vgic-sys-reg-v3.c`.
//!
//! Rule: what a host cannot be is refused; what a register does not hold is dropped.

use crate::common::*;
use vgic_state::model::gicv3::Host;
use vgic_state::uapi::vgic_v3::icc::*;
use vgic_state::{Attr, AttrDevice, Errno};

fn get(rig: &Rig, instr: u16) -> Result<u64, Errno> {
    rig.gic.get(Attr::cpu_sysreg(VCPUS[1].1, instr))
}

fn set(rig: &mut Rig, instr: u16, value: u64) -> Result<(), Errno> {
    rig.gic.set(Attr::cpu_sysreg(VCPUS[1].1, instr), value)
}

#[test]
fn a_cpu_interface_register_keeps_its_fields() {
    let mut rig = ready(0);
    for (instr, mask) in [
        (SYS_ICC_PMR_EL1, 0xff),
        (SYS_ICC_BPR0_EL1, 7),
        (SYS_ICC_BPR1_EL1, 7),
        (SYS_ICC_AP0R0_EL1, 0xffff_ffff),
        (SYS_ICC_AP1R0_EL1, 0xffff_ffff),
        (SYS_ICC_IGRPEN0_EL1, 1),
        (SYS_ICC_IGRPEN1_EL1, 1),
    ] {
        assert_eq!(get(&rig, instr), Ok(0), "{instr:#x} is zero at first");
        for value in [0x1234_5678_9abc_def5, u64::MAX] {
            set(&mut rig, instr, value).unwrap();
            assert_eq!(get(&rig, instr), Ok(value & mask), "{instr:#x}");
        }
    }
    for (value, answer) in [(0, Err(Errno::EINVAL)), (6, Err(Errno::EINVAL)), (1, Ok(())), (7, Ok(()))] {
        assert_eq!(set(&mut rig, SYS_ICC_SRE_EL1, value), answer, "ICC_SRE_EL1 {value}");
        assert_eq!(get(&rig, SYS_ICC_SRE_EL1), Ok(7));
    }
    assert_eq!((get(&rig, 0xc668), set(&mut rig, 0xc668, 0)), (Err(Errno::ENOENT), Err(Errno::ENOENT)));
    assert_eq!(rig.gic.get(Attr::cpu_sysreg(VCPUS[0].1, SYS_ICC_PMR_EL1)), Ok(0), "another vCPU's");
}

#[test]
fn common_binary_point() {
    let mut rig = ready(0);
    set(&mut rig, SYS_ICC_BPR1_EL1, 5).unwrap();
    let ctlr = get(&rig, SYS_ICC_CTLR_EL1).unwrap();
    for (point0, point1) in [(3, 4), (6, 7), (7, 7)] {
        set(&mut rig, SYS_ICC_BPR0_EL1, point0).unwrap();
        set(&mut rig, SYS_ICC_CTLR_EL1, ctlr | 1).unwrap();
        set(&mut rig, SYS_ICC_BPR1_EL1, 2).unwrap();
        assert_eq!(get(&rig, SYS_ICC_BPR1_EL1), Ok(point1), "derived, and not written");
    }
    set(&mut rig, SYS_ICC_CTLR_EL1, ctlr).unwrap();
    assert_eq!(get(&rig, SYS_ICC_BPR1_EL1), Ok(5));
}

#[test]
fn priority_bits_say_how_many_active_priority_registers_there_are() {
    // By KVM's own rule: 7 bits make four registers, 6 make two, and 8 make one.
    for (pri_bits, registers) in [(5, 1), (6, 2), (7, 4), (8, 1)] {
        let mut rig = ready_with(Host { pri_bits, ..Host::default() }, 0, new_memory());
        for first in [SYS_ICC_AP0R0_EL1, SYS_ICC_AP1R0_EL1] {
            for n in 0..4 {
                let there = n < registers;
                let value = 0x10 + u64::from(n) + u64::from(first);
                assert_eq!(set(&mut rig, first + n, value), if there { Ok(()) } else { Err(Errno::EINVAL) }, "{pri_bits}: {n}");
                assert_eq!(get(&rig, first + n), if there { Ok(value) } else { Err(Errno::EINVAL) }, "{pri_bits}: {n}");
            }
        }
        assert_eq!(get(&rig, SYS_ICC_CTLR_EL1).unwrap() >> 8 & 7, u64::from(pri_bits) - 1);
    }
}

#[test]
fn icc_ctlr_takes_no_bits_that_are_not_the_hosts() {
    let host = Host { pri_bits: 7, id_bits: 24, seis: true, a3v: false, ..Host::default() };
    let own = 6 << 8 | 1 << 11 | 1 << 14;
    let mut rig = ready_with(host, 0, new_memory());
    assert_eq!(get(&rig, SYS_ICC_CTLR_EL1), Ok(own));
    for (value, answer) in [
        (own | 3, Ok(())),
        (own ^ 1 << 14, Err(Errno::EINVAL)),
        (own | 1 << 15, Err(Errno::EINVAL)),
        (own + (1 << 8), Err(Errno::EINVAL)),
        (own + (1 << 11), Err(Errno::EINVAL)),
    ] {
        assert_eq!(set(&mut rig, SYS_ICC_CTLR_EL1, value), answer, "{value:#x}");
        assert_eq!(get(&rig, SYS_ICC_CTLR_EL1), Ok(own | 3), "after {value:#x}");
    }
    // Fewer bits are accepted, for good; a refusal keeps what came before it in the row.
    assert_eq!(set(&mut rig, SYS_ICC_CTLR_EL1, 5 << 8 | 2 << 11), Err(Errno::EINVAL));
    assert_eq!(get(&rig, SYS_ICC_CTLR_EL1), Ok((own - (1 << 8)) | 3), "the priority bits are taken");
    assert_eq!(set(&mut rig, SYS_ICC_CTLR_EL1, own), Err(Errno::EINVAL), "no way back");
    assert_eq!(get(&rig, SYS_ICC_AP1R2_EL1), Err(Errno::EINVAL), "as many registers as six bits have");
    assert_eq!(set(&mut rig, SYS_ICC_CTLR_EL1, 4 << 8 | 1 << 14), Ok(()));
    assert_eq!(get(&rig, SYS_ICC_CTLR_EL1), Ok(4 << 8 | 1 << 14));
}
