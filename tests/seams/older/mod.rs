//! Snapshots that the VMMs took before they had an adapter: lists of registers, in the order in which each VMM read them.
//!
//! Source: the lists of registers and their order, from the sources of both VMMs in 2025 and 2026; nothing else is taken from there.
//!
//! Rule: an adapter gives each number of the list its attribute, and the crate does the rest. What such a snapshot lacks, line levels among
//! it, is in the report.

pub(crate) mod cloud_hypervisor;
pub(crate) mod firecracker;

use crate::gicv3::{Config, Gic as Backend, copy, filled, fresh};
use crate::vms::OfGicv3;
use crate::{Gic, save};
use vgic_state::gicv3::Gicv3State;
use vgic_state::report::{Problem, Report, Severity};
use vgic_state::uapi::vgic_v3::{dist::*, redist::*};
use vgic_state::{DynInterruptState as _, InterruptState as _, TableStrategy};

/// What both VMMs know of the VM without the snapshot: they make it.
#[derive(Clone)]
pub(crate) struct VmConfig {
    pub(crate) nr_irqs: vgic_state::NrIrqs,
    pub(crate) vcpus: vgic_state::Vcpus,
    pub(crate) its: u64,
}

/// Offsets of the words of a distributor register that has so many bits for each interrupt: those of SPIs.
pub(crate) fn spi_words(register: u32, bits: u32, nr_irqs: u32) -> impl Iterator<Item = u32> {
    (register + 4 * bits..register + bits * nr_irqs / 8).step_by(4)
}

/// Registers of the distributor that both VMMs keep, with the bits for each SPI.
pub(crate) const OF_SPIS: [(u32, u32); 10] = [
    (GICD_ICENABLER, 1),
    (GICD_ISENABLER, 1),
    (GICD_IGROUPR, 1),
    (GICD_IROUTER, 64),
    (GICD_ICFGR, 2),
    (GICD_ICPENDR, 1),
    (GICD_ISPENDR, 1),
    (GICD_ICACTIVER, 1),
    (GICD_ISACTIVER, 1),
    (GICD_IPRIORITYR, 8),
];

/// Registers of SGIs and PPIs that both VMMs keep, with their bytes.
pub(crate) const OF_PRIVATE: [(u32, u32); 9] = [
    (GICR_IGROUPR0, 4),
    (GICR_ICENABLER0, 4),
    (GICR_ISENABLER0, 4),
    (GICR_ICFGR0, 8),
    (GICR_ICPENDR0, 4),
    (GICR_ISPENDR0, 4),
    (GICR_ICACTIVER0, 4),
    (GICR_ISACTIVER0, 4),
    (GICR_IPRIORITYR0, 32),
];

/// A VM that is saved the old way, and one that the snapshot goes to.
pub(crate) struct Move {
    pub(crate) source: Backend,
    pub(crate) destination: Gic,
    pub(crate) config: VmConfig,
    /// What the destination has in the end: line levels are in no older snapshot.
    expected: Gicv3State,
}

impl Move {
    pub(crate) fn new() -> Self {
        let config = Config { vcpus: 3, ..Config::default() };
        let (vm, mut source) = filled(config);
        // Tables are in guest memory; then the registers are read.
        let flushed = source.flush_tables().expect("flush");
        let mut expected = source.save(flushed).expect("save");
        expected.vcpus.iter_mut().for_each(|vcpu| vcpu.private.level = 0);
        expected.spis.iter_mut().for_each(|spis| spis.interrupts.level = 0);
        let (other, gic) = fresh(config, copy(&vm.memory()));
        let destination = OfGicv3::shared(other, gic, TableStrategy::GuestMemory);
        let of_vm = VmConfig { nr_irqs: expected.nr_irqs, vcpus: source.target().vcpus.clone(), its: expected.its[0].base };
        Move { source, destination, config: of_vm, expected }
    }

    pub(crate) fn config(&self) -> VmConfig {
        self.config.clone()
    }

    pub(crate) fn assert_moved(&self) {
        let image = save(&self.destination).expect("save");
        assert_eq!(Gicv3State::parse(&image).as_ref(), Ok(&self.expected));
    }
}

/// What both snapshots lack: line levels, and registers that say what the VM is.
pub(crate) fn assert_report(report: &Report) {
    let registers: Vec<String> = report.findings.iter().filter_map(|finding| Some(finding.first.register?.to_string())).collect();
    assert_eq!(registers.len(), 6);
    for (register, expected) in
        registers.iter().zip(["line levels", "GICD_TYPER", "GICD_IIDR", "GICR_IIDR", "GICR_TYPER", "GITS_TYPER"])
    {
        assert!(register.starts_with(expected), "{register}");
    }
    let problems = report.findings.iter().map(|finding| finding.problem);
    assert!(problems.eq([&[Problem::AttributeMissing][..], &[Problem::IdentityMissing; 5]].concat()));
    assert_eq!(report.max_severity(), Some(Severity::Medium));
}
