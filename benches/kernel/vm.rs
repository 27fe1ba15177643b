//! A VM of this machine's KVM with as many vCPUs as KVM takes: GICv3, an ITS perhaps, LPIs.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
//!
//! Rule: no vCPU runs: what is measured is what a VMM does while all of them stand still.

use crate::fault::Faulty;
use crate::faults::Faults;
use crate::program::{self, Command as ItsCommand};
use kvm_bindings::{KVM_ARM_VCPU_PSCI_0_2, kvm_vcpu_init};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vgic_state::gicv3::Gicv3;
use vgic_state::kvm::{KvmDevice, VmMemslots};
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::uapi::vgic_v3::{dist, icc, its, redist};
use vgic_state::{Attr, AttrDevice as _, Command, Vcpus};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap, GuestMemoryRegion as _};

/// 64 SPIs less than this and 32.
pub(crate) const NR_IRQS: u32 = 128;
/// Events of each device.
const EVENTS: u32 = 64;

const DIST: u64 = 0x0800_0000;
const ITS: u64 = 0x0808_0000;
/// 64 MiB for 512 vCPUs.
const REDIST: u64 = 0x1000_0000;
const RAM: u64 = 0x4000_0000;
/// Of 64 KiB each, from the start of RAM: configuration, queue, device table, collection table.
const CONFIGURATION: u64 = RAM;
const QUEUE: u64 = RAM + 0x1_0000;
const DEVICES: u64 = RAM + 0x2_0000;
const COLLECTIONS: u64 = RAM + 0x3_0000;
/// 4 KiB each.
const ITTS: u64 = RAM + 0x10_0000;
/// 64 KiB each.
const PENDING: u64 = RAM + 0x20_0000;
const QUEUE_BYTES: u64 = 0x1_0000;

type Memory = GuestMemoryMmap<()>;

/// What the VMM attaches to.
pub(crate) type Gic<'a> = Gicv3<&'a mut Faulty<KvmDevice>, Shadowed<Memory, &'a mut Faulty<VmMemslots<Arc<VmFd>>>>>;

/// Devices, slots and memory; the order of the fields is that of destruction.
pub(crate) struct Vm {
    gic: Faulty<KvmDevice>,
    its: Vec<Faulty<KvmDevice>>,
    slots: Faulty<VmMemslots<Arc<VmFd>>>,
    pub(crate) faults: Faults,
    vcpus: Vcpus,
    _fds: Vec<VcpuFd>,
    memory: Memory,
}

impl Vm {
    /// With an ITS, or without.
    pub(crate) fn new(vcpus: u32, with_its: bool) -> Self {
        let ram = (PENDING - RAM) as usize + vcpus as usize * 0x1_0000;
        let memory = Memory::from_ranges(&[(GuestAddress(RAM), ram)]).expect("memory");
        let vm = Arc::new(Kvm::new().and_then(|kvm| kvm.create_vm()).expect("VM"));
        let faults = Faults::default();
        let slots = VmMemslots::from_memory(Arc::clone(&vm), &memory, 0, 0).expect("memory slot");
        let vcpus = Vcpus::with_default_mpidrs(vcpus).expect("vCPUs");
        let mut target = kvm_vcpu_init::default();
        vm.get_preferred_target(&mut target).expect("preferred target");
        target.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
        // A limit of descriptors is the first that a VM of this size meets.
        let fds: Vec<VcpuFd> = vcpus.iter().map(|vcpu| vm.create_vcpu(vcpu.id.get().into()).expect("vCPU")).collect();
        fds.iter().for_each(|vcpu| vcpu.vcpu_init(&target).expect("KVM_ARM_VCPU_INIT"));
        let mut gic = KvmDevice::create_gicv3(&vm).expect("GICv3");
        gic.set(Attr::dist_address(), DIST).expect("distributor address");
        gic.set(Attr::redist_address(), REDIST).expect("redistributor address");
        gic.set(Attr::nr_irqs(), NR_IRQS).expect("NR_IRQS");
        gic.command(Command::Init).expect("INIT");
        let its = with_its.then(|| {
            let mut its = KvmDevice::create_its(&vm).expect("ITS");
            its.set(Attr::its_address(), ITS).expect("ITS address");
            its.command(Command::Init).expect("INIT");
            Faulty::new(its, &faults)
        });
        let (gic, slots) = (Faulty::new(gic, &faults), Faulty::new(slots, &faults));
        Vm { gic, its: its.into_iter().collect(), slots, faults, vcpus, _fds: fds, memory }
    }

