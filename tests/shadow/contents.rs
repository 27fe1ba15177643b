//! What shadow memory reads as, and which pages were written.

use super::fake::{Fake, LOG, PAGE, anonymous, file, shared};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use vgic_state::shadow::{Backing, Memslot, Memslots, ShadowKind, ShadowMemory, ShadowWindow};
use vgic_state::{GuestMemoryRead, GuestRange, MemoryError};
use vm_memory::{FileOffset, GuestAddress, GuestRegionMmap};

const RAM: u64 = 0x10_0000;

fn range(start: u64, end: u64) -> GuestRange {
    GuestRange { start, end }
}

fn read(memory: &impl GuestMemoryRead, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0xcc; length];
    memory.read(address, &mut bytes).ok().map(|()| bytes)
}

/// Ranges of data, as a reader finds them.
fn data(window: &ShadowWindow<'_, Fake>, mut within: GuestRange) -> Vec<GuestRange> {
    let mut found = Vec::new();
    while let Some(data) = window.data(within) {
        assert!(data.start >= within.start && data.start < data.end && data.end <= within.end);
        within.start = data.end;
        found.push(data);
    }
    found
}

#[test]
fn zeros_and_what_was_written() {
    for vm in [Fake::usual(), Fake::new([(4, LOG, anonymous(RAM, 2 * PAGE)), (5, 0, anonymous(RAM + 2 * PAGE, 4 * PAGE))])] {
        let (before, mut slots) = (vm.guest_memory(), vm.clone());
        let mut window = ShadowWindow::open(&mut slots, ShadowKind::Zero, 0).unwrap();
        assert!(window.is_zeroed());
        assert_eq!(window.written(), Ok(vec![]));
        assert_eq!((window.written(), window.data(range(0, u64::MAX))), (Ok(vec![]), None));

        // Across the border of two slots, by the kernel and by the VMM; each sees what the other wrote.
        let border = RAM + 2 * PAGE;
        vm.kernel_writes(border - 2, &[1, 2, 3]);
        assert!(window.write(border - 3, &[7]).is_ok() && window.write(border, &[8, 9]).is_ok());
        assert_eq!(read(&window, border - 4, 7), Some(vec![0, 7, 1, 2, 8, 9, 0]));
        assert_eq!(vm.kernel_reads(border - 4, 7), [0, 7, 1, 2, 8, 9, 0]);
        let written = window.written().unwrap();
        assert_eq!(written.len(), 1);
        assert!(written[0].start < border && written[0].end > border && written[0].end - written[0].start <= 2 * PAGE);
        assert_eq!(window.data(range(0, u64::MAX)).unwrap().start, written[0].start);
        assert_eq!(data(&window, range(border - 1, border + 1)).iter().map(|data| data.end - data.start).sum::<u64>(), 2);
        assert_eq!(window.data(range(border + PAGE, border + 2 * PAGE)), None);

        // Parts of pages are cleared, too, and no page comes into being by it.
        assert_eq!(window.clear(range(border - 2, border + 1)), Ok(true));
        assert_eq!(read(&window, border - 4, 7), Some(vec![0, 7, 0, 0, 0, 9, 0]));
        assert_eq!(window.clear(range(RAM, RAM + 6 * PAGE)), Ok(true));
        assert_eq!((window.written(), vm.kernel_reads(border - 4, 7)), (Ok(written), vec![0; 7]));
        assert_eq!(read(&window, RAM, 6 * PAGE as usize), Some(vec![0; 6 * PAGE as usize]));

        window.close().unwrap();
        assert_eq!(vm.guest_memory(), before);
    }
}

#[test]
fn what_is_no_memory() {
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        let mut vm = Fake::usual();
        let mut window = ShadowWindow::open(&mut vm, kind, 0).unwrap();
        let end = RAM + 6 * PAGE;
        for address in [0, RAM - 1, end - 1, end, u64::MAX, u64::MAX - 1] {
            assert_eq!(read(&window, address, 2), None, "{address:#x}");
            assert!(window.write(address, &[0; 2]) == Err(MemoryError::NotMemory), "{address:#x}");
            assert!(window.clear(range(address, address.saturating_add(2))) == Ok(false) || address == u64::MAX, "{address:#x}");
            assert_eq!(read(&window, address, 0), Some(vec![]));
        }
        assert_eq!(window.data(range(end, 0x80_0000)), None);
        // The read-only slot is as it was.
        assert_eq!(read(&window, 0x40_0000, 1), None);
        assert_eq!(window.data(range(0x40_0000, 0x40_0001)), None);
    }
}

#[test]
fn the_read_only_slot_is_left_alone() {
    let mut vm = Fake::usual();
    let (handle, own) = (vm.clone(), vm.over(1).as_ptr());
    let window = ShadowWindow::open(&mut vm, ShadowKind::Zero, 0).unwrap();
    assert_eq!(handle.over(1).as_ptr(), own);
    assert_eq!(handle.kernel_reads(0x40_0000, 1), [0x11]);
    window.close().unwrap();
}

