//! `vgic-state plot`

use super::{guests, of_guests, stderr, stdout};
use std::fs;
use vgic_state::gicv5::{Ist, Iste};
use vgic_state::image::IstCoding;
use vgic_state::{IstKind, VcpuId, Vcpus};

/// The picture of an image.
fn picture(image: &str) -> String {
    let name = format!("{image}.svg");
    let output = of_guests(&["plot", image, "-o", &name]);
    assert_eq!((output.status.code(), stdout(&output), stderr(&output)), (Some(0), "", ""));
    let svg = fs::read_to_string(guests::directory().join(&name)).expect("picture");
    let to_stdout = of_guests(&["plot", image, "-o", "-"]);
    assert!(stdout(&to_stdout).trim_end() == svg.trim_end());
    assert_well_formed(&svg);
    svg
}

/// Every element is closed by its own name, and nothing comes behind the first one.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('&') || text.contains("&amp;") || text.contains("&gt;") || text.contains("&lt;"), "{text}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split_whitespace().next().expect("name")),
        }
    }
    assert!(open.is_empty() && svg.starts_with("<svg "), "{open:?}");
}

#[test]
fn a_few_interrupts_are_drawn_one_by_one() {
    let svg = picture("guest.img");
    for part in ["vCPU 0", "vCPU 1", "priority 12 (2)", "L40", "LPI 9: pending, vCPU 1, priority 20", "active (1)"] {
        assert!(svg.contains(part), "{part}");
    }
    // One for each interrupt in use, and five that explain.
    assert_eq!(svg.matches("<title>").count(), 21 + 5);
    let svg = picture("gicv3.img");
    assert!(svg.contains("Devices (rows) against events (columns)"));
    assert!(svg.contains("device 0x10 event 0: LPI 8198, pending"));
    assert_eq!(svg.matches("<title>").count(), 43 + 8 + 5);
}

#[test]
fn tables_in_memory_are_drawn_if_they_are_given() {
    let output = of_guests(&["plot", "ram.img", "--ram", "ram.bin", "--base", "1G", "-o", "-"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let drawn = |svg: &str| svg.split_once("Interrupts by priority").map(|(_, picture)| picture.to_owned());
    // Not assert_eq: nobody wants to read both.
    assert!(drawn(stdout(&output).trim_end()) == drawn(picture("gicv3.img").trim_end()));
    let output = of_guests(&["plot", "guest.img", "--ram", "ram.bin", "--base", "1G", "-o", "-"]);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(2), "vgic-state: --ram: the interrupts of a GICv5 are all in its image\n")
    );
}

/// A guest with this many LPIs and vCPUs.
fn large(name: &str, bits: u32, vcpus: u32) {
    let mut state = guests::gicv5();
    let registers = state.vcpus[0].registers;
    let vcpus = Vcpus::with_default_mpidrs(vcpus).expect("vCPUs");
    state.vcpus = vcpus.iter().map(vgic_state::gicv5::VcpuState::new).collect();
    state.vcpus.iter_mut().for_each(|vcpu| vcpu.registers = registers);
    let mut lpis = Ist::new(IstKind::Lpi, vec![0; 4 << bits]).expect("table");
    for lpi in 0..1_u32 << bits {
        let random = lpi.wrapping_mul(0x9e37_79b9);
        let entry = Iste::new().with_enable(random % 11 != 0).with_pending(random % 97 == 0).with_active(random % 89 == 0);
        let entry = entry.with_priority((random >> 8) as u8 % 4 * 4 + 12).with_iaffid((lpi % vcpus.len() as u32) as u16);
        assert!(lpis.set(lpi, entry));
    }
    state.irs.ist_cfgr = bits;
    state.lpi_ist = Some(lpis);
    guests::write(guests::directory(), name, &state.to_image(IstCoding::Raw).expect("image"));
}

#[test]
fn many_interrupts_are_counted() {
    large("large.img", 16, 8);
    let svg = picture("large.img");
    assert!(svg.len() < 200_000, "{} bytes", svg.len());
    for part in ["vCPU 7", "pending)", "priority 20 ("] {
        assert!(svg.contains(part), "{part}");
    }
    large("wide.img", 16, VcpuId::LIMIT);
    let svg = picture("wide.img");
    assert!(svg.len() < 400_000, "{} bytes", svg.len());
    assert!(svg.contains("496-"), "vCPUs share columns");
    large("middle.img", 11, 4);
    assert!(picture("middle.img").len() < 1_000_000);
}

#[test]
fn a_picture_that_cannot_be_written() {
    let output = of_guests(&["plot", "guest.img", "-o", "no/such/place.svg"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("vgic-state: no/such/place.svg: No such file"), "{}", stderr(&output));
}
