//! Section 19: its layout, and each way of being wrong. `docs/image-format.md` read a second time.

use super::{Rig, config, copy, lpis, saved};
use crate::common::trace;
use crate::image::{forge, section_of, u32_at, u64_at};
use crate::snapshot::snapshot;
use vgic_state::gicv3::Gicv3State;
use vgic_state::image::ImageError;
use vgic_state::its::{Collection, Device, Event, ItsMappings, LpiConfiguration, PendingLpis};
use vgic_state::shadow::ShadowKind;
use vgic_state::{DynInterruptState, Error, TopologyError};

/// Two ITSes; the first with two collections and two devices, the second with nothing.
fn small() -> Gicv3State {
    let (mut state, _) = saved();
    let vcpu = state.vcpus[1].vcpu;
    let lpis = lpis(&mut state);
    let [one, other] = [0, 1].map(|n| lpis.its[n].base);
    let event = |id, intid, icid| Event { id, intid, icid };
    lpis.its = vec![
        ItsMappings {
            base: one,
            collections: vec![Collection { icid: 7, target: Some(1) }, Collection { icid: 0x1234, target: None }],
            devices: vec![
                Device { id: 5, itt: 0x4044_0000, event_bits: 4, events: vec![event(1, 8200, 7), event(2, 8193, 0x1234)] },
                Device { id: 9, itt: 0x4044_1000, event_bits: 16, events: vec![] },
            ],
        },
        ItsMappings { base: other, ..ItsMappings::default() },
    ];
    lpis.configuration = [(8193, 0xa3), (8200, 0x52)].map(|(intid, byte)| LpiConfiguration { intid, byte }).to_vec();
    lpis.pending = vec![PendingLpis { vcpu, intids: vec![8200, 65_535] }];
    state
}

const HEAD: usize = 16;
const FIRST: usize = HEAD;
const COLLECTIONS: usize = FIRST + 16;
const DEVICES: usize = COLLECTIONS + 2 * 8;
const EVENTS: usize = DEVICES + 24;
const EMPTY: usize = EVENTS + 2 * 6;
const SECOND: usize = EMPTY + 24;
const CONFIGURATION: usize = SECOND + 16;
const PENDING: usize = CONFIGURATION + 2;
const INTIDS: usize = PENDING + 16;
const END: usize = INTIDS + 2 * 2;

fn section(image: &[u8]) -> std::ops::Range<usize> {
    section_of(image, 19)
}

#[test]
fn the_layout_of_section_19_is_the_documented_one() {
    let image = small().to_image().expect("image");
    let bytes = &image[section(&image)];
    let mut text = format!("section 19, {} bytes, of an image of {}\n", bytes.len(), image.len());
    for (what, from, to) in [
        ("ITSes, configurations, vCPUs with pending LPIs, zero", 0, HEAD),
        ("ITS: address, collections, devices", FIRST, COLLECTIONS),
        ("  ICID, target", COLLECTIONS, COLLECTIONS + 8),
        ("  ICID, no target", COLLECTIONS + 8, DEVICES),
        ("  device: id, EventID bits, ITT, events, zero", DEVICES, EVENTS),
        ("    EventID, INTID, ICID", EVENTS, EVENTS + 6),
        ("    EventID, INTID, ICID", EVENTS + 6, EMPTY),
        ("  device: id, EventID bits, ITT, events, zero", EMPTY, SECOND),
        ("ITS: address, collections, devices", SECOND, CONFIGURATION),
        ("configuration of 8193, 8200", CONFIGURATION, PENDING),
        ("vCPU: vcpu_id, affinity, LPIs, zero", PENDING, INTIDS),
        ("  INTIDs", INTIDS, END),
    ] {
        let hex: Vec<String> = bytes[from..to].chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect();
        text.push_str(&format!("{from:>4} {what}: {}\n", hex.join(" ")));
    }
    assert_eq!(bytes.len(), END);
    snapshot!("image_gicv3_lpis", text);
    assert_eq!(Gicv3State::parse(&image), Ok(small()));
}

