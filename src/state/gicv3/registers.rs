//! Register tables of a GICv3 with ITS as KVM shows it.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst; `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-its.c`
//! and `arch/arm64/kvm/vgic-sys-reg-v3.c`.
//!
//! Rule: a register has one row; the rows stand in the order in which they are restored. Registers that exist once per interrupt are
//! in [`InterruptBlock`](super::InterruptBlock).

use super::fields::*;
use crate::registers::{RegisterTable, Row, register_table};
use crate::uapi::device::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS;
use crate::uapi::vgic_v3::dist::*;
use crate::uapi::vgic_v3::icc::*;
use crate::uapi::vgic_v3::ich::*;
use crate::uapi::vgic_v3::its::*;
use crate::uapi::vgic_v3::redist::*;
use crate::uapi::vgic_v3::{KVM_DEV_ARM_VGIC_GRP_DIST_REGS, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS};

/// `GICR_PENDBASER` of a new VM, and `GICR_PROPBASER` of one with an ITS: Inner Shareable, Read-allocate Write-back.
pub(super) const INITIAL_LPI_BASER: u64 = 3 << 7 | 1 << 10;
/// `GITS_BASER` of a new VM without its type: attributes as above, pages of 64 KiB, entries of 8 bytes.
const INITIAL_ITS_BASER: u64 = 3 << 59 | 1 << 10 | 2 << 8 | 7 << 48;

register_table! {
    /// Identification registers of a distributor: compared before a restore.
    DistIdentity of KVM_DEV_ARM_VGIC_GRP_DIST_REGS {
        /// `GICD_TYPER`.
        typer: u32 = GICD_TYPER, "number of interrupts and ID bits: read only",
            fields(DIST_TYPER);
        /// `GICD_IIDR`.
        iidr: u32 = GICD_IIDR, "first of all: its revision selects how KVM's distributor behaves; read back, since kernels before 2026 ignore it",
            fields(IIDR), reset(0x4b00_343b);
        /// `GICD_TYPER2`.
        typer2: u32 = GICD_TYPER2, "GICv4.1 features that the guest has seen: the kernel compares",
            or_zero(), fields(DIST_TYPER2);
    }
}

register_table! {
    /// Distributor registers that a guest writes.
    DistState of KVM_DEV_ARM_VGIC_GRP_DIST_REGS {
        /// `GICD_CTLR`.
        ctlr: u32 = GICD_CTLR, "after GICD_IIDR, whose revision says what its bits mean",
            reset(0x50), fields(DIST_CTLR);
    }
}

register_table! {
    /// Identification registers of a redistributor: compared before a restore.
    RedistIdentity of KVM_DEV_ARM_VGIC_GRP_REDIST_REGS {
        /// `GICR_IIDR`.
        iidr: u32 = GICR_IIDR, "implementer: read only",
            reset(0x4b00_043b), fields(IIDR);
        /// `GICR_TYPER`.
        typer: u64 = GICR_TYPER, "affinity, number and place of the vCPU: read only",
            fields(REDIST_TYPER);
    }
}

register_table! {
    /// Redistributor registers that a guest writes, but for those of [`InterruptBlock`](super::InterruptBlock).
    RedistState of KVM_DEV_ARM_VGIC_GRP_REDIST_REGS {
        /// `GICR_PROPBASER`.
        propbaser: u64 = GICR_PROPBASER, "LPI configuration table: frozen once LPIs are enabled",
            fields(PROPBASER);
        /// `GICR_PENDBASER`.
        pendbaser: u64 = GICR_PENDBASER, "LPI pending table: frozen once LPIs are enabled",
            reset(INITIAL_LPI_BASER), fields(PENDBASER);
        /// `GICR_CTLR`.
        ctlr: u32 = GICR_CTLR, "enables LPIs, after the tables that this freezes",
            reset(6), fields(REDIST_CTLR);
    }
}

impl RedistState {
    /// `GICR_CTLR.EnableLPIs`.
    #[must_use]
    pub const fn lpis_enabled(&self) -> bool {
        self.ctlr & GICR_CTLR_ENABLE_LPIS != 0
    }
}

