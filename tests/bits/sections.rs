//! Every bit of every section of an image, of its header and of its section table, with the checksum of a forger.
//!
//! Rule: a fresh VM is restored from what the changed image says, and saved again.

use crate::gicv2_rig::{attached, full_state};
use crate::kept::{self, Exception, needed};
use crate::rig::*;
use crate::save::Save as _;
use std::collections::BTreeMap;
use std::ops::Range;
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::{Gicv5, Gicv5State};
use vgic_state::image::{HEADER_BYTES, IstCoding, SECTION_ENTRY_BYTES};
use vgic_state::model::{gicv2, gicv5};
use vgic_state::report::Problem;
use vgic_state::uapi::vgic_v3::icc::SYS_ICC_CTLR_EL1 as ICC_CTLR;
use vgic_state::uapi::vgic_v5::{icc, irs};
use vgic_state::{Attr, AttrDevice, InterruptState, SpiCount, TableStrategy};

/// What became of the changes.
#[derive(Debug, Default)]
struct Tally {
    /// By the reader, by the check, by the kernel.
    refused: [u32; 3],
    restored: u32,
    /// Restored but for these fields.
    kept: BTreeMap<Vec<&'static str>, u32>,
}

fn u32_at(image: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(image[at..at + 4].try_into().unwrap())
}

fn u64_at(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(image[at..at + 8].try_into().unwrap())
}

/// Header with section table, then each section by its number.
fn parts(image: &[u8]) -> Vec<(u32, Range<usize>)> {
    let end = HEADER_BYTES + u32_at(image, 24) as usize * SECTION_ENTRY_BYTES;
    let section = |entry: usize| {
        let start = u64_at(image, entry + 8) as usize;
        (u32_at(image, entry), start..start + u64_at(image, entry + 16) as usize)
    };
    [(0, 0..end)].into_iter().chain((HEADER_BYTES..end).step_by(SECTION_ENTRY_BYTES).map(section)).collect()
}

/// Gives changed bytes the checksum that they have to have.
fn forge(image: &mut [u8], table: &[u32; 256]) {
    image[28..32].fill(0);
    let crc = image.iter().fold(u32::MAX, |crc, byte| crc >> 8 ^ table[usize::from(crc as u8 ^ byte)]);
    image[28..32].copy_from_slice(&(!crc).to_le_bytes());
}

fn crc_table() -> [u32; 256] {
    std::array::from_fn(|n| (0..8).fold(n as u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }))
}

/// Where a change ended that did not go through.
enum Refused {
    Reader,
    Check,
    Kernel,
}

/// Changes every bit of some sections. `restore`: what a changed image says, and what was saved after its restore.
fn every_bit<S: Clone + PartialEq + std::fmt::Debug>(
    image: &[u8],
    sections: &[u32],
    exceptions: &[Exception<S>],
    mut restore: impl FnMut(&[u8]) -> Result<(S, S), Refused>,
) -> Tally {
    let (table, mut tally) = (crc_table(), Tally::default());
    let mut changed = image.to_vec();
    for (section, range) in parts(image).into_iter().filter(|(section, _)| sections.contains(section)) {
        for (at, bit) in range.clone().flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            changed[at] ^= 1 << bit;
            // The checksum itself is changed, and stays so.
            if !(28..32).contains(&at) {
                forge(&mut changed, &table);
            }
            match restore(&changed) {
                Err(refused) => tally.refused[refused as usize] += 1,
                Ok((said, kept)) => match needed(exceptions, &said, &kept) {
                    Some(fields) if fields.is_empty() => tally.restored += 1,
                    Some(fields) => *tally.kept.entry(fields).or_default() += 1,
                    None => panic!("section {section}, byte {}, bit {bit}:\n{said:x?}\nbecame\n{kept:x?}", at - range.start),
                },
            }
            changed.copy_from_slice(image);
        }
    }
    eprintln!("sections {sections:?}: {tally:#?}");
    tally
}

