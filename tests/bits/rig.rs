//! Small VMs on the model with a GICv3 and ITSes in use; of the tests of single bits, and of the fuzz targets.
//!
//! Rule: a fresh VM has nothing but its devices; guest memory is 2 MiB, and as empty as it can be.

use vgic_state::gicv3::{Gicv3, TargetEl2};
use vgic_state::model::gicv3::{Device, Host, Slots, Vm};
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::uapi::vgic_v3::{dist, icc, ich, its, redist};
use vgic_state::{Attr, AttrDevice, Command, Mpidr, Vcpu, VcpuId, Vcpus};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub(crate) type Memory = GuestMemoryMmap<()>;
pub(crate) type Gic = Gicv3<Device, Shadowed<Memory, Slots>>;

pub(crate) const VALID: u64 = 1 << 63;
pub(crate) const INDIRECT: u64 = 1 << 62;
pub(crate) const PAGE: u64 = 0x1_0000;
pub(crate) const RAM: u64 = 0x4000_0000;
pub(crate) const RAM_BYTES: usize = 2 << 20;
pub(crate) const CONFIGURATION: u64 = RAM;

pub(crate) fn pending(n: u64) -> u64 {
    RAM + (1 + n) * PAGE
}

/// Tables of an ITS: the first of 13 pages.
fn area(n: usize) -> u64 {
    RAM + (5 + 13 * n as u64) * PAGE
}

pub(crate) fn queue(n: usize) -> u64 {
    area(n)
}

/// Flat device table, or its first level.
pub(crate) fn devices(n: usize) -> u64 {
    area(n) + PAGE
}

/// Level-2 device tables, one behind the other.
pub(crate) fn level2(n: usize) -> u64 {
    area(n) + 2 * PAGE
}

pub(crate) fn collections(n: usize) -> u64 {
    area(n) + 4 * PAGE
}

pub(crate) fn itts(n: usize) -> u64 {
    area(n) + 5 * PAGE
}

pub(crate) fn its_base(n: usize) -> u64 {
    0x0a00_0000 + n as u64 * 0x2_0000
}

/// What a VM is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) host: Host,
    pub(crate) vcpus: u32,
    pub(crate) nr_irqs: u32,
    pub(crate) its: usize,
    /// vCPUs with EL2.
    pub(crate) el2: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { host: Host::default(), vcpus: 2, nr_irqs: 64, its: 1, el2: false }
    }
}

pub(crate) fn vcpus(count: u32) -> Vcpus {
    let vcpu = |n| Vcpu { id: VcpuId::new(n).expect("id"), mpidr: Mpidr::new(0, n as u8, 1, (count - n) as u8) };
    Vcpus::new((0..count).map(vcpu)).expect("vCPUs")
}

pub(crate) fn memory() -> Memory {
    Memory::from_ranges(&[(GuestAddress(RAM), RAM_BYTES)]).expect("memory")
}

pub(crate) fn contents(memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0; RAM_BYTES];
    memory.read_slice(&mut bytes, GuestAddress(RAM)).expect("memory");
    bytes
}

/// Memory of these bytes; pages of zeros are not touched.
pub(crate) fn memory_of(bytes: &[u8]) -> Memory {
    let memory = memory();
    for (at, page) in (RAM..).step_by(4096).zip(bytes.chunks(4096)) {
        if page != [0; 4096] {
            memory.write_slice(page, GuestAddress(at)).expect("memory");
        }
    }
    memory
}

/// A fresh VM, and the backend attached to it.
pub(crate) fn fresh(shape: Shape, memory: Memory) -> (Vm, Gic) {
    let vm = Vm::new(shape.host, memory.clone());
    for vcpu in vcpus(shape.vcpus).iter() {
        if shape.el2 { vm.create_el2_vcpu(vcpu) } else { vm.create_vcpu(vcpu) }.expect("vCPU");
    }
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).expect("GICv3");
    gic.set(Attr::nr_irqs(), shape.nr_irqs).expect("NR_IRQS");
    gic.set(Attr::dist_address(), 0x0800_0000).expect("address");
    gic.set(Attr::redist_address(), 0x0810_0000).expect("address");
    gic.command(Command::Init).expect("INIT");
    let its = (0..shape.its).map(|n| {
        let mut its = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS).expect("ITS");
        its.set(Attr::its_address(), its_base(n)).expect("address");
        its.command(Command::Init).expect("INIT");
        its
    });
    let memory = Shadowed::new(memory, Slots::new(&vm), ShadowKind::Zero);
    let gic = Gicv3::attach(gic, its.collect(), memory, vcpus(shape.vcpus)).expect("attach");
    vm.clear_trace();
    (vm, gic)
}

