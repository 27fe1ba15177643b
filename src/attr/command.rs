//! Attributes that are commands.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst, arm-vgic-its.rst and arm-vgic-v5.rst, `GRP_CTRL`.
//!
//! Rule: a command carries no value.

use super::id::AttrId;
use crate::uapi::{device as dev, vgic_v3 as v3};

/// Commands of `GRP_CTRL`: attributes that are set without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Initialise the device. Every vCPU must exist.
    Init,
    /// GICv3: write the LPI pending bits to guest memory.
    SavePendingTables,
    /// ITS: write device, translation and collection tables to guest memory.
    ItsSaveTables,
    /// ITS: read the tables from guest memory.
    ItsRestoreTables,
    /// ITS: back to the state after `INIT`.
    ItsReset,
}

impl Command {
    /// The attribute that stands for the command.
    #[must_use]
    pub const fn id(self) -> AttrId {
        let attr = match self {
            Command::Init => dev::KVM_DEV_ARM_VGIC_CTRL_INIT,
            Command::SavePendingTables => v3::KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES,
            Command::ItsSaveTables => v3::KVM_DEV_ARM_ITS_SAVE_TABLES,
            Command::ItsRestoreTables => v3::KVM_DEV_ARM_ITS_RESTORE_TABLES,
            Command::ItsReset => v3::KVM_DEV_ARM_ITS_CTRL_RESET,
        };
        AttrId::from_raw(dev::KVM_DEV_ARM_VGIC_GRP_CTRL, attr as u64)
    }
}
