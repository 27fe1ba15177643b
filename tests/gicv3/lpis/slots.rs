//! Memory slots that the VM has and the list given does not: hot-plugged memory that nobody has told of.
//!
//! Rule: what registers say is known beforehand, and refused before a slot is touched; what only the kernel's tables say is told as memory
//! that may have been written, with the address.

use super::{Rig, commands, config, lpis, mapd, mapti, shared};
use crate::common::{Gic, Memory, RAM, RAM_BYTES, area, fill, fill_its, fresh, its_base, pending, trace, vcpus};
use vgic_state::gicv3::Gicv3;
use vgic_state::its::{Table, TableError};
use vgic_state::model::gicv3::{Device, Slots, Vm};
use vgic_state::report::Refusal;
use vgic_state::shadow::{Memslot, Memslots, ShadowKind, ShadowRegion, Shadowed};
use vgic_state::uapi::memory::KVM_MEM_READONLY;
use vgic_state::uapi::vgic_v3::{its, redist};
use vgic_state::{
    Attr, AttrDevice, DynInterruptState, Errno, Error, GuestMemoryRead, InterruptState, MemoryError, TableStrategy, VcpuId,
};
use vm_memory::{Bytes, GuestAddress};

/// Memory that was plugged.
const PLUGGED: u64 = 0x5000_0000;
const PLUGGED_BYTES: usize = 2 << 20;

/// How the slot of it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed {
    Yes,
    No,
    ReadOnly,
}

/// The slots of a VM, as somebody lists them.
#[derive(Debug)]
struct Listing {
    slots: Slots,
    listed: Listed,
}

impl Memslots for Listing {
    fn list(&self) -> Vec<Memslot> {
        let mut list = self.slots.list();
        let is_plugged = |slot: &Memslot| slot.range.start == PLUGGED;
        match self.listed {
            Listed::Yes => {}
            Listed::No => list.retain(|slot| !is_plugged(slot)),
            Listed::ReadOnly => list.iter_mut().filter(|slot| is_plugged(slot)).for_each(|slot| slot.flags |= KVM_MEM_READONLY),
        }
        list
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        self.slots.delete(slot)
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        self.slots.create_over_shadow(slot, shadow)
    }

    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        self.slots.create_over_guest(slot)
    }

    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno> {
        self.slots.dirty_log(slot)
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        self.slots.merge_dirty_log(slot, bitmap);
    }
}

type Diverted = Gicv3<Device, Shadowed<Memory, Listing>>;

fn memory() -> Memory {
    let memory = Memory::from_ranges(&[(GuestAddress(RAM), RAM_BYTES), (GuestAddress(PLUGGED), PLUGGED_BYTES)]).expect("memory");
    memory.write_slice(&[0x5a; PLUGGED_BYTES], GuestAddress(PLUGGED)).expect("memory");
    memory
}

fn diverted(vm: &Vm, gic: Gic, memory: &Memory, listed: Listed) -> Diverted {
    let (gic, its, _) = gic.into_parts();
    let memory = Shadowed::new(memory.clone(), Listing { slots: Slots::new(vm), listed }, ShadowKind::Zero);
    let mut gic = Gicv3::attach(gic, its, memory, vcpus(config().vcpus)).expect("attach");
    gic.options_mut().tables = TableStrategy::Image;
    vm.clear_trace();
    vm.clear_written();
    gic
}

/// A guest that has done something more.
fn source(listed: Listed, then: impl FnOnce(&Vm, &mut Gic)) -> (Vm, Memory, Diverted) {
    let memory = memory();
    let (vm, mut gic) = fresh(config(), memory.clone());
    fill(&mut gic);
    fill_its(&vm, &mut gic);
    then(&vm, &mut gic);
    let gic = diverted(&vm, gic, &memory, listed);
    (vm, memory, gic)
}

fn contents(memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; RAM_BYTES + PLUGGED_BYTES];
    let (ram, plugged) = bytes.split_at_mut(RAM_BYTES);
    memory.read_slice(ram, GuestAddress(RAM)).expect("memory");
    memory.read_slice(plugged, GuestAddress(PLUGGED)).expect("memory");
    bytes
}

