//! The image reader, and what is done with a state before a device is touched.
//!
//! Specification: `docs/image-format.md`.
//!
//! Rule: an image that is accepted has a meaning for every byte: it is encoded to the same bytes again.

use crate::bound::bounded;
use vgic_state::gicv2::{self, Gicv2State};
use vgic_state::gicv3::{self, Gicv3State};
use vgic_state::gicv5::{self, Gicv5State};
use vgic_state::image::{
    self, HEADER_BYTES, ImageError, IstCoding, Kind, MAGIC, MAX_SECTIONS, SECTION_CRITICAL, SECTION_ENTRY_BYTES, VERSION,
};
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::report::{Problem, Report, Severity};
use vgic_state::{Error, GuestRange, NoGuestMemory};

/// Bytes that the header may cost: the list of sections.
const OPEN: (usize, usize) = (0, 4096);
/// A GICv2: registers.
const GICV2: (usize, usize) = (2, 4096);
/// A GICv3: an event of 6 bytes is kept as 12, listed in 4 and sorted, and has 8 of configuration.
const GICV3: (usize, usize) = (8, 4096);
/// A GICv5: tables in sparse coding have up to 4 KiB and 256 KiB, from 1/2048 of that.
const GICV5: (usize, usize) = (2, (4 + 256) * 1024 + 4096);
/// The comparison with a target: lists of vCPUs.
const FIT: (usize, usize) = (24, 16 * 1024);
/// What is wrong with a GICv3: a bit for each INTID, trees of collections and devices, the tables; the findings.
const PROBLEMS3: (usize, usize) = (48, 64 * 1024);
/// With a GICv2 and a GICv5: the findings, and the lines to drive.
const PROBLEMS5: (usize, usize) = (24, 16 * 1024);

pub fn run(data: &[u8]) {
    read(data);
    let mut image = data.to_vec();
    if forge(&mut image) {
        read(&image);
    }
    if lay_out(&mut image) && forge(&mut image) {
        read(&image);
    }
}

/// Gives bytes the header of an image of their length, with their checksum. Kind and number of sections stay.
pub fn forge(image: &mut [u8]) -> bool {
    let length = image.len() as u64;
    let Some(header) = image.get_mut(..HEADER_BYTES) else { return false };
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&length.to_le_bytes());
    header[28..32].fill(0);
    let checksum = crc32fast::hash(image);
    image[28..32].copy_from_slice(&checksum.to_le_bytes());
    true
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

fn entries(image: &[u8]) -> Option<std::ops::Range<usize>> {
    let count = u32_at(image, 24).min(MAX_SECTIONS) as usize;
    let end = HEADER_BYTES + count * SECTION_ENTRY_BYTES;
    (end <= image.len()).then_some(HEADER_BYTES..end)
}

/// Puts the sections where the format wants them: each behind the one before it, the last up to the end, zeros in between.
fn lay_out(image: &mut Vec<u8>) -> bool {
    if image.len() < HEADER_BYTES {
        return false;
    }
    image.resize(image.len().next_multiple_of(8), 0);
    let Some(table) = entries(image) else { return false };
    let mut end = table.end;
    for entry in table.clone().step_by(SECTION_ENTRY_BYTES) {
        let start = end.next_multiple_of(8).min(image.len());
        image[end..start].fill(0);
        let left = (image.len() - start) as u64;
        let mut length = u64_at(image, entry + 16).min(left);
        if entry + SECTION_ENTRY_BYTES == table.end && length + 8 <= left {
            length = left;
        }
        image[entry + 8..entry + 16].copy_from_slice(&(start as u64).to_le_bytes());
        image[entry + 16..entry + 24].copy_from_slice(&length.to_le_bytes());
        end = start + length as usize;
    }
    image[end..].fill(0);
    true
}

/// A reader passes over a section that is not critical: its contents are lost.
fn is_kept(image: &[u8]) -> bool {
    entries(image).is_some_and(|mut entries| {
        entries.len().is_multiple_of(SECTION_ENTRY_BYTES)
            && entries.by_ref().step_by(SECTION_ENTRY_BYTES).all(|entry| u32_at(image, entry + 4) == SECTION_CRITICAL)
    })
}

fn read(bytes: &[u8]) {
    let length = bounded(0, OPEN, || image::length(bytes));
    let kind = bounded(0, OPEN, || image::kind(bytes));
    if kind.is_ok() {
        assert_eq!(length, Ok(bytes.len()));
    }
    let gicv2 = bounded(bytes.len(), GICV2, || Gicv2State::parse(bytes));
    if let Ok(state) = gicv2.inspect_err(|error| drop(error.to_string())) {
        assert_eq!(kind, Ok(Kind::Gicv2));
        read_gicv2(bytes, &state);
    }
    let gicv3 = bounded(bytes.len(), GICV3, || Gicv3State::parse(bytes));
    let gicv5 = bounded(bytes.len(), GICV5, || Gicv5State::parse(bytes));
    if let Ok(state) = gicv3.inspect_err(|error| drop(error.to_string())) {
        assert_eq!(kind, Ok(Kind::Gicv3));
        read_gicv3(bytes, &state);
    }
    if let Ok(state) = gicv5.inspect_err(|error| drop(error.to_string())) {
        assert_eq!(kind, Ok(Kind::Gicv5));
        read_gicv5(bytes, &state);
    }
}

