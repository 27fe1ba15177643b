//! The two queues: one that is not trusted, and one that the ITS reads.
//!
//! Source: Arm IHI 0069, `GITS_CBASER`, `GITS_CREADR`, `GITS_CWRITER`.
//!
//! Rule: a command is fetched once for each judgement; what is passed on is that copy, encoded anew.

use super::hooks::{Owner, Untrusted};
use super::judge::Judge;
use super::level1::TableLevels;
use super::live::{Halt, Holder, Live, LiveRange, State};
use super::policy::Policy;
use super::refusal::{CommandRefusal, Refused};
use super::{OnRefusal, SetupError};
use crate::its::command::{COMMAND_BYTES, ItsCommand, words};
use crate::memory::GuestRange;
use crate::uapi::vgic_v3::its::GITS_CMD_OFFSET;

/// `GITS_CREADR.Stalled`, `GITS_CWRITER.Retry`.
const STALLED: u64 = 1;
/// 256 pages of 4 KiB: the longest queue there is.
const MAX_BYTES: u64 = 1 << 20;

/// Memory of the trusted layer.
#[derive(Debug)]
pub struct Storage<'a> {
    /// The queue that the ITS reads; for a real ITS a multiple of 4 KiB, 128 commands.
    pub queue: &'a mut [[u64; 4]],
    /// Room for live ranges. It is emptied.
    pub live: &'a mut [LiveRange],
    /// The device table.
    pub devices: TableLevels<'a>,
    /// The table of vPEs; `TableLevels::Flat(0)` without GICv4.
    pub vpes: TableLevels<'a>,
}

/// Takes commands from a queue that is not trusted to one that an ITS reads. One for each ITS.
///
/// It allocates nothing, waits for nothing, and takes at most [`Policy::batch`] commands at a time, each in a time that is proportional
/// to the length of the list of live ranges.
#[derive(Debug)]
pub struct Forwarder<'a> {
    judge: Judge<'a>,
    queue: &'a mut [[u64; 4]],
    /// Bytes of the untrusted queue.
    bytes: u64,
    /// Offset of the next command to take.
    taken: u64,
    /// Offset up to which all commands have been executed or refused.
    completed: u64,
    /// When so many have been executed, all before this offset of the untrusted queue are complete.
    mark: (u64, u64),
    /// Commands passed on, and executed, from the beginning.
    passed: u64,
    executed: u64,
    /// A command that was fetched and has to wait.
    held: Option<[u64; 4]>,
    stalled: Option<Refused>,
}

/// How far commands were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Why no more were taken.
    pub stop: Stop,
    /// How many were passed on.
    pub passed: u32,
    /// How many were refused.
    pub refused: u32,
}

/// Why no more commands were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// There are no more.
    Done,
    /// As many as the policy allows at a time were looked at.
    Batch,
    /// The trusted queue is full: call again after [`Forwarder::retire`].
    Full,
    /// The next command needs memory that leaves the ITS with a command that it has not executed: call again after
    /// [`Forwarder::retire`]. The command is kept, and not fetched again.
    Busy,
    /// The queue is stalled at this command.
    Stalled(Refused),
    /// `GITS_CWRITER` is not in the queue. Nothing was fetched.
    WriterOutside {
        /// `GITS_CWRITER.Offset`, in bytes.
        offset: u64,
    },
    /// The command at this offset could not be fetched. A later call tries again.
    Unreadable {
        /// In bytes from the start of the untrusted queue.
        offset: u64,
    },
}

/// `GITS_CREADR` of the ITS is not between the commands that were executed and those that were passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("GITS_CREADR is {creadr:#x}, where no command was passed on")]
pub struct NotPassedOn {
    /// `GITS_CREADR` of the ITS.
    pub creadr: u64,
}