/// Every exception is there for some bit.
fn all_needed<S>(exceptions: &[Exception<S>], tallies: &[Tally]) {
    for Exception { field, why, .. } in exceptions {
        assert!(!why.is_empty());
        let used = tallies.iter().flat_map(|tally| tally.kept.keys()).any(|fields| fields.contains(field));
        assert!(used, "nothing needs the exception of {field}");
    }
}

/// `common`: with `ICC_CTLR_EL1.CBPR`.
fn gicv3(shape: Shape, indirect: bool, common: bool, sections: &[u32]) -> Tally {
    let (vm, mut source) = filled(shape, indirect);
    for vcpu in vcpus(shape.vcpus).iter().filter(|_| common) {
        let ctlr = Attr::cpu_sysreg(vcpu.mpidr, ICC_CTLR);
        let value = source.gic().get(ctlr).expect("register");
        source.gic_mut().set(ctlr, value | 1).expect("register");
    }
    source.options_mut().tables = TableStrategy::Image;
    let image = source.flush_and_save().expect("save").to_image().expect("image");
    let memory = contents(&vm.memory());
    every_bit(&image, sections, kept::GICV3, |changed| {
        let said = Gicv3State::parse(changed).map_err(|_| Refused::Reader)?;
        let (vm, mut gic) = fresh(shape, memory_of(&memory));
        gic.options_mut().tables = TableStrategy::Image;
        let report = gic.check(&said).map_err(|_| {
            assert!(vm.trace().is_empty(), "a refusal accesses nothing");
            Refused::Check
        })?;
        let queued = report.findings.iter().any(|finding| finding.problem == Problem::CommandsQueued);
        assert_eq!(queued, kept::has_commands(&said));
        if let Err(error) = gic.restore(&said) {
            assert!(!matches!(error, vgic_state::Error::Refused(_) | vgic_state::Error::Image(_)), "{error}");
            return Err(Refused::Kernel);
        }
        if let Some(lpis) = said.lpis.as_ref().filter(|_| !queued) {
            for configured in &lpis.configuration {
                let lpi = vm.lpi(configured.intid).expect("mapped");
                assert_eq!((lpi.priority, lpi.enabled), (configured.byte & 0xfc, configured.byte & 1 != 0));
            }
        }
        Ok((said, gic.flush_and_save().expect("save")))
    })
}

#[test]
fn every_bit_of_a_gicv3_image_is_refused_or_restored() {
    let shape = Shape { vcpus: 1, ..Shape::default() };
    let tallies = [
        gicv3(Shape { its: 0, ..shape }, false, false, &[0, 16]),
        gicv3(Shape { its: 0, ..shape }, false, true, &[17]),
        gicv3(shape, false, false, &[17]),
        gicv3(shape, true, false, &[18]),
        gicv3(Shape { its: 0, el2: true, ..shape }, false, false, &[20]),
        gicv3(Shape { vcpus: 2, ..shape }, false, false, &[19]),
        gicv3(Shape { vcpus: 2, ..shape }, true, false, &[0, 19]),
    ];
    for tally in &tallies {
        assert!(tally.restored > 0 && tally.refused[0] > 0, "{tally:#?}");
    }
    all_needed(kept::GICV3, &tallies);
}

#[test]
fn every_bit_of_a_gicv2_image_is_refused_or_restored() {
    let image = full_state(2, 64).to_image().expect("image");
    let tally = every_bit(&image, &[0, 32, 33], kept::GICV2, |changed| {
        let said = Gicv2State::parse(changed).map_err(|_| Refused::Reader)?;
        let (vm, mut gic) = attached(gicv2::Host::default(), 2, 64);
        gic.check(&said).map_err(|refusal| {
            assert!(matches!(refusal, vgic_state::Error::Refused(_)));
            assert!(vm.trace().is_empty(), "a refusal accesses nothing");
            Refused::Check
        })?;
        gic.restore(&said).map_err(|_| Refused::Kernel)?;
        Ok((said, gic.flush_and_save().expect("save")))
    });
    // The kernel: registers of active priorities that the host does not have, which are read back.
    assert!(tally.restored > 0 && tally.refused.iter().all(|count| *count > 0), "{tally:#?}");
    all_needed(kept::GICV2, &[tally]);
}

