//! Extra memory: where it is, and what is in its way.

use super::fake::{Fake, LOG, PAGE, anonymous, shared};
use vgic_state::shadow::{ShadowError, ShadowKind, ShadowMemory, ShadowWindow};
use vgic_state::{Errno, GuestMemoryRead, GuestRange, MemoryError};

const EXTRA: u64 = 2 * PAGE;

fn open(vm: &mut Fake, extra: u64) -> Result<GuestRange, ShadowError> {
    let slots = vm.slots();
    let result = ShadowWindow::open(vm, ShadowKind::Zero, extra).map(|window| window.extra());
    assert_eq!(vm.slots(), slots);
    result
}

#[test]
fn behind_the_highest_slot_that_has_room() {
    let mut vm = Fake::usual();
    assert_eq!(open(&mut vm, 0), Ok(GuestRange::new(0, 0)));
    assert_eq!(open(&mut vm, EXTRA), Ok(GuestRange::new(0x80_0000 + 8 * PAGE, EXTRA)));
    assert_eq!(open(&mut vm, 1), Ok(GuestRange::new(0x80_0000 + 8 * PAGE, PAGE)));
    // Up to the next slot and no further: the read-only slot counts, and cannot be the one.
    vm.set_address_space_end(0x80_0000 + 8 * PAGE);
    let gap = 0x40_0000 - 0x10_0000 - 6 * PAGE;
    assert_eq!(open(&mut vm, gap), Ok(GuestRange::new(0x10_0000 + 6 * PAGE, gap)));
    let before = vm.operations().len();
    assert_eq!(open(&mut vm, gap + 1), Err(ShadowError::NoRoom { bytes: gap + 1 }));
    // Nothing is tried where a listed slot is in the way.
    assert_eq!(vm.operations()[before..], ["log 7", "log 2", "delete 2", "shadow 2 0x330000", "guest 2"]);
    assert_eq!(open(&mut vm, u64::MAX), Err(ShadowError::NoRoom { bytes: u64::MAX }));
}

#[test]
fn a_slot_that_nobody_listed_is_in_the_way() {
    let mut vm = Fake::usual();
    vm.set_unlisted(GuestRange::new(0x80_0000 + 9 * PAGE, PAGE));
    let before = vm.operations().len();
    assert_eq!(open(&mut vm, EXTRA), Ok(GuestRange::new(0x10_0000 + 6 * PAGE, EXTRA)));
    let tried = vm.operations();
    let expected = ["log 7", "log 2", "delete 2", "shadow 2 0xa0000", "guest 2", "delete 3", "shadow 3 0x40000", "delete 7"];
    assert_eq!(tried[before..before + expected.len()], expected);
    // One page of 64 KiB is free.
    assert_eq!(open(&mut vm, PAGE), Ok(GuestRange::new(0x80_0000 + 8 * PAGE, PAGE)));
}

#[test]
fn one_that_was_tried_can_be_lost() {
    let mut vm = Fake::usual();
    vm.set_unlisted(GuestRange::new(0x80_0000 + 9 * PAGE, PAGE));
    vm.fail([4], Errno::ENOMEM);
    let error = ShadowError::Lost { step: vgic_state::shadow::ShadowStep::Create, slot: 2, errno: Errno::ENOMEM };
    assert_eq!(ShadowWindow::open(&mut vm, ShadowKind::Zero, EXTRA).err(), Some(error));
    assert_eq!(vm.slots().len(), 3);
    assert_eq!(vm.logs().len(), 4);
}

/// Aligned to 64 KiB, whatever the slot is; the bytes between are memory as well.
#[test]
fn behind_a_slot_that_ends_anywhere() {
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        let mut vm = Fake::new([(0, LOG, shared(0x1000, 0x3000))]);
        let handle = vm.clone();
        let mut window = ShadowWindow::open(&mut vm, kind, PAGE).unwrap();
        assert_eq!(window.extra(), GuestRange::new(PAGE, PAGE));
        handle.kernel_writes(2 * PAGE - 4, &[9; 4]);
        assert!(window.write(PAGE, &[1, 2, 3]).is_ok());
        assert_eq!(handle.kernel_reads(PAGE, 4), [1, 2, 3, 0]);
        assert_eq!(handle.kernel_reads(0x3ffe, 4), if kind == ShadowKind::Zero { [0; 4] } else { [0x11, 0x11, 0, 0] });
        let mut bytes = [1; 4];
        assert!(window.read(2 * PAGE - 4, &mut bytes).is_ok() && bytes == [9; 4]);
        assert_eq!(window.read(2 * PAGE - 3, &mut bytes), Err(MemoryError::NotMemory));
        assert!(window.clear(window.extra()) == Ok(true) && window.read(2 * PAGE - 4, &mut bytes).is_ok() && bytes == [0; 4]);
    }
}

#[test]
fn below_what_a_base_register_can_hold() {
    let top = 1 << 48;
    let mut vm = Fake::new([(0, 0, anonymous(top - PAGE, PAGE))]);
    vm.set_address_space_end(u64::MAX);
    assert_eq!(open(&mut vm, PAGE), Err(ShadowError::NoRoom { bytes: PAGE }));
    let mut vm = Fake::new([(0, 0, anonymous(top - 2 * PAGE, PAGE))]);
    vm.set_address_space_end(u64::MAX);
    assert_eq!(open(&mut vm, PAGE), Ok(GuestRange::new(top - PAGE, PAGE)));
}
