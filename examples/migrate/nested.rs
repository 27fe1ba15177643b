//! A guest with EL2 on a GICv3: a hypervisor, with a guest of its own that has interrupts in list registers.
//!
//! Rule: nothing of it is a VMM's to know: whether the vCPUs have EL2, the device shows, and the code that moves it is that of the others.

use super::gicv3::{self, copy, model_vm};
use super::{Result, vmm};
use vgic_state::model::gicv3::{Guest, Vm};
use vgic_state::uapi::vgic_v3::{dist, ich, redist};
use vgic_state::{Attr, AttrDevice, DynInterruptState, InterruptState, VcpuId, Vcpus};

/// An edge-triggered SPI: a network card of the hypervisor's.
const CARD: u32 = 40;
/// A PPI of the hypervisor's: its guest's timer, whose line is high until that guest has served it.
const TIMER: u32 = 27;
/// The disk that the hypervisor emulates for its guest: an INTID of that guest's.
const DISK: u32 = 50;
/// A second one, which its guest is handling while it is moved.
const SERIAL: u32 = 33;

pub(crate) fn between_models() -> Result<Vec<u8>> {
    let vcpus = Vcpus::with_default_mpidrs(2)?;
    let (source_vm, mut source) = model_vm(&vcpus, gicv3::memory()?, Vm::create_el2_vcpu)?;
    let first = vcpus.iter().next().ok_or("no vCPU")?;
    source_vm.run(first.id, boot)?;
    source_vm.set_spi_level(CARD, true)?;
    // The nested guest runs, and is in the handler of an interrupt.
    if source_vm.run(first.id, |guest| guest.nested_acknowledge())? != Some(SERIAL) {
        return Err("the nested guest should be in a handler".into());
    }

    println!("\na hypervisor with a guest of its own");
    let memory = gicv3::memory()?;
    let (vm, mut destination) = model_vm(&vcpus, memory.clone(), Vm::create_el2_vcpu)?;
    let image = vmm::migrate(&mut source, &mut destination, |_| copy(&source_vm.memory(), &memory))?;
    println!("image: {} bytes", image.len());
    let (before, after) = (source.flush_tables()?, destination.flush_tables()?);
    let saved = source.save(before)?;
    if destination.save(after)? != saved {
        return Err("the destination differs from the source".into());
    }
    println!(
        "the destination saves the same state; ICH_*_EL2 of {} vCPUs are in it",
        saved.vcpus.iter().filter_map(|vcpu| vcpu.el2).count()
    );
    // A VM whose vCPUs have no EL2 is no place for it, and is told so.
    let (_, mut plain) = model_vm(&vcpus, gicv3::memory()?, Vm::create_vcpu)?;
    match plain.restore_image(&image) {
        Err(error) => println!("a VM without EL2: {error}"),
        Ok(_) => return Err("a VM without EL2 took the image".into()),
    }

    println!("\nthe destination's guest acknowledges");
    let own = vm.run(first.id, |guest| serve(guest, Guest::acknowledge, Guest::eoi))?;
    println!("  vCPU 0: INTIDs {own:?}");
    println!("its nested guest ends INTID {SERIAL} and acknowledges");
    let nested = vm.run(first.id, |guest| {
        guest.nested_eoi(SERIAL);
        serve(guest, Guest::nested_acknowledge, Guest::nested_eoi)
    })?;
    println!("  vCPU 0: INTIDs {nested:?}");
    let lists = vm.run(first.id, |guest| [0, 1, 2].map(|n| guest.ich_read(ich::SYS_ICH_LR0_EL2 + n) >> 62))?;
    // The timer is linked to the hypervisor's interrupt, which was active for as long as its guest had not served it.
    let timer_is_active = destination.gic_mut().get(Attr::redist(first.mpidr, redist::GICR_ISACTIVER0))? >> TIMER & 1 != 0;
    if (own.as_slice(), nested.as_slice(), lists, timer_is_active) != (&[CARD], &[TIMER, DISK], [0; 3], false) {
        return Err("the guests took other interrupts than were pending".into());
    }
    Ok(image)
}

/// Acknowledges and ends until there is nothing.
fn serve<'a>(guest: &mut Guest<'a>, acknowledge: fn(&mut Guest<'a>) -> Option<u32>, end: fn(&mut Guest<'a>, u32)) -> Vec<u32> {
    let mut taken = Vec::new();
    while let Some(intid) = acknowledge(guest) {
        end(guest, intid);
        taken.push(intid);
    }
    taken
}

/// What the hypervisor does: an SPI for itself; then three list registers, and the virtual CPU interface for its guest.
fn boot(guest: &mut Guest<'_>) {
    let Ok(own) = VcpuId::new(0) else { return };
    guest.enable_interface();
    guest.dist_write32(dist::GICD_CTLR, 2);
    guest.dist_write32(dist::GICD_ICFGR + 8, 2 << (2 * (CARD - 32)));
    guest.dist_write8(dist::GICD_IPRIORITYR + CARD, 0xa0);
    guest.dist_write32(dist::GICD_ISENABLER + 4, 1 << (CARD - 32));
    // The timer has fired: the hypervisor has taken it, and leaves it active for its guest to deactivate.
    guest.redist_write32(own, redist::GICR_ISACTIVER0, 1 << TIMER);

    const PENDING: u64 = 1 << 62;
    const HW: u64 = 1 << 61;
    const GROUP1: u64 = 1 << 60;
    let lists = [
        PENDING | GROUP1 | 0x80 << 48 | u64::from(SERIAL),
        PENDING | GROUP1 | HW | 0xa0 << 48 | u64::from(TIMER) << 32 | u64::from(TIMER),
        PENDING | GROUP1 | 0xc0 << 48 | u64::from(DISK),
    ];
    for (register, value) in (ich::SYS_ICH_LR0_EL2..).zip(lists) {
        guest.ich_write(register, value);
    }
    // VPMR, VBPR0, VBPR1, VENG1; then the whole is enabled.
    guest.ich_write(ich::SYS_ICH_VMCR_EL2, 0xf0 << 24 | 2 << 21 | 3 << 18 | 1 << 1);
    guest.ich_write(ich::SYS_ICH_HCR_EL2, 1);
}
