//! The slots of a VM, as KVM has them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use vgic_state::shadow::{Backing, Memslot, Memslots, ShadowRegion};
use vgic_state::{Errno, GuestRange};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

/// No page of a host is larger.
pub(crate) const PAGE: u64 = 64 << 10;
pub(crate) const LOG: u32 = 1;
pub(crate) const READONLY: u32 = 2;

pub(crate) type Region = Arc<GuestRegionMmap<()>>;

/// A clone is the same VM.
#[derive(Clone)]
pub(crate) struct Fake(Rc<RefCell<State>>);

struct State {
    listed: Vec<(Memslot, Region)>,
    /// Slots that exist: number, flags and memory. Memory stays mapped as long as it is here.
    kernel: BTreeMap<u32, (u32, Region)>,
    /// A slot that the VMM does not list is here.
    unlisted: Option<GuestRange>,
    address_space_end: u64,
    operations: Vec<String>,
    /// Which operations fail, counted from 0.
    fail: BTreeSet<usize>,
    fail_with: Errno,
    bitmaps: bool,
    logs: BTreeMap<u32, Vec<u64>>,
}

/// Slots as they can be compared: number, flags, address of the guest, address and size of the memory.
pub(crate) type Slots = Vec<(u32, u32, u64, u64, u64)>;

impl Fake {
    pub(crate) fn new(slots: impl IntoIterator<Item = (u32, u32, Region)>) -> Self {
        let slots: Vec<_> = slots.into_iter().collect();
        let listed = slots.iter().map(|(slot, flags, region)| {
            let range = GuestRange::new(region.start_addr().0, region.len());
            (Memslot::new(*slot, *flags, range, Backing::of(region)), Arc::clone(region))
        });
        Fake(Rc::new(RefCell::new(State {
            listed: listed.collect(),
            kernel: slots.iter().map(|(slot, flags, region)| (*slot, (*flags, Arc::clone(region)))).collect(),
            unlisted: None,
            address_space_end: 1 << 40,
            operations: Vec::new(),
            fail: BTreeSet::new(),
            fail_with: Errno::ENOMEM,
            bitmaps: true,
            logs: slots.iter().map(|(slot, ..)| (*slot, vec![u64::from(*slot) + 1])).collect(),
        })))
    }

    /// A hole, slots that touch, one that is read-only, two that log.
    pub(crate) fn usual() -> Self {
        Fake::new([
            (7, LOG, shared(0x10_0000, 4 * PAGE)),
            (3, 0, shared(0x10_0000 + 4 * PAGE, 2 * PAGE)),
            (1, READONLY, shared(0x40_0000, PAGE)),
            (2, LOG, shared(0x80_0000, 8 * PAGE)),
        ])
    }

    pub(crate) fn fail(&self, operations: impl IntoIterator<Item = usize>, errno: Errno) {
        let mut state = self.0.borrow_mut();
        state.fail = operations.into_iter().collect();
        state.fail_with = errno;
    }

    pub(crate) fn set_unlisted(&self, range: GuestRange) {
        self.0.borrow_mut().unlisted = Some(range);
    }

    pub(crate) fn set_address_space_end(&self, end: u64) {
        self.0.borrow_mut().address_space_end = end;
    }

    pub(crate) fn use_no_bitmaps(&self) {
        self.0.borrow_mut().bitmaps = false;
    }

    pub(crate) fn set_listed(&self, change: impl FnOnce(&mut Vec<Memslot>)) {
        let mut state = self.0.borrow_mut();
        let mut slots: Vec<_> = state.listed.iter().map(|(slot, _)| slot.clone()).collect();
        change(&mut slots);
        let region = Arc::clone(&state.listed[0].1);
        state.listed = slots.into_iter().map(|slot| (slot, Arc::clone(&region))).collect();
    }

    pub(crate) fn operations(&self) -> Vec<String> {
        self.0.borrow().operations.clone()
    }

    pub(crate) fn slots(&self) -> Slots {
        let state = self.0.borrow();
        let slot = |(slot, (flags, region)): (&u32, &(u32, Region))| {
            (*slot, *flags, region.start_addr().0, region.as_ptr() as u64, region.len())
        };
        state.kernel.iter().map(slot).collect()
    }

    pub(crate) fn logs(&self) -> BTreeMap<u32, Vec<u64>> {
        self.0.borrow().logs.clone()
    }

    /// What a slot is over.
    pub(crate) fn over(&self, slot: u32) -> Region {
        Arc::clone(&self.0.borrow().kernel[&slot].1)
    }

    fn memory(&self) -> GuestMemoryMmap<()> {
        let mut regions: Vec<_> = self.0.borrow().kernel.values().map(|(_, region)| Arc::clone(region)).collect();
        regions.sort_by_key(|region| region.start_addr());
        GuestMemoryMmap::from_arc_regions(regions).unwrap()
    }