impl<'a> Forwarder<'a> {
    /// Both queues are empty, at offset 0, and the ITS owns nothing. `bytes`: of the untrusted queue, (`GITS_CBASER.Size` + 1) × 4 KiB.
    ///
    /// # Errors
    ///
    /// [`SetupError`]: a length or a limit that no ITS has.
    pub fn new(policy: Policy<'a>, storage: Storage<'a>, bytes: u64) -> Result<Self, SetupError> {
        let Storage { queue, live, devices, vpes } = storage;
        policy.check()?;
        if !(2 * COMMAND_BYTES..=MAX_BYTES).contains(&bytes) || !bytes.is_multiple_of(COMMAND_BYTES) {
            return Err(SetupError::UntrustedQueue);
        }
        if !(2..=MAX_BYTES / COMMAND_BYTES).contains(&(queue.len() as u64)) {
            return Err(SetupError::TrustedQueue);
        }
        live.fill(LiveRange::EMPTY);
        let judge = Judge { policy, live: Live(live), devices, vpes };
        let (taken, completed, mark, passed, executed, held, stalled) = (0, 0, (0, 0), 0, 0, None, None);
        Ok(Forwarder { judge, queue, bytes, taken, completed, mark, passed, executed, held, stalled })
    }

    /// Takes commands up to `cwriter`, the untrusted `GITS_CWRITER`: bits `[19:5]`, and Retry (bit 0). Afterwards, if commands were
    /// passed on, [`Forwarder::cwriter`] is for the `GITS_CWRITER` of the ITS.
    pub fn forward(&mut self, cwriter: u64, from: &mut (impl Untrusted + ?Sized), owner: &mut (impl Owner + ?Sized)) -> Progress {
        let mut progress = Progress { stop: Stop::Batch, passed: 0, refused: 0 };
        let end = cwriter & GITS_CMD_OFFSET;
        progress.stop = if end >= self.bytes {
            Stop::WriterOutside { offset: end }
        } else {
            match self.stalled {
                Some(refused) if cwriter & STALLED == 0 => Stop::Stalled(refused),
                _ => {
                    self.stalled = None;
                    self.take(end, from, owner, &mut progress)
                }
            }
        };
        self.update();
        progress
    }

    fn take(
        &mut self,
        end: u64,
        from: &mut (impl Untrusted + ?Sized),
        owner: &mut (impl Owner + ?Sized),
        progress: &mut Progress,
    ) -> Stop {
        for _ in 0..self.judge.policy.batch {
            if self.taken == end {
                return Stop::Done;
            }
            // One place stays empty: a full queue would look like an empty one.
            if self.passed.wrapping_sub(self.executed) + 1 >= self.queue.len() as u64 {
                return Stop::Full;
            }
            let fetched = match self.held.take() {
                Some(held) => held,
                None => match from.fetch(self.taken) {
                    Some(bytes) => words(&bytes),
                    None => return Stop::Unreadable { offset: self.taken },
                },
            };
            match self.judge(fetched, from, owner) {
                Ok(command) => {
                    self.push(command);
                    progress.passed += 1;
                }
                Err((Halt::Busy, _)) => {
                    self.held = Some(fetched);
                    return Stop::Busy;
                }
                Err((Halt::Refused(refusal), command)) => {
                    let refused = Refused { offset: self.taken, words: fetched, command, refusal };
                    owner.refused(&refused);
                    progress.refused += 1;
                    if self.judge.policy.on_refusal == OnRefusal::Stall {
                        self.stalled = Some(refused);
                        return Stop::Stalled(refused);
                    }
                }
            }
            self.taken += COMMAND_BYTES;
            if self.taken >= self.bytes {
                self.taken = 0;
            }
        }
        if self.taken == end { Stop::Done } else { Stop::Batch }
    }

    fn judge(
        &mut self,
        words: [u64; 4],
        from: &mut (impl Untrusted + ?Sized),
        owner: &mut (impl Owner + ?Sized),
    ) -> Result<ItsCommand, (Halt, Option<ItsCommand>)> {
        let policy = &self.judge.policy;
        let decoded = ItsCommand::decode(words, policy.limits.version).map_err(|_| (CommandRefusal::Unknown.into(), None))?;
        if policy.strict && decoded.reserved != [0; 4] {
            return Err((CommandRefusal::Reserved.into(), Some(decoded.command)));
        }
        let done = self.passed.wrapping_add(1);
        self.judge.admit(decoded.command, done, from, owner).map_err(|halt| (halt, Some(decoded.command)))
    }