/// The image with other bytes in section 19, which is the last one.
fn with_section(image: &[u8], bytes: &[u8]) -> Vec<u8> {
    let old = section(image);
    let entry = (0..4).map(|n| 32 + n * 24).find(|entry| u32_at(image, *entry) == 19).expect("section");
    let mut image = image[..old.start].to_vec();
    image.extend_from_slice(bytes);
    image.resize(image.len().next_multiple_of(8), 0);
    let length = image.len() as u64;
    image[16..24].copy_from_slice(&length.to_le_bytes());
    image[entry + 16..entry + 24].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    forge(image)
}

fn refusal(bytes: &[u8]) -> ImageError {
    Gicv3State::parse(&with_section(&small().to_image().expect("image"), bytes)).expect_err("refused")
}

fn good() -> Vec<u8> {
    let image = small().to_image().expect("image");
    image[section(&image)].to_vec()
}

#[test]
fn counts_that_lie() {
    // So many records of so many bytes, from an offset on.
    let length = |at: usize, count: u32, bytes: u64| {
        let expected = at as u64 + u64::from(count) * bytes;
        ImageError::SectionLength { id: 19, found: END as u64, expected }
    };
    let reserved = ImageError::Reserved { id: 19 };
    let count = |what, found: u32, max| ImageError::Count { id: 19, what, found: found.into(), max };
    let configured = |found: u32| ImageError::ExactCount { id: 19, what: "configured LPIs", expected: 2, found: found.into() };
    for (at, value, expected) in [
        (0, 65, count("ITSes", 65, 64)),
        (0, u32::MAX, count("ITSes", u32::MAX, 64)),
        (0, 64, length(16, 64, 16)),
        (4, 1, configured(1)),
        (4, 3, configured(3)),
        (4, u32::MAX, configured(u32::MAX)),
        (8, 0, length(PENDING, 0, 16)),
        (8, 2, length(PENDING, 2, 16)),
        (8, u32::MAX, length(PENDING, u32::MAX, 16)),
        (12, 1, reserved),
        (FIRST + 8, u32::MAX, length(FIRST + 16, u32::MAX, 8)),
        (FIRST + 8, 0x2000_0000, length(FIRST + 16, 0x2000_0000, 8)),
        (FIRST + 12, u32::MAX, length(DEVICES, u32::MAX, 24)),
        (FIRST + 12, 0x0aaa_aaab, length(DEVICES, 0x0aaa_aaab, 24)),
        (COLLECTIONS, 1 << 16, reserved),
        (DEVICES + 16, u32::MAX, length(DEVICES + 24, u32::MAX, 6)),
        (DEVICES + 16, 0x2aaa_aaab, length(DEVICES + 24, 0x2aaa_aaab, 6)),
        (DEVICES + 20, 1, reserved),
        (EMPTY + 20, 0x8000_0000, reserved),
        (PENDING, 512, ImageError::Topology(TopologyError::VcpuId { found: 512 })),
        (PENDING + 8, 1, length(PENDING + 16, 1, 2)),
        (PENDING + 8, 3, length(PENDING + 16, 3, 2)),
        (PENDING + 8, u32::MAX, length(PENDING + 16, u32::MAX, 2)),
        (PENDING + 12, 1, reserved),
    ] {
        let mut bytes = good();
        bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        assert_eq!(refusal(&bytes), expected, "{value:#x} at {at}");
    }
    // A count that is a little off shifts everything behind it.
    for at in [0, FIRST + 8, FIRST + 12, DEVICES + 16, EMPTY + 16, SECOND + 8, SECOND + 12] {
        for change in [1, u32::MAX] {
            let mut bytes = good();
            let value = u32_at(&bytes, at).wrapping_add(change);
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            refusal(&bytes);
        }
    }
}

