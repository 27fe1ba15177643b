//! The strongest property: save, restore into a fresh device, save again, equal.

use crate::common::{fill, filled, fresh, icc_values, irs_values, on_host, saved_spis, table, vcpus, without_hwu};
use crate::save::Save as _;
use crate::save::SaveImage as _;
use proptest::prelude::*;
use vgic_state::Options;
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::Host;
use vgic_state::{Attr, AttrDevice, DynInterruptState, InterruptState};

const SPIS: [u32; 3] = [32, 64, 1024];
/// The widths of LPI IDs that the model's host allows, the least one and the greatest among them; and no LPIs.
const LPI_BITS: [Option<u32>; 7] = [None, Some(0), Some(1), Some(5), Some(8), Some(14), Some(16)];

fn host() -> Host {
    Host { min_lpi_id_bits: 0, ..Host::default() }
}

fn options(ist_coding: IstCoding) -> Options {
    let mut options = Options::default();
    options.ist_coding = ist_coding;
    options
}

#[test]
fn a_typed_state_is_restored_as_it_was_saved() {
    let vcpus = vcpus(3);
    for spis in SPIS {
        for lpi_bits in LPI_BITS {
            let mut source = on_host(host(), &vcpus, spis);
            fill(&mut source, lpi_bits);
            let state = source.flush_and_save().expect("save");

            let mut destination = on_host(host(), &vcpus, spis);
            destination.restore(&state).expect("restore");
            assert_eq!(destination.flush_and_save().expect("save"), state, "{spis} SPIs, {lpi_bits:?} LPI ID bits");
            assert_eq!(source.flush_and_save().expect("save again"), state, "a save changes nothing");
        }
    }
}

#[test]
fn by_image_in_either_coding() {
    let vcpus = vcpus(2);
    for spis in SPIS {
        for lpi_bits in LPI_BITS {
            for coding in [IstCoding::Raw, IstCoding::Sparse] {
                let mut source = on_host(host(), &vcpus, spis).with_options(options(coding));
                fill(&mut source, lpi_bits);
                let mut image = vec![0xee; source.requirements().expect("requirements").image_max];
                let length = source.flush_and_save_image(&mut image).expect("save");
                let image = &image[..length];

                let mut destination = on_host(host(), &vcpus, spis).with_options(options(coding));
                destination.check_image(image).expect("check");
                destination.restore_image(image).expect("restore");
                let mut again = vec![0xdd; destination.requirements().expect("requirements").image_max];
                let length = destination.flush_and_save_image(&mut again).expect("save");
                assert_eq!(&again[..length], image, "{spis} SPIs, {lpi_bits:?} LPI ID bits, {coding:?}");

                // The typed way gives the same bytes, and the bytes give the same state.
                let state = source.flush_and_save().expect("typed");
                assert_eq!(state.to_image(coding).expect("image"), image);
                assert_eq!(Gicv5State::parse(image).expect("parse"), state);
                assert_eq!(source.kind(), destination.kind());
                assert_eq!(Gicv5State::parse(image).expect("parse").into_owned().topology().as_ref(), Ok(&vcpus));
                // Either coding is of the same state.
                let other = if coding == IstCoding::Raw { IstCoding::Sparse } else { IstCoding::Raw };
                assert_eq!(Gicv5State::parse(&state.to_image(other).expect("image")).expect("parse"), state);
            }
        }
    }
}

#[test]
fn every_value_arrives_under_its_name() {
    let vcpus = vcpus(3);
    let state = filled(&vcpus, 64, Some(8)).flush_and_save().expect("save");
    let mut destination = fresh(&vcpus, 64);
    destination.restore(&state).expect("restore");

    // Read register by register, with the kernel's numbers and without a table of the backend.
    let vm = destination.device();
    for (offset, value) in irs_values(Some(8)) {
        let idle = if offset == 0x80 { 2 } else { 0 };
        assert_eq!(vm.get(Attr::irs(offset)), Ok(value | idle), "{}", Attr::irs(offset).id());
    }
    for vcpu in vcpus.iter() {
        for (instr, value) in icc_values(vcpu) {
            let attr = Attr::cpu_sysreg(vcpu.mpidr, instr);
            let found = vm.get(attr).expect("register");
            if instr == 0xce01 {
                assert_eq!(found & 1, value, "{}", attr.id());
            } else {
                assert_eq!(found, value, "{}", attr.id());
            }
        }
    }
    assert_eq!(state.spi_ist.as_bytes(), saved_spis(&table(1, 64, &vcpus)));
    assert_eq!(state.lpi_ist.expect("LPIs").as_bytes(), without_hwu(&table(2, 256, &vcpus)));
}