    fn push(&mut self, command: ItsCommand) {
        let place = self.slot(self.passed);
        if let Some(place) = self.queue.get_mut(place) {
            *place = command.encode().map(u64::to_le);
        }
        self.passed = self.passed.wrapping_add(1);
    }

    fn slot(&self, count: u64) -> usize {
        (count % self.queue.len().max(1) as u64) as usize
    }

    /// The ITS has executed all commands before `creadr`, its `GITS_CREADR` (bits `[19:5]`): memory that left it is given back.
    ///
    /// # Errors
    ///
    /// [`NotPassedOn`]: no command was passed on there. Nothing has changed.
    pub fn retire(&mut self, creadr: u64, owner: &mut (impl Owner + ?Sized)) -> Result<(), NotPassedOn> {
        let length = self.queue.len() as u64;
        let slot = (creadr & GITS_CMD_OFFSET) / COMMAND_BYTES;
        let distance = (slot + length - self.slot(self.executed) as u64) % length.max(1);
        if slot >= length || distance > self.passed.wrapping_sub(self.executed) {
            return Err(NotPassedOn { creadr });
        }
        self.executed = self.executed.wrapping_add(distance);
        self.judge.release(self.executed, owner);
        self.update();
        Ok(())
    }

    fn update(&mut self) {
        if self.executed == self.passed {
            (self.completed, self.mark) = (self.taken, (self.passed, self.taken));
        } else if self.executed >= self.mark.0 {
            (self.completed, self.mark) = (self.mark.1, (self.passed, self.taken));
        }
    }

    /// `GITS_CREADR` for the untrusted side: all commands before it have been executed or refused. It may be behind, and it catches up
    /// when the ITS has executed everything. Stalled (bit 0) is set where the next command was refused.
    #[must_use]
    pub fn creadr(&self) -> u64 {
        let stalled = self.stalled.is_some() && self.completed == self.taken;
        self.completed | if stalled { STALLED } else { 0 }
    }

    /// `GITS_CWRITER` for the ITS.
    #[must_use]
    pub fn cwriter(&self) -> u64 {
        self.slot(self.passed) as u64 * COMMAND_BYTES
    }

    /// The queue that the ITS reads: little-endian words.
    #[must_use]
    pub fn queue(&self) -> &[[u64; 4]] {
        self.queue
    }

    /// The device table.
    #[must_use]
    pub fn devices(&self) -> &TableLevels<'a> {
        &self.judge.devices
    }

    /// The table of vPEs.
    #[must_use]
    pub fn vpes(&self) -> &TableLevels<'a> {
        &self.judge.vpes
    }

    /// The tables that the ITS has, each with the memory that it has for itself: an interrupt translation table its bytes, any other its
    /// granules. A configuration table once for each vPE.
    pub fn live(&self) -> impl Iterator<Item = (GuestRange, Holder)> {
        self.judge.live.entries().map(|entry| (entry.range, entry.holder))
    }

    /// No ITS has this vPE any more: gives back the tables that this one kept, because it was not the last to unmap it (`VMAPP` with V = 0
    /// and Alloc = 0, GICv4.1).
    pub fn release_vpe(&mut self, vpe: u16, owner: &mut (impl Owner + ?Sized)) {
        self.judge.set_vpe(vpe, State::Kept, State::Leaving(self.passed));
        self.judge.release(self.executed, owner);
    }

    /// Gives back all memory, empties both queues, and takes the second levels out of the tables. **Only while the ITS is disabled and
    /// quiescent, and no redistributor has a vPE of it.**
    pub fn reset(&mut self, owner: &mut (impl Owner + ?Sized)) {
        for table in [&mut self.judge.devices, &mut self.judge.vpes] {
            if let TableLevels::TwoLevel(level1) = table {
                level1.clear();
            }
        }
        self.judge.give_back(|_| true, owner);
        (self.taken, self.completed, self.mark, self.passed, self.executed) = (0, 0, (0, 0), 0, 0);
        (self.held, self.stalled) = (None, None);
    }
}
