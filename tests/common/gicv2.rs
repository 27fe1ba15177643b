//! A GICv2 with other values in every register, as a state and on the model.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, dead_code, reason = "of what the tests share, a part")]

use vgic_state::gicv2::{CpuIdentity, CpuInterface, DistIdentity, DistState, Gicv2, Gicv2State, InterruptBlock, VcpuState};
use vgic_state::model::gicv2::{Device, Host, Vm};
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2;
use vgic_state::{Attr, AttrDevice, Command, NrIrqs, VcpuId, Vcpus};

pub(crate) const DIST: u64 = 0x0800_0000;
pub(crate) const CPU: u64 = 0x0801_0000;

pub(crate) fn id(id: u32) -> VcpuId {
    VcpuId::new(id).unwrap()
}

pub(crate) fn vcpus(count: u32) -> Vcpus {
    Vcpus::with_default_mpidrs(count).unwrap()
}

/// A VM with its device set up, ready to run.
pub(crate) fn new_vm(host: Host, count: u32, nr_irqs: u32) -> (Vm, Device) {
    let vm = Vm::new(host);
    for vcpu in vcpus(count).iter() {
        vm.create_vcpu(vcpu).unwrap();
    }
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V2).unwrap();
    gic.set(Attr::gicv2_dist_address(), DIST).unwrap();
    gic.set(Attr::gicv2_cpu_address(), CPU).unwrap();
    gic.set(Attr::nr_irqs(), nr_irqs).unwrap();
    gic.command(Command::Init).unwrap();
    vm.clear_trace();
    (vm, gic)
}

/// What KVM keeps of priorities.
pub(crate) const PRIORITIES: u32 = 0xf8f8_f8f8;

/// Words that differ from each other.
fn words<const N: usize>(seed: u32) -> [u32; N] {
    core::array::from_fn(|n| {
        (seed.wrapping_mul(0x9e37_79b9)).wrapping_add((n as u32 + 1).wrapping_mul(0x85eb_ca6b)).rotate_left(n as u32)
    })
}

fn block(seed: u32, config: [u32; 2], targets: [u32; 8]) -> InterruptBlock {
    let mut block = InterruptBlock::default();
    block.group = words(seed);
    block.enable = words(seed + 1);
    block.config = config;
    block.pending = words(seed + 2);
    block.active = words(seed + 3);
    block.priority = words::<8>(seed + 4).map(|word| word & PRIORITIES);
    block.targets = targets;
    block
}

/// A state that a restore carries into a VM with as many vCPUs and interrupts: another value in every register.
pub(crate) fn full_state(count: u32, nr_irqs: u32) -> Gicv2State {
    let mut state = Gicv2State::new(NrIrqs::new(nr_irqs).unwrap());
    state.identity = DistIdentity::new(|row| match row.key {
        4 => ((nr_irqs / 32 - 1) | ((count - 1) << 5)).into(),
        _ => 0x4b00_343b,
    });
    state.dist = DistState::new(|_| 1);
    let cpus = ((1_u32 << count) - 1) * 0x0101_0101;
    for spis in &mut state.spis {
        let seed = spis.first * 8;
        spis.interrupts =
            block(seed, words::<2>(seed + 5).map(|word| word & 0xaaaa_aaaa), words::<8>(seed + 6).map(|word| word & cpus));
    }
    for vcpu in vcpus(count).iter() {
        let mut own = VcpuState::new(vcpu);
        let n = vcpu.id.get();
        own.private = block(1000 + n * 8, [0xaaaa_aaaa, 0], [0x0101_0101 << n; 8]);
        own.sgi_sources = words::<4>(1007 + n * 8).map(|word| word & cpus);
        let pending = (0..16).filter(|sgi| own.sources_of(*sgi) != 0).fold(0, |bits, sgi| bits | 1 << sgi);
        own.private.pending = [own.private.pending[0] & 0xffff_0000 | pending];
        own.identity = CpuIdentity::new(|_| 0x04b2_043b);
        own.gicc = CpuInterface::new(|row| {
            u64::from(match row.key {
                0x00 => [0x201, 0x213, 0x01f, 0x20a, 0x215, 0x003, 0x011, 0x219][n as usize],
                0x04 => 0x1f - n,
                0x08 => n % 8,
                0x1c => 7 - n % 8,
                0xd0 => 1 << (n + 3) | 0x8000_0000,
                // A host with a GICv2 has one.
                _ => 0,
            })
        });
        state.vcpus.push(own);
    }
    state
}

/// A VM with its backend, the record empty.
pub(crate) fn attached(host: Host, count: u32, nr_irqs: u32) -> (Vm, Gicv2<Device>) {
    let (vm, device) = new_vm(host, count, nr_irqs);
    let gic = Gicv2::attach(device, vcpus(count)).expect("attach");
    vm.clear_trace();
    (vm, gic)
}

/// The accesses so far, a line for each.
pub(crate) fn trace(vm: &Vm) -> String {
    vm.trace().iter().map(|access| format!("{access}\n")).collect()
}
