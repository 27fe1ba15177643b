//! A VM of the model, with the kernel of the machine where there is one.

use crate::common::{id, new_vm, vcpus};
use crate::rig::Rig;
use vgic_state::gicv2::Gicv2;
use vgic_state::model::gicv2::{Device, Host, Vm};
use vgic_state::model::gicv3::Kernel;
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2;
use vgic_state::{Errno, Vcpu};

#[derive(Debug)]
pub(crate) struct ModelRig {
    vm: Vm,
    gic: Gicv2<Device>,
}

fn host() -> Host {
    Host::default().with_kernel(ModelRig::kernel())
}

impl Rig for ModelRig {
    type Device = Device;

    fn new(count: u32, nr_irqs: u32) -> Self {
        let (vm, gic) = new_vm(host(), count, nr_irqs);
        ModelRig { vm, gic: Gicv2::attach(gic, vcpus(count)).expect("attach") }
    }

    fn new_device(ids: &[u32]) -> (Device, Box<dyn std::any::Any>) {
        let vm = Vm::new(host());
        for id in ids {
            vm.create_vcpu(Vcpu::with_default_mpidr(*id).expect("vCPU id")).expect("vCPU");
        }
        (vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V2).expect("GICv2"), Box::new(()))
    }

    fn gic(&mut self) -> &mut Gicv2<Device> {
        &mut self.gic
    }

    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    fn kernel() -> Kernel {
        crate::kernel::linux()
    }

    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    fn kernel() -> Kernel {
        Kernel::V7_3_4
    }

    fn spi_line(&mut self, intid: u32, level: bool) -> Result<(), Errno> {
        self.vm.set_spi_level(intid, level)
    }

    fn ppi_line(&mut self, vcpu: u32, intid: u32, level: bool) -> Result<(), Errno> {
        self.vm.set_ppi_level(id(vcpu), intid, level)
    }

    fn acknowledge(&mut self, vcpu: u32, mut served: impl FnMut(&mut Self, u32)) -> Vec<u32> {
        let mut acknowledged = Vec::new();
        while let Some(iar) = self.vm.run(id(vcpu), |guest| guest.acknowledge()).expect("run") {
            served(self, iar);
            self.leave_handler(vcpu, iar);
            acknowledged.push(iar);
            assert!(acknowledged.len() < 100, "the guest is never done: {acknowledged:x?}");
        }
        acknowledged
    }

    fn enter_handler(&mut self, vcpu: u32) -> u32 {
        self.vm.run(id(vcpu), |guest| guest.acknowledge()).expect("run").unwrap_or(1023)
    }

    fn leave_handler(&mut self, vcpu: u32, iar: u32) {
        self.vm.run(id(vcpu), |guest| guest.eoi(iar)).expect("run");
    }

    fn send_sgi(&mut self, vcpu: u32, value: u32) {
        self.vm.run(id(vcpu), |guest| guest.dist_write32(0xf00, value)).expect("run");
    }

    fn while_running<T>(&mut self, vcpu: u32, act: impl FnOnce(&mut Self) -> T) -> T {
        let vm = self.vm.clone();
        vm.run(id(vcpu), |_| act(self)).expect("run")
    }
}
