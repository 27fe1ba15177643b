//! What other VMMs get wrong, as what must hold here. Every target is a VM that was used, and is looked at through plain registers: not
//! by the code that is tested.

use super::save;
use crate::log::Log;
use crate::memory::{changed, copy};
use crate::program::{self, Devices};
use crate::rig::{Config, Rig};
use crate::save::Save as _;
use crate::{layout, memory};
use vgic_state::gicv3::{Gicv3State, has_icc};
use vgic_state::uapi::vgic_v3::dist::*;
use vgic_state::uapi::vgic_v3::icc::*;
use vgic_state::uapi::vgic_v3::its::*;
use vgic_state::uapi::vgic_v3::redist::*;
use vgic_state::{Attr, AttrDevice, DynInterruptState, InterruptState};

/// A VM in which every bit that a guest can set is the opposite of what a fresh VM has.
fn used<R: Rig>(config: Config) -> R {
    let mut rig = R::new(config);
    rig.set_dist(GICD_CTLR, 2);
    for bank in 1..config.nr_irqs / 32 {
        for register in [GICD_IGROUPR, GICD_ISENABLER, GICD_ISPENDR, GICD_ISACTIVER] {
            rig.set_dist(register + 4 * bank, u32::MAX);
        }
        (0..2).for_each(|n| rig.set_dist(GICD_ICFGR + 8 * bank + 4 * n, 0xaaaa_aaaa));
        (0..8).for_each(|n| rig.set_dist(GICD_IPRIORITYR + 32 * bank + 4 * n, 0xf8f8_f8f8));
        (0..32).for_each(|n| rig.set_dist(GICD_IROUTER + 8 * (32 * bank + n), 0x00ff_ffff));
        let any = config.mpidr(0);
        rig.gicv3().gic_mut().set(Attr::line_levels(any, 32 * bank), u32::MAX).expect("lines");
    }
    for vcpu in 0..config.vcpus {
        for register in [GICR_IGROUPR0, GICR_ISENABLER0, GICR_ISPENDR0, GICR_ISACTIVER0] {
            rig.set_redist(vcpu, register, 0x007f_ffff);
        }
        (0..8).for_each(|n| rig.set_redist(vcpu, GICR_IPRIORITYR0 + 4 * n, 0xf8f8_f8f8));
        for (instr, value) in [
            (SYS_ICC_PMR_EL1, 0xf8),
            (SYS_ICC_BPR0_EL1, 7),
            (SYS_ICC_BPR1_EL1, 7),
            (SYS_ICC_IGRPEN0_EL1, 1),
            (SYS_ICC_IGRPEN1_EL1, 1),
            (SYS_ICC_AP0R0_EL1, 0xffff_ffff),
            (SYS_ICC_AP1R0_EL1, 0xffff_ffff),
        ] {
            rig.set_icc(vcpu, instr, value).expect("CPU interface");
        }
    }
    rig
}

/// Saves, and restores on a VM that was used.
fn onto_used<R: Rig>(source: &mut R) -> R {
    let state = save(source);
    let mut target = used::<R>(source.config());
    memory::overwrite(target.memory(), source.memory());
    target.gicv3().restore(&state).expect("restore");
    target
}

/// Reads a register of source and target.
fn assert_equal<R: Rig, T: PartialEq + std::fmt::Debug>(source: &mut R, target: &mut R, what: &str, read: impl Fn(&mut R) -> T) {
    assert_eq!(read(target), read(source), "{what}");
}

/// Nothing of what the target had is left: not where a saved value, or zero, is written to a clear register (Cloud Hypervisor,
/// Firecracker, QEMU).
pub(crate) fn nothing_of_the_target_is_left<R: Rig>(_: &mut Log) {
    let mut source = R::new(Config::default());
    source.set_dist(GICD_ISENABLER + 4, 0x0000_ff00);
    source.set_dist(GICD_ISACTIVER + 8, 0x0000_0030);
    source.set_redist(1, GICR_ISENABLER0, 0x0002_0000);
    source.set_redist(0, GICR_ISACTIVER0, 0x0001_0000);
    let mut target = onto_used(&mut source);
    for bank in 1..4 {
        for register in [GICD_IGROUPR, GICD_ISENABLER, GICD_ISPENDR, GICD_ISACTIVER] {
            assert_equal(&mut source, &mut target, "SPIs", |rig| rig.dist(register + 4 * bank));
        }
    }
    for vcpu in 0..2 {
        for register in [GICR_IGROUPR0, GICR_ISENABLER0, GICR_ISPENDR0, GICR_ISACTIVER0] {
            assert_equal(&mut source, &mut target, "PPIs", |rig| rig.redist(vcpu, register));
        }
    }
    assert_eq!(target.dist(GICD_CTLR), source.dist(GICD_CTLR));
}

