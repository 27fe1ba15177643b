//! Names of tables in guest memory.
//!
//! Source: Arm IHI 0069, "ITS tables", "LPI tables".

use crate::memory::GuestRange;
use crate::topology::VcpuId;
use core::fmt;

/// A table in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// Device table of the ITS at this address; the first level of it if there are two (`GITS_BASER0`).
    Devices {
        /// Guest physical address of the registers of the ITS.
        its: u64,
    },
    /// Second level of a device table: the DeviceIDs from 8192 times the index.
    Level2 {
        /// Guest physical address of the registers of the ITS.
        its: u64,
        /// Which one.
        index: u32,
    },
    /// Collection table (`GITS_BASER1`).
    Collections {
        /// Guest physical address of the registers of the ITS.
        its: u64,
    },
    /// Interrupt translation table of a device.
    Itt {
        /// Guest physical address of the registers of the ITS.
        its: u64,
        /// DeviceID.
        device: u32,
    },
    /// Command queue (`GITS_CBASER`).
    Commands {
        /// Guest physical address of the registers of the ITS.
        its: u64,
    },
    /// LPI configuration table (`GICR_PROPBASER`).
    LpiConfiguration,
    /// LPI pending table of a vCPU (`GICR_PENDBASER`).
    LpiPending {
        /// The vCPU.
        vcpu: VcpuId,
    },
}

impl Table {
    /// Whether a register says where it is, and no entry of another table.
    pub(crate) const fn is_in_register(&self) -> bool {
        !matches!(self, Table::Level2 { .. } | Table::Itt { .. })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Table::Devices { its } => write!(f, "device table of the ITS at {its:#x}"),
            Table::Level2 { its, index } => write!(f, "level-2 device table {index} of the ITS at {its:#x}"),
            Table::Collections { its } => write!(f, "collection table of the ITS at {its:#x}"),
            Table::Itt { its, device } => write!(f, "ITT of device {device:#x} of the ITS at {its:#x}"),
            Table::Commands { its } => write!(f, "command queue of the ITS at {its:#x}"),
            Table::LpiConfiguration => f.write_str("LPI configuration table"),
            Table::LpiPending { vcpu } => write!(f, "LPI pending table of vCPU {}", vcpu.get()),
        }
    }
}

/// Where a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRange {
    /// Its bytes.
    pub range: GuestRange,
    /// Which it is.
    pub table: Table,
}
