//! The command queue of an ITS, and the execution of its commands.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_its_process_commands`, `vgic_its_handle_command`; Arm Generic Interrupt
//! Controller Architecture Specification, GICv3, ITS commands and their errors.
//!
//! Rule: a command that fails is skipped, and the guest is told nothing.

use super::mappings::{Ite, Its, NOT_MAPPED};
use super::table::ID_BITS;
use crate::Errno;
use crate::model::gicv3::behaviour::Behaviour;
use crate::model::gicv3::ctx::Ctx;
use crate::model::gicv3::irq::FIRST_LPI;

/// Bytes of a command.
const COMMAND: u64 = 32;
/// `GITS_CBASER.Physical_Address` as KVM has it: 64 KiB aligned.
const QUEUE_ADDRESS: u64 = 0x000f_ffff_ffff_0000;

/// Why a command had no effect, or only a part of it. The guest is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommandError {
    /// An error number of the ITS architecture: the command in bits 15:8, the reason in bits 7:0.
    Its(u32),
    /// An error of the kernel: `ENODEV`: it does not implement the command; `EFAULT`: an address is in no memory slot; `EBUSY`: the
    /// command makes an interrupt pending on a vCPU whose LPIs are not enabled.
    Host(Errno),
}

impl From<Errno> for CommandError {
    fn from(errno: Errno) -> Self {
        CommandError::Host(errno)
    }
}

/// A command that an ITS took from its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The index of the ITS in the order of creation, from 0.
    pub its: usize,
    /// The four doublewords of the command; 0 if the queue could not be read.
    pub words: [u64; 4],
    /// Whether it succeeded.
    pub result: Result<(), CommandError>,
}

type Outcome = Result<(), CommandError>;

const fn error(number: u32) -> CommandError {
    CommandError::Its(number)
}

const MOVI_UNMAPPED_INTERRUPT: CommandError = error(0x01_0107);
const MOVI_UNMAPPED_COLLECTION: CommandError = error(0x01_0109);
const INT_UNMAPPED_INTERRUPT: CommandError = error(0x01_0307);
const CLEAR_UNMAPPED_INTERRUPT: CommandError = error(0x01_0507);
const MAPD_DEVICE_OOR: CommandError = error(0x01_0801);
const MAPD_ITTSIZE_OOR: CommandError = error(0x01_0802);
const MAPC_PROCNUM_OOR: CommandError = error(0x01_0902);
const MAPC_COLLECTION_OOR: CommandError = error(0x01_0903);
const MAPTI_UNMAPPED_DEVICE: CommandError = error(0x01_0a04);
const MAPTI_ID_OOR: CommandError = error(0x01_0a05);
const MAPTI_PHYSICALID_OOR: CommandError = error(0x01_0a06);
const INV_UNMAPPED_INTERRUPT: CommandError = error(0x01_0c07);
const INVALL_UNMAPPED_COLLECTION: CommandError = error(0x01_0d09);
const MOVALL_PROCNUM_OOR: CommandError = error(0x01_0e01);
const DISCARD_UNMAPPED_INTERRUPT: CommandError = error(0x01_0f07);

/// The fields that commands have, by their names.
struct Fields([u64; 4]);

impl Fields {
    fn opcode(&self) -> u8 {
        self.0[0] as u8
    }

