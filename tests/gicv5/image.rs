//! The image format: its layout, byte by byte, and each way of being wrong.
//!
//! `docs/image-format.md` is read here a second time, by code that shares nothing with the crate's.

use crate::common::{filled, fresh, saved_spis, table, trace, vcpus, without_hwu};
use crate::save::Save as _;
use crate::snapshot::snapshot;
use proptest::prelude::*;
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::{self, ImageError, IstCoding, Kind};
use vgic_state::{Attr, AttrId, DynInterruptState, Error, Mpidr, TopologyError};

fn u32_at(image: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(image[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(image[at..at + 8].try_into().expect("8 bytes"))
}

/// CRC-32 (ISO-HDLC), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Gives changed bytes the length and the checksum that a forger would give them.
fn forge(mut image: Vec<u8>) -> Vec<u8> {
    let length = image.len() as u64;
    image[16..24].copy_from_slice(&length.to_le_bytes());
    image[28..32].fill(0);
    let checksum = crc32(&image);
    image[28..32].copy_from_slice(&checksum.to_le_bytes());
    image
}

fn good(coding: IstCoding) -> Vec<u8> {
    filled(&vcpus(2), 32, Some(8)).flush_and_save().expect("save").to_image(coding).expect("image")
}

/// Offset and length of a section, by the section table.
fn section(image: &[u8], id: u32) -> (usize, usize) {
    let entry = (0..u32_at(image, 24) as usize).map(|n| 32 + n * 24).find(|entry| u32_at(image, *entry) == id).expect("section");
    (u64_at(image, entry + 8) as usize, u64_at(image, entry + 16) as usize)
}

#[test]
fn the_checksum_is_the_documented_one() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    for coding in [IstCoding::Raw, IstCoding::Sparse] {
        let image = good(coding);
        assert_eq!(forge(image.clone()), image);
    }
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
fn the_layout_of_an_image_is_the_documented_one() {
    for (name, coding) in [("image_raw", IstCoding::Raw), ("image_sparse", IstCoding::Sparse)] {
        let image = filled(&vcpus(2), 32, Some(8)).flush_and_save().expect("save").to_image(coding).expect("image");
        let mut text = format!(
            "{:?} version {} kind {} length {} sections {}\n",
            std::str::from_utf8(&image[..8]).expect("ASCII"),
            u32_at(&image, 8),
            u32_at(&image, 12),
            u64_at(&image, 16),
            u32_at(&image, 24),
        );
        assert_eq!(u64_at(&image, 16), image.len() as u64);
        for n in 0..u32_at(&image, 24) as usize {
            let entry = 32 + n * 24;
            let (offset, length) = (u64_at(&image, entry + 8), u64_at(&image, entry + 16));
            text.push_str(&format!(
                "section {} flags {} at {offset} length {length}\n",
                u32_at(&image, entry),
                u32_at(&image, entry + 4),
            ));
        }
        for (id, what) in [(1, "IRS"), (2, "vCPUs")] {
            let (at, length) = section(&image, id);
            assert_eq!(describe_table(&image, at, what, &mut text), at + length);
        }
        for id in [3, 4] {
            let (at, length) = section(&image, id);
            let (coding, entries) = (u32_at(&image, at), u32_at(&image, at + 4));
            text.push_str(&format!("table {id}: coding {coding}, {entries} entries, {} bytes\n", length - 8));
        }
        snapshot!(name, text);
    }
}

#[test]
fn a_raw_table_is_the_kernels_bytes() {
    let image = good(IstCoding::Raw);
    let (spi, length) = section(&image, 3);
    assert_eq!(&image[spi + 8..spi + length], saved_spis(&table(1, 32, &vcpus(2))));
    let (lpi, length) = section(&image, 4);
    assert_eq!(&image[lpi + 8..lpi + length], without_hwu(&table(2, 256, &vcpus(2))));
    assert_eq!(Gicv5State::parse(&image).expect("parse").lpi_ist.expect("LPIs").as_bytes().as_ptr(), image[lpi + 8..].as_ptr());
}

#[test]
fn sixty_four_of_65536_lpis_take_less_than_2_kib() {
    let mut gic = fresh(&vgic_state::Vcpus::with_default_mpidrs(1).expect("vCPU"), 32);
    for spread in [1, 64, 1024] {
        let mut lpis = vec![0; 4 << 16];
        for n in 0..64_usize {
            lpis[n * spread * 4..n * spread * 4 + 4].copy_from_slice(&0xf808_u32.to_le_bytes());
        }
        gic.device_mut().plant_lpi_ist(16, &lpis).expect("table");
        let state = gic.flush_and_save().expect("save");
        let image = state.to_image(IstCoding::Sparse).expect("image");
        assert!(image.len() < 2048, "{} bytes", image.len());
        assert!(state.to_image(IstCoding::Raw).expect("image").len() > 4 << 16);
        assert_eq!(Gicv5State::parse(&image).expect("parse"), state);
    }
}

/// The image of a changed copy, forged, and what the reader says to it; the device sees nothing.
fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> ImageError {
    let mut image = good(IstCoding::Raw);
    change(&mut image);
    refusal_of(forge(image))
}

fn refusal_of(image: Vec<u8>) -> ImageError {
    let mut destination = fresh(&vcpus(2), 32);
    let error = match destination.restore_image(&image) {
        Err(Error::Image(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(destination.check_image(&image), Err(Error::Image(error)));
    assert_eq!(Gicv5State::parse(&image), Err(error));
    assert_eq!(trace(&destination), "");
    error
}

fn put32(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put64(image: &mut [u8], at: usize, value: u64) {
    image[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn sections_are_listed_without_being_read() {
    let image = good(IstCoding::Raw);
    let sections = image::sections(&image).expect("image");
    let ids: Vec<u32> = sections.iter().map(|section| section.id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    // One record under twelve registers, one of which has 64 bits.
    let first = sections[0];
    assert_eq!((first.offset, first.length), (32 + 4 * 24, 8 + 12 * 8 + 8 + 13 * 4));
    let last = sections[3];
    assert_eq!((last.offset + last.length).next_multiple_of(8), image.len());
    assert_eq!(image::sections(&image[1..]), Err(ImageError::NotAnImage));
}

#[test]
fn a_wrong_header_is_refused_by_what_is_wrong_in_it() {
    assert_eq!(refusal_of(vec![]), ImageError::Truncated { expected: 32, found: 0 });
    assert_eq!(refusal_of(b"VGICSTAU".to_vec()), ImageError::NotAnImage);
    assert_eq!(refusal_of(b"VGIK".to_vec()), ImageError::NotAnImage);
    assert_eq!(refusal(|image| image[0] = b'v'), ImageError::NotAnImage);
    assert_eq!(refusal(|image| put32(image, 8, 0)), ImageError::UnknownVersion { found: 0 });
    assert_eq!(refusal(|image| put32(image, 8, 2)), ImageError::UnknownVersion { found: 2 });
    assert_eq!(refusal(|image| put32(image, 12, 4)), ImageError::UnknownKind { found: 4 });
    assert_eq!(
        image::kind(&forge({
            let mut image = good(IstCoding::Raw);
            put32(&mut image, 12, 77);
            image
        })),
        Err(ImageError::UnknownKind { found: 77 })
    );
    let wrong = ImageError::WrongKind { expected: Kind::Gicv5, found: Kind::Gicv3 };
    assert_eq!(refusal(|image| put32(image, 12, 3)), wrong);
    let mut image = good(IstCoding::Raw);
    image[40] ^= 1;
    assert!(matches!(refusal_of(image), ImageError::Checksum { .. }));
    let mut image = good(IstCoding::Raw);
    let found = image.len() as u64;
    put64(&mut image, 16, u64::MAX);
    assert_eq!(refusal_of(image), ImageError::Truncated { expected: u64::MAX, found });
}

#[test]
fn the_length_of_an_image_in_an_area_of_a_fixed_size() {
    let image = good(IstCoding::Sparse);
    let mut area = image.clone();
    area.resize(8192, 0xa5);
    assert_eq!(image::length(&area), Ok(image.len()));
    assert_eq!(image::length(&image), Ok(image.len()));
    let (expected, found) = (image.len() as u64, image.len() as u64 - 1);
    assert_eq!(image::length(&image[..image.len() - 1]), Err(ImageError::Truncated { expected, found }));
    assert_eq!(image::length(&image[..20]), Err(ImageError::Truncated { expected: 32, found: 20 }));
    assert_eq!(image::length(&[0xa5; 64]), Err(ImageError::NotAnImage));
    for found in [0, 1, 31] {
        put64(&mut area, 16, found);
        assert_eq!(image::length(&area), Err(ImageError::HeaderLength { found }));
        assert_eq!(image::kind(&area), Err(ImageError::HeaderLength { found }));
    }
    put64(&mut area, 16, 32);
    assert_eq!(image::length(&area), Ok(32));
    put64(&mut area, 16, u64::MAX);
    assert_eq!(image::length(&area), Err(ImageError::Truncated { expected: u64::MAX, found: 8192 }));
}

#[test]
fn a_wrong_section_table_is_refused_by_what_is_wrong_in_it() {
    let max = u64::from(image::MAX_SECTIONS);
    assert_eq!(refusal(|image| put32(image, 24, 65)), ImageError::Count { id: 0, what: "sections", found: 65, max });
    let found = u64::from(u32::MAX);
    assert_eq!(refusal(|image| put32(image, 24, u32::MAX)), ImageError::Count { id: 0, what: "sections", found, max });
    // No more sections than the bytes can hold.
    let mut short = good(IstCoding::Raw);
    short.truncate(32 + 24);
    put32(&mut short, 24, 2);
    assert_eq!(refusal_of(forge(short)), ImageError::Count { id: 0, what: "sections", found: 2, max: 1 });

    assert_eq!(refusal(|image| put32(image, 36, 3)), ImageError::SectionFlags { id: 1, flags: 3 });
    assert_eq!(refusal(|image| put32(image, 32 + 24, 1)), ImageError::DuplicateSection { id: 1 });
    assert_eq!(refusal(|image| put32(image, 32 + 24, 9)), ImageError::SectionOrder { id: 3 });
    assert_eq!(refusal(|image| put32(image, 32, 0)), ImageError::MissingSection { id: 1 });
    assert_eq!(refusal(|image| put32(image, 36, 0)), ImageError::SectionFlags { id: 1, flags: 0 });
    for offset in [0, 8, 127, 129, 136, u64::MAX, 1 << 32] {
        assert_eq!(refusal(|image| put64(image, 40, offset)), ImageError::SectionPlace { id: 1 });
    }
    for length in [u64::MAX, 1 << 40, 1 << 20] {
        assert_eq!(refusal(|image| put64(image, 48, length)), ImageError::SectionPlace { id: 1 });
    }
    // A section that ends early leaves bytes that belong to none.
    let offset = section(&good(IstCoding::Raw), 4).0 as u64;
    assert_eq!(refusal(|image| put64(image, 32 + 2 * 24 + 16, 132)), ImageError::Padding { offset });
    // Every critical section must be understood.
    let error = refusal(|image| add_section(image, 7, 1));
    assert_eq!(error, ImageError::UnknownCriticalSection { id: 7 });
    // The section table ends early: its last section belongs to nothing.
    let error = refusal(|image| {
        put32(image, 24, 3);
        let end = 32 + 3 * 24;
        image.drain(end..end + 24);
        shift_sections(image, 3, -24);
    });
    let length = good(IstCoding::Raw).len() as u64 - 24;
    assert!(matches!(error, ImageError::BytesOfNoSection { end, length: found } if end < length && found == length), "{error}");
}

/// Moves the offsets of the first `count` sections.
fn shift_sections(image: &mut [u8], count: usize, by: i64) {
    for n in 0..count {
        let at = 32 + n * 24 + 8;
        let offset = u64_at(image, at).wrapping_add_signed(by);
        put64(image, at, offset);
    }
}

/// Appends a section of 5 bytes.
fn add_section(image: &mut Vec<u8>, id: u32, flags: u32) {
    let count = u32_at(image, 24) as usize;
    put32(image, 24, count as u32 + 1);
    let at = 32 + count * 24;
    image.splice(at..at, [0; 24]);
    shift_sections(image, count, 24);
    let offset = image.len() as u64;
    put32(image, at, id);
    put32(image, at + 4, flags);
    put64(image, at + 8, offset);
    put64(image, at + 16, 5);
    image.extend([1, 2, 3, 4, 5, 0, 0, 0]);
}

#[test]
fn an_unknown_section_that_is_not_critical_is_skipped() {
    let image = good(IstCoding::Raw);
    let mut extended = image.clone();
    add_section(&mut extended, 7, 0);
    let extended = forge(extended);
    assert_eq!(Gicv5State::parse(&extended), Gicv5State::parse(&image));
    let mut bad = extended;
    *bad.last_mut().expect("padding") = 1;
    let offset = bad.len() as u64;
    assert_eq!(refusal_of(forge(bad)), ImageError::Padding { offset });
}

type Change = Box<dyn Fn(&mut Vec<u8>)>;

#[test]
fn contents_of_sections() {
    let image = good(IstCoding::Raw);
    let [irs, icc, spi, lpi] = [1, 2, 3, 4].map(|id| section(&image, id).0);
    let (of_irs, of_vcpus) = (irs + 8 + 12 * 8, icc + 8 + 26 * 8);
    let length = |id, expected| ImageError::SectionLength { id, found: section(&image, id).1 as u64, expected };
    let of_vcpu_count = |count: u64| length(2, 8 + 26 * 8 + count * 216);
    let entries = |id, found| {
        let rule = if id == 3 { "a multiple of 32, from 32 to 1024" } else { "a power of two, from 1 to 65536" };
        ImageError::TableEntries { id, found, rule }
    };
    let [idr0, idr3] = [0, 0xc].map(|offset| Attr::irs(offset).id());
    let [pcr, other] = [0xce02, 0xce03].map(|instr| Attr::cpu_sysreg(Mpidr::from_packed(0), instr).id());
    let last = icc + 8 + 25 * 8;
    assert_eq!(u32_at(&image, last), 0xce02);
    let cases: Vec<(Change, ImageError)> = vec![
        (Box::new(move |i| put32(i, of_irs, 33)), ImageError::Topology(TopologyError::SpiCount { found: 33 })),
        (Box::new(move |i| put32(i, of_irs + 4, 1)), ImageError::Reserved { id: 1 }),
        (Box::new(move |i| put32(i, irs, 257)), ImageError::Count { id: 1, what: "registers", found: 257, max: 256 }),
        (Box::new(move |i| put32(i, irs, 256)), length(1, 8 + 256 * 8)),
        (Box::new(move |i| put32(i, irs, 0)), ImageError::MissingRegister { section: 1, register: idr0 }),
        (Box::new(move |i| put32(i, irs + 4, 2)), ImageError::Count { id: 1, what: "IRSes", found: 2, max: 1 }),
        (Box::new(move |i| put32(i, irs + 4, 0)), ImageError::ExactCount { id: 1, what: "IRSes", expected: 1, found: 0 }),
        (Box::new(move |i| put32(i, irs + 8, 0xc)), ImageError::UnknownRegister { section: 1, register: idr3 }),
        (
            Box::new(move |i| i.copy_within(irs + 8..irs + 16, irs + 16)),
            ImageError::DuplicateRegister { section: 1, register: idr0 },
        ),
        (Box::new(move |i| i[irs + 12] = 2), ImageError::RegisterWidth { section: 1, register: idr0, expected: 1, found: 2 }),
        (Box::new(move |i| i[irs + 12] = 0), ImageError::RegisterWidth { section: 1, register: idr0, expected: 1, found: 0 }),
        (Box::new(move |i| i[irs + 15] = 0), ImageError::RegisterFlags { section: 1, register: idr0, flags: 0 }),
        (Box::new(move |i| i[irs + 15] = 0x81), ImageError::RegisterFlags { section: 1, register: idr0, flags: 0x81 }),
        (Box::new(move |i| put32(i, icc + 4, 513)), ImageError::Count { id: 2, what: "vCPUs", found: 513, max: 512 }),
        (
            Box::new(move |i| put32(i, icc + 4, u32::MAX)),
            ImageError::Count { id: 2, what: "vCPUs", found: u32::MAX.into(), max: 512 },
        ),
        (Box::new(move |i| put32(i, icc + 4, 1)), of_vcpu_count(1)),
        (Box::new(move |i| put32(i, icc + 4, 3)), of_vcpu_count(3)),
        (Box::new(move |i| put32(i, last, 0xce03)), ImageError::UnknownRegister { section: 2, register: other }),
        (Box::new(move |i| i[last + 7] = 0), ImageError::RegisterFlags { section: 2, register: pcr, flags: 0 }),
        (Box::new(move |i| put32(i, of_vcpus, 512)), ImageError::Topology(TopologyError::VcpuId { found: 512 })),
        (Box::new(move |i| put32(i, spi, 2)), ImageError::Coding { id: 3, found: 2 }),
        (Box::new(move |i| put32(i, spi + 4, 64)), ImageError::SectionLength { id: 3, found: 136, expected: 264 }),
        (Box::new(move |i| put32(i, spi + 4, 1025)), entries(3, 1025)),
        (Box::new(move |i| put32(i, lpi + 4, 65537)), entries(4, 65537)),
        (Box::new(move |i| put32(i, lpi + 4, u32::MAX)), entries(4, u32::MAX)),
        (Box::new(move |i| put32(i, lpi, 1)), ImageError::Sparse { id: 4 }),
    ];
    for (change, expected) in cases {
        assert_eq!(refusal(|image| change(image)), expected);
    }
    // Two vCPUs with one name, or with the other's.
    let error = refusal(|image| image.copy_within(of_vcpus..of_vcpus + 4, of_vcpus + 216));
    assert!(matches!(error, ImageError::Topology(TopologyError::DuplicateVcpuId { .. })), "{error}");
    let error = refusal(|image| image.copy_within(of_vcpus + 4..of_vcpus + 8, of_vcpus + 4 + 216));
    assert!(matches!(error, ImageError::Topology(TopologyError::DuplicateMpidr { .. })), "{error}");
}

#[test]
fn sparse_tables_of_a_size_that_no_table_has() {
    for entries in [0, 3, 96, 300] {
        let mut image = good(IstCoding::Sparse);
        let (lpi, length) = section(&image, 4);
        image.truncate(lpi + 8);
        put32(&mut image, lpi + 4, entries);
        // No entry that is not zero: the index alone.
        image.extend(vec![0; (entries as usize).div_ceil(4096) * 8]);
        let at = 32 + 3 * 24 + 16;
        let shorter = image.len() - lpi;
        assert!(shorter < length);
        put64(&mut image, at, shorter as u64);
        let error = refusal_of(forge(image));
        assert_eq!(error, ImageError::TableEntries { id: 4, found: entries, rule: "a power of two, from 1 to 65536" });
    }
}

#[test]
fn sections_of_every_length() {
    let image = good(IstCoding::Raw);
    for id in 1..=4 {
        let (start, length) = section(&image, id);
        for shorter in 0..length {
            // The section alone is cut; those behind it move up.
            let mut cut = image.clone();
            let padded = |bytes: usize| bytes.next_multiple_of(8);
            cut.splice(start + shorter..start + padded(length), vec![0; padded(shorter) - shorter]);
            put64(&mut cut, 32 + (id as usize - 1) * 24 + 16, shorter as u64);
            for later in id as usize..4 {
                let at = 32 + later * 24 + 8;
                let moved = u64_at(&cut, at) - (padded(length) - padded(shorter)) as u64;
                put64(&mut cut, at, moved);
            }
            let error = refusal_of(forge(cut));
            match error {
                // At least what was there before, or the count in front of it.
                ImageError::SectionLength { found, expected, .. } => {
                    assert!(found == shorter as u64 && (found + 1..=length as u64).contains(&expected), "section {id}: {error}");
                }
                ImageError::TableEntries { .. } => {}
                _ => panic!("section {id}, {shorter}: {error}"),
            }
        }
    }
}

#[test]
fn every_image_error_has_its_message() {
    let all = [
        ImageError::NotAnImage,
        ImageError::UnknownVersion { found: 9 },
        ImageError::UnknownKind { found: 4 },
        ImageError::WrongKind { expected: Kind::Gicv5, found: Kind::Gicv3 },
        ImageError::Truncated { expected: 100, found: 99 },
        ImageError::TrailingBytes { expected: 100, found: 101 },
        ImageError::Checksum { expected: 1, found: 2 },
        ImageError::Count { id: 2, what: "vCPUs", found: 513, max: 512 },
        ImageError::HeaderLength { found: 31 },
        ImageError::BytesOfNoSection { end: 96, length: 128 },
        ImageError::ExactCount { id: 19, what: "configured LPIs", expected: 2, found: 3 },
        ImageError::TableEntries { id: 4, found: 3, rule: "a power of two, from 1 to 65536" },
        ImageError::SectionPlace { id: 3 },
        ImageError::SectionFlags { id: 3, flags: 2 },
        ImageError::Padding { offset: 64 },
        ImageError::DuplicateSection { id: 3 },
        ImageError::SectionOrder { id: 2 },
        ImageError::UnknownCriticalSection { id: 9 },
        ImageError::MissingSection { id: 3 },
        ImageError::SectionLength { id: 3, found: 7, expected: 8 },
        ImageError::SectionLength { id: 3, found: 9, expected: 8 },
        ImageError::Reserved { id: 1 },
        ImageError::UnknownRegister { section: 1, register: Attr::irs(0x190).id() },
        ImageError::UnknownRegister { section: 2, register: AttrId::from_raw(99, 7) },
        ImageError::MissingRegister { section: 17, register: Attr::redist(Mpidr::from_packed(0), 8).id() },
        ImageError::DuplicateRegister { section: 18, register: Attr::its(0x108).id() },
        ImageError::RegisterFlags { section: 1, register: Attr::irs(0).id(), flags: 2 },
        ImageError::RegisterWidth { section: 1, register: Attr::irs(0).id(), expected: 1, found: 2 },
        ImageError::Coding { id: 4, found: 2 },
        ImageError::Sparse { id: 4 },
        ImageError::Topology(TopologyError::NoVcpu),
    ];
    let text: String = all.iter().map(|error| format!("{error}\n")).collect();
    snapshot!("image_errors", text);
    assert_eq!([Kind::Gicv3, Kind::Gicv5].map(|kind| kind.to_string()), ["GICv3", "GICv5"]);
}

proptest! {
    #![proptest_config(crate::seeds::cases(512))]

    /// Forged bytes are refused, or are a state whose own image says the same.
    #[test]
    fn whatever_is_accepted_is_what_it_says(
        sparse in any::<bool>(),
        changes in prop::collection::vec((32_usize..1600, any::<u8>()), 1..4),
    ) {
        let coding = if sparse { IstCoding::Sparse } else { IstCoding::Raw };
        let mut image = good(coding);
        for (at, value) in changes {
            let at = at % image.len();
            image[at] = value;
        }
        let image = forge(image);
        if let Ok(state) = Gicv5State::parse(&image) {
            let again = state.to_image(coding).expect("image");
            prop_assert_eq!(Gicv5State::parse(&again), Ok(state));
        }
        let mut destination = fresh(&vcpus(2), 32);
        match destination.restore_image(&image) {
            Ok(_) => prop_assert!(!trace(&destination).is_empty()),
            Err(Error::Access(error)) => prop_assert!(false, "the check let through what the kernel refuses: {}", error),
            Err(_) => prop_assert_eq!(trace(&destination), ""),
        }
    }
}
