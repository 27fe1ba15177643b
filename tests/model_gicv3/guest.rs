//! Guests: priorities, acknowledgement, the end of an interrupt, and what is left after a migration.
//!
//! Source: Arm Generic Interrupt Controller Architecture Specification, GICv3, CPU interface; `arch/arm64/kvm/vgic/vgic.c`.
//!
//! Rule: a guest takes what is pending, enabled and for its vCPU, the most urgent first.

use crate::common::*;
use vgic_state::model::gicv3::{Guest, Host};
use vgic_state::uapi::vgic_v3::icc::*;
use vgic_state::{Attr, AttrDevice, Errno};

/// Takes every interrupt that is signalled, one after the other.
fn drain(guest: &mut Guest<'_>) -> Vec<u32> {
    core::iter::from_fn(|| {
        let intid = guest.acknowledge()?;
        guest.eoi(intid);
        Some(intid)
    })
    .collect()
}

fn in_order(mut intids: Vec<u32>) -> Vec<u32> {
    intids.sort_by_key(|intid| (config(*intid) & 0xfc, *intid));
    intids
}

#[test]
fn exactly_the_pending_ones_after_a_migration() {
    for indirect in [false, true] {
        let mut source = running_with(Host::default(), 2, indirect);
        let mut pending = populate(&mut source, 0);
        pending.extend(populate(&mut source, 1));
        // One moves, one is cleared, one is disabled.
        source.command(movi(70, 0, 11)).unwrap();
        source.command(event(CLEAR, 8191, 0)).unwrap();
        source.memory_config(8296, 0x70);
        source.command(event(INV, 71, 3)).unwrap();
        let on_vcpu = |rig: &Rig, index: usize| -> Vec<u32> {
            let mine = rig.vm.lpis().into_iter().filter(|lpi| lpi.target == Some(vcpu(index).id));
            mine.filter(|lpi| lpi.pending && lpi.enabled).map(|lpi| lpi.intid).collect()
        };
        let target = migrate(&mut source, Host::default(), indirect);
        let mut taken = 0;
        for index in 0..3 {
            let expected = in_order(on_vcpu(&source, index));
            taken += expected.len();
            for rig in [&target, &source] {
                let got = rig.vm.run(vcpu(index).id, |guest| {
                    guest.enable_interface();
                    drain(guest)
                });
                assert_eq!(got, Ok(expected.clone()), "vCPU {index}");
            }
        }
        assert_eq!(taken, pending.len() - 1, "all but the one that was cleared");
        assert!(target.vm.lpis().iter().all(|lpi| !lpi.pending));
    }
}

impl Rig {
    fn memory_config(&self, intid: u64, value: u8) {
        use vm_memory::{Bytes, GuestAddress};
        self.memory.write_obj(value, GuestAddress(CONFIG + intid - 8192)).unwrap();
    }
}

/// SPIs 40 (priority 0x50), 41 (0x30) and 42 (0x90) for vCPU 2, enabled, edge-triggered.
fn spis() -> Rig {
    let mut rig = ready(0);
    rig.gic.set(Attr::dist(0), 2).unwrap();
    rig.gic.set(Attr::dist(0x104), 0x700).unwrap();
    for (intid, priority) in [(40, 0x50), (41, 0x30), (42, 0x90)] {
        let offset = 0x400 + intid / 4 * 4;
        let old = rig.gic.get(Attr::dist(offset)).unwrap();
        rig.gic.set(Attr::dist(offset), old | priority << (intid % 4 * 8)).unwrap();
        rig.gic.set(Attr::dist(0x6000 + intid * 8), VCPUS[1].1.packed()).unwrap();
    }
    rig
}

