//! A window of time in which KVM sees shadow memory in the VM's slots.
//!
//! Source: Documentation/virt/kvm/api.rst, `KVM_SET_USER_MEMORY_REGION`, `KVM_GET_DIRTY_LOG`; `virt/kvm/kvm_main.c`,
//! `kvm_set_memory_region`; `arch/arm64/kvm/mmu.c`, `kvm_arch_prepare_memory_region`.
//!
//! Rule: everything is looked at and all memory is mapped before the first slot changes; a slot that has changed is put back, whatever
//! happens to the others.

use super::kind::ShadowKind;
use super::pagemap::Pagemap;
use super::region::Shadow;
use super::slots::{Memslot, Memslots};
use super::{ShadowError, ShadowMemory, ShadowStep, mapping};
use crate::Errno;
use crate::memory::{GuestMemoryRead, GuestRange, MemoryError, join};
use crate::uapi::memory::{KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY};
use core::fmt;
use std::sync::Arc;

/// The largest page of an ITS table: where extra memory begins, and what it is a multiple of.
const GRANULE: u64 = 64 << 10;

/// What `GITS_BASERn` can hold, whatever the page size: 48 bits.
const ADDRESS_END: u64 = 1 << 48;

/// How much a copy-on-write shadow can be made to [clear](ShadowMemory::clear): each page of it is one more page of memory.
const CLEAR_MAX: u64 = 64 << 20;

/// While a window exists, KVM's accesses to the writable slots of a VM go to shadow memory. **No vCPU may run.**
///
/// Dropping it gives the slots their own memory back, as [`ShadowWindow::close`] does, but cannot report a failure.
///
/// Slots are deleted and created again: the guest's accesses after that find its memory as it was, but each page is mapped again when
/// the guest touches it first. With `KVM_DIRTY_LOG_INITIALLY_SET`, the kernel's log says that all pages are dirty. Read-only slots are
/// left as they are; [`ShadowMemory`] has nothing at their addresses.
///
/// A window takes one file descriptor, and a zero shadow of a file one for each slot and one more. After `mlockall` with `MCL_FUTURE`
/// and without `MCL_ONFAULT`, the kernel would allocate the whole shadow.
///
/// System calls, for a seccomp filter, are in `docs/seccomp.md`; beside them, what the [`Memslots`] do.
pub struct ShadowWindow<'a, S: Memslots> {
    slots: &'a mut S,
    kind: ShadowKind,
    /// By guest physical address.
    diverted: Vec<Diverted>,
    extra: GuestRange,
    /// Bytes that can be cleared yet.
    clearable: u64,
    pagemap: Result<Arc<Pagemap>, Errno>,
}

#[derive(Debug)]
struct Diverted {
    slot: Memslot,
    shadow: Shadow,
    over: Over,
    /// What the kernel has forgotten.
    log: Option<Vec<u64>>,
    /// Addresses behind the slot, up to the next one.
    gap_end: u64,
}

/// What a slot is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Guest,
    Deleted,
    Shadow,
    Lost,
}

impl<'a, S: Memslots> ShadowWindow<'a, S> {
    /// Diverts all writable slots.
    ///
    /// With `extra`, there is memory for so many bytes more (rounded up to 64 KiB) at [`ShadowMemory::extra`], 64 KiB aligned, below
    /// 2^48 and outside all slots: one slot's shadow is longer than the slot. It reads as zeros.
    ///
    /// # Errors
    ///
    /// Before any slot changes:
    /// - [`ShadowError::Slots`], [`ShadowError::Flags`]: the slots are not what a VM can have, or not what can be put back.
    /// - [`ShadowError::NotShared`], [`ShadowError::HugePages`]: copy on write; such memory cannot be shadowed.
    /// - [`ShadowError::Step`] with [`ShadowStep::Map`], [`ShadowStep::DirtyLog`].
    ///
    /// When slots have been put back:
    /// - [`ShadowError::NoRoom`]: the extra memory fits behind no slot.
    /// - [`ShadowError::Step`] with [`ShadowStep::Delete`], [`ShadowStep::Create`].
    ///
    /// [`ShadowError::Lost`]: a slot could not be put back; the others have been.
    pub fn open(slots: &'a mut S, kind: ShadowKind, extra: u64) -> Result<Self, ShadowError> {
        let pagemap = Pagemap::open().map(Arc::new);
        let mut diverted = Vec::new();
        for (slot, gap_end) in check(slots.list())? {
            let shadow = Shadow::map(&slot, kind, slot.range.end, &pagemap)?;
            diverted.push(Diverted { slot, shadow, over: Over::Guest, log: None, gap_end });
        }
        let mut window = ShadowWindow { slots, kind, diverted, extra: GuestRange::new(0, 0), clearable: CLEAR_MAX, pagemap };
        match window.divert(extra) {
            Ok(()) => Ok(window),
            Err(error) => {
                window.put_back()?;
                Err(error)
            }
        }
    }

    /// Gives the slots their own memory back.
    ///
    /// # Errors
    ///
    /// [`ShadowError::Lost`]: a slot could not be put back; the others have been. Its shadow stays mapped for ever, since the kernel
    /// may still use it.
    pub fn close(mut self) -> Result<(), ShadowError> {
        self.put_back()
    }

