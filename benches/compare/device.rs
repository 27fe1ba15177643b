//! GICv5 save and restore, beside the bare device calls that they consist of.
//!
//! Rule: the bare calls are those that the model has recorded, in the same order, with buffers that are there already.

use crate::pair::{Name, Pairs, calls, calls_with};
use crate::states::{ALL, Use, fresh, used};
use std::hint::black_box;
use vgic_state::gicv5::{Gicv5, Options};
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::Vm;
use vgic_state::model::{Access, Value};
use vgic_state::uapi::vgic_v5::{KVM_DEV_ARM_VGIC_GRP_IRS_REGS, irs};
use vgic_state::{Attr, AttrDevice, AttrId, Command, DynInterruptState, Errno, InterruptState, IstDevice, IstSizes, Vcpus, Word};

/// An access, ready to be made again.
enum Bare {
    Register(Attr<u64>, u64),
    Tables,
}

fn bare(access: &Access) -> Bare {
    let (id, value) = (access.id, access.value);
    match value {
        Some(Value::Tables { .. }) => Bare::Tables,
        Some(Value::U64(value)) => match id.mpidr() {
            Some(mpidr) => Bare::Register(Attr::cpu_sysreg(mpidr, id.attr() as u16), value),
            None => Bare::Register(Attr::irs(id.attr() as u32), value),
        },
        _ => panic!("{access}: not an access of a save or a restore"),
    }
}

/// The accesses since the last call.
fn recorded<D>(gic: &mut Gicv5<Vm>, code: impl FnOnce(&mut Gicv5<Vm>) -> D) -> (Vec<Bare>, D) {
    gic.device_mut().clear_trace();
    let result = code(gic);
    let accesses = gic.device().trace().iter().map(bare).collect();
    gic.device_mut().clear_trace();
    (accesses, result)
}

struct Buffers {
    spi: Vec<u8>,
    lpi: Option<Vec<u8>>,
}

fn bare_save(device: &impl IstDevice, accesses: &[Bare], buffers: &mut Buffers) {
    for access in accesses {
        match access {
            Bare::Register(attr, _) => {
                black_box(device.get(*attr).expect("get"));
            }
            Bare::Tables => device.save_ist(&mut buffers.spi, buffers.lpi.as_deref_mut()).expect("save"),
        }
    }
}

fn bare_restore(device: &mut impl IstDevice, accesses: &[Bare], buffers: &Buffers) {
    for access in accesses {
        match access {
            Bare::Register(attr, value) => device.set(*attr, *value).expect("set"),
            Bare::Tables => device.restore_ist(&buffers.spi, buffers.lpi.as_deref()).expect("restore"),
        }
    }
}

fn buffers(sizes: IstSizes) -> Buffers {
    Buffers { spi: vec![0; sizes.spi], lpi: sizes.lpi.map(|bytes| vec![0; bytes]) }
}

fn sparse() -> Options {
    let mut options = Options::default();
    options.ist_coding = IstCoding::Sparse;
    options
}

const BARE: &str = "bare calls";

pub(crate) fn measure(pairs: &mut Pairs) {
    for (state, vcpus, spis, lpi_bits, which) in [
        ("GICv5: 32 SPIs", 1, 32, None, ALL),
        ("GICv5: 1,024 SPIs, 65,536 LPIs, 1 % apart", 8, 1024, Some(16), Use::Apart(100)),
        ("GICv5: 1,024 SPIs, 65,536 LPIs, 100 %", 8, 1024, Some(16), ALL),
    ] {
        let name = |operation, by: &str, bytes| Name { state: state.into(), operation, by: by.into(), bytes, against: BARE };
        let mut gic = used(vcpus, spis, lpi_bits, which);
        let other = &mut used(vcpus, spis, lpi_bits, which).into_device();
        let mut tables = buffers(gic.ist_sizes().expect("sizes"));
        let (accesses, saved) = recorded(&mut gic, |gic| gic.save().expect("save"));
        // What the bare restore is given, even where the command line leaves out every save.
        bare_save(other, &accesses, &mut tables);
        {
            let mut baseline = calls(|| {
                other.clear_trace();
                bare_save(other, &accesses, &mut tables);
            });
            pairs.measure(
                name("save", "typed", None),
                &mut baseline,
                &mut calls(|| {
                    gic.device_mut().clear_trace();
                    gic.save().expect("save")
                }),
            );
            for (by, coding) in [("object-safe, raw", Options::default()), ("object-safe, sparse", sparse())] {
                gic = gic.with_options(coding);
                let mut image = vec![0; gic.requirements().expect("requirements").image_max];
                let bytes = gic.save_image(&mut image).expect("save");
                let measured = &mut calls(|| {
                    gic.device_mut().clear_trace();
                    let gic: &mut dyn DynInterruptState = &mut gic;
                    gic.save_image(&mut image).expect("save")
                });
                pairs.measure(name("save", by, Some(bytes)), &mut baseline, measured);
            }
        }

        let (accesses, _) = recorded(&mut fresh(vcpus, spis), |gic| gic.restore(&saved).expect("restore"));
        let mut baseline = calls_with(|| fresh(vcpus, spis), |gic| bare_restore(gic.device_mut(), &accesses, &tables));
        let measured = &mut calls_with(|| fresh(vcpus, spis), |gic| gic.restore(&saved).expect("restore"));
        pairs.measure(name("restore", "typed", None), &mut baseline, measured);
        for (by, coding) in [("object-safe, raw", IstCoding::Raw), ("object-safe, sparse", IstCoding::Sparse)] {
            let image = saved.to_image(coding).expect("image");
            let measured = &mut calls_with(
                || fresh(vcpus, spis),
                |gic| {
                    let gic: &mut dyn DynInterruptState = gic;
                    gic.restore_image(&image).expect("restore")
                },
            );
            pairs.measure(name("restore", by, Some(image.len())), &mut baseline, measured);
        }
    }
    ideal(pairs);
}

