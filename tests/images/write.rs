//! The images that this version writes, from the model.
//!
//! Rule: runs only when it is asked for, and writes only what is not there.

use crate::{decode, directory, gicv2, gicv3, gicv5};
use std::fs::File;
use std::io::Write;
use vgic_state::gicv3::Gicv3;
use vgic_state::image::IstCoding;
use vgic_state::model::gicv3::Slots;
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::{DynInterruptState, Options, TableStrategy};

/// What this version can write.
pub(crate) const NAMES: [&str; 6] =
    ["gicv2", "gicv3-tables-in-guest-memory", "gicv3-tables-in-image", "gicv3-with-el2", "gicv5-raw", "gicv5-sparse"];

fn save(gic: &mut dyn DynInterruptState) -> Vec<u8> {
    let flushed = gic.flush_tables().expect("flush");
    let mut image = vec![0; gic.image_max(&flushed).expect("size")];
    let length = gic.save_image(flushed, &mut image).expect("save");
    image.truncate(length);
    image
}

/// Two ITSes, each with three devices.
fn of_gicv3(tables: TableStrategy, el2: bool) -> Vec<u8> {
    let (vm, gic) = gicv3::filled(gicv3::Config { its: 2, el2, ..gicv3::Config::default() });
    let vcpus = gic.target().vcpus.clone();
    let (gic, its, _) = gic.into_parts();
    let memory = Shadowed::new(vm.memory(), Slots::new(&vm), ShadowKind::Zero);
    let options = Options::default().with_tables(tables);
    save(&mut Gicv3::attach(gic, its, memory, vcpus).expect("attach").with_options(options))
}

/// 32 SPIs, and 256 LPIs of which few are in use.
fn of_gicv5(coding: IstCoding) -> Vec<u8> {
    let vcpus = gicv5::vcpus(3);
    let mut gic = gicv5::filled(&vcpus, 32, Some(8));
    let table = gicv5::table(2, 256, &vcpus);
    let sparse: Vec<u8> =
        table.chunks(4).enumerate().flat_map(|(n, entry)| if n % 29 == 3 { entry.to_vec() } else { vec![0; 4] }).collect();
    gic.device_mut().plant_lpi_ist(8, &sparse).expect("LPI table");
    save(&mut gic.with_options(Options::default().with_ist_coding(coding)))
}

/// Three vCPUs, 96 interrupts.
fn of_gicv2() -> Vec<u8> {
    gicv2::full_state(3, 96).to_image().expect("image")
}

/// An image of this name, as this version writes it.
fn image(name: &str) -> Vec<u8> {
    match name {
        "gicv2" => of_gicv2(),
        "gicv3-tables-in-guest-memory" => of_gicv3(TableStrategy::GuestMemory, false),
        "gicv3-with-el2" => of_gicv3(TableStrategy::GuestMemory, true),
        "gicv3-tables-in-image" => of_gicv3(TableStrategy::Image, false),
        "gicv5-raw" => of_gicv5(IstCoding::Raw),
        "gicv5-sparse" => of_gicv5(IstCoding::Sparse),
        _ => panic!("{name}: no such image"),
    }
}

/// `cargo test --test images -- --ignored`
#[test]
#[ignore = "writes files into the repository"]
fn write_images_that_are_not_there() {
    for name in NAMES {
        let image = image(name);
        for (extension, contents) in [("image", image.clone()), ("txt", decode(&image).into_bytes())] {
            match File::create_new(directory().join(format!("{name}.{extension}"))) {
                Ok(mut file) => file.write_all(&contents).expect("file"),
                Err(error) => println!("{name}.{extension}: {error}"),
            }
        }
    }
}