/// What is enabled and active stays so: not where the set register is written before the clear register (crosvm).
pub(crate) fn enabled_and_active_stay<R: Rig>(_: &mut Log) {
    let mut source = R::new(Config::default());
    for bank in 1..4 {
        source.set_dist(GICD_ISENABLER + 4 * bank, 0x1234_5678_u32.rotate_left(bank));
        source.set_dist(GICD_ISACTIVER + 4 * bank, 0x8000_0001_u32.rotate_left(bank));
    }
    for vcpu in 0..2 {
        source.set_redist(vcpu, GICR_ICENABLER0, u32::MAX);
        source.set_redist(vcpu, GICR_ISENABLER0, 0x0015_00f0 << vcpu);
        source.set_redist(vcpu, GICR_ISACTIVER0, 0x0001_0002 << vcpu);
    }
    let state = save(&mut source);
    let mut target = R::new(Config::default());
    target.gicv3().restore(&state).expect("restore");
    for bank in 1..4 {
        assert_eq!(target.dist(GICD_ISENABLER + 4 * bank), 0x1234_5678_u32.rotate_left(bank));
        assert_eq!(target.dist(GICD_ISACTIVER + 4 * bank), 0x8000_0001_u32.rotate_left(bank));
    }
    for vcpu in 0..2 {
        assert_eq!(target.redist(vcpu, GICR_ISENABLER0), 0x0015_00f0 << vcpu);
        assert_eq!(target.redist(vcpu, GICR_ISACTIVER0), 0x0001_0002 << vcpu);
    }
}

/// Every SPI keeps its target, as far as KVM has SPIs: not where targets are 1 or 4 bytes apart (StratoVirt, QEMU).
pub(crate) fn every_spi_keeps_its_target<R: Rig>(_: &mut Log) {
    let config = Config { vcpus: 4, nr_irqs: 992, its: 0, ..Config::default() };
    let mut source = R::new(config);
    let target_of = |intid: u32| (intid ^ intid >> 3) % 4;
    (32..config.nr_irqs).for_each(|intid| source.set_dist(GICD_IROUTER + 8 * intid, target_of(intid)));
    let mut target = onto_used(&mut source);
    for intid in 32..config.nr_irqs {
        assert_eq!(target.dist(GICD_IROUTER + 8 * intid), target_of(intid), "SPI {intid}");
    }
}

/// Each of the sixteen interrupts of each trigger mode register keeps its own mode (StratoVirt: those of a bank's second register are
/// those of its first).
pub(crate) fn trigger_modes_of_every_interrupt<R: Rig>(_: &mut Log) {
    let mut source = R::new(Config::default());
    let modes = |n: u32| 0xaaaa_aaaa & 0x9e37_79b9_u32.wrapping_mul(n);
    (2..8).for_each(|n| source.set_dist(GICD_ICFGR + 4 * n, modes(n)));
    let mut target = onto_used(&mut source);
    for n in 2..8 {
        assert_eq!(target.dist(GICD_ICFGR + 4 * n), modes(n), "GICD_ICFGR{n}");
    }
}

/// Each interrupt keeps its own priority.
pub(crate) fn priorities_of_every_interrupt<R: Rig>(_: &mut Log) {
    let mut source = R::new(Config::default());
    let priorities = |n: u32| 0xf8f8_f8f8 & 0x9e37_79b9_u32.wrapping_mul(n + 1);
    (8..32).for_each(|n| source.set_dist(GICD_IPRIORITYR + 4 * n, priorities(n)));
    (0..8).for_each(|n| source.set_redist(1, GICR_IPRIORITYR0 + 4 * n, priorities(n + 100)));
    let mut target = onto_used(&mut source);
    (8..32).for_each(|n| assert_eq!(target.dist(GICD_IPRIORITYR + 4 * n), priorities(n)));
    (0..8).for_each(|n| assert_eq!(target.redist(1, GICR_IPRIORITYR0 + 4 * n), priorities(n + 100)));
    (0..8).for_each(|n| assert_eq!(target.redist(0, GICR_IPRIORITYR0 + 4 * n), 0));
}

/// A line that a device holds is held on the target, and no other, without the device (no line levels: Cloud Hypervisor, Firecracker,
/// crosvm; those of another register: StratoVirt).
pub(crate) fn held_lines_are_held<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut source = R::new(config);
    program::basics(&mut source);
    for bank in 1..4 {
        source.set_dist(GICD_IGROUPR + 4 * bank, u32::MAX);
        source.set_dist(GICD_ISENABLER + 4 * bank, u32::MAX);
        (0..2).for_each(|n| source.set_dist(GICD_ICFGR + 8 * bank + 4 * n, 0));
    }
    source.set_redist(1, GICR_IGROUPR0, u32::MAX);
    source.set_redist(1, GICR_ISENABLER0, 1 << 21);
    for intid in [32, 63, 64, 95, 127] {
        source.spi_line(intid, true).expect("SPI line");
    }
    source.ppi_line(1, 21, true).expect("PPI line");
    let mut target = onto_used(&mut source);
    for first in [32, 64, 96] {
        assert_equal(&mut source, &mut target, "lines", |rig| rig.gicv3().gic().get(Attr::line_levels(config.mpidr(0), first)));
    }
    let mut served = target.acknowledge(0);
    served.sort_unstable();
    assert_eq!(served, [32, 63, 64, 95, 127]);
    assert_eq!(target.acknowledge(1), [21]);
    log.value("served", served);
}

