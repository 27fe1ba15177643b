//! Register tables of a GICv3 with ITS as KVM shows it.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst; `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic-its.c`
//! and `arch/arm64/kvm/vgic-sys-reg-v3.c`.
//!
//! Rule: a register has one row; the rows stand in the order in which they are restored. Registers that exist once per interrupt are
//! in [`Bank`](super::Bank).

use crate::registers::{RegisterTable, Row, register_table};
use crate::uapi::vgic_v3::dist::*;
use crate::uapi::vgic_v3::icc::*;
use crate::uapi::vgic_v3::its::*;
use crate::uapi::vgic_v3::redist::*;

register_table! {
    /// What a distributor is: compared before a restore.
    DistIdentity {
        /// `GICD_TYPER`.
        typer: u32 = GICD_TYPER, "number of interrupts and ID bits: read only";
        /// `GICD_IIDR`.
        iidr: u32 = GICD_IIDR, "first of all: its revision selects how KVM's distributor behaves; read back, since kernels before 2026 ignore it";
        /// `GICD_TYPER2`.
        typer2: u32 = GICD_TYPER2, "GICv4.1 features that the guest has seen: the kernel compares";
    }
}

register_table! {
    /// Distributor registers that a guest writes.
    DistState {
        /// `GICD_CTLR`.
        ctlr: u32 = GICD_CTLR, "after GICD_IIDR, whose revision says what its bits mean";
    }
}

register_table! {
    /// What a redistributor is: compared before a restore.
    RedistIdentity {
        /// `GICR_IIDR`.
        iidr: u32 = GICR_IIDR, "implementer: read only";
        /// `GICR_TYPER`.
        typer: u64 = GICR_TYPER, "affinity, number and place of the vCPU: read only";
    }
}

register_table! {
    /// Redistributor registers that a guest writes, but for those of [`Bank`](super::Bank).
    RedistState {
        /// `GICR_PROPBASER`.
        propbaser: u64 = GICR_PROPBASER, "LPI configuration table: frozen once LPIs are enabled";
        /// `GICR_PENDBASER`.
        pendbaser: u64 = GICR_PENDBASER, "LPI pending table: frozen once LPIs are enabled";
        /// `GICR_CTLR`.
        ctlr: u32 = GICR_CTLR, "enables LPIs, after the tables that this freezes";
    }
}

impl RedistState {
    /// `GICR_CTLR.EnableLPIs`.
    #[must_use]
    pub const fn lpis_enabled(&self) -> bool {
        self.ctlr & 1 != 0
    }
}

register_table! {
    /// CPU interface registers of one vCPU.
    CpuInterface {
        /// `ICC_SRE_EL1`.
        sre: u64 = SYS_ICC_SRE_EL1, "system registers are enabled: bit 0 must be set";
        /// `ICC_CTLR_EL1`.
        ctlr: u64 = SYS_ICC_CTLR_EL1, "number of priority bits, which bounds the active-priority registers; CBPR, which hides ICC_BPR1_EL1";
        /// `ICC_IGRPEN0_EL1`.
        igrpen0: u64 = SYS_ICC_IGRPEN0_EL1, "enable of group 0";
        /// `ICC_IGRPEN1_EL1`.
        igrpen1: u64 = SYS_ICC_IGRPEN1_EL1, "enable of group 1";
        /// `ICC_PMR_EL1`.
        pmr: u64 = SYS_ICC_PMR_EL1, "priority mask";
        /// `ICC_BPR0_EL1`.
        bpr0: u64 = SYS_ICC_BPR0_EL1, "binary point, group 0";
        /// `ICC_BPR1_EL1`. While `ICC_CTLR_EL1.CBPR` is 1, KVM shows the value of group 0 in its place, and its own is lost.
        bpr1: u64 = SYS_ICC_BPR1_EL1, "binary point, group 1";
        /// `ICC_AP0R0_EL1`.
        ap0r0: u64 = SYS_ICC_AP0R0_EL1, "active priorities, group 0";
        /// `ICC_AP0R1_EL1`; there with 6 or 7 priority bits.
        ap0r1: u64 = SYS_ICC_AP0R1_EL1, "active priorities, group 0";
        /// `ICC_AP0R2_EL1`; there with 7 priority bits.
        ap0r2: u64 = SYS_ICC_AP0R2_EL1, "active priorities, group 0";
        /// `ICC_AP0R3_EL1`; there with 7 priority bits.
        ap0r3: u64 = SYS_ICC_AP0R3_EL1, "active priorities, group 0";
        /// `ICC_AP1R0_EL1`.
        ap1r0: u64 = SYS_ICC_AP1R0_EL1, "active priorities, group 1";
        /// `ICC_AP1R1_EL1`; there with 6 or 7 priority bits.
        ap1r1: u64 = SYS_ICC_AP1R1_EL1, "active priorities, group 1";
        /// `ICC_AP1R2_EL1`; there with 7 priority bits.
        ap1r2: u64 = SYS_ICC_AP1R2_EL1, "active priorities, group 1";
        /// `ICC_AP1R3_EL1`; there with 7 priority bits.
        ap1r3: u64 = SYS_ICC_AP1R3_EL1, "active priorities, group 1";
    }
}