/// A GICv5 with something in every register.
fn gicv5(lpi_bits: Option<u32>) -> Gicv5<gicv5::Vm> {
    let vcpus = vcpus(2);
    let vm = gicv5::Vm::with_device(gicv5::Host { min_lpi_id_bits: 0, ..gicv5::Host::default() }, &vcpus).expect("VM");
    let mut gic = Gicv5::initialise(vm, 0x0800_0000, SpiCount::MIN, vcpus.clone()).expect("device");
    let vm = gic.device_mut();
    let table = |entries: u64, seed| -> Vec<u8> {
        (0..entries).flat_map(|n| (scramble(seed + n) as u32 & 0x1_f80f).to_le_bytes()).collect()
    };
    vm.plant_spi_ist(&table(32, 0)).expect("SPIs");
    if let Some(bits) = lpi_bits {
        vm.plant_lpi_ist(bits, &table(1 << bits, 99)).expect("LPIs");
    }
    for (offset, value) in [(irs::GICV5_IRS_CR0, 1), (irs::GICV5_IRS_CR1, 0x5475), (irs::GICV5_IRS_SPI_SELR, 0x11)] {
        vm.set(Attr::irs(offset), value).expect("IRS register");
    }
    for (vcpu, (_, instr)) in vcpus.iter().flat_map(|vcpu| icc::REGISTERS.iter().map(move |register| (vcpu, register))) {
        let value = scramble(u64::from(vcpu.id.get()) << 32 | *instr) & 0x1f1f;
        vm.set(Attr::cpu_sysreg(vcpu.mpidr, *instr as u16), value).expect("CPU interface register");
    }
    gic
}

fn gicv5_bits(lpi_bits: Option<u32>, coding: IstCoding, sections: &[u32]) -> Tally {
    let state = gicv5(lpi_bits).flush_and_save().expect("save");
    let image = state.to_image(coding).expect("image");
    every_bit(&image, sections, kept::GICV5, |changed| {
        let said = Gicv5State::parse(changed).map_err(|_| Refused::Reader)?.into_owned();
        let vcpus = vcpus(2);
        let host = gicv5::Host { min_lpi_id_bits: 0, ..gicv5::Host::default() };
        let vm = gicv5::Vm::with_device(host, &vcpus).expect("VM");
        let mut gic = Gicv5::initialise(vm, 0x0800_0000, SpiCount::MIN, vcpus).expect("device");
        gic.device_mut().clear_trace();
        gic.check(&said).map_err(|refusal| {
            assert!(matches!(refusal, vgic_state::Error::Refused(_)));
            assert!(gic.device().trace().is_empty(), "a refusal accesses nothing");
            Refused::Check
        })?;
        gic.restore(&said).map_err(|_| Refused::Kernel)?;
        Ok((said, gic.flush_and_save().expect("save")))
    })
}

#[test]
fn every_bit_of_a_gicv5_image_is_refused_or_restored() {
    let tallies = [
        gicv5_bits(Some(3), IstCoding::Raw, &[0, 1, 2, 3, 4]),
        gicv5_bits(Some(3), IstCoding::Sparse, &[0, 3, 4]),
        gicv5_bits(None, IstCoding::Raw, &[0, 1]),
    ];
    for tally in &tallies {
        assert!(tally.restored > 0 && tally.refused[0] > 0 && tally.refused[2] == 0, "{tally:#?}");
    }
    all_needed(kept::GICV5, &tallies);
}
