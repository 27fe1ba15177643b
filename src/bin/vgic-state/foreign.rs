//! Tables of an ITS that is not KVM's.
//!
//! Source: Arm IHI 0069, `GITS_TYPER.ITT_entry_size`: the form of tables is the ITS's own. Documentation/virt/kvm/devices/arm-vgic-its.rst,
//! "ITS Table ABI REV0": KVM's have entries of 8 bytes; those of devices and collections are valid by bit 63. QEMU,
//! `hw/intc/gicv3_internal.h`: those of its own emulation are valid by bit 0, and those of an ITT have 12 bytes.
//!
//! Rule: a command queue has one form in every ITS; tables have not, and are not decoded as if they had.

use crate::failure::Failure;
use vgic_state::gicv3::Gicv3State;

/// Bytes of an entry of an ITT of KVM, and of one of QEMU.
const KVM_ITE_BYTES: u64 = 8;
const QEMU_ITE_BYTES: u64 = 12;

/// Refuses tables of which a register says that they are not KVM's.
pub(crate) fn refuse(state: &Gicv3State) -> Result<(), Failure> {
    for its in &state.its {
        let bytes = (its.identity.typer >> 4 & 0xf) + 1;
        if bytes != KVM_ITE_BYTES {
            let whose = if bytes == QEMU_ITE_BYTES { ", such as that of QEMU's own emulation (TCG)" } else { "" };
            return Err(format!(
                "ITS {:#x}: by GITS_TYPER, {:#x}, an entry of an ITT has {bytes} bytes, and KVM's have {KVM_ITE_BYTES}: the tables are those \
                 of another ITS{whose}, and are not read. Its queue is: vgic-state commands",
                its.base, its.identity.typer
            )
            .into());
        }
    }
    Ok(())
}

/// Valid to QEMU: Valid [0], RDbase [16:1].
pub(crate) fn is_qemu_collection(entry: u64) -> bool {
    entry & 1 != 0 && entry >> 17 == 0
}

/// Valid to QEMU: Valid [0], Size [5:1], ITT address [49:6].
pub(crate) fn is_qemu_device(entry: u64) -> bool {
    entry & 1 != 0 && entry >> 50 == 0
}

/// What is said of an ITS all of whose entries are of that form.
pub(crate) fn note(its: u64) -> String {
    format!(
        "ITS {its:#x}: its tables are not KVM's: no entry is valid to KVM, and entries have the form of QEMU's own emulation (TCG). Its \
         queue is: vgic-state commands."
    )
}
