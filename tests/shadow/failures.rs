//! Whatever fails, and whenever: the slots afterwards.

use super::fake::{Fake, Slots};
use std::panic::{AssertUnwindSafe, catch_unwind};
use vgic_state::shadow::{ShadowError, ShadowKind, ShadowMemory, ShadowStep, ShadowWindow, Shadowed};
use vgic_state::{Errno, GuestMemoryRead, NoGuestMemory};

const ERRNO: Errno = Errno::ENOMEM;

/// With and without extra memory: that many operations, in this order.
const USUAL: [&str; 14] = [
    "log 7",
    "log 2",
    "delete 7",
    "shadow 7 0x40000",
    "delete 3",
    "shadow 3 0x20000",
    "delete 2",
    "shadow 2 0x80000",
    "delete 2",
    "guest 2",
    "delete 3",
    "guest 3",
    "delete 7",
    "guest 7",
];
const EXTRA: [&str; 14] = [
    "log 7",
    "log 2",
    "delete 2",
    "shadow 2 0x90000",
    "delete 7",
    "shadow 7 0x40000",
    "delete 3",
    "shadow 3 0x20000",
    "delete 2",
    "guest 2",
    "delete 3",
    "guest 3",
    "delete 7",
    "guest 7",
];
/// Of those, how many are those of opening.
const OPENING: usize = 8;

fn open_and_close(vm: &mut Fake, kind: ShadowKind, extra: u64) -> Result<(), ShadowError> {
    let handle = vm.clone();
    let window = ShadowWindow::open(vm, kind, extra)?;
    assert_eq!(handle.operations().len(), OPENING);
    handle.kernel_writes(0x80_0000, &[0xee; 4096]);
    window.close()
}