#[test]
fn a_guest_is_given_what_mask_group_and_priority_allow() {
    let rig = spis();
    rig.vm.set_spi_level(40, true).unwrap();
    let vm = rig.vm.clone();
    rig.vm
        .run(vcpu(1).id, |guest| {
            assert_eq!(guest.acknowledge(), None, "masked");
            guest.icc_write(SYS_ICC_PMR_EL1, 0xff);
            assert_eq!(guest.acknowledge(), None, "group 1 is disabled");
            guest.icc_write(SYS_ICC_IGRPEN1_EL1, 1);
            assert_eq!((guest.running_priority(), guest.acknowledge(), guest.running_priority()), (0xff, Some(40), 0x50));
            // A device fires while the guest runs: only what is more urgent comes through.
            vm.set_spi_level(42, true).unwrap();
            assert_eq!(guest.acknowledge(), None);
            vm.set_spi_level(41, true).unwrap();
            assert_eq!((guest.acknowledge(), guest.running_priority()), (Some(41), 0x30));
            assert_eq!(guest.icc_read(SYS_ICC_AP1R0_EL1), 1 << (0x30 >> 3) | 1 << (0x50 >> 3));
            guest.eoi(41);
            guest.eoi(40);
            guest.icc_write(SYS_ICC_PMR_EL1, 0x90);
            assert_eq!(guest.acknowledge(), None, "as urgent as the mask is not enough");
            guest.icc_write(SYS_ICC_PMR_EL1, 0x98);
            assert_eq!(guest.acknowledge(), Some(42));
        })
        .unwrap();
    assert_eq!(rig.gic.get(Attr::dist(0x304)), Ok(1 << 10), "active still");
    assert_eq!(rig.gic.get(Attr::cpu_sysreg(VCPUS[1].1, SYS_ICC_AP1R0_EL1)), Ok(1 << (0x90 >> 3)));
    assert_eq!(rig.gic.get(Attr::cpu_sysreg(VCPUS[0].1, SYS_ICC_AP1R0_EL1)), Ok(0));
    // The least binary points, once a vCPU has run.
    let points = [SYS_ICC_BPR0_EL1, SYS_ICC_BPR1_EL1];
    assert_eq!(points.map(|instr| rig.gic.get(Attr::cpu_sysreg(VCPUS[1].1, instr))), [Ok(2), Ok(3)]);
    assert_eq!(points.map(|instr| rig.gic.get(Attr::cpu_sysreg(VCPUS[0].1, instr))), [Ok(0), Ok(0)]);
}

#[test]
fn level_and_edge() {
    let mut rig = spis();
    // 41 is level-triggered.
    rig.gic.set(Attr::dist(0xc08), 0xaaa2_aaaa).unwrap();
    let vm = rig.vm.clone();
    rig.vm
        .run(vcpu(1).id, |guest| {
            guest.enable_interface();
            vm.set_spi_level(41, true).unwrap();
            assert_eq!(guest.acknowledge(), Some(41));
            assert_eq!(guest.dist_read32(0x204), 1 << 9, "pending as long as the line is high");
            guest.eoi(41);
            assert_eq!(guest.acknowledge(), Some(41), "again");
            vm.set_spi_level(41, false).unwrap();
            guest.eoi(41);
            assert_eq!(guest.acknowledge(), None);
            // An edge while it is active comes afterwards; a second one is the same.
            vm.set_spi_level(40, true).unwrap();
            assert_eq!(guest.acknowledge(), Some(40));
            for _ in 0..2 {
                vm.set_spi_level(40, false).unwrap();
                vm.set_spi_level(40, true).unwrap();
            }
            assert_eq!(guest.acknowledge(), None);
            guest.eoi(40);
            assert_eq!(drain(guest), [40]);
            // Two steps with EOImode.
            let ctlr = guest.icc_read(SYS_ICC_CTLR_EL1);
            guest.icc_write(SYS_ICC_CTLR_EL1, ctlr | 2);
            vm.set_spi_level(40, true).unwrap();
            assert_eq!(guest.acknowledge(), Some(40));
            guest.eoi(40);
            assert_eq!((guest.running_priority(), guest.dist_read32(0x304)), (0xff, 1 << 8));
            guest.deactivate(40);
            assert_eq!(guest.dist_read32(0x304), 0);
        })
        .unwrap();
}

#[test]
fn a_restored_level() {
    let mut rig = spis();
    rig.gic.set(Attr::dist(0xc08), 0xaaa2_aaaa).unwrap();
    rig.gic.set(Attr::line_levels(VCPUS[2].1, 32), 1 << 9).unwrap();
    rig.gic.set(Attr::dist(0x204), 1 << 9).unwrap();
    rig.vm
        .run(vcpu(1).id, |guest| {
            guest.enable_interface();
            assert_eq!(guest.acknowledge(), Some(41));
            guest.eoi(41);
            assert_eq!(guest.acknowledge(), Some(41), "the latch is gone, the line is not");
        })
        .unwrap();
    assert_eq!(rig.gic.get(Attr::dist(0x204)), Ok(0));
    assert_eq!(rig.gic.get(Attr::line_levels(VCPUS[2].1, 32)), Ok(1 << 9));
}

