//! A state as text: one line for each register, vCPU, bank and entry.
//!
//! Rule: names are those of the architecture or of the state; numbers are hexadecimal; what is zero in a table is left out.

use std::fmt::{Debug, Write};
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::Gicv5State;

/// `Type { a: 1, b: 2 }` as a line for each field.
fn fields(text: &mut String, place: &str, value: &impl Debug) {
    let value = format!("{value:#x?}");
    let mut inside = Vec::new();
    for line in value.lines().map(str::trim) {
        match line {
            _ if line.ends_with('{') || line.ends_with('[') || line.ends_with('(') => {
                inside.push(line.trim_end_matches([' ', '{', '[', '(']).to_owned());
            }
            "}" | "}," | "]" | "]," | ")" | ")," => {
                inside.pop();
            }
            // The name of the outermost type says nothing.
            _ => {
                writeln!(text, "{place} {}{}", path(inside.get(1..).unwrap_or_default()), line.trim_end_matches(',')).expect("text")
            }
        }
    }
}

fn path(inside: &[String]) -> String {
    inside.iter().filter(|name| !name.is_empty()).map(|name| format!("{} ", name.replace(": ", " "))).collect()
}

pub(crate) fn gicv2(state: &Gicv2State) -> String {
    let Gicv2State { nr_irqs, identity, dist, spis, vcpus, .. } = state;
    let mut text = format!("GICv2, {} interrupts\n", nr_irqs.get());
    fields(&mut text, "distributor", identity);
    fields(&mut text, "distributor", dist);
    for spis in spis {
        fields(&mut text, &format!("SPIs from {}", spis.first), &spis.interrupts);
    }
    for vcpu in vcpus {
        let place = vcpu.vcpu.to_string();
        fields(&mut text, &place, &vcpu.identity);
        fields(&mut text, &place, &vcpu.private);
        writeln!(text, "{place} sgi_sources {:x?}", vcpu.sgi_sources).expect("text");
        fields(&mut text, &place, &vcpu.gicc);
    }
    text
}

pub(crate) fn gicv3(state: &Gicv3State) -> String {
    let Gicv3State { nr_irqs, identity, dist, spis, vcpus, its, maintenance_irq, lpis, .. } = state;
    let mut text = format!("GICv3, {} interrupts\n", nr_irqs.get());
    fields(&mut text, "distributor", identity);
    fields(&mut text, "distributor", dist);
    for spis in spis {
        let place = format!("SPIs from {}", spis.first);
        fields(&mut text, &place, &spis.interrupts);
        writeln!(text, "{place} router {:x?}", spis.router).expect("text");
    }
    for vcpu in vcpus {
        let place = vcpu.vcpu.to_string();
        fields(&mut text, &place, &vcpu.identity);
        fields(&mut text, &place, &vcpu.redist);
        fields(&mut text, &place, &vcpu.private);
        fields(&mut text, &place, &vcpu.icc);
        if let Some(el2) = &vcpu.el2 {
            fields(&mut text, &place, &el2.identity);
            fields(&mut text, &place, &el2.registers);
        }
    }
    if *maintenance_irq != 0 {
        writeln!(text, "maintenance interrupt {maintenance_irq}").expect("text");
    }
    for its in its {
        let place = format!("ITS {:#x}", its.base);
        fields(&mut text, &place, &its.identity);
        fields(&mut text, &place, &its.registers);
    }
    let Some(lpis) = lpis else { return text + "tables: in guest memory\n" };
    for its in &lpis.its {
        for collection in &its.collections {
            writeln!(text, "ITS {:#x} collection {} target {:?}", its.base, collection.icid, collection.target).expect("text");
        }
        for device in &its.devices {
            writeln!(text, "ITS {:#x} device {} ITT {:#x} bits {}", its.base, device.id, device.itt, device.event_bits)
                .expect("text");
            for event in &device.events {
                writeln!(text, "  event {} LPI {} collection {}", event.id, event.intid, event.icid).expect("text");
            }
        }
    }
    for lpi in &lpis.configuration {
        writeln!(text, "LPI {} configuration {:#x}", lpi.intid, lpi.byte).expect("text");
    }
    for pending in &lpis.pending {
        writeln!(text, "{} pending {:?}", pending.vcpu, pending.intids).expect("text");
    }
    text
}

pub(crate) fn gicv5(state: &Gicv5State<'_>) -> String {
    let Gicv5State { spi_count, identity, irs, vcpus, spi_ist, lpi_ist, .. } = state;
    let mut text = format!("GICv5, {} SPIs\n", spi_count.get());
    fields(&mut text, "IRS", identity);
    fields(&mut text, "IRS", irs);
    for vcpu in vcpus {
        fields(&mut text, &vcpu.vcpu.to_string(), &vcpu.registers);
    }
    for table in [Some(spi_ist), lpi_ist.as_ref()].into_iter().flatten() {
        writeln!(text, "{:?} table: {} entries", table.kind(), table.len()).expect("text");
        for (id, entry) in table.nonzero() {
            writeln!(text, "{id} {:#010x}", entry.into_bits()).expect("text");
        }
    }
    text
}
