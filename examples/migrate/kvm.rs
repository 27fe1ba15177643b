//! The destination on this host's KVM.
//!
//! Rule: where something is missing, says what.

use super::Result;
use vgic_state::{SpiCount, Vcpus};

#[cfg(not(all(feature = "kvm", target_os = "linux")))]
pub(crate) fn migrate(_: &Vcpus, _: SpiCount) -> Result<()> {
    Err("built without KVM: it needs Linux and the feature `kvm`".into())
}

#[cfg(all(feature = "kvm", target_os = "linux"))]
pub(crate) fn migrate(vcpus: &Vcpus, spis: SpiCount) -> Result<()> {
    use vgic_state::gicv5::Gicv5;
    use vgic_state::kvm::{KvmDevice, probe};

    let kvm = kvm_ioctls::Kvm::new().map_err(|error| format!("/dev/kvm: {error}"))?;
    let vm = kvm.create_vm().map_err(|error| format!("no VM: {error}"))?;
    let offered = probe(&vm)?;
    if !offered.gicv5 {
        return Err(format!("this host offers no GICv5: {offered:?}").into());
    }
    let _vcpus = create_vcpus(&vm, vcpus)?;
    let device = KvmDevice::create_gicv5(&vm)?;
    let mut destination =
        Gicv5::initialise(device, super::gicv5::IRS_BASE, spis, vcpus.clone())?.with_options(super::gicv5::options()?);
    super::gicv5::migrate_to(&mut destination)?;
    println!("the guest's memory and its vCPUs are not there: nothing runs");
    Ok(())
}

#[cfg(all(feature = "kvm", target_os = "linux", target_arch = "aarch64"))]
fn create_vcpus(vm: &kvm_ioctls::VmFd, vcpus: &Vcpus) -> Result<Vec<kvm_ioctls::VcpuFd>> {
    let mut target = kvm_bindings::kvm_vcpu_init::default();
    vm.get_preferred_target(&mut target)?;
    vcpus
        .iter()
        .map(|vcpu| {
            let fd = vm.create_vcpu(vcpu.id.get().into())?;
            fd.vcpu_init(&target)?;
            Ok(fd)
        })
        .collect()
}

#[cfg(all(feature = "kvm", target_os = "linux", not(target_arch = "aarch64")))]
fn create_vcpus(_: &kvm_ioctls::VmFd, _: &Vcpus) -> Result<Vec<kvm_ioctls::VcpuFd>> {
    Err("vCPUs with a GICv5 exist on arm64 only".into())
}
