//! The slots of this machine's own KVM.
//!
//! A guest of Arm's is nowhere needed; one that stores a byte stands for KVM's own writes, and runs on an x86 host.

use super::fake::{LOG, PAGE, READONLY, Region, anonymous, shared};
use kvm_ioctls::{Kvm, VmFd};
use std::sync::Arc;
use vgic_state::kvm::{VmMemslot, VmMemslots};
use vgic_state::shadow::{Backing, Memslots, ShadowError, ShadowKind, ShadowMemory, ShadowStep, ShadowWindow};
use vgic_state::{Errno, GuestMemoryRead, GuestRange, MemoryError};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestMemoryRegionBytes};
use vm_memory::{GuestRegionCollection, MemoryRegionAddress, VolatileSlice};

/// A VM of this machine; without KVM the test says that it was skipped.
fn vm() -> Option<Arc<VmFd>> {
    match Kvm::new().and_then(|kvm| kvm.create_vm()) {
        Ok(vm) => Some(Arc::new(vm)),
        Err(error) => {
            eprintln!("skipped: no VM from /dev/kvm: {error}");
            None
        }
    }
}

fn memory(regions: impl IntoIterator<Item = Region>) -> GuestMemoryMmap<()> {
    GuestMemoryMmap::from_arc_regions(regions.into_iter().collect()).unwrap()
}

const FAR: u64 = 0x100_0000;

#[test]
fn slots_are_created_taken_over_and_given_back() {
    let Some(vm) = vm() else { return };
    let ram = memory([shared(0, 2 * PAGE), anonymous(FAR, PAGE)]);
    let mut slots = VmMemslots::from_memory(&*vm, &ram, 4, LOG).unwrap();
    assert_eq!(slots.list().iter().map(|slot| (slot.slot, slot.flags)).collect::<Vec<_>>(), [(4, LOG), (5, LOG)]);
    // The same slots once more, by another handle; other memory or other addresses are refused.
    assert!(VmMemslots::from_memory(Arc::clone(&vm), &ram, 4, LOG).is_ok());
    assert_eq!(VmMemslots::from_memory(&*vm, &memory([shared(0, 2 * PAGE)]), 4, LOG).err(), Some(Errno::EINVAL));
    assert_eq!(VmMemslots::from_memory(&*vm, &memory([shared(PAGE, PAGE)]), 6, LOG).err(), Some(Errno::EEXIST));

    for extra in [0, PAGE] {
        let window = ShadowWindow::open(&mut slots, ShadowKind::Zero, extra).unwrap();
        assert_eq!(window.extra(), if extra == 0 { GuestRange::new(0, 0) } else { GuestRange::new(FAR + PAGE, PAGE) });
        // KVM has other memory at these addresses, and keeps no log of it.
        assert_eq!(vm.get_dirty_log(4, 2 * PAGE as usize).map_err(|error| error.errno()), Err(Errno::ENOENT.raw()));
        assert_eq!(window.written(), Ok(vec![]));
        assert_eq!(VmMemslots::from_memory(&*vm, &ram, 4, LOG).err(), Some(Errno::EINVAL));
        window.close().unwrap();
        assert!(VmMemslots::from_memory(&*vm, &ram, 4, LOG).is_ok());
    }
    // As it is: nothing can be created twice.
    assert_eq!(slots.create_over_guest(4), Err(Errno::EEXIST));
    assert_eq!(slots.delete(9), Err(Errno::EINVAL));
    assert_eq!(slots.take_dirty_log(9), Err(Errno::EINVAL));
    slots.set_flags(4, 0).unwrap();
    assert_eq!(slots.take_dirty_log(4), Err(Errno::ENOENT));
    let error = ShadowError::NotShared { slot: 5 };
    assert_eq!(ShadowWindow::open(&mut slots, ShadowKind::CopyOnWrite, 0).err(), Some(error));
    // A slot that is gone already.
    slots.delete(5).unwrap();
    let error = ShadowError::Step { step: ShadowStep::DirtyLog, slot: 5, errno: Errno::ENOENT };
    assert_eq!(ShadowWindow::open(&mut slots, ShadowKind::Zero, 0).err(), Some(error));
    slots.create_over_guest(5).unwrap();
    assert!(ShadowWindow::open(&mut slots, ShadowKind::Zero, 0).is_ok());
}

