//! Image encode, parse and check, beside `memcpy` of the same bytes.
//!
//! Rule: what a VMM can reuse is reused: buffers are allocated once, here and for the others.

use crate::pair::{Name, Pairs, calls};
use crate::states::{Named3, Named5};
use std::hint::black_box;
use vgic_state::gicv3::{self, Gicv3State};
use vgic_state::gicv5::{self, Gicv5State};
use vgic_state::image::IstCoding;
use vgic_state::judge::{self, Ranges};
use vgic_state::report::Report;
use vgic_state::{GuestRange, IntId};

/// `memcpy`, and the checksum that an image has.
fn copy_and_sum(from: &[u8], to: &mut [u8]) -> u32 {
    copy(from, to);
    crc32fast::hash(black_box(to))
}

fn copy(from: &[u8], to: &mut [u8]) {
    black_box(&mut *to).copy_from_slice(black_box(from));
}

const COPY: &str = "memcpy of the image";
const COPY_AND_SUM: &str = "memcpy and CRC-32 of the raw image";

pub(crate) fn gicv5(pairs: &mut Pairs, named: &Named5) {
    let (state, target) = (&named.state, &named.target);
    let raw = state.to_image(IstCoding::Raw).expect("image");
    let mut copied = vec![0; raw.len()];
    for (by, coding) in [("raw image", IstCoding::Raw), ("sparse image", IstCoding::Sparse)] {
        let image = state.to_image(coding).expect("image");
        let mut buffer = vec![0; state.image_max(coding)];
        let name =
            |operation, against| Name { state: named.name.clone(), operation, by: by.into(), bytes: Some(image.len()), against };
        let mut baseline = calls(|| copy_and_sum(&raw, &mut copied));
        pairs.measure(
            name("encode", COPY_AND_SUM),
            &mut baseline,
            &mut calls(|| state.encode(black_box(&mut buffer), coding).expect("encode")),
        );
        pairs.measure(
            name("parse", COPY_AND_SUM),
            &mut baseline,
            &mut calls(|| {
                black_box(Gicv5State::parse(black_box(&image)).expect("parse"));
            }),
        );
    }
    let mut odd = state.clone();
    if let Some(lpis) = &mut odd.lpi_ist {
        let entries: Vec<_> = lpis.nonzero().collect();
        for (id, entry) in entries {
            let IntId::Lpi(id) = id else { panic!("{id} in a table of LPIs") };
            assert!(lpis.set(id, entry.with_irm(true)));
        }
    }
    for (by, state) in [("state", state), ("state, each LPI odd", &odd)] {
        let name = Name { state: named.name.clone(), operation: "check", by: by.into(), bytes: Some(raw.len()), against: COPY };
        pairs.measure(name, &mut calls(|| copy(&raw, &mut copied)), &mut calls(|| check5(black_box(state), target)));
    }
}

pub(crate) fn gicv3(pairs: &mut Pairs, named: &Named3) {
    let (state, target) = (&named.state, &named.target);
    let image = state.to_image().expect("image");
    let (mut copied, mut buffer) = (vec![0; image.len()], vec![0; image.len()]);
    let name =
        |operation, against| Name { state: named.name.clone(), operation, by: "image".into(), bytes: Some(image.len()), against };
    let mut baseline = calls(|| copy_and_sum(&image, &mut copied));
    pairs.measure(
        name("encode", COPY_AND_SUM),
        &mut baseline,
        &mut calls(|| state.encode(black_box(&mut buffer)).expect("encode")),
    );
    pairs.measure(name("parse", COPY_AND_SUM), &mut baseline, &mut calls(|| Gicv3State::parse(black_box(&image)).expect("parse")));
    let mut copied = vec![0; image.len()];
    pairs.measure(name("check", COPY), &mut calls(|| copy(&image, &mut copied)), &mut calls(|| check3(black_box(state), target)));
}

/// What a backend does with a state before it restores it.
pub(crate) fn check5(state: &Gicv5State<'_>, target: &gicv5::Target) -> Report {
    judge::gicv5::fit(state, target).expect("fits");
    judge::gicv5::problems(state)
}

/// The same, but for tables in guest memory.
pub(crate) fn check3(state: &Gicv3State, target: &gicv3::Target) -> Report {
    judge::gicv3::fit(state, target).expect("fits");
    judge::gicv3::problems_without_memory(state, &Ranges::new([GuestRange::new(0, u64::MAX)].into(), [].into()))
}
