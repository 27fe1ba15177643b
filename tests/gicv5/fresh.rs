//! A restore is into a VM that is fresh, and with vCPUs that are the VM's.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst; `arch/arm64/kvm/vgic/vgic-irs-v5.c`, `vgic-v5-tables.c`, Linux 7.4.
//!
//! Rule: what the device shows before the first write is looked at first; then nothing is written.

use crate::common::{filled, fresh, on_host, vcpus};
use crate::save::Save as _;
use vgic_state::gicv5::{Gicv5, Gicv5State};
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::model::{Fault, Op};
use vgic_state::report::Problem;
use vgic_state::{Attr, AttrDevice, DeviceError, Errno, Error, IntId, InterruptState, Mpidr, SpiCount, Vcpu, VcpuId, Vcpus};

const CR0: u32 = 0x80;
const IST_BASER: u32 = 0x180;
const IST_CFGR: u32 = 0x190;

/// A refusal of a restore that has written nothing.
fn refused(gic: &mut Gicv5<Vm>, state: &Gicv5State<'_>) -> Error {
    gic.device_mut().clear_trace();
    let error = gic.restore(state).expect_err("not fresh");
    assert!(gic.device().trace().iter().all(|access| access.op == Op::Get), "something was written");
    assert_eq!(error.applied(), None);
    error
}

/// The same through another attachment, which asks the device.
fn attached_anew(gic: Gicv5<Vm>, vcpus: &Vcpus) -> Gicv5<Vm> {
    Gicv5::attach(gic.into_device(), vcpus.clone()).expect("attach")
}

fn not_fresh(register: u32, value: u64) -> Error {
    DeviceError::NotFresh { attr: Attr::irs(register).id(), value }.into()
}

#[test]
fn a_second_restore_writes_nothing() {
    let vcpus = vcpus(2);
    for lpi_bits in [None, Some(8)] {
        let state = filled(&vcpus, 32, lpi_bits).flush_and_save().expect("save");
        let other = fresh(&vcpus, 32).flush_and_save().expect("save");
        let mut gic = fresh(&vcpus, 32);
        gic.restore(&state).expect("the first");
        for again in [&state, &other] {
            assert_eq!(refused(&mut gic, again), DeviceError::RestoredBefore.into());
            assert!(gic.device().trace().is_empty());
        }
        let mut gic = attached_anew(gic, &vcpus);
        for again in [&state, &other] {
            assert_eq!(refused(&mut gic, again), not_fresh(CR0, 3));
        }
        assert_eq!(gic.flush_and_save().expect("save"), state, "as the first restore has left it");
    }
    let error = not_fresh(IST_BASER, 0x4001).to_string();
    assert_eq!(
        error,
        "IRS_IST_BASER is 0x4001 before the restore: this GICv5 was restored before, or its guest has run. Take a new VM"
    );
}

/// The state of a guest that has set up no interrupts leaves nothing that a device shows.
#[test]
fn a_second_restore_of_a_state_that_shows_nothing() {
    let vcpus = vcpus(2);
    let mut state = filled(&vcpus, 32, None).flush_and_save().expect("save");
    state.irs.cr0 &= !1;
    let other = fresh(&vcpus, 32).flush_and_save().expect("save");
    assert_ne!(state.spi_ist, other.spi_ist);
    let mut gic = fresh(&vcpus, 32);
    gic.restore(&state).expect("the first");
    assert_eq!(refused(&mut gic, &other), DeviceError::RestoredBefore.into());
    assert!(gic.device().trace().is_empty());
    assert_eq!(gic.flush_and_save().expect("save"), state, "as the first restore has left it");
    // Through another attachment it is not found, and the device is as after the second alone.
    let mut gic = attached_anew(gic, &vcpus);
    gic.restore(&other).expect("not found");
    assert_eq!(gic.flush_and_save().expect("save"), other);
    // One that has failed behind its first step is one; one that has done nothing is none.
    for (n, done) in [(0, false), (1, true)] {
        let mut gic = fresh(&vcpus, 32);
        gic.device_mut().set_fault(Fault::access(2 + n, Errno::EINVAL));
        gic.restore(&state).expect_err("EINVAL");
        let again = gic.restore(&state).map(drop);
        assert_eq!(again, if done { Err(DeviceError::RestoredBefore.into()) } else { Ok(()) });
    }
}

#[test]
fn each_register_that_shows_it() {
    let vcpus = vcpus(1);
    let state = filled(&vcpus, 32, Some(8)).flush_and_save().expect("save");
    // A guest that has enabled interrupts alone; one that has set up its table alone, and has it no more enabled.
    for (register, value) in [(CR0, 3), (IST_BASER, 0x1_0040_0001)] {
        let mut gic = fresh(&vcpus, 32);
        let vm = gic.device_mut();
        vm.set(Attr::irs(IST_CFGR), 8).expect("register");
        vm.set(Attr::irs(register), value).expect("register");
        assert_eq!(refused(&mut gic, &state), not_fresh(register, value));
    }
    // The table itself, of a first restore that failed behind it.
    let mut unset = state.clone();
    unset.irs.cr0 = 2;
    let mut gic = fresh(&vcpus, 32);
    gic.restore(&unset).expect("the first");
    assert_eq!(refused(&mut attached_anew(gic, &vcpus), &unset), not_fresh(IST_BASER, state.irs.ist_baser));
}

