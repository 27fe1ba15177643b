//! What a flush of tables leaves for the save behind it.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, `KVM_DEV_ARM_ITS_SAVE_TABLES`.
//!
//! Rule: only a flush makes one, and a save consumes it: it is for the attachment that was flushed, until that is flushed again or restored.
//! So tables that are older than the last save cannot be saved, nor those of another VM.

use crate::AttrId;
use crate::image::Kind;
use crate::its::LpiState;
use crate::memory::GuestRange;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The tables that a flush had the kernel write, for one save of the same controller.
///
/// A save consumes it even if the save fails, since the guest may run before the next one. The VMM sees to it that no vCPU runs between the
/// flush and the save.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a save needs it"]
pub struct Flushed {
    kind: Kind,
    /// `None`: of a controller that keeps no tables.
    flush: Option<Flush>,
    written: Vec<GuestRange>,
    lpis: Option<LpiState>,
    /// What the flush has read of redistributors, in the order of their vCPUs: the save takes these, which say where the tables are, and
    /// does not read them again.
    registers: Vec<(AttrId, u32)>,
}

/// One flush of one attachment: equal to its own clones alone, as long as one of them is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flush(Arc<()>);

impl PartialEq for Flush {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Flush {}

impl Flushed {
    /// Nothing: for a controller that keeps no tables.
    pub(crate) const fn nothing(kind: Kind) -> Self {
        Flushed { kind, flush: None, written: Vec::new(), lpis: None, registers: Vec::new() }
    }

    /// Into guest memory.
    pub(crate) const fn written_to(flush: Flush, written: Vec<GuestRange>) -> Self {
        Flushed { kind: Kind::Gicv3, flush: Some(flush), written, lpis: None, registers: Vec::new() }
    }

    /// For the state.
    pub(crate) const fn for_state(flush: Flush, lpis: LpiState) -> Self {
        Flushed { kind: Kind::Gicv3, flush: Some(flush), written: Vec::new(), lpis: Some(lpis), registers: Vec::new() }
    }

    /// The same, with what was read on the way.
    pub(crate) fn with_registers(self, registers: Vec<(AttrId, u32)>) -> Self {
        Flushed { registers, ..self }
    }

    /// Guest memory that the kernel wrote: mark it dirty, and save it after the flush. The ranges may cover more than was written. The
    /// guest chose the addresses: a range may lie outside of its memory. Empty if tables go into the image, and if there are none.
    #[must_use]
    pub fn written(&self) -> &[GuestRange] {
        &self.written
    }

    /// What goes into the state, of tables that were flushed for it.
    pub(crate) const fn lpis(&self) -> Option<&LpiState> {
        self.lpis.as_ref()
    }

    /// Whether it is for a controller that keeps no tables, of this kind.
    pub(crate) fn is_nothing(&self, kind: Kind) -> bool {
        self.kind == kind && self.flush.is_none()
    }

    /// Whether it is of this flush.
    pub(crate) fn is_of(&self, flush: Option<&Flush>) -> bool {
        flush.is_some() && self.flush.as_ref() == flush
    }

    /// What goes into the state: tables that were flushed for it, and registers that were read on the way.
    pub(crate) fn into_parts(self) -> (Option<LpiState>, Vec<(AttrId, u32)>) {
        (self.lpis, self.registers)
    }
}
