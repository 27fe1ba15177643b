//! The sections of a GICv3: their layout, and each way of being wrong. `docs/image-format.md` read a second time.

use crate::common::{Config, filled, fresh, memory, trace};
use crate::save::Save as _;
use crate::snapshot::snapshot;
use vgic_state::gicv3::Gicv3State;
use vgic_state::image::ImageError;
use vgic_state::{Attr, AttrId, DynInterruptState, Error, TopologyError};

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
    for (id, per_table) in [(16, vec!["distributor", "SPIs"]), (17, vec!["vCPUs"]), (18, vec!["ITSes"])] {
        let mut at = section(&image, id);
        for what in per_table {
            at = describe_table(&image, at, what, &mut text);
        }
        assert_eq!(at, section_of(&image, id).end, "section {id}");
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

/// Where the first record of the table at `at` is.
fn first_record(image: &[u8], at: usize) -> usize {
    at + 8 + u32_at(image, at) as usize * 8
}

#[test]
fn contents_of_sections() {
    let image = good();
    let [dist, vcpus, its] = [16, 17, 18].map(|id| section(&image, id));
    let of_dist = first_record(&image, dist);
    // GICD_TYPER, GICD_IIDR, GICD_TYPER2, GICD_CTLR.
    let spis = of_dist + 8 + 4 * 4;
    let of_vcpus = first_record(&image, vcpus);
    // A table at the end of a section that has two records, and says how many.
    let length = |id, first: usize, count| {
        let range = section_of(&image, id);
        let expected = first - range.start + count * (range.end - first) / 2;
        ImageError::SectionLength { id, found: range.len() as u64, expected: expected as u64 }
    };
    let put = |at: usize, value: u32| move |image: &mut Vec<u8>| image[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let count = |id, what, found: u32, max| ImageError::Count { id, what, found: found.into(), max };
    let [typer, other] = [4, 0x44].map(|offset| Attr::dist(offset).id());
    for (change, expected) in [
        (put(of_dist, 33), ImageError::Topology(TopologyError::NrIrqs { found: 33 })),
        (put(of_dist, 128), ImageError::ExactCount { id: 16, what: "times 32 SPIs", expected: 3, found: 2 }),
        (put(of_dist + 4, 1), ImageError::Reserved { id: 16 }),
        (put(dist, 257), count(16, "registers", 257, 256)),
        (put(dist, u32::MAX), count(16, "registers", u32::MAX, 256)),
        (put(dist + 4, 2), count(16, "distributors", 2, 1)),
        (put(dist + 4, 0), ImageError::ExactCount { id: 16, what: "distributors", expected: 1, found: 0 }),
        (put(dist + 8, 0x44), ImageError::UnknownRegister { section: 16, register: other }),
        (put(dist + 8, 8), ImageError::DuplicateRegister { section: 16, register: Attr::dist(8).id() }),
        (put(dist + 12, 0x0101_0002), ImageError::RegisterWidth { section: 16, register: typer, expected: 1, found: 2 }),
        (put(dist + 12, 0x0001_0001), ImageError::RegisterFlags { section: 16, register: typer, flags: 0 }),
        (put(dist + 12, 0x0301_0001), ImageError::RegisterFlags { section: 16, register: typer, flags: 3 }),
        (put(spis + 4, 33), count(16, "times 32 SPIs", 33, 32)),
        (put(spis + 4, 1), length(16, first_record(&image, spis), 1)),
        (put(first_record(&image, spis) + 4, 7), ImageError::Reserved { id: 16 }),
        (put(vcpus + 4, 513), count(17, "vCPUs", 513, 512)),
        (put(vcpus + 4, 1), length(17, of_vcpus, 1)),
        (put(vcpus + 4, 3), length(17, of_vcpus, 3)),
        (put(of_vcpus, 512), ImageError::Topology(TopologyError::VcpuId { found: 512 })),
        (put(its + 4, 65), count(18, "ITSes", 65, 64)),
        (put(its + 4, u32::MAX), count(18, "ITSes", u32::MAX, 64)),
        (put(its + 4, 3), length(18, first_record(&image, its), 3)),
        (put(32, 15), ImageError::MissingSection { id: 16 }),
    ] as [(_, _); 23]
    {
        assert_eq!(refusal(change), expected);
    }
}

#[test]
fn a_serialised_state_is_its_image() {
    let state = Gicv3State::parse(&good()).expect("image");
    let json = serde_json::to_string(&state).expect("serialise");
    assert_eq!(json, serde_json::to_string(&good()).expect("bytes"));
    assert_eq!(serde_json::from_str::<Gicv3State>(&json).expect("deserialise"), state);
    let error = serde_json::from_str::<Gicv3State>("{}").expect_err("no bytes").to_string();
    assert!(error.contains("the bytes of an image of a GICv3"), "{error}");
}

/// Changes a table of one record, by its columns: attribute, words, group, flags; and the words of each.
type Columns = Vec<([u8; 8], Vec<u32>)>;

/// The image with other columns in the table of the distributor's registers, which is the first of section 16.
fn with_columns(change: impl FnOnce(&mut Columns)) -> Vec<u8> {
    let image = good();
    let range = section_of(&image, 16);
    let (at, count) = (range.start, u32_at(&image, range.start) as usize);
    let record = first_record(&image, at);
    let mut from = record + 8;
    let mut columns: Columns = (0..count)
        .map(|n| {
            let column: [u8; 8] = image[at + 8 + n * 8..at + 16 + n * 8].try_into().expect("8 bytes");
            let words = usize::from(column[4]);
            let values = (0..words).map(|word| u32_at(&image, from + word * 4)).collect();
            from += words * 4;
            (column, values)
        })
        .collect();
    change(&mut columns);
    let mut section = [columns.len() as u32, 1].map(u32::to_le_bytes).concat();
    columns.iter().for_each(|(column, _)| section.extend_from_slice(column));
    section.extend_from_slice(&image[record..record + 8]);
    columns.iter().flat_map(|(_, values)| values).for_each(|value| section.extend_from_slice(&value.to_le_bytes()));
    section.extend_from_slice(&image[from..range.end]);
    // The sections behind it move.
    let padded = section.len().next_multiple_of(8);
    let moved = padded.wrapping_sub(range.len().next_multiple_of(8));
    let mut changed = [&image[..at], &section, &vec![0; padded - section.len()], &image[range.end.next_multiple_of(8)..]].concat();
    let mut put = |at: usize, value: usize| changed[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    put(16, image.len().wrapping_add(moved));
    put(32 + 16, section.len());
    for entry in [32 + 24, 32 + 48] {
        put(entry + 8, (u64_at(&image, entry + 8) as usize).wrapping_add(moved));
    }
    forge(changed)
}

/// `GICD_TYPER`, `GICD_IIDR`, `GICD_TYPER2`, `GICD_CTLR`, in an image as it is written.
#[test]
fn registers_are_read_by_their_names() {
    let state = Gicv3State::parse(&good()).expect("image");
    assert_eq!(with_columns(|_| ()), good());
    // In any order.
    assert_eq!(Gicv3State::parse(&with_columns(|columns| columns.reverse())).as_ref(), Ok(&state));
    // Fewer: one that not every kernel has is as good as zero; every other is needed.
    let mut with = state.clone();
    with.identity.typer2 = 0x100;
    assert_eq!(Gicv3State::parse(&with_columns(|columns| columns[2].1[0] = 0x100)), Ok(with));
    let mut without = state.clone();
    without.identity.typer2 = 0;
    assert_eq!(Gicv3State::parse(&with_columns(|columns| drop(columns.remove(2)))), Ok(without));
    for (n, offset) in [(0, 4), (1, 8), (3, 0)] {
        let missing = ImageError::MissingRegister { section: 16, register: Attr::dist(offset).id() };
        assert_eq!(Gicv3State::parse(&with_columns(|columns| drop(columns.remove(n)))), Err(missing));
    }
}

#[test]
fn an_unknown_register_is_skipped_or_refused_by_its_flag() {
    let state = Gicv3State::parse(&good()).expect("image");
    let unknown = |flags: u8, words: u8| ([0x44, 0, 0, 0, words, 0, 1, flags], vec![0xdead_beef; words.into()]);
    let register = Attr::dist(0x44).id();
    for place in 0..=4 {
        for words in [1, 2, 7] {
            let image = with_columns(|columns| columns.insert(place, unknown(0, words)));
            assert_eq!(Gicv3State::parse(&image).as_ref(), Ok(&state), "{words} words at {place}");
            let image = with_columns(|columns| columns.insert(place, unknown(1, words)));
            assert_eq!(Gicv3State::parse(&image), Err(ImageError::UnknownRegister { section: 16, register }));
            let image = with_columns(|columns| columns.insert(place, unknown(2, words)));
            assert_eq!(Gicv3State::parse(&image), Err(ImageError::RegisterFlags { section: 16, register, flags: 2 }));
        }
    }
    let image = with_columns(|columns| columns.extend([unknown(0, 1), unknown(0, 1)]));
    assert_eq!(Gicv3State::parse(&image), Err(ImageError::DuplicateRegister { section: 16, register }));
    let image = with_columns(|columns| columns.push(unknown(0, 0)));
    assert_eq!(Gicv3State::parse(&image), Err(ImageError::RegisterWidth { section: 16, register, expected: 1, found: 0 }));
    // The same number in another group is another register.
    let image = with_columns(|columns| columns.push(([4, 0, 0, 0, 1, 0, 9, 1], vec![1])));
    let register = AttrId::from_raw(9, 4);
    assert_eq!(Gicv3State::parse(&image), Err(ImageError::UnknownRegister { section: 16, register }));
}
