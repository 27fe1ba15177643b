//! Guests on the model: their images, and a dump of their memory, as files for the tool.
//!
//! Rule: the same bytes in every run, so that what the tool says of them can be written down.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use vgic_state::gicv2::{Gicv2, Gicv2State};
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::gicv5::{Gicv5, Gicv5State, Iste};
use vgic_state::image::IstCoding;
use vgic_state::model::{gicv2, gicv3, gicv5};
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V2, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::uapi::vgic_v2::dist::GICD_SGIR;
use vgic_state::uapi::vgic_v3::{dist, its, redist};
use vgic_state::uapi::vgic_v5::irs;
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, IntId, InterruptState, SpiCount, TableStrategy, VcpuId, Vcpus};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub(crate) const RAM: u64 = 0x4000_0000;
const RAM_BYTES: usize = 1 << 20;
const CONFIGURATION: u64 = RAM + 0x1_0000;
const PENDING: [u64; 2] = [RAM + 0x2_0000, RAM + 0x3_0000];
pub(crate) const DEVICE_TABLE: u64 = RAM + 0x4_0000;
const COLLECTION_TABLE: u64 = RAM + 0x5_0000;
pub(crate) const QUEUE: u64 = RAM + 0x6_0000;
pub(crate) const ITTS: u64 = RAM + 0x7_0000;
const ITS_BASE: u64 = 0x0808_0000;
const FIRST_LPI: u64 = 8192;
/// A network card and a disk: DeviceID, events.
const DEVICES: [(u64, u64); 2] = [(0x08, 6), (0x10, 2)];

/// Where the files are:
///
/// - `guest.img`, `later.img`: a GICv5; the same a moment later.
/// - `gicv2.img`: a GICv2.
/// - `gicv3.img`, `ram.img`, `ram.bin`: a GICv3 with its tables in the image; the same with its tables in memory, and the memory.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-guests");
        fs::create_dir_all(&directory).expect("directory");
        let state = gicv5();
        write(&directory, "guest.img", &state.to_image(IstCoding::Sparse).expect("image"));
        write(&directory, "later.img", &later(state).to_image(IstCoding::Sparse).expect("image"));
        write(&directory, "gicv2.img", &gicv2().to_image().expect("image"));
        let (in_image, in_memory, memory) = gicv3();
        write(&directory, "gicv3.img", &in_image.to_image().expect("image"));
        write(&directory, "ram.img", &in_memory.to_image().expect("image"));
        write(&directory, "ram.bin", &memory);
        directory
    })
}

/// Another run, or another test of this one, may be reading or writing the file of this name.
pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let new = directory.join(format!("{name}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&new, bytes).expect("file");
    fs::rename(&new, directory.join(name)).expect("file");
}

/// An SPI and a PPI whose lines are high, an edge, an SGI from the other vCPU.
pub(crate) fn gicv2() -> Gicv2State {
    let vcpus = Vcpus::with_default_mpidrs(2).expect("vCPUs");
    let vm = gicv2::Vm::new(gicv2::Host::default());
    vcpus.iter().for_each(|vcpu| vm.create_vcpu(vcpu).expect("vCPU"));
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V2).expect("GICv2");
    gic.set(Attr::gicv2_dist_address(), 0x0800_0000).expect("address");
    gic.set(Attr::gicv2_cpu_address(), 0x0801_0000).expect("address");
    gic.set(Attr::nr_irqs(), 64).expect("NR_IRQS");
    gic.command(Command::Init).expect("INIT");
    let [first, second] = [0, 1].map(|id| VcpuId::new(id).expect("id"));
    vm.run(first, |guest| {
        guest.enable_interface();
        guest.dist_write32(dist::GICD_ICFGR + 8, 2 << 16);
        for (intid, priority, target) in [(40, 0xa0, 2), (33, 0xb0, 1)] {
            guest.dist_write8(dist::GICD_IPRIORITYR + intid, priority);
            guest.dist_write8(dist::GICD_ITARGETSR + intid, target);
            guest.dist_write32(dist::GICD_ISENABLER + 4, 1 << (intid - 32));
        }
        guest.dist_write32(dist::GICD_ISENABLER, 1 << 20);
        guest.dist_write32(dist::GICD_CTLR, 1);
    })
    .expect("run");
    vm.set_spi_level(40, true).expect("line");
    vm.set_spi_level(33, true).expect("line");
    vm.set_ppi_level(first, 20, true).expect("line");
    vm.run(second, |guest| guest.dist_write32(GICD_SGIR, 1 << 16 | 1)).expect("run");
    let mut gic = Gicv2::attach(gic, vcpus).expect("attach");
    let flushed = gic.flush_tables().expect("flush");
    gic.save(flushed).expect("save")
}

