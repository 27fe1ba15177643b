//! `vgic-state diff`

use super::{guests, json, of_guests, snapshot, stderr, stdout};
use vgic_state::gicv5::Iste;
use vgic_state::image::IstCoding;
use vgic_state::its::{Collection, Event};

#[test]
fn an_image_is_as_it_is() {
    for image in ["guest.img", "gicv3.img", "ram.img"] {
        let output = of_guests(&["diff", image, image]);
        assert_eq!((output.status.code(), stdout(&output), stderr(&output)), (Some(0), "no difference\n", ""));
    }
}

#[test]
fn a_moment_later() {
    let output = of_guests(&["diff", "guest.img", "later.img"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
    snapshot!("cli_diff_gicv5", stdout(&output));
    let output = of_guests(&["diff", "later.img", "guest.img", "--format", "json"]);
    let value = json(stdout(&output));
    let words: Vec<&str> =
        value["changes"].as_array().expect("list").iter().filter_map(|change| change["change"].as_str()).collect();
    assert_eq!(words, ["", "became pending", "was deactivated", "moved from vCPU 1 to vCPU 0", "got its enable bit", "appeared"]);
}

#[test]
fn what_a_restore_may_change_can_be_ignored() {
    let mut state = guests::gicv5();
    let lpis = state.lpi_ist.as_mut().expect("LPIs");
    let entry = lpis.get(2).expect("LPI");
    assert!(lpis.set(2, entry.with_hwu(2)));
    let before = state.to_image(IstCoding::Raw).expect("image");
    guests::write(guests::directory(), "hwu.img", &before);
    let lpis = state.lpi_ist.as_mut().expect("LPIs");
    let taken = |entry: Iste| entry.with_pending(false);
    for (lpi, entry) in [(2, entry), (9, taken(lpis.get(9).expect("LPI")))] {
        assert!(lpis.set(lpi, entry));
    }
    guests::write(guests::directory(), "restored.img", &state.to_image(IstCoding::Raw).expect("image"));

    let output = of_guests(&["diff", "hwu.img", "restored.img"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("2 differences, of which a restore may make 2\n"), "{}", stdout(&output));
    let output = of_guests(&["diff", "--ignore-restore", "hwu.img", "restored.img"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), "no difference but 2 that a restore may make\n"));
    // The other way round, somebody has made them pending.
    let output = of_guests(&["diff", "--ignore-restore", "restored.img", "hwu.img"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn mappings_that_changed() {
    let (mut state, ..) = guests::gicv3();
    let its = &mut state.lpis.as_mut().expect("LPIs").its[0];
    its.collections[1] = Collection { icid: 1, target: Some(0) };
    its.devices[1].events[0] = Event { id: 3, ..its.devices[1].events[0] };
    its.devices[1].events.reverse();
    guests::write(guests::directory(), "moved.img", &state.to_image().expect("image"));
    let output = of_guests(&["diff", "gicv3.img", "moved.img"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
    snapshot!("cli_diff_gicv3", stdout(&output));
}

#[test]
fn other_controllers_cannot_be_compared() {
    let output = of_guests(&["diff", "guest.img", "gicv3.img"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("controller: GICv5 -> GICv3"), "{}", stdout(&output));
    let output = of_guests(&["diff", "gicv3.img", "ram.img"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("in guest memory"), "{}", stdout(&output));
}

#[test]
fn every_bit_of_a_state_counts() {
    let directory = guests::directory();
    let differs = |words: &str| {
        let output = of_guests(&["diff", "original.img", "changed.img"]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
        assert!(stdout(&output).contains(words), "{words}: {}", stdout(&output));
    };
    let mut state = guests::gicv5();
    guests::write(directory, "original.img", &state.to_image(IstCoding::Sparse).expect("image"));
    // How it is written is no part of it.
    guests::write(directory, "changed.img", &state.to_image(IstCoding::Raw).expect("image"));
    assert_eq!(of_guests(&["diff", "original.img", "changed.img"]).status.code(), Some(0));
    state.vcpus[1].registers.ppi_enabler1 = 4;
    guests::write(directory, "changed.img", &state.to_image(IstCoding::Raw).expect("image"));
    differs("ICC_PPI_ENABLER1_EL1 of vCPU 1  value: 0x0 -> 0x4");

    let (original, ..) = guests::gicv3();
    guests::write(directory, "original.img", &original.to_image().expect("image"));
    let change = |change: &dyn Fn(&mut vgic_state::gicv3::Gicv3State)| {
        let mut state = original.clone();
        change(&mut state);
        guests::write(directory, "changed.img", &state.to_image().expect("image"));
    };
    change(&|state| state.spis[0].interrupts.config[0] |= 1);
    differs("differs in bits that have no meaning to this tool");
    change(&|state| state.spis[0].router[3] = 1 << 31);
    differs("became 1-of-N");
    change(&|state| state.its[0].registers.baser5 = 1 << 48);
    differs("GITS_BASER5 of ITS 0x8080000  Entry_Size: 0 (1 byte) -> 1 (2 bytes)");
    change(&|state| state.lpis.as_mut().expect("LPIs").configuration[2].byte ^= 1);
    differs("LPI 8194  lost its enable bit");
}