/// A device that no kernel can be as fast as: registers are constants, and tables are copied by `memcpy`.
struct Ideal {
    spi: Vec<u8>,
    lpi: Vec<u8>,
}

impl AttrDevice for Ideal {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        const IDR1: u64 = irs::GICV5_IRS_IDR1 as u64;
        const IDR2: u64 = irs::GICV5_IRS_IDR2 as u64;
        const IST_CFGR: u64 = irs::GICV5_IRS_IST_CFGR as u64;
        const IST_BASER: u64 = irs::GICV5_IRS_IST_BASER as u64;
        let value = match (attr.id().group(), attr.id().attr()) {
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IDR1) => 8,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IDR2) => 16 | 1 << 5,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IST_CFGR) => 16,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IST_BASER) => 0x4001,
            _ if attr.id() == Attr::nr_irqs().id() => self.spi.len() as u64 / 4,
            _ => 0,
        };
        Ok(W::from_ne_bytes([value, 0_u64].map(u64::to_ne_bytes).as_flattened().try_into().expect("16 bytes")))
    }

    fn set<W: Word>(&mut self, _: Attr<W>, _: W) -> Result<(), Errno> {
        Ok(())
    }

    fn has(&self, _: AttrId) -> Result<(), Errno> {
        Ok(())
    }

    fn command(&mut self, _: Command) -> Result<(), Errno> {
        Ok(())
    }
}

impl IstDevice for Ideal {
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
        spi.copy_from_slice(&self.spi);
        lpi.expect("LPIs").copy_from_slice(&self.lpi);
        Ok(())
    }

    fn restore_ist(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<(), Errno> {
        Ok(())
    }
}

fn ideal(pairs: &mut Pairs) {
    let mut gic = used(8, 1024, Some(16), ALL);
    let (accesses, saved) = recorded(&mut gic, |gic| gic.save().expect("save"));
    let device = || Ideal { spi: saved.spi_ist.as_bytes().into(), lpi: saved.lpi_ist.as_ref().expect("LPIs").as_bytes().into() };
    let mut tables = buffers(gic.ist_sizes().expect("sizes"));
    let mut gic = Gicv5::attach(device(), Vcpus::with_default_mpidrs(8).expect("vCPUs")).expect("attach");
    let other = device();
    let name = |by: &str| Name {
        state: "GICv5: 1,024 SPIs, 65,536 LPIs, 100 % in use; a device as fast as memcpy".into(),
        operation: "save",
        by: by.into(),
        bytes: None,
        against: BARE,
    };
    let mut spi = vec![0; tables.spi.len()];
    let mut lpi = tables.lpi.clone();
    let mut baseline = calls(|| bare_save(&other, &accesses, &mut tables));
    {
        let save_ists = &mut calls(|| gic.save_ists(&mut spi, lpi.as_deref_mut()).expect("save"));
        pairs.measure(name("tables alone"), &mut baseline, save_ists);
    }
    let mut image = vec![0; gic.requirements().expect("requirements").image_max];
    let save_image = &mut calls(|| gic.save_image(&mut image).expect("save"));
    pairs.measure(name("object-safe, raw"), &mut baseline, save_image);
}
