//! ITS commands and their queue.
//!
//! Source: Arm IHI 0069, "ITS commands"; the words were written by hand from the bits of the specification.
//!
//! Rule: every field has a value of its own, so that a field in the wrong place shows.

#[path = "common/seeds.rs"]
mod seeds;
#[path = "common/snapshot.rs"]
mod snapshot;

use proptest::prelude::*;
use snapshot::snapshot;
use std::cell::RefCell;
use vgic_state::its::command::{
    CommandQueue, Decoded, ErrorWord, ItsCommand, QueueError, RdBase, UnknownCommand, Unreadable, Version, words,
};
use vgic_state::{GuestMemoryRead, MemoryError};

const VALID: u64 = 1 << 63;
const VERSIONS: [Version; 3] = [Version::V3, Version::V40, Version::V41];

/// Each command, its version and its words.
fn list() -> Vec<(Version, ItsCommand, [u64; 4])> {
    use ItsCommand as C;
    let (device, event, icid, vpe) = (0x8765_4321, 0xfedc_ba98, 0xa5c3, 0xbeef);
    let ids = |opcode: u64| [0x8765_4321_0000_0000 | opcode, 0xfedc_ba98, 0, 0];
    let rdbase = RdBase::address(0x000d_1234_5678_0000);
    let (itt, vpt, vconf) = (0x0009_8765_4321_0f00, 0x0007_6543_210f_0000, 0x0006_0123_4567_0000);
    let (v3, v40, v41) = (Version::V3, Version::V40, Version::V41);
    vec![
        (v3, C::Movi { device, event, icid }, [0x8765_4321_0000_0001, 0xfedc_ba98, 0xa5c3, 0]),
        (v3, C::Int { device, event }, ids(0x03)),
        (v3, C::Clear { device, event }, ids(0x04)),
        (v3, C::Sync { rdbase }, [0x05, 0, 0x000d_1234_5678_0000, 0]),
        (v3, C::Mapd { device, size: 0x15, itt, valid: true }, [0x8765_4321_0000_0008, 0x15, 0x8009_8765_4321_0f00, 0]),
        (v3, C::Mapd { device, size: 0, itt: 0, valid: false }, [0x8765_4321_0000_0008, 0, 0, 0]),
        (v3, C::Mapc { icid, rdbase, valid: true }, [0x09, 0, 0x800d_1234_5678_a5c3, 0]),
        (v3, C::Mapti { device, event, intid: 0x1357_9bdf, icid }, [0x8765_4321_0000_000a, 0x1357_9bdf_fedc_ba98, 0xa5c3, 0]),
        (v3, C::Mapi { device, event, icid }, [0x8765_4321_0000_000b, 0xfedc_ba98, 0xa5c3, 0]),
        (v3, C::Inv { device, event }, ids(0x0c)),
        (v3, C::Invall { icid }, [0x0d, 0, 0xa5c3, 0]),
        (
            v3,
            C::Movall { rdbase1: rdbase, rdbase2: RdBase::number(0x4c3b_2a19) },
            [0x0e, 0, 0x000d_1234_5678_0000, 0x4c3b_2a19_0000],
        ),
        (v3, C::Discard { device, event }, ids(0x0f)),
        (
            v40,
            C::Vmovi { device, event, vpe, has_doorbell: true, doorbell: 0x2468_ace0 },
            [0x8765_4321_0000_0021, 0xbeef_fedc_ba98, 0x2468_ace0_0000_0001, 0],
        ),
        (
            v40,
            C::Vmovp { sequence: 0x7531, its_list: 0x8421, vpe, rdbase },
            [0x7531_0000_0022, 0xbeef_0000_8421, 0x000d_1234_5678_0000, 0],
        ),
        (
            v41,
            C::Vmovp41 { sequence: 0x7531, its_list: 0x8421, vpe, rdbase, has_doorbell: true, doorbell: 0x2468_ace0 },
            [0x7531_0000_0022, 0xbeef_0000_8421, 0x800d_1234_5678_0000, 0x2468_ace0],
        ),
        (
            v41,
            C::Vsgi { enable: true, clear: false, group: true, priority: 0xa, sgi: 0xd, vpe },
            [0x000d_00a0_0523, 0xbeef_0000_0000, 0, 0],
        ),
        (
            v41,
            C::Vsgi { enable: false, clear: true, group: false, priority: 0, sgi: 1, vpe },
            [0x0001_0000_0223, 0xbeef_0000_0000, 0, 0],
        ),
        (v40, C::Vsync { vpe }, [0x25, 0xbeef_0000_0000, 0, 0]),
        (
            v40,
            C::Vmapp { vpe, rdbase, valid: true, vpt, vpt_size: 0x13 },
            [0x29, 0xbeef_0000_0000, 0x800d_1234_5678_0000, 0x0007_6543_210f_0013],
        ),
        (
            v41,
            C::Vmapp41 { alloc: true, ptz: false, vconf, doorbell: 0x2468_ace0, vpe, rdbase, valid: true, vpt, vpt_size: 0x13 },
            [0x0006_0123_4567_0129, 0xbeef_2468_ace0, 0x800d_1234_5678_0000, 0x0007_6543_210f_0013],
        ),
        (
            v41,
            C::Vmapp41 {
                alloc: false,
                ptz: true,
                vconf: 0,
                doorbell: 0,
                vpe,
                rdbase: RdBase::default(),
                valid: false,
                vpt: 0,
                vpt_size: 0,
            },
            [0x229, 0xbeef_0000_0000, 0, 0],
        ),
        (
            v40,
            C::Vmapti { device, event, vpe, intid: 0x1357_9bdf, doorbell: 0x2468_ace0 },
            [0x8765_4321_0000_002a, 0xbeef_fedc_ba98, 0x2468_ace0_1357_9bdf, 0],
        ),
        (v40, C::Vmapi { device, event, vpe, doorbell: 1023 }, [0x8765_4321_0000_002b, 0xbeef_fedc_ba98, 0x3ff_0000_0000, 0]),
        (v40, C::Vinvall { vpe }, [0x2d, 0xbeef_0000_0000, 0, 0]),
        (v41, C::Invdb { vpe }, [0x2e, 0xbeef_0000_0000, 0, 0]),
    ]
}

