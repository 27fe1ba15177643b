//! Guest memory that the VMM has mapped and cannot access (`PROT_NONE`: a balloon, unplugged virtio-mem): each operation says so, and none
//! ends in a signal.
//!
//! Rule: the kernel, here the model, has memory of its own at the same addresses, so that whatever reads beside it is seen.

use super::{Rig, config, contents, copy, saved};
use crate::common::{Memory, RAM, RAM_BYTES, filled, fresh, its_base, trace, vcpus};
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::its::{Table, TableError};
use vgic_state::judge::{Limits, Ranges};
use vgic_state::model::gicv3::{Slots, Vm};
use vgic_state::report::Problem;
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::{DynInterruptState, Error, GuestMemoryRead, InterruptState, MemoryError, TableStrategy};
use vm_memory::{GuestAddress, GuestRegionMmap, MmapRegion};

const NOT_MEMORY: Result<(), MemoryError> = Err(MemoryError::NotMemory);
const PROT_NONE: i32 = 0;
const MAP_PRIVATE_ANONYMOUS: i32 = 0x22;

/// All of the guest's memory, none of it accessible.
fn nothing() -> Memory {
    let mapping = MmapRegion::build(None, RAM_BYTES, PROT_NONE, MAP_PRIVATE_ANONYMOUS).expect("mapping");
    Memory::from_regions(vec![GuestRegionMmap::new(mapping, GuestAddress(RAM)).expect("region")]).expect("memory")
}

type Blind = Gicv3<vgic_state::model::gicv3::Device, Memory>;

fn blind(gic: crate::common::Gic) -> Blind {
    let (gic, its, _) = gic.into_parts();
    Gicv3::attach(gic, its, nothing(), vcpus(config().vcpus)).expect("attach")
}

/// Likewise, with memory that can be diverted.
fn blind_shadowed(rig: Rig, kind: ShadowKind) -> (Vm, Gicv3<vgic_state::model::gicv3::Device, Shadowed<Memory, Slots>>) {
    let (gic, its, _) = rig.gic.into_parts();
    let memory = Shadowed::new(nothing(), Slots::new(&rig.vm), kind);
    let mut gic = Gicv3::attach(gic, its, memory, vcpus(config().vcpus)).expect("attach");
    gic.options_mut().tables = TableStrategy::Image;
    rig.vm.clear_trace();
    (rig.vm, gic)
}

/// A state whose tables are in guest memory.
fn saved_in_memory() -> (Gicv3State, Vm) {
    let (vm, mut gic) = filled(config());
    let flushed = gic.flush_tables().expect("flush");
    (gic.save(flushed).expect("save"), vm)
}

fn everything() -> Ranges {
    Ranges::new([vgic_state::GuestRange::new(0, 1 << 52)].into(), [].into())
}

/// The queue and the first levels of a side that is not trusted.
#[test]
fn a_forwarder_reads_no_command_and_no_entry_there() {
    use vgic_state::forward::{IdTable, Untrusted, UntrustedMemory};
    let mut side = UntrustedMemory { memory: nothing(), queue: RAM, devices: Some(RAM + 0x1_0000), vpes: Some(RAM + 0x2_0000) };
    assert_eq!([0, 32, 0xffe0].map(|offset| side.fetch(offset)), [None; 3]);
    assert_eq!([IdTable::Devices, IdTable::Vpes].map(|table| side.level1(table, 0)), [None; 2]);
}

#[test]
fn every_address_reads_as_no_memory() {
    let memory = nothing();
    for (address, length) in [(RAM, 8), (RAM + 1, 1), (RAM + 4090, 4096), (RAM + RAM_BYTES as u64 - 8, 8)] {
        assert_eq!(GuestMemoryRead::read(&memory, address, &mut vec![0; length]), NOT_MEMORY);
    }
    let (vm, _) = fresh(config(), memory.clone());
    let shared = std::sync::Arc::new(memory.clone());
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        assert_eq!(Shadowed::new(&memory, Slots::new(&vm), kind).read(RAM, &mut [0; 8]), NOT_MEMORY);
        assert_eq!(Shadowed::new(std::sync::Arc::clone(&shared), Slots::new(&vm), kind).read(RAM, &mut [0; 8]), NOT_MEMORY);
        assert_eq!(GuestMemoryRead::read(&&mut Shadowed::new(&memory, Slots::new(&vm), kind), RAM, &mut [0; 8]), NOT_MEMORY);
    }
    // And as a judgement alone is given it.
    let (state, _) = saved_in_memory();
    let report = vgic_state::judge::gicv3::problems(&state, &memory, &everything(), &Limits::default());
    assert!(report.find(Problem::TableOutsideMemory).is_some() && report.find(Problem::PendingUnmapped).is_none(), "{report}");
}

#[test]
fn flush_and_save_into_guest_memory() {
    let (_, gic) = filled(config());
    let mut gic = blind(gic);
    let flushed = gic.flush_tables().expect("flush");
    // Pending and collection tables, by registers alone.
    assert!(!flushed.written().is_empty());
    gic.save(flushed).expect("save");
}

#[test]
fn check_and_restore_from_guest_memory() {
    let (state, vm) = saved_in_memory();
    let image = state.to_image().expect("image");
    let (target, gic) = fresh(config(), vm.memory());
    let mut gic = blind(gic);
    target.clear_trace();
    for refused in [gic.check(&state), gic.restore(&state), gic.check_image(&image), gic.restore_image(&image)] {
        let Err(Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert!(refusal.to_string().contains("table-outside-memory"), "{refusal}");
    }
    assert_eq!(trace(&target), "");
    // By a VMM that accepts everything: the kernel has memory of its own.
    gic.options_mut().refuse_at = None;
    let report = gic.restore(&state).expect("restore");
    assert!(report.find(Problem::TableOutsideMemory).is_some());
    assert!(report.find(Problem::PendingUnmapped).is_none(), "{report}");
}

#[test]
fn verification_of_a_flush() {
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        let (_, mut gic) = blind_shadowed(Rig::filled(config(), kind), kind);
        gic.options_mut().tables = TableStrategy::GuestMemory;
        gic.options_mut().verify_flush = true;
        let Err(Error::Tables(error)) = gic.flush_tables() else { panic!("verified") };
        assert!(matches!(*error, TableError::Outside { .. } | TableError::Lost(_)), "{error}");
    }
}

#[test]
fn flush_check_and_restore_with_tables_in_the_image() {
    let (state, memory): (Gicv3State, Memory) = saved();
    let image = state.to_image().expect("image");
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        let (_, mut gic) = blind_shadowed(Rig::filled(config(), kind), kind);
        let Err(Error::Tables(error)) = gic.flush_tables() else { panic!("flushed") };
        assert!(matches!(*error, TableError::Outside { table: Table::Devices { its }, .. } if its == its_base(0)), "{error}");

        let rig = Rig::new(config(), copy(&memory), kind);
        let (vm, mut gic) = blind_shadowed(rig, kind);
        let before = contents(&vm.memory());
        for refused in [gic.check(&state), gic.restore(&state), gic.check_image(&image), gic.restore_image(&image)] {
            let Err(Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
            assert!(refusal.to_string().contains("not guest memory"), "{refusal}");
        }
        assert_eq!(trace(&vm), "");
        assert!(contents(&vm.memory()) == before);
    }
}