#[test]
fn nothing_while_the_distributor_is_off() {
    let mut rig = spis();
    rig.gic.set(Attr::dist(0), 0).unwrap();
    rig.vm.set_spi_level(40, true).unwrap();
    rig.gic.set(Attr::dist(0), 2).unwrap();
    let take = |rig: &Rig| {
        rig.vm
            .run(vcpu(1).id, |guest| {
                guest.enable_interface();
                guest.acknowledge()
            })
            .unwrap()
    };
    // KVM puts an interrupt on a list at an event, and switching on is none: GICD_CTLR must be restored before pending state.
    assert_eq!(take(&rig), None);
    rig.gic.set(Attr::dist(0x104), 1 << 8).unwrap();
    assert_eq!(take(&rig), Some(40));
}

#[test]
fn private_interrupts_and_sgis() {
    let mut rig = ready(0);
    rig.gic.set(Attr::dist(0), 2).unwrap();
    rig.gic.set(Attr::redist(VCPUS[1].1, 0x10100), 1 << 20).unwrap();
    rig.vm.set_ppi_level(vcpu(1).id, 20, true).unwrap();
    rig.vm.set_ppi_level(vcpu(0).id, 20, true).unwrap();
    rig.vm
        .run(vcpu(0).id, |guest| {
            guest.enable_interface();
            assert_eq!(guest.acknowledge(), None, "not enabled on this vCPU");
            guest.send_sgi(vcpu(1).id, 7);
            guest.send_sgi(vcpu(1).id, 16);
        })
        .unwrap();
    assert_eq!(rig.gic.get(Attr::redist(VCPUS[1].1, 0x10200)), Ok(1 << 7), "a latch; the line of a PPI is none");
    rig.vm
        .run(vcpu(1).id, |guest| {
            guest.enable_interface();
            assert_eq!((guest.acknowledge(), guest.acknowledge()), (Some(7), None), "of one priority");
            guest.eoi(7);
            assert_eq!(guest.acknowledge(), Some(20));
        })
        .unwrap();
    for (id, intid, answer) in [(0, 15, Err(Errno::EINVAL)), (0, 32, Err(Errno::EINVAL)), (2, 31, Ok(()))] {
        assert_eq!(rig.vm.set_ppi_level(vcpu(id).id, intid, false), answer, "{intid}");
    }
    for (intid, answer) in [(31, Err(Errno::EINVAL)), (95, Ok(())), (96, Err(Errno::EINVAL)), (8192, Err(Errno::EINVAL))] {
        assert_eq!(rig.vm.set_spi_level(intid, false), answer, "{intid}");
    }
}

#[test]
fn each_group_has_its_own_acknowledge_register() {
    let mut rig = spis();
    // 41 is in group 0: more urgent, and it hides 40 from the other register.
    rig.gic.set(Attr::dist(0x84), !(1 << 9)).unwrap();
    for intid in [40, 41] {
        rig.vm.set_spi_level(intid, true).unwrap();
    }
    rig.vm
        .run(vcpu(1).id, |guest| {
            guest.enable_interface();
            guest.icc_write(SYS_ICC_IGRPEN0_EL1, 1);
            assert_eq!((guest.acknowledge(), guest.acknowledge_group0()), (None, Some(41)));
            assert_eq!((guest.icc_read(SYS_ICC_AP0R0_EL1), guest.icc_read(SYS_ICC_AP1R0_EL1)), (1 << (0x30 >> 3), 0));
            guest.eoi(41);
            assert_eq!(guest.running_priority(), 0x30, "the wrong register ends nothing");
            guest.eoi_group0(41);
            assert_eq!(guest.acknowledge(), Some(40));
        })
        .unwrap();
}

#[test]
fn its_registers_of_a_guest() {
    let rig = ready(2);
    rig.vm
        .run(vcpu(0).id, |guest| {
            // Halves, and what only user space can write.
            guest.its_write32(1, 0x104, 0x8000_0000);
            guest.its_write32(1, 0x100, 0x4013_0000);
            assert_eq!(guest.its_read64(1, 0x100), 0x9907_0000_4013_0200);
            assert_eq!((guest.its_read32(1, 0x104), guest.its_read32(1, 0x8)), (0x9907_0000, 0x1_ef71));
            guest.its_write64(1, 0x90, 0x40);
            guest.its_write32(1, 0x4, 0xffff_ffff);
            assert_eq!((guest.its_read64(1, 0x90), guest.its_read32(1, 0x4)), (0, 0x4b00_043b));
            // A width that the register does not have, an offset and an ITS that are not there.
            assert_eq!((guest.its_read64(1, 0x0), guest.its_read32(1, 0x40), guest.its_read32(2, 0x4)), (0, 0, 0));
            assert_eq!(guest.its_read64(0, 0x100) >> 63, 0, "the other one");
        })
        .unwrap();
}