#[test]
fn words_of_each_command() {
    for (version, command, words) in list() {
        assert_eq!(command.encode(), words, "{command}");
        assert_eq!(ItsCommand::decode(words, version), Ok(Decoded { command, reserved: [0; 4] }));
        assert_eq!(u64::from(command.opcode()), words[0] & 0xff);
    }
}

#[test]
fn text_of_each_command() {
    let text: Vec<String> = list().into_iter().map(|(_, command, _)| format!("{command}\n")).collect();
    snapshot!("its_commands", text.concat());
    let sync = ItsCommand::decode([0x1_0005, 0, 3 << 16, 9], Version::V3).unwrap();
    assert_eq!(sync.to_string(), "SYNC RDbase=0x3 RES0.DW0=0x10000 RES0.DW3=0x9");
}

#[test]
fn opcodes_of_each_version() {
    let has = |version| -> Vec<u8> {
        (0..=0xff).filter(|opcode| ItsCommand::decode([u64::from(*opcode), 0, 0, 0], version).is_ok()).collect()
    };
    let physical = [0x01, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f];
    let v40 = [0x21, 0x22, 0x25, 0x29, 0x2a, 0x2b, 0x2d];
    let v41 = [0x21, 0x22, 0x23, 0x25, 0x29, 0x2a, 0x2b, 0x2d, 0x2e];
    assert_eq!(has(Version::V3), physical);
    assert_eq!(has(Version::V40), [physical.as_slice(), &v40].concat());
    assert_eq!(has(Version::V41), [physical.as_slice(), &v41].concat());
    let unknown = ItsCommand::decode([0x8_0000_0002, 0, 0, 0], Version::V41);
    assert_eq!(unknown, Err(UnknownCommand { opcode: 2 }));
    assert_eq!(unknown.unwrap_err().to_string(), "no ITS command has the opcode 0x02");
}

#[test]
fn the_version_follows_from_gits_typer() {
    assert_eq!(Version::from_typer(0x1_ef71), Version::V3);
    assert_eq!(Version::from_typer(0x3), Version::V40);
    assert_eq!(Version::from_typer(1 << 40 | 0x3), Version::V41);
    assert_eq!(Version::from_typer(1 << 40 | 0x1), Version::V3);
    // The fields of GICv4.1 are reserved before it.
    let (_, _, vmapp) = list().into_iter().find(|(_, command, _)| matches!(command, ItsCommand::Vmapp41 { .. })).unwrap();
    assert_eq!(ItsCommand::decode(vmapp, Version::V40).unwrap().reserved, [0x0006_0123_4567_0100, 0x2468_ace0, 0, 0]);
}

