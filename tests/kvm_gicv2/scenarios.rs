//! What must hold, on every kernel.

use crate::common::{CPU, DIST, full_state, id, vcpus};
use crate::log::Log;
use crate::rig::Rig;
use crate::save::Save as _;
use vgic_state::gicv2::{Gicv2, Gicv2State};
use vgic_state::model::gicv3::Behaviour;
use vgic_state::uapi::vgic_v2::cpu::*;
use vgic_state::uapi::vgic_v2::dist::*;
use vgic_state::uapi::vgic_v3::dist::*;
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Error, InterruptState, Vcpus};

fn save<R: Rig>(rig: &mut R) -> Gicv2State {
    rig.gic().flush_and_save().expect("save")
}

/// A new VM with the state of this one.
fn moved<R: Rig>(source: &mut R, log: &mut Log) -> R {
    let state = save(source);
    log.value("state", &state);
    let mut target = R::new(state.vcpus.len() as u32, state.nr_irqs.get());
    let report = target.gic().restore(&state).expect("restore");
    log.value("report", report);
    target
}

/// A value in every register; PPIs that KVM's timers have stay as they are.
pub(crate) fn another_value_in_every_register<R: Rig>(log: &mut Log) {
    for (count, nr_irqs) in [(1, 64), (4, 256)] {
        let state = full_state(count, nr_irqs);
        let mut source = R::new(count, nr_irqs);
        log.value("new", save(&mut source));
        source.gic().restore(&state).expect("restore");
        assert_eq!(save(&mut source), state);
        let mut target = moved(&mut source, log);
        assert_eq!(save(&mut target), state);
    }
}

/// What a device had before does not shine through.
pub(crate) fn onto_a_device_that_was_used<R: Rig>(log: &mut Log) {
    let mut clean = R::new(2, 96);
    let state = save(&mut clean);
    let mut used = R::new(2, 96);
    used.gic().restore(&full_state(2, 96)).expect("restore");
    used.gic().restore(&state).expect("restore");
    let again = save(&mut used);
    log.value("again", &again);
    assert_eq!(again, state);
}

/// Edges, a level, an SGI, by priority; the same on both sides.
pub(crate) fn a_guest_acknowledges_what_was_pending<R: Rig>(log: &mut Log) {
    let mut source = R::new(2, 64);
    source.set_up(2);
    // INTID 37 before all others.
    source.set_dist(0, GICD_IPRIORITYR + 36, 0xa0a0_40a0).expect("priority");
    for intid in [33, 37, 50] {
        source.spi_line(intid, true).expect("line");
    }
    source.ppi_line(0, 20, true).expect("line");
    source.send_sgi(1, 1 << 16 | 9);
    source.send_sgi(0, 2 << 24 | 4);
    let mut target = moved(&mut source, log);
    // 50 and PPI 20 are levels: the VMM drives their lines.
    for (intid, ppi) in [(50, false), (20, true)] {
        if ppi { target.ppi_line(0, intid, true) } else { target.spi_line(intid, true) }.expect("line");
    }
    for rig in [&mut source, &mut target] {
        let served = rig.acknowledge(0, |rig, iar| match iar {
            50 => rig.spi_line(50, false).expect("line"),
            20 => rig.ppi_line(0, 20, false).expect("line"),
            _ => {}
        });
        // Those of one priority come in an order that the architecture leaves open.
        let mut sorted = served.clone();
        sorted.sort_unstable();
        log.value("acknowledged", (served[0], &sorted));
        assert_eq!((served[0], sorted), (37, vec![4, 20, 33, 37, 50, 1 << 10 | 9]));
        log.value("afterwards", save(rig));
    }
}

/// A line that stays high comes again; one that nobody drives after a restore comes once.
pub(crate) fn a_line_that_stays_high<R: Rig>(log: &mut Log) {
    let mut source = R::new(1, 64);
    source.set_up(1);
    source.spi_line(50, true).expect("line");
    for driven in [true, false] {
        let mut target = moved(&mut source, log);
        if driven {
            target.spi_line(50, true).expect("line");
        }
        let mut times = 0;
        let served = target.acknowledge(0, |rig, _| {
            times += 1;
            if times == 3 {
                rig.spi_line(50, false).expect("line");
            }
        });
        assert_eq!(served.len(), if driven { 3 } else { 1 });
        log.value("pending", target.dist(0, GICD_ISPENDR + 4));
    }
}

