//! What a scenario observed, to compare the model's with the kernel's.

use std::fmt::Debug;

/// Observations, a line each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Log(Vec<String>);

impl Log {
    /// A value with its name.
    pub(crate) fn value(&mut self, name: &str, value: impl Debug) {
        self.0.push(format!("{name}: {value:x?}"));
    }

    /// The first line that the kernel's log has not.
    pub(crate) fn difference(&self, kernel: &Log) -> Option<String> {
        let differs = |n: &usize| self.0.get(*n) != kernel.0.get(*n);
        let line = (0..self.0.len().max(kernel.0.len())).find(differs)?;
        let of = |log: &Log| log.0.get(line).cloned().unwrap_or_default();
        Some(format!("line {line}:\n  the model:  {}\n  the kernel: {}", of(self), of(kernel)))
    }

    /// What the model observed is what the kernel observed.
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    pub(crate) fn assert_same(&self, kernel: &Log) {
        if let Some(difference) = self.difference(kernel) {
            panic!("the model and Linux {} differ in {difference}", crate::kernel::release());
        }
    }
}
