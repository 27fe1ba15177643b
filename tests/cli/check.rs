//! `vgic-state check`

use super::{guests, json, of_guests, snapshot, stderr, stdout};
use vgic_state::gicv5::Iste;
use vgic_state::image::IstCoding;

/// The exit code, and the codes of what was found.
fn codes(args: &[&str]) -> (Option<i32>, Vec<String>) {
    let (code, value) = run(args);
    let findings = value["findings"].as_array().expect("list").iter();
    (code, findings.map(|finding| finding["code"].as_str().expect("code").to_owned()).collect())
}

/// The exit code, and what was printed.
fn run(args: &[&str]) -> (Option<i32>, serde_json::Value) {
    let args: Vec<&str> = ["check", "--format", "json"].iter().chain(args).copied().collect();
    let output = of_guests(&args);
    assert_eq!(stderr(&output), "", "{args:?}");
    (output.status.code(), json(stdout(&output)))
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
    assert_eq!(one(|entry| entry.with_iaffid(7)), (Some(4), vec!["ist-target-unknown".to_owned()]));

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
    // The findings are the image's own, whatever the VM is like.
    let (own, none) = (["pending-disabled"].as_slice(), [].as_slice());
    for (args, expected, refusal) in [
        (["guest.img", "--vcpus", "2"].as_slice(), (Some(3), own), None),
        (&["guest.img", "--vcpus", "0=0.0.0.0,1=0.0.0.1", "--spis", "32"], (Some(3), own), None),
        (&["guest.img", "--vcpus", "3"], (Some(5), own), Some("the VM has vCPU 2 (0.0.0.2), the state does not")),
        (&["guest.img", "--spis", "64"], (Some(5), own), Some("the state has 32 SPIs, the device 64")),
        (&["guest.img", "--id-bits", "7"], (Some(5), own), Some("IRS_IDR2.ID_BITS is 16, the device has 7: must not be greater")),
        (
            &["guest.img", "--priority-bits", "4"],
            (Some(5), own),
            Some("IRS_IDR1.PRIORITY_BITS is 4, the device has 3: must not be greater"),
        ),
        (&["gicv3.img", "--spis", "64", "--its", "0x8080000"], (Some(0), none), None),
        (&["gicv3.img", "--its", "0x9000000"], (Some(5), none), Some("the state has an ITS at 0x8080000, the VM does not")),
    ] {
        let (code, value) = run(args);
        let rows = value["refusal"].as_array().expect("list").iter();
        let reasons: Vec<&str> = rows.map(|row| row["reason"].as_str().expect("text")).collect();
        assert_eq!(reasons, refusal.into_iter().collect::<Vec<_>>(), "{args:?}");
        let expected = (expected.0, expected.1.iter().map(|code| (*code).to_owned()).collect());
        assert_eq!((code, codes(args)), (expected.0, expected), "{args:?}");
    }
    assert_eq!(run(&["guest.img"]).1["refusal"], serde_json::Value::Null, "of the VM that it was saved from");
    assert_eq!(codes(&["guest.img", "--vcpus", "3", "--fail-on", "critical"]).0, Some(0));
    let output = of_guests(&["check", "guest.img", "--spis", "33"]);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(2), "vgic-state: 33 SPIs: must be a multiple of 32, from 32 to 1024\n")
    );
}

#[test]
fn an_spi_without_a_vcpu_is_found_as_that() {
    let (mut state, ..) = guests::gicv3();
    // SPI 33 is enabled, SPI 32 is not, but the guest has routed it.
    state.spis[0].router[..2].copy_from_slice(&[0x0700, 0x0700]);
    guests::write(guests::directory(), "spi.img", &state.to_image().expect("image"));
    let (code, value) = run(&["spi.img"]);
    let finding = serde_json::json!({
        "severity": "medium",
        "code": "spi-target-unknown",
        "where": "GICD_IROUTER32 is 0x700, SPI 32",
        "count": 2,
        "what": "GICD_IROUTER names no vCPU",
        "consequence": "the SPI cannot be delivered, without an error",
        "refused": false,
    });
    assert_eq!((code, &value["findings"]), (Some(4), &serde_json::json!([finding])));
}

#[test]
fn what_no_threshold_accepts_is_said() {
    let (mut state, ..) = guests::gicv3();
    state.vcpus[1].icc.sre = 0;
    guests::write(guests::directory(), "sre.img", &state.to_image().expect("image"));
    let (code, value) = run(&["sre.img"]);
    let finding = &value["findings"][0];
    assert_eq!((code, &finding["code"], &finding["refused"]), (Some(5), &"sre-clear".into(), &true.into()));
    let text = stdout(&of_guests(&["check", "sre.img", "--width", "500"])).to_owned();
    assert!(
        text.contains("ICC_SRE_EL1 of vCPU 0.0.0.1 is 0x0: SRE must be set; KVM refuses the register; no threshold accepts it"),
        "{text}"
    );
}

#[test]
fn tables_in_memory_are_judged_if_they_are_given() {
    let output = of_guests(&["check", "ram.img"]);
    assert!(stdout(&output).contains("were not judged: --ram"), "{}", stdout(&output));
    assert_eq!(codes(&["ram.img", "--ram", "ram.bin", "--base", "0x40000000"]), (Some(0), vec![]));
    // The same memory, 64 KiB further up: nothing is where the registers say.
    let elsewhere = ["ram.img", "--ram", "ram.bin", "--base", "0x40800000"];
    let (code, found) = codes(&elsewhere);
    assert_eq!((code, found), (Some(5), vec!["table-not-read".to_owned()]), "it may be in memory that was not dumped");
    let (code, found) = codes(&[&elsewhere[..], &["--all-memory"]].concat());
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
    assert_eq!(output.status.code(), Some(4));
    snapshot!("cli_check", stdout(&output));
}
