//! What a VMM chooses, from one save and restore to the next, and what is said where it has not given what that needs.

use super::{Rig, config, contents, copy, garbage, lpis, saved, shared_memory};
use crate::common::{Config, area, filled, fresh, memory, pending, trace};
use crate::save::Save as _;
use vgic_state::gicv3::Gicv3State;
use vgic_state::report::Refusal;
use vgic_state::shadow::{ShadowError, ShadowKind};
use vgic_state::{ConfigurationPolicy, DeviceError, DynInterruptState, Error, InterruptState, TableStrategy};

#[test]
fn memory_that_cannot_be_diverted() {
    let (vm, mut plain) = filled(config());
    let before = plain.flush_and_save().expect("save");
    plain.options_mut().tables = TableStrategy::Image;
    vm.clear_trace();
    vm.clear_written();
    let unavailable = Error::Shadow { error: ShadowError::Unavailable, applied: None };
    assert_eq!(plain.flush_tables(), Err(unavailable.clone()));
    assert!(trace(&vm).lines().all(|line| line.contains("get ")), "{}", trace(&vm));
    assert_eq!(vm.written(), []);
    plain.options_mut().tables = TableStrategy::GuestMemory;
    assert_eq!(plain.flush_and_save(), Ok(before));
    vm.clear_written();
    plain.options_mut().verify_flush = true;
    assert_eq!(plain.flush_tables(), Err(unavailable));
    assert_eq!(vm.written(), []);

    let (state, _) = saved();
    let (vm, mut plain) = fresh(config(), memory());
    let refused = Err(Error::from(Refusal::NoShadow));
    assert_eq!((plain.check(&state), plain.restore(&state)), (refused.clone(), refused.clone()));
    let image = state.to_image().expect("image");
    assert_eq!((plain.check_image(&image), plain.restore_image(&image)), (refused.clone(), refused));
    assert_eq!(trace(&vm), "");
}

#[test]
fn what_was_flushed_says_how_large_the_image_is() {
    let mut rig = Rig::filled(config(), ShadowKind::Zero);
    let mut buffer = vec![0; rig.gic.requirements().expect("requirements").image_max];
    let state = rig.flush_and_save();
    let needed = |rig: &mut Rig| {
        let flushed = rig.gic.flush_tables().expect("flush");
        (rig.gic.image_max(&flushed).expect("size"), flushed)
    };
    let (bytes, flushed) = needed(&mut rig);
    assert_eq!(bytes, state.image_bytes());
    assert!(matches!(rig.gic.save_image(flushed, &mut buffer[..bytes - 1]), Err(Error::Buffer(_))));
    let (bytes, flushed) = needed(&mut rig);
    assert_eq!(rig.gic.save_image(flushed, &mut buffer[..bytes]), Ok(bytes));
    assert_eq!(Gicv3State::parse(&buffer[..bytes]), Ok(state));
}

/// Which tables a state has, the flush has decided.
#[test]
fn what_was_flushed_belongs_to_one_attachment() {
    let mut rig = Rig::filled(config(), ShadowKind::Zero);
    let other = |its| {
        let (_, mut gic) = filled(Config { its, ..config() });
        gic.flush_tables().expect("flush")
    };
    let own = rig.gic.flush_tables().expect("flush");
    rig.vm.clear_trace();
    // Of a VM with as many ITSes as this one, at the same addresses, too.
    for its in [0, 1, 2, 3] {
        assert_eq!(rig.gic.save(other(its)), Err(Error::from(DeviceError::OtherFlush)));
        assert_eq!(rig.gic.save_image(other(its), &mut vec![0; 1 << 20]), Err(Error::from(DeviceError::OtherFlush)));
    }
    assert_eq!(trace(&rig.vm), "");
    assert!(rig.gic.save(own).is_ok());
    // The same devices attached anew between the two: the guest may have run, or another have been restored.
    let flushed = rig.gic.flush_tables().expect("flush");
    let (gic, its, memory) = rig.gic.into_parts();
    let mut again = vgic_state::gicv3::Gicv3::attach(gic, its, memory, crate::common::vcpus(2)).expect("attach");
    assert_eq!(again.save(flushed), Err(Error::from(DeviceError::OtherFlush)));
    again.set_options(vgic_state::Options::default().with_tables(TableStrategy::Image));
    let flushed = again.flush_tables().expect("flush");
    assert!(again.save(flushed).expect("save").lpis.is_some());
}