    /// The pages that may hold something else than they did when the window was opened, in guest physical addresses, sorted and
    /// joined.
    ///
    /// Among them may be pages that were [cleared](ShadowMemory::clear), and pages of zeros that were only read (a zero shadow of a file;
    /// any before Linux 6.7, where 8 bytes are read for every page of the VM). After `mlockall`, all pages are.
    ///
    /// # Errors
    ///
    /// [`ShadowError::Step`] with [`ShadowStep::File`]: what was written cannot be found: of a copy-on-write shadow, where
    /// `/proc/thread-self/pagemap` cannot be read.
    pub fn written(&self) -> Result<Vec<GuestRange>, ShadowError> {
        let mut found = Vec::new();
        for diverted in &self.diverted {
            let failed = |errno| ShadowError::Step { step: ShadowStep::File, slot: diverted.slot.slot, errno };
            found.extend(diverted.shadow.written().map_err(failed)?);
        }
        Ok(join(found))
    }

    fn divert(&mut self, extra: u64) -> Result<(), ShadowError> {
        for diverted in &mut self.diverted {
            diverted.fetch_log(self.slots)?;
        }
        if extra != 0 {
            self.extra = self.divert_with(extra)?;
        }
        for diverted in self.diverted.iter_mut().filter(|diverted| diverted.over == Over::Guest) {
            diverted.enter(self.slots)?;
        }
        Ok(())
    }

    /// Diverts one slot to a shadow with extra memory, the one at the highest address that can have it: below, there may be slots that
    /// are not listed and devices.
    fn divert_with(&mut self, extra: u64) -> Result<GuestRange, ShadowError> {
        let no_room = ShadowError::NoRoom { bytes: extra };
        let bytes = extra.checked_next_multiple_of(GRANULE).ok_or(no_room)?;
        for diverted in self.diverted.iter_mut().rev() {
            let room =
                diverted.slot.range.end.checked_next_multiple_of(GRANULE).and_then(|start| Some(start..start.checked_add(bytes)?));
            let Some(room) = room.filter(|room| room.end <= diverted.gap_end.min(ADDRESS_END)) else { continue };
            let longer = Shadow::map(&diverted.slot, self.kind, room.end, &self.pagemap)?;
            let usual = core::mem::replace(&mut diverted.shadow, longer);
            match diverted.enter(self.slots) {
                Ok(()) => return Ok(GuestRange { start: room.start, end: room.end }),
                // A slot that is not listed is in the way, or this is more than the guest's address space.
                Err(ShadowError::Step {
                    step: ShadowStep::Create, errno: Errno::EEXIST | Errno::EINVAL | Errno::EFAULT, ..
                }) => {
                    diverted.leave(self.slots)?;
                    diverted.shadow = usual;
                }
                Err(error) => return Err(error),
            }
        }
        Err(no_room)
    }

    /// All slots, whatever happens to one of them; the first error. Does nothing for slots that have been put back.
    fn put_back(&mut self) -> Result<(), ShadowError> {
        let mut result = Ok(());
        for diverted in self.diverted.iter_mut().rev() {
            let left = diverted.leave(self.slots);
            if let Some(log) = diverted.log.take() {
                self.slots.merge_dirty_log(diverted.slot.slot, log);
            }
            result = result.and(left);
        }
        result
    }

    /// Does something to the part of a range in each slot, as far as that can be done and there is a slot.
    fn each(
        &self,
        range: GuestRange,
        mut work: impl FnMut(&Shadow, GuestRange) -> Result<(), MemoryError>,
    ) -> Result<(), MemoryError> {
        let mut address = range.start;
        while address < range.end {
            let before = self.diverted.partition_point(|diverted| diverted.shadow.range().end <= address);
            let shadow = self.diverted.get(before).map(|diverted| &diverted.shadow).ok_or(MemoryError::NotMemory)?;
            let part = GuestRange { start: address, end: range.end.min(shadow.range().end) };
            if shadow.range().start > address {
                return Err(MemoryError::NotMemory);
            }
            work(shadow, part)?;
            address = part.end;
        }
        Ok(())
    }
}

impl Diverted {
    fn step(&self, step: ShadowStep) -> impl Fn(Errno) -> ShadowError + use<> {
        let slot = self.slot.slot;
        move |errno| ShadowError::Step { step, slot, errno }
    }

    fn fetch_log<S: Memslots>(&mut self, slots: &mut S) -> Result<(), ShadowError> {
        if self.slot.flags & KVM_MEM_LOG_DIRTY_PAGES != 0 {
            self.log = slots.dirty_log(self.slot.slot).map_err(self.step(ShadowStep::DirtyLog))?;
        }
        Ok(())
    }

    fn enter<S: Memslots>(&mut self, slots: &mut S) -> Result<(), ShadowError> {
        slots.delete(self.slot.slot).map_err(self.step(ShadowStep::Delete))?;
        self.over = Over::Deleted;
        slots.create_over_shadow(self.slot.slot, self.shadow.region()).map_err(self.step(ShadowStep::Create))?;
        self.over = Over::Shadow;
        Ok(())
    }

