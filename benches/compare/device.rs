//! GICv5 save and restore, beside the bare device calls that they consist of.
//!
//! Rule: the bare calls are those that the model has recorded, in the same order, with buffers that are there already.

use crate::pair::{Name, Pairs, calls, calls_with};
use crate::save::Save as _;
use crate::save::SaveImage as _;
use crate::states::{ALL, Use, fresh, used};
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use vgic_state::Options;
use vgic_state::gicv5::{Gicv5, Gicv5State};
use vgic_state::image::IstCoding;
use vgic_state::model::gicv5::Vm;
use vgic_state::model::{Access, Value};
use vgic_state::uapi::vgic_v5::{KVM_DEV_ARM_VGIC_GRP_IRS_REGS, irs};
use vgic_state::{Attr, AttrDevice, AttrId, Command, DynInterruptState, Errno, InterruptState, IstDevice, IstSizes, Word};

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
    Options::default().with_ist_coding(IstCoding::Sparse)
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
        let (accesses, saved) = recorded(&mut gic, |gic| gic.flush_and_save().expect("save"));
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
                    gic.flush_and_save().expect("save")
                }),
            );
            for (by, coding) in [("object-safe, raw", Options::default()), ("object-safe, sparse", sparse())] {
                gic = gic.with_options(coding);
                let mut image = vec![0; gic.requirements().expect("requirements").image_max];
                let bytes = gic.flush_and_save_image(&mut image).expect("save");
                let measured = &mut calls(|| {
                    gic.device_mut().clear_trace();
                    let gic: &mut dyn DynInterruptState = &mut gic;
                    gic.flush_and_save_image(&mut image).expect("save")
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
    system_calls(pairs);
}

/// What no kernel is faster than: each access is a system call that copies, to or from a file in memory. Nothing is locked, and
/// tables are in one piece.
pub(crate) struct InFile {
    file: File,
    spi: usize,
    lpi_bits: u64,
    idr1: u64,
}

/// Where the file has a table of LPIs.
const LPIS: u64 = 0x1_0000;

impl InFile {
    pub(crate) fn new(state: &Gicv5State<'_>) -> Self {
        let path = std::env::temp_dir().join(format!("vgic-state-bench-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
        std::fs::remove_file(path).expect("its name is not needed");
        let spi = state.spi_ist.as_bytes();
        file.write_all_at(spi, 0).expect("write");
        let lpis = state.lpi_ist.as_ref().expect("LPIs");
        file.write_all_at(lpis.as_bytes(), LPIS).expect("write");
        let lpi_bits = lpis.lpi_id_bits().expect("LPIs").get().into();
        InFile { file, spi: spi.len(), lpi_bits, idr1: state.identity.idr1.into() }
    }
}

impl AttrDevice for InFile {
    fn get<W: Word>(&self, attr: Attr<W>) -> Result<W, Errno> {
        const IDR1: u64 = irs::GICV5_IRS_IDR1 as u64;
        const IDR2: u64 = irs::GICV5_IRS_IDR2 as u64;
        const IST_CFGR: u64 = irs::GICV5_IRS_IST_CFGR as u64;
        const IST_BASER: u64 = irs::GICV5_IRS_IST_BASER as u64;
        let mut bytes = [0; 16];
        self.file.read_exact_at(&mut bytes[..W::BYTES], 0).map_err(|_| Errno::EIO)?;
        let value = match (attr.id().group(), attr.id().attr()) {
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IDR1) => self.idr1,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IDR2) => 16 | 1 << 5,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IST_CFGR) => self.lpi_bits,
            (KVM_DEV_ARM_VGIC_GRP_IRS_REGS, IST_BASER) => 0x4001,
            _ if attr.id() == Attr::nr_irqs().id() => self.spi as u64 / 4,
            _ => 0,
        };
        bytes[..8].copy_from_slice(&value.to_ne_bytes());
        Ok(W::from_ne_bytes(bytes))
    }

    fn set<W: Word>(&mut self, _: Attr<W>, _: W) -> Result<(), Errno> {
        Err(Errno::ENXIO)
    }

    fn has(&self, _: AttrId) -> Result<(), Errno> {
        Ok(())
    }

    fn command(&mut self, _: Command) -> Result<(), Errno> {
        Err(Errno::ENXIO)
    }
}

impl IstDevice for InFile {
    fn save_ist(&self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Errno> {
        self.file.read_exact_at(spi, 0).map_err(|_| Errno::EIO)?;
        lpi.map_or(Ok(()), |lpi| self.file.read_exact_at(lpi, LPIS)).map_err(|_| Errno::EIO)
    }

    fn restore_ist(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<(), Errno> {
        Err(Errno::ENXIO)
    }
}

/// A save from the file, of guests with more and more vCPUs.
fn system_calls(pairs: &mut Pairs) {
    for vcpus in [8, 64] {
        let mut gic = used(vcpus, 1024, Some(16), ALL);
        let (accesses, saved) = recorded(&mut gic, |gic| gic.flush_and_save().expect("save"));
        let mut tables = buffers(gic.ist_sizes().expect("sizes"));
        let mut gic = Gicv5::attach(InFile::new(&saved), gic.target().vcpus.clone()).expect("attach");
        let other = InFile::new(&saved);
        let name = |by: &str| Name {
            state: format!("GICv5: 1,024 SPIs, 65,536 LPIs, {vcpus} vCPUs; each access a read of a file"),
            operation: "save",
            by: by.into(),
            bytes: None,
            against: BARE,
        };
        let (mut spi, mut lpi) = (tables.spi.clone(), tables.lpi.clone());
        let mut baseline = calls(|| bare_save(&other, &accesses, &mut tables));
        {
            // With the registers, so that it is the same work.
            let (registers, _): (Vec<&Bare>, Vec<&Bare>) = accesses.iter().partition(|access| matches!(access, Bare::Register(..)));
            let save_ists = &mut calls(|| {
                for access in &registers {
                    if let Bare::Register(attr, _) = access {
                        black_box(gic.device().get(*attr).expect("get"));
                    }
                }
                gic.save_ists(&mut spi, lpi.as_deref_mut()).expect("save")
            });
            pairs.measure(name("save_ists, and registers by hand"), &mut baseline, save_ists);
        }
        let mut image = vec![0; gic.requirements().expect("requirements").image_max];
        let save_image = &mut calls(|| gic.flush_and_save_image(&mut image).expect("save"));
        pairs.measure(name("object-safe, raw"), &mut baseline, save_image);
    }
}