/// Each vCPU has its own state again (Cloud Hypervisor until 2026: that of vCPU 0 for all).
pub(crate) fn each_vcpu_has_its_own_state<R: Rig>(_: &mut Log) {
    let config = Config { vcpus: 4, ..Config::default() };
    let mut source = R::new(config);
    program::basics(&mut source);
    for vcpu in 0..4 {
        let n = vcpu as u32;
        source.set_redist(vcpu, GICR_IGROUPR0, 0x1111 << n);
        source.set_redist(vcpu, GICR_ISENABLER0, 0x0001_0001 << n);
        source.set_redist(vcpu, GICR_ISPENDR0, 0x0010_0010 >> n);
        for (instr, value) in values_of(vcpu) {
            source.set_icc(vcpu, instr, value).expect("CPU interface");
        }
    }
    source.set_redist(3, GICR_CTLR, 0);
    let mut target = onto_used(&mut source);
    for vcpu in 0..4 {
        for register in [GICR_IGROUPR0, GICR_ISENABLER0, GICR_ISPENDR0, GICR_CTLR, GICR_PENDBASER, GICR_PENDBASER + 4] {
            assert_equal(&mut source, &mut target, "redistributor", |rig| rig.redist(vcpu, register));
        }
        assert_eq!(target.redist(vcpu, GICR_IGROUPR0), 0x1111 << vcpu);
        assert_eq!(target.redist(vcpu, GICR_CTLR) & 1, u32::from(vcpu != 3));
        for (instr, value) in values_of(vcpu) {
            assert_eq!(target.icc(vcpu, instr), Ok(value), "{instr:#x} of vCPU {vcpu}");
        }
    }
}

fn values_of(vcpu: usize) -> [(u16, u64); 7] {
    let n = vcpu as u64;
    [
        (SYS_ICC_PMR_EL1, 0x80 + 8 * n),
        (SYS_ICC_BPR0_EL1, 2 + n),
        (SYS_ICC_BPR1_EL1, 3 + n),
        (SYS_ICC_IGRPEN0_EL1, n & 1),
        (SYS_ICC_IGRPEN1_EL1, 1 - (n & 1)),
        (SYS_ICC_AP0R0_EL1, 1 << n),
        (SYS_ICC_AP1R0_EL1, 1 << (16 + n)),
    ]
}

/// Every active-priority register that the host has is saved and restored (StratoVirt loses those below the highest).
pub(crate) fn every_active_priority<R: Rig>(log: &mut Log) {
    let mut source = R::new(Config::default());
    let ctlr = source.icc(0, SYS_ICC_CTLR_EL1).expect("ICC_CTLR_EL1");
    let all = (SYS_ICC_AP0R0_EL1..=SYS_ICC_AP1R3_EL1).filter(|instr| has_icc((*instr).into(), ctlr));
    let value = |instr: u16| 0x8001_0000 | u64::from(instr);
    all.clone().for_each(|instr| source.set_icc(0, instr, value(instr)).expect("active priorities"));
    let mut target = onto_used(&mut source);
    all.clone().for_each(|instr| assert_eq!(target.icc(0, instr), Ok(value(instr))));
    log.value("registers", all.count());
}

/// Where the LPI tables are is restored before it is frozen (crosvm), on a target whose LPIs were on too.
pub(crate) fn lpi_tables_before_their_enable<R: Rig>(_: &mut Log) {
    let config = Config::default();
    let mut source = R::new(config);
    for vcpu in 0..2 {
        source.set_redist64(vcpu, GICR_PROPBASER, layout::SPARE | 14);
        source.set_redist64(vcpu, GICR_PENDBASER, layout::pending(vcpu + 4));
        source.set_redist(vcpu, GICR_CTLR, 1);
    }
    let state = save(&mut source);
    for lpis_were_on in [false, true] {
        let mut target = R::new(config);
        if lpis_were_on {
            program::basics(&mut target);
        }
        target.gicv3().restore(&state).expect("restore");
        for vcpu in 0..2 {
            assert_equal(&mut source, &mut target, "PROPBASER", |rig| rig.redist64(vcpu, GICR_PROPBASER));
            assert_equal(&mut source, &mut target, "PENDBASER", |rig| rig.redist64(vcpu, GICR_PENDBASER));
            assert_eq!(target.redist(vcpu, GICR_CTLR) & 1, 1);
        }
    }
}

