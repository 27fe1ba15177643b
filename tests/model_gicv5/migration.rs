//! What a migrated guest finds.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, the sequences of save and restore.
//!
//! Rule: the guest that moved and the guest that stayed see the same from then on.

use crate::common::*;
use crate::guest::{boot, configure, drain, lpi_table};
use vgic_state::IntId::{Lpi, Spi};
use vgic_state::model::gicv5::Vm;
use vgic_state::uapi::vgic_v5::{icc, irs};
use vgic_state::{Attr, AttrDevice, IstDevice};

/// All that is saved, put into another VM.
fn migrate(source: &Vm) -> Vm {
    let mut target = ready();
    let (mut spi, mut lpi) = ([0; SPI_BYTES], [0; LPI_BYTES]);
    source.save_ist(&mut spi, Some(&mut lpi)).unwrap();
    for (_, offset) in irs::REGISTERS {
        let attr = Attr::irs(*offset as u32);
        target.set(attr, source.get(attr).unwrap()).unwrap();
    }
    target.restore_ist(&spi, Some(&lpi)).unwrap();
    for (_, mpidr) in VCPUS {
        for (_, instr) in icc::REGISTERS {
            let attr = Attr::cpu_sysreg(mpidr, *instr as u16);
            target.set(attr, source.get(attr).unwrap()).unwrap();
        }
    }
    target
}

#[test]
fn a_migrated_guest_goes_on() {
    let mut source = ready();
    source
        .run(vcpu_id(2), |guest| {
            boot(guest);
            lpi_table(guest);
            for (id, priority) in [(Lpi(33), 17), (Spi(3), 9), (Lpi(80), 1), (Spi(62), 25)] {
                configure(guest, id, priority, 2);
            }
            configure(guest, Lpi(81), 6, 9);
            guest.cdpend(Spi(3), true);
            assert_eq!(guest.acknowledge(), Some(Spi(3)));
            for id in [Lpi(33), Lpi(80), Spi(62), Lpi(81)] {
                guest.cdpend(id, true);
            }
        })
        .unwrap();
    source.run(vcpu_id(9), boot).unwrap();

    let mut target = migrate(&source);
    assert_eq!(target.replayed(), [Spi(62), Lpi(33), Lpi(80), Lpi(81)]);
    assert_eq!(source.entry(Spi(3)).unwrap() >> 9 & 3, 1, "left by the hardware");
    assert_eq!(target.entry(Spi(3)).unwrap() >> 9 & 3, 0, "not taken along");
    for vm in [&mut target, &mut source] {
        vm.run(vcpu_id(2), |guest| {
            // The higher priority preempts the SPI that was being handled; the others wait for its end.
            assert_eq!(guest.acknowledge(), Some(Lpi(80)));
            guest.eoi();
            guest.deactivate(Lpi(80));
            assert_eq!(guest.acknowledge(), None);
            guest.eoi();
            guest.deactivate(Spi(3));
            assert_eq!(drain(guest), [Lpi(33), Spi(62)]);
        })
        .unwrap();
        assert_eq!(vm.run(vcpu_id(9), drain), Ok(vec![Lpi(81)]));
        assert_eq!(vm.run(vcpu_id(5), drain), Ok(vec![]));
    }
}