    /// A new VM whose memory is that of this one.
    pub(crate) fn destination(&self) -> Self {
        let new = Vm::new(self.vcpus.len() as u32, !self.its.is_empty());
        for (from, to) in self.memory.iter().zip(new.memory.iter()) {
            from.as_volatile_slice().expect("memory").copy_to_volatile_slice(to.as_volatile_slice().expect("memory"));
        }
        new
    }

    pub(crate) fn attach(&mut self) -> Gic<'_> {
        let memory = Shadowed::new(self.memory.clone(), &mut self.slots, ShadowKind::Zero);
        Gicv3::attach(&mut self.gic, self.its.iter_mut().collect(), memory, self.vcpus.clone()).expect("attach")
    }

    fn set_redist64(&mut self, mpidr: vgic_state::Mpidr, offset: u32, value: u64) {
        self.gic.set(Attr::redist(mpidr, offset), value as u32).expect("redistributor register");
        self.gic.set(Attr::redist(mpidr, offset + 4), (value >> 32) as u32).expect("redistributor register");
    }

    /// What an operating system does when it boots.
    pub(crate) fn boot(&mut self) {
        self.gic.set(Attr::dist(dist::GICD_CTLR), 2).expect("GICD_CTLR");
        let vcpus = self.vcpus.clone();
        for (n, vcpu) in (0..).zip(vcpus.iter()) {
            if !self.its.is_empty() {
                self.set_redist64(vcpu.mpidr, redist::GICR_PROPBASER, CONFIGURATION | 15);
                self.set_redist64(vcpu.mpidr, redist::GICR_PENDBASER, PENDING + n * 0x1_0000);
                self.gic.set(Attr::redist(vcpu.mpidr, redist::GICR_CTLR), 1).expect("GICR_CTLR");
            }
            self.gic.set(Attr::cpu_sysreg(vcpu.mpidr, icc::SYS_ICC_PMR_EL1), 0xf0).expect("ICC_PMR_EL1");
            self.gic.set(Attr::cpu_sysreg(vcpu.mpidr, icc::SYS_ICC_IGRPEN1_EL1), 1).expect("ICC_IGRPEN1_EL1");
        }
    }

    /// Has the guest map so many LPIs: an event each, of devices with 64 of them, to all vCPUs in turn.
    pub(crate) fn map(&mut self, lpis: u32) {
        self.memory.write_slice(&vec![0xa3; lpis as usize], GuestAddress(CONFIGURATION)).expect("memory");
        let registers = [
            (its::GITS_CBASER, 1 << 63 | QUEUE | (QUEUE_BYTES / 4096 - 1)),
            (its::GITS_BASER, 1 << 63 | DEVICES | 2 << 8),
            (its::GITS_BASER + 8, 1 << 63 | COLLECTIONS | 2 << 8),
            (its::GITS_CTLR, 1),
        ];
        for (offset, value) in registers {
            self.its[0].set(Attr::its(offset), value).expect("ITS register");
        }
        let vcpus = self.vcpus.len() as u32;
        let mut all: Vec<ItsCommand> =
            self.vcpus.iter().map(|vcpu| program::mapc(vcpu.id.get().into(), vcpu.id.get().into())).collect();
        let device = |n: u32| (n, u64::from(EVENTS.ilog2()), ITTS + u64::from(n) * 0x1000);
        all.extend((0..lpis / EVENTS).map(device).map(|(id, bits, itt)| program::mapd(id, bits, itt)));
        all.extend((0..lpis).map(|n| program::mapti(n / EVENTS, n % EVENTS, program::FIRST_LPI + n, (n % vcpus).into())));
        for some in all.chunks(QUEUE_BYTES as usize / 32 - 1) {
            let mut at = self.its[0].get(Attr::its(its::GITS_CWRITER)).expect("GITS_CWRITER");
            for command in some {
                let words = (0..).zip(command);
                words.for_each(|(n, word)| self.memory.write_obj(*word, GuestAddress(QUEUE + at + n * 8)).expect("memory"));
                at = (at + 32) % QUEUE_BYTES;
            }
            self.its[0].set(Attr::its(its::GITS_CWRITER), at).expect("GITS_CWRITER");
            assert_eq!(self.its[0].get(Attr::its(its::GITS_CREADR)), Ok(at), "the commands have run");
        }
    }

    /// The least of some means of a read of `GICD_TYPER`, with all vCPUs there are.
    pub(crate) fn access(&self) -> Duration {
        const ACCESSES: u32 = 20;
        let mean = || {
            let start = Instant::now();
            (0..ACCESSES).for_each(|_| assert!(self.gic.get(Attr::dist(dist::GICD_TYPER)).is_ok()));
            start.elapsed() / ACCESSES
        };
        (0..20).map(|_| mean()).min().unwrap_or_default()
    }
}