#[test]
fn what_is_older_than_the_last_flush_cannot_be_saved() {
    let mut rig = Rig::filled(config(), ShadowKind::Zero);
    let [older, newer] = [(); 2].map(|()| rig.gic.flush_tables().expect("flush"));
    assert_eq!(rig.gic.save(older), Err(Error::from(DeviceError::OtherFlush)));
    assert!(rig.gic.save(newer).is_ok());
}

#[test]
fn a_flush_that_fails_leaves_nothing_to_save() {
    use vgic_state::model::Fault;
    let mut rig = Rig::filled(config(), ShadowKind::Zero);
    rig.vm.set_fault(Fault::attribute(vgic_state::Command::ItsSaveTables.id(), vgic_state::Errno::EACCES));
    rig.gic.flush_tables().expect_err("fault");
    rig.vm.clear_faults();
    rig.flush_and_save();
}

#[test]
fn the_strategy_of_a_save_is_that_of_its_flush() {
    let mut rig = Rig::filled(config(), ShadowKind::Zero);
    let in_image = rig.flush_and_save();
    // Flushed for the image.
    let flushed = rig.gic.flush_tables().expect("flush");
    rig.gic.set_options(rig.gic.options().clone().with_tables(TableStrategy::GuestMemory));
    let mut image = vec![0; rig.gic.image_max(&flushed).expect("size")];
    assert_eq!(rig.gic.save_image(flushed, &mut image), Ok(image.len()));
    assert_eq!(Gicv3State::parse(&image).as_ref(), Ok(&in_image));
    // Flushed into guest memory.
    let flushed = rig.gic.flush_tables().expect("flush");
    assert!(!flushed.written().is_empty());
    rig.gic.set_options(rig.gic.options().clone().with_tables(TableStrategy::Image));
    let mut without = in_image.clone();
    without.lpis = None;
    assert_eq!(rig.gic.save(flushed), Ok(without));
    assert_eq!(rig.flush_and_save(), in_image);
}

#[test]
fn what_was_flushed_before_a_restore_cannot_be_saved_after_it() {
    let (state, _) = saved();
    let mut rig = Rig::filled(config(), ShadowKind::Zero);
    let flushed = rig.gic.flush_tables().expect("flush");
    rig.gic.restore(&state).expect("restore");
    assert_eq!(rig.gic.save(flushed), Err(Error::from(DeviceError::OtherFlush)));
    // One that is refused touches nothing.
    let flushed = rig.gic.flush_tables().expect("flush");
    let mut bad = state.clone();
    lpis(&mut bad).configuration.clear();
    rig.gic.restore(&bad).expect_err("refused");
    assert_eq!(rig.gic.save(flushed), Ok(state));
}

#[test]
fn either_state_goes_where_either_strategy_is_set() {
    let mut source = Rig::filled(config(), ShadowKind::Zero);
    let in_image = source.flush_and_save();
    let without = copy(&source.memory);
    source.gic.options_mut().tables = TableStrategy::GuestMemory;
    let in_guest = source.gic.flush_and_save().expect("save");
    let with = copy(&source.memory);

    // Guest memory with valid tables: nobody looks at them.
    for memory in [&with, &without] {
        for strategy in [TableStrategy::Image, TableStrategy::GuestMemory] {
            let mut destination = Rig::new(config(), copy(memory), ShadowKind::CopyOnWrite);
            destination.gic.options_mut().tables = strategy;
            let report = destination.gic.restore(&in_image).expect("restore");
            assert_eq!(report.guest_memory_written, []);
            assert!(contents(&destination.memory) == contents(memory));
            destination.gic.options_mut().tables = TableStrategy::Image;
            assert_eq!(destination.flush_and_save(), in_image);
        }
    }
    let mut destination = Rig::new(config(), copy(&with), ShadowKind::Zero);
    let image = in_guest.to_image().expect("image");
    let report = destination.gic.restore_image(&image).expect("restore");
    assert_eq!((report.guest_memory_written.is_empty(), destination.touched()), (false, 0));
    assert_eq!(destination.flush_and_save(), in_image);
}

#[test]
fn requirements_say_who_writes_guest_memory() {
    let mut rig = Rig::filled(config(), ShadowKind::Zero);
    let before = rig.gic.requirements().expect("requirements");
    assert_eq!(before.guest_memory, vgic_state::GuestMemoryUse::NONE);
    // Some MiB: 2 MiB for each ITS, 9 bytes for each LPI.
    assert!((4 << 20..5 << 20).contains(&before.image_max), "{}", before.image_max);
    let flushed = rig.gic.flush_tables().expect("flush");
    let after = rig.gic.image_max(&flushed).expect("size");
    assert!(after < 16 << 10, "{after}");
    rig.gic.options_mut().tables = TableStrategy::GuestMemory;
    assert!(rig.gic.requirements().expect("requirements").guest_memory.written_by_flush);
}

