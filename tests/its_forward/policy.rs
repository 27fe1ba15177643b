//! Ranges of IDs, targets and numbers.

use crate::common::*;
use vgic_state::GuestRange;
use vgic_state::forward::*;
use vgic_state::its::command::{ItsCommand as C, RdBase, Version};

/// A device 3 with 32 events.
fn mapped() -> Rig {
    let mut rig = v3();
    rig.run(mapd(3, 4, RAM + 0x400));
    rig
}

fn rd(number: u32) -> RdBase {
    RdBase::number(number)
}

#[test]
fn what_is_allowed_is_passed_on_as_it_is() {
    let mut rig = mapped();
    for command in [
        mapd(999, 7, RAM + 0x1000),
        C::Mapc { icid: 6, rdbase: rd(4), valid: true },
        C::Mapc { icid: 6, rdbase: rd(0), valid: false },
        C::Mapti { device: 3, event: 31, intid: 8192, icid: 6 },
        C::Mapti { device: 3, event: 0, intid: 32767, icid: 0 },
        C::Movi { device: 3, event: 31, icid: 6 },
        C::Int { device: 3, event: 31 },
        C::Clear { device: 3, event: 31 },
        C::Inv { device: 3, event: 31 },
        C::Discard { device: 3, event: 31 },
        C::Invall { icid: 6 },
        C::Movall { rdbase1: rd(4), rdbase2: rd(0) },
        sync(4),
        unmapd(3),
    ] {
        rig.run(command);
    }
    // MAPI: events that are LPIs.
    let mut policy = policy(Version::V3);
    policy.limits.event_bits = 15;
    let mut rig = self::rig(policy);
    rig.run(mapd(3, 14, RAM));
    rig.run(C::Mapi { device: 3, event: 8192, icid: 6 });
}

