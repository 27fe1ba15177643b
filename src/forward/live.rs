//! The memory that belongs to an ITS now: a list of fixed length.
//!
//! Rule: memory is the ITS's from before the command that gives it is passed on until after the command that takes it has been
//! executed. Nothing else may use it in between.

use super::policy::overlap;
use super::refusal::CommandRefusal;
use crate::memory::GuestRange;

/// A table in two levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdTable {
    /// By DeviceID.
    Devices,
    /// By vPEID.
    Vpes,
}

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Holder {
    /// Interrupt translation table. The ITS reads and writes it.
    Device {
        /// DeviceID.
        device: u32,
        /// Bits of EventID, 1 to 32.
        event_bits: u32,
    },
    /// Second level of a table. The ITS reads and writes it.
    Level2 {
        /// Which table.
        table: IdTable,
        /// Its entry in the first level.
        index: u32,
    },
    /// Virtual pending table. ITS and redistributors read and write it.
    Vpt {
        /// vPEID.
        vpe: u16,
        /// Bits of vINTID, 14 to 32.
        intid_bits: u32,
        /// `VMAPP.PTZ`: the hardware was told that it is zero.
        zero: bool,
    },
    /// Virtual configuration table. ITS and redistributors read it; vPEs of one VM share it.
    Vconf {
        /// vPEID of the first vPE that came with it.
        vpe: u16,
    },
}

impl Holder {
    /// The memory has to be zero when the ITS gets it. **Whoever hands it over has to make it so after its former owner has lost it**: a
    /// second level with contents is a table of devices that nobody has judged.
    ///
    /// A pending table without `VMAPP.PTZ` may hold what the hardware once wrote there, in a layout of its own. It need not be zero, but
    /// an owner who cannot tell where its contents are from does well to clear it.
    #[must_use]
    pub const fn must_be_zero(&self) -> bool {
        matches!(self, Holder::Device { .. } | Holder::Level2 { .. } | Holder::Vpt { zero: true, .. })
    }

    /// The ITS writes the memory: nobody else may.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        !matches!(self, Holder::Vconf { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Mapped.
    Live,
    /// Unmapped, but not given back: another ITS may use it (GICv4.1), or a `VSYNC` is missing (GICv4.0).
    Kept,
    /// Given back as soon as this many commands have been executed.
    Leaving(u64),
}

/// A place in the list of live ranges. The caller provides an array of [`LiveRange::EMPTY`], one for each table that may be live at the
/// same time: each device, each second level, two for each vPE, and some for those that are on their way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRange(Option<Entry>);

impl LiveRange {
    /// Nothing.
    pub const EMPTY: LiveRange = LiveRange(None);

    /// The memory that the table has for itself and what it is used for.
    #[must_use]
    pub fn get(&self) -> Option<(GuestRange, Holder)> {
        self.0.map(|entry| (entry.range, entry.holder))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) range: GuestRange,
    pub(super) holder: Holder,
    pub(super) state: State,
}

/// Why memory cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    Refused(CommandRefusal),
    /// It leaves the ITS with a command that has been passed on and not executed yet.
    Busy,
}

impl From<CommandRefusal> for Halt {
    fn from(refusal: CommandRefusal) -> Self {
        Halt::Refused(refusal)
    }
}

/// The list.
#[derive(Debug)]
pub(super) struct Live<'a>(pub(super) &'a mut [LiveRange]);

impl Live<'_> {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter_map(|live| live.0.as_ref())
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut().filter_map(|live| live.0.as_mut())
    }

    /// Bits of EventID of a device that is mapped.
    pub(super) fn device(&self, id: u32) -> Option<u32> {
        self.entries().find_map(|entry| match entry.holder {
            Holder::Device { device, event_bits } if device == id && entry.state == State::Live => Some(event_bits),
            _ => None,
        })
    }

    /// The virtual pending table of a vPE, mapped or not. If there is more than one, that which is mapped.
    pub(super) fn vpt(&self, id: u16) -> Option<(u32, State)> {
        let of = |entry: &Entry| match entry.holder {
            Holder::Vpt { vpe, intid_bits, .. } if vpe == id => Some((intid_bits, entry.state)),
            _ => None,
        };
        let mapped = self.entries().filter_map(of).find(|(_, state)| *state == State::Live);
        mapped.or_else(|| self.entries().find_map(of))
    }

    /// That many places are free.
    pub(super) fn has_room(&self, count: usize) -> Result<(), CommandRefusal> {
        (self.0.iter().filter(|live| live.0.is_none()).take(count).count() == count).then_some(()).ok_or(CommandRefusal::Full)
    }

    /// No table has a byte of this range, but for those that `ignore` says.
    pub(super) fn is_free(&self, range: GuestRange, ignore: impl Fn(&Entry) -> bool) -> Result<(), Halt> {
        let mut result = Ok(());
        for entry in self.entries().filter(|entry| overlap(entry.range, range) && !ignore(entry)) {
            match entry.state {
                State::Leaving(_) => result = Err(Halt::Busy),
                State::Live | State::Kept => return Err(CommandRefusal::Overlap.into()),
            }
        }
        result
    }

    /// Puts an entry into a free place; gives false if there is none.
    pub(super) fn insert(&mut self, range: GuestRange, holder: Holder) -> bool {
        let Some(place) = self.0.iter_mut().find(|live| live.0.is_none()) else { return false };
        place.0 = Some(Entry { range, holder, state: State::Live });
        true
    }

    /// Removes the first entry for which this holds.
    pub(super) fn take(&mut self, which: impl Fn(&Entry) -> bool) -> Option<Entry> {
        self.0.iter_mut().find(|live| live.0.as_ref().is_some_and(&which))?.0.take()
    }
}