/// Priority and enable of the LPIs of a restored VM.
fn restored(state: &Gicv3State, policy: ConfigurationPolicy) -> Vec<(u8, bool)> {
    let mut destination = Rig::new(config(), shared_memory(), ShadowKind::Zero);
    destination.gic.options_mut().lpi_configuration = policy;
    destination.gic.restore(state).expect("restore");
    let mut seen: Vec<_> = destination.vm.lpis().iter().map(|lpi| (lpi.priority, lpi.enabled)).collect();
    seen.dedup();
    seen
}

#[test]
fn a_configuration_that_does_not_look_like_one() {
    let (good, _) = saved();
    let mut doubtful = good.clone();
    for lpi in &mut lpis(&mut doubtful).configuration {
        lpi.byte = 0x40;
    }
    let mut one = good.clone();
    lpis(&mut one).configuration[3].byte = 0x01;
    use ConfigurationPolicy::{Default, Leave};
    assert_eq!(restored(&good, Leave), [(0xa0, true)]);
    assert_eq!(restored(&good, Default(0x51)), [(0xa0, true)], "it looks like one");
    assert_eq!(restored(&doubtful, Leave), [(0x40, false)]);
    assert_eq!(restored(&doubtful, Default(0x51)), [(0x50, true)]);
    assert_eq!(restored(&one, Leave), [(0xa0, true), (0, true), (0xa0, true)]);
    assert_eq!(restored(&one, Default(0xa3)), [(0xa0, true)]);
}

#[test]
fn two_vcpus_with_one_pending_table() {
    use vgic_state::its::{Table, TableError};
    let mut rig = Rig::filled_then(Config { its: 1, ..Config::default() }, ShadowKind::Zero, |_, gic| {
        use vgic_state::{Attr, AttrDevice};
        let last = gic.target().vcpus.iter().last().expect("vCPU");
        gic.gic_mut().set(Attr::redist(last.mpidr, 0), 0).expect("GICR_CTLR");
        gic.gic_mut().set(Attr::redist(last.mpidr, 0x78), pending(0) as u32).expect("GICR_PENDBASER");
        gic.gic_mut().set(Attr::redist(last.mpidr, 0), 1).expect("GICR_CTLR");
    });
    let [one, other] = [0, 1].map(|id| Table::LpiPending { vcpu: vgic_state::VcpuId::new(id).expect("id") });
    let address = pending(0) + 0x400;
    assert_eq!(rig.gic.flush_tables(), Err(Error::from(TableError::SameAddress { one, other, address })));
}

/// Where the guest has no memory, shadow memory may have level-2 device tables.
#[test]
fn an_itt_where_the_shadow_has_its_own_tables() {
    use crate::common::{RAM, RAM_BYTES};
    use vgic_state::its::{Table, TableError};
    let end = RAM + RAM_BYTES as u64;
    for (kind, offset) in [(ShadowKind::Zero, 0), (ShadowKind::Zero, 0x3_8000), (ShadowKind::CopyOnWrite, 0x3_8000)] {
        let mut rig = Rig::filled_then(config(), kind, |vm, gic| {
            use vgic_state::{Attr, AttrDevice};
            let baser = 1 << 63 | 1 << 62 | area(5);
            vm_memory::Bytes::write_obj(&vm.memory(), 1_u64 << 63 | area(6), vm_memory::GuestAddress(area(5))).expect("memory");
            let its = &mut gic.its_mut()[1];
            its.set(Attr::its(0), 0).expect("GITS_CTLR");
            its.set(Attr::its(0x100), baser).expect("GITS_BASER0");
            its.set(Attr::its(0), 1).expect("GITS_CTLR");
            super::commands(vm, gic, 1, &[super::mapd(3, 5, end + offset)]);
        });
        garbage(&rig.memory, area(6), 0x1_0000);
        match rig.gic.flush_tables() {
            Err(Error::Tables(error)) => match *error {
                TableError::Outside { table: Table::Itt { device: 3, .. }, address } => assert_eq!(address, end + offset),
                other => panic!("{other}"),
            },
            other => panic!("{other:?}"),
        }
    }
}
