//! The model of a GICv2 against its backend and its image: save, restore into a fresh VM, save again.
//!
//! Rule: registers hold what user space, a guest and lines can put there; what was saved is restored, and is the same.

use crate::fit;
use arbitrary::Arbitrary;
use vgic_state::gicv2::{Gicv2, Gicv2State};
use vgic_state::model::gicv2::{Device, Host, Vm};
use vgic_state::model::gicv3::Kernel;
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2;
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, Error, InterruptState, Options, Vcpu, VcpuId, Vcpus};

#[derive(Arbitrary, Debug)]
enum Step {
    Dist(u8, u16, u32),
    Cpu(u8, u16, u32),
    GuestDist(u8, u16, u32),
    Spi(u16, bool),
    Ppi(u8, u8, bool),
    Acknowledge(u8),
    Eoi(u8, u16),
}

#[derive(Arbitrary, Debug)]
struct Input {
    shape: u8,
    steps: Vec<Step>,
}

struct Shape {
    host: Host,
    vcpus: Vcpus,
    nr_irqs: u32,
}

fn fresh(shape: &Shape) -> (Vm, Gicv2<Device>) {
    let vm = Vm::new(shape.host);
    shape.vcpus.iter().for_each(|vcpu| vm.create_vcpu(vcpu).expect("vCPU"));
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V2).expect("GICv2");
    gic.set(Attr::gicv2_dist_address(), 0x0800_0000).expect("address");
    gic.set(Attr::gicv2_cpu_address(), 0x0801_0000).expect("address");
    gic.set(Attr::nr_irqs(), shape.nr_irqs).expect("NR_IRQS");
    gic.command(Command::Init).expect("INIT");
    (vm.clone(), Gicv2::attach(gic, shape.vcpus.clone()).expect("attach"))
}

fn step(step: &Step, vm: &Vm, gic: &mut Gicv2<Device>) {
    let vcpus = gic.target().vcpus.clone();
    let id = |n: u8| -> VcpuId { vcpus.iter().nth(usize::from(n) % vcpus.len()).expect("vCPU").id };
    // Errors of KVM are none of ours.
    match *step {
        Step::Dist(vcpu, offset, value) => drop(gic.gic_mut().set(Attr::gicv2_dist(id(vcpu), u32::from(offset & 0xffc)), value)),
        Step::Cpu(vcpu, offset, value) => drop(gic.gic_mut().set(Attr::gicv2_cpu(id(vcpu), u32::from(offset & 0xfc)), value)),
        Step::GuestDist(vcpu, offset, value) => {
            vm.run(id(vcpu), |guest| guest.dist_write32(u32::from(offset & 0xffc), value)).expect("run");
        }
        Step::Spi(intid, level) => drop(vm.set_spi_level(u32::from(intid % 1024), level)),
        Step::Ppi(vcpu, intid, level) => drop(vm.set_ppi_level(id(vcpu), u32::from(intid % 40), level)),
        Step::Acknowledge(vcpu) => drop(vm.run(id(vcpu), |guest| guest.acknowledge())),
        Step::Eoi(vcpu, iar) => vm.run(id(vcpu), |guest| guest.eoi(u32::from(iar & 0x1fff))).expect("run"),
    }
}

fn save(gic: &mut Gicv2<Device>) -> Gicv2State {
    let flushed = gic.flush_tables().expect("nothing to flush");
    gic.save(flushed).expect("save")
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    let kernel = if input.shape >> 7 == 0 { Kernel::V7_3_4 } else { Kernel::V6_12_74 };
    let ids = 0..=u32::from(input.shape & 7);
    let shape = Shape {
        host: Host::default().with_pri_bits(5 + u32::from(input.shape >> 3 & 3) % 3).with_kernel(kernel),
        vcpus: Vcpus::new(ids.map(|id| Vcpu::with_default_mpidr(id).expect("id"))).expect("vCPUs"),
        nr_irqs: [64, 96, 256, 992][usize::from(input.shape >> 5 & 3)],
    };
    let (vm, mut source) = fresh(&shape);
    input.steps.iter().for_each(|one| step(one, &vm, &mut source));
    let state = save(&mut source);
    let image = state.to_image().expect("image");
    assert_eq!(image.len(), source.requirements().expect("requirements").image_max);
    assert_eq!(Gicv2State::parse(&image).as_ref(), Ok(&state));

    let (vm, mut destination) = fresh(&shape);
    destination.set_options(Options::default().with_accept_newer_revision(true));
    vm.clear_trace();
    let checked = destination.check_image(&image).expect("what a device has, one like it takes");
    assert!(vm.trace().is_empty());
    match destination.restore_image(&image) {
        Ok(report) => {
            assert_eq!(fit::said(&report), fit::said(&checked));
            assert_eq!((&report.level_spis, &report.level_ppis), (&checked.level_spis, &checked.level_ppis));
            let again = save(&mut destination);
            assert!(again.identity.iidr != state.identity.iidr || again == state, "{state:x?}\nbecame\n{again:x?}");
        }
        // Senders that are none, which the VM's own device cannot have.
        Err(error) => panic!("{}: {state:x?}", Error::to_string(&error)),
    }
}
