//! What crashes a host: tests for the machine of `env/matrix`, which looks whether the machine survives them.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_save_ite`.
//!
//! Rule: never run with the others.

use crate::kernel::{KernelRig, linux};
use crate::program::{self, Devices};
use crate::rig::{Config, Rig};
use crate::scenarios::kernels::unmap_collection;
use vgic_state::DynInterruptState;
use vgic_state::model::gicv3::Behaviour;

#[test]
#[ignore = "crashes some kernels"]
fn unmapped_collection() {
    let mut rig = KernelRig::new(Config::default());
    program::basics(&mut rig);
    program::enable_its(&mut rig, 0, program::Table::Flat);
    program::map(&mut rig, 0, &Devices { devices: 3, ..Devices::FLAT });
    unmap_collection(&mut rig);
    let survives = linux().has(Behaviour::SavesEventsWithoutCollection);
    // What the machine says last may be this: it has to be out.
    println!("Linux {} should {}", linux(), if survives { "survive" } else { "crash" });
    std::thread::sleep(std::time::Duration::from_millis(500));
    let _ = rig.gicv3().flush_tables().expect("flush");
    assert!(survives, "it did not");
}
