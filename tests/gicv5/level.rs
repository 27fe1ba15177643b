//! Level-triggered SPIs: what KVM's tables do not have, and what makes it good.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`, `vgic-v5-tables.c`, Linux 7.4, as the model has them (`tests/model_gicv5/executed.rs`,
//! rows 1 and 2).
//!
//! Rule: an SPI that is level-triggered before a move is so behind it, and its line alone says whether it is pending.

use crate::common::{filled, fresh, table, trace, vcpus};
use crate::save::{Save as _, SaveImage as _};
use vgic_state::gicv5::{Gicv5, Gicv5State, Ist, Iste};
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::Vm;
use vgic_state::report::{Problem, Refusal, Severity};
use vgic_state::{DeviceError, DynInterruptState, Error, IntId, InterruptState, IstKind, Options, SpiCount, SpiSet, TopologyError};

const SPI_SELR: u32 = 0x108;
const SPI_CFGR: u32 = 0x114;

const PENDING: u32 = 1;
const HM: u32 = 1 << 2;
const ENABLE: u32 = 1 << 3;

/// What the guest made level-triggered by `IRS_SPI_CFGR`, whose lines are high and low.
const HIGH: u32 = 31;
const LOW: u32 = 63;
/// What it made level-triggered by `GIC CDHM` as well, whose line is high.
const BY_CDHM: u32 = 7;
/// An edge-triggered one that is pending.
const EDGE: u32 = 12;

fn named(ids: &[u32]) -> Options {
    Options::default().with_level_spis(SpiSet::new(ids.iter().copied()).expect("SPIs"))
}

/// A VM whose guest has made SPIs level-triggered, and of which some lines are high.
fn source(options: Options) -> Gicv5<Vm> {
    let vcpus = vcpus(1);
    let mut gic = fresh(&vcpus, 64).with_options(options);
    let vm = gic.device_mut();
    let id = vcpus.iter().next().expect("vCPU").id;
    vm.run(id, |guest| {
        for spi in [HIGH, LOW, BY_CDHM] {
            guest.irs_write32(SPI_SELR, spi);
            guest.irs_write32(SPI_CFGR, 1);
        }
        guest.cdhm(IntId::Spi(BY_CDHM), true);
        for spi in [HIGH, LOW, BY_CDHM, EDGE] {
            guest.cden(IntId::Spi(spi));
        }
    })
    .expect("run");
    for spi in [HIGH, BY_CDHM, EDGE] {
        vm.set_spi_level(spi, true).expect("line");
    }
    gic
}

/// The entries of [`HIGH`], [`LOW`], [`BY_CDHM`], [`EDGE`] and of an SPI that nobody uses.
fn entries(table: &Ist<'_>) -> [u32; 5] {
    [HIGH, LOW, BY_CDHM, EDGE, 0].map(|spi| table.get(spi).expect("SPI").into_bits())
}

const LEVEL: u32 = ENABLE | HM;
/// The entries of an image that was saved without names.
const UNNAMED: [u32; 5] = [ENABLE | PENDING, ENABLE, LEVEL, ENABLE | PENDING, 0];
const NAMED: [u32; 5] = [LEVEL, LEVEL, LEVEL, ENABLE | PENDING, 0];

/// In the VM, the entries and what KVM has beside them: level, line, latch.
fn in_kernel(vm: &Vm) -> Vec<(u32, bool, bool, bool)> {
    let spi = |spi| vm.spi(spi).expect("SPI");
    [HIGH, LOW, BY_CDHM, EDGE, 0].map(spi).iter().map(|spi| (spi.entry, spi.level, spi.line, spi.latch)).collect()
}

#[test]
fn a_save_has_them_level_and_not_pending_by_name_and_by_handling_mode() {
    for (options, expected) in [(named(&[]), UNNAMED), (named(&[HIGH, LOW]), NAMED), (named(&[LOW, HIGH, BY_CDHM]), NAMED)] {
        let mut gic = source(options.clone());
        assert_eq!(entries(&gic.flush_and_save().expect("save").spi_ist), expected);
        let mut bytes = [0xcc; 256];
        gic.save_ists(&mut bytes, None).expect("save");
        assert_eq!(entries(&Ist::new(IstKind::Spi, bytes.as_slice()).expect("table")), expected);
        for coding in [IstCoding::Raw, IstCoding::Sparse] {
            let gic: &mut dyn DynInterruptState = &mut gic;
            gic.set_options(options.clone().with_ist_coding(coding));
            let mut image = vec![0; gic.requirements().expect("size").image_max];
            let length = gic.flush_and_save_image(&mut image).expect("save");
            assert_eq!(entries(&Gicv5State::parse(&image[..length]).expect("image").spi_ist), expected, "{coding:?}");
        }
        // The VM is as it was, and may go on.
        let kernel = in_kernel(gic.device());
        assert_eq!(kernel.iter().map(|spi| spi.0).collect::<Vec<_>>(), [9, 8, 0xd, 9, 0]);
    }
}