/// Whether KVM has a CPU interface register when `ICC_CTLR_EL1` has this value: with 7 priority bits four active-priority registers
/// of each group, with 6 two, with any other number one (`vgic_v3_max_apr_idx`). An access to another is `EINVAL`.
#[must_use]
pub const fn has_icc(instr: u32, icc_ctlr: u64) -> bool {
    let registers = match ((icc_ctlr >> 8) & 7) + 1 {
        7 => 4,
        6 => 2,
        _ => 1,
    };
    const AP0R0: u32 = SYS_ICC_AP0R0_EL1 as u32;
    const AP0R3: u32 = SYS_ICC_AP0R3_EL1 as u32;
    const AP1R0: u32 = SYS_ICC_AP1R0_EL1 as u32;
    const AP1R3: u32 = SYS_ICC_AP1R3_EL1 as u32;
    match instr {
        AP0R0..=AP0R3 => instr - AP0R0 < registers,
        AP1R0..=AP1R3 => instr - AP1R0 < registers,
        _ => true,
    }
}

register_table! {
    /// What an ITS is: compared before a restore.
    ItsIdentity {
        /// `GITS_TYPER`.
        typer: u64 = GITS_TYPER, "DeviceID and EventID bits, entry sizes: read only";
        /// `GITS_IIDR`.
        iidr: u32 = GITS_IIDR, "first: its revision is the version of the table format, and sets the entry sizes of GITS_BASER";
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
    ItsState {
        /// `GITS_CBASER`.
        cbaser: u64 = GITS_CBASER, "before CREADR and CWRITER, which it sets to 0";
        /// `GITS_CREADR`.
        creadr: u64 = GITS_CREADR, "commands up to here have run";
        /// `GITS_CWRITER`.
        cwriter: u64 = GITS_CWRITER, "commands up to here run as soon as the ITS is enabled";
        /// `GITS_BASER0`: devices.
        baser0: u64 = GITS_BASER, "device table, before the tables are read";
        /// `GITS_BASER1`: collections.
        baser1: u64 = GITS_BASER1, "collection table, before the tables are read";
        /// `GITS_BASER2`: not implemented by KVM.
        baser2: u64 = GITS_BASER2, "not implemented: zero";
        /// `GITS_BASER3`: not implemented by KVM.
        baser3: u64 = GITS_BASER3, "not implemented: zero";
        /// `GITS_BASER4`: not implemented by KVM.
        baser4: u64 = GITS_BASER4, "not implemented: zero";
        /// `GITS_BASER5`: not implemented by KVM.
        baser5: u64 = GITS_BASER5, "not implemented: zero";
        /// `GITS_BASER6`: not implemented by KVM.
        baser6: u64 = GITS_BASER6, "not implemented: zero";
        /// `GITS_BASER7`: not implemented by KVM.
        baser7: u64 = GITS_BASER7, "not implemented: zero";
        /// `GITS_CTLR`.
        ctlr: u32 = GITS_CTLR, "last, after the tables: enabling runs the commands that are queued";
    }
}

/// Registers that are neither saved nor restored, with the reason.
pub const NOT_STATE: &[(&str, &str)] = &[
    ("GICD_STATUSR", "reads as all ones, a write is ignored"),
    ("GICD_ICPENDR", "a write of user space is ignored: GICD_ISPENDR is the state"),
    ("GICD_ITARGETSR", "no meaning with affinity routing: zero"),
    ("GICD_IGRPMODR", "one security state: zero"),
    ("GICD_NSACR", "one security state: zero"),
    ("GICR_STATUSR", "not implemented: zero"),
    ("GICR_WAKER", "not implemented: zero"),
    ("GICR_ICPENDR0", "a write of user space is ignored: GICR_ISPENDR0 is the state"),
];
