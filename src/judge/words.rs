//! Registers that have bits for several interrupts, of a GICv2 and of a GICv3: what KVM does not keep of them.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio.c`, `vgic_mmio_write_priority`, `vgic_mmio_write_config`; `vgic-mmio-v2.c`, `vgic-mmio-v3.c`,
//! revisions of the distributor.
//!
//! Rule: one kernel function is one rule, whichever controller has the register.

/// The first revision of KVM's distributor that kernels since Linux 4.20 can have.
pub(super) const FIRST_REVISION: u32 = 2;
/// Bits of a word of four priorities that KVM does not keep: it has five bits of each.
pub(super) const PRIORITY_IGNORED: u32 = 0x0707_0707;
/// Bit 0 of each interrupt in `ICFGR`.
pub(super) const ICFGR_RES0: u32 = 0x5555_5555;
/// The trigger modes of SGIs and of PPIs: fixed.
pub(super) const PRIVATE_CONFIG: [u32; 2] = [0xaaaa_aaaa, 0];
