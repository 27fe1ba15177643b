//! The sections of a GICv2: their layout, and each way of being wrong. `docs/image-format.md` read a second time.

use crate::common::{full_state, id};
use crate::snapshot::snapshot;
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv3::Gicv3State;
use vgic_state::image::{self, ImageError, Kind, sections};
use vgic_state::{Attr, Error, IntId, TopologyError, Vcpus};

fn u32_at(image: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(image[at..at + 4].try_into().unwrap())
}

fn section(image: &[u8], id: u32) -> std::ops::Range<usize> {
    let place = sections(image).unwrap().into_iter().find(|place| place.id == id).unwrap();
    place.offset..place.offset + place.length
}

/// A register table: its columns, and of each record the name and the words. Returns where it ends.
fn describe_table(image: &[u8], at: usize, what: &str, text: &mut String) -> usize {
    let (columns, records) = (u32_at(image, at) as usize, u32_at(image, at + 4) as usize);
    text.push_str(&format!("{what}: {columns} registers, {records} records\n "));
    let mut words = 0;
    for column in 0..columns {
        let at = at + 8 + column * 8;
        let of = usize::from(image[at + 4]) + 256 * usize::from(image[at + 5]);
        text.push_str(&format!(" {}:{:#x}*{of}/{}", image[at + 6], u32_at(image, at), image[at + 7]));
        words += of;
    }
    text.push('\n');
    let mut at = at + 8 + columns * 8;
    for _ in 0..records {
        text.push_str(&format!("  {:#x} {:#x}:", u32_at(image, at), u32_at(image, at + 4)));
        for word in 0..words {
            text.push_str(&format!(" {:x}", u32_at(image, at + 8 + word * 4)));
        }
        text.push('\n');
        at += 8 + words * 4;
    }
    at
}

#[test]
fn layout_of_the_sections() {
    let image = full_state(2, 96).to_image().unwrap();
    let mut text = format!("kind {} length {} sections {}\n", u32_at(&image, 12), u32_at(&image, 16), u32_at(&image, 24));
    for place in sections(&image).unwrap() {
        text.push_str(&format!("section {} at {} length {}\n", place.id, place.offset, place.length));
    }
    for (id, tables) in [(32, vec!["distributor", "SPIs"]), (33, vec!["vCPUs"])] {
        let at = tables.iter().fold(section(&image, id).start, |at, what| describe_table(&image, at, what, &mut text));
        assert_eq!(at, section(&image, id).end, "section {id}");
    }
    snapshot!("image_gicv2", text);
}

#[test]
fn an_image_is_the_state_again() {
    for (vcpus, irqs) in [(1, 64), (2, 96), (8, 1024)] {
        let state = full_state(vcpus, irqs);
        let image = state.to_image().unwrap();
        assert_eq!(image.len(), state.image_bytes());
        assert_eq!((image::kind(&image), image::length(&image)), (Ok(Kind::Gicv2), Ok(image.len())));
        let read = Gicv2State::parse(&image).unwrap();
        assert_eq!((&read, read.to_image()), (&state, Ok(image.clone())));
        assert_eq!(read.topology(), Ok(Vcpus::with_default_mpidrs(vcpus).unwrap()));
        assert_eq!(Gicv3State::parse(&image), Err(ImageError::WrongKind { expected: Kind::Gicv3, found: Kind::Gicv2 }));
    }
}

#[test]
fn serde_gives_the_state_again() {
    let state = full_state(2, 64);
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<Gicv2State>(&text).unwrap(), state);
    assert_eq!(text, serde_json::to_string(&state.to_image().unwrap()).unwrap());
}

/// Every bit of an image counts: a reader takes none that was changed.
#[test]
fn a_changed_bit_is_found() {
    let good = full_state(1, 64).to_image().unwrap();
    for at in 0..good.len() * 8 {
        let mut image = good.clone();
        image[at / 8] ^= 1 << (at % 8);
        assert!(Gicv2State::parse(&image).is_err(), "bit {at}");
    }
    for length in 0..good.len() {
        assert!(Gicv2State::parse(&good[..length]).is_err(), "{length} bytes");
    }
}

/// Gives changed bytes the checksum that a forger would give them.
fn forge(mut image: Vec<u8>) -> Vec<u8> {
    image[28..32].fill(0);
    let crc = image.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    image[28..32].copy_from_slice(&(!crc).to_le_bytes());
    image
}

/// Where the first record of the table at `at` is.
fn first_record(image: &[u8], at: usize) -> usize {
    at + 8 + u32_at(image, at) as usize * 8
}

