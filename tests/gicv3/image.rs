//! The sections of a GICv3: their layout, and each way of being wrong. `docs/image-format.md` read a second time.

use crate::common::{Config, filled, fresh, memory, trace};
use crate::save::Save as _;
use crate::snapshot::snapshot;
use vgic_state::gicv3::Gicv3State;
use vgic_state::image::ImageError;
use vgic_state::{DynInterruptState, Error, TopologyError};

fn good() -> Vec<u8> {
    filled(Config { its: 2, ..Config::default() }).1.flush_and_save().expect("save").to_image().expect("image")
}

pub(crate) fn u32_at(image: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(image[at..at + 4].try_into().expect("4 bytes"))
}

pub(crate) fn u64_at(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(image[at..at + 8].try_into().expect("8 bytes"))
}

/// Where the contents of a section are.
pub(crate) fn section_of(image: &[u8], id: u32) -> std::ops::Range<usize> {
    let sections = u32_at(image, 24) as usize;
    let entry = (0..sections).map(|n| 32 + n * 24).find(|entry| u32_at(image, *entry) == id).expect("section");
    let start = u64_at(image, entry + 8) as usize;
    start..start + u64_at(image, entry + 16) as usize
}

fn section(image: &[u8], id: u32) -> usize {
    section_of(image, id).start
}

#[test]
fn layout() {
    let image = good();
    let mut text = format!("kind {} length {} sections {}\n", u32_at(&image, 12), u64_at(&image, 16), u32_at(&image, 24));
    for n in 0..3 {
        let entry = 32 + n * 24;
        let (id, flags) = (u32_at(&image, entry), u32_at(&image, entry + 4));
        text.push_str(&format!(
            "section {id} flags {flags} at {} length {}\n",
            u64_at(&image, entry + 8),
            u64_at(&image, entry + 16)
        ));
    }
    let dist = section(&image, 16);
    text.push_str(&format!("{} interrupts, {} registers\n", u32_at(&image, dist), u32_at(&image, dist + 4)));
    for n in 0..4 {
        let at = dist + 8 + n * 16;
        text.push_str(&format!("  {:#06x} {} = {:#x}\n", u32_at(&image, at), u32_at(&image, at + 4), u64_at(&image, at + 8)));
    }
    for n in 0..2 {
        let at = dist + 72 + n * 192;
        text.push_str(&format!(
            "  from INTID {}: group {:#x} last target {:#x}\n",
            u32_at(&image, at),
            u32_at(&image, at + 4),
            u32_at(&image, at + 188)
        ));
    }
    let vcpus = section(&image, 17);
    text.push_str(&format!("{} vCPUs, {} registers:", u32_at(&image, vcpus), u32_at(&image, vcpus + 4)));
    for n in 0..20 {
        text.push_str(&format!(" {:#x}", u32_at(&image, vcpus + 8 + n * 4)));
    }
    for n in 0..2 {
        let at = vcpus + 88 + n * 232;
        text.push_str(&format!(
            "\n  vcpu_id {} affinity {:#010x} GICR_TYPER {:#x}",
            u32_at(&image, at),
            u32_at(&image, at + 4),
            u64_at(&image, at + 16)
        ));
        text.push_str(&format!(" group {:#x} zero {}", u32_at(&image, at + 168), u32_at(&image, at + 228)));
    }
    let its = section(&image, 18);
    text.push_str(&format!("\n{} ITSes, {} registers:", u32_at(&image, its), u32_at(&image, its + 4)));
    for n in 0..14 {
        text.push_str(&format!(" {:#x}", u32_at(&image, its + 8 + n * 4)));
    }
    for n in 0..2 {
        let at = its + 64 + n * 120;
        text.push_str(&format!(
            "\n  base {:#x} GITS_TYPER {:#x} GITS_CTLR {:#x}",
            u64_at(&image, at),
            u64_at(&image, at + 8),
            u64_at(&image, at + 112)
        ));
    }
    snapshot!("image_gicv3", text);
}

/// Gives changed bytes the checksum that a forger would give them.
pub(crate) fn forge(mut image: Vec<u8>) -> Vec<u8> {
    image[28..32].fill(0);
    let crc = image.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    image[28..32].copy_from_slice(&(!crc).to_le_bytes());
    image
}

fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> ImageError {
    let mut image = good();
    change(&mut image);
    let image = forge(image);
    let (vm, mut destination) = fresh(Config { its: 2, ..Config::default() }, memory());
    let error = match destination.restore_image(&image) {
        Err(Error::Image(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(Gicv3State::parse(&image), Err(error));
    assert_eq!(trace(&vm), "");
    error
}

#[test]
fn contents_of_sections() {
    let image = good();
    let [dist, vcpus, its] = [16, 17, 18].map(|id| section(&image, id));
    let put = |at: usize, value: u32| move |image: &mut Vec<u8>| image[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let count = |what, found: u32, max| ImageError::Count { what, found: found.into(), max };
    for (change, expected) in [
        (put(dist, 33), ImageError::Topology(TopologyError::NrIrqs { found: 33 })),
        (put(dist, 128), ImageError::SectionLength { id: 16, found: 72 + 2 * 192 }),
        (put(dist + 4, 5), count("registers", 5, 4)),
        (put(dist + 8, 0), ImageError::Register { id: 16, expected: 4, found: 0 }),
        (put(dist + 12, 1), ImageError::Reserved { id: 16 }),
        (put(vcpus, 513), count("vCPUs", 513, 512)),
        (put(vcpus, 1), ImageError::SectionLength { id: 17, found: 88 + 2 * 232 }),
        (put(vcpus + 4, 19), count("registers", 19, 20)),
        (put(vcpus + 8, 0x70), ImageError::Register { id: 17, expected: 4, found: 0x70 }),
        (put(vcpus + 88, 512), ImageError::Topology(TopologyError::VcpuId { found: 512 })),
        (put(vcpus + 88 + 228, 7), ImageError::Reserved { id: 17 }),
        (put(its, 65), count("ITSes", 65, 64)),
        (put(its, u32::MAX), count("ITSes", u32::MAX, 64)),
        (put(its, 3), ImageError::SectionLength { id: 18, found: 64 + 2 * 120 }),
        (put(its + 4, 15), count("registers", 15, 14)),
        (put(its + 8, 9), ImageError::Register { id: 18, expected: 8, found: 9 }),
        (put(its + 64 + 116, 1), ImageError::RegisterValue { id: 18, register: 0, value: 1 << 32 | 0x8000_0001 }),
        (put(32, 15), ImageError::MissingSection { id: 16 }),
    ] {
        assert_eq!(refusal(change), expected);
    }
}
