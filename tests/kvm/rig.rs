//! What a scenario needs of a VM, whether the model's or KVM's.

use crate::fault::Faulty;
use crate::faults::Faults;
use crate::memory;
use vgic_state::gicv3::Gicv3;
use vgic_state::model::gicv3::Kernel;
use vgic_state::shadow::{Memslots, ShadowKind, Shadowed};
use vgic_state::uapi::vgic_v3::{KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, dist};
use vgic_state::{Attr, AttrDevice, AttrId, Command, Errno, Mpidr, Vcpu, VcpuNumbers, Vcpus};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

pub(crate) type Memory = GuestMemoryMmap<()>;

/// A VM to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) vcpus: usize,
    /// Distance from one `vcpu_id` to the next.
    pub(crate) id_step: usize,
    pub(crate) nr_irqs: u32,
    pub(crate) its: usize,
    /// What guest memory is diverted to.
    pub(crate) shadow: ShadowKind,
    /// Memory slots, one behind the other.
    pub(crate) slots: usize,
    /// vCPUs with EL2.
    pub(crate) el2: bool,
    /// Unless 0, the maintenance interrupt that the VMM sets.
    pub(crate) maintenance_irq: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { vcpus: 2, id_step: 1, nr_irqs: 128, its: 1, shadow: ShadowKind::Zero, slots: 1, el2: false, maintenance_irq: 0 }
    }
}

impl Config {
    /// The vCPUs, with the affinities that KVM gives them.
    pub(crate) fn vcpus(&self) -> Vcpus {
        Vcpus::new((0..self.vcpus).map(|n| self.vcpu(n))).expect("vCPUs")
    }

    pub(crate) fn vcpu(&self, n: usize) -> Vcpu {
        Vcpu::with_default_mpidr((n * self.id_step) as u32).expect("vCPU id")
    }

    /// What a VMM tells whose guest gets along with its kernel: [`program`](crate::program) names vCPUs as the kernel does.
    pub(crate) fn vcpu_numbers(&self) -> VcpuNumbers {
        if self.id_step == 1 { VcpuNumbers::NotTold } else { VcpuNumbers::VcpuId }
    }

    pub(crate) fn mpidr(&self, n: usize) -> Mpidr {
        self.vcpu(n).mpidr
    }
}

/// Answers of a GICv3 before `INIT`.
#[derive(Debug)]
pub(crate) struct BeforeInit {
    pub(crate) iidr: Result<u32, Errno>,
    pub(crate) typer2: Result<(), Errno>,
    pub(crate) maintenance_irq: Result<(), Errno>,
    /// The same before and after `INIT`.
    pub(crate) maintenance_irq_value: [Result<u32, Errno>; 2],
    /// `KVM_IRQ_LINE` of an SPI that there is not.
    pub(crate) no_spi: Result<(), Errno>,
}

impl BeforeInit {
    pub(crate) fn ask(gic: &mut impl AttrDevice, no_spi: impl FnOnce() -> Result<(), Errno>) -> Self {
        let iidr = gic.get(Attr::dist(dist::GICD_IIDR));
        let typer2 = gic.get(Attr::dist(dist::GICD_TYPER2)).and_then(|value| gic.set(Attr::dist(dist::GICD_TYPER2), value));
        let maintenance_irq = gic.has(AttrId::from_raw(KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, 0));
        let no_spi = no_spi();
        let mut maintenance_irq_value = [gic.get(Attr::maintenance_irq()); 2];
        gic.command(Command::Init).expect("INIT");
        maintenance_irq_value[1] = gic.get(Attr::maintenance_irq());
        BeforeInit { iidr, typer2, maintenance_irq, maintenance_irq_value, no_spi }
    }
}

/// Guest memory and its slots, as a backend has it.
pub(crate) type Guest<R> = Shadowed<Memory, Faulty<<R as Rig>::Slots>>;

/// A backend whose every operation can be made to fail.
pub(crate) type Gic<R> = Gicv3<Faulty<<R as Rig>::Device>, Guest<R>>;

/// A VM with memory, vCPUs, a GICv3 and ITSes.
pub(crate) trait Rig: Sized {
    type Device: AttrDevice + std::fmt::Debug;
    type Slots: Memslots;

    /// A VM with fresh memory.
    fn new(config: Config) -> Self {
        Self::with_memory(config, memory::fresh(config.slots, config.shadow == ShadowKind::CopyOnWrite))
    }

    /// A VM with memory that has something in it, or holes.
    fn with_memory(config: Config, memory: Memory) -> Self;

    /// What is asked of a VM whose GICv3 has no `INIT` yet.
    fn before_init() -> BeforeInit;

