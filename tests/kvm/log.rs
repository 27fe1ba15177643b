//! What a scenario observed, to compare the model's with the kernel's.

use crate::rig::Rig;
use std::fmt::Debug;
use vgic_state::GuestRange;
use vgic_state::gicv3::Gicv3State;

/// Observations, a line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Log(Vec<String>);

#[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Log {
    pub(crate) fn add(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }

    /// A value with its name.
    pub(crate) fn value(&mut self, name: &str, value: impl Debug) {
        self.add(format!("{name}: {value:x?}"));
    }

    /// Every register of a state.
    pub(crate) fn state(&mut self, state: &Gicv3State) {
        let Gicv3State { nr_irqs, identity, dist, spis, vcpus, its, maintenance_irq, lpis, .. } = state;
        self.value("interrupts", (nr_irqs, maintenance_irq));
        self.value("distributor", (identity, dist));
        spis.iter().for_each(|spis| self.value("SPIs", spis));
        vcpus.iter().for_each(|vcpu| self.value("vCPU", vcpu));
        its.iter().for_each(|its| self.value("ITS", its));
        if let Some(lpis) = lpis {
            self.value("LPIs", lpis);
        }
    }

    /// Every word of guest memory in these ranges that is not zero.
    pub(crate) fn memory<R: Rig>(&mut self, rig: &R, ranges: &[GuestRange]) {
        for range in ranges {
            for address in (range.start..range.end).step_by(8) {
                match rig.read(address) {
                    0 => {}
                    word => self.add(format!("{address:#x}: {word:#018x}")),
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all but the first lines.
    pub(crate) fn truncate(&mut self, lines: usize) {
        self.0.truncate(lines);
    }

    /// The first line that another log has not.
    pub(crate) fn difference(&self, other: &Log) -> Option<String> {
        let differs = |n: &usize| self.0.get(*n) != other.0.get(*n);
        let line = (0..self.0.len().max(other.0.len())).find(differs)?;
        let of = |log: &Log| log.0.get(line).cloned().unwrap_or_default();
        Some(format!("line {line}:\n  the model:  {}\n  the kernel: {}", of(self), of(other)))
    }

    /// What the model observed is what the kernel observed.
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    pub(crate) fn assert_same(&self, kernel: &Log) {
        let release = crate::kernel::release();
        for (line, (model, kernel)) in self.0.iter().zip(&kernel.0).enumerate() {
            assert_eq!(model, kernel, "line {line}: the model and Linux {release} differ");
        }
        assert_eq!(self.0.len(), kernel.0.len(), "the model and Linux {release} differ in the number of lines");
    }
}