    fn leave<S: Memslots>(&mut self, slots: &mut S) -> Result<(), ShadowError> {
        let slot = self.slot.slot;
        if self.over == Over::Shadow {
            slots.delete(slot).map_err(|errno| self.lose(ShadowStep::Delete, errno))?;
            self.over = Over::Deleted;
        }
        if self.over == Over::Deleted {
            slots.create_over_guest(slot).map_err(|errno| self.lose(ShadowStep::Create, errno))?;
            self.over = Over::Guest;
        }
        Ok(())
    }

    /// The slot may still be over the shadow, and the kernel would write to whatever is mapped there next.
    fn lose(&mut self, step: ShadowStep, errno: Errno) -> ShadowError {
        self.over = Over::Lost;
        self.shadow.leak();
        ShadowError::Lost { step, slot: self.slot.slot, errno }
    }
}

/// The writable slots in order of their addresses, and where the next slot begins.
fn check(mut slots: Vec<Memslot>) -> Result<Vec<(Memslot, u64)>, ShadowError> {
    let page = mapping::page_size();
    for slot in &slots {
        let (range, flags, slot) = (slot.range, slot.flags, slot.slot);
        if flags & !(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY) != 0 {
            return Err(ShadowError::Flags { slot, flags });
        }
        if range.start >= range.end || range.start % page != 0 || range.end % page != 0 {
            return Err(ShadowError::Slots { slot });
        }
    }
    slots.sort_by_key(|slot| slot.slot);
    if let Some((again, _)) = slots.iter().zip(slots.iter().skip(1)).find(|(slot, next)| slot.slot == next.slot) {
        return Err(ShadowError::Slots { slot: again.slot });
    }
    slots.sort_by_key(|slot| slot.range.start);
    let mut checked: Vec<(Memslot, u64)> = Vec::new();
    for slot in slots {
        if let Some((before, gap_end)) = checked.last_mut() {
            if before.range.end > slot.range.start {
                return Err(ShadowError::Slots { slot: slot.slot });
            }
            *gap_end = slot.range.start;
        }
        checked.push((slot, u64::MAX));
    }
    checked.retain(|(slot, _)| slot.flags & KVM_MEM_READONLY == 0);
    Ok(checked)
}

impl<S: Memslots> GuestMemoryRead for ShadowWindow<'_, S> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.each(range_of(address, bytes)?, |shadow, part| {
            let bytes = offsets(part, address).and_then(|at| bytes.get_mut(at)).ok_or(MemoryError::NotMemory)?;
            shadow.read(part.start, bytes)
        })
    }
}

impl<S: Memslots> ShadowMemory for ShadowWindow<'_, S> {
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        self.each(range_of(address, bytes)?, |shadow, part| {
            let bytes = offsets(part, address).and_then(|at| bytes.get(at)).ok_or(MemoryError::NotMemory)?;
            shadow.write(part.start, bytes)
        })
    }

    fn clear(&mut self, range: GuestRange) -> Result<bool, Errno> {
        if self.each(range, |_, _| Ok(())).is_err() {
            return Ok(false);
        }
        if self.kind == ShadowKind::CopyOnWrite {
            match self.clearable.checked_sub(range.end.saturating_sub(range.start)) {
                Some(left) => self.clearable = left,
                None => return Ok(false),
            }
        }
        match self.each(range, Shadow::clear) {
            Ok(()) => Ok(true),
            Err(MemoryError::NotMemory) => Ok(false),
            Err(MemoryError::Failed(errno)) => Err(errno),
        }
    }

    fn data(&self, within: GuestRange) -> Option<GuestRange> {
        self.diverted.iter().find_map(|diverted| {
            let shadow = diverted.shadow.range();
            let part = GuestRange { start: within.start.max(shadow.start), end: within.end.min(shadow.end) };
            if part.start < part.end { diverted.shadow.data(part) } else { None }
        })
    }

    fn is_zeroed(&self) -> bool {
        self.kind == ShadowKind::Zero
    }

    fn extra(&self) -> GuestRange {
        self.extra
    }
}

/// No memory, if it leaves the address space.
fn range_of(address: u64, bytes: &[u8]) -> Result<GuestRange, MemoryError> {
    let end = address.checked_add(bytes.len() as u64).ok_or(MemoryError::NotMemory)?;
    Ok(GuestRange { start: address, end })
}

/// Where in the bytes at `address` a part of them is.
fn offsets(part: GuestRange, address: u64) -> Option<core::ops::Range<usize>> {
    let offset = |end: u64| usize::try_from(end.checked_sub(address)?).ok();
    Some(offset(part.start)?..offset(part.end)?)
}

impl<S: Memslots> Drop for ShadowWindow<'_, S> {
    fn drop(&mut self) {
        // Whoever wants to know closes the window.
        let _ = self.put_back();
    }
}

impl<S: Memslots> fmt::Debug for ShadowWindow<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShadowWindow")
            .field("kind", &self.kind)
            .field("diverted", &self.diverted)
            .field("extra", &self.extra)
            .finish_non_exhaustive()
    }
}
