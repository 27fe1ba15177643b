//! Both queues: fetches, wrap-around, back-pressure, stalls.

use crate::common::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use vgic_state::forward::*;
use vgic_state::its::command::Version;
use vgic_state::{GuestMemoryRead, MemoryError};

#[test]
fn a_command_is_fetched_once() {
    let mut rig = v3();
    // After its fetch, each command is one that would be refused, were it looked at again.
    let evil = mapd(3, 7, RAM + 0xf0_0000);
    rig.host.afterwards = Some(evil.to_bytes());
    let commands = [mapd(3, 4, RAM), sync(1), unmapd(3), mapd(5, 7, RAM + 0x800)];
    for command in commands {
        rig.put(command.encode());
    }
    let progress = rig.go();
    assert_eq!(progress, Progress { stop: Stop::Done, passed: 4, refused: 0 });
    assert_eq!(rig.host.fetched, [0, 32, 64, 96]);
    assert_eq!(rig.forwarder.queue()[..4], commands.map(|command| command.encode()));
    assert!(rig.host.queue[..4].iter().all(|bytes| decoded(bytes) == evil));
    // Nothing new, nothing fetched.
    assert_eq!(rig.go(), Progress { stop: Stop::Done, passed: 0, refused: 0 });
    assert_eq!(rig.host.fetched.len(), 4);
}

#[test]
fn both_queues_wrap_around() {
    let mut rig = v3();
    let mut expected = VecDeque::new();
    // 16 places in one queue, 128 in the other; bursts of a length that divides neither.
    for n in 0..100_u32 {
        for m in 0..7 {
            rig.put(sync((n + m) % 5).encode());
            expected.push_back(sync((n + m) % 5).encode());
        }
        assert_eq!(rig.go(), Progress { stop: Stop::Done, passed: 7, refused: 0 });
        let from = u64::from(n) * 7;
        for m in 0..7 {
            assert_eq!(rig.forwarder.queue()[(from + m) as usize % 16], expected.pop_front().unwrap());
        }
        assert_eq!(rig.forwarder.cwriter(), (from + 7) % 16 * 32);
        assert_eq!(rig.forwarder.creadr(), from % 128 * 32, "not executed");
        rig.drain();
        assert_eq!(rig.forwarder.creadr(), rig.cwriter);
    }
    assert!(rig.host.fetched.iter().enumerate().all(|(n, offset)| *offset == n as u64 % 128 * 32));
}

#[test]
fn a_writer_outside_of_the_queue_fetches_nothing() {
    let mut rig = v3();
    rig.put(sync(1).encode());
    for cwriter in [0x1000, 0x1020, 0xf_ffe0, 0xf_ffe1] {
        let progress = rig.forwarder.forward(cwriter, &mut rig.host, &mut rig.pages);
        assert_eq!(progress, Progress { stop: Stop::WriterOutside { offset: cwriter & !1 }, passed: 0, refused: 0 });
    }
    assert!(rig.host.fetched.is_empty());
    assert_eq!((rig.forwarder.creadr(), rig.forwarder.cwriter()), (0, 0));
    assert_eq!(rig.go().stop, Stop::Done);
}

#[test]
fn a_full_queue_stops_and_goes_on() {
    let mut rig = v3();
    for n in 0..40 {
        rig.put(sync(n % 5).encode());
    }
    // One of 16 places stays empty.
    assert_eq!(rig.go(), Progress { stop: Stop::Full, passed: 15, refused: 0 });
    assert_eq!(rig.go(), Progress { stop: Stop::Full, passed: 0, refused: 0 });
    assert_eq!((rig.host.fetched.len(), rig.forwarder.cwriter(), rig.forwarder.creadr()), (15, 15 * 32, 0));
    rig.forwarder.retire(4 * 32, &mut rig.pages).unwrap();
    assert_eq!(rig.forwarder.creadr(), 0, "behind, never ahead");
    assert_eq!(rig.go(), Progress { stop: Stop::Full, passed: 4, refused: 0 });
    assert_eq!(rig.forwarder.cwriter(), 3 * 32);
    rig.forwarder.retire(15 * 32, &mut rig.pages).unwrap();
    assert_eq!(rig.forwarder.creadr(), 15 * 32);
    for (passed, stop, creadr) in [(11, Stop::Full, 19), (10, Stop::Done, 30)] {
        assert_eq!(rig.go(), Progress { stop, passed, refused: 0 });
        assert!(rig.forwarder.creadr() <= creadr * 32);
        rig.drain();
    }
    assert_eq!((rig.host.fetched.len(), rig.forwarder.creadr()), (40, 40 * 32));
}

#[test]
fn only_what_was_passed_on_can_be_executed() {
    let mut rig = v3();
    assert_eq!(rig.forwarder.retire(0x20, &mut rig.pages), Err(NotPassedOn { creadr: 0x20 }));
    for n in 0..3 {
        rig.put(sync(n).encode());
    }
    rig.go();
    for creadr in [0x80, 0x1e0, 0x200, 0xf_ffe0] {
        assert_eq!(rig.forwarder.retire(creadr, &mut rig.pages), Err(NotPassedOn { creadr }));
    }
    rig.forwarder.retire(0x40, &mut rig.pages).unwrap();
    assert_eq!(rig.forwarder.retire(0x20, &mut rig.pages), Err(NotPassedOn { creadr: 0x20 }), "never back");
    rig.forwarder.retire(0x60, &mut rig.pages).unwrap();
    assert_eq!(rig.forwarder.creadr(), 0x60);
}

