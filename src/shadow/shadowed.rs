//! Guest memory with its slots: what a backend is given so that it leaves guest memory as it is.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`.
//!
//! Rule: the window is closed before the result of the work is looked at.

use super::{Divert, Memslot, Memslots, ShadowError, ShadowKind, ShadowMemory, ShadowWindow};
use crate::memory::MemoryError;
use crate::uapi::memory::KVM_MEM_READONLY;
use crate::{GuestMemoryRead, GuestRange};

/// Guest memory `M`, and the memory slots `S` through which KVM sees it. The slots may be borrowed: `&mut S` implements `Memslots`, too.
///
/// ```
/// # #[cfg(feature = "model")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use vgic_state::GuestMemoryRead;
/// use vgic_state::model::gicv3::{Host, Slots, Vm};
/// use vgic_state::shadow::{ShadowKind, Shadowed};
/// use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
///
/// let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0x4000_0000), 2 << 20)])?;
/// let vm = Vm::new(Host::default(), memory.clone());
/// let mut shadowed = Shadowed::new(&memory, Slots::new(&vm), ShadowKind::Zero);
/// if let Some(slots) = shadowed.divert() {
///     slots.divert(0, &mut |shadow| {
///         // What the kernel writes now, the guest never sees.
///         vm.memory().write_obj(1_u8, GuestAddress(0x4000_0000)).unwrap();
///         let mut byte = [0];
///         assert_eq!((shadow.read(0x4000_0000, &mut byte), byte), (Ok(()), [1]));
///     })?;
/// }
/// assert_eq!(memory.read_obj::<u8>(GuestAddress(0x4000_0000))?, 0);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "model"))]
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shadowed<M, S> {
    memory: M,
    slots: S,
    kind: ShadowKind,
}

impl<M: GuestMemoryRead, S: Memslots> Shadowed<M, S> {
    /// Guest memory that can be diverted to a shadow of a kind.
    #[must_use]
    pub const fn new(memory: M, slots: S, kind: ShadowKind) -> Self {
        Shadowed { memory, slots, kind }
    }

    /// The guest memory.
    #[must_use]
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// Its slots, to change flags or to take dirty logs.
    #[must_use]
    pub const fn slots_mut(&mut self) -> &mut S {
        &mut self.slots
    }

    /// Gives both back.
    #[must_use]
    pub fn into_parts(self) -> (M, S) {
        (self.memory, self.slots)
    }
}

impl<M: GuestMemoryRead, S: Memslots> GuestMemoryRead for Shadowed<M, S> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.memory.read(address, bytes)
    }

    fn ranges(&self) -> Option<Vec<GuestRange>> {
        self.memory.ranges()
    }

    fn diverts(&self) -> bool {
        true
    }

    fn diverted(&self) -> Option<Vec<GuestRange>> {
        let writable = |slot: &Memslot| slot.flags & KVM_MEM_READONLY == 0;
        Some(self.slots.list().iter().filter(|slot| writable(slot)).map(|slot| slot.range).collect())
    }

    fn divert(&mut self) -> Option<&mut dyn Divert> {
        Some(self)
    }
}

impl<M: GuestMemoryRead, S: Memslots> Divert for Shadowed<M, S> {
    fn divert(&mut self, extra: u64, work: &mut dyn FnMut(&mut dyn ShadowMemory)) -> Result<(), ShadowError> {
        let mut window = ShadowWindow::open(&mut self.slots, self.kind, extra)?;
        work(&mut window);
        window.close()
    }
}
