//! The embedding, on the model and on this machine's KVM.
//!
//! Rule: what this machine does not have is said, and is no failure.

use std::sync::Arc;
use vgic_state::gicv5::Gicv5;
use vgic_state::{GuestMemoryRead, GuestRange, MemoryError, SpiCount, Vcpus};
use vgic_state_embed::{Memory, Vm, descriptor, offered, restore, save};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const RAM: u64 = 0x4000_0000;
const RAM_BYTES: usize = 2 << 20;

fn memory() -> Memory {
    Memory(GuestMemoryMmap::from_ranges(&[(GuestAddress(RAM), RAM_BYTES)]).expect("memory"))
}

/// A VM in an `Arc`, on any thread.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Arc<Vm>>();
};

#[test]
fn memory_of_another_vm_memory() {
    let memory = memory();
    memory.0.write_slice(&[1, 2, 3], GuestAddress(RAM + 7)).expect("memory");
    let mut bytes = [0; 3];
    assert_eq!((memory.read(RAM + 7, &mut bytes), bytes), (Ok(()), [1, 2, 3]));
    for address in [RAM - 1, RAM + RAM_BYTES as u64 - 2] {
        assert_eq!(memory.read(address, &mut bytes), Err(MemoryError::NotMemory));
    }
    assert_eq!(memory.ranges(), Some(vec![GuestRange::new(RAM, RAM_BYTES as u64)]));
}

#[test]
fn a_controller_of_the_model() {
    use vgic_state::model::gicv5::{Host, Vm};

    let vcpus = Vcpus::from_ids([0, 1, 0x20]).expect("vCPUs");
    let new = || {
        let vm = Vm::with_device(Host::default(), &vcpus).expect("VM");
        Gicv5::initialise(vm, 0x0800_0000, SpiCount::new(64).expect("SPIs"), vcpus.clone()).expect("GICv5")
    };
    let image = save(&mut new()).expect("save");
    let mut destination = new();
    restore(&mut destination, &image).expect("restore");
    assert!(save(&mut destination).expect("save") == image);
}

/// A VM of this machine; without KVM the test says that it was skipped.
fn vm() -> Option<kvm_ioctls::VmFd> {
    match kvm_ioctls::Kvm::new().and_then(|kvm| kvm.create_vm()) {
        Ok(vm) => Some(vm),
        Err(error) => {
            eprintln!("skipped: no VM from /dev/kvm: {error}");
            None
        }
    }
}

#[test]
fn a_device_of_the_vmm() {
    use vgic_state::kvm::KvmDevice;

    let Some(vm) = vm() else { return };
    let offered = offered(&vm).expect("probe");
    let mut gicv3 =
        kvm_bindings::kvm_create_device { type_: kvm_bindings::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3, fd: 0, flags: 0 };
    match vm.create_device(&mut gicv3) {
        Ok(fd) => {
            use vgic_state::{Attr, AttrDevice};
            // SAFETY: it has just been created as one.
            let mut device = unsafe { vgic_state_embed::device(&fd) };
            device.set(Attr::dist_address(), 0x0800_0000).expect("address");
            assert_eq!(device.get(Attr::dist_address()), Ok(0x0800_0000));
            let again = KvmDevice::create_gicv3(descriptor(&vm)).map(drop).expect_err("the VM has one");
            assert_eq!(again.to_string(), "create GICv3: EEXIST (the VM has an interrupt controller already)");
        }
        Err(error) => {
            assert!(!offered.gicv3, "{error}");
            let error = KvmDevice::create_gicv3(descriptor(&vm)).map(drop).expect_err("no GICv3");
            assert_eq!(error.to_string(), "create GICv3: ENODEV (this host offers no virtual GICv3)");
            eprintln!("skipped: this host has no GICv3");
        }
    }
}

/// Saved by one thread and restored by another, each with nothing but a reference.
#[cfg(target_arch = "aarch64")]
#[test]
fn a_vm_in_an_arc() {
    use kvm_bindings::{KVM_ARM_VCPU_PSCI_0_2, kvm_userspace_memory_region, kvm_vcpu_init};
    use kvm_ioctls::VcpuFd;
    use vgic_state::{Attr, AttrDevice};
    use vgic_state_embed::Layout;
    use vm_memory::{GuestMemory, GuestMemoryRegion, MemoryRegionAddress};

    const LAYOUT: Layout = Layout { dist: 0x0800_0000, redist: 0x080a_0000, its: 0x0808_0000, nr_irqs: 96 };

    fn new(memory: &Memory) -> Option<(Arc<Vm>, Vec<VcpuFd>)> {
        let vm = vm()?;
        let offered = offered(&vm).expect("probe");
        if !(offered.gicv3 && offered.its) {
            eprintln!("skipped: this host has no GICv3 with ITS");
            return None;
        }
        for (slot, region) in (0..).zip(memory.0.iter()) {
            let region = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().0,
                memory_size: region.len(),
                userspace_addr: region.get_host_address(MemoryRegionAddress(0)).expect("address") as u64,
            };
            // SAFETY: mapped so; the VM has a clone of the memory, and drops it after its devices, the test another.
            unsafe { vm.set_user_memory_region(region) }.expect("memory slot");
        }
        let vcpus = Vcpus::from_ids([0, 1]).expect("vCPUs");
        let mut target = kvm_vcpu_init::default();
        vm.get_preferred_target(&mut target).expect("preferred target");
        target.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
        let fds: Vec<VcpuFd> = vcpus.iter().map(|vcpu| vm.create_vcpu(vcpu.id.get().into()).expect("vCPU")).collect();
        fds.iter().for_each(|fd| fd.vcpu_init(&target).expect("KVM_ARM_VCPU_INIT"));
        let vm = Vm::new(vm, memory.clone(), vcpus, &LAYOUT).expect("interrupt controller");
        Some((Arc::new(vm), fds))
    }

    let on_a_thread = |vm: &Arc<Vm>, work: fn(&Vm, &[u8]) -> Vec<u8>, image: &[u8]| {
        let (vm, image) = (Arc::clone(vm), image.to_vec());
        std::thread::spawn(move || work(&vm, &image)).join().expect("thread")
    };
    let save = |vm: &Vm, _: &[u8]| vm.save().expect("save");
    let restore = |vm: &Vm, image: &[u8]| vm.restore(image).map(|()| Vec::new()).expect("restore");

    let memory = memory();
    let Some((source, _vcpus)) = new(&memory) else { return };
    // GICD_IPRIORITYR<8> to <23>: a value of its own for each SPI, of the five bits that there are.
    for n in 8..24 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|byte| ((n * 4 + byte) % 31 + 1) << 3);
        let mut gic = source.gic();
        gic.set(Attr::dist(0x400 + 4 * n), a | b << 8 | c << 16 | d << 24).expect("GICD_IPRIORITYR");
    }
    let image = on_a_thread(&source, save, &[]);
    let (destination, _vcpus) = new(&memory).expect("as the first");
    assert!(on_a_thread(&destination, save, &[]) != image, "a new VM has another state");
    on_a_thread(&destination, restore, &image);
    assert!(on_a_thread(&destination, save, &[]) == image, "the destination saves another state");
}
