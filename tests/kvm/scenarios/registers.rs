//! Registers as user space sees them: what a write does, and what it silently does not.

use super::populate;
use crate::layout;
use crate::log::Log;
use crate::program::{self, Devices, Table};
use crate::rig::{Config, Rig};
use crate::save::Save as _;
use vgic_state::gicv3::has_icc;
use vgic_state::model::gicv3::Behaviour;
use vgic_state::uapi::vgic_v3::dist::*;
use vgic_state::uapi::vgic_v3::icc::*;
use vgic_state::uapi::vgic_v3::its::*;
use vgic_state::uapi::vgic_v3::redist::*;
use vgic_state::uapi::vgic_v3::{KVM_DEV_ARM_VGIC_GRP_ITS_REGS, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Error, InterruptState, Mpidr};

const BASER1: u32 = GITS_BASER + 8;

/// The registers of an ITS, whose rules the restore order follows.
pub(crate) fn its_registers<R: Rig>(log: &mut Log) {
    let mut rig = R::new(Config::default());
    let all = [GITS_CTLR, GITS_IIDR, GITS_TYPER, GITS_CBASER, GITS_CWRITER, GITS_CREADR, GITS_BASER, BASER1, GITS_BASER + 16];
    let show = |log: &mut Log, rig: &mut R, what: &str| {
        let values: Vec<u64> = all.iter().map(|offset| rig.its_register(0, *offset)).collect();
        log.value(what, values);
    };
    show(log, &mut rig, "fresh");
    assert_eq!((rig.its_register(0, GITS_TYPER), rig.its_register(0, GITS_IIDR)), (0x1_ef71, 0x4b00_043b));

    // Enabled is refused without a word while a table or the queue is missing.
    let registers = program::its_registers(0, Table::Flat);
    for (offset, value) in registers {
        assert_eq!(rig.its_register(0, GITS_CTLR) & 1, 0, "not enabled before {offset:#x}");
        rig.set_its(0, offset, value).expect("ITS register");
        if offset != BASER1 {
            rig.set_its(0, GITS_CTLR, 1).expect("GITS_CTLR");
        }
    }
    assert_eq!(rig.its_register(0, GITS_CTLR) & 1, 1);
    show(log, &mut rig, "enabled");

    // Tables and queue stay where they are while the ITS is enabled.
    for offset in [GITS_CBASER, GITS_BASER, BASER1] {
        let before = rig.its_register(0, offset);
        rig.set_its(0, offset, 1 << 63 | layout::SPARE).expect("ignored");
        assert_eq!(rig.its_register(0, offset), before);
    }
    assert_eq!(rig.set_its(0, GITS_CREADR, 0), Err(Errno::EBUSY));
    // A command that is none is passed over.
    program::commands(&mut rig, 0, &[[0xff; 4], [0; 4], program::mapc(0, 99)]);
    show(log, &mut rig, "after commands");
    rig.set_its(0, GITS_CWRITER, layout::QUEUE_BYTES).expect("ignored");
    assert_eq!(rig.its_register(0, GITS_CWRITER), 96, "an offset outside of the queue is dropped");

    rig.set_its(0, GITS_CTLR, 0).expect("GITS_CTLR");
    rig.set_its(0, GITS_CREADR, 32).expect("GITS_CREADR");
    assert_eq!((rig.its_register(0, GITS_CREADR), rig.its_register(0, GITS_CTLR)), (32, 0), "not quiescent");
    assert_eq!(rig.set_its(0, GITS_CREADR, layout::QUEUE_BYTES), Err(Errno::EINVAL));
    rig.set_its(0, GITS_CBASER, rig_cbaser(layout::SPARE)).expect("GITS_CBASER");
    assert_eq!((rig.its_register(0, GITS_CREADR), rig.its_register(0, GITS_CWRITER)), (0, 0), "a new queue is read from its start");
    for (offset, value) in [
        (GITS_CBASER, u64::MAX),
        (GITS_CWRITER, u64::MAX),
        (GITS_BASER, !GITS_BASER_VALID),
        (BASER1, !GITS_BASER_VALID),
        (GITS_BASER + 16, u64::MAX),
        (GITS_TYPER, u64::MAX),
    ] {
        log.value("set", (offset, rig.set_its(0, offset, value)));
    }
    show(log, &mut rig, "all bits");
    for revision in [0, 1, 15] {
        log.value("revision", (revision, rig.set_its(0, GITS_IIDR, 0x4b00_043b | revision << 12)));
    }
    rig.gicv3().its_mut()[0].command(Command::ItsReset).expect("reset");
    show(log, &mut rig, "reset");
    let has = |rig: &mut R, offset: u32| rig.gicv3().its()[0].has(AttrId::from_raw(KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset.into()));
    let odd = [0x9_u32, 0x10, 0x40, 0x84, 0x102, 0x138, 0x140, 0xffd0, 0xffe8, 0x1_0040];
    let answers: Vec<_> = odd.iter().map(|offset| (has(&mut rig, *offset), rig.gicv3().its()[0].get(Attr::its(*offset)))).collect();
    log.value("other offsets", answers);
}