    fn device(&self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    fn event(&self) -> u32 {
        self.0[1] as u32
    }

    fn intid(&self) -> u32 {
        (self.0[1] >> 32) as u32
    }

    fn event_bits(&self) -> u32 {
        (self.0[1] & 0x1f) as u32 + 1
    }

    fn itt(&self) -> u64 {
        self.0[2] & 0x000f_ffff_ffff_ff00
    }

    fn valid(&self) -> bool {
        self.0[2] >> 63 != 0
    }

    fn collection(&self) -> u16 {
        self.0[2] as u16
    }

    fn target(&self) -> u32 {
        (self.0[2] >> 16) as u32
    }

    fn second_target(&self) -> u32 {
        (self.0[3] >> 16) as u32
    }
}

impl Its {
    /// Takes commands up to `GITS_CWRITER`, unless the ITS is disabled.
    pub(in crate::model::gicv3) fn process_commands(&mut self, index: usize, ctx: &mut Ctx<'_>, log: &mut Vec<Executed>) {
        if !self.enabled {
            return;
        }
        let queue = self.cbaser & QUEUE_ADDRESS;
        while self.creadr != self.cwriter {
            let read = ctx.ram.read::<32>(queue + self.creadr);
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(read.unwrap_or([0; 32]).as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            let result = read.map_err(CommandError::Host).and_then(|_| self.execute(&Fields(words), ctx));
            log.push(Executed { its: index, words, result });
            self.creadr += COMMAND;
            if self.creadr == self.queue_bytes() {
                self.creadr = 0;
            }
        }
    }

    fn execute(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        match fields.opcode() {
            0x01 => self.movi(fields, ctx),
            0x03 => self.int(fields, ctx),
            0x04 => self.clear(fields, ctx),
            // Everything is in sync at all times.
            0x05 => Ok(()),
            0x08 => self.mapd(fields, ctx),
            0x09 => self.mapc(fields, ctx),
            0x0a => self.mapti(fields, fields.intid(), ctx),
            0x0b => self.mapti(fields, fields.event(), ctx),
            0x0c => self.inv(fields, ctx),
            0x0d => self.invall(fields, ctx),
            0x0e => movall(fields, ctx),
            0x0f => self.discard(fields, ctx),
            _ => Err(Errno::ENODEV.into()),
        }
    }

    fn movi(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        let ite = *self.ite(fields.device(), fields.event()).ok_or(MOVI_UNMAPPED_INTERRUPT)?;
        self.mapped(ite.collection).ok_or(MOVI_UNMAPPED_COLLECTION)?;
        let collection = Some(fields.collection());
        self.mapped(collection).ok_or(MOVI_UNMAPPED_COLLECTION)?;
        let target = self.target(collection, ctx);
        if let Some(ite) = self.ite_mut(fields.device(), fields.event()) {
            ite.collection = collection;
        }
        if let Some(irq) = ctx.irqs.lpis.get_mut(&ite.intid) {
            irq.target = target;
        }
        Ok(())
    }

    fn int(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        match self.trigger(fields.device(), fields.event(), ctx) {
            Ok(true) => Ok(()),
            Ok(false) => Err(INT_UNMAPPED_INTERRUPT),
            Err(errno) => Err(errno.into()),
        }
    }

    fn clear(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        let ite = self.ite(fields.device(), fields.event()).ok_or(CLEAR_UNMAPPED_INTERRUPT)?;
        if let Some(irq) = ctx.irqs.lpis.get_mut(&ite.intid) {
            irq.latch = false;
        }
        Ok(())
    }

    fn mapd(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        let entry = self.device_entry(fields.device(), ctx).ok_or(MAPD_DEVICE_OOR)?;
        if fields.valid() && fields.event_bits() > ID_BITS {
            return Err(MAPD_ITTSIZE_OOR);
        }
        // A device that is mapped again loses its events.
        self.free_device(fields.device(), false, ctx);
        if fields.valid() {
            self.add_device(fields.device(), fields.itt(), fields.event_bits());
        } else if ctx.host.kernel.has(Behaviour::ClearsUnmappedEntries) {
            ctx.ram.write_entry(entry, 0)?;
        }
        Ok(())
    }

    fn mapc(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        let id = fields.collection();
        let target = ctx.vcpu_named(fields.target()).ok_or(MAPC_PROCNUM_OOR);
        if !fields.valid() {
            if !ctx.host.kernel.has(Behaviour::NamesVcpusById) {
                target?;
            }
            self.free_collection(id);
            return Ok(());
        }
        let target = target?;
        if !self.collections.contains_key(&id) && !self.has_collection_entry(id, ctx) {
            return Err(MAPC_COLLECTION_OOR);
        }
        if let Some(collection) = self.collections.get_mut(&id) {
            collection.target = fields.target();
        } else {
            self.add_collection(id, fields.target());
            return Ok(());
        }
        for ite in self.ites().filter(|ite| ite.collection == Some(id)) {
            if let Some(irq) = ctx.irqs.lpis.get_mut(&ite.intid) {
                irq.target = Some(target);
            }
        }
        Ok(())
    }

    fn mapti(&mut self, fields: &Fields, intid: u32, ctx: &mut Ctx<'_>) -> Outcome {
        let (event, id) = (fields.event(), fields.collection());
        let device = self.device(fields.device()).ok_or(MAPTI_UNMAPPED_DEVICE)?;
        if !device.has_event_entry(event, ctx) {
            return Err(MAPTI_ID_OOR);
        }
        if intid < FIRST_LPI || intid >= ctx.lpi_limit() {
            return Err(MAPTI_PHYSICALID_OOR);
        }
        // An event that is mapped stays as it is.
        if device.events.contains_key(&event) {
            return Ok(());
        }
        let new = !self.collections.contains_key(&id);
        if new {
            if !self.has_collection_entry(id, ctx) {
                return Err(MAPC_COLLECTION_OOR);
            }
            self.add_collection(id, NOT_MAPPED);
        }
        let target = self.target(Some(id), ctx);
        if let Err(errno) = ctx.add_lpi(intid, target) {
            if new {
                self.free_collection(id);
            }
            return Err(errno.into());
        }
        if let Some(device) = self.device_mut(fields.device()) {
            device.events.insert(event, Ite { intid, collection: Some(id) });
        }
        Ok(())
    }

    fn inv(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        let ite = self.ite(fields.device(), fields.event()).ok_or(INV_UNMAPPED_INTERRUPT)?;
        Ok(ctx.read_configuration(ite.intid)?)
    }

    fn invall(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        let collection = Some(fields.collection());
        self.mapped(collection).ok_or(INVALL_UNMAPPED_COLLECTION)?;
        if let Some(target) = self.target(collection, ctx) {
            ctx.read_all_configurations(target);
        }
        Ok(())
    }

    fn discard(&mut self, fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
        let mapped = self.ite(fields.device(), fields.event()).and_then(|ite| self.mapped(ite.collection)).is_some();
        let Some(device) = self.device_mut(fields.device()).filter(|_| mapped) else {
            return Err(DISCARD_UNMAPPED_INTERRUPT);
        };
        if let Some(ite) = device.events.remove(&fields.event()) {
            ctx.irqs.put(ite.intid);
        }
        if ctx.host.kernel.has(Behaviour::ClearsUnmappedEntries) {
            ctx.ram.write_entry(device.event_entry(fields.event()), 0)?;
        }
        Ok(())
    }
}

fn movall(fields: &Fields, ctx: &mut Ctx<'_>) -> Outcome {
    let from = ctx.vcpu_named(fields.target());
    let to = ctx.vcpu_named(fields.second_target());
    if from.is_none() || to.is_none() {
        return Err(MOVALL_PROCNUM_OOR);
    }
    let only_from = ctx.host.kernel.has(Behaviour::MovallKeepsOthers);
    // From a vCPU to itself is nothing, whatever the kernel.
    for irq in ctx.irqs.lpis.values_mut().filter(|irq| from != to && (irq.target == from || !only_from)) {
        irq.target = to;
    }
    Ok(())
}