/// Linux on two CPUs, with interrupts arriving.
pub(crate) fn gicv5() -> Gicv5State<'static> {
    let vcpus = Vcpus::with_default_mpidrs(2).expect("vCPUs");
    let vm = gicv5::Vm::with_device(gicv5::Host::default(), &vcpus).expect("VM");
    let mut gic = Gicv5::initialise(vm, 0x0800_0000, SpiCount::MIN, vcpus).expect("GICv5");
    let vm = gic.device_mut();
    let mut lpis = [0; 4 << 8];
    for (lpi, word) in lpis.as_chunks_mut::<4>().0.iter_mut().enumerate().take(16) {
        *word = Iste::new().with_enable(true).with_priority(20).with_iaffid(lpi as u16 / 8).into_bits().to_le_bytes();
    }
    vm.plant_lpi_ist(8, &lpis).expect("LPI table");
    for id in 0..2 {
        vm.run(VcpuId::new(id).expect("id"), |guest| {
            guest.enable_interface();
            guest.set_priority_mask(31);
            guest.enable_ppi(27, true);
            guest.set_ppi_priority(27, 12);
        })
        .expect("run");
    }
    vm.run(VcpuId::new(0).expect("id"), |guest| {
        guest.irs_write32(irs::GICV5_IRS_CR0, 1);
        for spi in [5, 11] {
            let id = IntId::Spi(spi);
            guest.cdpri(id, 16);
            guest.cdaff(id, (spi % 2) as u16);
            guest.cden(id);
        }
        guest.cdpend(IntId::Lpi(3), true);
        guest.cdpend(IntId::Lpi(9), true);
        guest.cdpend(IntId::Lpi(40), true);
    })
    .expect("run");
    vm.set_spi_level(11, true).expect("line");
    let taken = vm.run(VcpuId::new(1).expect("id"), |guest| guest.acknowledge()).expect("run");
    assert_eq!(taken, Some(IntId::Spi(11)));
    let flushed = gic.flush_tables().expect("flush");
    gic.save(flushed).expect("save")
}

/// One was taken, one has moved, one has lost its enable bit, one has vanished.
fn later(mut state: Gicv5State<'static>) -> Gicv5State<'static> {
    let lpis = state.lpi_ist.as_mut().expect("LPIs");
    let mut change = |lpi, change: fn(Iste) -> Iste| {
        let entry = lpis.get(lpi).expect("LPI");
        assert!(lpis.set(lpi, change(entry)));
    };
    change(3, |entry| entry.with_pending(false).with_active(true));
    change(5, |entry| entry.with_iaffid(1));
    change(6, |entry| entry.with_enable(false));
    change(7, |_| Iste::new());
    state.irs.cr0 &= !1;
    state
}

/// A guest with an ITS: the state with tables in it, the state without, memory.
pub(crate) fn gicv3() -> (Gicv3State, Gicv3State, Vec<u8>) {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(RAM), RAM_BYTES)]).expect("memory");
    let vcpus = Vcpus::with_default_mpidrs(2).expect("vCPUs");
    let vm = gicv3::Vm::new(gicv3::Host::default(), memory.clone());
    for vcpu in vcpus.iter() {
        vm.create_vcpu(vcpu).expect("vCPU");
    }
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).expect("GICv3");
    gic.set(Attr::nr_irqs(), 96).expect("NR_IRQS");
    gic.set(Attr::dist_address(), 0x0800_0000).expect("address");
    gic.set(Attr::redist_address(), 0x080a_0000).expect("address");
    gic.command(Command::Init).expect("INIT");
    let mut unit = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS).expect("ITS");
    unit.set(Attr::its_address(), ITS_BASE).expect("address");
    unit.command(Command::Init).expect("INIT");
    let guest = Shadowed::new(memory.clone(), gicv3::Slots::new(&vm), ShadowKind::Zero);
    let mut gic = Gicv3::attach(gic, vec![unit], guest, vcpus).expect("attach");
    vm.run(VcpuId::new(0).expect("id"), boot).expect("run");
    for (device, event) in [(0x08, 1), (0x08, 4), (0x10, 0)] {
        assert_eq!(vm.signal_msi(ITS_BASE + its::GITS_TRANSLATER, device, event), Ok(1));
    }
    vm.run(VcpuId::new(0).expect("id"), leave_commands).expect("run");
    gic.options_mut().tables = TableStrategy::Image;
    let flushed = gic.flush_tables().expect("flush");
    let in_image = gic.save(flushed).expect("save");
    gic.options_mut().tables = TableStrategy::GuestMemory;
    let flushed = gic.flush_tables().expect("flush");
    let in_memory = gic.save(flushed).expect("save");
    let mut bytes = vec![0; RAM_BYTES];
    memory.read_slice(&mut bytes, GuestAddress(RAM)).expect("memory");
    (in_image, in_memory, bytes)
}