fn table_error(gic: &mut Diverted) -> TableError {
    match gic.flush_tables() {
        Err(Error::Tables(error)) => *error,
        other => panic!("{other:?}"),
    }
}

fn set_its(gic: &mut Gic, offset: u32, value: u64) {
    let device = &mut gic.its_mut()[1];
    device.set(Attr::its(its::GITS_CTLR), 0).expect("GITS_CTLR");
    device.set(Attr::its(offset), value).expect("register");
    device.set(Attr::its(its::GITS_CTLR), 1).expect("GITS_CTLR");
}

fn set_pendbaser(gic: &mut Gic, address: u64) {
    let last = gic.target().vcpus.iter().last().expect("vCPU").mpidr;
    for (offset, value) in [(redist::GICR_CTLR, 0), (redist::GICR_PENDBASER, address as u32), (redist::GICR_CTLR, 1)] {
        gic.gic_mut().set(Attr::redist(last, offset), value).expect("register");
    }
}

/// What registers say: before the first slot is touched.
#[test]
fn tables_that_registers_name_are_refused_before_memory_is_diverted() {
    type Change = fn(&Vm, &mut Gic);
    let base = its_base(1);
    let vcpu = VcpuId::new(1).expect("id");
    let cases: [(Change, Table, u64); 4] = [
        (|_, gic| set_its(gic, its::GITS_BASER, 1 << 63 | PLUGGED), Table::Devices { its: base }, PLUGGED),
        (
            |_, gic| set_its(gic, its::GITS_BASER + 8, 1 << 63 | (PLUGGED + 0x2_0000)),
            Table::Collections { its: base },
            PLUGGED + 0x2_0000,
        ),
        (|_, gic| set_pendbaser(gic, PLUGGED), Table::LpiPending { vcpu }, PLUGGED + 0x400),
        (
            |_, gic| set_its(gic, its::GITS_BASER, 1 << 63 | 1 << 62 | (PLUGGED + 0x1_0000)),
            Table::Devices { its: base },
            PLUGGED + 0x1_0000,
        ),
    ];
    for (change, table, address) in cases {
        for listed in [Listed::No, Listed::ReadOnly] {
            let (vm, memory, mut gic) = source(listed, change);
            let before = contents(&memory);
            let error = table_error(&mut gic);
            assert_eq!(error, TableError::NoSlot { table, address });
            assert!(error.to_string().ends_with(&format!("{address:#x} is in none of the writable memory slots that were given")));
            assert!(!trace(&vm).contains("SAVE"), "{}", trace(&vm));
            assert!(contents(&memory) == before && vm.written().is_empty());
        }
        let (_, memory, mut gic) = source(Listed::Yes, change);
        let before = contents(&memory);
        assert!(gic.flush_tables().is_ok_and(|flushed| flushed.written().is_empty()));
        assert!(contents(&memory) == before);
    }
}

/// What only the kernel knows: it has written guest memory, and that is said.
#[test]
fn an_itt_in_a_slot_that_is_not_listed_was_written() {
    let itt = PLUGGED + 0x8000;
    let change = |vm: &Vm, gic: &mut Gic| commands(vm, gic, 0, &[mapd(700, 3, itt), mapti(700, 2, 9000, 7)]);
    let (_, memory, mut gic) = source(Listed::No, change);
    let before = contents(&memory);
    let error = table_error(&mut gic);
    let table = Table::Itt { its: its_base(0), device: 700 };
    let TableError::NotDiverted { table: found, address, in_memory } = error else { panic!("{error}") };
    assert_eq!((found, in_memory), (table, true));
    assert!((itt..itt + 8 * 8).contains(&address), "{address:#x}");
    assert!(error.to_string().ends_with("the kernel may have written guest memory there, unless it is read-only"), "{error}");
    let after = contents(&memory);
    let changed: Vec<usize> = (0..before.len()).filter(|n| before[*n] != after[*n]).collect();
    let offset = RAM_BYTES + 0x8000;
    assert!(!changed.is_empty() && changed.iter().all(|n| (offset..offset + 8 * 8).contains(n)), "only its entries: {changed:x?}");

    let (_, memory, mut gic) = source(Listed::Yes, change);
    let before = contents(&memory);
    let flushed = gic.flush_tables().expect("flush");
    assert!(gic.save(flushed).is_ok() && contents(&memory) == before);
}