#[test]
fn a_line_goes_up_and_down_behind_a_move_and_the_guest_sees_just_that() {
    let spis = named(&[HIGH, LOW]);
    let state = source(spis.clone()).flush_and_save().expect("save");
    for by_image in [false, true] {
        let mut gic = fresh(&vcpus(1), 64).with_options(spis.clone());
        let report = if by_image {
            gic.restore_image(&state.to_image(IstCoding::Sparse).expect("image")).expect("restore")
        } else {
            gic.restore(&state).expect("restore")
        };
        assert_eq!(report.findings, []);
        assert_eq!(report.level_spis, SpiSet::new([HIGH, LOW, BY_CDHM]).expect("SPIs"));
        assert_eq!(report.to_string(), "lines to drive: SPI 7, SPI 31, SPI 63\n");
        let level = (LEVEL, true, false, false);
        assert_eq!(
            in_kernel(gic.device()),
            [level, level, level, (ENABLE | PENDING, false, false, true), (0, false, false, false)]
        );
        // A save before a line is driven is the same again.
        assert_eq!(gic.flush_and_save().expect("save"), state);
        for spi in report.level_spis.iter() {
            for line in [true, false, true, false] {
                gic.device_mut().set_spi_level(spi, line).expect("line");
                let entry = Iste::from_bits(gic.device().entry(IntId::Spi(spi)).expect("SPI"));
                assert_eq!((entry.pending(), entry.hm()), (line, true), "SPI {spi}");
            }
        }
    }
}

#[test]
fn an_image_that_says_edge_is_mended_and_the_finding_says_so() {
    let state = source(named(&[])).flush_and_save().expect("save");
    let image = state.to_image(IstCoding::Raw).expect("image");
    let spis = named(&[HIGH, 62, LOW, BY_CDHM]);
    let mut gic = fresh(&vcpus(1), 64).with_options(spis.clone());
    for report in [gic.check(&state), gic.check_image(&image), gic.restore_image(&image)].map(|report| report.expect("mended")) {
        let [finding] = report.findings.as_slice() else { panic!("{report}") };
        assert_eq!((finding.problem, finding.count, finding.severity()), (Problem::SpiLevelLost, 3, Severity::Medium));
        assert_eq!((finding.first.interrupt, finding.first.value), (Some(IntId::Spi(HIGH)), Some(u64::from(ENABLE | PENDING))));
        assert_eq!(report.level_spis, spis.level_spis);
    }
    let level = (LEVEL, true, false, false);
    assert_eq!(in_kernel(gic.device())[..3], [level; 3]);
    assert_eq!(gic.device().entry(IntId::Spi(62)), Some(HM), "one that the guest has not used");
    assert_eq!(entries(&Gicv5State::parse(&image).expect("image").spi_ist), UNNAMED, "the image is as it was");

    // By a threshold it is a refusal.
    let mut gic = fresh(&vcpus(1), 64).with_options(spis.with_refuse_at(Some(Severity::Medium)));
    match gic.restore_image(&image).expect_err("refused") {
        Error::Refused(ref refusal) if let Refusal::Problem(ref finding) = **refusal => {
            assert_eq!(finding.problem, Problem::SpiLevelLost)
        }
        other => panic!("{other}"),
    }
    assert_eq!(trace(&gic), "");

    // Without the names nobody can know: the SPIs are edge-triggered, as KVM's table says.
    let mut gic = fresh(&vcpus(1), 64);
    let report = gic.restore_image(&image).expect("restore");
    assert_eq!((report.findings, report.level_spis), (vec![], SpiSet::new([BY_CDHM]).expect("SPI")));
    assert_eq!(in_kernel(gic.device())[0], (ENABLE | PENDING, false, false, true));
}