const fn rig_cbaser(address: u64) -> u64 {
    1 << 63 | address
}

/// Writes that KVM accepts and does not do.
pub(crate) fn silent_successes<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut rig = R::new(config);
    program::basics(&mut rig);
    let before = rig.gicv3().flush_and_save().expect("save");
    let beyond = config.nr_irqs;
    for offset in [
        // Not implemented, or not for software; not aligned; of interrupts that are not there.
        GICD_STATUSR,
        GICD_TYPER,
        GICD_ITARGETSR + 32,
        GICD_IGRPMODR + 4,
        GICD_NSACR + 8,
        GICD_ICPENDR + 4,
        0x14,
        0xd00,
        0xffe8,
        GICD_IROUTER + 33,
        GICD_IROUTER + 8,
        GICD_IROUTER + 8 * 32 + 4,
        GICD_ISENABLER,
        GICD_ISENABLER + beyond / 8,
        GICD_IPRIORITYR + beyond,
        GICD_IROUTER + 8 * beyond,
    ] {
        rig.set_dist(offset, u32::MAX);
        let has = rig.gicv3().gic().has(Attr::dist(offset).id());
        log.value("distributor", (offset, rig.dist(offset), has));
    }
    for offset in
        [GICR_STATUSR, GICR_WAKER, GICR_IIDR, GICR_TYPER, GICR_TYPER + 4, GICR_ICPENDR0, GICR_ICFGR0, 0x18, 0x1_0e00, 0x1_0d00]
    {
        rig.set_redist(1, offset, u32::MAX);
        let has = rig.gicv3().gic().has(Attr::redist(config.mpidr(1), offset).id());
        log.value("redistributor", (offset, rig.redist(1, offset), has));
    }
    // Where LPI tables are cannot be changed once LPIs are enabled.
    for offset in [GICR_PROPBASER, GICR_PENDBASER] {
        let before = rig.redist64(1, offset);
        rig.set_redist64(1, offset, layout::SPARE | 9);
        assert_eq!(rig.redist64(1, offset), before);
    }
    assert_eq!(rig.gicv3().flush_and_save().expect("save"), before);
    // Without LPIs they can; one configuration table for all vCPUs. PTZ does not stay.
    rig.set_redist(1, GICR_CTLR, 0);
    rig.set_redist64(1, GICR_PENDBASER, u64::MAX);
    rig.set_redist64(1, GICR_PROPBASER, layout::SPARE | 13);
    log.value("PENDBASER", (rig.redist64(0, GICR_PENDBASER), rig.redist64(1, GICR_PENDBASER)));
    log.value("PROPBASER", (rig.redist64(0, GICR_PROPBASER), rig.redist64(1, GICR_PROPBASER)));
    assert_eq!(rig.redist64(0, GICR_PROPBASER), rig.redist64(1, GICR_PROPBASER));
    rig.set_redist64(1, GICR_PROPBASER, u64::MAX);
    log.value("PROPBASER", rig.redist64(1, GICR_PROPBASER));
}

