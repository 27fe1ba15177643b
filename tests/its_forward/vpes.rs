//! vPEs: GICv4.0 and GICv4.1.

use crate::common::*;
use vgic_state::forward::*;
use vgic_state::its::command::{ItsCommand as C, RdBase, Version};

const VERSION: [Version; 2] = [Version::V40, Version::V41];

fn rd(number: u32) -> RdBase {
    RdBase::number(number)
}

/// 15 bits of vINTID: 4 KiB of pending bits, 24 KiB of configuration.
const SIZE: u8 = 14;

fn vmapp(vpe: u16, vpt: u64) -> C {
    C::Vmapp { vpe, rdbase: rd(1), valid: true, vpt, vpt_size: SIZE }
}

fn unvmapp(vpe: u16) -> C {
    C::Vmapp { vpe, rdbase: rd(0), valid: false, vpt: 0, vpt_size: 0 }
}

fn vmapp41(vpe: u16, alloc: bool, vpt: u64, vconf: u64) -> C {
    C::Vmapp41 { alloc, ptz: alloc, vconf, doorbell: 8192, vpe, rdbase: rd(1), valid: true, vpt, vpt_size: SIZE }
}

fn unvmapp41(vpe: u16, alloc: bool) -> C {
    C::Vmapp41 { alloc, ptz: false, vconf: 0, doorbell: 0, vpe, rdbase: rd(0), valid: false, vpt: 0, vpt_size: 0 }
}

/// A device 3 with 256 events; vPE 7 mapped.
fn mapped(version: Version) -> Rig {
    let mut policy = policy(version);
    policy.limits.event_bits = 16;
    let mut rig = rig(policy);
    rig.run(mapd(3, 15, RAM));
    rig.run(if version == Version::V41 { vmapp41(7, true, VPTS, VCONFS) } else { vmapp(7, VPTS) });
    rig.events();
    rig
}

