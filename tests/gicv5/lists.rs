//! Register tables against the kernel's own list: nothing forgotten, nothing twice.

use crate::snapshot::snapshot;
use std::collections::BTreeSet;
use vgic_state::Attr;
use vgic_state::gicv5::{CpuInterface, IRS_NOT_STATE, IrsIdentity, IrsState};
use vgic_state::uapi;

#[test]
fn every_irs_register_is_saved_or_left_out_for_a_reason() {
    let kernel: BTreeSet<u64> = uapi::vgic_v5::irs::REGISTERS.iter().map(|(_, offset)| *offset).collect();
    let saved = IrsIdentity::REGISTERS.iter().chain(IrsState::REGISTERS).map(|row| row.key);
    let all: Vec<u64> = saved.chain(IRS_NOT_STATE.iter().map(|(offset, _)| *offset)).map(u64::from).collect();
    assert_eq!(all.len(), kernel.len(), "no register twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<u64>>(), kernel);
    assert!(IRS_NOT_STATE.iter().all(|(_, why)| !why.is_empty()));
}

#[test]
fn every_cpu_interface_register_is_saved_at_its_full_width() {
    let kernel: BTreeSet<u64> = uapi::vgic_v5::icc::REGISTERS.iter().map(|(_, instr)| *instr).collect();
    let saved: BTreeSet<u64> = CpuInterface::REGISTERS.iter().map(|row| row.key.into()).collect();
    assert_eq!((saved.len(), CpuInterface::REGISTERS.len()), (26, 26));
    assert_eq!(saved, kernel);
    assert!(CpuInterface::REGISTERS.iter().all(|row| row.max == u64::MAX));
}

#[test]
fn widths_are_those_of_the_registers() {
    for row in IrsIdentity::REGISTERS.iter().chain(IrsState::REGISTERS) {
        let wide = uapi::vgic_v5::irs::REGISTERS_64.contains(&row.key);
        assert_eq!(row.max, if wide { u64::MAX } else { u64::from(u32::MAX) }, "{}", Attr::irs(row.key).id());
    }
}

#[test]
fn the_register_tables_are_those_of_the_document() {
    let mut text = String::new();
    for (title, rows) in [("compared, then narrowed", IrsIdentity::REGISTERS), ("state", IrsState::REGISTERS)] {
        text.push_str(&format!("IRS, {title}\n"));
        for row in rows {
            text.push_str(&format!("  {}: {}\n", Attr::irs(row.key).id(), row.why));
        }
    }
    text.push_str("IRS, left out\n");
    for (offset, why) in IRS_NOT_STATE {
        text.push_str(&format!("  {}: {why}\n", Attr::irs(*offset).id()));
    }
    snapshot!("gicv5_registers", text);
}

#[test]
fn values_of_the_abi() {
    let mut text = String::new();
    for (module, list) in [
        ("device", uapi::device::CONSTANTS),
        ("vgic_v5", uapi::vgic_v5::CONSTANTS),
        ("vgic_v5::irs", uapi::vgic_v5::irs::REGISTERS),
        ("vgic_v5::irs_fields", uapi::vgic_v5::irs_fields::MASKS),
        ("vgic_v5::icc", uapi::vgic_v5::icc::REGISTERS),
        ("vgic_v5::ist", uapi::vgic_v5::ist::MASKS),
    ] {
        text.push_str(&format!("{module}\n"));
        for (name, value) in list {
            text.push_str(&format!("  {name} = {value:#x}\n"));
        }
    }
    snapshot!("uapi_gicv5", text);
}

#[test]
fn the_reset_value_of_each_row_is_that_of_a_new_vm() {
    let vcpus = crate::common::vcpus(3);
    let mut gic = crate::common::fresh(&vcpus, 64);
    let new = crate::save::Save::flush_and_save(&mut gic).expect("save");
    let vcpus = new.vcpus.iter().flat_map(|vcpu| vcpu.registers.values());
    let mut by_vm = Vec::new();
    for (row, value) in new.identity.values().chain(new.irs.values()).chain(vcpus) {
        match row.reset {
            Some(reset) => assert_eq!(value, reset, "{}", row.id()),
            None => by_vm.push(row.key),
        }
    }
    let identity: Vec<u32> = IrsIdentity::REGISTERS.iter().map(|row| row.key).collect();
    assert_eq!(by_vm, identity, "depends on the host or on the VM");
}