#[test]
fn every_kind_of_malformed_image_is_an_error() {
    let good = full_state(2, 64).to_image().unwrap();
    let (dist, vcpus) = (section(&good, 32), section(&good, 33));
    let record = first_record(&good, dist.start);
    // Name and three registers.
    let spis = record + 8 + 12;
    let vcpu = first_record(&good, vcpus.start);
    let vcpu_bytes = (vcpus.end - vcpu) / 2;
    let length = |id, range: &std::ops::Range<usize>, more: usize| ImageError::SectionLength {
        id,
        found: range.len() as u64,
        expected: (range.len() + more) as u64,
    };
    let block_bytes = dist.end - first_record(&good, spis);
    let set = |at: usize, value: u32| {
        let mut image = good.clone();
        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        Gicv2State::parse(&forge(image)).unwrap_err()
    };
    let cases = [
        (record, 1000, ImageError::Topology(TopologyError::NrIrqs { found: 1000 })),
        (record + 4, 1, ImageError::Reserved { id: 32 }),
        (record, 96, ImageError::ExactCount { id: 32, what: "times 32 SPIs", expected: 2, found: 1 }),
        (dist.start + 4, 2, ImageError::Count { id: 32, what: "distributors", found: 2, max: 1 }),
        (dist.start + 4, 0, ImageError::ExactCount { id: 32, what: "distributors", expected: 1, found: 0 }),
        (spis + 4, 33, ImageError::Count { id: 32, what: "times 32 SPIs", found: 33, max: 32 }),
        (spis + 4, 2, length(32, &dist, block_bytes)),
        (first_record(&good, spis) + 4, 1, ImageError::Reserved { id: 32 }),
        (vcpus.start + 4, 9, ImageError::Count { id: 33, what: "vCPUs", found: 9, max: 8 }),
        (vcpus.start + 4, 3, length(33, &vcpus, vcpu_bytes)),
        (vcpu, 512, ImageError::Topology(TopologyError::VcpuId { found: 512 })),
        (vcpu, 1, ImageError::Topology(TopologyError::DuplicateVcpuId { id: id(1) })),
        (
            vcpu + vcpu_bytes + 4,
            0,
            ImageError::Topology(TopologyError::DuplicateMpidr { mpidr: vgic_state::Mpidr::new(0, 0, 0, 0) }),
        ),
        // The column of GICC_CTLR becomes GICC_APR0, which is there too.
        (vcpus.start + 16, 0xd0, ImageError::DuplicateRegister { section: 33, register: Attr::gicv2_cpu(id(0), 0xd0).id() }),
        (vcpus.start + 16, 0x20, ImageError::UnknownRegister { section: 33, register: Attr::gicv2_cpu(id(0), 0x20).id() }),
    ];
    for (at, value, error) in cases {
        assert_eq!(set(at, value), error, "{value:#x} at {at}");
    }
}

/// An image by a host with fewer registers, or by a later version with one more that is not critical.
#[test]
fn registers_that_may_be_missing() {
    let mut state = full_state(1, 64);
    let good = state.to_image().unwrap();
    let vcpus = section(&good, 33);
    let column = (0..9).map(|n| vcpus.start + 8 + n * 8).find(|at| u32_at(&good, *at) == 0xdc).unwrap();
    let mut image = good.clone();
    // Another register, not critical, in the place of GICC_APR3.
    image[column..column + 4].copy_from_slice(&0xe0_u32.to_le_bytes());
    image[column + 7] = 0;
    state.vcpus[0].gicc.apr3 = 0;
    assert_eq!(Gicv2State::parse(&forge(image.clone())), Ok(state));
    image[column + 7] = 1;
    let register = Attr::gicv2_cpu(id(0), 0xe0).id();
    assert_eq!(Gicv2State::parse(&forge(image)), Err(ImageError::UnknownRegister { section: 33, register }));
}

#[test]
fn what_no_reader_would_take_is_not_written() {
    let mut state = full_state(8, 64);
    let mut ninth = state.vcpus[7];
    ninth.vcpu = vgic_state::Vcpu::with_default_mpidr(8).unwrap();
    state.vcpus.push(ninth);
    assert_eq!(state.to_image(), Err(Error::Image(ImageError::Count { id: 33, what: "vCPUs", found: 9, max: 8 })));
    state.vcpus.clear();
    assert_eq!(state.to_image(), Err(Error::Topology(TopologyError::NoVcpu)));
    let mut state = full_state(1, 96);
    state.spis.swap(0, 1);
    assert_eq!(state.to_image(), Err(Error::Image(ImageError::Spis { nr_irqs: 96 })));
    let state = full_state(1, 96);
    let needed = state.image_bytes();
    assert!(matches!(state.encode(&mut vec![0; needed - 1]), Err(Error::Buffer(_))));
    assert_eq!(state.encode(&mut vec![0; needed + 1]), Ok(needed));
}

#[test]
fn pending_levels_are_those_whose_lines_may_be_high() {
    let mut state = full_state(2, 96);
    for vcpu in &mut state.vcpus {
        vcpu.private.pending = [0x0800_8001]; // SGI 0, SGI 15, PPI 27
    }
    state.spis[0].interrupts.config = [0, 0xaaaa_aaaa]; // 16 level, 16 edge
    state.spis[0].interrupts.pending = [0x0001_8001];
    state.spis[1].interrupts.config = [0xaaaa_aaa8, 0x8000_0000];
    state.spis[1].interrupts.pending = [u32::MAX];
    let ppis: Vec<_> = state.pending_level_ppis().collect();
    assert_eq!(ppis, [(id(0), IntId::Ppi(11)), (id(1), IntId::Ppi(11))]);
    assert_eq!(state.pending_level_spis().to_string(), "SPI 0, SPI 15, SPI 32, SPI 48 to 62");
}
