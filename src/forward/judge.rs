//! The judgement of a command, and what becomes of the memory that it names.
//!
//! Source: Arm IHI 0069, "ITS commands"; `drivers/irqchip/irq-gic-v3-its.c` for what synchronises the unmapping of a vPE.
//!
//! Rule: all of a command is judged before anything changes. What is passed on was built from what was judged.

use super::hooks::{Owner, Untrusted};
use super::level1::{Place, TableLevels};
use super::live::{Entry, Halt, Holder, IdTable, Live, State};
use super::policy::{Kind, Policy, fits, is_lpi, overlap};
use super::refusal::CommandRefusal;
use crate::its::command::{ItsCommand, RdBase, Version};
use crate::memory::GuestRange;

#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) policy: Policy<'a>,
    pub(super) live: Live<'a>,
    pub(super) devices: TableLevels<'a>,
    pub(super) vpes: TableLevels<'a>,
}

/// A vPE that `VMAPP` maps.
struct NewVpe {
    vpe: u16,
    rdbase: RdBase,
    vpt: u64,
    vpt_size: u8,
    /// Virtual configuration table and default doorbell: GICv4.1.
    vconf: Option<(u64, u32)>,
    alloc: bool,
    zero: bool,
}

impl Judge<'_> {
    /// The command to pass on instead of this one. `done` is the number of commands that have been executed when it has been.
    pub(super) fn admit(
        &mut self,
        command: ItsCommand,
        done: u64,
        from: &mut (impl Untrusted + ?Sized),
        owner: &mut (impl Owner + ?Sized),
    ) -> Result<ItsCommand, Halt> {
        match command {
            ItsCommand::Movi { device, event, icid } => {
                self.event(device, event)?;
                self.policy.collection(icid)?;
            }
            ItsCommand::Int { device, event }
            | ItsCommand::Clear { device, event }
            | ItsCommand::Inv { device, event }
            | ItsCommand::Discard { device, event } => self.event(device, event)?,
            ItsCommand::Sync { rdbase } => self.policy.target(rdbase)?,
            ItsCommand::Mapd { device, size, itt, valid: true } => self.map_device(device, size, itt, done, from, owner)?,
            ItsCommand::Mapd { device, .. } => {
                self.policy.device(device)?;
                if self.devices.place(IdTable::Devices, device)? != Place::Present {
                    return Err(CommandRefusal::NoLevel2.into());
                }
                self.unmap_device(device, None, done);
                return Ok(ItsCommand::Mapd { device, size: 0, itt: 0, valid: false });
            }
            ItsCommand::Mapc { icid, rdbase, valid } => {
                self.policy.collection(icid)?;
                if !valid {
                    return Ok(ItsCommand::Mapc { icid, rdbase: RdBase::default(), valid });
                }
                self.policy.target(rdbase)?;
            }
            ItsCommand::Mapti { device, event, intid, icid } => {
                self.event(device, event)?;
                self.policy.collection(icid)?;
                self.policy.lpi(intid)?;
            }
            ItsCommand::Mapi { device, event, icid } => {
                self.event(device, event)?;
                self.policy.collection(icid)?;
                self.policy.lpi(event)?;
            }
            ItsCommand::Invall { icid } => self.policy.collection(icid)?,
            ItsCommand::Movall { rdbase1, rdbase2 } => {
                self.policy.target(rdbase1)?;
                self.policy.target(rdbase2)?;
            }
            ItsCommand::Vmovi { device, event, vpe, has_doorbell, doorbell } => {
                self.event(device, event)?;
                self.mapped_vpe(vpe)?;
                let doorbell = self.changed_doorbell(has_doorbell, doorbell)?;
                return Ok(ItsCommand::Vmovi { device, event, vpe, has_doorbell, doorbell });
            }
            ItsCommand::Vmovp { sequence, its_list, vpe, rdbase } => {
                self.mapped_vpe(vpe)?;
                self.policy.target(rdbase)?;
                let (sequence, its_list) = self.policy.its_list(sequence, its_list)?;
                return Ok(ItsCommand::Vmovp { sequence, its_list, vpe, rdbase });
            }
            ItsCommand::Vmovp41 { sequence, its_list, vpe, rdbase, has_doorbell, doorbell } => {
                self.mapped_vpe(vpe)?;
                self.policy.target(rdbase)?;
                let (sequence, its_list) = self.policy.its_list(sequence, its_list)?;
                let doorbell = self.changed_doorbell(has_doorbell, doorbell)?;
                return Ok(ItsCommand::Vmovp41 { sequence, its_list, vpe, rdbase, has_doorbell, doorbell });
            }
            ItsCommand::Vsgi { vpe, .. } | ItsCommand::Vinvall { vpe } | ItsCommand::Invdb { vpe } => drop(self.mapped_vpe(vpe)?),
            ItsCommand::Vsync { vpe } => self.sync_vpe(vpe, done)?,
            ItsCommand::Vmapp { vpe, rdbase, valid: true, vpt, vpt_size } => {
                self.map_vpe(&NewVpe { vpe, rdbase, vpt, vpt_size, vconf: None, alloc: false, zero: false }, from, owner)?;
            }
            ItsCommand::Vmapp { vpe, .. } => {
                // Until a VSYNC, a redistributor may write the table.
                self.unmap_vpe(vpe, State::Kept)?;
                return Ok(ItsCommand::Vmapp { vpe, rdbase: RdBase::default(), valid: false, vpt: 0, vpt_size: 0 });
            }
            ItsCommand::Vmapp41 { alloc, ptz, vconf, doorbell, vpe, rdbase, valid: true, vpt, vpt_size } => {
                // PTZ goes with the first mapping: later, another ITS has the table, and it must not be cleared.
                let ptz = ptz && alloc;
                let new = NewVpe { vpe, rdbase, vpt, vpt_size, vconf: Some((vconf, doorbell)), alloc, zero: ptz };
                self.map_vpe(&new, from, owner)?;
                return Ok(ItsCommand::Vmapp41 { alloc, ptz, vconf, doorbell, vpe, rdbase, valid: true, vpt, vpt_size });
            }
            ItsCommand::Vmapp41 { alloc, vpe, .. } => {
                // The last unmapping synchronises itself; before it, other ITSes have the vPE, and its tables are in use.
                self.unmap_vpe(vpe, if alloc { State::Leaving(done) } else { State::Kept })?;
                if alloc {
                    self.set_vpe(vpe, State::Kept, State::Leaving(done));
                }
                let (rdbase, valid) = (RdBase::default(), false);
                return Ok(ItsCommand::Vmapp41 {
                    alloc,
                    ptz: false,
                    vconf: 0,
                    doorbell: 0,
                    vpe,
                    rdbase,
                    valid,
                    vpt: 0,
                    vpt_size: 0,
                });
            }
            ItsCommand::Vmapti { device, event, vpe, intid, doorbell } => {
                self.virtual_event(device, event, vpe, intid, doorbell)?
            }
            ItsCommand::Vmapi { device, event, vpe, doorbell } => self.virtual_event(device, event, vpe, event, doorbell)?,
        }
        Ok(command)
    }

    /// The device is mapped, and has this event.
    fn event(&self, device: u32, event: u32) -> Result<(), CommandRefusal> {
        self.policy.device(device)?;
        let bits = self.live.device(device).ok_or(CommandRefusal::UnmappedDevice)?;
        fits(event, bits).then_some(()).ok_or(CommandRefusal::EventOutOfRange)
    }

    /// Bits of vINTID of a vPE that is mapped.
    fn mapped_vpe(&self, vpe: u16) -> Result<u32, CommandRefusal> {
        self.policy.vpe(vpe)?;
        match self.live.vpt(vpe) {
            Some((bits, State::Live)) => Ok(bits),
            _ => Err(CommandRefusal::UnmappedVpe),
        }
    }

    fn virtual_event(&self, device: u32, event: u32, vpe: u16, intid: u32, doorbell: u32) -> Result<(), CommandRefusal> {
        self.event(device, event)?;
        let bits = self.mapped_vpe(vpe)?;
        is_lpi(intid, bits).then_some(()).ok_or(CommandRefusal::VirtualIntidOutOfRange)?;
        self.policy.doorbell(doorbell)
    }

    /// The doorbell of a command that may leave it as it is; 0 if it does.
    fn changed_doorbell(&self, changes: bool, doorbell: u32) -> Result<u32, CommandRefusal> {
        if changes { self.policy.doorbell(doorbell).map(|()| doorbell) } else { Ok(0) }
    }

    fn map_device(
        &mut self,
        device: u32,
        size: u8,
        itt: u64,
        done: u64,
        from: &mut (impl Untrusted + ?Sized),
        owner: &mut (impl Owner + ?Sized),
    ) -> Result<(), Halt> {
        self.policy.device(device)?;
        let event_bits = u32::from(size) + 1;
        if event_bits > self.policy.limits.event_bits {
            return Err(CommandRefusal::EventOutOfRange.into());
        }
        let range = self.policy.place(Kind::Itt, itt, u64::from(self.policy.limits.itt_entry_bytes) << event_bits)?;
        let is_this = |entry: &Entry| matches!(entry.holder, Holder::Device { device: id, .. } if id == device);
        let again = self.live.entries().any(|entry| is_this(entry) && entry.range == range);
        if !again {
            self.live.is_free(range, |_| false)?;
            self.live.has_room(1)?;
        }
        self.reach(IdTable::Devices, device, from, owner)?;
        let holder = Holder::Device { device, event_bits };
        if again {
            // The same table: it has never left the ITS.
            for entry in self.live.entries_mut().filter(|entry| is_this(entry) && entry.range == range) {
                (entry.holder, entry.state) = (holder, State::Live);
            }
        } else {
            // The second level may have taken the last place, or this very memory.
            self.live.is_free(range, |_| false)?;
            self.claim(range, holder, owner)?;
        }
        self.unmap_device(device, Some(range), done);
        Ok(())
    }

    /// Lets all tables of a device go but this one.
    fn unmap_device(&mut self, id: u32, but: Option<GuestRange>, done: u64) {
        for entry in self.live.entries_mut().filter(|entry| entry.state == State::Live && Some(entry.range) != but) {
            if matches!(entry.holder, Holder::Device { device, .. } if device == id) {
                entry.state = State::Leaving(done);
            }
        }
    }

    /// Sees to it that the entry of this ID is in a table that the ITS can reach.
    fn reach(
        &mut self,
        which: IdTable,
        id: u32,
        from: &mut (impl Untrusted + ?Sized),
        owner: &mut (impl Owner + ?Sized),
    ) -> Result<(), Halt> {
        let table = match which {
            IdTable::Devices => &self.devices,
            IdTable::Vpes => &self.vpes,
        };
        let (Place::Missing(index), TableLevels::TwoLevel(level1)) = (table.place(which, id)?, table) else { return Ok(()) };
        let address = level1.address(from.level1(which, index).ok_or(CommandRefusal::NoLevel2)?)?;
        let range = self.policy.place(Kind::Level2, address, level1.page_bytes())?;
        self.live.is_free(range, |_| false)?;
        self.claim(range, Holder::Level2 { table: which, index }, owner)?;
        if let (IdTable::Devices, TableLevels::TwoLevel(level1), _) | (IdTable::Vpes, _, TableLevels::TwoLevel(level1)) =
            (which, &mut self.devices, &mut self.vpes)
        {
            level1.set(index, address);
        }
        owner.level1_written(which, index);
        Ok(())
    }

    /// Takes memory that is free.
    fn claim(&mut self, range: GuestRange, holder: Holder, owner: &mut (impl Owner + ?Sized)) -> Result<(), CommandRefusal> {
        self.live.has_room(1)?;
        let new = self.own_granules(range);
        if new.start < new.end && !owner.donate(new, holder) {
            return Err(CommandRefusal::NotDonated);
        }
        // What the ITS owned before, for tables beside this one: in front of the new granules and behind them.
        for (start, end) in [(range.start, range.end.min(new.start)), (range.start.max(new.end), range.end)] {
            if start < end && holder.must_be_zero() {
                owner.clear(GuestRange { start, end }, holder);
            }
        }
        self.live.insert(range, holder).then_some(()).ok_or(CommandRefusal::Full)
    }

    /// The granules of a table that is not in the list in which no table of the list has a byte; empty, at the end of the table, if there
    /// are none. Tables do not overlap: only its first and its last granule can have others.
    fn own_granules(&self, table: GuestRange) -> GuestRange {
        let bytes = self.policy.granule_bytes();
        let mut own = self.policy.granules(table);
        let is_shared = |start| self.live.entries().any(|entry| overlap(entry.range, GuestRange::new(start, bytes)));
        if own.start < own.end && is_shared(own.start) {
            own.start += bytes;
        }
        if own.start < own.end && is_shared(own.end - bytes) {
            own.end -= bytes;
        }
        if own.start < own.end { own } else { GuestRange { start: table.end, end: table.end } }
    }

    fn map_vpe(
        &mut self,
        new: &NewVpe,
        from: &mut (impl Untrusted + ?Sized),
        owner: &mut (impl Owner + ?Sized),
    ) -> Result<(), Halt> {
        let id = new.vpe;
        self.policy.vpe(id)?;
        let state = self.live.vpt(id).map(|(_, state)| state);
        match state {
            Some(State::Live) => return Err(CommandRefusal::MappedVpe.into()),
            // Its tables are in use by another ITS: it cannot be the first mapping.
            Some(State::Kept) if new.alloc => return Err(CommandRefusal::MappedVpe.into()),
            // On its way out: the ITS would keep a table that is not zero.
            Some(State::Leaving(_)) => return Err(Halt::Busy),
            _ => {}
        }
        self.policy.target(new.rdbase)?;
        let intid_bits = u32::from(new.vpt_size) + 1;
        if !(14..=self.policy.limits.intid_bits).contains(&intid_bits) {
            return Err(CommandRefusal::VirtualIntidOutOfRange.into());
        }
        let vpt = self.policy.place(Kind::Vpt, new.vpt, (1 << intid_bits) / 8)?;
        let is_vpt = |entry: &Entry| matches!(entry.holder, Holder::Vpt { vpe, .. } if vpe == id) && entry.range == vpt;
        let again = !new.zero && self.live.entries().any(is_vpt);
        if !again && state == Some(State::Kept) && new.vconf.is_some() {
            // GICv4.1: on all ITSes, a vPE has one pending table.
            return Err(CommandRefusal::MappedVpe.into());
        }
        let vconf = match new.vconf {
            Some((address, doorbell)) => {
                self.policy.doorbell(doorbell)?;
                // A byte for each virtual LPI.
                Some(self.policy.place(Kind::Vconf, address, (1 << intid_bits) - u64::from(crate::its::FIRST_LPI))?)
            }
            None => None,
        };
        if vconf.is_some_and(|vconf| overlap(vconf, vpt)) {
            return Err(CommandRefusal::Overlap.into());
        }
        self.vpe_is_free(id, vpt, vconf, again)?;
        self.live.has_room(self.places(id, vconf, again))?;
        self.reach(IdTable::Vpes, id.into(), from, owner)?;
        // The second level may have taken places, or this very memory.
        self.vpe_is_free(id, vpt, vconf, again)?;
        self.live.has_room(self.places(id, vconf, again))?;

        let holder = Holder::Vpt { vpe: id, intid_bits, zero: new.zero };
        if !again && !owner.donate(vpt, holder) {
            return Err(CommandRefusal::NotDonated.into());
        }
        if let Some(range) = vconf {
            let holder = Holder::Vconf { vpe: id };
            if !self.live.entries().any(|entry| is_vconf(entry, range)) && !owner.donate(range, holder) {
                if !again {
                    owner.release(vpt, Holder::Vpt { vpe: id, intid_bits, zero: new.zero });
                }
                return Err(CommandRefusal::NotDonated.into());
            }
            self.live.take(|entry| entry.holder == holder && entry.range == range);
            self.live.insert(range, holder);
        }
        if again {
            self.live.take(is_vpt);
        }
        self.live.insert(vpt, holder);
        Ok(())
    }

    /// How many places in the list the tables of a vPE need that are not in it already.
    fn places(&self, vpe: u16, vconf: Option<GuestRange>, again: bool) -> usize {
        let listed = |range| self.live.entries().any(|entry| entry.holder == Holder::Vconf { vpe } && entry.range == range);
        usize::from(!again) + usize::from(vconf.is_some_and(|range| !listed(range)))
    }

    fn vpe_is_free(&self, id: u16, vpt: GuestRange, vconf: Option<GuestRange>, again: bool) -> Result<(), Halt> {
        let mine = |entry: &Entry| again && entry.range == vpt && matches!(entry.holder, Holder::Vpt { vpe, .. } if vpe == id);
        self.live.is_free(vpt, mine)?;
        match vconf {
            Some(range) => self.live.is_free(range, |entry| is_vconf(entry, range)),
            None => Ok(()),
        }
    }

    fn unmap_vpe(&mut self, vpe: u16, state: State) -> Result<(), CommandRefusal> {
        self.mapped_vpe(vpe)?;
        self.set_vpe(vpe, State::Live, state);
        Ok(())
    }

    /// With GICv4.0, the tables of a vPE that was unmapped are free when the `VSYNC` that follows has been executed.
    fn sync_vpe(&mut self, vpe: u16, done: u64) -> Result<(), CommandRefusal> {
        self.policy.vpe(vpe)?;
        self.live.vpt(vpe).ok_or(CommandRefusal::UnmappedVpe)?;
        if self.policy.limits.version == Version::V40 {
            self.set_vpe(vpe, State::Kept, State::Leaving(done));
        }
        Ok(())
    }

    pub(super) fn set_vpe(&mut self, id: u16, from: State, to: State) {
        for entry in self.live.entries_mut().filter(|entry| entry.state == from) {
            if matches!(entry.holder, Holder::Vpt { vpe, .. } | Holder::Vconf { vpe } if vpe == id) {
                entry.state = to;
            }
        }
    }

    /// Gives back what has left the ITS now that this many commands have been executed.
    pub(super) fn release(&mut self, executed: u64, owner: &mut (impl Owner + ?Sized)) {
        let gone = |entry: &Entry| matches!(entry.state, State::Leaving(done) if done <= executed);
        self.give_back(gone, owner);
    }

    pub(super) fn give_back(&mut self, which: impl Fn(&Entry) -> bool, owner: &mut (impl Owner + ?Sized)) {
        for _ in 0..self.live.0.len() {
            let Some(entry) = self.live.take(&which) else { return };
            // A configuration table that other vPEs have stays.
            let shared = matches!(entry.holder, Holder::Vconf { .. });
            // So do granules that other tables have.
            let range = self.own_granules(entry.range);
            if range.start < range.end && (!shared || !self.live.entries().any(|other| is_vconf(other, entry.range))) {
                owner.release(range, entry.holder);
            }
        }
    }
}

fn is_vconf(entry: &Entry, range: GuestRange) -> bool {
    matches!(entry.holder, Holder::Vconf { .. }) && entry.range == range
}