#[test]
fn tables_go_straight_to_and_from_the_callers_bytes_at_any_alignment() {
    let vcpus = vcpus(2);
    let source = filled(&vcpus, 32, Some(8));
    let sizes = source.ist_sizes().expect("sizes");
    assert_eq!((sizes.spi, sizes.lpi), (128, Some(1024)));
    for offset in 0..8 {
        let mut area = vec![0xcc; 2048];
        let (spi, rest) = area[offset..].split_at_mut(128);
        source.save_ists(spi, Some(&mut rest[3..1027])).expect("save");
        assert_eq!(spi, saved_spis(&table(1, 32, &vcpus)));
        assert_eq!(&rest[3..1027], without_hwu(&table(2, 256, &vcpus)));
        assert!(rest[..3].iter().chain(&rest[1027..]).all(|byte| *byte == 0xcc), "nothing beyond the buffers");

        let mut destination = fresh(&vcpus, 32);
        for (attr, value) in [(0x190, 8), (0x180, 0x4001)] {
            destination.device_mut().set(Attr::irs(attr), value).expect("register");
        }
        destination.restore_ists(&area[offset..offset + 128], Some(&area[offset + 131..offset + 1155])).expect("restore");
        let mut spi = [0; 128];
        let mut lpi = [0; 1024];
        destination.save_ists(&mut spi, Some(&mut lpi)).expect("save");
        assert_eq!(spi, saved_spis(&table(1, 32, &vcpus))[..]);
        assert_eq!(lpi, without_hwu(&table(2, 256, &vcpus))[..]);
    }
}

#[test]
fn hwu_never_leaves_the_host() {
    let vcpus = vcpus(1);
    let mut source = filled(&vcpus, 32, Some(8));
    let hwu = |table: &[u8]| table.chunks(4).any(|word| word[1] & 6 != 0);
    assert!(hwu(&table(1, 32, &vcpus)), "the hardware has set it");
    let state = source.flush_and_save().expect("save");
    assert!(!hwu(state.spi_ist.as_bytes()));
    assert!(!hwu(state.lpi_ist.as_ref().expect("LPIs").as_bytes()));
}

#[test]
fn a_guest_goes_on_where_it_was() {
    use vgic_state::IntId::{Lpi, Ppi, Spi};
    let vcpus = vgic_state::Vcpus::with_default_mpidrs(2).expect("vCPUs");
    let [first, second] = [0, 1].map(|id| vgic_state::VcpuId::new(id).expect("id"));

    let mut source = fresh(&vcpus, 64);
    let vm = source.device_mut();
    vm.run(first, |guest| {
        guest.irs_write32(0x190, 9);
        guest.irs_write64(0x180, 0x8000_0001);
        guest.irs_write32(0x80, 1);
        guest.enable_interface();
        guest.set_priority_mask(31);
        for (id, priority, target) in [(Spi(40), 4, 0), (Spi(41), 9, 1), (Lpi(300), 2, 0), (Lpi(301), 1, 1), (Lpi(7), 6, 0)] {
            guest.cdpri(id, priority);
            guest.cdaff(id, target);
            guest.cden(id);
            guest.cdpend(id, true);
        }
        guest.set_ppi_priority(3, 3);
        guest.enable_ppi(3, true);
        guest.pend_ppi(3, true);
        assert_eq!(guest.acknowledge(), Some(Lpi(300)), "in service while the guest is moved");
    })
    .expect("run");
    vm.run(second, |guest| {
        guest.enable_interface();
        guest.set_priority_mask(31);
    })
    .expect("run");

    let mut image = vec![0; source.requirements().expect("requirements").image_max];
    let length = source.flush_and_save_image(&mut image).expect("save");
    let mut destination = fresh(&vcpus, 64);
    destination.restore_image(&image[..length]).expect("restore");

    let vm = destination.device_mut();
    vm.run(first, |guest| {
        assert_eq!(guest.acknowledge(), None, "the interrupt in service has the highest priority");
        guest.eoi();
        guest.deactivate(Lpi(300));
        for expected in [Ppi(3), Spi(40), Lpi(7)] {
            assert_eq!(guest.acknowledge(), Some(expected));
            guest.eoi();
            guest.deactivate(expected);
        }
        assert_eq!(guest.acknowledge(), None);
    })
    .expect("run");
    vm.run(second, |guest| {
        for expected in [Lpi(301), Spi(41)] {
            assert_eq!(guest.acknowledge(), Some(expected));
            guest.eoi();
            guest.deactivate(expected);
        }
        assert_eq!(guest.acknowledge(), None);
    })
    .expect("run");
}

