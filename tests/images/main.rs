//! Images as released versions of this crate have written them, and what they must decode to, for ever.
//!
//! Source: `docs/image-format.md`, "Compatibility". The images: [`write`], from the model, once.
//!
//! Rule: a file under `v1` is never written again. What this version writes otherwise gets a new name beside it.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "../common/gicv2.rs"]
mod gicv2;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../common/gicv3.rs"]
mod gicv3;
#[path = "../common/gicv5.rs"]
mod gicv5;

mod registers;
mod text;
mod write;

use std::fs;
use std::path::PathBuf;
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::{self, Kind};
use vgic_state::model::gicv3::Slots;
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::{DynInterruptState, Vcpus};

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/v1"))
}

/// Every image with its name.
fn images() -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(directory()).expect("directory").map(|file| file.expect("file").path());
    let mut images: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "image"))
        .map(|path| (path.file_stem().expect("name").to_string_lossy().into_owned(), fs::read(path).expect("image")))
        .collect();
    images.sort();
    images
}

/// What an image decodes to.
fn decode(image: &[u8]) -> String {
    match image::kind(image).expect("kind") {
        Kind::Gicv2 => text::gicv2(&Gicv2State::parse(image).expect("GICv2")),
        Kind::Gicv3 => text::gicv3(&Gicv3State::parse(image).expect("GICv3")),
        Kind::Gicv5 => text::gicv5(&Gicv5State::parse(image).expect("GICv5")),
        kind => panic!("{kind}: not a kind of version 1"),
    }
}

#[test]
fn every_image_decodes_to_the_text_beside_it() {
    let images = images();
    let names: Vec<&str> = images.iter().map(|(name, _)| name.as_str()).collect();
    for expected in write::NAMES {
        assert!(names.contains(&expected), "{expected} is gone: {names:?}");
    }
    for (name, image) in images {
        let expected = fs::read_to_string(directory().join(format!("{name}.txt"))).expect("text");
        let found = decode(&image);
        for (line, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
            assert_eq!(found, expected, "{name}.txt:{}", line + 1);
        }
        assert_eq!(found.lines().count(), expected.lines().count(), "{name}");
    }
}

#[test]
fn every_image_is_restored() {
    for (name, image) in images() {
        match image::kind(&image).expect("kind") {
            Kind::Gicv2 => {
                let state = Gicv2State::parse(&image).expect("GICv2");
                let host = vgic_state::model::gicv2::Host::default();
                let (_, mut gic) = gicv2::attached(host, state.vcpus.len() as u32, state.nr_irqs.get());
                gic.restore_image(&image).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            Kind::Gicv3 => {
                let state = Gicv3State::parse(&image).expect("GICv3");
                let (its, el2) = (state.its.len(), state.vcpus[0].el2.is_some());
                let config = gicv3::Config { its, el2, nr_irqs: state.nr_irqs.get(), ..gicv3::Config::default() };
                // Tables in guest memory: of a VM that has the same ones.
                let (_, mut source) = gicv3::filled(config);
                let _ = source.flush_tables().expect("flush");
                let memory = gicv3::copy(source.memory());
                let (vm, fresh) = gicv3::fresh(config, memory.clone());
                let vcpus = fresh.target().vcpus.clone();
                let (gic, its, _) = fresh.into_parts();
                let memory = Shadowed::new(memory, Slots::new(&vm), ShadowKind::Zero);
                let mut gic = Gicv3::attach(gic, its, memory, vcpus).expect("attach");
                gic.restore_image(&image).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            Kind::Gicv5 => {
                let state = Gicv5State::parse(&image).expect("GICv5");
                let vcpus: Vcpus = state.topology().expect("vCPUs");
                let mut gic = gicv5::fresh(&vcpus, state.spi_count.get());
                gic.restore_image(&image).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            kind => panic!("{name}: {kind} is not a kind of version 1"),
        }
    }
}