register_table! {
    /// CPU interface registers of one vCPU.
    CpuInterface of KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS {
        /// `ICC_SRE_EL1`.
        sre: u64 = SYS_ICC_SRE_EL1, "system registers are enabled: bit 0 must be set",
            reset(7), fields(ICC_SRE);
        /// `ICC_CTLR_EL1`.
        ctlr: u64 = SYS_ICC_CTLR_EL1, "number of priority bits, which bounds the active-priority registers; CBPR, which hides ICC_BPR1_EL1",
            fields(ICC_CTLR);
        /// `ICC_IGRPEN0_EL1`.
        igrpen0: u64 = SYS_ICC_IGRPEN0_EL1, "enable of group 0",
            reset(0), fields(ICC_IGRPEN);
        /// `ICC_IGRPEN1_EL1`.
        igrpen1: u64 = SYS_ICC_IGRPEN1_EL1, "enable of group 1",
            reset(0), fields(ICC_IGRPEN);
        /// `ICC_PMR_EL1`.
        pmr: u64 = SYS_ICC_PMR_EL1, "priority mask",
            reset(0), fields(ICC_PMR);
        /// `ICC_BPR0_EL1`.
        bpr0: u64 = SYS_ICC_BPR0_EL1, "binary point, group 0",
            reset(0), fields(ICC_BPR);
        /// `ICC_BPR1_EL1`. While `ICC_CTLR_EL1.CBPR` is 1, KVM shows the value of group 0 in its place, and its own is lost.
        bpr1: u64 = SYS_ICC_BPR1_EL1, "binary point, group 1",
            reset(0), fields(ICC_BPR);
        /// `ICC_AP0R0_EL1`.
        ap0r0: u64 = SYS_ICC_AP0R0_EL1, "active priorities, group 0",
            reset(0);
        /// `ICC_AP0R1_EL1`; there with 6 or 7 priority bits.
        ap0r1: u64 = SYS_ICC_AP0R1_EL1, "active priorities, group 0",
            or_zero();
        /// `ICC_AP0R2_EL1`; there with 7 priority bits.
        ap0r2: u64 = SYS_ICC_AP0R2_EL1, "active priorities, group 0",
            or_zero();
        /// `ICC_AP0R3_EL1`; there with 7 priority bits.
        ap0r3: u64 = SYS_ICC_AP0R3_EL1, "active priorities, group 0",
            or_zero();
        /// `ICC_AP1R0_EL1`.
        ap1r0: u64 = SYS_ICC_AP1R0_EL1, "active priorities, group 1",
            reset(0);
        /// `ICC_AP1R1_EL1`; there with 6 or 7 priority bits.
        ap1r1: u64 = SYS_ICC_AP1R1_EL1, "active priorities, group 1",
            or_zero();
        /// `ICC_AP1R2_EL1`; there with 7 priority bits.
        ap1r2: u64 = SYS_ICC_AP1R2_EL1, "active priorities, group 1",
            or_zero();
        /// `ICC_AP1R3_EL1`; there with 7 priority bits.
        ap1r3: u64 = SYS_ICC_AP1R3_EL1, "active priorities, group 1",
            or_zero();
    }
}

/// Whether KVM has a CPU interface register when `ICC_CTLR_EL1` has this value: with 7 priority bits four active-priority registers
/// of each group, with 6 two, with any other number one (`vgic_v3_max_apr_idx`). An access to another is `EINVAL`. The same holds for
/// the virtual CPU interface, `ICH_AP0R<n>_EL2` and `ICH_AP1R<n>_EL2`.
#[must_use]
pub const fn has_icc(instr: u32, icc_ctlr: u64) -> bool {
    let registers = match ((icc_ctlr & ICC_CTLR_EL1_PRI_BITS) >> ICC_CTLR_EL1_PRI_BITS.trailing_zeros()) + 1 {
        7 => 4,
        6 => 2,
        _ => 1,
    };
    const AP0R0: u32 = SYS_ICC_AP0R0_EL1 as u32;
    const AP0R3: u32 = SYS_ICC_AP0R3_EL1 as u32;
    const AP1R0: u32 = SYS_ICC_AP1R0_EL1 as u32;
    const AP1R3: u32 = SYS_ICC_AP1R3_EL1 as u32;
    const EL2_AP0R0: u32 = SYS_ICH_AP0R0_EL2 as u32;
    const EL2_AP0R3: u32 = SYS_ICH_AP0R3_EL2 as u32;
    const EL2_AP1R0: u32 = SYS_ICH_AP1R0_EL2 as u32;
    const EL2_AP1R3: u32 = SYS_ICH_AP1R3_EL2 as u32;
    match instr {
        AP0R0..=AP0R3 => instr - AP0R0 < registers,
        AP1R0..=AP1R3 => instr - AP1R0 < registers,
        EL2_AP0R0..=EL2_AP0R3 => instr - EL2_AP0R0 < registers,
        EL2_AP1R0..=EL2_AP1R3 => instr - EL2_AP1R0 < registers,
        _ => true,
    }
}