/// A target that is what the state says, so that nothing but its contents is refused.
pub fn own_target(state: &Gicv3State) -> gicv3::Target {
    gicv3::Target::of(state).expect("the reader has seen to it")
}

/// What holds for every report.
fn tell(report: &Report) {
    assert!(report.findings.len() <= Problem::ALL.len());
    assert!(report.findings.windows(2).all(|pair| pair[0].problem <= pair[1].problem), "the worst first");
    // Each finding and each line of a device has one; nothing was restored.
    let lines = report.findings.len() + report.level_ppis.len() + usize::from(!report.level_spis.is_empty());
    assert_eq!(report.to_string().lines().count(), lines);
    let refused = report.findings.iter().any(|finding| finding.refused);
    assert_eq!(report.refuse(None).is_err(), refused);
    assert_eq!(report.refuse(Some(Severity::Low)).is_ok(), report.findings.is_empty());
    let _ = report.refuse(None).inspect_err(|refusal| drop(refusal.to_string()));
}

fn read_gicv2(bytes: &[u8], state: &Gicv2State) {
    assert!(state.image_bytes() == bytes.len() || !is_kept(bytes) || !is_in_order(state));
    match state.to_image() {
        Ok(again) => assert_eq!(Gicv2State::parse(&again).as_ref(), Ok(state)),
        Err(error) => assert!(matches!(error, Error::Image(ImageError::Spis { .. })) && !is_in_order(state), "{error}"),
    }
    let target = gicv2::Target::of(state).expect("the reader has seen to it");
    assert_eq!(bounded(bytes.len(), FIT, || judge::gicv2::fit(state, &target)), Ok(()));
    let report = bounded(bytes.len(), PROBLEMS5, || judge::gicv2::problems(state));
    assert_eq!(report.find(Problem::SpisIncomplete).is_none(), is_in_order(state));
    tell(&report);
}

/// The SPIs are those that there are.
fn is_in_order(state: &Gicv2State) -> bool {
    state.spis.iter().map(|spis| spis.first).eq((32..state.nr_irqs.get()).step_by(32))
}

fn read_gicv3(bytes: &[u8], state: &Gicv3State) {
    assert_eq!(state.image_bytes() == bytes.len(), is_kept(bytes));
    match state.to_image() {
        Ok(again) if is_kept(bytes) => assert!(again == bytes, "encoded to other bytes"),
        Ok(again) => assert_eq!(Gicv3State::parse(&again).as_ref(), Ok(state)),
        // A list of SPIs that is not in order.
        Err(error) => assert!(matches!(error, Error::Image(ImageError::Spis { .. })), "{error}"),
    }
    let target = own_target(state);
    // Two ITSes at one address have a finding; the target has the first of them.
    let fit = bounded(bytes.len(), FIT, || judge::gicv3::fit(state, &target));
    let ranges = Ranges::new(vec![GuestRange::new(0x4000_0000, 1 << 30)], vec![GuestRange::new(0x4800_0000, 1 << 16)]);
    let report = bounded(bytes.len(), PROBLEMS3, || judge::gicv3::problems_without_memory(state, &ranges));
    assert!(fit.is_ok() || report.find(Problem::ItsTwice).is_some(), "{fit:?}");
    tell(&report);
    if state.lpis.is_some() {
        assert_eq!(judge::gicv3::problems(state, &NoGuestMemory, &ranges, &Limits::default()), report);
    }
}

fn read_gicv5(bytes: &[u8], state: &Gicv5State<'_>) {
    let images = [IstCoding::Raw, IstCoding::Sparse].map(|coding| state.to_image(coding).expect("the reader has seen to it"));
    for image in &images {
        assert_eq!(Gicv5State::parse(image).as_ref(), Ok(state));
    }
    // Each table has a coding of its own.
    let codings: Vec<u32> = entries(bytes)
        .into_iter()
        .flat_map(|entries| entries.step_by(SECTION_ENTRY_BYTES))
        .filter(|entry| matches!(u32_at(bytes, *entry), 3 | 4))
        .map(|entry| u32_at(bytes, u64_at(bytes, entry + 8) as usize))
        .collect();
    for (coding, image) in images.iter().enumerate() {
        if is_kept(bytes) && codings.iter().all(|one| *one as usize == coding) {
            assert!(image == bytes, "encoded to other bytes");
        }
    }
    let target = gicv5::Target::of(state).expect("the reader has seen to it");
    assert_eq!(bounded(bytes.len(), FIT, || judge::gicv5::fit(state, &target)), Ok(()));
    tell(&bounded(bytes.len(), PROBLEMS5, || judge::gicv5::problems(state)));
}
