//! Interrupts of a GICv5: PPIs from the registers of each vCPU, SPIs and LPIs from their tables.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`, `GRP_CPU_SYSREGS`.
//!
//! Rule: an entry that is zero belongs to an interrupt that nobody has configured.

use super::interrupt::{Interrupt, Kind, Target};
use vgic_state::IntId;
use vgic_state::gicv5::{Gicv5State, Ist, Iste, VcpuState};
use vgic_state::uapi::vgic_v5::ist::GICV5_ISTL2E_RES0;

/// The PPI that software makes pending: of KVM's PPIs the only one that is edge-triggered.
const SW_PPI: u32 = 3;
/// KVM has no more.
const PPIS: u32 = 64;

pub(super) fn interrupts(state: &Gicv5State<'_>) -> Vec<Interrupt> {
    let vcpus: Vec<u16> = state.vcpus.iter().map(|vcpu| vcpu.vcpu.id.iaffid()).collect();
    let ppis = state.vcpus.iter().flat_map(ppis);
    let tables = std::iter::once(&state.spi_ist).chain(&state.lpi_ist).flat_map(|ist| table(ist, &vcpus));
    ppis.chain(tables).collect()
}

fn ppis(vcpu: &VcpuState) -> impl Iterator<Item = Interrupt> + '_ {
    let registers = &vcpu.registers;
    let priorities = [
        registers.ppi_priorityr0,
        registers.ppi_priorityr1,
        registers.ppi_priorityr2,
        registers.ppi_priorityr3,
        registers.ppi_priorityr4,
        registers.ppi_priorityr5,
        registers.ppi_priorityr6,
        registers.ppi_priorityr7,
    ];
    let target = Target::Vcpu(vcpu.vcpu.id.get());
    (0..PPIS).zip(priorities.into_iter().flat_map(u64::to_le_bytes)).map(move |(ppi, priority)| {
        let holds = |bits: u64| bits >> ppi & 1 != 0;
        let mut interrupt = Interrupt::new(Kind::Ppi, ppi, target.clone());
        interrupt.enabled = holds(registers.ppi_enabler0);
        interrupt.pending = holds(registers.ppi_spendr0);
        interrupt.active = holds(registers.ppi_sactiver0);
        interrupt.level = ppi != SW_PPI;
        interrupt.priority = Some(priority);
        interrupt.used = interrupt.enabled || interrupt.pending || interrupt.active || priority != 0;
        interrupt
    })
}

/// The interrupts of a table. `vcpus`: the IAFFIDs that there are.
fn table<'a>(ist: &'a Ist<'_>, vcpus: &'a [u16]) -> impl Iterator<Item = Interrupt> + 'a {
    ist.entries().map(move |(id, entry)| match id {
        IntId::Spi(number) => one(Kind::Spi, number, entry, vcpus),
        IntId::Lpi(number) | IntId::Ppi(number) => one(Kind::Lpi, number, entry, vcpus),
        _ => one(Kind::Lpi, 0, entry, vcpus),
    })
}

fn one(kind: Kind, number: u32, entry: Iste, vcpus: &[u16]) -> Interrupt {
    let iaffid = entry.iaffid();
    let is_there = vcpus.contains(&iaffid);
    let target = if is_there { Target::Vcpu(iaffid.into()) } else { Target::Unknown(iaffid.to_string()) };
    let mut interrupt = Interrupt::new(kind, number, target);
    interrupt.used = entry.into_bits() != 0;
    interrupt.enabled = entry.enable();
    interrupt.pending = entry.pending();
    interrupt.active = entry.active();
    interrupt.level = entry.hm();
    interrupt.irm = entry.irm();
    interrupt.hwu = entry.hwu();
    interrupt.priority = Some(entry.priority());
    interrupt.reserved = entry.into_bits() & GICV5_ISTL2E_RES0;
    interrupt.word = Some(entry.into_bits());
    interrupt
}
