//! A guest with a GICv2: what it is before the move, and what it takes after it.
//!
//! Rule: lines that devices hold high are in no image: the VMM drives them again, those that the report lists.

use super::{Result, vmm};
use vgic_state::gicv2::Gicv2;
use vgic_state::model::gicv2::{Device, Guest, Host, Vm};
use vgic_state::uapi::device::KVM_DEV_TYPE_ARM_VGIC_V2;
use vgic_state::uapi::vgic_v2::dist::GICD_SGIR;
use vgic_state::uapi::vgic_v3::dist;
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, InterruptState, VcpuId, Vcpus};

/// Edge-triggered: a network card.
const EDGE: u32 = 40;
/// Level-triggered: a serial port, which holds its line high until it is served.
const LEVEL: u32 = 33;
/// What one vCPU interrupts another with.
const IPI: u32 = 1;

pub(crate) fn between_models() -> Result<Vec<u8>> {
    let vcpus = Vcpus::with_default_mpidrs(2)?;
    let [first, second] = [VcpuId::new(0)?, VcpuId::new(1)?];
    let (source_vm, mut source) = model_vm(&vcpus)?;
    source_vm.run(second, |guest| guest.enable_interface())?;
    source_vm.run(first, boot)?;
    // Interrupts arrive while nobody looks.
    source_vm.set_spi_level(EDGE, true)?;
    source_vm.set_spi_level(LEVEL, true)?;
    source_vm.run(second, |guest| guest.dist_write32(GICD_SGIR, 1 << 16 | IPI))?;

    let (vm, mut destination) = model_vm(&vcpus)?;
    let image = vmm::migrate(&mut source, &mut destination, |_| Ok(()))?;
    println!("image: {} bytes", image.len());
    // The serial port came along with its line high.
    vm.set_spi_level(LEVEL, true)?;
    let (before, after) = (source.flush_tables()?, destination.flush_tables()?);
    if destination.save(after)? != source.save(before)? {
        return Err("the destination differs from the source".into());
    }
    println!("the destination saves the same state");

    println!("\nthe destination's guest acknowledges");
    let mut taken = Vec::new();
    while let Some(iar) = vm.run(first, |guest| guest.acknowledge())? {
        if iar == LEVEL {
            // The driver has served the device.
            vm.set_spi_level(LEVEL, false)?;
        }
        vm.run(first, |guest| guest.eoi(iar))?;
        taken.push(iar);
    }
    let names: Vec<String> = taken.iter().map(|iar| name(*iar)).collect();
    println!("  vCPU 0: {}", names.join(", "));
    if taken != [1 << 10 | IPI, EDGE, LEVEL] {
        return Err("the guest took other interrupts than were pending".into());
    }
    Ok(image)
}

/// An interrupt as `GICC_IAR` names it.
fn name(iar: u32) -> String {
    match iar & 0x3ff {
        sgi @ 0..16 => format!("SGI {sgi} of vCPU {}", iar >> 10),
        intid => format!("INTID {intid}"),
    }
}

fn model_vm(vcpus: &Vcpus) -> Result<(Vm, Gicv2<Device>)> {
    let vm = Vm::new(Host::default());
    for vcpu in vcpus.iter() {
        vm.create_vcpu(vcpu)?;
    }
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V2)?;
    gic.set(Attr::gicv2_dist_address(), 0x0800_0000)?;
    gic.set(Attr::gicv2_cpu_address(), 0x0801_0000)?;
    gic.set(Attr::nr_irqs(), 64)?;
    gic.command(Command::Init)?;
    Ok((vm, Gicv2::attach(gic, vcpus.clone())?))
}

/// What an operating system does first: two SPIs, enabled, for the first vCPU.
fn boot(guest: &mut Guest<'_>) {
    guest.enable_interface();
    guest.dist_write32(dist::GICD_ICFGR + 8, 2 << (2 * (EDGE - 32)));
    for (intid, priority) in [(EDGE, 0xa0), (LEVEL, 0xb0)] {
        guest.dist_write8(dist::GICD_IPRIORITYR + intid, priority);
        guest.dist_write8(dist::GICD_ITARGETSR + intid, 1);
        guest.dist_write32(dist::GICD_ISENABLER + 4, 1 << (intid - 32));
    }
    guest.dist_write32(dist::GICD_CTLR, 1);
}