#[test]
fn an_spi_can_be_made_level_triggered_on_the_way() {
    let vcpus = vcpus(1);
    let mut state = fresh(&vcpus, 32).flush_and_save().expect("save");
    let entry = state.spi_ist.get(9).expect("SPI 9");
    assert!(state.spi_ist.set(9, entry.with_hm(true)));
    assert!(!state.spi_ist.set(32, entry));
    let mut destination = fresh(&vcpus, 32);
    destination.restore(&state).expect("restore");
    let vm = destination.device_mut();
    vm.set_spi_level(9, true).expect("line");
    assert!(vm.spi(9).expect("SPI 9").level);
}

proptest! {
    #![proptest_config(crate::seeds::cases(256))]

    /// Whatever registers a state has: it is odd, or comes back as it was.
    #[test]
    fn a_state_without_findings_comes_back_as_it_was(
        irs in any::<[u32; 5]>(),
        ist_baser in any::<u64>(),
        masks in any::<[bool; 5]>(),
        icc in any::<[u64; 6]>(),
        narrow in any::<bool>(),
    ) {
        let vcpus = vcpus(1);
        let mut state = fresh(&vcpus, 32).flush_and_save().expect("save");
        let keep = |value: u32, mask: u32, keep: bool| if keep { value & mask } else { value };
        state.irs.cr0 = keep(irs[0], 3, masks[0]) | if narrow { 2 } else { 0 };
        state.irs.cr1 = keep(irs[1], 0xf5ff, masks[1]);
        state.irs.spi_selr = keep(irs[2], 0x00ff_ffff, masks[2]);
        state.irs.pe_selr = keep(irs[3], 0xffff, masks[3]);
        state.irs.ist_cfgr = keep(irs[4], 0x0001_01ff, masks[4]);
        state.irs.ist_baser = ist_baser & if narrow { 0x00ff_ffff_ffff_ffc0 } else { !1 };
        let registers = &mut state.vcpus[0].registers;
        registers.icsr = icc[0] & if narrow { 0x0000_ffff_0000_f83f } else { u64::MAX };
        registers.apr = icc[1] & if narrow { 0xffff_ffff } else { u64::MAX };
        registers.pcr = icc[2] & if narrow { 0x1f } else { u64::MAX };
        registers.ppi_priorityr5 = icc[3] & if narrow { 0x1f1f_1f1f_1f1f_1f1f } else { u64::MAX };
        registers.ppi_spendr1 = if narrow { 0 } else { icc[4] };
        registers.ppi_enabler0 = icc[5];
        registers.cr0 = if narrow { icc[5] & 1 | 6 } else { icc[3] & 0xf };

        let mut destination = fresh(&vcpus, 32);
        let report = destination.restore(&state).expect("nothing that must be refused");
        let again = destination.flush_and_save().expect("save");
        prop_assert_eq!(report.findings.is_empty(), again == state);
    }
}