/// The guest gave a device an address without memory, and mapped no event: the kernel writes nothing there, and says nothing. Nobody can
/// tell that from a slot of which neither list knows.
#[test]
fn an_itt_where_no_memory_is_known() {
    const NOWHERE: u64 = 0x9_0000_0000;
    let (_, memory, mut gic) = source(Listed::Yes, |vm, gic| commands(vm, gic, 0, &[mapd(700, 3, NOWHERE)]));
    let before = contents(&memory);
    let error = table_error(&mut gic);
    let table = Table::Itt { its: its_base(0), device: 700 };
    assert_eq!(error, TableError::NotDiverted { table, address: NOWHERE, in_memory: false });
    assert!(
        error.to_string().ends_with("there is no memory, or the kernel may have written to a slot that was not given"),
        "{error}"
    );
    assert!(contents(&memory) == before);
}

/// A restore knows every table.
#[test]
fn a_restore_is_refused_with_nothing_touched() {
    let (_, source_memory, mut gic) = source(Listed::Yes, |vm, gic| {
        commands(vm, gic, 0, &[mapd(700, 3, PLUGGED + 0x8000), mapti(700, 2, 9000, 7)]);
    });
    let flushed = gic.flush_tables().expect("flush");
    let state = gic.save(flushed).expect("save");
    let target = |listed: Listed| {
        let memory = memory();
        memory.write_slice(&contents(&source_memory)[..RAM_BYTES], GuestAddress(RAM)).expect("memory");
        let (vm, gic) = fresh(config(), memory.clone());
        let gic = diverted(&vm, gic, &memory, listed);
        (vm, memory, gic)
    };
    let mut elsewhere = state.clone();
    elsewhere.vcpus.iter_mut().for_each(|vcpu| vcpu.redist.propbaser = (PLUGGED + 0x10_0000) | 0xf);
    for device in &mut lpis(&mut elsewhere).its[0].devices {
        device.itt = if device.itt < PLUGGED { device.itt } else { area(0) + 0x8_0000 };
    }
    for (state, expected) in [(state, Table::Itt { its: its_base(0), device: 700 }), (elsewhere, Table::LpiConfiguration)] {
        for listed in [Listed::No, Listed::ReadOnly] {
            let (vm, memory, mut gic) = target(listed);
            let before = contents(&memory);
            for refused in [gic.check(&state), gic.restore(&state)] {
                let Err(Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
                let Refusal::Tables(TableError::NoSlot { table, .. }) = *refusal else { panic!("{refusal}") };
                assert_eq!(table, expected);
            }
            assert_eq!((trace(&vm), vm.written()), (String::new(), vec![]));
            assert!(contents(&memory) == before);
        }
        let (_, memory, mut gic) = target(Listed::Yes);
        let before = contents(&memory);
        gic.restore(&state).expect("restore");
        assert!(contents(&memory) == before);
    }
}

/// Two registers with one address: said as that, by a save into the image and by the judgement.
#[test]
fn two_tables_at_one_address() {
    let address = area(1) + 0x1_0000;
    let (_, memory, mut gic) =
        source(Listed::Yes, |_, gic| set_its(gic, its::GITS_BASER + 8, 1 << 63 | (area(1) + 0x1_0000) | 2 << 8));
    let before = contents(&memory);
    let error = table_error(&mut gic);
    let (one, other) = (Table::Devices { its: its_base(1) }, Table::Collections { its: its_base(1) });
    match error {
        TableError::SameAddress { one: a, other: b, address: at } => {
            assert!([(one, other), (other, one)].contains(&(a, b)) && at == address, "{error}");
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().ends_with(&format!("are both at {address:#x}")));
    assert!(contents(&memory) == before);
    // And pending tables of two vCPUs.
    let (.., mut gic) = source(Listed::Yes, |_, gic| set_pendbaser(gic, pending(0)));
    assert!(matches!(table_error(&mut gic), TableError::SameAddress { address, .. } if address == pending(0) + 0x400));
}

/// A VM whose memory ends in the middle of a table of 64 KiB, of which it has so many bytes; the second ITS has it in this register.
fn ending(bytes: usize, kind: ShadowKind, baser: u32, then: impl FnOnce(&Vm, &mut Gic)) -> Rig {
    let memory = shared(RAM_BYTES - 0x1_0000 + bytes);
    let (vm, mut gic) = fresh(config(), memory.clone());
    fill(&mut gic);
    fill_its(&vm, &mut gic);
    let table = RAM + RAM_BYTES as u64 - 0x1_0000;
    // With no table, the ITS forgets what is in it.
    for value in [0, 1 << 63 | table] {
        set_its(&mut gic, baser, value);
    }
    then(&vm, &mut gic);
    Rig::over(vm, gic, config(), memory, kind)
}

/// The kernel reads a collection table up to the first entry that is not valid: zero, and memory behind it is nobody's need.
#[test]
fn a_collection_table_that_is_declared_larger_than_memory() {
    let mapc = |icid: u64, target: u64| [0x09, 0, 1 << 63 | target << 16 | icid, 0];
    let in_use = |vm: &Vm, gic: &mut Gic| {
        let gone = [6, 306, 606].map(|device: u64| [0x08 | device << 32, 0, 0, 0]);
        commands(vm, gic, 1, &gone);
        commands(vm, gic, 1, &[mapc(7, 0), mapc(8, 1), mapd(700, 3, area(1) + 0x4_0000), mapti(700, 2, 9000, 7)]);
    };
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        for bytes in [0xc000, 0xf000] {
            let mut rig = ending(bytes, kind, its::GITS_BASER + 8, in_use);
            let flushed = rig.gic.flush_tables().expect("flush");
            let mut state = rig.gic.save(flushed).expect("save");
            let its = &lpis(&mut state).its[1];
            let collections: Vec<_> = its.collections.iter().map(|one| (one.icid, one.target)).collect();
            assert_eq!((collections, its.devices.len()), (vec![(7, Some(0)), (8, Some(1))], 1));
            rig.gic.options_mut().tables = TableStrategy::GuestMemory;
            rig.gic.options_mut().verify_flush = true;
            let verified = rig.gic.flush_tables();
            assert!(verified.is_ok(), "{kind:?}, {bytes:#x}: {verified:?}");
        }
    }
}

/// A device table without a device is read to its end: that is not memory, and nothing was written there.
#[test]
fn an_empty_device_table_that_is_declared_larger_than_memory() {
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        for bytes in [0xc000, 0xf000] {
            let mut rig = ending(bytes, kind, its::GITS_BASER, |_, _| ());
            let Err(Error::Tables(error)) = rig.gic.flush_tables() else { panic!("flushed") };
            let address = RAM + (RAM_BYTES - 0x1_0000 + bytes) as u64;
            assert_eq!(*error, TableError::Outside { table: Table::Devices { its: its_base(1) }, address }, "{kind:?}");
        }
    }
}

