//! What cannot be shadowed is refused by its name, before anything is done.

use super::fake::{Fake, PAGE, Region, anonymous, file, shared};
use std::fs::File;
use std::sync::Arc;
use vgic_state::shadow::{Backing, Memslot, ShadowError, ShadowKind, ShadowStep, ShadowWindow};
use vgic_state::{Errno, GuestRange};
use vm_memory::{FileOffset, GuestAddress, GuestRegionMmap, MmapRegion};

fn refused(mut vm: Fake, kind: ShadowKind) -> ShadowError {
    let slots = vm.slots();
    let error = ShadowWindow::open(&mut vm, kind, 0).expect_err("it is refused");
    assert!(vm.operations().is_empty());
    assert_eq!(vm.slots(), slots);
    error
}

fn listed(change: impl FnOnce(&mut Vec<Memslot>)) -> Fake {
    let vm = Fake::usual();
    vm.set_listed(change);
    vm
}

#[test]
fn slots_that_no_vm_has() {
    type Change = fn(&mut Vec<Memslot>);
    let changes: [(u32, Change); 6] = [
        (3, |slots| slots[2].slot = 3),
        (3, |slots| slots[1].range.start -= PAGE),
        (7, |slots| slots[0].range = GuestRange { start: PAGE, end: PAGE }),
        (7, |slots| slots[0].range = GuestRange { start: 2 * PAGE, end: PAGE }),
        (7, |slots| slots[0].range.start += 1),
        (2, |slots| slots[3].range.end -= 1),
    ];
    for (slot, change) in changes {
        assert_eq!(refused(listed(change), ShadowKind::Zero), ShadowError::Slots { slot });
    }
}

/// A slot of `guest_memfd` cannot be put back.
#[test]
fn flags_that_cannot_be_put_back() {
    let error = refused(listed(|slots| slots[3].flags |= 4), ShadowKind::Zero);
    assert_eq!(error, ShadowError::Flags { slot: 2, flags: 5 });
}

#[test]
fn no_slots_at_all() {
    let mut vm = Fake::new([]);
    assert!(ShadowWindow::open(&mut vm, ShadowKind::Zero, 0).is_ok());
    assert_eq!(ShadowWindow::open(&mut vm, ShadowKind::Zero, 1).err(), Some(ShadowError::NoRoom { bytes: 1 }));
}

fn private() -> Region {
    let at = FileOffset::from_arc(file(PAGE), 0);
    let mapping = MmapRegion::build(Some(at), PAGE as usize, 3, 2).unwrap();
    Arc::new(GuestRegionMmap::new(mapping, GuestAddress(0)).unwrap())
}

#[test]
fn memory_that_cannot_be_copied_on_write() {
    for region in [private(), anonymous(0, PAGE)] {
        let vm = Fake::new([(5, 0, region), (6, 0, shared(2 * PAGE, PAGE))]);
        assert_eq!(refused(vm.clone(), ShadowKind::CopyOnWrite), ShadowError::NotShared { slot: 5 });
        assert!(ShadowWindow::open(&mut vm.clone(), ShadowKind::Zero, 0).is_ok());
    }
    // Not a regular file.
    let device = Backing::SharedFile { file: Arc::new(File::open("/dev/zero").unwrap()), offset: 0 };
    let vm = listed(|slots| slots[0].backing = device);
    assert_eq!(refused(vm, ShadowKind::CopyOnWrite), ShadowError::NotShared { slot: 7 });
}

/// Touching what is behind the end of the file would kill the VMM.
#[test]
fn a_file_that_is_shorter_than_the_slot() {
    for offset in [1, u64::MAX] {
        let vm = listed(|slots| slots[0].backing = Backing::SharedFile { file: file(4 * PAGE), offset });
        let error = ShadowError::Step { step: ShadowStep::Map, slot: 7, errno: Errno::EINVAL };
        assert_eq!(refused(vm, ShadowKind::CopyOnWrite), error);
    }
}

#[test]
fn huge_pages() {
    let Some(file) = huge_file() else { return eprintln!("skipped: this kernel has no files of huge pages") };
    let vm = listed(|slots| slots[0].backing = Backing::SharedFile { file: Arc::new(file), offset: 0 });
    assert_eq!(refused(vm, ShadowKind::CopyOnWrite), ShadowError::HugePages { slot: 7 });
}

#[expect(unsafe_code, reason = "std has no memfd_create")]
fn huge_file() -> Option<File> {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"huge".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_HUGETLB) };
    // SAFETY: nobody else has the descriptor.
    (fd >= 0).then(|| File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}