#[test]
fn extra_memory_where_kvm_lets_it_be() {
    let Some(vm) = vm() else { return };
    let mut slots = VmMemslots::from_memory(&*vm, &memory([shared(0, PAGE), anonymous(FAR, PAGE)]), 0, 0).unwrap();
    // Not listed, and in the way of what is behind the second.
    let unlisted = VmMemslots::from_memory(&*vm, &memory([anonymous(FAR + 2 * PAGE, PAGE)]), 2, READONLY);
    if let Err(errno) = unlisted {
        return eprintln!("skipped: no read-only slots: {errno}");
    }
    let extra = |slots: &mut VmMemslots<_>, bytes| ShadowWindow::open(slots, ShadowKind::Zero, bytes).map(|window| window.extra());
    assert_eq!(extra(&mut slots, PAGE), Ok(GuestRange::new(FAR + PAGE, PAGE)));
    assert_eq!(extra(&mut slots, 2 * PAGE), Ok(GuestRange::new(PAGE, 2 * PAGE)));
    let all = FAR - PAGE;
    assert_eq!(extra(&mut slots, all), Ok(GuestRange::new(PAGE, all)));
    assert_eq!(extra(&mut slots, all + 1), Err(ShadowError::NoRoom { bytes: all + 1 }));
}

/// By the promise of the caller, as a VMM with slots of its own has them.
#[test]
#[expect(unsafe_code, reason = "the promise")]
fn slots_of_the_vmm() {
    let Some(vm) = vm() else { return };
    let ram = memory([shared(0, PAGE)]);
    let listed = VmMemslots::from_memory(&*vm, &ram, 0, 0).unwrap();
    let slots = listed.list().into_iter().zip(ram.iter());
    let slots = slots.map(|(memslot, region)| VmMemslot { memslot, userspace_addr: region.as_ptr() as u64 });
    // SAFETY: `listed` has just created the slots so; whatever becomes of it, it keeps their memory mapped.
    let mut slots = unsafe { VmMemslots::new(Arc::clone(&vm), slots) };
    assert!(ShadowWindow::open(&mut slots, ShadowKind::CopyOnWrite, PAGE).is_ok());
    assert!(VmMemslots::from_memory(&*vm, &ram, 0, 0).is_ok());
}