/// Stopped in the handler of an interrupt: active there, its priority active, another one pending.
pub(crate) fn a_vcpu_inside_a_handler_moves<R: Rig>(log: &mut Log) {
    let mut source = R::new(1, 64);
    source.set_up(1);
    source.spi_line(33, true).expect("line");
    assert_eq!(source.enter_handler(0), 33);
    source.spi_line(34, true).expect("line");
    assert_eq!(source.dist(0, GICD_ISACTIVER + 4), Ok(2));
    log.value("active priorities", source.cpu(0, GICC_APR));
    let mut target = moved(&mut source, log);
    for rig in [&mut source, &mut target] {
        assert_eq!(rig.acknowledge(0, |_, _| ()), Vec::<u32>::new(), "one of the same priority waits");
        rig.leave_handler(0, 33);
        assert_eq!(rig.acknowledge(0, |_, _| ()), [34]);
        log.value("afterwards", save(rig));
    }
}

/// SGIs that several vCPUs have sent; one that is active.
pub(crate) fn sgis_keep_their_senders<R: Rig>(log: &mut Log) {
    let mut source = R::new(3, 64);
    source.set_up(3);
    for vcpu in [1, 2] {
        source.send_sgi(vcpu, 1 << 16 | 5);
    }
    source.send_sgi(2, 1 << 24 | 6);
    log.value("senders", [0, 1, 2].map(|vcpu| source.dist(vcpu, GICD_SPENDSGIR + 4)));
    let mut target = moved(&mut source, log);
    for rig in [&mut source, &mut target] {
        assert_eq!(rig.acknowledge(0, |_, _| ()), [1 << 10 | 5, 2 << 10 | 5, 2 << 10 | 6]);
        assert_eq!(rig.acknowledge(1, |_, _| ()), [2 << 10 | 6]);
    }
    // Active: its sender is lost.
    source.send_sgi(1, 1 << 16 | 7);
    assert_eq!(source.enter_handler(0), 1 << 10 | 7);
    let state = save(&mut source);
    log.value("active", &state);
    let mut target = R::new(3, 64);
    log.value("report", target.gic().restore(&state).expect("restore"));
    assert_eq!(save(&mut target), state);
    log.value("of user space", (target.set_dist(1, GICD_ISPENDR, 1 << 3), target.dist(1, GICD_SPENDSGIR)));
}

/// Registers that are none, or not a vCPU's to write: no error, and no effect.
pub(crate) fn silent_successes<R: Rig>(log: &mut Log) {
    let mut rig = R::new(2, 64);
    for offset in
        [0x0c, 0x10, 0x40, 0x7c, 0x88, 0x108, 0x440, 0x840, 0xc10, 0xd00, 0xe00, 0xf04, 0xf30, 0xfe8, 0xffc, 0x1000, 0x101]
    {
        log.value("distributor", (offset, rig.dist(1, offset), rig.set_dist(1, offset, u32::MAX), rig.dist(1, offset)));
        log.value("has", rig.gic().gic().has(Attr::gicv2_dist(id(1), offset).id()));
    }
    for offset in [0x0c, 0x10, 0x14, 0x18, 0x20, 0x28, 0xc0, 0xe0, 0xf8, 0xfc, 0x100, 0x1000, 0x02] {
        log.value("CPU interface", (offset, rig.cpu(1, offset), rig.set_cpu(1, offset, u32::MAX), rig.cpu(1, offset)));
        log.value("has", rig.gic().gic().has(Attr::gicv2_cpu(id(1), offset).id()));
    }
    log.value("state", save(&mut rig));
}