    /// `kvm_write_guest`.
    pub(crate) fn kernel_writes(&self, address: u64, bytes: &[u8]) {
        self.memory().write_slice(bytes, GuestAddress(address)).unwrap();
    }

    /// `kvm_read_guest`.
    pub(crate) fn kernel_reads(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory().read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    pub(crate) fn guest_memory(&self) -> Vec<Vec<u8>> {
        let contents = |(_, region): &(Memslot, Region)| {
            let mut bytes = vec![0; region.size()];
            region.read_slice(&mut bytes, vm_memory::MemoryRegionAddress(0)).unwrap();
            bytes
        };
        self.0.borrow().listed.iter().map(contents).collect()
    }

    fn operation(&self, name: String) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        let index = state.operations.len();
        state.operations.push(name);
        if state.fail.contains(&index) { Err(state.fail_with) } else { Ok(()) }
    }

    fn create(&self, slot: u32, flags: u32, region: &Region) -> Result<(), Errno> {
        let mut state = self.0.borrow_mut();
        let range = |region: &Region| GuestRange::new(region.start_addr().0, region.len());
        let new = range(region);
        let taken = state.kernel.values().map(|(_, region)| range(region)).chain(state.unlisted);
        if taken.into_iter().any(|taken| taken.start < new.end && new.start < taken.end) {
            return Err(Errno::EEXIST);
        }
        if new.end > state.address_space_end {
            return Err(Errno::EFAULT);
        }
        let before = state.kernel.insert(slot, (flags, Arc::clone(region)));
        assert!(before.is_none(), "slot {slot} exists");
        Ok(())
    }
}

impl Memslots for Fake {
    fn list(&self) -> Vec<Memslot> {
        self.0.borrow().listed.iter().map(|(slot, _)| slot.clone()).collect()
    }

    fn delete(&mut self, slot: u32) -> Result<(), Errno> {
        self.operation(format!("delete {slot}"))?;
        self.0.borrow_mut().kernel.remove(&slot).map(drop).ok_or(Errno::EINVAL)
    }

    fn create_over_shadow(&mut self, slot: u32, shadow: &ShadowRegion) -> Result<(), Errno> {
        self.operation(format!("shadow {slot} {:#x}", shadow.len()))?;
        assert_eq!(shadow.host_address(), shadow.region().as_ptr() as u64);
        self.create(slot, 0, shadow.region())
    }

    fn create_over_guest(&mut self, slot: u32) -> Result<(), Errno> {
        self.operation(format!("guest {slot}"))?;
        let listed = self.0.borrow().listed.iter().find(|(listed, _)| listed.slot == slot).cloned();
        let (listed, region) = listed.ok_or(Errno::EINVAL)?;
        self.create(slot, listed.flags, &region)
    }

    fn dirty_log(&mut self, slot: u32) -> Result<Option<Vec<u64>>, Errno> {
        self.operation(format!("log {slot}"))?;
        let mut state = self.0.borrow_mut();
        Ok(if state.bitmaps { state.logs.remove(&slot) } else { None })
    }

    fn merge_dirty_log(&mut self, slot: u32, bitmap: Vec<u64>) {
        let before = self.0.borrow_mut().logs.insert(slot, bitmap);
        assert!(before.is_none(), "merged twice");
    }
}

/// A file of so many bytes, without a name.
pub(crate) fn file(length: u64) -> Arc<File> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("vgic-state-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let directory = Some("/dev/shm").filter(|path| std::path::Path::new(path).is_dir()).map_or_else(std::env::temp_dir, Into::into);
    let path = directory.join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.set_len(length).unwrap();
    Arc::new(file)
}

/// A shared mapping of a file, filled.
pub(crate) fn shared(start: u64, length: u64) -> Region {
    filled(GuestRegionMmap::from_range(GuestAddress(start), length as usize, Some(FileOffset::from_arc(file(length), 0))).unwrap())
}

/// Anonymous memory, filled.
pub(crate) fn anonymous(start: u64, length: u64) -> Region {
    filled(GuestRegionMmap::from_range(GuestAddress(start), length as usize, None).unwrap())
}

/// Each page is filled with a number of its own.
fn filled(region: GuestRegionMmap<()>) -> Region {
    let page = PAGE as usize;
    for index in 0..region.size().div_ceil(page) {
        let length = page.min(region.size() - index * page);
        region
            .write_slice(&vec![(index as u8).wrapping_add(0x11); length], vm_memory::MemoryRegionAddress((index * page) as u64))
            .unwrap();
    }
    Arc::new(region)
}