#[test]
fn a_vm_that_has_run_is_refused_before_a_write() {
    let vcpus = vcpus(1);
    let id = vcpus.iter().next().expect("vCPU").id;
    let state = filled(&vcpus, 32, Some(8)).flush_and_save().expect("save");
    let mut gic = fresh(&vcpus, 32);
    gic.device_mut().run(id, |guest| guest.irs_write32(CR0, 1)).expect("run");
    assert_eq!(refused(&mut gic, &state), not_fresh(CR0, 3));
    let mut gic = fresh(&vcpus, 32);
    gic.device_mut()
        .run(id, |guest| {
            guest.irs_write32(IST_CFGR, 8);
            guest.irs_write64(IST_BASER, 0x8000_0001);
        })
        .expect("run");
    assert_eq!(refused(&mut gic, &state), not_fresh(IST_BASER, 0x8000_0001));
    // A guest that has touched nothing shows nothing: KVM refuses the first write.
    let mut gic = fresh(&vcpus, 32);
    gic.device_mut().run(id, |_| ()).expect("run");
    gic.device_mut().clear_trace();
    let before = gic.flush_and_save().expect("save");
    match gic.restore(&state).expect_err("has run") {
        Error::Access(error) => {
            assert_eq!(
                (error.attr, error.errno, error.applied.map(|applied| applied.done)),
                (Attr::irs(0).id(), Errno::EBUSY, Some(0))
            );
        }
        other => panic!("{other}"),
    }
    assert_eq!(gic.flush_and_save().expect("save"), before);
}

#[test]
fn what_einval_can_be_is_said_of_each_register() {
    let vcpus = vcpus(2);
    let state = filled(&vcpus, 32, Some(8)).flush_and_save().expect("save");
    let mut text = String::new();
    // Behind the two that are read.
    for n in 0..12 {
        let mut gic = fresh(&vcpus, 32);
        gic.device_mut().set_fault(Fault::access(2 + n, Errno::EINVAL));
        text += &format!("{}\n", gic.restore(&state).expect_err("EINVAL"));
    }
    crate::snapshot::snapshot!("gicv5_einval", text);
}

#[test]
fn more_lpis_than_an_image_can_hold() {
    let host = Host { id_bits: 18, ..Host::default() };
    let vcpus = vcpus(1);
    let idr2 = |id_bits: u64| id_bits | 1 << 5 | 8 << 6;
    let mut gic = on_host(host, &vcpus, 32);
    let vm = gic.device_mut();
    for (register, value) in [(0x8, idr2(18)), (IST_CFGR, 17), (IST_BASER, 0x4001)] {
        vm.set(Attr::irs(register), value).expect("register");
    }
    let mut gic = Gicv5::attach(gic.into_device(), vcpus.clone()).expect("attach");
    let error = Error::from(DeviceError::LpiIdBits { found: 17, greatest: 16 });
    assert_eq!(gic.flush_and_save().expect_err("17 bits"), error);
    assert_eq!(gic.ist_sizes().expect_err("17 bits"), error);
    assert_eq!(error.to_string(), "IRS_IST_CFGR.LPI_ID_BITS is 17, an LPI table can be saved with at most 16");
}

/// vCPUs with the affinities of two others.
fn renamed(ids: [u32; 2]) -> Vcpus {
    let mpidrs = [Mpidr::new(3, 0, 1, 2), Mpidr::new(3, 7, 1, 1)];
    Vcpus::new(ids.into_iter().zip(mpidrs).map(|(id, mpidr)| Vcpu { id: VcpuId::new(id).expect("id"), mpidr })).expect("vCPUs")
}

/// Ids of the right width that the VM does not have are in no register, but in the tables: the source's own image shows them. Ids that have
/// changed places are in nothing that can be read.
#[test]
fn a_check_of_the_sources_own_image_shows_ids_that_the_vm_does_not_have() {
    let vcpus = vcpus(2);
    assert_eq!(renamed([0, 3]), vcpus);
    for (ids, shown) in [([0, 3], false), ([0, 2], true), ([3, 0], false)] {
        let vm = Vm::with_device(Host::default(), &vcpus).expect("VM");
        let mut gic = Gicv5::initialise(vm, 0x0800_0000, SpiCount::MIN, renamed(ids)).expect("as wide");
        let own = vcpus.iter().next().expect("vCPU").id;
        gic.device_mut()
            .run(own, |guest| {
                guest.cdaff(IntId::Spi(4), 3);
                guest.cden(IntId::Spi(4));
            })
            .expect("run");
        let state = gic.flush_and_save().expect("save");
        let report = gic.check(&state).expect("no refusal");
        let found = report.find(Problem::IstTargetUnknown).map(|finding| finding.first.interrupt);
        assert_eq!(found, shown.then_some(Some(IntId::Spi(4))), "{ids:?}");
    }
}
