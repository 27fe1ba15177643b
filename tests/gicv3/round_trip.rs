//! The strongest property: save, restore into a fresh device, save again, equal.

use crate::common::{Config, Memory, RAM, RAM_BYTES, copy, filled, fresh, memory, vcpus};
use crate::save::Save as _;
use crate::save::SaveImage as _;
use std::cell::RefCell;
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::model::gicv3::{Host, Kernel};
use vgic_state::report::{Problem, Report};
use vgic_state::{Attr, AttrDevice, DynInterruptState, GuestMemoryRead, GuestRange, InterruptState, MemoryError};
use vm_memory::{Bytes, GuestAddress};

#[test]
fn with_its_and_without_on_every_kernel() {
    for kernel in Kernel::ALL {
        for (vcpus, nr_irqs, its) in [(1, 64, 0), (2, 96, 1), (3, 992, 3)] {
            let config = Config { host: Host { kernel, ..Host::default() }, vcpus, nr_irqs, its, ..Config::default() };
            let (vm, mut source) = filled(config);
            let _ = source.flush_tables().expect("flush");
            let mut image = vec![0; source.requirements().expect("requirements").image_max];
            assert_eq!(source.flush_and_save_image(&mut image), Ok(image.len()));
            let state = source.flush_and_save().expect("save");
            assert_eq!(Gicv3State::parse(&image).as_ref(), Ok(&state));
            assert_eq!(state.to_image().as_ref(), Ok(&image));

            let (other, mut destination) = fresh(config, copy(&vm.memory()));
            destination.restore_image(&image).expect("restore");
            assert_eq!(destination.flush_and_save().expect("save"), state, "{kernel:?}, {vcpus} vCPUs, {its} ITSes");
            assert_eq!(other.lpis(), vm.lpis());
            for n in 0..its {
                assert_eq!(other.mappings(n), vm.mappings(n));
            }
        }
    }
}

/// LPIs are off: KVM takes any address, and both halves of each register are told apart.
#[test]
fn addresses_of_52_bits() {
    for its in [0, 1] {
        let config = Config { vcpus: 3, nr_irqs: 64, its, ..Config::default() };
        let (vm, mut source) = fresh(config, memory());
        let mut state = source.flush_and_save().expect("save");
        for (n, vcpu) in (0..).zip(&mut state.vcpus) {
            vcpu.redist.propbaser = 0x000a_bcde_f123_400f;
            vcpu.redist.pendbaser = 0x0009_8765_4321_0000 + n * 0x0001_1111_0000;
        }
        if let Some(its) = state.its.first_mut() {
            its.registers.cbaser = 0x000f_edcb_a980_0003;
            its.registers.baser0 = its.registers.baser0 & 0x073f_0000_0000_0000 | 0x0000_dcba_9870_0001;
        }
        source.restore(&state).expect("restore");
        let saved = source.flush_and_save().expect("save");
        let tables = |state: &Gicv3State| -> Vec<_> {
            // Without memory attributes, which KVM has its own of.
            let of_vcpu = state.vcpus.iter().map(|vcpu| (vcpu.redist.propbaser & !0xf80, vcpu.redist.pendbaser & !0xffff));
            let its = state.its.iter().map(|its| &its.registers);
            of_vcpu.chain(its.map(|its| (its.cbaser & 0x000f_ffff_ffff_f0ff, its.baser0 & 0xffff_ffff_f0ff))).collect()
        };
        assert_eq!(tables(&saved), tables(&state));
        assert!(vm.written().is_empty());
    }
}

#[test]
fn a_flush_says_what_was_written() {
    let (vm, mut source) = filled(Config { its: 2, ..Config::default() });
    let before = copy(&vm.memory());
    let flushed = source.flush_tables().expect("flush");
    let ranges = flushed.written();
    assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "sorted and joined");
    let covered = |address: u64| ranges.iter().any(|range| (range.start..range.end).contains(&address));
    let bytes = |memory: &Memory| {
        let mut bytes = vec![0_u8; RAM_BYTES];
        memory.read_slice(&mut bytes, GuestAddress(RAM)).expect("memory");
        bytes
    };
    let (before, after) = (bytes(&before), bytes(&vm.memory()));
    let changed: Vec<u64> = (RAM..).zip(before.iter().zip(&after)).filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect();
    for address in &changed {
        assert!(covered(*address), "{address:#x} was written");
    }
    assert!(changed.len() > 100);
    for written in vm.written() {
        assert!(covered(written.start) && covered(written.end - 1), "{written:x?}");
    }
}

#[test]
fn a_restore_says_which_pending_bits_it_may_have_taken() {
    let (vm, mut source) = filled(Config::default());
    let state = source.flush_and_save().expect("save");
    let (other, mut destination) = fresh(Config::default(), copy(&vm.memory()));
    let report = destination.restore(&state).expect("restore");
    let expected = [0, 1].map(|n| GuestRange::new(crate::common::pending(n) + 1024, 8192 - 1024));
    assert_eq!(report.guest_memory_written, expected);
    let written = other.written();
    assert!(!written.is_empty());
    for written in written {
        assert!(expected.iter().any(|range| range.start <= written.start && written.end <= range.end), "{written:x?}");
    }
}

