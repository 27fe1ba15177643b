//! The seams of four VMMs, and an adapter to each: how a backend of this crate sits where their own code for interrupt controllers
//! does.
//!
//! Source: the traits are written from descriptions of their shapes, and have the methods that matter to state, no more. How and
//! when a VMM calls them: `docs/embedding.md`.
//!
//! Rule: an adapter knows the backend as a `DynInterruptState` alone, so that it serves controllers of every kind, and has it for one operation;
//! what it hands out is what its VMM carries today.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "../common/gicv2.rs"]
mod gicv2;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../common/gicv3.rs"]
mod gicv3;
#[path = "../common/gicv5.rs"]
mod gicv5;

mod cloud_hypervisor;
mod crosvm;
mod firecracker;
mod older;
mod openvmm;
mod vms;

use std::sync::Arc;
use vgic_state::report::Report;
use vgic_state::{DynInterruptState, Error};

/// What a VMM keeps of its controller: devices, which it has created, and guest memory. A backend is attached to them for each operation,
/// by reference, and let go: there is nothing to lock, and memory that was plugged meanwhile is known.
trait Devices: Send + Sync {
    fn attach(&self, work: &mut dyn FnMut(&mut dyn DynInterruptState) -> Result<(), Error>) -> Result<(), Error>;
}

type Gic = Arc<dyn Devices>;

/// The image of a VM that is stopped. Tables that belong into guest memory go there now: its last pass comes after this.
fn save(gic: &Gic) -> Result<Vec<u8>, Error> {
    let mut image = Vec::new();
    gic.attach(&mut |gic| {
        let flushed = gic.flush_tables()?;
        image = vec![0; gic.image_max(&flushed)?];
        let length = gic.save_image(flushed, &mut image)?;
        image.truncate(length);
        Ok(())
    })?;
    Ok(image)
}

/// An image into a VM that is fresh, whose memory is in place.
fn restore(gic: &Gic, image: &[u8]) -> Result<Report, Error> {
    let mut report = Report::default();
    gic.attach(&mut |gic| {
        report = gic.restore_image(image)?;
        Ok(())
    })?;
    Ok(report)
}

/// A backend on KVM goes where an adapter wants one.
#[cfg(all(feature = "kvm", target_os = "linux"))]
#[test]
fn backends_on_kvm() {
    use vgic_state::gicv2::Gicv2;
    use vgic_state::gicv3::Gicv3;
    use vgic_state::gicv5::Gicv5;
    use vgic_state::kvm::{KvmDevice, VmMemslots};
    use vgic_state::shadow::Shadowed;

    type Memory = Shadowed<vm_memory::GuestMemoryMmap<()>, VmMemslots<Arc<kvm_ioctls::VmFd>>>;
    let _: fn(Gicv3<KvmDevice, Memory>) -> Box<dyn DynInterruptState + Send> = |gic| Box::new(gic);
    let _: fn(Gicv2<KvmDevice>) -> Box<dyn DynInterruptState + Send> = |gic| Box::new(gic);
    let _: fn(Gicv5<KvmDevice>) -> Box<dyn DynInterruptState + Send> = |gic| Box::new(gic);
    // By a descriptor of the VMM's own wrapper of KVM, and by one that is lent for one operation.
    type OfOwned = Shadowed<vm_memory::GuestMemoryMmap<()>, VmMemslots<std::os::fd::OwnedFd>>;
    let _: fn(Gicv3<Arc<KvmDevice>, OfOwned>) -> Box<dyn DynInterruptState + Send> = |gic| Box::new(gic);
    let _: for<'a> fn(Gicv5<&'a KvmDevice>) -> Box<dyn DynInterruptState + Send + 'a> = |gic| Box::new(gic);
}