/// Memory that is plugged and unplugged while the VM exists, of a region type of the VMM's own.
#[test]
fn a_slot_is_added_and_removed() {
    let Some(vm) = vm() else { return };
    let ram = GuestRegionCollection::from_regions(vec![Plugged(anonymous(0, PAGE)), Plugged(shared(FAR, PAGE))]).unwrap();
    let backing = |region: &Plugged| Backing::of(&*region.0.get_mmap());
    let mut slots = VmMemslots::from_regions(Arc::clone(&vm), &ram, 0, 0, backing).unwrap();
    let numbers = |slots: &VmMemslots<_>| slots.list().iter().map(|slot| (slot.slot, slot.range.start)).collect::<Vec<_>>();
    assert_eq!(numbers(&slots), [(0, 0), (1, FAR)]);
    assert!(matches!(slots.list()[1].backing, Backing::SharedFile { .. }));

    // Plugged: a shadow has it, too.
    let region = Arc::new(Plugged(shared(2 * FAR, 2 * PAGE)));
    let add = |slots: &mut VmMemslots<_>, slot| slots.add_region(slot, LOG, Arc::clone(&region), Backing::Anonymous);
    assert_eq!(add(&mut slots, 1), Err(Errno::EEXIST), "the number is taken");
    add(&mut slots, 7).unwrap();
    assert_eq!(add(&mut slots, 8), Err(Errno::EEXIST), "the addresses are taken");
    assert_eq!(numbers(&slots), [(0, 0), (1, FAR), (7, 2 * FAR)]);
    let mut window = ShadowWindow::open(&mut slots, ShadowKind::Zero, 0).unwrap();
    assert!(window.write(2 * FAR + PAGE, &[1]).is_ok());
    window.close().unwrap();
    assert_eq!(slots.take_dirty_log(7).map(|log| log.len()), Ok((2 * PAGE as usize / 4096).div_ceil(64)));
    assert_eq!(Arc::strong_count(&region), 2, "kept as long as the VM has the slot");

    // Unplugged: the kernel has no such slot any more, and nothing keeps the memory.
    slots.remove(7).unwrap();
    assert_eq!(slots.remove(7), Err(Errno::EINVAL));
    assert_eq!(numbers(&slots), [(0, 0), (1, FAR)]);
    assert_eq!(Arc::strong_count(&region), 1);
    assert_eq!(vm.get_dirty_log(7, 2 * PAGE as usize).map_err(|error| error.errno()), Err(Errno::ENOENT.raw()));
    // One that is deleted, but not forgotten.
    slots.delete(1).unwrap();
    slots.remove(1).unwrap();
    add(&mut slots, 1).unwrap();

    // Taken over from the VMM, which has it under this number already.
    let before = slots.list().pop().unwrap();
    let vm = slots.into_vm();
    assert_eq!(Arc::strong_count(&region), 2, "the VM has the slot");
    let mut again = VmMemslots::from_regions(&*vm, &GuestRegionCollection::<Plugged>::new(), 0, 0, backing).unwrap();
    again.add_region(1, 0, Arc::clone(&region), Backing::Anonymous).unwrap();
    assert_eq!(again.list()[0].range, before.range);
    // Memory that has no address in this process.
    let absent = Arc::new(Plugged(anonymous(4 * FAR, 0x1000)));
    assert_eq!(again.add_region(9, 0, absent, Backing::Anonymous), Err(Errno::EFAULT));
    assert!(std::ptr::eq(*again.vm(), &*vm));
}

/// A region as a VMM may have it. One of 4 KiB says that it is not plugged.
#[derive(Debug)]
struct Plugged(Region);

impl GuestMemoryRegion for Plugged {
    type B = ();

    fn len(&self) -> u64 {
        GuestMemoryRegion::len(&*self.0)
    }

    fn start_addr(&self) -> GuestAddress {
        self.0.start_addr()
    }

    fn bitmap(&self) {}

    fn get_slice(&self, offset: MemoryRegionAddress, count: usize) -> vm_memory::guest_memory::Result<VolatileSlice<'_>> {
        match GuestMemoryRegion::len(self) {
            0x1000 => Err(vm_memory::GuestMemoryError::HostAddressNotAvailable),
            _ => GuestMemoryRegion::get_slice(&*self.0, offset, count),
        }
    }
}

impl GuestMemoryRegionBytes for Plugged {}

/// The backends read memory of such regions as they read any.
#[test]
fn guest_memory_of_any_region_type() {
    let ram = GuestRegionCollection::from_regions(vec![Plugged(anonymous(0, PAGE)), Plugged(anonymous(FAR, PAGE))]).unwrap();
    vm_memory::Bytes::write_slice(&ram, &[1, 2, 3], GuestAddress(FAR + 5)).unwrap();
    let mut bytes = [0; 3];
    assert_eq!((GuestMemoryRead::read(&ram, FAR + 5, &mut bytes), bytes), (Ok(()), [1, 2, 3]));
    assert_eq!(GuestMemoryRead::read(&ram, FAR + PAGE - 1, &mut bytes), Err(MemoryError::NotMemory));
    let ranges = [0, FAR].map(|start| GuestRange::new(start, PAGE));
    assert_eq!(GuestMemoryRead::ranges(&ram).unwrap(), ranges);
}