/// Guest memory is written when the VMM asks for it, and by nothing else (Cloud Hypervisor: by every pause).
pub(crate) fn memory_is_written_when_asked<R: Rig>(_: &mut Log) {
    let mut rig = R::new(Config::default());
    super::populate(&mut rig, &Devices { devices: 4, ..Devices::FLAT });
    let untouched = copy(rig.memory());
    let flushed = rig.gicv3().flush_tables().expect("flush");
    assert_ne!(changed(&untouched, rig.memory()), [0; 0]);
    let before = copy(rig.memory());
    let state = rig.gicv3().save(flushed).expect("save");
    // A flush is for the save behind it: this one writes what is there already.
    let again = rig.gicv3().flush_tables().expect("flush");
    let mut image = vec![0; rig.gicv3().image_max(&again).expect("size")];
    rig.gicv3().save_image(again, &mut image).expect("save");
    rig.gicv3().check(&state).expect("check");
    assert_eq!(changed(&before, rig.memory()), [0; 0]);
    assert_eq!(rig.gicv3().flush_and_save().expect("save"), state, "a flush changes no state");
}

/// A state that is cut short, or longer than the VM, is refused as a whole (Cloud Hypervisor: shifted; Firecracker: cut; crosvm: what the
/// target lacks is left out).
pub(crate) fn never_a_part_of_a_state<R: Rig>(log: &mut Log) {
    let mut source = R::new(Config { its: 2, ..Config::default() });
    program::basics(&mut source);
    program::wires(&mut source);
    let state = save(&mut source);
    let mut target = used::<R>(source.config());
    let before = target.gicv3().flush_and_save().expect("save");
    type Damage = fn(&mut Gicv3State);
    let damages: [Damage; 9] = [
        |state| state.spis.truncate(2),
        |state| state.spis.rotate_left(1),
        |state| state.spis.swap(0, 1),
        |state| state.spis.push(state.spis[0]),
        |state| state.vcpus.truncate(1),
        |state| state.vcpus[0] = state.vcpus[1],
        |state| state.its.truncate(1),
        |state| state.its[1].base += 0x2_0000,
        |state| state.its[1] = state.its[0],
    ];
    for damage in damages {
        let mut damaged = state.clone();
        damage(&mut damaged);
        let error = target.gicv3().restore(&damaged).expect_err("a part of a state");
        log.value("refused", error.to_string());
        assert_eq!(target.gicv3().flush_and_save().expect("save"), before);
    }
    let image = state.to_image().expect("image");
    for length in [0, 7, 64, image.len() / 2, image.len() - 1] {
        let error = target.gicv3().restore_image(&image[..length]).expect_err("a part of an image");
        log.value("refused", error.to_string());
        assert_eq!(target.gicv3().flush_and_save().expect("save"), before);
    }
}

/// An ITS that has been used takes the tables that come, not those that it had (no reset: all of them but StratoVirt).
pub(crate) fn a_used_its_is_reset<R: Rig>(_: &mut Log) {
    let config = Config { its: 2, ..Config::default() };
    let mut source = R::new(config);
    program::basics(&mut source);
    program::enable_its(&mut source, 1, program::Table::Flat);
    program::map(&mut source, 1, &Devices { devices: 2, ..Devices::FLAT });
    let state = save(&mut source);
    let mut target = R::new(config);
    super::populate(&mut target, &Devices { first_id: 1000, ..Devices::FLAT });
    memory::overwrite(target.memory(), source.memory());
    target.gicv3().restore(&state).expect("restore");
    for n in 0..2 {
        for offset in [GITS_CTLR, GITS_CBASER, GITS_CWRITER, GITS_CREADR, GITS_BASER, GITS_BASER + 8] {
            assert_equal(&mut source, &mut target, "ITS", |rig| rig.its_register(n, offset));
        }
    }
    assert_eq!(target.msi(1, 1000, 0), Ok(0), "what it had is gone");
    assert_eq!(target.msi(1, 8, 0), Ok(1));
    assert!(target.msi(0, 1000, 0).is_err(), "this one was not enabled");
}

/// A VM whose ITS is not enabled, and has no tables, moves.
pub(crate) fn an_its_that_nobody_uses<R: Rig>(_: &mut Log) {
    let mut source = R::new(Config::default());
    program::wires(&mut source);
    let mut target = super::moved(&mut source);
    assert_equal(&mut source, &mut target, "GITS_CTLR", |rig| rig.its_register(0, GITS_CTLR));
    assert_equal(&mut source, &mut target, "state", |rig| save(rig));
}
