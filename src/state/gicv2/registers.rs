//! Register tables of a GICv2 as KVM shows it.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst; `arch/arm64/kvm/vgic/vgic-mmio-v2.c`.
//!
//! Rule: a register has one row; the rows stand in the order in which they are restored. Registers that exist once per interrupt are
//! in [`InterruptBlock`](super::InterruptBlock).

use super::fields::*;
use crate::registers::{RegisterTable, Row, register_table};
use crate::uapi::vgic_v2::cpu::*;
use crate::uapi::vgic_v2::{KVM_DEV_ARM_VGIC_GRP_CPU_REGS, KVM_DEV_ARM_VGIC_GRP_DIST_REGS};
use crate::uapi::vgic_v3::dist::{GICD_CTLR, GICD_IIDR, GICD_TYPER};

const GICC_APR1: u32 = GICC_APR + 4;
const GICC_APR2: u32 = GICC_APR + 8;
const GICC_APR3: u32 = GICC_APR + 12;

register_table! {
    /// Identification registers of a distributor: compared before a restore.
    DistIdentity of KVM_DEV_ARM_VGIC_GRP_DIST_REGS {
        /// `GICD_IIDR`.
        iidr: u32 = GICD_IIDR, "first of all: until it is written, KVM ignores GICD_IGROUPR; read back, since kernels before 2026 ignore its revision",
            fields(DIST_IIDR), reset(0x4b00_343b);
        /// `GICD_TYPER`.
        typer: u32 = GICD_TYPER, "number of interrupts and of vCPUs: read only",
            fields(DIST_TYPER);
    }
}

register_table! {
    /// Distributor registers that a guest writes, but for those of [`InterruptBlock`](super::InterruptBlock).
    DistState of KVM_DEV_ARM_VGIC_GRP_DIST_REGS {
        /// `GICD_CTLR`: bit 0; KVM has no other.
        ctlr: u32 = GICD_CTLR, "any time before the guest runs",
            reset(0), fields(DIST_CTLR);
    }
}

register_table! {
    /// Identification register of a CPU interface: compared before a restore.
    CpuIdentity of KVM_DEV_ARM_VGIC_GRP_CPU_REGS {
        /// `GICC_IIDR`.
        iidr: u32 = GICC_IIDR, "implementer and architecture version: read only",
            reset(0x04b2_043b), fields(CPU_IIDR);
    }
}

register_table! {
    /// CPU interface registers of one vCPU.
    CpuInterface of KVM_DEV_ARM_VGIC_GRP_CPU_REGS {
        /// `GICC_CTLR`.
        ctlr: u32 = GICC_CTLR, "enables, CBPR and EOI mode",
            reset(0), fields(CPU_CTLR);
        /// `GICC_PMR`: bits `[7:3]` of what a guest finds there, as bits `[4:0]`.
        pmr: u32 = GICC_PMR, "priority mask, five bits",
            reset(0), fields(CPU_PMR);
        /// `GICC_BPR`.
        bpr: u32 = GICC_BPR, "binary point",
            reset(0), fields(CPU_BPR);
        /// `GICC_ABPR`.
        abpr: u32 = GICC_ABPR, "binary point, group 1",
            reset(0), fields(CPU_BPR);
        /// `GICC_APR0`: active priorities of both groups, as `GICH_APR` has them.
        apr0: u32 = GICC_APR, "active priorities",
            reset(0);
        /// `GICC_APR1`: only on a host with a GICv3 that has 6 or 7 priority bits.
        apr1: u32 = GICC_APR1, "active priorities",
            or_zero();
        /// `GICC_APR2`: only on a host with a GICv3 that has 7 priority bits.
        apr2: u32 = GICC_APR2, "active priorities",
            or_zero();
        /// `GICC_APR3`: only on a host with a GICv3 that has 7 priority bits.
        apr3: u32 = GICC_APR3, "active priorities",
            or_zero();
    }
}

/// What is neither saved nor restored, with the reason.
pub const NOT_STATE: &[(&str, &str)] = &[
    ("GICD_SGIR", "write only: sends SGIs"),
    ("GICC_DIR", "write only: deactivates"),
    ("GICD_ICPENDR", "GICD_ISPENDR is the state"),
    ("GICD_CPENDSGIR", "GICD_SPENDSGIR is the state"),
    ("line levels", "not in the interface: a line that is high is pending in GICD_ISPENDR, and the VMM drives it again"),
    ("sources of active SGIs", "not in the interface: KVM takes vCPU 0"),
];
