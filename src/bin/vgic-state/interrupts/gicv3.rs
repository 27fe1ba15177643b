//! Interrupts of a GICv3: banks of 32, and LPIs by what maps them.
//!
//! Source: Arm IHI 0069: `IGROUPR`, `ISENABLER`, `ICFGR`, `ISPENDR`, `ISACTIVER`, `IPRIORITYR`, `IROUTER`, "LPI Configuration tables".
//!
//! Rule: a level interrupt is pending if its latch is set or its line is high; the latch alone is what the state has.

use super::interrupt::{Interrupt, Kind, Source, Target};
use std::collections::{BTreeMap, BTreeSet};
use vgic_state::Mpidr;
use vgic_state::gicv3::{Gicv3State, InterruptBlock};
use vgic_state::its::LpiState;
use vgic_state::uapi::vgic_v3::dist::GICD_IROUTER_AFF2_0;

/// SGIs are below.
const FIRST_PPI: u32 = 16;
/// Private interrupts are below.
const FIRST_SPI: u32 = 32;
/// `GICD_IROUTER.Interrupt_Routing_Mode`.
const ROUTING_MODE: u32 = 1 << 31;

pub(super) fn interrupts(state: &Gicv3State, mapped: Option<&LpiState>) -> Vec<Interrupt> {
    let mut interrupts = Vec::new();
    for vcpu in &state.vcpus {
        let target = Target::Vcpu(vcpu.vcpu.id.get());
        interrupts.extend((0..FIRST_SPI).map(|n| one(&vcpu.private, 0, n, target.clone())));
    }
    for spis in &state.spis {
        for (n, router) in (0..).zip(spis.router) {
            let mut interrupt = one(&spis.interrupts, spis.first, n, target(state, router));
            interrupt.irm = router & ROUTING_MODE != 0;
            interrupts.push(interrupt);
        }
    }
    interrupts.extend(mapped.or(state.lpis.as_ref()).map(|mapped| lpis(state, mapped)).unwrap_or_default());
    interrupts
}

/// The vCPU that an affinity names.
fn target(state: &Gicv3State, router: u32) -> Target {
    let mpidr = Mpidr::from_packed(router & GICD_IROUTER_AFF2_0);
    match state.vcpus.iter().find(|vcpu| vcpu.vcpu.mpidr == mpidr) {
        Some(vcpu) => Target::Vcpu(vcpu.vcpu.id.get()),
        None => Target::Unknown(mpidr.to_string()),
    }
}

fn one(block: &InterruptBlock, first: u32, n: u32, target: Target) -> Interrupt {
    let holds = |bits: u32| bits >> n & 1 != 0;
    let intid = first + n;
    let kind = match intid {
        0..FIRST_PPI => Kind::Sgi,
        FIRST_PPI..FIRST_SPI => Kind::Ppi,
        _ => Kind::Spi,
    };
    let mut interrupt = Interrupt::new(kind, intid, target);
    let [low, high] = block.config;
    let config = (u64::from(high) << 32 | u64::from(low)) >> (2 * n);
    interrupt.level = kind != Kind::Sgi && config & 2 == 0;
    interrupt.enabled = holds(block.enable);
    interrupt.active = holds(block.active);
    interrupt.line = holds(block.level);
    interrupt.latch = holds(block.pending);
    interrupt.pending = interrupt.latch || (interrupt.level && interrupt.line);
    interrupt.priority = block.priority.get(n as usize / 4).map(|word| (word >> (8 * (n % 4))) as u8);
    interrupt.group = Some(holds(block.group).into());
    interrupt.used = interrupt.enabled || interrupt.active || interrupt.pending || interrupt.line;
    interrupt
}

/// LPIs: those that are mapped, configured or pending.
pub(crate) fn lpis(state: &Gicv3State, mapped: &LpiState) -> Vec<Interrupt> {
    let mut lpis: BTreeMap<u32, Interrupt> = BTreeMap::new();
    let new = |intid| {
        let mut interrupt = Interrupt::new(Kind::Lpi, intid, Target::Nowhere);
        // Of a GICv3, all LPIs are in group 1, and edge-triggered.
        interrupt.group = Some(1);
        interrupt.used = true;
        interrupt
    };
    let vcpus: BTreeSet<u32> = state.vcpus.iter().map(|vcpu| vcpu.vcpu.id.get()).collect();
    for its in &mapped.its {
        let collections: BTreeMap<u16, Option<u32>> =
            its.collections.iter().map(|collection| (collection.icid, collection.target)).collect();
        for device in &its.devices {
            for event in &device.events {
                let interrupt = lpis.entry(event.intid).or_insert_with(|| new(event.intid));
                interrupt.target = match collections.get(&event.icid).copied().flatten() {
                    Some(id) if vcpus.contains(&id) => Target::Vcpu(id),
                    Some(id) => Target::Unknown(id.to_string()),
                    None => Target::Nowhere,
                };
                interrupt.sources.push(Source { its: its.base, device: device.id, event: event.id });
            }
        }
    }
    for entry in &mapped.configuration {
        let interrupt = lpis.entry(entry.intid).or_insert_with(|| new(entry.intid));
        interrupt.enabled = entry.byte & 1 != 0;
        interrupt.priority = Some(entry.byte & 0xfc);
    }
    for pending in &mapped.pending {
        for intid in &pending.intids {
            let interrupt = lpis.entry(*intid).or_insert_with(|| new(*intid));
            interrupt.pending = true;
            if interrupt.sources.is_empty() {
                interrupt.target = Target::Vcpu(pending.vcpu.id.get());
            }
        }
    }
    lpis.into_values().collect()
}