register_table! {
    /// Identification registers of an ITS: compared before a restore.
    ItsIdentity of KVM_DEV_ARM_VGIC_GRP_ITS_REGS {
        /// `GITS_TYPER`.
        typer: u64 = GITS_TYPER, "DeviceID and EventID bits, entry sizes: read only",
            reset(0x1_ef71), fields(ITS_TYPER);
        /// `GITS_IIDR`.
        iidr: u32 = GITS_IIDR, "first: its revision is the version of the table format, and sets the entry sizes of GITS_BASER",
            reset(0x4b00_043b), fields(IIDR);
    }
}

const GITS_BASER1: u32 = GITS_BASER + 8;
const GITS_BASER2: u32 = GITS_BASER + 16;
const GITS_BASER3: u32 = GITS_BASER + 24;
const GITS_BASER4: u32 = GITS_BASER + 32;
const GITS_BASER5: u32 = GITS_BASER + 40;
const GITS_BASER6: u32 = GITS_BASER + 48;
const GITS_BASER7: u32 = GITS_BASER + 56;

register_table! {
    /// ITS registers that a guest writes.
    ItsState of KVM_DEV_ARM_VGIC_GRP_ITS_REGS {
        /// `GITS_CBASER`.
        cbaser: u64 = GITS_CBASER, "before CREADR and CWRITER, which it sets to 0",
            reset(0), fields(CBASER);
        /// `GITS_CREADR`.
        creadr: u64 = GITS_CREADR, "commands up to here have run",
            reset(0), fields(CREADR);
        /// `GITS_CWRITER`.
        cwriter: u64 = GITS_CWRITER, "commands up to here run as soon as the ITS is enabled",
            reset(0), fields(CWRITER);
        /// `GITS_BASER0`: devices.
        baser0: u64 = GITS_BASER, "device table, before the tables are read",
            reset(INITIAL_ITS_BASER | 1 << 56), fields(BASER);
        /// `GITS_BASER1`: collections.
        baser1: u64 = GITS_BASER1, "collection table, before the tables are read",
            reset(INITIAL_ITS_BASER | 4 << 56), fields(BASER);
        /// `GITS_BASER2`: not implemented by KVM.
        baser2: u64 = GITS_BASER2, "not implemented: zero",
            or_zero(), fields(BASER);
        /// `GITS_BASER3`: not implemented by KVM.
        baser3: u64 = GITS_BASER3, "not implemented: zero",
            or_zero(), fields(BASER);
        /// `GITS_BASER4`: not implemented by KVM.
        baser4: u64 = GITS_BASER4, "not implemented: zero",
            or_zero(), fields(BASER);
        /// `GITS_BASER5`: not implemented by KVM.
        baser5: u64 = GITS_BASER5, "not implemented: zero",
            or_zero(), fields(BASER);
        /// `GITS_BASER6`: not implemented by KVM.
        baser6: u64 = GITS_BASER6, "not implemented: zero",
            or_zero(), fields(BASER);
        /// `GITS_BASER7`: not implemented by KVM.
        baser7: u64 = GITS_BASER7, "not implemented: zero",
            or_zero(), fields(BASER);
        /// `GITS_CTLR`.
        ctlr: u32 = GITS_CTLR, "last, after the tables: enabling runs the commands that are queued",
            reset(GITS_CTLR_QUIESCENT), fields(ITS_CTLR);
    }
}

/// Registers without state, neither saved nor restored: group, first offset, offset behind the last, and the reason.
pub const NOT_STATE: &[(u32, u32, u32, &str)] = {
    const DIST: u32 = KVM_DEV_ARM_VGIC_GRP_DIST_REGS;
    const REDIST: u32 = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;
    &[
        (DIST, GICD_STATUSR, GICD_STATUSR + 4, "reads as all ones, a write is ignored"),
        (DIST, GICD_ICPENDR, GICD_ICPENDR + 0x80, "a write of user space is ignored: GICD_ISPENDR is the state"),
        (DIST, GICD_ITARGETSR, GICD_ITARGETSR + 0x400, "no meaning with affinity routing: zero"),
        (DIST, GICD_IGRPMODR, GICD_IGRPMODR + 0x80, "one security state: zero"),
        (DIST, GICD_NSACR, GICD_NSACR + 0x100, "one security state: zero"),
        (REDIST, GICR_STATUSR, GICR_STATUSR + 4, "not implemented: zero"),
        (REDIST, GICR_WAKER, GICR_WAKER + 4, "not implemented: zero"),
        (REDIST, GICR_ICPENDR0, GICR_ICPENDR0 + 4, "a write of user space is ignored: GICR_ISPENDR0 is the state"),
    ]
};
