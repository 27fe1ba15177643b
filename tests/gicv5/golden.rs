//! LPI tables of real guests, through everything and back.

use crate::common::{number, on_host};
use crate::save::Save as _;
use crate::save::SaveImage as _;
use std::collections::BTreeMap;
use std::fs;
use vgic_state::Options;
use vgic_state::gicv5::{Gicv5State, Ist};
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::Host;
use vgic_state::{DynInterruptState, IstKind, Vcpus};

const TABLES: [(&str, u32); 3] = [("bm-lin4_14-flushed", 14), ("linux73-lpi-load-flushed", 10), ("linux73-smp4-idle", 10)];

fn read(name: &str) -> (Vec<u8>, BTreeMap<u32, u32>) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let table = fs::read(format!("{path}.lpi.ist")).expect("table");
    let words = fs::read_to_string(format!("{path}.tsv")).expect("words");
    let words = words.lines().skip(1).map(|line| {
        let (intid, word) = line.split_once('\t').expect("two columns");
        let word = u32::from_str_radix(word.strip_prefix("0x").expect("hexadecimal"), 16).expect("word");
        (intid.parse().expect("INTID"), word)
    });
    (table, words.collect())
}

#[test]
fn every_entry_decodes_to_the_word_given_beside_it() {
    for (name, bits) in TABLES {
        let (table, words) = read(name);
        let ist = Ist::new(IstKind::Lpi, table).expect("table");
        assert_eq!(ist.lpi_id_bits().map(|bits| bits.get()), Some(bits));
        let found: BTreeMap<u32, u32> = ist.nonzero().map(|(id, entry)| (number(id), entry.into_bits())).collect();
        assert_eq!(found, words, "{name}");
        for (id, word) in words {
            assert_eq!(ist.get(id).map(|entry| entry.into_bits()), Some(word));
        }
        assert_eq!(ist.get(1 << bits), None);
        assert_eq!(ist.kind(), IstKind::Lpi);
        let debug = format!("{ist:?}");
        assert!(debug.starts_with(&format!("LPI IST of {} entries {{Lpi(0): Iste", 1 << bits)), "{debug}");
    }
}

#[test]
fn every_table_goes_through_model_backend_and_image_unchanged() {
    let vcpus = Vcpus::with_default_mpidrs(4).expect("vCPUs");
    for (name, bits) in TABLES {
        for coding in [IstCoding::Raw, IstCoding::Sparse] {
            let (table, _) = read(name);
            let new = || on_host(Host::default(), &vcpus, 32).with_options(Options::default().with_ist_coding(coding));

            let mut source = new();
            source.device_mut().plant_lpi_ist(bits, &table).expect("a table that fits");
            let mut image = vec![0; source.requirements().expect("requirements").image_max];
            let length = source.flush_and_save_image(&mut image).expect("save");

            let mut destination = new();
            destination.restore_image(&image[..length]).expect("restore");
            let state = destination.flush_and_save().expect("save");
            assert_eq!(state.lpi_ist.as_ref().expect("LPIs").as_bytes(), table, "{name}");
            let parsed = Gicv5State::parse(&image[..length]).expect("parse");
            assert_eq!(parsed.lpi_ist.expect("LPIs").as_bytes(), table, "{name}");
        }
    }
}
