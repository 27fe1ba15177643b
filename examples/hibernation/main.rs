//! A guest that has resumed from hibernation is saved, with its tables in guest memory and with its tables in the image.
//!
//! Its boot kernel has mapped devices to the ITS. The kernel that resumed has data of its own in the pages of the boot kernel's tables,
//! and has never unmapped anything: KVM still has the mappings, and a plain save writes them over that data.
//!
//! `cargo run --example hibernation` does it on the model; `cargo run --target aarch64-unknown-linux-musl --example hibernation` on a
//! real kernel.
//!
//! Rule: exit code 0 says that the save into the image left every byte of guest memory as it was, that the plain save did not, and that
//! the restored VM delivers every interrupt, as does the source.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the rigs of the tests may panic, and so does this"
)]

#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/fault.rs"]
mod fault;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/faults.rs"]
mod faults;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/kernel.rs"]
mod kernel;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/layout.rs"]
mod layout;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/memory.rs"]
mod memory;
#[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/model.rs"]
mod model;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/program.rs"]
mod program;
#[allow(dead_code, reason = "the tests need all of it")]
#[path = "../../tests/kvm/rig.rs"]
mod rig;

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
use kernel::KernelRig as Machine;
#[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
use model::ModelRig as Machine;
use program::{Devices, Table};
use rig::{Config, Memory, Rig};
use std::collections::BTreeSet;
use vgic_state::TableStrategy;
use vgic_state::gicv3::Gicv3State;
use vgic_state::{DynInterruptState, InterruptState};
use vm_memory::{Bytes, GuestAddress};

const CONFIG: Config = Config {
    vcpus: 2,
    id_step: 1,
    nr_irqs: 128,
    its: 1,
    shadow: vgic_state::shadow::ShadowKind::Zero,
    slots: 1,
    el2: false,
    maintenance_irq: 0,
};
const DEVICES: Devices = Devices { devices: 64, events: 32, first_id: 8, step: 8, table: Table::Flat };

fn main() {
    println!("{}", place());
    let mut guest = Machine::new(CONFIG);
    let pending = boot(&mut guest);
    resume(guest.memory());
    println!("guest: {} devices, {} LPIs, {} pending", DEVICES.devices, DEVICES.devices * DEVICES.events, pending.len());
    println!("it has resumed from hibernation: in the pages of its old tables there is data now");

    let before = memory::copy(guest.memory());
    let state = save(&mut guest, TableStrategy::Image);
    let changed = memory::changed(&before, guest.memory()).len();
    println!("\nsave into the image:   {changed} of {} bytes of guest memory changed", layout::RAM_BYTES);
    assert_eq!(changed, 0);
    let image = state.to_image().expect("image");
    println!("  {} devices in an image of {} bytes", state.lpis.expect("LPIs").its[0].devices.len(), image.len());

    let mut restored = Machine::with_memory(CONFIG, memory::copy(&before));
    print!("{}", restored.gicv3().restore_image(&image).expect("restore"));
    assert_eq!(memory::changed(&before, restored.memory()).len(), 0, "nor does a restore write guest memory");
    let mut victim = Machine::with_memory(CONFIG, memory::copy(&before));
    print!("{}", victim.gicv3().restore_image(&image).expect("restore"));
    for (name, rig) in [("restored", &mut restored), ("source", &mut guest)] {
        let served = serve(rig);
        println!("  {name}: the guest is given {} LPIs of {} that are pending", served.len(), pending.len());
        assert_eq!(served, pending, "each, and no other");
    }

    save(&mut victim, TableStrategy::GuestMemory);
    let destroyed = memory::changed(&before, victim.memory()).len();
    println!("\nsave into guest memory: success, it says; {destroyed} bytes of the guest's data are destroyed");
    assert_ne!(destroyed, 0);
}

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
fn place() -> String {
    format!("on KVM of Linux {}", kernel::release())
}

#[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
fn place() -> &'static str {
    "on the model of KVM"
}

/// The boot kernel maps devices, and interrupts arrive. Returns those that are pending.
fn boot(guest: &mut Machine) -> BTreeSet<u32> {
    program::basics(guest);
    // Every LPI is enabled.
    guest.memory().write_slice(&[0xa3; 0xe000], GuestAddress(layout::CONFIGURATION)).expect("memory");
    program::enable_its(guest, 0, DEVICES.table);
    program::map(guest, 0, &DEVICES);
    let arriving = DEVICES.events(0, CONFIG.vcpus).map(|(_, event)| event).filter(|event| event.lpi % 5 != 0);
    arriving
        .map(|event| {
            assert_eq!(guest.msi(0, event.device, event.event), Ok(1), "an event that is mapped is delivered");
            event.lpi
        })
        .collect()
}

/// The kernel that resumes has its own data where the boot kernel had pending tables, device table, collection table and ITTs. Its LPI
/// configuration is where it was.
fn resume(memory: &Memory) {
    let data: Vec<u8> = (0_u32..).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8).take(0x10_0000).collect();
    let areas = [
        (layout::pending(0), layout::pending(CONFIG.vcpus)),
        (layout::device_table(0), layout::level2(0, 0)),
        (layout::itt(0, 0), layout::itt(0, DEVICES.devices)),
    ];
    for (start, end) in areas {
        memory.write_slice(&data[..(end - start) as usize], GuestAddress(start)).expect("memory");
    }
}

fn save(guest: &mut Machine, tables: TableStrategy) -> Gicv3State {
    guest.gicv3().options_mut().tables = tables;
    let flushed = guest.gicv3().flush_tables().expect("flush");
    guest.gicv3().save(flushed).expect("save")
}

/// What the guest is given, on every vCPU.
fn serve(rig: &mut Machine) -> BTreeSet<u32> {
    (0..CONFIG.vcpus).flat_map(|vcpu| rig.acknowledge(vcpu)).collect()
}