fn cases() -> impl Iterator<Item = (ShadowKind, u64, [&'static str; 14])> {
    let kinds = [ShadowKind::Zero, ShadowKind::CopyOnWrite];
    kinds.into_iter().flat_map(|kind| [(kind, 0, USUAL), (kind, 0x1_0000, EXTRA)])
}

fn step_of(operation: &str) -> (ShadowStep, u32) {
    let mut words = operation.split(' ');
    let step = match words.next().unwrap() {
        "log" => ShadowStep::DirtyLog,
        "delete" => ShadowStep::Delete,
        _ => ShadowStep::Create,
    };
    (step, words.next().unwrap().parse().unwrap())
}

#[test]
fn without_a_failure() {
    for (kind, extra, expected) in cases() {
        let mut vm = Fake::usual();
        let (slots, memory, logs) = (vm.slots(), vm.guest_memory(), vm.logs());
        assert_eq!(open_and_close(&mut vm, kind, extra), Ok(()));
        assert_eq!(vm.operations(), expected);
        assert_eq!((vm.slots(), vm.guest_memory(), vm.logs()), (slots, memory, logs));
    }
}

#[test]
fn one_operation_fails() {
    for (kind, extra, expected) in cases() {
        for (n, operation) in expected.iter().enumerate() {
            let mut vm = Fake::usual();
            let (slots, memory, logs) = (vm.slots(), vm.guest_memory(), vm.logs());
            vm.fail([n], ERRNO);
            let (step, slot) = step_of(operation);
            let result = open_and_close(&mut vm, kind, extra);
            assert_eq!((vm.guest_memory(), vm.logs()), (memory, logs), "{n}: {}", operation);
            if n < OPENING {
                assert_eq!(result, Err(ShadowError::Step { step, slot, errno: ERRNO }));
                assert_eq!(vm.slots(), slots, "{n}: {}", operation);
            } else {
                assert_eq!(result, Err(ShadowError::Lost { step, slot, errno: ERRNO }));
                let others = |slots: Slots| slots.into_iter().filter(|other| other.0 != slot).collect::<Slots>();
                assert_eq!(others(vm.slots()), others(slots), "{n}: {}", operation);
            }
        }
    }
}

/// All from one on.
#[test]
fn nothing_can_be_put_back() {
    for (kind, extra, expected) in cases() {
        for (n, operation) in expected.iter().enumerate() {
            let mut vm = Fake::usual();
            let slots = vm.slots();
            vm.fail(n..100, ERRNO);
            let result = open_and_close(&mut vm, kind, extra);
            match result {
                // Nothing had changed.
                Err(ShadowError::Step { errno: ERRNO, .. }) => {
                    assert!(n <= 2, "{n}: {}", operation);
                    assert_eq!(vm.slots(), slots);
                }
                Err(ShadowError::Lost { errno: ERRNO, .. }) => assert!(n > 2 && vm.slots() != slots, "{n}: {}", operation),
                other => panic!("{n}: {other:?}"),
            }
        }
    }
}

/// The kernel may write to it at any time.
#[test]
fn the_shadow_of_a_lost_slot_stays_mapped() {
    for kind in [ShadowKind::Zero, ShadowKind::CopyOnWrite] {
        let mut vm = Fake::usual();
        vm.fail([OPENING], ERRNO);
        let error = ShadowError::Lost { step: ShadowStep::Delete, slot: 2, errno: ERRNO };
        assert_eq!(open_and_close(&mut vm, kind, 0), Err(error));
        assert_eq!(
            error.to_string(),
            "slot 2: the guest's memory could not be put back, deleting it: ENOMEM; the VM must be thrown away"
        );
        // The stub has one reference, and this is another: a third one is leaked.
        assert_eq!(std::sync::Arc::strong_count(&vm.over(2)), 3);
        assert_eq!(vm.kernel_reads(0x80_0000, 2), [0xee; 2]);
    }
}

#[test]
fn a_panic_puts_everything_back() {
    for (kind, extra, expected) in cases() {
        let mut vm = Fake::usual();
        let (slots, memory, logs, handle) = (vm.slots(), vm.guest_memory(), vm.logs(), vm.clone());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _window = ShadowWindow::open(&mut vm, kind, extra).unwrap();
            handle.kernel_writes(0x80_0000, &[0xee; 4096]);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(vm.operations(), expected);
        assert_eq!((vm.slots(), vm.guest_memory(), vm.logs()), (slots, memory, logs));
    }
}

#[test]
fn a_dirty_ring_has_no_log_to_merge() {
    let mut vm = Fake::usual();
    vm.use_no_bitmaps();
    let logs = vm.logs();
    assert_eq!(open_and_close(&mut vm, ShadowKind::Zero, 0), Ok(()));
    assert_eq!(vm.logs(), logs);
}

fn divert(vm: &Fake, work: &mut dyn FnMut(&mut dyn ShadowMemory)) -> Result<(), ShadowError> {
    let mut memory = Shadowed::new(NoGuestMemory, vm.clone(), ShadowKind::Zero);
    memory.divert().expect("it can be diverted").divert(0x1_0000, work)
}

#[test]
fn what_a_diversion_returns() {
    let vm = Fake::usual();
    let slots = vm.slots();
    let mut worked = 0;
    let diverted = divert(&vm, &mut |shadow| {
        assert!(shadow.write(0x80_0000, &[1; 3]).is_ok() && shadow.is_zeroed());
        assert_eq!(vm.kernel_reads(0x80_0000, 4), [1, 1, 1, 0]);
        worked += 1;
    });
    assert_eq!((diverted, worked), (Ok(()), 1));
    assert_eq!(vm.slots(), slots);
    // No work if it cannot be diverted.
    let vm = Fake::usual();
    let slots = vm.slots();
    vm.fail([3], ERRNO);
    let error = ShadowError::Step { step: ShadowStep::Create, slot: 2, errno: ERRNO };
    assert_eq!(divert(&vm, &mut |_| panic!("not called")), Err(error));
    assert_eq!(vm.slots(), slots);
    // A slot that is lost is said, whatever became of the work.
    let vm = Fake::usual();
    vm.fail([OPENING + 1], ERRNO);
    let error = ShadowError::Lost { step: ShadowStep::Create, slot: 2, errno: ERRNO };
    assert_eq!(divert(&vm, &mut |_| ()), Err(error));
}