#[test]
fn values_wider_than_their_field_leave_the_others_alone() {
    let mapd = ItsCommand::Mapd { device: 1, size: 0xff, itt: u64::MAX, valid: false };
    assert_eq!(mapd.encode(), [0x1_0000_0008, 0x1f, 0x000f_ffff_ffff_ff00, 0]);
    let vsgi = ItsCommand::Vsgi { enable: false, clear: false, group: false, priority: 0xff, sgi: 0xff, vpe: 0 };
    assert_eq!(vsgi.encode(), [0xf_00f0_0023, 0, 0, 0]);
    assert_eq!(RdBase::address(u64::MAX).to_address(), 0x000f_ffff_ffff_0000);
    assert_eq!(RdBase::address(7 << 16), RdBase::number(7));
}

#[test]
fn error_words() {
    for (number, name) in [
        (0x01_0107, "MOVI_UNMAPPED_INTERRUPT"),
        (0x01_0109, "MOVI_UNMAPPED_COLLECTION"),
        (0x01_0307, "INT_UNMAPPED_INTERRUPT"),
        (0x01_0507, "CLEAR_UNMAPPED_INTERRUPT"),
        (0x01_0801, "MAPD_DEVICE_OOR"),
        (0x01_0802, "MAPD_ITTSIZE_OOR"),
        (0x01_0902, "MAPC_PROCNUM_OOR"),
        (0x01_0903, "MAPC_COLLECTION_OOR"),
        (0x01_0a04, "MAPTI_UNMAPPED_DEVICE"),
        (0x01_0a05, "MAPTI_ID_OOR"),
        (0x01_0a06, "MAPTI_PHYSICALID_OOR"),
        (0x01_0c07, "INV_UNMAPPED_INTERRUPT"),
        (0x01_0d09, "INVALL_UNMAPPED_COLLECTION"),
        (0x01_0e01, "MOVALL_PROCNUM_OOR"),
        (0x01_0f07, "DISCARD_UNMAPPED_INTERRUPT"),
    ] {
        let word = ErrorWord::new((number >> 8) as u8, number as u8);
        assert_eq!((word.get(), word.name(), word.to_string()), (number, Some(name), name.into()));
    }
    let mut sorted = ErrorWord::ALL.to_vec();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), ErrorWord::ALL.len(), "a word has one name");
    assert!(ErrorWord::ALL.iter().all(|word| word.get() >> 16 == 1));
    assert_eq!((ErrorWord::MAPC_PROCNUM_OOR.command(), ErrorWord::MAPC_PROCNUM_OOR.reason()), (9, 2));
}

/// Memory that has one queue, and counts what is read.
struct Queue {
    base: u64,
    bytes: Vec<u8>,
    reads: RefCell<Vec<u64>>,
}

impl GuestMemoryRead for Queue {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.reads.borrow_mut().push(address);
        let Some(at) = address.checked_sub(self.base).and_then(|at| self.bytes.get(at as usize..)?.get(..bytes.len())) else {
            return Err(MemoryError::NotMemory);
        };
        bytes.copy_from_slice(at);
        Ok(())
    }
}

#[test]
fn a_queue_wraps_around() {
    let base = 0x000f_0000_4000_1000;
    let mut memory = Queue { base, bytes: vec![0; 0x2000], reads: RefCell::default() };
    for (offset, words) in [(0x1fc0, [0x0d, 0, 4, 0]), (0x1fe0, [0x55, 0, 0, 0]), (0, [0x0d, 1, 5, 0])] {
        for (at, word) in (offset..).step_by(8).zip(words) {
            memory.bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
        }
    }
    // Cacheability and shareability do not matter; nor do Retry, Stalled and what is reserved.
    let queue = CommandQueue::new(VALID | 7 << 59 | 7 << 53 | base | 3 << 10 | 1, 0x1fc0 | 1, 0x40 | 1 | 1 << 20).unwrap();
    assert_eq!((queue.range().start, queue.range().end), (base, base + 0x2000));
    assert_eq!((queue.len(), queue.is_empty()), (4, false));
    assert_eq!(queue.offsets().collect::<Vec<_>>(), [0x1fc0, 0x1fe0, 0, 0x20]);
    let addresses: Vec<u64> = queue.addresses().collect();
    assert_eq!(addresses, [base + 0x1fc0, base + 0x1fe0, base, base + 0x20]);
    let mut commands = queue.commands(&memory, Version::V3);
    assert!(memory.reads.borrow().is_empty(), "read when its turn comes");
    let first = commands.next().unwrap();
    assert_eq!((first.offset, first.address), (0x1fc0, base + 0x1fc0));
    assert_eq!(first.decoded, Ok(Decoded { command: ItsCommand::Invall { icid: 4 }, reserved: [0; 4] }));
    assert_eq!(commands.next().unwrap().decoded, Err(Unreadable::Unknown(UnknownCommand { opcode: 0x55 })));
    assert_eq!(commands.next().unwrap().decoded.unwrap().reserved, [0, 1, 0, 0]);
    assert_eq!(commands.next().unwrap().decoded, Err(UnknownCommand { opcode: 0 }.into()));
    assert!(commands.next().is_none());
    assert_eq!(*memory.reads.borrow(), addresses);
}