#[test]
fn only_a_flush_writes_guest_memory() {
    let (vm, mut source) = filled(Config::default());
    let flush = |source: &mut dyn DynInterruptState| {
        let flushed = source.flush_tables().expect("flush");
        assert_ne!(vm.written(), []);
        vm.clear_written();
        flushed
    };
    let flushed = flush(&mut source);
    source.requirements().expect("requirements");
    source.save(flushed).expect("save");
    assert_eq!(vm.written(), []);
    let flushed = flush(&mut source);
    let mut image = vec![0; source.image_max(&flushed).expect("size")];
    source.save_image(flushed, &mut image).expect("save");
    assert_eq!(vm.written(), []);
}

#[test]
fn onto_a_device_that_was_used_before() {
    let config = Config { its: 2, ..Config::default() };
    let (vm, mut source) = filled(config);
    let state = source.flush_and_save().expect("save");

    // Another guest's interrupts, everywhere and enabled, where this state has none.
    let (other, mut destination) = filled(config);
    other.set_memory(copy(&vm.memory()));
    let mut inverted = state.clone();
    for spis in &mut inverted.spis {
        (spis.interrupts.enable, spis.interrupts.active) = (!spis.interrupts.enable, !spis.interrupts.active);
    }
    inverted.its.iter_mut().for_each(|its| its.registers.ctlr = 0);
    destination.restore(&inverted).expect("other state");
    other.set_memory(copy(&vm.memory()));
    destination.restore(&state).expect("restore");
    assert_eq!(destination.flush_and_save().expect("save"), state);
}

#[test]
fn guest_memory_is_used_only_with_an_its() {
    let (_, with) = fresh(Config::default(), memory());
    let (_, without) = fresh(Config { its: 0, ..Config::default() }, memory());
    let uses = |gic: &dyn DynInterruptState| gic.requirements().expect("requirements").guest_memory;
    assert!(uses(&with).written_by_flush && uses(&with).read_by_restore && uses(&with).written_by_restore);
    assert_eq!(uses(&without), vgic_state::GuestMemoryUse::NONE);
}

#[test]
fn latches_of_a_used_device_are_cleared() {
    for kernel in Kernel::ALL {
        let config = Config { host: Host { kernel, ..Host::default() }, its: 0, ..Config::default() };
        let state = fresh(config, memory()).1.flush_and_save().expect("save");
        let (_, mut destination) = filled(config);
        destination.restore(&state).expect("restore");
        let again = destination.flush_and_save().expect("save");
        assert_eq!(again.spis, state.spis);
        assert!(again.vcpus.iter().zip(&state.vcpus).all(|(a, b)| a.private == b.private && a.icc == b.icc));
    }
}

#[test]
fn pending_bits_are_reported_where_the_guest_has_lpis_disabled() {
    let (vm, mut source) = filled(Config::default());
    let vcpus: Vec<_> = source.target().vcpus.iter().collect();
    for vcpu in &vcpus {
        AttrDevice::set(source.gic_mut(), Attr::redist(vcpu.mpidr, 0), 0).expect("GICR_CTLR");
    }
    vm.clear_written();
    let flushed = source.flush_tables().expect("flush");
    let ranges = flushed.written();
    let covered = |written: &std::ops::Range<u64>, ranges: &[GuestRange]| {
        ranges.iter().any(|range| range.start <= written.start && written.end <= range.end)
    };
    assert!(vm.written().iter().all(|written| covered(written, ranges)), "{:x?}", vm.written());

    let state = source.flush_and_save().expect("save");
    let (other, mut destination) = fresh(Config::default(), copy(&vm.memory()));
    let report = destination.restore(&state).expect("restore");
    assert!(other.written().iter().all(|written| covered(written, &report.guest_memory_written)), "{:x?}", other.written());
}

/// Guest memory that grows while a backend is attached.
struct Plugged {
    memory: Memory,
    ranges: RefCell<Vec<GuestRange>>,
}

impl GuestMemoryRead for &Plugged {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        GuestMemoryRead::read(&self.memory, address, bytes)
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        Some(self.ranges.borrow().clone())
    }
}

#[test]
fn memory_that_was_plugged_since_the_attachment_is_known() {
    let config = Config { its: 1, ..Config::default() };
    let (vm, mut source) = filled(config);
    let state = source.flush_and_save().expect("save");
    let (_, gic) = fresh(config, copy(&vm.memory()));
    let (gic, its, memory) = gic.into_parts();
    let plugged = Plugged { memory, ranges: Vec::new().into() };
    let mut gic = Gicv3::attach(gic, its, &plugged, vcpus(config.vcpus)).expect("attach");
    gic.options_mut().refuse_at = None;
    let outside = |report: Report| report.find(Problem::TableOutsideMemory).is_some();
    assert!(outside(gic.check(&state).expect("check")), "no memory yet");
    plugged.ranges.borrow_mut().push(GuestRange::new(RAM, RAM_BYTES as u64));
    assert!(!outside(gic.check(&state).expect("check")));
    gic.restore(&state).expect("restore");
    assert_eq!(gic.flush_and_save().expect("save"), state);
}
