//! Register tables against the kernel's own lists.

use crate::snapshot::snapshot;
use std::collections::BTreeSet;
use vgic_state::gicv3::{CpuInterface, Gicv3, NOT_STATE, has_icc};
use vgic_state::uapi::{device, vgic_v3};

#[test]
fn every_register_is_saved_or_left_out_for_a_reason() {
    let config = crate::common::Config { vcpus: 1, nr_irqs: 64, ..Default::default() };
    let (vm, device) = crate::common::fresh(config, crate::common::memory());
    // Some registers are read by the attachment.
    let (gic, its, memory) = device.into_parts();
    let mut device = Gicv3::attach(gic, its, memory, crate::common::vcpus(1)).expect("attach");
    crate::save::Save::flush_and_save(&mut device).expect("save");
    let trace = crate::common::trace(&vm);
    let read: BTreeSet<&str> = trace
        .lines()
        .map(|line| line.trim_start_matches("its0 ").trim_start_matches("get "))
        .map(|line| line.split([' ', '[']).next().expect("name").trim_end_matches(|c: char| c.is_ascii_digit()))
        .collect();
    let lists = [(1, vgic_v3::dist::REGISTERS), (5, vgic_v3::redist::REGISTERS), (8, vgic_v3::its::REGISTERS)];
    for (of, (name, offset)) in lists.into_iter().flat_map(|(group, list)| list.iter().map(move |register| (group, register))) {
        let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let other_half = ["GICD_ICENABLER", "GICD_ICACTIVER", "GICR_ICENABLER", "GICR_ICACTIVER"].contains(&base);
        let left_out = NOT_STATE.iter().any(|(group, first, end, why)| {
            *group == of && (u64::from(*first)..u64::from(*end)).contains(offset) && !why.is_empty()
        });
        let is_typer2 = *name == "GICD_TYPER2";
        assert!(read.contains(base) || other_half || left_out || is_typer2, "{name}");
    }
}

#[test]
fn every_cpu_interface_register_has_a_row() {
    let kernel: BTreeSet<u64> = vgic_v3::icc::REGISTERS.iter().map(|(_, instr)| *instr).collect();
    let rows: BTreeSet<u64> = CpuInterface::REGISTERS.iter().map(|row| row.key.into()).collect();
    assert_eq!((rows.len(), &rows), (15, &kernel));
}

#[test]
fn active_priority_registers_by_the_rule_of_kvm() {
    for bits in 1..=8_u64 {
        let ctlr = (bits - 1) << 8;
        let registers = match bits {
            7 => 4,
            6 => 2,
            _ => 1,
        };
        for group in [0xc644, 0xc648] {
            let there: Vec<bool> = (0..4).map(|n| has_icc(group + n, ctlr)).collect();
            assert_eq!(there, [true, registers > 1, registers > 2, registers > 2], "{bits} priority bits");
        }
        assert!(has_icc(0xc230, ctlr) && has_icc(0xc667, ctlr));
    }
}

#[test]
fn values_of_the_abi() {
    let mut text = String::new();
    for (module, list) in [
        ("device", device::CONSTANTS),
        ("vgic_v3", vgic_v3::CONSTANTS),
        ("vgic_v3::dist", vgic_v3::dist::REGISTERS),
        ("vgic_v3::dist", vgic_v3::dist::MASKS),
        ("vgic_v3::redist", vgic_v3::redist::REGISTERS),
        ("vgic_v3::redist", vgic_v3::redist::MASKS),
        ("vgic_v3::icc", vgic_v3::icc::REGISTERS),
        ("vgic_v3::icc", vgic_v3::icc::MASKS),
        ("vgic_v3::its", vgic_v3::its::REGISTERS),
        ("vgic_v3::its", vgic_v3::its::MASKS),
    ] {
        text.push_str(&format!("{module}\n"));
        for (name, value) in list {
            text.push_str(&format!("  {name} = {value:#x}\n"));
        }
    }
    snapshot!("uapi_gicv3", text);
}

/// Of every register outside of a block of 32 interrupts; blocks: `attributes`.
#[test]
fn the_reset_value_of_each_row_is_that_of_a_new_vm() {
    let mut by_vm = Vec::new();
    for its in [0, 2] {
        let config = crate::common::Config { its, ..Default::default() };
        let (_, mut gic) = crate::common::fresh(config, crate::common::memory());
        let new = crate::save::Save::flush_and_save(&mut gic).expect("save");
        let dist = new.identity.values().chain(new.dist.values());
        let vcpus = new.vcpus.iter().flat_map(|vcpu| vcpu.identity.values().chain(vcpu.redist.values()).chain(vcpu.icc.values()));
        let its = new.its.iter().flat_map(|its| its.identity.values().chain(its.registers.values()));
        for (row, value) in dist.chain(vcpus).chain(its) {
            match row.reset {
                Some(reset) => assert_eq!(value, reset, "{}", row.id()),
                None => by_vm.push(row.id().register_name().expect("name").to_string()),
            }
        }
    }
    by_vm.sort_unstable();
    by_vm.dedup();
    assert_eq!(by_vm, ["GICD_TYPER", "GICR_PROPBASER", "GICR_TYPER", "ICC_CTLR_EL1"], "depends on the host or on the VM");
}