#[test]
fn queues_of_every_length() {
    for pages in [1, 2, 256] {
        let (cbaser, bytes) = (VALID | (pages - 1), pages << 12);
        for (read, write, len) in
            [(0, 0, 0), (0x40, 0x40, 0), (0, bytes - 32, bytes / 32 - 1), (32, 0, bytes / 32 - 1), (bytes - 32, 0, 1)]
        {
            let queue = CommandQueue::new(cbaser, read, write).unwrap();
            assert_eq!((queue.len(), queue.is_empty(), queue.offsets().count() as u64), (len, len == 0, len));
            assert!(queue.offsets().all(|offset| offset < bytes));
        }
    }
    let queue = CommandQueue::new(VALID | 0x1000, 0, 0x20).unwrap();
    let queued = queue.commands(vgic_state::NoGuestMemory, Version::V3).next().unwrap();
    assert_eq!(queued.decoded, Err(Unreadable::NoMemory { address: 0x1000 }));
    assert_eq!(queued.decoded.unwrap_err().to_string(), "no guest memory at 0x1000");
}

#[test]
fn registers_that_describe_no_queue() {
    for (registers, error, text) in [
        ((0x4000_0000, 0, 0), QueueError::NotValid, "GITS_CBASER.Valid is 0: the ITS has no command queue"),
        (
            (VALID, 0x1000, 0),
            QueueError::ReadOutside { offset: 0x1000, bytes: 0x1000 },
            "GITS_CREADR is 0x1000, the command queue has 0x1000 bytes",
        ),
        (
            (VALID | 1, 0, 0xf_ffe0),
            QueueError::WriteOutside { offset: 0xf_ffe0, bytes: 0x2000 },
            "GITS_CWRITER is 0xfffe0, the command queue has 0x2000 bytes",
        ),
    ] {
        let (cbaser, creadr, cwriter) = registers;
        assert_eq!(CommandQueue::new(cbaser, creadr, cwriter), Err(error));
        assert_eq!(error.to_string(), text);
    }
}

/// Words with an opcode of some command more often than not.
fn any_words() -> impl Strategy<Value = [u64; 4]> {
    (any::<[u64; 4]>(), 0_u8..0x30, any::<bool>()).prop_map(|(mut words, opcode, chosen)| {
        if chosen {
            words[0] = words[0] & !0xff | u64::from(opcode);
        }
        words
    })
}

proptest! {
    #![proptest_config(seeds::cases(256))]

    #[test]
    fn decode_and_encode(words in any_words(), version in proptest::sample::select(&VERSIONS)) {
        if let Ok(Decoded { command, reserved }) = ItsCommand::decode(words, version) {
            let encoded = command.encode();
            for n in 0..4 {
                prop_assert_eq!(encoded[n] & reserved[n], 0);
                prop_assert_eq!(encoded[n] | reserved[n], words[n]);
                prop_assert_eq!(encoded[n] & !command.meaningful_bits()[n], 0);
            }
            // A command that was decoded is what its words say.
            prop_assert_eq!(ItsCommand::decode(encoded, version), Ok(Decoded { command, reserved: [0; 4] }));
            prop_assert_eq!(vgic_state::its::command::words(&command.to_bytes()), encoded);
        }
    }
}

#[test]
fn bytes_are_little_endian() {
    let bytes = ItsCommand::Invall { icid: 0x1234 }.to_bytes();
    assert_eq!((bytes[0], &bytes[16..18]), (0x0d, [0x34, 0x12].as_slice()));
    assert_eq!(words(&bytes), [0x0d, 0, 0x1234, 0]);
}
