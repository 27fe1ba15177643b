//! A guest with a GICv3 and an ITS: what it is before the move, and what it takes after it.
//!
//! Rule: the guest programs its ITS as an operating system does, through its registers and its command queue in guest memory.

use super::{Result, vmm};
use vgic_state::gicv3::Gicv3;
use vgic_state::model::gicv3::{Device, Guest, Host, Vm};
use vgic_state::uapi::device::{KVM_DEV_TYPE_ARM_VGIC_ITS, KVM_DEV_TYPE_ARM_VGIC_V3};
use vgic_state::uapi::vgic_v3::{dist, its, redist};
use vgic_state::{Attr, AttrDevice, Command, DynInterruptState, Errno, InterruptState, Vcpu, VcpuId, Vcpus};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const RAM: u64 = 0x4000_0000;
const RAM_BYTES: usize = 8 << 20;
const ITS_BASE: u64 = 0x0808_0000;
const CONFIGURATION: u64 = RAM + 0x1_0000;
const PENDING: [u64; 2] = [RAM + 0x2_0000, RAM + 0x3_0000];
const DEVICE_TABLE: u64 = RAM + 0x4_0000;
const COLLECTION_TABLE: u64 = RAM + 0x5_0000;
const QUEUE: u64 = RAM + 0x6_0000;
const TRANSLATION_TABLE: u64 = RAM + 0x7_0000;
/// A network card: its DeviceID, and the LPI of its first event.
const DEVICE: u64 = 5;
const FIRST_LPI: u64 = 8192;
const EVENTS: u64 = 8;
/// Events whose MSI arrives while nobody looks.
const RAISED: [u32; 3] = [1, 2, 6];

pub(crate) type Memory = GuestMemoryMmap<()>;

pub(crate) fn between_models() -> Result<Vec<u8>> {
    let vcpus = Vcpus::with_default_mpidrs(2)?;
    let (source_vm, mut source) = model_vm(&vcpus, memory()?, Vm::create_vcpu)?;
    source_vm.run(VcpuId::new(0)?, boot)?;
    for event in RAISED {
        source_vm.signal_msi(ITS_BASE + its::GITS_TRANSLATER, DEVICE as u32, event)?;
    }

    let memory = memory()?;
    let (vm, mut destination) = model_vm(&vcpus, memory.clone(), Vm::create_vcpu)?;
    let image = vmm::migrate(&mut source, &mut destination, |_| copy(&source_vm.memory(), &memory))?;
    println!("image: {} bytes", image.len());
    let (before, after) = (source.flush_tables()?, destination.flush_tables()?);
    if destination.save(after)? != source.save(before)? {
        return Err("the destination differs from the source".into());
    }
    println!("the destination saves the same state");

    println!("\nthe destination's guest acknowledges");
    for (id, vcpu) in (0..).zip(vcpus.iter()) {
        let taken = vm.run(vcpu.id, |guest| {
            guest.enable_interface();
            let mut taken = Vec::new();
            while let Some(intid) = guest.acknowledge() {
                guest.eoi(intid);
                taken.push(intid);
            }
            taken
        })?;
        println!("  {vcpu}: INTIDs {taken:?}");
        let expected: Vec<u32> = RAISED.iter().filter(|event| **event % 2 == id).map(|event| FIRST_LPI as u32 + event).collect();
        if taken != expected {
            return Err(format!("{vcpu} should have taken {expected:?}").into());
        }
    }
    Ok(image)
}

pub(crate) fn memory() -> Result<Memory> {
    Ok(Memory::from_ranges(&[(GuestAddress(RAM), RAM_BYTES)])?)
}

pub(crate) fn copy(from: &Memory, to: &Memory) -> Result<()> {
    let mut bytes = vec![0; RAM_BYTES];
    from.read_slice(&mut bytes, GuestAddress(RAM))?;
    Ok(to.write_slice(&bytes, GuestAddress(RAM))?)
}

/// How a VM makes a vCPU: with EL2, or without.
type CreateVcpu = fn(&Vm, Vcpu) -> std::result::Result<(), Errno>;

/// A VM with a GICv3 and an ITS.
pub(crate) fn model_vm(vcpus: &Vcpus, memory: Memory, create: CreateVcpu) -> Result<(Vm, Gicv3<Device, Memory>)> {
    let vm = Vm::new(Host::default(), memory.clone());
    for vcpu in vcpus.iter() {
        create(&vm, vcpu)?;
    }
    let mut gic = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_V3)?;
    gic.set(Attr::nr_irqs(), 96)?;
    gic.set(Attr::dist_address(), 0x0800_0000)?;
    gic.set(Attr::redist_address(), 0x080a_0000)?;
    gic.command(Command::Init)?;
    let mut its = vm.create_device(KVM_DEV_TYPE_ARM_VGIC_ITS)?;
    its.set(Attr::its_address(), ITS_BASE)?;
    its.command(Command::Init)?;
    let gic = Gicv3::attach(gic, vec![its], memory, vcpus.clone())?;
    Ok((vm, gic))
}

/// What an operating system does: LPI tables, ITS tables, commands.
fn boot(guest: &mut Guest<'_>) {
    // Priority 0xa0, enabled.
    for lpi in 0..EVENTS {
        let _ = guest.write_memory(CONFIGURATION + lpi, &[0xa3]);
    }
    guest.dist_write32(dist::GICD_CTLR, 2);
    for (vcpu, pending) in (0..).zip(PENDING) {
        let Ok(vcpu) = VcpuId::new(vcpu) else { continue };
        guest.redist_write64(vcpu, redist::GICR_PROPBASER, CONFIGURATION | 0xf);
        guest.redist_write64(vcpu, redist::GICR_PENDBASER, pending);
        guest.redist_write32(vcpu, redist::GICR_CTLR, 1);
    }
    guest.its_write64(0, its::GITS_BASER, its::GITS_BASER_VALID | DEVICE_TABLE);
    guest.its_write64(0, its::GITS_BASER + 8, its::GITS_BASER_VALID | COLLECTION_TABLE);
    guest.its_write64(0, its::GITS_CBASER, its::GITS_CBASER_VALID | QUEUE);
    guest.its_write32(0, its::GITS_CTLR, 1);

    const VALID: u64 = 1 << 63;
    // MAPC: collection n to vCPU n. MAPD. MAPTI: every other event to vCPU 1.
    let mut commands: Vec<[u64; 4]> = (0..2).map(|vcpu| [0x09, 0, VALID | vcpu << 16 | vcpu, 0]).collect();
    commands.push([DEVICE << 32 | 0x08, 2, VALID | TRANSLATION_TABLE, 0]);
    commands.extend((0..EVENTS).map(|event| [DEVICE << 32 | 0x0a, (FIRST_LPI + event) << 32 | event, event % 2, 0]));
    for (address, word) in (QUEUE..).step_by(8).zip(commands.as_flattened()) {
        let _ = guest.write_memory(address, &word.to_le_bytes());
    }
    guest.its_write64(0, its::GITS_CWRITER, 32 * commands.len() as u64);
}