pub(crate) fn what_is_kept_of_a_write<R: Rig>(log: &mut Log) {
    let mut rig = R::new(2, 64);
    let offsets = [0x000, 0x004, 0x080, 0x084, 0x100, 0x104, 0x180, 0x184, 0x200, 0x204, 0x280, 0x284, 0x300, 0x304, 0x380, 0x384]
        .into_iter()
        .chain([0x400, 0x420, 0x800, 0x820, 0xc00, 0xc04, 0xc08, 0xf00, 0xf10, 0xf14, 0xf20, 0xf24, 0xf2c]);
    for offset in offsets {
        for value in [u32::MAX, 0x1234_5678, 0, 0xa5c3_0f1e] {
            rig.set_dist(1, offset, value).expect("write");
            log.value("kept", (offset, value, rig.dist(1, offset), rig.dist(0, offset)));
        }
    }
    for offset in [GICC_CTLR, GICC_PMR, GICC_BPR, GICC_ABPR, GICC_APR, GICC_APR + 4, GICC_APR + 12, GICC_IIDR] {
        for value in [u32::MAX, 0x1234_5678, 0, 0xa5c3_0f1e] {
            rig.set_cpu(1, offset, value).expect("write");
            log.value("kept", (offset, value, rig.cpu(1, offset), rig.cpu(0, offset)));
        }
    }
    log.value("state", save(&mut rig));
}

/// Groups are the guest's once user space has written `GICD_IIDR`; which revisions it takes.
pub(crate) fn revisions_and_groups<R: Rig>(log: &mut Log) {
    let mut rig = R::new(1, 64);
    let iidr = rig.dist(0, GICD_IIDR).expect("GICD_IIDR");
    rig.set_dist(0, GICD_IGROUPR + 4, u32::MAX).expect("write");
    assert_eq!(rig.dist(0, GICD_IGROUPR + 4), Ok(0));
    for value in [iidr ^ 1, iidr ^ 1 << 16, iidr ^ 1 << 24] {
        assert_eq!(rig.set_dist(0, GICD_IIDR, value), Err(Errno::EINVAL));
    }
    for revision in [2, 3, 4, 15, 0] {
        let value = iidr & !0xf000 | revision << 12;
        log.value("revision", (revision, rig.set_dist(0, GICD_IIDR, value), rig.dist(0, GICD_IIDR)));
    }
    rig.set_dist(0, GICD_IGROUPR + 4, 0x0f0f).expect("write");
    assert_eq!(rig.dist(0, GICD_IGROUPR + 4), Ok(0x0f0f));

    let mut state = save(&mut R::new(1, 64));
    state.identity.iidr = iidr & !0xf000 | 2 << 12;
    let mut target = R::new(1, 64);
    let restored = target.gic().restore(&state);
    if R::kernel().has(Behaviour::AppliesImplementationRevision) {
        assert_eq!(restored.map(|report| report.findings), Ok(Vec::new()));
        assert_eq!(save(&mut target), state);
    } else {
        assert!(matches!(restored, Err(Error::ReadBack(_))), "{restored:?}");
        target.gic().options_mut().accept_newer_revision = true;
        log.value("accepted", target.gic().restore(&state));
    }
}

/// Every access is refused while a vCPU runs, and nothing is changed by a restore.
pub(crate) fn a_vcpu_that_runs<R: Rig>(log: &mut Log) {
    let mut rig = R::new(2, 64);
    // Hardware has had its CPU interface: whether the run below is stopped before it gets there makes no difference.
    assert!(rig.acknowledge(1, |_, _| ()).is_empty());
    let state = save(&mut rig);
    let answers = rig.while_running(1, |rig| {
        let saved = rig.gic().flush_and_save().map_err(|error| error.to_string());
        let restored = rig.gic().restore(&full_state(2, 64)).map_err(|error| error.to_string());
        (rig.cpu(0, GICC_CTLR), rig.set_dist(0, GICD_CTLR, 1), rig.gic().gic().get(Attr::nr_irqs()), saved.err(), restored.err())
    });
    assert_eq!((answers.0, answers.1), (Err(Errno::EBUSY), Err(Errno::EBUSY)));
    log.value("while it runs", answers);
    let after = save(&mut rig);
    assert_eq!((&after.dist, &after.spis), (&state.dist, &state.spis));
    log.value("afterwards", after);
}

