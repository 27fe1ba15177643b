//! Interrupts of a GICv2: banks of 32.
//!
//! Source: Arm IHI 0048: `GICD_IGROUPR`, `ISENABLER`, `ICFGR`, `ISPENDR`, `ISACTIVER`, `IPRIORITYR`, `ITARGETSR`.
//!
//! Rule: an SPI goes to the lowest of its targets, as KVM delivers it; whether a level interrupt is pending by its line is not known.

use super::{Interrupt, Kind, Target};
use vgic_state::gicv2::{Gicv2State, InterruptBlock};

/// SGIs are below.
const FIRST_PPI: u32 = 16;
/// Private interrupts are below.
const FIRST_SPI: u32 = 32;

pub(super) fn interrupts(state: &Gicv2State) -> Vec<Interrupt> {
    let mut interrupts = Vec::new();
    for vcpu in &state.vcpus {
        let target = Target::Vcpu(vcpu.vcpu.id.get());
        interrupts.extend((0..FIRST_SPI).map(|n| one(&vcpu.private, 0, n, target.clone())));
    }
    for spis in &state.spis {
        interrupts.extend((0..32).map(|n| one(&spis.interrupts, spis.first, n, target(state, byte(&spis.interrupts.targets, n)))));
    }
    interrupts
}

/// The byte of an interrupt in words of four.
fn byte(words: &[u32], n: u32) -> u8 {
    words.get(n as usize / 4).map_or(0, |word| (word >> (8 * (n % 4))) as u8)
}

/// The vCPU that is the lowest of the targets; without any, KVM takes the first one.
fn target(state: &Gicv2State, targets: u8) -> Target {
    let lowest = if targets == 0 { 1 } else { targets & targets.wrapping_neg() };
    let own = state.vcpus.iter().find(|vcpu| byte(&vcpu.private.targets, 0) == lowest);
    own.map_or_else(|| Target::Unknown(format!("{lowest:#x}")), |vcpu| Target::Vcpu(vcpu.vcpu.id.get()))
}

fn one(block: &InterruptBlock, first: u32, n: u32, target: Target) -> Interrupt {
    let holds = |[bits]: [u32; 1]| bits >> n & 1 != 0;
    let intid = first + n;
    let kind = match intid {
        0..FIRST_PPI => Kind::Sgi,
        FIRST_PPI..FIRST_SPI => Kind::Ppi,
        _ => Kind::Spi,
    };
    let mut interrupt = Interrupt::new(kind, intid, target);
    interrupt.level = kind != Kind::Sgi && block.edges() >> n & 1 == 0;
    interrupt.enabled = holds(block.enable);
    interrupt.active = holds(block.active);
    interrupt.pending = holds(block.pending);
    interrupt.latch = interrupt.pending && !interrupt.level;
    interrupt.priority = Some(byte(&block.priority, n));
    interrupt.group = Some(holds(block.group).into());
    interrupt.used = interrupt.enabled || interrupt.active || interrupt.pending;
    interrupt
}