    /// Whether a vCPU can have EL2 here.
    fn offers_el2() -> bool;

    fn config(&self) -> Config;

    /// The kernel: what it does and others do not.
    fn kernel() -> Kernel;

    fn memory(&self) -> &Memory;

    fn gicv3(&mut self) -> &mut Gic<Self>;

    /// Faults of commands and of memory slots.
    fn faults(&self) -> &Faults;

    /// `KVM_SIGNAL_MSI` to an ITS.
    fn msi(&mut self, its: usize, device: u32, event: u32) -> Result<i32, Errno>;

    /// `KVM_IRQ_LINE` of an SPI by its INTID.
    fn spi_line(&mut self, intid: u32, level: bool) -> Result<(), Errno>;

    /// `KVM_IRQ_LINE` of a PPI by its INTID.
    fn ppi_line(&mut self, vcpu: usize, intid: u32, level: bool) -> Result<(), Errno>;

    /// Runs the guest on a vCPU: it acknowledges group 1 interrupts and ends them, until there is none. The device behind an SPI or
    /// PPI that was acknowledged lowers its line.
    fn acknowledge(&mut self, vcpu: usize) -> Vec<u32>;

    /// The guest acknowledges an interrupt, and is stopped in its handler.
    fn enter_handler(&mut self, vcpu: usize) -> u32;

    /// The guest ends an interrupt.
    fn leave_handler(&mut self, vcpu: usize, intid: u32);

    /// A guest of the guest, on a vCPU with EL2: it acknowledges group 1 interrupts that are in list registers and ends them, until there is
    /// none.
    fn nested_acknowledge(&mut self, vcpu: usize) -> Vec<u32>;

    /// It acknowledges an interrupt, and is stopped in its handler.
    fn nested_enter_handler(&mut self, vcpu: usize) -> u32;

    /// It ends an interrupt.
    fn nested_leave_handler(&mut self, vcpu: usize, intid: u32);

    /// Does something while a vCPU is in `KVM_RUN`.
    fn while_running<T>(&mut self, vcpu: usize, act: impl FnOnce(&mut Self) -> T) -> T;

    fn read(&self, address: u64) -> u64 {
        self.memory().read_obj(GuestAddress(address)).expect("memory")
    }

    fn write(&self, address: u64, value: u64) {
        self.memory().write_obj(value, GuestAddress(address)).expect("memory");
    }

    fn dist(&mut self, offset: u32) -> u32 {
        self.gicv3().gic().get(Attr::dist(offset)).expect("distributor register")
    }

    fn set_dist(&mut self, offset: u32, value: u32) {
        self.gicv3().gic_mut().set(Attr::dist(offset), value).expect("distributor register");
    }

    fn redist(&mut self, vcpu: usize, offset: u32) -> u32 {
        let mpidr = self.config().mpidr(vcpu);
        self.gicv3().gic().get(Attr::redist(mpidr, offset)).expect("redistributor register")
    }

    fn set_redist(&mut self, vcpu: usize, offset: u32, value: u32) {
        let mpidr = self.config().mpidr(vcpu);
        self.gicv3().gic_mut().set(Attr::redist(mpidr, offset), value).expect("redistributor register");
    }

    /// Both halves of a redistributor register.
    fn set_redist64(&mut self, vcpu: usize, offset: u32, value: u64) {
        self.set_redist(vcpu, offset, value as u32);
        self.set_redist(vcpu, offset + 4, (value >> 32) as u32);
    }

    fn redist64(&mut self, vcpu: usize, offset: u32) -> u64 {
        u64::from(self.redist(vcpu, offset + 4)) << 32 | u64::from(self.redist(vcpu, offset))
    }

    fn icc(&mut self, vcpu: usize, instr: u16) -> Result<u64, Errno> {
        let mpidr = self.config().mpidr(vcpu);
        self.gicv3().gic().get(Attr::cpu_sysreg(mpidr, instr))
    }

    fn set_icc(&mut self, vcpu: usize, instr: u16, value: u64) -> Result<(), Errno> {
        let mpidr = self.config().mpidr(vcpu);
        self.gicv3().gic_mut().set(Attr::cpu_sysreg(mpidr, instr), value)
    }

    fn its_register(&mut self, its: usize, offset: u32) -> u64 {
        self.gicv3().its()[its].get(Attr::its(offset)).expect("ITS register")
    }

    fn set_its(&mut self, its: usize, offset: u32, value: u64) -> Result<(), Errno> {
        self.gicv3().its_mut()[its].set(Attr::its(offset), value)
    }
}
