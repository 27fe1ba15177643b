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
