//! VMs on the model whose GICv3 and ITSes hold different values in every register.

use vgic_state::gicv3::{Gicv3, TargetEl2};
use vgic_state::model::gicv3::{Device, Host, Vm};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::uapi::vgic_v3::{dist, icc, ich, its, redist};
use vgic_state::{Attr, AttrDevice, Command, Mpidr, Vcpu, VcpuId, Vcpus};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub(crate) type Memory = GuestMemoryMmap<()>;
pub(crate) type Gic = Gicv3<Device, Memory>;

pub(crate) const RAM: u64 = 0x4000_0000;
pub(crate) const RAM_BYTES: usize = 16 << 20;
pub(crate) const CONFIGURATION: u64 = RAM + 0x1_0000;
pub(crate) const FIRST_LPI: u32 = 8192;

pub(crate) fn pending(n: u64) -> u64 {
    RAM + 0x10_0000 + n * 0x1_0000
}

/// Area of an ITS: queue, device table, collection table, translation tables.
pub(crate) const fn area(n: usize) -> u64 {
    RAM + 0x40_0000 + n as u64 * 0x10_0000
}

pub(crate) fn its_base(n: usize) -> u64 {
    0x0a00_0000 + n as u64 * 0x2_0000
}

/// What a VM is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) host: Host,
    pub(crate) vcpus: u32,
    pub(crate) nr_irqs: u32,
    pub(crate) its: usize,
    /// vCPUs with EL2.
    pub(crate) el2: bool,
    /// Unless 0, the maintenance interrupt that the VMM sets.
    pub(crate) maintenance_irq: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { host: Host::default(), vcpus: 2, nr_irqs: 96, its: 1, el2: false, maintenance_irq: 0 }
    }
}

pub(crate) fn vcpus(count: u32) -> Vcpus {
    Vcpus::new((0..count).map(|n| Vcpu {
        // Without gaps: kernels before 6.7 take an id for a place.
        id: VcpuId::new(n).expect("id"),
        mpidr: Mpidr::new(0, (7 * n) as u8, 1 + (n / 256) as u8, (count - n) as u8),
    }))
    .expect("vCPUs")
}

pub(crate) fn memory() -> Memory {
    Memory::from_ranges(&[(GuestAddress(RAM), RAM_BYTES)]).expect("memory")
}

pub(crate) fn copy(memory: &Memory) -> Memory {
    let mut bytes = vec![0; RAM_BYTES];
    memory.read_slice(&mut bytes, GuestAddress(RAM)).expect("memory");
    let copy = self::memory();
    copy.write_slice(&bytes, GuestAddress(RAM)).expect("memory");
    copy
}

/// A fresh VM, and the backend attached to it.
pub(crate) fn fresh(config: Config, memory: Memory) -> (Vm, Gic) {
    let vm = Vm::new(config.host, memory.clone());
    for vcpu in vcpus(config.vcpus).iter() {
        if config.el2 { vm.create_el2_vcpu(vcpu) } else { vm.create_vcpu(vcpu) }.expect("vCPU");
    }
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).expect("GICv3");
    gic.set(Attr::nr_irqs(), config.nr_irqs).expect("NR_IRQS");
    gic.set(Attr::dist_address(), 0x0800_0000).expect("address");
    gic.set(Attr::redist_address(), 0x0810_0000).expect("address");
    if config.maintenance_irq != 0 {
        gic.set(Attr::maintenance_irq(), config.maintenance_irq).expect("MAINT_IRQ");
    }
    gic.command(Command::Init).expect("INIT");
    let its = (0..config.its)
        .map(|n| {
            let mut its = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS).expect("ITS");
            its.set(Attr::its_address(), its_base(n)).expect("address");
            its.command(Command::Init).expect("INIT");
            its
        })
        .collect();
    let gic = Gicv3::attach(gic, its, memory, vcpus(config.vcpus)).expect("attach");
    vm.clear_trace();
    (vm, gic)
}