/// `GICD_IIDR` selects how KVM behaves. Some kernels say success to another revision and keep their own.
pub(crate) fn implementation_revision<R: Rig>(log: &mut Log) {
    let mut source = R::new(Config::default());
    program::basics(&mut source);
    let mut state = source.gicv3().flush_and_save().expect("save");
    assert_eq!(state.identity.iidr, 0x4b00_343b);
    for (revision, other) in [(1, true), (2, false), (4, true)] {
        let result = source.gicv3().gic_mut().set(Attr::dist(GICD_IIDR), 0x4b00_043b | revision << 12);
        log.value("revision", (revision, result, source.dist(GICD_IIDR)));
        assert!(!other || source.dist(GICD_IIDR) != 0x4b00_043b | revision << 12);
    }
    assert_eq!(source.gicv3().gic_mut().set(Attr::dist(GICD_IIDR), 0x4b00_343a), Err(Errno::EINVAL));

    // A state of a kernel with the revision before: it is either taken over or refused, never lost.
    state.identity.iidr = 0x4b00_243b;
    let mut target = R::new(Config::default());
    let restored = target.gicv3().restore(&state);
    log.value("restored", restored.as_ref().map_err(ToString::to_string).map(|_| target.dist(GICD_IIDR)));
    match restored {
        Ok(_) => assert_eq!(target.dist(GICD_IIDR), 0x4b00_243b),
        Err(Error::ReadBack(error)) => {
            assert_eq!((error.attr, error.written, error.found), (Attr::dist(GICD_IIDR).id(), 0x4b00_243b, 0x4b00_343b));
        }
        Err(error) => panic!("{error}"),
    }
    let applied = R::kernel().has(Behaviour::AppliesImplementationRevision);
    assert_eq!(target.dist(GICD_IIDR) == 0x4b00_243b, applied, "the revision takes effect");
}

/// Which registers set and which clear, and what they read.
pub(crate) fn set_and_clear_registers_change_only_bits_that_are_1<R: Rig>(log: &mut Log) {
    let mut rig = R::new(Config::default());
    let at = 4;
    for (set, clear) in [(GICD_ISENABLER, GICD_ICENABLER), (GICD_ISACTIVER, GICD_ICACTIVER)] {
        rig.set_dist(set + at, 0xff);
        rig.set_dist(set + at, 0xf00);
        assert_eq!((rig.dist(set + at), rig.dist(clear + at)), (0xfff, 0xfff), "a set register only sets; both read what is set");
        rig.set_dist(clear + at, 0xf0);
        rig.set_dist(clear + at, 0);
        assert_eq!((rig.dist(set + at), rig.dist(clear + at)), (0xf0f, 0xf0f), "a clear register only clears");
        rig.set_dist(clear + at, u32::MAX);
        assert_eq!(rig.dist(set + at), 0);
    }
    // SGIs are enabled from the start.
    assert_eq!((rig.redist(0, GICR_ISENABLER0), rig.redist(1, GICR_ICENABLER0)), (0xffff, 0xffff));
    rig.set_redist(1, GICR_ICENABLER0, 0xffff);
    for (set, clear) in [(GICR_ISENABLER0, GICR_ICENABLER0), (GICR_ISACTIVER0, GICR_ICACTIVER0)] {
        let other = rig.redist(0, set);
        rig.set_redist(1, set, 0x1_01ff);
        rig.set_redist(1, clear, 0x0f0);
        assert_eq!((rig.redist(1, set), rig.redist(1, clear), rig.redist(0, set)), (0x1_010f, 0x1_010f, other));
        rig.set_redist(1, clear, u32::MAX);
        assert_eq!(rig.redist(1, set), 0);
    }
    // The pending latch is the exception: user space writes all of it through the set register.
    rig.set_dist(GICD_ISPENDR + at, 0xff);
    rig.set_dist(GICD_ISPENDR + at, 0xf0f);
    rig.set_dist(GICD_ICPENDR + at, u32::MAX);
    assert_eq!((rig.dist(GICD_ISPENDR + at), rig.dist(GICD_ICPENDR + at)), (0xf0f, 0));
    rig.set_redist(1, GICR_ISPENDR0, 0xff_00ff);
    rig.set_redist(1, GICR_ISPENDR0, 0x0f_000f);
    log.value("latches", (rig.redist(1, GICR_ISPENDR0), rig.redist(0, GICR_ISPENDR0)));
}

