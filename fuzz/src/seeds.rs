//! Images to begin with: of guests on the model, and of tables of real guests.
//!
//! Rule: small, and of every kind, section and coding.

use crate::rig::{Shape, filled};
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv5::Gicv5;
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::uapi::vgic_v5::{icc, irs};
use vgic_state::{Attr, AttrDevice, DynInterruptState, Options, SpiCount, TableStrategy, Vcpus};

/// Tables of real guests, 14 and 10 bits of LPI.
const GOLDEN: [(&str, u32, &[u8]); 3] = [
    ("bm-lin4_14", 14, include_bytes!("../../tests/golden/bm-lin4_14-flushed.lpi.ist")),
    ("linux73-lpi-load", 10, include_bytes!("../../tests/golden/linux73-lpi-load-flushed.lpi.ist")),
    ("linux73-smp4-idle", 10, include_bytes!("../../tests/golden/linux73-smp4-idle.lpi.ist")),
];

fn image(gic: &mut dyn DynInterruptState) -> Vec<u8> {
    let flushed = gic.flush_tables().expect("flush");
    let mut image = vec![0; gic.requirements().expect("requirements").image_max];
    let length = gic.save_image(flushed, &mut image).expect("save");
    image.truncate(length);
    image
}

#[path = "../../tests/common/gicv2.rs"]
mod of_gicv2;

/// A GICv2 with another value in every register.
fn gicv2(vcpus: u32, nr_irqs: u32) -> Vec<u8> {
    let state: Gicv2State = of_gicv2::full_state(vcpus, nr_irqs);
    state.to_image().expect("image")
}

fn gicv3(its: usize, indirect: bool, tables: TableStrategy) -> Vec<u8> {
    of_gicv3(Shape { its, ..Shape::default() }, indirect, tables)
}

fn of_gicv3(shape: Shape, indirect: bool, tables: TableStrategy) -> Vec<u8> {
    let (_vm, mut gic) = filled(shape, indirect);
    gic.options_mut().tables = tables;
    image(&mut gic)
}

/// A GICv5 with a few registers and entries in use; with a table of LPIs, or one that is nearly empty.
pub(crate) fn gicv5(vcpus: u32, lpis: Option<(u32, &[u8])>, coding: IstCoding) -> Gicv5<Vm> {
    let vcpus = Vcpus::with_default_mpidrs(vcpus).expect("vCPUs");
    let vm = Vm::with_device(Host { min_lpi_id_bits: 0, ..Host::default() }, &vcpus).expect("VM");
    let options = Options::default().with_ist_coding(coding);
    let spis = SpiCount::new(32).expect("SPIs");
    let mut gic = Gicv5::initialise(vm, 0x0800_0000, spis, vcpus.clone()).expect("device").with_options(options);
    let vm = gic.device_mut();
    let spis: Vec<u8> = (0..32_u32).flat_map(|n| ((n << 11) | (9 * u32::from(n < 5))).to_le_bytes()).collect();
    vm.plant_spi_ist(&spis).expect("SPIs");
    if let Some((bits, table)) = lpis {
        vm.plant_lpi_ist(bits, table).expect("LPIs");
    }
    for (offset, value) in [(irs::GICV5_IRS_CR0, 1), (irs::GICV5_IRS_CR1, 0x5475), (irs::GICV5_IRS_SPI_SELR, 0x11)] {
        vm.set(Attr::irs(offset), value).expect("IRS register");
    }
    for vcpu in vcpus.iter() {
        for (instr, value) in [(icc::SYS_ICC_PPI_ENABLER0_EL1, 1 << 23), (icc::SYS_ICC_PCR_EL1, 0x1f), (icc::SYS_ICC_CR0_EL1, 1)] {
            vm.set(Attr::cpu_sysreg(vcpu.mpidr, instr), value).expect("CPU interface register");
        }
    }
    gic
}

/// Names and bytes.
#[must_use]
pub fn images() -> Vec<(String, Vec<u8>)> {
    let el2 = Shape { its: 0, el2: true, ..Shape::default() };
    let mut images = vec![
        ("gicv2".into(), gicv2(1, 64)),
        ("gicv2-8-vcpus".into(), gicv2(8, 96)),
        ("gicv3-el2".into(), of_gicv3(el2, false, TableStrategy::GuestMemory)),
        ("gicv3".into(), gicv3(0, false, TableStrategy::GuestMemory)),
        ("gicv3-its".into(), gicv3(2, false, TableStrategy::GuestMemory)),
        ("gicv3-lpis".into(), gicv3(1, false, TableStrategy::Image)),
        ("gicv3-lpis-two-levels".into(), gicv3(2, true, TableStrategy::Image)),
    ];
    for (name, coding) in [("raw", IstCoding::Raw), ("sparse", IstCoding::Sparse)] {
        images.push((format!("gicv5-{name}"), image(&mut gicv5(1, None, coding))));
        let table: Vec<u8> = (0..8_u32).flat_map(|n| (((n % 3) << 11) | 8).to_le_bytes()).collect();
        images.push((format!("gicv5-lpis-{name}"), image(&mut gicv5(2, Some((3, &table)), coding))));
    }
    for (name, bits, table) in GOLDEN {
        images.push((format!("gicv5-{name}"), image(&mut gicv5(4, Some((bits, table)), IstCoding::Sparse))));
    }
    images
}
