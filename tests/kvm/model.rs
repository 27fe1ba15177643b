//! A VM of the model.

use crate::fault::Faulty;
use crate::faults::Faults;
use crate::layout;
use crate::rig::{BeforeInit, Config, Gic, Memory, Rig};
use vgic_state::gicv3::Gicv3;
use vgic_state::model::gicv3::{Device, Host, Kernel, Slots, Vm};
use vgic_state::shadow::Shadowed;
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::uapi::vgic_v3::its::GITS_TRANSLATER;
use vgic_state::{Attr, AttrDevice, Command, Errno};

#[derive(Debug)]
pub(crate) struct ModelRig {
    gicv3: Gic<ModelRig>,
    faults: Faults,
    vm: Vm,
    config: Config,
    memory: Memory,
}

/// The host that the model is: this machine, where it has KVM.
fn host() -> Host {
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    return this_machine();
    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    Host::default()
}

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
fn this_machine() -> Host {
    let (icc_ctlr, typer2) = crate::kernel::host_registers();
    let vtr = crate::kernel::virtual_interface();
    let bit = |n: u32| icc_ctlr >> n & 1 != 0;
    Host {
        kernel: crate::kernel::linux(),
        pri_bits: (icc_ctlr >> 8 & 7) as u32 + 1,
        id_bits: if bit(11) { 24 } else { 16 },
        seis: bit(14),
        a3v: bit(15),
        nassgicap: typer2 >> 8 & 1 != 0,
        list_registers: vtr.map_or(4, |vtr| (vtr & 0x1f) as u32 + 1),
        tds: vtr.is_none_or(|vtr| vtr >> 19 & 1 != 0),
        ..Host::default()
    }
}

impl ModelRig {
    /// Whether the host has not crashed.
    pub(crate) fn is_alive(&self) -> bool {
        !self.vm.is_dead()
    }

    fn lower(&self, vcpu: usize, intid: u32) {
        match intid {
            16..32 => self.vm.set_ppi_level(self.config.vcpu(vcpu).id, intid, false).expect("PPI line"),
            32..1020 => self.vm.set_spi_level(intid, false).expect("SPI line"),
            _ => {}
        }
    }
}

impl Rig for ModelRig {
    type Device = Device;
    type Slots = Slots;

    fn with_memory(config: Config, memory: Memory) -> Self {
        let vm = Vm::new(host(), memory.clone());
        for n in 0..config.vcpus {
            if config.el2 { vm.create_el2_vcpu(config.vcpu(n)) } else { vm.create_vcpu(config.vcpu(n)) }.expect("vCPU");
        }
        let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).expect("GICv3");
        gic.set(Attr::dist_address(), layout::DIST).expect("distributor address");
        gic.set(Attr::redist_address(), layout::REDIST).expect("redistributor address");
        gic.set(Attr::nr_irqs(), config.nr_irqs).expect("NR_IRQS");
        if config.maintenance_irq != 0 {
            gic.set(Attr::maintenance_irq(), config.maintenance_irq).expect("MAINT_IRQ");
        }
        gic.command(Command::Init).expect("INIT");
        let its = (0..config.its).map(|n| {
            let mut its = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS).expect("ITS");
            its.set(Attr::its_address(), layout::its(n)).expect("ITS address");
            its.command(Command::Init).expect("INIT");
            its
        });
        let faults = Faults::default();
        let its = its.map(|its| Faulty::new(its, &faults)).collect();
        let guest = Shadowed::new(memory.clone(), Faulty::new(Slots::new(&vm), &faults), config.shadow);
        let mut gicv3 = Gicv3::attach(Faulty::new(gic, &faults), its, guest, config.vcpus()).expect("attach");
        gicv3.options_mut().vcpu_numbers = config.vcpu_numbers();
        ModelRig { gicv3, faults, vm, config, memory }
    }

    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    fn offers_el2() -> bool {
        true
    }

    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    fn offers_el2() -> bool {
        crate::kernel::KernelRig::offers_el2()
    }

    fn before_init() -> BeforeInit {
        let vm = Vm::new(host(), Memory::default());
        vm.create_vcpu(Config::default().vcpu(0)).expect("vCPU");
        let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3).expect("GICv3");
        BeforeInit::ask(&mut gic, || vm.set_spi_level(7, true))
    }

    fn config(&self) -> Config {
        self.config
    }

    fn kernel() -> Kernel {
        host().kernel
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn gicv3(&mut self) -> &mut Gic<Self> {
        &mut self.gicv3
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn msi(&mut self, its: usize, device: u32, event: u32) -> Result<i32, Errno> {
        self.vm.signal_msi(layout::its(its) + GITS_TRANSLATER, device, event)
    }

    fn spi_line(&mut self, intid: u32, level: bool) -> Result<(), Errno> {
        self.vm.set_spi_level(intid, level)
    }

    fn ppi_line(&mut self, vcpu: usize, intid: u32, level: bool) -> Result<(), Errno> {
        self.vm.set_ppi_level(self.config.vcpu(vcpu).id, intid, level)
    }

    fn acknowledge(&mut self, vcpu: usize) -> Vec<u32> {
        let id = self.config.vcpu(vcpu).id;
        let served = self.vm.run(id, |guest| {
            let mut intids = Vec::new();
            while let Some(intid) = guest.acknowledge() {
                self.lower(vcpu, intid);
                guest.eoi(intid);
                intids.push(intid);
                assert!(intids.len() < 0x1_0000, "the guest is never done: {:?}", &intids[..100]);
            }
            intids
        });
        served.expect("KVM_RUN")
    }

    fn enter_handler(&mut self, vcpu: usize) -> u32 {
        let intid = self.vm.run(self.config.vcpu(vcpu).id, |guest| guest.acknowledge()).expect("KVM_RUN").unwrap_or(1023);
        self.lower(vcpu, intid);
        intid
    }

    fn leave_handler(&mut self, vcpu: usize, intid: u32) {
        self.vm.run(self.config.vcpu(vcpu).id, |guest| guest.eoi(intid)).expect("KVM_RUN");
    }

    fn nested_acknowledge(&mut self, vcpu: usize) -> Vec<u32> {
        let served = self.vm.run(self.config.vcpu(vcpu).id, |guest| {
            let mut intids = Vec::new();
            while let Some(intid) = guest.nested_acknowledge() {
                guest.nested_eoi(intid);
                intids.push(intid);
            }
            intids
        });
        served.expect("KVM_RUN")
    }

    fn nested_enter_handler(&mut self, vcpu: usize) -> u32 {
        self.vm.run(self.config.vcpu(vcpu).id, |guest| guest.nested_acknowledge()).expect("KVM_RUN").unwrap_or(1023)
    }

    fn nested_leave_handler(&mut self, vcpu: usize, intid: u32) {
        self.vm.run(self.config.vcpu(vcpu).id, |guest| guest.nested_eoi(intid)).expect("KVM_RUN");
    }

    fn while_running<T>(&mut self, vcpu: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        let id = self.config.vcpu(vcpu).id;
        self.vm.hold_vcpu(id, true);
        let result = act(self);
        self.vm.hold_vcpu(id, false);
        result
    }
}