#[test]
fn the_guests_memory_and_what_was_written() {
    let mut vm = Fake::usual();
    let (handle, before) = (vm.clone(), vm.guest_memory());
    let mut window = ShadowWindow::open(&mut vm, ShadowKind::CopyOnWrite, PAGE).unwrap();
    assert!(!window.is_zeroed());
    assert_eq!(window.extra(), GuestRange::new(0x80_0000 + 8 * PAGE, PAGE));
    let border = RAM + 4 * PAGE;
    assert_eq!(read(&window, border - 2, 4), Some(vec![0x14, 0x14, 0x11, 0x11]));
    assert_eq!(window.written(), Ok(vec![]));
    handle.kernel_writes(border - 1, &[1, 2]);
    assert!(window.write(0x80_0000 + 5 * PAGE, &[3]).is_ok() && window.write(window.extra().start, &[4]).is_ok());
    assert_eq!(read(&window, border - 2, 4), Some(vec![0x14, 1, 2, 0x11]));
    let written = window.written().unwrap();
    assert_eq!(written.len(), 3, "{written:?}");
    assert!(written[0].start < border && border < written[0].end);
    assert_eq!((written[1].start, written[2].start), (0x80_0000 + 5 * PAGE, window.extra().start));
    // All of it may be something.
    assert_eq!(window.data(range(0, u64::MAX)), Some(range(RAM, border)));
    assert_eq!(window.clear(range(border - 1, border + 1)), Ok(true));
    assert_eq!(read(&window, border - 2, 4), Some(vec![0x14, 0, 0, 0x11]));
    window.close().unwrap();
    assert_eq!(handle.guest_memory(), before);
}

/// A guest cannot make the VMM use memory without end.
#[test]
fn copy_on_write_clears_64_mib_in_all() {
    const MIB: u64 = 1 << 20;
    let mut vm = Fake::new([(0, 0, shared(0, 128 * MIB))]);
    let mut window = ShadowWindow::open(&mut vm, ShadowKind::CopyOnWrite, 0).unwrap();
    assert_eq!(window.clear(range(0, 64 * MIB + 1)), Ok(false));
    assert_eq!(window.written(), Ok(vec![]));
    assert_eq!(window.clear(range(0, MIB)), Ok(true));
    assert_eq!(window.clear(range(0, 63 * MIB + 1)), Ok(false));
    assert_eq!(window.written(), Ok(vec![range(0, MIB)]));
    drop(window);
    let mut window = ShadowWindow::open(&mut vm, ShadowKind::Zero, 0).unwrap();
    assert_eq!(window.clear(range(0, 128 * MIB)), Ok(true));
    assert_eq!(window.written(), Ok(vec![]));
}

/// 64 GiB of which the guest has used nothing.
#[test]
fn a_large_sparse_slot_costs_what_is_written() {
    const GIB: u64 = 1 << 30;
    let guest = file(64 * GIB);
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        let region = GuestRegionMmap::from_range(GuestAddress(GIB), 64 << 30, Some(FileOffset::from_arc(Arc::clone(&guest), 0)));
        let mut vm = Fake::new([(0, 0, Arc::new(region.unwrap()))]);
        let handle = vm.clone();
        let mut window = ShadowWindow::open(&mut vm, kind, PAGE).unwrap();
        let pages: Vec<u64> = (0..100).map(|index| GIB + index * (GIB / 2) + 3 * PAGE).collect();
        for page in &pages {
            handle.kernel_writes(*page, &[1; 8]);
        }
        let written = window.written().unwrap();
        assert_eq!(written.iter().map(|range| range.start).collect::<Vec<_>>(), pages);
        assert!(written.iter().all(|range| range.end - range.start <= PAGE));
        if kind == ShadowKind::Zero {
            assert_eq!(data(&window, range(0, u64::MAX)), written);
            assert_eq!(window.clear(range(GIB, 65 * GIB)), Ok(true));
            assert_eq!((window.written().unwrap(), handle.kernel_reads(pages[99], 8)), (written, vec![0; 8]));
        }
        window.close().unwrap();
        if kind == ShadowKind::Zero {
            assert_eq!(guest.metadata().unwrap().blocks(), 0);
        }
    }
}

/// Two slots of one file, and neither begins where the file does: an extra memory behind the first is not the second's.
#[test]
fn slots_of_one_file() {
    let ram = file(8 * PAGE);
    ram.write_all_at(&[0x55; PAGE as usize], 2 * PAGE).unwrap();
    ram.write_all_at(&[0x66; PAGE as usize], 3 * PAGE).unwrap();
    let slot = |start, offset| {
        Arc::new(
            GuestRegionMmap::from_range(GuestAddress(start), PAGE as usize, Some(FileOffset::from_arc(Arc::clone(&ram), offset)))
                .unwrap(),
        )
    };
    let mut vm = Fake::new([(0, 0, slot(RAM, 2 * PAGE)), (1, 0, slot(RAM + 4 * PAGE, 3 * PAGE))]);
    assert!(matches!(vm.list()[1], Memslot { backing: Backing::SharedFile { offset, .. }, .. } if offset == 3 * PAGE));
    vm.set_address_space_end(RAM + 5 * PAGE);
    let window = ShadowWindow::open(&mut vm, ShadowKind::CopyOnWrite, PAGE).unwrap();
    assert_eq!(window.extra(), GuestRange::new(RAM + PAGE, PAGE));
    assert_eq!(read(&window, RAM + PAGE - 1, 2), Some(vec![0x55, 0]));
    assert_eq!(read(&window, RAM + 4 * PAGE, 1), Some(vec![0x66]));
}