/// The errors of each group, in the order of the kernel.
pub(crate) fn errors_of_attributes<R: Rig>(log: &mut Log) {
    let (mut gic, _vm) = R::new_device(&[0, 1]);
    let [dist, cpu] = [Attr::gicv2_dist_address(), Attr::gicv2_cpu_address()];
    log.value("addresses", (gic.get(dist), gic.get(cpu), gic.get(Attr::dist_address()), gic.get(Attr::nr_irqs())));
    for (attr, address) in [(dist, 0x800_0800), (dist, 1 << 50), (dist, !0xfff), (dist, 0x800_0000), (dist, 0x900_0000)] {
        log.value("distributor", gic.set(attr, address));
    }
    log.value(
        "CPU interface",
        (gic.set(cpu, 1), gic.set(cpu, 0x801_0000), gic.set(cpu, 0x801_0000), gic.set(Attr::its_address(), 0)),
    );
    log.value("before INIT", gic.has(Attr::gicv2_dist(id(0), GICD_ISENABLER + 4).id()));
    for count in [0, 32, 63, 65, 1024, 992, 64] {
        log.value("interrupts", (count, gic.set(Attr::nr_irqs(), count), gic.get(Attr::nr_irqs())));
    }
    log.value("INIT", (gic.command(Command::Init), gic.command(Command::Init), gic.command(Command::SavePendingTables)));
    for (group, attr) in [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (3, 0), (4, 0), (4, 3), (5, 0), (6, 0), (7, 0)] {
        log.value("has", (group, attr, gic.has(AttrId::from_raw(group, attr))));
    }
    log.value("groups", (gic.get(Attr::redist(vgic_state::Mpidr::new(0, 0, 0, 0), 0)), gic.get(Attr::its(0))));
    let attached = Gicv2::attach(&mut gic, vcpus(1)).map(|_| ()).map_err(|error| error.to_string());
    log.value("too few vCPUs", attached);
    assert!(Gicv2::attach(&mut gic, vcpus(2)).is_ok());
}

/// What names a vCPU: its id, whatever the order of creation, or its place in that, which no register shows.
pub(crate) fn a_vcpu_is_named_by_its_id_or_by_its_index<R: Rig>(log: &mut Log) {
    let device = |ids: &[u32]| {
        let (mut gic, vm) = R::new_device(ids);
        gic.set(Attr::gicv2_dist_address(), DIST).expect("distributor address");
        gic.set(Attr::gicv2_cpu_address(), CPU).expect("CPU interface address");
        gic.set(Attr::nr_irqs(), 64).expect("NR_IRQS");
        gic.command(Command::Init).expect("INIT");
        (gic, vm)
    };
    for ids in [[0, 2], [3, 0], [5, 6]] {
        let (mut gic, _vm) = device(&ids);
        for n in 0..8 {
            // The vCPU itself as a target, and a register of its own; the last byte names a vCPU that there may be.
            let targets = gic.get(Attr::gicv2_dist(id(n), GICD_ITARGETSR));
            let senders = gic.set(Attr::gicv2_dist(id(n), GICD_SPENDSGIR), 1 << ids[1]);
            log.value("vCPU", (n, targets, gic.set(Attr::gicv2_cpu(id(n), GICC_PMR), n + 1), senders));
        }
        let vcpus = || Vcpus::from_ids(ids).expect("ids");
        let Ok(mut source) = Gicv2::attach(&mut gic, vcpus()) else {
            log.value("attach", "refused");
            continue;
        };
        let state = source.flush_and_save().expect("save");
        log.value("state", &state);
        let (gic, _vm) = device(&ids);
        let mut target = Gicv2::attach(gic, vcpus()).expect("attach");
        log.value("report", target.restore(&state).expect("restore"));
        assert_eq!(target.flush_and_save().expect("save"), state);
        let (gic, _vm) = device(&[ids[1], ids[0]]);
        let mut other = Gicv2::attach(gic, vcpus()).expect("attach");
        log.value("made in another order", (other.restore(&state), other.flush_and_save()));
    }
}

/// Hardware has the CPU interface while a vCPU runs: binary points below the least that it has are that one afterwards.
pub(crate) fn binary_points_after_a_run<R: Rig>(log: &mut Log) {
    let mut rig = R::new(1, 64);
    rig.set_up(1);
    for (bpr, abpr) in [(0, 0), (2, 3), (5, 6), (7, 7)] {
        rig.set_cpu(0, GICC_BPR, bpr).expect("GICC_BPR");
        rig.set_cpu(0, GICC_ABPR, abpr).expect("GICC_ABPR");
        rig.set_cpu(0, GICC_APR, 0).expect("GICC_APR");
        rig.acknowledge(0, |_, _| ());
        log.value("after a run", (rig.cpu(0, GICC_CTLR), rig.cpu(0, GICC_PMR), rig.cpu(0, GICC_BPR), rig.cpu(0, GICC_ABPR)));
    }
}