/// Memory that does not say where it is.
struct Unknown(Memory);

impl GuestMemoryRead for Unknown {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        GuestMemoryRead::read(&self.0, address, bytes)
    }
}

#[test]
fn a_table_in_memory_of_unknown_extent() {
    for (listed, expected) in [(Listed::No, Err(PLUGGED + 0x400)), (Listed::Yes, Ok(()))] {
        let memory = memory();
        let (vm, mut gic) = fresh(config(), memory.clone());
        fill(&mut gic);
        fill_its(&vm, &mut gic);
        set_pendbaser(&mut gic, PLUGGED);
        let (gic, its, _) = gic.into_parts();
        let memory = Shadowed::new(Unknown(memory), Listing { slots: Slots::new(&vm), listed }, ShadowKind::Zero);
        let mut gic = Gicv3::attach(gic, its, memory, vcpus(config().vcpus)).expect("attach");
        gic.options_mut().tables = TableStrategy::Image;
        vm.clear_trace();
        let flushed = gic.flush_tables().map(|_| ()).map_err(|error| match error {
            Error::Tables(error) => match *error {
                TableError::NoSlot { table: Table::LpiPending { .. }, address } => address,
                other => panic!("{other}"),
            },
            other => panic!("{other}"),
        });
        assert_eq!(flushed, expected);
        assert_eq!(trace(&vm).contains("SAVE"), expected.is_ok(), "{}", trace(&vm));
    }
}