#[test]
fn every_length_but_the_right_one() {
    let bytes = good();
    for length in 0..bytes.len() {
        let error = refusal(&bytes[..length]);
        let ImageError::SectionLength { id: 19, found, expected } = error else { panic!("{length}: {error}") };
        assert!(found == length as u64 && (found + 1..=bytes.len() as u64).contains(&expected), "{length}: {error}");
    }
    for more in [1, 2, 8, 24] {
        let longer = [bytes.clone(), vec![0; more]].concat();
        assert_eq!(
            refusal(&longer),
            ImageError::SectionLength { id: 19, found: longer.len() as u64, expected: bytes.len() as u64 }
        );
    }
}

#[test]
fn no_image_with_a_changed_byte_touches_a_device() {
    let image = small().to_image().expect("image");
    let (_, memory) = saved();
    let mut destination = Rig::new(config(), copy(&memory), ShadowKind::Zero);
    let mut judged = 0;
    for at in section(&image) {
        for change in [1, 0x80, 0xff] {
            let mut bad = image.clone();
            bad[at] ^= change;
            let bad = forge(bad);
            match Gicv3State::parse(&bad) {
                // One form of each state: another image is another state.
                Ok(state) => assert_eq!(state.to_image().as_ref(), Ok(&bad), "byte {at}"),
                Err(error) => assert_eq!(destination.gic.restore_image(&bad), Err(Error::Image(error))),
            }
            let _ = destination.gic.check_image(&bad);
            judged += 1;
        }
    }
    assert_eq!(judged, 3 * END);
    assert_eq!((trace(&destination.vm), destination.touched()), (String::new(), 0));
}

#[test]
fn without_the_section_the_tables_are_in_guest_memory() {
    let mut state = small();
    let with = state.to_image().expect("image");
    state.lpis = None;
    let without = state.to_image().expect("image");
    assert_eq!(Gicv3State::parse(&without).map(|state| state.lpis), Ok(None));
    assert_eq!((u32_at(&without, 24), u32_at(&with, 24)), (3, 4));
    assert_eq!(with.len() - without.len(), 24 + END.next_multiple_of(8));
    // It is critical, and what follows from no tables is not the same as an empty section.
    let entry = 32 + 3 * 24;
    assert_eq!((u32_at(&with, entry), u32_at(&with, entry + 4), u64_at(&with, entry + 16)), (19, 1, END as u64));
    let mut optional = with.clone();
    optional[entry + 4] = 0;
    assert_eq!(Gicv3State::parse(&forge(optional)), Err(ImageError::SectionFlags { id: 19, flags: 0 }));
    let mut unknown = with;
    unknown[entry] = 21;
    assert_eq!(Gicv3State::parse(&forge(unknown)), Err(ImageError::UnknownCriticalSection { id: 21 }));
}

#[test]
fn the_largest_ids() {
    let mut state = small();
    let device = &mut lpis(&mut state).its[0].devices[1];
    device.id = u32::MAX;
    device.events = vec![Event { id: 65_535, intid: 65_535, icid: u16::MAX }];
    lpis(&mut state).configuration.push(LpiConfiguration { intid: 65_535, byte: 0xff });
    assert_eq!(Gicv3State::parse(&state.to_image().expect("image")), Ok(state.clone()));
    let device = |state: &mut Gicv3State| lpis(state).its[0].devices[1].clone();
    for change in [|event: &mut Event| event.id = 1 << 16, |event: &mut Event| event.intid = 1 << 16] {
        let mut wide = state.clone();
        let mut changed = device(&mut wide);
        change(&mut changed.events[0]);
        lpis(&mut wide).its[0].devices[1] = changed;
        let error = wide.to_image().expect_err("too wide").to_string();
        assert!(error.ends_with("does not fit into an image: an ID has 16 bits at most"), "{error}");
    }
}