#[test]
fn a_refused_command_stalls_the_queue() {
    let mut rig = rig(Policy { on_refusal: OnRefusal::Stall, ..policy(Version::V3) });
    for command in [sync(1), sync(5), sync(2)] {
        rig.put(command.encode());
    }
    let progress = rig.go();
    let Stop::Stalled(refused) = progress.stop else { panic!("{progress:?}") };
    assert_eq!((progress.passed, progress.refused), (1, 1));
    assert_eq!((refused.offset, refused.refusal, refused.command), (32, CommandRefusal::Target, Some(sync(5))));
    assert_eq!(refused.word().to_string(), "SYNC_PROCNUM_OOR");
    assert_eq!(rig.forwarder.creadr(), 0, "one command before it is not executed");
    rig.drain();
    assert_eq!(rig.forwarder.creadr(), 0x20 | 1, "Stalled");
    // Without Retry, nothing is fetched.
    assert_eq!(rig.go(), Progress { stop: progress.stop, passed: 0, refused: 0 });
    assert_eq!(rig.host.fetched, [0, 32]);
    // With it, the command is judged again: first as it was, then corrected.
    rig.cwriter |= 1;
    assert_eq!(rig.go().stop, progress.stop);
    rig.host.queue[1] = sync(3).to_bytes();
    assert_eq!(rig.go(), Progress { stop: Stop::Done, passed: 2, refused: 0 });
    assert_eq!(rig.host.fetched, [0, 32, 32, 32, 64]);
    rig.drain();
    assert_eq!(rig.forwarder.creadr(), 0x60);
}

#[test]
fn a_refused_command_is_skipped() {
    let mut rig = v3();
    for command in [sync(1), sync(5), sync(6), sync(2)] {
        rig.put(command.encode());
    }
    assert_eq!(rig.go(), Progress { stop: Stop::Done, passed: 2, refused: 2 });
    assert_eq!(rig.forwarder.queue()[..2], [sync(1), sync(2)].map(|command| command.encode()));
    assert_eq!(rig.pages.refused.iter().map(|refused| refused.offset).collect::<Vec<_>>(), [32, 64]);
    rig.forwarder.retire(0x20, &mut rig.pages).unwrap();
    assert_eq!(rig.forwarder.creadr(), 0);
    rig.drain();
    assert_eq!(rig.forwarder.creadr(), 0x80);
}

#[test]
fn a_batch_is_bounded() {
    let mut rig = rig(Policy { batch: 3, ..policy(Version::V3) });
    for n in 0..7 {
        rig.put(sync(n).encode());
    }
    assert_eq!(rig.go(), Progress { stop: Stop::Batch, passed: 3, refused: 0 });
    assert_eq!(rig.go(), Progress { stop: Stop::Batch, passed: 2, refused: 1 });
    assert_eq!(rig.go(), Progress { stop: Stop::Done, passed: 0, refused: 1 });
}

/// Commands that can be read at some addresses.
struct Memory(RefCell<Vec<u64>>);

impl GuestMemoryRead for Memory {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.0.borrow_mut().push(address);
        bytes.fill(0);
        bytes[0] = 5;
        if address < 0x4000_1020 { Ok(()) } else { Err(MemoryError::NotMemory) }
    }
}

#[test]
fn a_queue_without_memory() {
    let mut rig = v3();
    let mut from =
        UntrustedMemory { memory: Memory(RefCell::default()), queue: 0x4000_1000, devices: Some(0x4000_0100), vpes: None };
    for _ in 0..2 {
        let progress = rig.forwarder.forward(0x60, &mut from, &mut rig.pages);
        assert_eq!(progress.stop, Stop::Unreadable { offset: 0x20 });
    }
    assert_eq!(rig.forwarder.cwriter(), 0x20);
    assert_eq!(*from.memory.0.borrow(), [0x4000_1000, 0x4000_1020, 0x4000_1020]);
    assert_eq!((from.level1(IdTable::Devices, 3), from.level1(IdTable::Vpes, 3)), (Some(5), None));
    assert_eq!(from.memory.0.borrow().last(), Some(&0x4000_0118));
    from.queue = u64::MAX;
    assert_eq!(from.fetch(32), None);
}

#[test]
fn a_reset_begins_again() {
    let mut rig = v3();
    rig.run(mapd(3, 4, RAM));
    rig.passes(unmapd(3).encode()).unwrap();
    rig.passes(mapd(4, 4, RAM + 0x1000).encode()).unwrap();
    rig.forwarder.reset(&mut rig.pages);
    assert!(rig.pages.owned.is_empty());
    assert_eq!((rig.forwarder.creadr(), rig.forwarder.cwriter(), rig.forwarder.live().count()), (0, 0, 0));
    rig.cwriter = 0;
    rig.run(mapd(4, 4, RAM));
}