/// A number that follows from another in no simple way.
pub(crate) fn scramble(n: u64) -> u64 {
    let x = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

/// Registers of the virtual CPU interface, each with something in it that a guest hypervisor may have put there.
fn fill_el2(device: &mut Device, vcpu: Vcpu) {
    let n = u64::from(vcpu.id.get());
    let lists = (ich::SYS_ICH_LR0_EL2..=ich::SYS_ICH_LR0_EL2 + 3).zip(1..);
    let lists = lists.map(|(instr, list)| (instr, (1 + list % 3) << 62 | (list * 8) << 48 | (0x20 * (n + 1) + list)));
    let others = [(ich::SYS_ICH_VMCR_EL2, 0xf04c_0002 + n), (ich::SYS_ICH_AP1R0_EL2, 0x10 << n), (ich::SYS_ICH_HCR_EL2, 1)];
    for (instr, value) in lists.chain(others) {
        device.set(Attr::cpu_sysreg(vcpu.mpidr, instr), value).expect("virtual CPU interface register");
    }
}

/// Registers of the interrupts and CPU interfaces, each with something in it that KVM keeps.
pub(crate) fn fill(gic: &mut Gic) {
    let target = gic.target().clone();
    let has_el2 = target.el2 != TargetEl2::Absent;
    let any = target.vcpus.iter().next().expect("vCPU").mpidr;
    let device = gic.gic_mut();
    let set = |device: &mut Device, attr: Attr<u32>, value: u64| device.set(attr, value as u32).expect("register");
    set(device, Attr::dist(dist::GICD_CTLR), 2);
    for vcpu in target.vcpus.iter() {
        let (mpidr, seed) = (vcpu.mpidr, u64::from(vcpu.mpidr.packed()) << 8);
        for (n, offset) in [(0, 0x80), (1, 0x100), (2, 0x200), (3, 0x300)] {
            set(device, Attr::redist(mpidr, redist::SGI_BASE + offset), scramble(seed + n));
        }
        for n in 0..8 {
            let value = scramble(seed + 8 + u64::from(n)) & 0xf8f8_f8f8;
            set(device, Attr::redist(mpidr, redist::GICR_IPRIORITYR0 + 4 * n), value);
        }
        set(device, Attr::line_levels(mpidr, 0), scramble(seed + 5) & 0xffff_0000);
        let id = u64::from(vcpu.id.get());
        for (instr, value) in [
            (icc::SYS_ICC_PMR_EL1, 0xf0 - 8 * id),
            (icc::SYS_ICC_BPR0_EL1, 3 + id % 3),
            (icc::SYS_ICC_BPR1_EL1, 4 + id % 3),
            (icc::SYS_ICC_IGRPEN1_EL1, 1),
            (icc::SYS_ICC_AP0R0_EL1, 0x0200_0000 << (id % 4)),
            (icc::SYS_ICC_AP1R0_EL1, 0x0010_0000 << (id % 4)),
        ] {
            device.set(Attr::cpu_sysreg(mpidr, instr), value).expect("CPU interface register");
        }
        if has_el2 {
            fill_el2(device, vcpu);
        }
    }
    for bank in 1..target.nr_irqs.get() / 32 {
        let seed = u64::from(bank) << 40;
        let bits = [dist::GICD_IGROUPR, dist::GICD_ISENABLER, dist::GICD_ISPENDR, dist::GICD_ISACTIVER];
        for (n, offset) in (0..).zip(bits) {
            set(device, Attr::dist(offset + 4 * bank), scramble(seed + n));
        }
        for n in 0..2 {
            set(device, Attr::dist(dist::GICD_ICFGR + 8 * bank + 4 * n), scramble(seed + 8 + u64::from(n)) & 0xaaaa_aaaa);
        }
        for n in 0..8 {
            let value = scramble(seed + 16 + u64::from(n)) & 0xf8f8_f8f8;
            set(device, Attr::dist(dist::GICD_IPRIORITYR + 32 * bank + 4 * n), value);
        }
        for (n, vcpu) in (0..32).zip(target.vcpus.iter().cycle()) {
            set(device, Attr::dist(dist::GICD_IROUTER + 8 * (32 * bank + n)), vcpu.mpidr.packed().into());
        }
        set(device, Attr::line_levels(any, 32 * bank), scramble(seed + 5));
    }
}

/// DeviceID, bits of EventID, place of the ITT; events with LPI and collection. The first event of each is pending.
pub(crate) type Program = &'static [(u64, u64, u64, &'static [(u64, u64, u64)])];

