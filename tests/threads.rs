//! What may move between threads and be shared by them, asked of the compiler: nothing here runs.
//!
//! Rule: a VMM saves on another thread than the one that created the device, and holds the controller as a trait object.

#![allow(dead_code, reason = "compiles or does not")]

use vgic_state::gicv5::{Gicv5, Gicv5State};
use vgic_state::{DynInterruptState, Error, InterruptState, Vcpus};

fn is_send_sync<T: Send + Sync + 'static>() {}

/// A backend as a VMM holds it.
fn boxed(backend: impl InterruptState + Send + 'static) -> Box<dyn DynInterruptState + Send> {
    Box::new(backend)
}

#[test]
fn states_and_errors_are_send_and_sync() {
    is_send_sync::<Gicv5State<'static>>();
    is_send_sync::<Vcpus>();
    is_send_sync::<Error>();
}

#[cfg(all(feature = "kvm", target_os = "linux"))]
#[test]
fn a_backend_on_kvm() {
    use vgic_state::NoGuestMemory;
    use vgic_state::gicv3::Gicv3;
    use vgic_state::kvm::KvmDevice;

    is_send_sync::<KvmDevice>();
    // A VM in an `Arc` lends its devices to a backend.
    is_send_sync::<Gicv5<&KvmDevice>>();
    is_send_sync::<Gicv3<std::sync::Arc<KvmDevice>, NoGuestMemory>>();
    is_send_sync::<Gicv5<KvmDevice>>();
    let _: fn(Gicv5<KvmDevice>) -> Box<dyn DynInterruptState + Send> = boxed;
    is_send_sync::<Gicv3<KvmDevice, NoGuestMemory>>();
    let _: fn(Gicv3<KvmDevice, NoGuestMemory>) -> Box<dyn DynInterruptState + Send> = boxed;
}

#[cfg(feature = "model")]
#[test]
fn a_backend_on_the_model() {
    use vgic_state::model::gicv5::Vm;

    is_send_sync::<Vm>();
    is_send_sync::<Gicv5<Vm>>();
    let _: fn(Gicv5<Vm>) -> Box<dyn DynInterruptState + Send> = boxed;
}