#[test]
fn what_is_allowed_is_passed_on_as_it_is() {
    let v40 = |list| C::Vmovp { sequence: 9, its_list: list, vpe: 7, rdbase: rd(4) };
    let v41 = |has_doorbell, doorbell| C::Vmovp41 { sequence: 9, its_list: 4, vpe: 7, rdbase: rd(4), has_doorbell, doorbell };
    for version in VERSION {
        let mut rig = mapped(version);
        for command in [
            C::Vmapti { device: 3, event: 255, vpe: 7, intid: 32767, doorbell: 1023 },
            C::Vmapti { device: 3, event: 1, vpe: 7, intid: 8192, doorbell: 8192 },
            C::Vmapi { device: 3, event: 8192, vpe: 7, doorbell: 32767 },
            C::Vmovi { device: 3, event: 1, vpe: 7, has_doorbell: true, doorbell: 1023 },
            C::Vmovi { device: 3, event: 1, vpe: 7, has_doorbell: false, doorbell: 0 },
            C::Vinvall { vpe: 7 },
            C::Vsync { vpe: 7 },
        ] {
            rig.run(command);
        }
        let only = [
            vec![v40(4), v40(0b1101)],
            vec![
                v41(false, 0),
                v41(true, 1023),
                C::Invdb { vpe: 7 },
                C::Vsgi { enable: true, clear: false, group: true, priority: 3, sgi: 15, vpe: 7 },
            ],
        ];
        for command in &only[usize::from(version == Version::V41)] {
            rig.run(*command);
        }
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    use CommandRefusal as R;
    let vmapti = |vpe, intid, doorbell| C::Vmapti { device: 3, event: 1, vpe, intid, doorbell };
    let vmovp = |vpe, its_list, target| C::Vmovp { sequence: 9, its_list, vpe, rdbase: rd(target) };
    let mut rig = mapped(Version::V40);
    for (command, refusal, word) in [
        (C::Vmapti { device: 4, event: 1, vpe: 7, intid: 8192, doorbell: 1023 }, R::UnmappedDevice, "VMAPTI_UNMAPPED_DEVICE"),
        (C::Vmapti { device: 3, event: 65536, vpe: 7, intid: 8192, doorbell: 1023 }, R::EventOutOfRange, "VMAPTI_ID_OOR"),
        (vmapti(9, 8192, 1023), R::VpeOutOfRange, "VMAPTI_VPE_OOR"),
        (vmapti(6, 8192, 1023), R::UnmappedVpe, "VMAPTI_UNMAPPED_VPE"),
        (vmapti(7, 8191, 1023), R::VirtualIntidOutOfRange, "VMAPTI_VIRTUALID_OOR"),
        (vmapti(7, 32768, 1023), R::VirtualIntidOutOfRange, "VMAPTI_VIRTUALID_OOR"),
        (vmapti(7, 8192, 1022), R::IntidOutOfRange, "VMAPTI_PHYSICALID_OOR"),
        (vmapti(7, 8192, 32768), R::IntidOutOfRange, "VMAPTI_PHYSICALID_OOR"),
        (C::Vmapi { device: 3, event: 1, vpe: 7, doorbell: 1023 }, R::VirtualIntidOutOfRange, "VMAPI_VIRTUALID_OOR"),
        (C::Vmapi { device: 3, event: 8192, vpe: 6, doorbell: 1023 }, R::UnmappedVpe, "VMAPI_UNMAPPED_VPE"),
        (C::Vmovi { device: 4, event: 1, vpe: 7, has_doorbell: false, doorbell: 0 }, R::UnmappedDevice, "VMOVI_UNMAPPED_DEVICE"),
        (C::Vmovi { device: 3, event: 1, vpe: 6, has_doorbell: false, doorbell: 0 }, R::UnmappedVpe, "VMOVI_UNMAPPED_VPE"),
        (C::Vmovi { device: 3, event: 1, vpe: 7, has_doorbell: true, doorbell: 0 }, R::IntidOutOfRange, "VMOVI_PHYSICALID_OOR"),
        (vmovp(6, 4, 1), R::UnmappedVpe, "VMOVP_UNMAPPED_VPE"),
        (vmovp(7, 4, 5), R::Target, "VMOVP_PROCNUM_OOR"),
        // Not this ITS; one that is not there.
        (vmovp(7, 1, 1), R::ItsList, "VMOVP_PROCNUM_OOR"),
        (vmovp(7, 0, 1), R::ItsList, "VMOVP_PROCNUM_OOR"),
        (vmovp(7, 6, 1), R::ItsList, "VMOVP_PROCNUM_OOR"),
        (C::Vinvall { vpe: 6 }, R::UnmappedVpe, "VINVALL_UNMAPPED_VPE"),
        (C::Vsync { vpe: 6 }, R::UnmappedVpe, "VSYNC_UNMAPPED_VPE"),
        (C::Vsync { vpe: 9 }, R::VpeOutOfRange, "VSYNC_VPE_OOR"),
        (unvmapp(6), R::UnmappedVpe, "VMAPP_UNMAPPED_VPE"),
        (unvmapp(9), R::VpeOutOfRange, "VMAPP_VPE_OOR"),
        (vmapp(9, VPTS + 0x1_0000), R::VpeOutOfRange, "VMAPP_VPE_OOR"),
        // Within the limit, and not in the table.
        (vmapp(8, VPTS + 0x1_0000), R::VpeOutOfRange, "VMAPP_VPE_OOR"),
        (vmapp(7, VPTS + 0x1_0000), R::MappedVpe, "VMAPP_VPE_OOR"),
        (C::Vmapp { vpe: 1, rdbase: rd(5), valid: true, vpt: VPTS + 0x1_0000, vpt_size: SIZE }, R::Target, "VMAPP_PROCNUM_OOR"),
        (
            C::Vmapp { vpe: 1, rdbase: rd(4), valid: true, vpt: VPTS + 0x1_0000, vpt_size: 12 },
            R::VirtualIntidOutOfRange,
            "VMAPP_VIRTUALID_OOR",
        ),
        (
            C::Vmapp { vpe: 1, rdbase: rd(4), valid: true, vpt: VPTS + 0x1_0000, vpt_size: 15 },
            R::VirtualIntidOutOfRange,
            "VMAPP_VIRTUALID_OOR",
        ),
        (vmapp(1, VPTS), R::Overlap, "VMAPP_VPE_OOR"),
        (vmapp(1, RAM), R::Memory, "VMAPP_VPE_OOR"),
        (vmapp(1, VPTS + 0xf0_0000), R::Memory, "VMAPP_VPE_OOR"),
        (vmapp(1, 0x000f_ffff_ffff_0000), R::Memory, "VMAPP_VPE_OOR"),
    ] {
        assert_eq!(rig.refuses(command), (refusal, word.into()), "{command}");
    }
    rig.pages.keeps = Some(VPTS + 0x2_0000);
    assert_eq!(rig.refuses(vmapp(1, VPTS + 0x2_0000)), (R::NotDonated, "VMAPP_VPE_OOR".into()));
}

#[test]
fn what_is_out_of_range_is_refused_by_gicv4_1() {
    use CommandRefusal as R;
    let mut rig = mapped(Version::V41);
    let (vpt, vconf) = (VPTS + 0x1_0000, VCONFS + 0x1_0000);
    let C::Vmapp41 { alloc, ptz, vpe, rdbase, valid, vpt_size, .. } = vmapp41(1, true, vpt, vconf) else { panic!() };
    let doorbell = |doorbell| C::Vmapp41 { alloc, ptz, vconf, doorbell, vpe, rdbase, valid, vpt, vpt_size };
    for (command, refusal, word) in [
        (vmapp41(1, true, vpt, VPTS), R::Memory, "VMAPP_VPE_OOR"),
        (vmapp41(1, true, vpt, VCONFS + 0xf0_0000), R::Memory, "VMAPP_VPE_OOR"),
        (vmapp41(1, true, VPTS, vconf), R::Overlap, "VMAPP_VPE_OOR"),
        (vmapp41(7, false, VPTS, VCONFS), R::MappedVpe, "VMAPP_VPE_OOR"),
        (doorbell(8191), R::IntidOutOfRange, "VMAPP_PHYSICALID_OOR"),
        (doorbell(32768), R::IntidOutOfRange, "VMAPP_PHYSICALID_OOR"),
        (C::Vsgi { enable: true, clear: false, group: true, priority: 3, sgi: 1, vpe: 6 }, R::UnmappedVpe, "VSGI_UNMAPPED_VPE"),
        (C::Invdb { vpe: 6 }, R::UnmappedVpe, "INVDB_UNMAPPED_VPE"),
        (
            C::Vmovp41 { sequence: 0, its_list: 4, vpe: 7, rdbase: rd(1), has_doorbell: true, doorbell: 5 },
            R::IntidOutOfRange,
            "VMOVP_PHYSICALID_OOR",
        ),
    ] {
        assert_eq!(rig.refuses(command), (refusal, word.into()), "{command}");
    }
    rig.run(doorbell(1023));
    // Both tables or none.
    rig.events();
    rig.pages.keeps = Some(VCONFS + 0x2_0000);
    let (refusal, _) = rig.passes(vmapp41(2, true, VPTS + 0x2_0000, VCONFS + 0x2_0000).encode()).unwrap_err();
    assert_eq!(refusal, R::NotDonated);
    let vpt = "0x81020000 to 0x81021000: Vpt { vpe: 2, intid_bits: f, zero: true }";
    assert_eq!(rig.events(), [format!("take {vpt}"), format!("give {vpt}")]);
    // Where they may be in the same memory, they do not overlap.
    let mut policy = policy(Version::V41);
    policy.memory.vconfs = policy.memory.vpts;
    let mut rig = self::rig(policy);
    assert_eq!(rig.refuses(vmapp41(1, true, VPTS, VPTS)).0, R::Overlap);
}

#[test]
fn gicv4_0_gives_tables_back_after_a_vsync() {
    let mut rig = mapped(Version::V40);
    rig.run(unvmapp(7));
    assert_eq!(rig.events(), [""; 0], "a redistributor may still write it");
    assert_eq!(rig.refuses(C::Vinvall { vpe: 7 }).0, CommandRefusal::UnmappedVpe);
    assert_eq!(rig.refuses(vmapp(1, VPTS)).0, CommandRefusal::Overlap);
    rig.passes(C::Vsync { vpe: 7 }.encode()).unwrap();
    assert_eq!(rig.events(), [""; 0]);
    // Now that it is on its way, its memory can be waited for.
    rig.put(vmapp(1, VPTS).encode());
    assert_eq!(rig.go().stop, Stop::Busy);
    rig.drain();
    assert_eq!(rig.events(), ["give 0x81000000 to 0x81001000: Vpt { vpe: 7, intid_bits: f, zero: false }"]);
    assert_eq!(rig.go().passed, 1);
    // Mapped again before the VSYNC, at the same place: it has never left.
    rig.run(unvmapp(1));
    rig.events();
    rig.run(vmapp(1, VPTS));
    rig.run(C::Vsync { vpe: 1 });
    assert_eq!((rig.events(), rig.pages.owned.len()), (vec![], 2));
    // At another: the old one leaves with the VSYNC.
    rig.run(unvmapp(1));
    rig.run(vmapp(1, VPTS + 0x1_0000));
    rig.run(C::Vsync { vpe: 1 });
    assert_eq!(rig.events().len(), 2);
    assert_eq!(rig.pages.owned.last().unwrap().start, VPTS + 0x1_0000);
}

#[test]
fn gicv4_1_gives_tables_back_with_the_last_unmapping() {
    let mut rig = mapped(Version::V41);
    // Another ITS has the vPE: its tables are in use, and must be neither given back nor cleared.
    rig.run(unvmapp41(7, false));
    assert_eq!(rig.refuses(vmapp41(7, true, VPTS, VCONFS)).0, CommandRefusal::MappedVpe);
    assert_eq!(rig.refuses(vmapp41(7, false, VPTS + 0x1_0000, VCONFS)).0, CommandRefusal::MappedVpe);
    let C::Vmapp41 { vconf, doorbell, vpe, rdbase, valid, vpt, vpt_size, .. } = vmapp41(7, true, VPTS, VCONFS) else { panic!() };
    let first = C::Vmapp41 { alloc: true, ptz: false, vconf, doorbell, vpe, rdbase, valid, vpt, vpt_size };
    assert_eq!(rig.refuses(first).0, CommandRefusal::MappedVpe);
    assert_eq!(rig.refuses(C::Invdb { vpe: 7 }).0, CommandRefusal::UnmappedVpe);
    rig.run(C::Vsync { vpe: 7 });
    rig.run(vmapp41(7, false, VPTS, VCONFS));
    assert_eq!(rig.events(), [""; 0]);
    // PTZ without Alloc is not passed on.
    rig.run(unvmapp41(7, false));
    let mut words = vmapp41(7, false, VPTS, VCONFS).encode();
    words[0] |= 1 << 9;
    assert_eq!(rig.passes(words), Ok(vmapp41(7, false, VPTS, VCONFS).encode()));
    rig.passes(unvmapp41(7, true).encode()).unwrap();
    assert_eq!(rig.events(), [""; 0]);
    // Mapped again while it leaves: it waits, as the table has to be cleared.
    rig.put(vmapp41(7, true, VPTS, VCONFS).encode());
    assert_eq!(rig.go().stop, Stop::Busy);
    rig.drain();
    let mut events = rig.events();
    events.sort();
    assert_eq!(
        events,
        [
            "give 0x81000000 to 0x81001000: Vpt { vpe: 7, intid_bits: f, zero: false }",
            "give 0x82000000 to 0x82006000: Vconf { vpe: 7 }"
        ]
    );
    assert_eq!(rig.go().passed, 1);
    // Kept with one configuration table, mapped again with another: the last unmapping lets both go.
    rig.run(unvmapp41(7, false));
    rig.run(vmapp41(7, false, VPTS, VCONFS + 0x1_0000));
    assert_eq!(rig.pages.owned.len(), 4);
    rig.run(unvmapp41(7, true));
    assert_eq!(rig.pages.owned.len(), 1);
    rig.run(vmapp41(7, true, VPTS, VCONFS));
    // The other ITS was the last.
    rig.passes(unvmapp41(7, false).encode()).unwrap();
    rig.forwarder.release_vpe(7, &mut rig.pages);
    assert_eq!(rig.pages.owned.len(), 3);
    rig.drain();
    assert_eq!(rig.pages.owned.len(), 1);
}

#[test]
fn vpes_of_a_vm_share_their_configuration_table() {
    let mut rig = mapped(Version::V41);
    rig.run(vmapp41(1, true, VPTS + 0x1_0000, VCONFS));
    assert_eq!(rig.events(), ["take 0x81010000 to 0x81011000: Vpt { vpe: 1, intid_bits: f, zero: true }"]);
    // All of it or nothing: not a shorter one at the same place.
    let C::Vmapp41 { alloc, ptz, doorbell, rdbase, valid, .. } = vmapp41(2, true, 0, 0) else { panic!() };
    let (vpt, vconf) = (VPTS + 0x2_0000, VCONFS);
    let shorter = C::Vmapp41 { alloc, ptz, vconf, doorbell, vpe: 2, rdbase, valid, vpt, vpt_size: 13 };
    assert_eq!(rig.refuses(shorter).0, CommandRefusal::Overlap);
    rig.run(unvmapp41(7, true));
    assert_eq!(rig.events(), ["give 0x81000000 to 0x81001000: Vpt { vpe: 7, intid_bits: f, zero: true }"]);
    rig.run(unvmapp41(1, true));
    assert!(rig.events().contains(&"give 0x82000000 to 0x82006000: Vconf { vpe: 1 }".into()));
    assert_eq!(rig.pages.owned.len(), 1, "an interrupt translation table");
}

#[test]
fn one_its_is_enough_to_move_a_vpe() {
    let mut policy = policy(Version::V40);
    policy.limits.its_list = None;
    let mut rig = rig(policy);
    rig.run(vmapp(7, VPTS));
    let vmovp = |sequence, its_list| C::Vmovp { sequence, its_list, vpe: 7, rdbase: rd(4) }.encode();
    assert_eq!(rig.passes(vmovp(9, 0xffff)), Ok(vmovp(0, 0)), "both are reserved");
}

#[test]
fn a_vpe_needs_places_in_the_list() {
    let mut rig = rig_with(policy(Version::V41), TableLevels::Flat(0), TableLevels::Flat(9), 16, 3);
    rig.run(vmapp41(7, true, VPTS, VCONFS));
    assert_eq!(rig.refuses(vmapp41(1, true, VPTS + 0x1_0000, VCONFS)), (CommandRefusal::Full, "VMAPP_VPE_OOR".into()));
    // One that is in the list needs none.
    let mut rig = rig_with(policy(Version::V41), TableLevels::Flat(0), TableLevels::Flat(9), 16, 2);
    rig.run(vmapp41(7, true, VPTS, VCONFS));
    rig.run(unvmapp41(7, false));
    rig.run(vmapp41(7, false, VPTS, VCONFS));
    assert_eq!(rig.forwarder.live().count(), 2);
}
