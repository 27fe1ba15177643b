//! What cannot be restored is refused by name, and the device sees nothing of it.

use crate::common::{filled, fresh, on_host, trace, vcpus};
use crate::save::Save as _;
use vgic_state::gicv5::{Gicv5State, Ist, IstError};
use vgic_state::image::{self, ImageError, IstCoding, Kind};
use vgic_state::judge;
use vgic_state::model::gicv5::Host;
use vgic_state::report::{Problem, Refusal, Severity};
use vgic_state::{Attr, DynInterruptState, Error, IntId, InterruptState, IstKind, Options, SpiCount, Vcpu, Vcpus};

/// A state that can be restored but for one change.
fn changed(change: impl FnOnce(&mut Gicv5State<'static>)) -> Gicv5State<'static> {
    let mut state = filled(&vcpus(2), 64, Some(9)).flush_and_save().expect("save");
    change(&mut state);
    state
}

/// Every way into a device refuses the state for the same reason, and none accesses it.
fn refused_by(state: &Gicv5State<'_>, mut destination: vgic_state::gicv5::Gicv5<vgic_state::model::gicv5::Vm>) -> Refusal {
    let refusal = match destination.restore(state) {
        Err(Error::Refused(refusal)) => *refusal,
        other => panic!("{other:?}"),
    };
    let again = Err(Error::from(refusal.clone()));
    assert_eq!(destination.check(state), again);
    let report = judge::gicv5::problems(state);
    let alone = judge::gicv5::fit(state, destination.target()).and_then(|()| report.refuse(Some(Severity::DEFAULT_THRESHOLD)));
    assert_eq!(alone, Err(refusal.clone()));
    for coding in [IstCoding::Raw, IstCoding::Sparse] {
        // What can be written can be read, and is refused for the same reason.
        match state.to_image(coding) {
            Ok(image) => {
                assert_eq!(destination.restore_image(&image), again);
                assert_eq!(destination.check_image(&image), again);
            }
            Err(error) => assert!(matches!(error, Error::Topology(_) | Error::Image(ImageError::IstKind { .. })), "{error}"),
        }
    }
    assert_eq!(trace(&destination), "", "the trace of a refusal is empty");
    refusal
}

fn refused(state: &Gicv5State<'_>) -> Refusal {
    refused_by(state, fresh(&vcpus(2), 64))
}

/// The problem that the state is refused for, what was found and what is allowed. No threshold accepts it.
fn problem(state: &Gicv5State<'_>) -> (Problem, Option<u64>, Option<(u64, u64)>) {
    let found = match refused(state) {
        Refusal::Problem(found) => *found,
        other => panic!("{other}"),
    };
    let lenient = fresh(&vcpus(2), 64).with_options(Options::default().with_refuse_at(None)).check(state);
    assert_eq!(lenient, Err(Error::from(Refusal::Problem(Box::new(found)))));
    (found.problem, found.first.value, found.first.allowed)
}

#[test]
fn tables_of_no_legal_size() {
    let table = |kind, bytes: usize| Ist::new(kind, vec![0; bytes]).map(|table| table.kind());
    for (spis, legal) in
        [(0, false), (1, false), (31, false), (32, true), (33, false), (48, false), (64, true), (1024, true), (1056, false)]
    {
        match table(IstKind::Spi, spis * 4) {
            Err(IstError::Size { kind: IstKind::Spi, found, .. }) => assert!(!legal && found == spis * 4),
            other => assert!(legal && other == Ok(IstKind::Spi), "{spis}: {other:?}"),
        }
    }
    for (lpis, legal) in [(0, false), (1, true), (3, false), (1 << 16, true), (1 << 17, false)] {
        match table(IstKind::Lpi, lpis * 4) {
            Err(IstError::Size { kind: IstKind::Lpi, found, .. }) => assert!(!legal && found == lpis * 4),
            other => assert!(legal && other == Ok(IstKind::Lpi), "{lpis}: {other:?}"),
        }
    }
    assert_eq!(table(IstKind::Spi, 129), Err(IstError::Partial { found: 129 }));
}

#[test]
fn another_set_of_vcpus() {
    let state = changed(|_| ());
    let all: Vec<Vcpu> = vcpus(2).iter().collect();
    let other = Vcpu { id: all[1].id, mpidr: vgic_state::Mpidr::new(9, 9, 9, 9) };
    let renamed = Vcpu { id: vgic_state::VcpuId::new(100).expect("id"), mpidr: all[1].mpidr };
    for (vm, expected) in [
        (vec![all[0]], Refusal::VcpuMissing { vcpu: all[1] }),
        (vec![all[1]], Refusal::VcpuMissing { vcpu: all[0] }),
        (vec![all[0], other], Refusal::VcpuNames { expected: other, found: all[1] }),
        (vec![all[0], renamed], Refusal::VcpuNames { expected: renamed, found: all[1] }),
        (
            vec![all[0], all[1], Vcpu::with_default_mpidr(100).expect("id")],
            Refusal::VcpuUnexpected { vcpu: Vcpu::with_default_mpidr(100).expect("id") },
        ),
        (
            vec![all[0], Vcpu::with_default_mpidr(2).expect("id"), all[1]],
            Refusal::VcpuUnexpected { vcpu: Vcpu::with_default_mpidr(2).expect("id") },
        ),
    ] {
        assert_eq!(refused_by(&state, fresh(&Vcpus::new(vm).expect("vCPUs"), 64)), expected);
    }
    let twice = changed(|state| state.vcpus[1] = state.vcpus[0]);
    assert_eq!(refused(&twice), Refusal::VcpuTwice { first: all[0], second: all[0] });
    let affinity = changed(|state| state.vcpus[1].vcpu.mpidr = state.vcpus[0].vcpu.mpidr);
    let second = Vcpu { id: all[1].id, ..all[0] };
    assert_eq!(refused(&affinity), Refusal::VcpuTwice { first: all[0], second });
    let none = changed(|state| state.vcpus.clear());
    assert_eq!(refused(&none), Refusal::VcpuUnexpected { vcpu: all[0] });
}

#[test]
fn another_number_of_spis() {
    let expected = SpiCount::new(96).expect("SPIs");
    let found = SpiCount::new(64).expect("SPIs");
    assert_eq!(refused_by(&changed(|_| ()), fresh(&vcpus(2), 96)), Refusal::SpiCount { expected, found });
    // The table of another number of SPIs than the state says.
    let short = changed(|state| state.spi_ist = Ist::new(IstKind::Spi, vec![0; 128]).expect("table"));
    assert_eq!(problem(&short), (Problem::IstMisfit, Some(128), Some((256, 256))));
}

#[test]
fn a_table_in_the_place_of_the_other() {
    let lpis_as_spis = changed(|state| state.spi_ist = Ist::new(IstKind::Lpi, vec![0; 256]).expect("table"));
    let expected = ImageError::IstKind { expected: IstKind::Spi, found: IstKind::Lpi };
    assert_eq!(problem(&lpis_as_spis).0, Problem::IstKind);
    assert_eq!(lpis_as_spis.to_image(IstCoding::Raw), Err(Error::from(expected)));
    let spis_as_lpis = changed(|state| state.lpi_ist = Some(Ist::new(IstKind::Spi, vec![0; 2048]).expect("table")));
    assert_eq!(problem(&spis_as_lpis).0, Problem::IstKind);
}

#[test]
fn identification_that_the_target_cannot_honour() {
    type Change = fn(&mut Gicv5State<'static>);
    let cases: [(Change, u32, &str); 24] = [
        (|state| state.identity.idr0 ^= 3, 0x0, "INT_DOM"),
        (|state| state.identity.idr0 += 1 << 2, 0x0, "PA_RANGE"),
        (|state| state.identity.idr0 |= 1 << 6, 0x0, "VIRT"),
        (|state| state.identity.idr0 |= 1 << 7, 0x0, "ONE_N"),
        (|state| state.identity.idr0 |= 1 << 8, 0x0, "VIRT_ONE_N"),
        (|state| state.identity.idr0 |= 1 << 9, 0x0, "SETLPI"),
        (|state| state.identity.idr0 |= 1 << 10, 0x0, "MEC"),
        (|state| state.identity.idr0 |= 1 << 11, 0x0, "MPAM"),
        (|state| state.identity.idr0 |= 1 << 12, 0x0, "SWE"),
        (|state| state.identity.idr0 |= 1 << 13, 0x0, "reserved"),
        (|state| state.identity.idr1 += 1, 0x4, "PE_CNT"),
        (|state| state.identity.idr1 += 1 << 16, 0x4, "IAFFID_BITS"),
        (|state| state.identity.idr1 += 1 << 20, 0x4, "PRIORITY_BITS"),
        (|state| state.identity.idr1 |= 1 << 23, 0x4, "reserved"),
        (|state| state.identity.idr2 += 1, 0x8, "ID_BITS"),
        (|state| state.identity.idr2 ^= 1 << 5, 0x8, "LPI"),
        (|state| state.identity.idr2 -= 1 << 6, 0x8, "MIN_LPI_ID_BITS"),
        (|state| state.identity.idr2 |= 1 << 10, 0x8, "IST_LEVELS"),
        (|state| state.identity.idr2 |= 1 << 14, 0x8, "ISTMD"),
        (|state| state.identity.idr2 |= 1 << 15, 0x8, "ISTMD_SZ"),
        (|state| state.identity.idr2 |= 1 << 20, 0x8, "reserved"),
        (|state| state.identity.idr5 += 32, 0x14, "SPI_RANGE"),
        (|state| state.identity.idr6 -= 32, 0x18, "SPI_IRS_RANGE"),
        (|state| state.identity.idr7 += 1, 0x1c, "SPI_BASE"),
    ];
    for (change, offset, name) in cases {
        let state = changed(change);
        match refused(&state) {
            Refusal::Identity { register, field, .. } => assert_eq!((register, field), (Attr::irs(offset).id(), name)),
            other => panic!("{other}"),
        }
    }
    let error = refused(&changed(|state| state.identity.idr1 += 1 << 20));
    assert_eq!(error.to_string(), "IRS_IDR1.PRIORITY_BITS is 5, the device has 4: must not be greater");
}

#[test]
fn what_the_target_can_honour_is_accepted_and_shown_to_the_guest() {
    // A guest of a lesser host on a better one.
    let lesser = Host { id_bits: 12, min_lpi_id_bits: 10, priority_bits: 4, pa_range: 3, ..Host::default() };
    let mut source = on_host(lesser, &vcpus(2), 64);
    crate::common::fill(&mut source, Some(11));
    let mut state = source.flush_and_save().expect("save");
    state.identity.idr0 |= 0x1234 << 16;
    state.identity.idr2 |= 5 << 11;
    let mut destination = fresh(&vcpus(2), 64);
    destination.restore(&state).expect("restore");
    assert_eq!(destination.flush_and_save().expect("save").identity, state.identity);
    assert_eq!(destination.target().identity, state.identity, "the target now is what the guest has seen");
    // And not the other way.
    let state = filled(&vcpus(2), 64, Some(9)).flush_and_save().expect("save");
    assert!(matches!(refused_by(&state, on_host(lesser, &vcpus(2), 64)), Refusal::Identity { .. }));
}

#[test]
fn lpi_tables_that_do_not_fit_their_registers() {
    let lpi = |bits: u32| Some(Ist::new(IstKind::Lpi, vec![0; 4 << bits]).expect("table"));
    let bits = |found, min, max| (Problem::LpiIdBits, Some(found), Some((min, max)));
    let cases = [
        (changed(|state| state.irs.ist_baser &= !1), (Problem::IstMisfit, Some(0), Some((1, 1)))),
        (changed(|state| state.lpi_ist = None), (Problem::IstMisfit, Some(1), Some((0, 0)))),
        (changed(|state| state.lpi_ist = lpi(10)), (Problem::IstMisfit, Some(4096), Some((2048, 2048)))),
        (changed(|state| state.irs.ist_cfgr = 0), bits(0, 8, 16)),
        (changed(|state| state.irs.ist_cfgr = 7), bits(7, 8, 16)),
        (changed(|state| state.irs.ist_cfgr = 17), bits(17, 8, 16)),
        (changed(|state| state.irs.ist_cfgr = 31), bits(31, 8, 16)),
        (
            // What the guest has seen counts, not what the host could do.
            changed(|state| {
                state.identity.idr2 = state.identity.idr2 & !0x1f | 10;
                state.irs.ist_cfgr = 11;
                state.lpi_ist = lpi(11);
            }),
            bits(11, 8, 10),
        ),
        // Of no possible width at all: that is said, and no value is asked for.
        (
            changed(|state| state.identity.idr2 = state.identity.idr2 & !0x3df | 10 << 6 | 9),
            (Problem::LpiIdBounds, Some(10), Some((0, 9))),
        ),
        // STRUCTURE, ISTSZ, a reserved bit.
        (changed(|state| state.irs.ist_cfgr |= 1 << 16), (Problem::IstCfgr, Some(0x1_0009), None)),
        (changed(|state| state.irs.ist_cfgr |= 2 << 7), (Problem::IstCfgr, Some(0x109), None)),
        (changed(|state| state.irs.ist_cfgr |= 1 << 9), (Problem::IstCfgr, Some(0x209), None)),
    ];
    for (state, expected) in cases {
        assert_eq!(problem(&state), expected);
    }
    let bounds = changed(|state| {
        (state.identity.idr2, state.irs.ist_baser) = (state.identity.idr2 & !0x3df | 10 << 6 | 9, 0);
        state.lpi_ist = None;
    });
    assert_eq!(problem(&bounds), (Problem::LpiIdBounds, Some(10), Some((0, 9))));
    // Without a table, IRS_IST_CFGR is what the guest made of it.
    let state = changed(|state| {
        state.irs.ist_baser &= !1;
        state.irs.ist_cfgr = 0x0001_019f;
        state.lpi_ist = None;
    });
    fresh(&vcpus(2), 64).check(&state).expect("the kernel does not look");
}

#[test]
fn reserved_bits_of_an_entry() {
    for bit in 5..=8 {
        for (kind, id) in [(IstKind::Spi, 0), (IstKind::Spi, 63), (IstKind::Lpi, 64), (IstKind::Lpi, 511)] {
            let set = |table: &mut Ist<'static>| {
                let mut bytes = table.as_bytes().to_vec();
                let entry = u32::from_le_bytes(bytes[id * 4..id * 4 + 4].try_into().expect("4 bytes")) | 1 << bit;
                bytes[id * 4..id * 4 + 4].copy_from_slice(&entry.to_le_bytes());
                *table = Ist::new(kind, bytes).expect("table");
                entry
            };
            let mut entry = 0;
            let state = changed(|state| {
                entry = match kind {
                    IstKind::Spi => set(&mut state.spi_ist),
                    IstKind::Lpi => set(state.lpi_ist.as_mut().expect("LPIs")),
                }
            });
            let interrupt = if kind == IstKind::Spi { IntId::Spi(id as u32) } else { IntId::Lpi(id as u32) };
            assert_eq!(problem(&state), (Problem::IstReservedBits, Some(entry.into()), None));
            assert!(refused(&state).to_string().contains(&format!("{interrupt} is {entry:#x}")));
        }
    }
}

#[test]
fn every_prefix_and_every_changed_byte_of_a_good_image() {
    for coding in [IstCoding::Raw, IstCoding::Sparse] {
        let image = filled(&vcpus(1), 32, Some(8)).flush_and_save().expect("save").to_image(coding).expect("image");
        let mut destination = fresh(&vcpus(1), 32);
        for length in 0..image.len() {
            let error = destination.restore_image(&image[..length]).expect_err("cut short");
            assert!(matches!(error, Error::Image(ImageError::Truncated { .. })), "{length}: {error}");
        }
        for extra in [1, 8, 4096] {
            let mut long = image.clone();
            long.resize(image.len() + extra, 0);
            let error = destination.restore_image(&long).expect_err("too long");
            assert!(matches!(error, Error::Image(ImageError::TrailingBytes { .. })), "{error}");
        }
        let mut bad = image.clone();
        for at in 0..image.len() {
            for change in 1..=255 {
                bad[at] ^= change;
                assert!(matches!(destination.restore_image(&bad), Err(Error::Image(_))), "byte {at} changed by {change:#04x}");
                bad[at] ^= change;
            }
        }
        assert_eq!(trace(&destination), "");
        assert_eq!(image::kind(&image), Ok(Kind::Gicv5));
        destination.restore_image(&image).expect("the image itself is good");
    }
}
