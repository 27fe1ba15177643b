//! The command queue of a Linux guest: what an operating system does to a forwarder.
//!
//! Source: `tests/golden/qemu`, the queue of Linux 7.3.4; `drivers/irqchip/irq-gic-v3-its.c`, `itt_alloc_pool`: it packs interrupt
//! translation tables of 256 bytes and more into pages.
//!
//! Rule: with the page of the owner's memory as granule, nothing that Linux asks for is refused.

use crate::common::*;
use vgic_state::GuestRange;
use vgic_state::forward::*;
use vgic_state::its::command::{ItsCommand, Version};

/// `GITS_TYPER` of the guest's ITS: entries of 12 bytes, DeviceIDs and EventIDs of 16 bits, processor numbers.
const GITS_TYPER: u64 = 0x1f_0001_efb1;
const QUEUE_BYTES: usize = 0xbc0;
/// The guest's memory.
const MEMORY: &[GuestRange] = &[GuestRange::new(0x4000_0000, 0x1000_0000)];

fn commands() -> Vec<[u8; 32]> {
    include_bytes!("../golden/qemu/linux73-queue.bin")[..QUEUE_BYTES].as_chunks().0.to_vec()
}

fn linux(granule: u64) -> Rig {
    let memory = TableMemory { itts: MEMORY, vpts: &[], vconfs: &[], level2: &[], protected: &[], granule };
    let (limits, targets) = (IdLimits::from_typer(GITS_TYPER), Targets::Processors(2));
    let policy = Policy { limits, targets, memory, on_refusal: OnRefusal::Stall, strict: true, batch: 64 };
    rig_with(policy, TableLevels::Flat(1 << 16), TableLevels::Flat(0), 64, 32)
}

#[test]
fn nothing_is_refused() {
    for granule in [0, 1, 0x1000, 0x1_0000] {
        let mut rig = linux(granule);
        for command in commands() {
            let words = vgic_state::its::command::words(&command);
            assert_eq!(rig.passes(words), Ok(words), "granule {granule:#x}");
            rig.drain();
        }
        // 14 devices, the last of which has 128 events and 1.5 KiB of ITT.
        let itts: Vec<GuestRange> = rig.forwarder.live().map(|(range, _)| range).collect();
        assert_eq!(itts.len(), 14);
        assert!((1..14).all(|n| itts[n].start & !0xfff == 0x4402_b000 || n == 13));
        assert_eq!(itts[13], GuestRange::new(0x4439_6000, 128 * 12));
        // A page, or a byte, is handed over once.
        let taken = rig.events().iter().filter(|event| event.starts_with("take")).count();
        assert_eq!(taken, if granule > 1 { 2 } else { 14 });
        for device in [0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x50, 0xa00, 0xa08, 0xa10, 0xa18, 0x300] {
            assert_eq!(
                rig.pages.owned.len(),
                if granule > 1 { if device == 0x300 { 1 } else { 2 } } else { rig.forwarder.live().count() }
            );
            rig.run(ItsCommand::Mapd { device, size: 0, itt: 0, valid: false });
        }
        assert!(rig.pages.owned.is_empty());
    }
}

#[test]
fn the_queue_is_that_of_linux() {
    let decoded: Vec<ItsCommand> = commands().iter().map(decoded).collect();
    let devices = decoded.iter().filter(|command| matches!(command, ItsCommand::Mapd { .. })).count();
    let events = decoded.iter().filter(|command| matches!(command, ItsCommand::Mapti { .. })).count();
    assert_eq!((decoded.len(), devices, events), (94, 14, 17));
    assert_eq!(Version::from_typer(GITS_TYPER), Version::V3);
}
