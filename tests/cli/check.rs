//! `vgic-state check`

use super::{guests, json, of_guests, snapshot, stderr, stdout};
use vgic_state::gicv5::Iste;
use vgic_state::image::IstCoding;

/// The exit code, and the codes of what was found.
fn codes(args: &[&str]) -> (Option<i32>, Vec<String>) {
    let args: Vec<&str> = ["check", "--format", "json"].iter().chain(args).copied().collect();
    let output = of_guests(&args);
    assert_eq!(stderr(&output), "", "{args:?}");
    let value = json(stdout(&output));
    let findings = value["findings"].as_array().expect("list").iter();
    (output.status.code(), findings.map(|finding| finding["code"].as_str().expect("code").to_owned()).collect())
}

#[test]
fn exit_codes_go_by_severity() {
    let one = |change: fn(Iste) -> Iste| {
        let mut state = guests::gicv5();
        let lpis = state.lpi_ist.as_mut().expect("LPIs");
        assert!(lpis.set(40, change(Iste::new().with_enable(true))));
        guests::write(guests::directory(), "judged.img", &state.to_image(IstCoding::Raw).expect("image"));
        codes(&["judged.img"])
    };
    assert_eq!(one(|entry| entry), (Some(0), vec![]));
    assert_eq!(one(|entry| entry.with_hwu(1)), (Some(3), vec!["ist-hardware-use".to_owned()]));
    assert_eq!(one(|entry| entry.with_irm(true)), (Some(4), vec!["ist-one-of-n".to_owned()]));
    assert_eq!(one(|entry| entry.with_iaffid(7)), (Some(5), vec!["ist-target-unknown".to_owned()]));

    // Two events with one LPI, which is then not configured as often as it is mapped.
    let (mut state, ..) = guests::gicv3();
    let lpis = state.lpis.as_mut().expect("LPIs");
    lpis.its[0].devices[1].events[0].intid = 8192;
    lpis.configuration.retain(|lpi| lpi.intid != 8198);
    guests::write(guests::directory(), "twice.img", &state.to_image().expect("image"));
    let (code, found) = codes(&["twice.img"]);
    assert_eq!((code, found.first().map(String::as_str)), (Some(6), Some("lpi-mapped-twice")));
}

#[test]
fn a_threshold_decides_what_fails() {
    assert_eq!(codes(&["guest.img"]), (Some(3), vec!["pending-disabled".to_owned()]));
    assert_eq!(codes(&["guest.img", "--fail-on", "medium"]).0, Some(0));
    assert_eq!(codes(&["guest.img", "--fail-on", "low"]).0, Some(3));
}

#[test]
fn a_vm_that_does_not_fit_refuses_the_image() {
    for (args, expected) in [
        (["guest.img", "--vcpus", "2"].as_slice(), (Some(3), vec!["pending-disabled".to_owned()])),
        (&["guest.img", "--vcpus", "0=0.0.0.0,1=0.0.0.1", "--spis", "32"], (Some(3), vec!["pending-disabled".to_owned()])),
        (&["guest.img", "--vcpus", "3"], (Some(5), vec!["refused".to_owned()])),
        (&["guest.img", "--spis", "64"], (Some(5), vec!["refused".to_owned()])),
        (&["guest.img", "--id-bits", "7"], (Some(5), vec!["refused".to_owned()])),
        (&["guest.img", "--priority-bits", "4"], (Some(5), vec!["refused".to_owned()])),
        (&["gicv3.img", "--spis", "64", "--its", "0x8080000"], (Some(0), vec![])),
        (&["gicv3.img", "--its", "0x9000000"], (Some(5), vec!["refused".to_owned()])),
    ] {
        assert_eq!(codes(args), expected, "{args:?}");
    }
    let output = of_guests(&["check", "guest.img", "--spis", "33"]);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(2), "vgic-state: 33 SPIs: must be a multiple of 32, from 32 to 1024\n")
    );
}

#[test]
fn tables_in_memory_are_judged_if_they_are_given() {
    let output = of_guests(&["check", "ram.img"]);
    assert!(stdout(&output).contains("were not judged: --ram"), "{}", stdout(&output));
    assert_eq!(codes(&["ram.img", "--ram", "ram.bin", "--base", "0x40000000"]), (Some(0), vec![]));
    // The same memory, 64 KiB further up: nothing is where the registers say.
    let (code, found) = codes(&["ram.img", "--ram", "ram.bin", "--base", "0x40800000"]);
    assert_eq!(code, Some(6));
    assert!(found.contains(&"table-outside-memory".to_owned()), "{found:?}");
}

/// The image of a guest with LPIs that are for no vCPU.
pub(crate) fn lost() -> Vec<u8> {
    let mut state = guests::gicv5();
    let lpis = state.lpi_ist.as_mut().expect("LPIs");
    for lpi in 60..63 {
        assert!(lpis.set(lpi, Iste::new().with_enable(true).with_iaffid(7)));
    }
    state.to_image(IstCoding::Raw).expect("image")
}

#[test]
fn findings_for_a_person() {
    guests::write(guests::directory(), "lost.img", &lost());
    let output = of_guests(&["check", "lost.img"]);
    assert_eq!(output.status.code(), Some(5));
    snapshot!("cli_check", stdout(&output));
}