#[test]
fn what_is_out_of_range_is_refused() {
    use CommandRefusal as R;
    let mut rig = mapped();
    for (command, refusal, word) in [
        (mapd(1000, 4, RAM), R::DeviceOutOfRange, "MAPD_DEVICE_OOR"),
        (mapd(1024, 4, RAM), R::DeviceOutOfRange, "MAPD_DEVICE_OOR"),
        (unmapd(u32::MAX), R::DeviceOutOfRange, "MAPD_DEVICE_OOR"),
        (mapd(4, 8, RAM), R::EventOutOfRange, "MAPD_ITTSIZE_OOR"),
        (C::Mapc { icid: 7, rdbase: rd(4), valid: true }, R::CollectionOutOfRange, "MAPC_COLLECTION_OOR"),
        (C::Mapc { icid: 7, rdbase: rd(4), valid: false }, R::CollectionOutOfRange, "MAPC_COLLECTION_OOR"),
        (C::Mapc { icid: 6, rdbase: rd(5), valid: true }, R::Target, "MAPC_PROCNUM_OOR"),
        (C::Mapti { device: 1024, event: 0, intid: 8192, icid: 0 }, R::DeviceOutOfRange, "MAPTI_DEVICE_OOR"),
        (C::Mapti { device: 4, event: 0, intid: 8192, icid: 0 }, R::UnmappedDevice, "MAPTI_UNMAPPED_DEVICE"),
        (C::Mapti { device: 3, event: 32, intid: 8192, icid: 0 }, R::EventOutOfRange, "MAPTI_ID_OOR"),
        (C::Mapti { device: 3, event: 0, intid: 8191, icid: 0 }, R::IntidOutOfRange, "MAPTI_PHYSICALID_OOR"),
        (C::Mapti { device: 3, event: 0, intid: 32768, icid: 0 }, R::IntidOutOfRange, "MAPTI_PHYSICALID_OOR"),
        (C::Mapti { device: 3, event: 0, intid: 8192, icid: 7 }, R::CollectionOutOfRange, "MAPTI_COLLECTION_OOR"),
        (C::Mapi { device: 3, event: 32, icid: 0 }, R::EventOutOfRange, "MAPI_ID_OOR"),
        (C::Mapi { device: 4, event: 3, icid: 0 }, R::UnmappedDevice, "MAPI_UNMAPPED_DEVICE"),
        (C::Mapi { device: 3, event: 3, icid: 7 }, R::CollectionOutOfRange, "MAPI_COLLECTION_OOR"),
        (C::Mapi { device: 3, event: 3, icid: 0 }, R::IntidOutOfRange, "MAPI_PHYSICALID_OOR"),
        (C::Movi { device: 4, event: 3, icid: 0 }, R::UnmappedDevice, "MOVI_UNMAPPED_DEVICE"),
        (C::Movi { device: 3, event: 32, icid: 0 }, R::EventOutOfRange, "MOVI_ID_OOR"),
        (C::Movi { device: 3, event: 3, icid: 7 }, R::CollectionOutOfRange, "MOVI_COLLECTION_OOR"),
        (C::Int { device: 1024, event: 3 }, R::DeviceOutOfRange, "INT_DEVICE_OOR"),
        (C::Int { device: 3, event: 32 }, R::EventOutOfRange, "INT_ID_OOR"),
        (C::Clear { device: 4, event: 3 }, R::UnmappedDevice, "CLEAR_UNMAPPED_DEVICE"),
        (C::Clear { device: 3, event: 32 }, R::EventOutOfRange, "CLEAR_ID_OOR"),
        (C::Inv { device: 4, event: 3 }, R::UnmappedDevice, "INV_UNMAPPED_DEVICE"),
        (C::Discard { device: 3, event: 32 }, R::EventOutOfRange, "DISCARD_ID_OOR"),
        (C::Invall { icid: 7 }, R::CollectionOutOfRange, "INVALL_COLLECTION_OOR"),
        (C::Movall { rdbase1: rd(5), rdbase2: rd(0) }, R::Target, "MOVALL_PROCNUM_OOR"),
        (C::Movall { rdbase1: rd(0), rdbase2: rd(5) }, R::Target, "MOVALL_PROCNUM_OOR"),
        (sync(5), R::Target, "SYNC_PROCNUM_OOR"),
    ] {
        assert_eq!(rig.refuses(command), (refusal, word.into()), "{command}");
    }
    // A device that was unmapped has no events, even before the ITS knows.
    rig.passes(unmapd(3).encode()).unwrap();
    assert_eq!(rig.refuses(C::Int { device: 3, event: 1 }).0, R::UnmappedDevice);
}

#[test]
fn targets_by_address() {
    let mut policy = policy(Version::V3);
    policy.targets = Targets::Addresses(&[0x4_0800_0000, 0x4_0802_0000]);
    let mut rig = rig(policy);
    let mapc = |address| C::Mapc { icid: 1, rdbase: RdBase::address(address), valid: true };
    rig.run(mapc(0x4_0802_0000));
    for address in [0, 0x4_0801_0000, 0xf_0004_0800_0000] {
        assert_eq!(rig.refuses(mapc(address)), (CommandRefusal::Target, "MAPC_PROCNUM_OOR".into()));
    }
}