#[test]
fn a_latch_is_restored_for_no_level_triggered_spi() {
    let mut state = source(named(&[HIGH])).flush_and_save().expect("save");
    // As another program may have written it.
    for spi in [HIGH, BY_CDHM] {
        let entry = state.spi_ist.get(spi).expect("SPI");
        assert!(state.spi_ist.set(spi, entry.with_pending(true)));
    }
    for options in [named(&[]), named(&[HIGH, BY_CDHM])] {
        let mut gic = fresh(&vcpus(1), 64).with_options(options.clone());
        let report = gic.restore(&state).expect("mended");
        let [finding] = report.findings.as_slice() else { panic!("{report}") };
        assert_eq!((finding.problem, finding.count, finding.severity()), (Problem::SpiLevelPending, 2, Severity::Low));
        assert_eq!(finding.first.interrupt, Some(IntId::Spi(BY_CDHM)));
        let level = (LEVEL, true, false, false);
        assert_eq!((in_kernel(gic.device())[0], in_kernel(gic.device())[2]), (level, level));

        // Nor by the step of its own.
        let mut gic = fresh(&vcpus(1), 64).with_options(options);
        gic.restore_ists(state.spi_ist.as_bytes(), None).expect("restore");
        assert_eq!((in_kernel(gic.device())[0], in_kernel(gic.device())[2]), (level, level));
    }
}

#[test]
fn a_table_of_any_size_is_mended_where_it_must_be_and_nowhere_else() {
    let vcpus = vcpus(2);
    for spis in [32, 96, 1024] {
        let (first, last) = (spis / 2, spis - 1);
        let mut gic = filled(&vcpus, spis, Some(8)).with_options(named(&[first, last]));
        let state = gic.flush_and_save().expect("save");
        for (n, (id, entry)) in state.spi_ist.entries().enumerate() {
            let of_guest =
                Iste::from_bits(u32::from_le_bytes(*table(1, spis as usize, &vcpus).as_chunks().0[n..].first().expect("SPI")));
            let level = of_guest.hm() || n == first as usize || n == last as usize;
            let expected = of_guest.with_hwu(0).with_hm(level).with_pending(of_guest.pending() && !level);
            assert_eq!(entry, expected, "{id}");
        }
        // The same from an image that was saved without names.
        let unnamed = filled(&vcpus, spis, Some(8)).flush_and_save().expect("save");
        let mut gic = fresh(&vcpus, spis).with_options(named(&[first, last]));
        gic.restore(&unnamed).expect("restore");
        assert_eq!(gic.flush_and_save().expect("save"), state);
    }
}

#[test]
fn an_spi_that_the_vm_does_not_have_is_an_error_and_nothing_is_accessed() {
    let image = source(named(&[])).flush_and_save().expect("save").to_image(IstCoding::Raw).expect("image");
    let state = Gicv5State::parse(&image).expect("image");
    let spi_count = SpiCount::new(64).expect("SPIs");
    let expected = |spi| Error::from(DeviceError::LevelSpi { spi, spi_count });
    for (ids, spi) in [(&[3, 1023, 64][..], 64), (&[1023], 1023)] {
        let mut gic = fresh(&vcpus(1), 64).with_options(named(ids));
        assert_eq!(gic.flush_and_save(), Err(expected(spi)));
        assert_eq!(gic.flush_and_save_image(&mut [0; 4096]), Err(expected(spi)));
        assert_eq!(gic.save_ists(&mut [0; 256], None), Err(expected(spi)));
        assert_eq!(gic.check(&state), Err(expected(spi)));
        assert_eq!(gic.check_image(&image), Err(expected(spi)));
        assert_eq!(gic.restore(&state), Err(expected(spi)));
        assert_eq!(gic.restore_image(&image), Err(expected(spi)));
        assert_eq!(gic.restore_ists(&[0; 256], None), Err(expected(spi)));
        assert_eq!(trace(&gic), "");
    }
    assert_eq!(expected(64).to_string(), "SPI 64 is among Options::level_spis, and the VM has SPIs 0 to 63");
    fresh(&vcpus(1), 64).with_options(named(&[63])).restore(&state).expect("the last one");
}

#[test]
fn a_set_of_spis_has_each_once_in_order() {
    assert!(SpiSet::EMPTY.is_empty() && SpiSet::default().iter().next().is_none());
    let ids = [0, 1, 2, 63, 64, 127, 500, 1022, 1023];
    let set = SpiSet::new(ids.iter().rev().chain(&ids).copied()).expect("SPIs");
    assert_eq!((set.iter().collect::<Vec<_>>().as_slice(), set.len(), set.is_empty()), (&ids[..], 9, false));
    assert!((0..2048).all(|id| set.contains(id) == ids.contains(&id)));
    assert_eq!(set.to_string(), "SPI 0 to 2, SPI 63 to 64, SPI 127, SPI 500, SPI 1022 to 1023");
    assert_eq!(format!("{:?}", SpiSet::new([5, 2]).expect("SPIs")), "{2, 5}");
    assert_eq!(SpiSet::new(0..1024).expect("SPIs").len(), 1024);
    for found in [1024, 1 << 31, u32::MAX] {
        assert_eq!(SpiSet::new([3, found]), Err(TopologyError::Spi { found }));
        assert!(!set.contains(found));
    }
}