/// What an operating system does: SPIs, LPI tables, ITS tables, commands.
fn boot(guest: &mut gicv3::Guest<'_>) {
    const VALID: u64 = 1 << 63;
    let enabled: u32 = 1 << 1 | 1 << 4;
    guest.dist_write32(dist::GICD_CTLR, 2);
    guest.dist_write32(dist::GICD_IGROUPR + 4, u32::MAX);
    for word in 0..8 {
        guest.dist_write32(dist::GICD_IPRIORITYR + 32 + 4 * word, 0xa0a0_a0a0);
    }
    guest.dist_write32(dist::GICD_ISENABLER + 4, enabled);
    guest.dist_write32(dist::GICD_ISPENDR + 4, 1 << 4 | 1 << 9);
    for (lpi, byte) in (0..).zip([0xa3, 0xa3, 0xa3, 0xa3, 0xa2, 0xa3, 0xc3, 0xc3]) {
        assert!(guest.write_memory(CONFIGURATION + lpi, &[byte]).is_ok());
    }
    for (vcpu, pending) in (0..).zip(PENDING) {
        let vcpu = VcpuId::new(vcpu).expect("id");
        guest.redist_write64(vcpu, redist::GICR_PROPBASER, CONFIGURATION | 0xf);
        guest.redist_write64(vcpu, redist::GICR_PENDBASER, pending);
        guest.redist_write32(vcpu, redist::GICR_CTLR, 1);
    }
    guest.its_write64(0, its::GITS_BASER, its::GITS_BASER_VALID | DEVICE_TABLE);
    guest.its_write64(0, its::GITS_BASER + 8, its::GITS_BASER_VALID | COLLECTION_TABLE);
    guest.its_write64(0, its::GITS_CBASER, its::GITS_CBASER_VALID | QUEUE);
    guest.its_write32(0, its::GITS_CTLR, 1);

    let mut commands: Vec<[u64; 4]> = (0..2).map(|vcpu| [0x09, 0, VALID | vcpu << 16 | vcpu, 0]).collect();
    let mut lpi = FIRST_LPI;
    for (n, (device, events)) in (0..).zip(DEVICES) {
        commands.push([device << 32 | 0x08, 4, VALID | (ITTS + n * 0x1000), 0]);
        for event in 0..events {
            commands.push([device << 32 | 0x0a, lpi << 32 | event, event % 2, 0]);
            lpi += 1;
        }
    }
    queue(guest, 0, &commands);
}

/// `INV`, `INV` of an event that is not mapped, `SYNC`, to an ITS that is disabled.
fn leave_commands(guest: &mut gicv3::Guest<'_>) {
    guest.its_write32(0, its::GITS_CTLR, 0);
    let ran = guest.its_read64(0, its::GITS_CWRITER);
    queue(guest, ran, &[[0x10 << 32 | 0x0c, 1, 0, 0], [0x10 << 32 | 0x0c, 9, 0, 0], [0x05, 0, 1 << 16, 0]]);
}

fn queue(guest: &mut gicv3::Guest<'_>, offset: u64, commands: &[[u64; 4]]) {
    for (address, word) in (QUEUE + offset..).step_by(8).zip(commands.as_flattened()) {
        assert!(guest.write_memory(address, &word.to_le_bytes()).is_ok());
    }
    guest.its_write64(0, its::GITS_CWRITER, offset + 32 * commands.len() as u64);
}
