//! Tables in the image: the mappings of the ITSes and their LPIs as a part of the state.
//!
//! Rule: guest memory is compared as a whole; a slot that is touched is counted.

mod check;
mod failures;
mod findings;
mod image;
mod inaccessible;
mod options;
mod round_trip;
mod slots;
mod unreadable;

use crate::common::{Config, Memory, RAM, RAM_BYTES, fill, fill_its, fresh};
use std::fs::OpenOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use vgic_state::TableStrategy;
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::its::LpiState;
use vgic_state::model::gicv3::{Device, Slots, Vm};
use vgic_state::shadow::{Memslot, Memslots, ShadowKind, ShadowRegion, Shadowed};
use vgic_state::{DynInterruptState, Errno, InterruptState};
use vm_memory::{Bytes, FileOffset, GuestAddress};

pub(crate) type Gic = Gicv3<Device, Shadowed<Memory, Watched>>;

/// Counts what is done to slots.
#[derive(Debug)]
pub(crate) struct Watched {
    slots: Slots,
    touched: Arc<AtomicU32>,
}

impl Memslots for Watched {
    fn list(&self) -> Vec<Memslot> {
        self.slots.list()
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        self.touched.fetch_add(1, Ordering::Relaxed);
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

/// Guest memory that is a shared mapping of a file: it can have a shadow of either kind.
pub(crate) fn shared_memory() -> Memory {
    shared(RAM_BYTES)
}

pub(crate) fn shared(bytes: usize) -> Memory {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("vgic-state-lpis-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("file");
    std::fs::remove_file(path).expect("file");
    file.set_len(bytes as u64).expect("file");
    Memory::from_ranges_with_files([(GuestAddress(RAM), bytes, Some(FileOffset::new(file, 0)))]).expect("memory")
}

pub(crate) fn contents(memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; RAM_BYTES];
    memory.read_slice(&mut bytes, GuestAddress(RAM)).expect("memory");
    bytes
}

pub(crate) fn copy(memory: &Memory) -> Memory {
    let copy = shared_memory();
    copy.write_slice(&contents(memory), GuestAddress(RAM)).expect("memory");
    copy
}

/// Words that are anything but zero.
pub(crate) fn garbage(memory: &Memory, start: u64, bytes: u64) {
    let mut seed = 0x9e37_79b9_7f4a_7c15 ^ start;
    let words = (0..bytes / 8).flat_map(|_| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    });
    memory.write_slice(&words.collect::<Vec<u8>>(), GuestAddress(start)).expect("memory");
}

/// A VM whose guest memory can be diverted, and is to be: tables go into the image.
pub(crate) struct Rig {
    pub(crate) vm: Vm,
    pub(crate) gic: Gic,
    pub(crate) memory: Memory,
    touched: Arc<AtomicU32>,
}

impl Rig {
    pub(crate) fn new(config: Config, memory: Memory, kind: ShadowKind) -> Self {
        let (vm, gic) = fresh(config, memory.clone());
        Rig::over(vm, gic, config, memory, kind)
    }

    fn over(vm: Vm, gic: crate::common::Gic, config: Config, memory: Memory, kind: ShadowKind) -> Self {
        let (gic, its, _) = gic.into_parts();
        let touched = Arc::new(AtomicU32::new(0));
        let slots = Watched { slots: Slots::new(&vm), touched: Arc::clone(&touched) };
        let shadowed = Shadowed::new(memory.clone(), slots, kind);
        let mut gic = Gicv3::attach(gic, its, shadowed, crate::common::vcpus(config.vcpus)).expect("attach");
        gic.options_mut().tables = TableStrategy::Image;
        vm.clear_trace();
        vm.clear_written();
        Rig { vm, gic, memory, touched }
    }

    /// With something in every register, and ITSes in use.
    pub(crate) fn filled(config: Config, kind: ShadowKind) -> Self {
        Rig::filled_then(config, kind, |_, _| ())
    }

    pub(crate) fn filled_then(config: Config, kind: ShadowKind, then: impl FnOnce(&Vm, &mut crate::common::Gic)) -> Self {
        let memory = shared_memory();
        let (vm, mut gic) = fresh(config, memory.clone());
        fill(&mut gic);
        fill_its(&vm, &mut gic);
        then(&vm, &mut gic);
        Rig::over(vm, gic, config, memory, kind)
    }

    pub(crate) fn flush_and_save(&mut self) -> Gicv3State {
        let flushed = self.gic.flush_tables().expect("flush");
        assert_eq!(flushed.written(), []);
        self.gic.save(flushed).expect("save")
    }

    /// How often a slot was touched.
    pub(crate) fn touched(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }
}

pub(crate) fn config() -> Config {
    Config { its: 2, ..Config::default() }
}

/// A state of [`config`] with tables in it, and guest memory.
pub(crate) fn saved() -> (Gicv3State, Memory) {
    let mut rig = Rig::filled(config(), ShadowKind::Zero);
    (rig.flush_and_save(), rig.memory.clone())
}

pub(crate) fn lpis(state: &mut Gicv3State) -> &mut LpiState {
    state.lpis.as_mut().expect("LPIs")
}

/// More commands for an ITS that has some in its queue.
pub(crate) fn commands(vm: &Vm, gic: &mut crate::common::Gic, n: usize, commands: &[[u64; 4]]) {
    use vgic_state::uapi::vgic_v3::its::GITS_CWRITER;
    use vgic_state::{Attr, AttrDevice};
    let device = &mut gic.its_mut()[n];
    let cwriter = AttrDevice::get(device, Attr::its(GITS_CWRITER)).expect("GITS_CWRITER");
    for (at, word) in (crate::common::area(n) + cwriter..).step_by(8).zip(commands.as_flattened()) {
        vm.memory().write_obj(*word, GuestAddress(at)).expect("memory");
    }
    vm.clear_commands();
    device.set(Attr::its(GITS_CWRITER), cwriter + commands.len() as u64 * 32).expect("GITS_CWRITER");
    assert!(vm.commands().iter().all(|command| command.result.is_ok()), "{:?}", vm.commands());
}

pub(crate) fn mapd(device: u64, event_bits: u64, itt: u64) -> [u64; 4] {
    [0x08 | device << 32, event_bits - 1, 1 << 63 | itt, 0]
}

pub(crate) fn mapti(device: u64, event: u64, intid: u64, icid: u64) -> [u64; 4] {
    [0x0a | device << 32, intid << 32 | event, icid, 0]
}