#[test]
fn what_is_ignored_is_not_passed_on() {
    let mut rig = mapped();
    let words = |dw0: u64, dw1, dw2, dw3| [dw0, dw1, dw2, dw3];
    // Reserved bits, and fields that V = 0 makes meaningless.
    assert_eq!(rig.passes(words(0xff05, 7, 3 << 16 | 5, 9)), Ok([5, 0, 3 << 16, 0]));
    assert_eq!(rig.passes(words(0x09, 0, 0xffff << 16 | 2, 0)), Ok([9, 0, 2, 0]));
    assert_eq!(rig.passes(words(3 << 32 | 8, 0x1f, RAM, 0)), Ok([3 << 32 | 8, 0, 0, 0]));
    assert_eq!(rig.passes(words(0x21, 0, 0, 0)).unwrap_err().0, CommandRefusal::Unknown, "GICv4");
    let (refusal, word) = rig.passes(words(0x4_0000_0002, 0, 0, 0)).unwrap_err();
    assert_eq!((refusal, word.get(), word.to_string()), (CommandRefusal::Unknown, 0x01_0200, "0x010200".into()));
    assert_eq!(rig.pages.refused.last().unwrap().command, None);

    let mut policy = policy(Version::V3);
    policy.strict = true;
    let mut rig = self::rig(policy);
    rig.run(sync(3));
    let (refusal, word) = rig.passes(words(0x05, 0, 3 << 16 | 1, 0)).unwrap_err();
    assert_eq!((refusal, word.get()), (CommandRefusal::Reserved, 0x01_0500));
    assert_eq!(rig.pages.refused.last().unwrap().command, Some(sync(3)));
    // An ITT address that is no multiple of 256.
    assert_eq!(rig.passes(words(3 << 32 | 8, 1, 1 << 63 | RAM | 0x80, 0)).unwrap_err().0, CommandRefusal::Reserved);
}

#[test]
fn limits_of_an_its() {
    let limits = IdLimits::from_typer(0x1_ef71);
    assert_eq!((limits.version, limits.itt_entry_bytes, limits.device_bits, limits.event_bits), (Version::V3, 8, 16, 16));
    assert_eq!((limits.collections, limits.its_list), (1 << 16, Some(ItsList { number: 0, all: 1 })));
    // CIL: 12 bits of ICID; VMOVP for one ITS; GICv4.1; entries of 16 bytes, 20 bits of DeviceID, 11 of EventID.
    let limits = IdLimits::from_typer(1 << 40 | 1 << 37 | 1 << 36 | 11 << 32 | 19 << 13 | 10 << 8 | 15 << 4 | 3);
    assert_eq!((limits.version, limits.itt_entry_bytes, limits.device_bits, limits.event_bits), (Version::V41, 16, 20, 11));
    assert_eq!((limits.collections, limits.its_list, limits.vpes), (1 << 12, None, 1 << 16));
}

#[test]
fn setups_that_no_its_has() {
    let good = policy(Version::V41);
    let new = |policy, queue, bytes| {
        let storage =
            Storage { queue: leak([0; 4], queue), live: &mut [], devices: TableLevels::Flat(0), vpes: TableLevels::Flat(0) };
        Forwarder::new(policy, storage, bytes).err()
    };
    assert_eq!(new(good, 2, 64), None);
    assert_eq!(new(good, 32768, 1 << 20), None);
    for bytes in [0, 32, 0x1010, (1 << 20) + 32] {
        assert_eq!(new(good, 2, bytes), Some(SetupError::UntrustedQueue));
    }
    for queue in [0, 1, 32769] {
        assert_eq!(new(good, queue, 64), Some(SetupError::TrustedQueue));
    }
    let limits = [
        IdLimits { device_bits: 0, ..good.limits },
        IdLimits { event_bits: 33, ..good.limits },
        IdLimits { intid_bits: 13, ..good.limits },
        IdLimits { itt_entry_bytes: 17, ..good.limits },
        IdLimits { its_list: Some(ItsList { number: 16, all: 1 }), ..good.limits },
    ];
    for limits in limits {
        assert_eq!(new(Policy { limits, ..good }, 2, 64), Some(SetupError::Limits));
    }
    let memory = TableMemory { granule: 0x1800, ..good.memory };
    assert_eq!(new(Policy { memory, ..good }, 2, 64), Some(SetupError::Granule));
    // Nothing is allowed, and there is no room.
    let memory = TableMemory { itts: &[], ..good.memory };
    let mut rig = rig(Policy { memory, ..good });
    assert_eq!(rig.refuses(mapd(1, 0, RAM)), (CommandRefusal::Memory, "MAPD_ITTSIZE_OOR".into()));
    assert_eq!(GuestRange::new(0, 1), GuestRange { start: 0, end: 1 });
}