fn scramble(n: u64) -> u64 {
    let x = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

/// Gives the virtual CPU interface of a vCPU with EL2 a value of its own in every register, as a guest hypervisor would have.
fn fill_el2(device: &mut Device, vcpu: Vcpu) {
    let n = u64::from(vcpu.id.get());
    let mut values = vec![
        (ich::SYS_ICH_HCR_EL2, (n % 32) << 27 | 0x401 | 2 << (n % 6)),
        (ich::SYS_ICH_VMCR_EL2, (0xf0 - 8 * (n % 16)) << 24 | (n % 7) << 21 | (n % 5 + 1) << 18 | 3),
        (ich::SYS_ICH_AP0R0_EL2, 0x0100_0000 << (n % 4)),
        (ich::SYS_ICH_AP1R0_EL2, 0x0008_0000 << (n % 4)),
    ];
    // Pending, active, both; linked to PPI 27 or not. Those that the host does not have are memory of the guest's.
    for register in 0..16 {
        let (state, linked) = (1 + (n + register) % 3, register % 4 == 2);
        let lr = state << 62 | u64::from(linked) << 61 | (register * 8) << 48 | if linked { 27 << 32 } else { 0 };
        values.push((ich::SYS_ICH_LR0_EL2 + register as u16, lr | (0x20 * (n + 1) + register)));
    }
    for (instr, value) in values {
        device.set(Attr::cpu_sysreg(vcpu.mpidr, instr), value).expect("virtual CPU interface register");
    }
}

/// Gives every register a value of its own, as a guest would have, through the kernel's numbers.
pub(crate) fn fill(gic: &mut Gic) {
    let target = gic.target().clone();
    let device = gic.gic_mut();
    let word = |n: u64| scramble(n) as u32;
    let set = |device: &mut Device, attr: Attr<u32>, value: u32| device.set(attr, value).expect("register");
    set(device, Attr::dist(dist::GICD_CTLR), 2);
    for vcpu in target.vcpus.iter() {
        let mpidr = vcpu.mpidr;
        let seed = u64::from(mpidr.packed()) << 16;
        for (n, offset) in [(0, 0x80), (1, 0x100), (2, 0x200), (3, 0x300)] {
            // SGIs have no pending latch of user space's making beyond bits 15:0; all bits are kept.
            set(device, Attr::redist(mpidr, redist::SGI_BASE + offset), word(seed + n));
        }
        for n in 0..8 {
            set(device, Attr::redist(mpidr, redist::GICR_IPRIORITYR0 + 4 * n), word(seed + 16 + u64::from(n)) & 0xf8f8_f8f8);
        }
        set(device, Attr::line_levels(mpidr, 0), word(seed + 5) & 0xffff_0000);
        let icc: [(u16, u64); 7] = [
            (icc::SYS_ICC_PMR_EL1, 0xf0 - 8 * u64::from(vcpu.id.get())),
            (icc::SYS_ICC_BPR0_EL1, 3 + u64::from(vcpu.id.get()) % 3),
            (icc::SYS_ICC_BPR1_EL1, 4 + u64::from(vcpu.id.get()) % 3),
            (icc::SYS_ICC_IGRPEN0_EL1, u64::from(vcpu.id.get()) & 1),
            (icc::SYS_ICC_IGRPEN1_EL1, 1),
            (icc::SYS_ICC_AP0R0_EL1, 0x0200_0000 << (vcpu.id.get() % 4)),
            (icc::SYS_ICC_AP1R0_EL1, 0x0010_0000 << (vcpu.id.get() % 4)),
        ];
        for (instr, value) in icc {
            device.set(Attr::cpu_sysreg(mpidr, instr), value).expect("CPU interface register");
        }
        if let TargetEl2::Shown { .. } = target.el2 {
            fill_el2(device, vcpu);
        }
    }
    let any = target.vcpus.iter().next().expect("vCPU").mpidr;
    for bank in 1..target.nr_irqs.get() / 32 {
        let seed = u64::from(bank) << 8;
        for (n, offset) in [(0, dist::GICD_IGROUPR), (1, dist::GICD_ISENABLER), (2, dist::GICD_ISPENDR), (3, dist::GICD_ISACTIVER)]
        {
            set(device, Attr::dist(offset + 4 * bank), word(seed + n));
        }
        for n in 0..2 {
            set(device, Attr::dist(dist::GICD_ICFGR + 8 * bank + 4 * n), word(seed + 8 + u64::from(n)) & 0xaaaa_aaaa);
        }
        for n in 0..8 {
            let value = word(seed + 16 + u64::from(n)) & 0xf8f8_f8f8;
            set(device, Attr::dist(dist::GICD_IPRIORITYR + 32 * bank + 4 * n), value);
        }
        for (n, vcpu) in (0..32).zip(target.vcpus.iter().cycle()) {
            set(device, Attr::dist(dist::GICD_IROUTER + 8 * (32 * bank + n)), vcpu.mpidr.packed());
        }
        set(device, Attr::line_levels(any, 32 * bank), word(seed + 5));
    }
}

/// Sets up LPIs and every ITS through their registers and queues, with 3 devices of 8 events each.
pub(crate) fn fill_its(vm: &Vm, gic: &mut Gic) {
    let memory = vm.memory();
    memory.write_slice(&[0xa3; 0xe000], GuestAddress(CONFIGURATION)).expect("memory");
    let vcpus: Vec<Vcpu> = gic.target().vcpus.iter().collect();
    for (n, vcpu) in (0..).zip(&vcpus) {
        let tables = [(redist::GICR_PROPBASER, CONFIGURATION | 0xf), (redist::GICR_PENDBASER, pending(n))];
        for (offset, value) in tables {
            let device = gic.gic_mut();
            device.set(Attr::redist(vcpu.mpidr, offset), value as u32).expect("table");
            device.set(Attr::redist(vcpu.mpidr, offset + 4), (value >> 32) as u32).expect("table");
        }
        gic.gic_mut().set(Attr::redist(vcpu.mpidr, redist::GICR_CTLR), 1).expect("GICR_CTLR");
    }
    for n in 0..gic.its().len() {
        let area = area(n);
        let mut commands: Vec<[u64; 4]> = vcpus
            .iter()
            .map(|vcpu| [0x09, 0, 1 << 63 | u64::from(vcpu.id.get()) << 16 | (u64::from(vcpu.id.get()) + 7), 0])
            .collect();
        for device in 0..3_u64 {
            let id = 5 + device * 300 + n as u64;
            commands.push([0x08 | id << 32, 3, 1 << 63 | (area + 0x4_0000 + device * 0x1000), 0]);
            for event in 0..8 {
                let intid = u64::from(FIRST_LPI) + n as u64 * 100 + device * 8 + event;
                let target = &vcpus[(event as usize + device as usize) % vcpus.len()];
                commands.push([0x0a | id << 32, intid << 32 | event, u64::from(target.id.get()) + 7, 0]);
            }
        }
        for (at, word) in (area..).step_by(8).zip(commands.as_flattened()) {
            memory.write_obj(*word, GuestAddress(at)).expect("memory");
        }
        let device = &mut gic.its_mut()[n];
        for (offset, value) in [
            (its::GITS_CBASER, 1 << 63 | area | 0xf),
            (its::GITS_BASER, 1 << 63 | (area + 0x1_0000) | 2 << 8),
            (its::GITS_BASER + 8, 1 << 63 | (area + 0x2_0000) | 2 << 8),
            (its::GITS_CTLR, 1),
            (its::GITS_CWRITER, commands.len() as u64 * 32),
        ] {
            device.set(Attr::its(offset), value).expect("ITS register");
        }
        for event in [1, 2, 5] {
            let device_id = 5 + (event % 3) * 300 + n as u32;
            assert_eq!(vm.signal_msi(its_base(n) + its::GITS_TRANSLATER, device_id, event), Ok(1));
        }
    }
}

/// A VM with something in every register, and its ITSes in use.
pub(crate) fn filled(config: Config) -> (Vm, Gic) {
    let (vm, mut gic) = fresh(config, memory());
    fill(&mut gic);
    fill_its(&vm, &mut gic);
    vm.clear_trace();
    vm.clear_written();
    (vm, gic)
}

pub(crate) fn trace(vm: &Vm) -> String {
    vm.trace().iter().map(|access| format!("{access}\n")).collect()
}