/// Line levels and latches: two things, of which a level interrupt has both.
pub(crate) fn line_levels_are_kept_apart_from_latches<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut rig = R::new(config);
    let levels = |rig: &mut R, vcpu: usize, first: u32| rig.gicv3().gic().get(Attr::line_levels(config.mpidr(vcpu), first));
    // INTIDs 32 to 47 level, 48 to 63 edge.
    rig.set_dist(GICD_ICFGR + 8, 0);
    rig.set_dist(GICD_ICFGR + 12, 0xaaaa_aaaa);
    for intid in [33, 40, 50, 64] {
        rig.spi_line(intid, true).expect("SPI line");
    }
    log.value("lines", [levels(&mut rig, 0, 32), levels(&mut rig, 1, 32), levels(&mut rig, 0, 64)]);
    log.value("latches", (rig.dist(GICD_ISPENDR + 4), rig.dist(GICD_ISPENDR + 8)));
    assert_eq!(levels(&mut rig, 0, 32), Ok(1 << 1 | 1 << 8), "the line of an edge interrupt is not kept");
    assert_eq!(rig.dist(GICD_ISPENDR + 4), 1 << 18, "a level interrupt has no latch of its line");

    rig.ppi_line(1, 20, true).expect("PPI line");
    assert_eq!((levels(&mut rig, 0, 0), levels(&mut rig, 1, 0)), (Ok(0), Ok(1 << 20)));
    let gic = rig.gicv3().gic_mut();
    gic.set(Attr::line_levels(config.mpidr(1), 0), 0x0060_ffff).expect("levels of PPIs");
    gic.set(Attr::line_levels(config.mpidr(1), 32), 1 << 3).expect("levels of SPIs");
    log.value("lines", [levels(&mut rig, 0, 0), levels(&mut rig, 1, 0), levels(&mut rig, 0, 32)]);
    let nobody = Mpidr::new(0, 0, 9, 9);
    log.value(
        "no such vCPU",
        [nobody]
            .map(|mpidr| (rig.gicv3().gic().get(Attr::line_levels(mpidr, 0)), rig.gicv3().gic().get(Attr::line_levels(mpidr, 32)))),
    );
    for (mpidr, low) in [(config.mpidr(0), 33), (config.mpidr(0), 1 << 10), (config.mpidr(0), 992)] {
        let id = AttrId::from_raw(KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, u64::from(mpidr.packed()) << 32 | low);
        log.value("odd", rig.gicv3().gic().has(id));
    }
    log.value("odd", levels(&mut rig, 0, 33));
    log.value("beyond", (levels(&mut rig, 0, 128), levels(&mut rig, 0, 992)));
}

/// 64 bits in two accesses; targets at 8 bytes each.
pub(crate) fn registers_of_64_bits_are_written_in_halves<R: Rig>(log: &mut Log) {
    let config = Config { vcpus: 4, ..Config::default() };
    let mut rig = R::new(config);
    for intid in 32..config.nr_irqs {
        rig.set_dist(GICD_IROUTER + 8 * intid, 0xff00_0000 + intid % 4);
        rig.set_dist(GICD_IROUTER + 8 * intid + 4, u32::MAX);
    }
    for intid in 32..config.nr_irqs {
        assert_eq!(rig.dist(GICD_IROUTER + 8 * intid), intid % 4, "Aff2 to Aff0");
        assert_eq!(rig.dist(GICD_IROUTER + 8 * intid + 4), 0, "no Aff3");
    }
    rig.set_redist(2, GICR_PENDBASER + 4, 0x0003_0007);
    rig.set_redist(2, GICR_PENDBASER, 0x1234_5678);
    log.value("PENDBASER", (rig.redist64(1, GICR_PENDBASER), rig.redist64(2, GICR_PENDBASER)));
    log.value("priorities", {
        rig.set_dist(GICD_IPRIORITYR + 64, u32::MAX);
        rig.dist(GICD_IPRIORITYR + 64)
    });
    log.value("trigger modes", {
        (0..2).for_each(|n| rig.set_redist(1, GICR_ICFGR0 + 4 * n, 0));
        rig.set_dist(GICD_ICFGR + 8, u32::MAX);
        (rig.redist(1, GICR_ICFGR0), rig.redist(1, GICR_ICFGR1), rig.dist(GICD_ICFGR + 8))
    });
    for value in [0, 1, 3, u32::MAX] {
        rig.set_dist(GICD_CTLR, value);
        log.value("GICD_CTLR", (value, rig.dist(GICD_CTLR)));
    }
    let nobody = Mpidr::new(0, 0, 9, 9);
    let gic = rig.gicv3().gic();
    log.value("no such vCPU", (gic.get(Attr::redist(nobody, 0)), gic.get(Attr::cpu_sysreg(nobody, SYS_ICC_PMR_EL1))));
    log.value("addresses", (gic.get(Attr::dist_address()), gic.get(Attr::redist_address()), gic.get(Attr::nr_irqs())));
    log.value("again", {
        let gic = rig.gicv3().gic_mut();
        (
            gic.set(Attr::nr_irqs(), 64),
            gic.set(Attr::dist_address(), 0),
            gic.command(Command::Init),
            gic.command(Command::ItsSaveTables),
        )
    });
    let its = &mut rig.gicv3().its_mut()[0];
    log.value("again", (its.set(Attr::its_address(), 0), its.command(Command::Init)));
    let refused = if R::kernel().has(Behaviour::RefusesUnknownItsCommands) { Err(Errno::ENXIO) } else { Ok(()) };
    assert_eq!(its.command(Command::SavePendingTables), refused, "a command of another device");
}

