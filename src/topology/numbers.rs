//! Which number of a vCPU a kernel means.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic-mmio-v3.c`; d455d366c451, since which they agree.
//!
//! Rule: a guest sees one number, whatever the kernel means by it.

/// By which number a kernel names a vCPU: in ITS commands, in collection tables, and for the timers of a guest.
///
/// A guest reads its number in `GICR_TYPER.Processor_Number`, which is the `vcpu_id` on every kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VcpuNumbers {
    /// The VMM does not say.
    #[default]
    NotTold,
    /// The `vcpu_id`: from Linux 6.7 on.
    VcpuId,
    /// The place in the order of creation: before Linux 6.7. A guest runs only if its `vcpu_id`s are 0, 1, 2 and so on.
    CreationOrder,
}