/// A VM with a dirty ring has no bitmaps to ask for: nothing is lost, and nothing is merged.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_dirty_ring() {
    use kvm_bindings::{KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, kvm_enable_cap};
    let Some(vm) = vm() else { return };
    let ring = |cap| vm.enable_cap(&kvm_enable_cap { cap, args: [1 << 16, 0, 0, 0], ..kvm_enable_cap::default() });
    if let Err(error) = ring(KVM_CAP_DIRTY_LOG_RING).or_else(|_| ring(KVM_CAP_DIRTY_LOG_RING_ACQ_REL)) {
        return eprintln!("skipped: no dirty ring: {error}");
    }
    let mut slots = VmMemslots::from_memory(&*vm, &memory([shared(0, 2 * PAGE)]), 0, LOG).unwrap();
    assert_eq!(slots.take_dirty_log(0), Err(Errno::ENXIO));
    ShadowWindow::open(&mut slots, ShadowKind::Zero, 0).unwrap().close().unwrap();
    assert_eq!(slots.list()[0].flags, LOG);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use kvm_ioctls::{VcpuExit, VcpuFd};
    use vm_memory::Bytes;

    const CODE: u64 = 0x1000;
    const DATA: u64 = 0x9000;

    /// `mov [0x9000], al; hlt`, in real mode.
    const PROGRAM: [u8; 4] = [0xa2, 0x00, 0x90, 0xf4];

    fn vcpu(vm: &VmFd) -> VcpuFd {
        vm.set_tss_address(0xfffb_d000).unwrap();
        let vcpu = vm.create_vcpu(0).unwrap();
        let mut sregs = vcpu.get_sregs().unwrap();
        (sregs.cs.base, sregs.cs.selector) = (0, 0);
        vcpu.set_sregs(&sregs).unwrap();
        vcpu
    }

    /// The guest stores a byte.
    fn store(vcpu: &mut VcpuFd, byte: u8) {
        let mut regs = vcpu.get_regs().unwrap();
        (regs.rip, regs.rax, regs.rflags) = (CODE, u64::from(byte), 2);
        vcpu.set_regs(&regs).unwrap();
        let exit = vcpu.run().unwrap();
        assert!(matches!(exit, VcpuExit::Hlt), "{exit:?}");
    }

    #[test]
    fn what_is_written_goes_to_the_shadow() {
        for (kind, region) in [(ShadowKind::Zero, anonymous(0, PAGE)), (ShadowKind::CopyOnWrite, shared(0, PAGE))] {
            let Some(vm) = vm() else { return };
            let ram = memory([region]);
            let contents = |address| ram.read_obj::<u8>(GuestAddress(address)).unwrap();
            ram.write_slice(&PROGRAM, GuestAddress(CODE)).unwrap();
            let mut slots = VmMemslots::from_memory(&*vm, &ram, 0, LOG).unwrap();
            let mut vcpu = vcpu(&vm);
            store(&mut vcpu, 0x21);
            assert_eq!(contents(DATA), 0x21);
            // A page of the log that nobody has seen.
            let dirty = 1 << (DATA / 0x1000);

            let mut window = ShadowWindow::open(&mut slots, kind, PAGE).unwrap();
            if kind == ShadowKind::Zero {
                assert!(window.write(CODE, &PROGRAM).is_ok());
            }
            store(&mut vcpu, 0x43);
            let mut byte = [0];
            assert!(window.read(DATA, &mut byte).is_ok());
            assert_eq!((byte, contents(DATA)), ([0x43], 0x21));
            let written = window.written().unwrap();
            assert!(written.contains(&GuestRange::new(DATA, 0x1000)), "{written:?}");
            assert_eq!(written.len(), if kind == ShadowKind::Zero { 2 } else { 1 }, "{written:?}");
            window.close().unwrap();

            // Swapped out and in, the guest goes on with its memory, and no bit of the log is lost.
            assert_eq!(contents(DATA), 0x21);
            assert_eq!(slots.take_dirty_log(0).unwrap()[0] & dirty, dirty);
            assert_eq!(slots.take_dirty_log(0).unwrap()[0] & dirty, 0);
            store(&mut vcpu, 0x65);
            assert_eq!(contents(DATA), 0x65);
            assert_eq!(slots.take_dirty_log(0).unwrap()[0] & dirty, dirty);
        }
    }
}
