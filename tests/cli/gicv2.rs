//! The tool with images of a GICv2.

use super::{guests, json, of_guests, snapshot, stderr, stdout};
use vgic_state::gicv2::Gicv2State;

/// The guest's image with one change, under this name.
fn changed(name: &str, change: impl FnOnce(&mut Gicv2State)) {
    let mut state = guests::gicv2();
    change(&mut state);
    guests::write(guests::directory(), name, &state.to_image().expect("image"));
}

#[test]
fn show() {
    let output = of_guests(&["show", "gicv2.img"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    snapshot!("cli_show_gicv2", stdout(&output));
    // 2 vCPUs with 32 interrupts each, and 32 SPIs.
    for (args, rows) in
        [("--all", 96), ("--all --kind sgi", 32), ("--all --kind spi", 32), ("--pending", 4), ("--kind spi --all --vcpu 1", 1)]
    {
        let args: Vec<&str> = "show gicv2.img --only interrupts --format tsv".split(' ').chain(args.split(' ')).collect();
        assert_eq!(stdout(&of_guests(&args)).lines().skip(1).count(), rows, "{args:?}");
    }
}

#[test]
fn diff() {
    changed("gicv2-later.img", |state| {
        state.spis[0].interrupts.pending = [0];
        state.spis[0].interrupts.active = [1 << 1];
        state.vcpus[0].sgi_sources = [0; 4];
        state.vcpus[0].private.pending = [1 << 20];
        state.vcpus[1].gicc.apr0 = 0x10;
    });
    let same = of_guests(&["diff", "gicv2.img", "gicv2.img"]);
    assert_eq!((same.status.code(), stdout(&same)), (Some(0), "no difference\n"));
    let output = of_guests(&["diff", "gicv2.img", "gicv2-later.img"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
    snapshot!("cli_diff_gicv2", stdout(&output));
}

#[test]
fn check() {
    let output = of_guests(&["check", "gicv2.img", "--fail-on", "medium"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert!(stdout(&output).contains("Lines to drive after a restore: PPI 4 of vCPU 0, SPI 1."), "{}", stdout(&output));
    for (code, exit, change) in [
        ("sgi-active", 4, (|state| state.vcpus[0].private.active = [2]) as fn(&mut Gicv2State)),
        ("sgi-sender-unknown", 4, |state| state.vcpus[0].sgi_sources[0] |= 0x40 << 8),
        ("revision-unknown", 5, |state| state.identity.iidr &= !0xf000),
    ] {
        changed("gicv2-judged.img", change);
        let output = of_guests(&["check", "gicv2-judged.img", "--format", "json"]);
        let value = json(stdout(&output));
        assert_eq!((output.status.code(), value["findings"][0]["code"].as_str()), (Some(exit), Some(code)));
    }
}

#[test]
fn plot() {
    let output = of_guests(&["plot", "gicv2.img", "-o", "-"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let svg = stdout(&output);
    for part in ["GICv2 image", "vCPU 1", "SPI 33: pending", "SGI 1"] {
        assert!(svg.contains(part), "{part}");
    }
}