/// Registers of the CPU interface: which there are follows from `ICC_CTLR_EL1`, by KVM's own rule.
pub(crate) fn cpu_interface_registers_exist_as_icc_ctlr_says<R: Rig>(log: &mut Log) {
    let config = Config::default();
    let mut rig = R::new(config);
    let ctlr = rig.icc(1, SYS_ICC_CTLR_EL1).expect("ICC_CTLR_EL1");
    for (name, instr) in vgic_state::uapi::vgic_v3::icc::REGISTERS {
        let instr = *instr as u16;
        let value = rig.icc(1, instr);
        let has = rig.gicv3().gic().has(Attr::cpu_sysreg(config.mpidr(1), instr).id());
        log.value(name, (value, has));
        assert_eq!(value.is_ok(), has_icc(instr.into(), ctlr), "{name}");
        if let Err(errno) = value {
            assert_eq!(errno, Errno::EINVAL);
            assert_eq!(rig.set_icc(1, instr, 0), Err(Errno::EINVAL));
        }
    }
    for (instr, value) in [
        (SYS_ICC_PMR_EL1, u64::MAX),
        (SYS_ICC_BPR0_EL1, 5),
        (SYS_ICC_BPR1_EL1, 6),
        (SYS_ICC_IGRPEN0_EL1, u64::MAX),
        (SYS_ICC_IGRPEN1_EL1, 1),
        (SYS_ICC_AP0R0_EL1, 0x8000_0001),
        (SYS_ICC_AP1R0_EL1, 0x1_8000_0002),
        (SYS_ICC_SRE_EL1, 7),
        (SYS_ICC_SRE_EL1, 0),
        (SYS_ICC_SRE_EL1, 1),
        (SYS_ICC_CTLR_EL1, ctlr | 2),
        (SYS_ICC_CTLR_EL1, ctlr ^ 1 << 14),
        (SYS_ICC_CTLR_EL1, ctlr ^ 1 << 15),
        (SYS_ICC_CTLR_EL1, ctlr | 7 << 8),
        (SYS_ICC_CTLR_EL1, ctlr | 7 << 11),
        // With CBPR, the binary point of group 1 cannot be seen, and not be written.
        (SYS_ICC_CTLR_EL1, ctlr | 1),
        (SYS_ICC_BPR1_EL1, 3),
        (SYS_ICC_CTLR_EL1, ctlr),
    ] {
        let set = rig.set_icc(1, instr, value);
        log.value("set", (instr, value, set, rig.icc(1, instr), rig.icc(1, SYS_ICC_BPR1_EL1)));
    }
    assert_eq!(rig.icc(0, SYS_ICC_PMR_EL1), Ok(0), "the other vCPU has its own");
    log.value("no register", rig.icc(1, 0xc668));
}

/// What an ITS does with MSIs that are not for it, and what it does not tell.
pub(crate) fn msis_that_are_not_for_an_its_are_refused_or_dropped<R: Rig>(log: &mut Log) {
    let mut rig = R::new(Config::default());
    log.value("nothing is enabled", rig.msi(0, 8, 0));
    populate(&mut rig, &Devices { devices: 2, ..Devices::FLAT });
    for (device, event) in [(8, 0), (8, 16), (8, u32::MAX), (9, 0), (0x1_0000, 0), (u32::MAX, 0)] {
        log.value("MSI", (device, event, rig.msi(0, device, event)));
    }
    log.value("no such ITS", rig.msi(1, 8, 0));
    rig.set_its(0, GITS_CTLR, 0).expect("GITS_CTLR");
    log.value("disabled", rig.msi(0, 8, 0));
    rig.set_its(0, GITS_CTLR, 1).expect("GITS_CTLR");
    rig.set_redist(1, GICR_CTLR, 0);
    log.value("no LPIs on one vCPU", (rig.msi(0, 8, 0), rig.msi(0, 8, 1)));
    for (intid, level) in [(31, true), (127, true), (128, true), (1019, true), (1020, true), (8192, true)] {
        log.value("SPI", (intid, rig.spi_line(intid, level)));
    }
    for intid in [15, 16, 32] {
        log.value("PPI", (intid, rig.ppi_line(0, intid, true)));
    }
}