/// 70 and 8200 are in different level-2 tables.
pub(crate) const FLAT: Program = &[(3, 5, 0, &[(2, 8400, 7), (17, 8401, 8)]), (70, 4, 0x100, &[(0, 8300, 7), (9, 8301, 8)])];
pub(crate) const TWO_LEVELS: Program = &[(70, 4, 0x100, &[(0, 8300, 7), (9, 8301, 8)]), (8200, 1, 0x200, &[(1, 8500, 8)])];

/// LPIs of all vCPUs, and each ITS by its registers and its queue; LPIs of each ITS are other ones.
pub(crate) fn fill_its(vm: &Vm, gic: &mut Gic, indirect: bool) {
    let memory = vm.memory();
    let vcpus = gic.target().vcpus.clone();
    memory.write_slice(&[0xa3; 0x1000], GuestAddress(CONFIGURATION)).expect("memory");
    for (n, vcpu) in (0..).zip(vcpus.iter()) {
        for (offset, value) in [(redist::GICR_PROPBASER, CONFIGURATION | 0xd), (redist::GICR_PENDBASER, pending(n))] {
            let device = gic.gic_mut();
            device.set(Attr::redist(vcpu.mpidr, offset), value as u32).expect("table");
            device.set(Attr::redist(vcpu.mpidr, offset + 4), (value >> 32) as u32).expect("table");
        }
        gic.gic_mut().set(Attr::redist(vcpu.mpidr, redist::GICR_CTLR), 1).expect("GICR_CTLR");
    }
    for n in 0..gic.its().len() {
        let program = if indirect { TWO_LEVELS } else { FLAT };
        let last = vcpus.len() as u64 - 1;
        let mut commands = vec![[0x09, 0, VALID | 7, 0], [0x09, 0, VALID | last << 16 | 8, 0]];
        for (device, bits, itt, events) in program {
            commands.push([0x08 | device << 32, bits - 1, VALID | (itts(n) + itt), 0]);
            let offset = n as u64 * 1000;
            commands.extend(events.iter().map(|(event, lpi, icid)| [0x0a | device << 32, (lpi + offset) << 32 | event, *icid, 0]));
        }
        for (at, word) in (queue(n)..).step_by(8).zip(commands.as_flattened()) {
            memory.write_obj(*word, GuestAddress(at)).expect("memory");
        }
        if indirect {
            for index in 0..2 {
                memory.write_obj(VALID | (level2(n) + index * PAGE), GuestAddress(devices(n) + index * 8)).expect("memory");
            }
        }
        let device = &mut gic.its_mut()[n];
        for (offset, value) in [
            (its::GITS_CBASER, VALID | queue(n)),
            (its::GITS_BASER, VALID | devices(n) | if indirect { INDIRECT } else { 0 }),
            (its::GITS_BASER + 8, VALID | collections(n)),
            (its::GITS_CTLR, 1),
            (its::GITS_CWRITER, commands.len() as u64 * 32),
        ] {
            device.set(Attr::its(offset), value).expect("ITS register");
        }
        for (device, _, _, events) in program {
            let sent = vm.signal_msi(its_base(n) + its::GITS_TRANSLATER, *device as u32, events[0].0 as u32);
            assert_eq!(sent, Ok(1));
        }
    }
}

/// A VM with its interrupts and ITSes in use.
pub(crate) fn filled(shape: Shape, indirect: bool) -> (Vm, Gic) {
    let (vm, mut gic) = fresh(shape, memory());
    fill(&mut gic);
    if shape.its > 0 {
        fill_its(&vm, &mut gic, indirect);
    }
    vm.clear_trace();
    vm.clear_written();
    (vm, gic)
}
