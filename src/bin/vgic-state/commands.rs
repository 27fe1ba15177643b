//! `vgic-state commands`: the command queue of an ITS.
//!
//! Source: Arm IHI 0069, "ITS commands", `GITS_CBASER`, `GITS_CREADR`, `GITS_CWRITER`.
//!
//! Rule: a queue is shown in the order of execution: what ran, as far as it is still there, then what waits.

mod answer;

use crate::failure::Failure;
use crate::number::number;
use crate::output::{Cell, Column, Document, Ink, OutputArgs, Section, column, count, for_programs};
use crate::ram::{self, Ram, RamArgs};
use crate::units::UnitArgs;
use crate::walked::{self, Walked};
use answer::{Answer, Its};
use clap::Args as ClapArgs;
use std::io::Write;
use std::path::PathBuf;
use vgic_state::GuestMemoryRead;
use vgic_state::gicv3::ItsUnit;
use vgic_state::its::LpiState;
use vgic_state::its::command::{COMMAND_BYTES, CommandQueue, Decoded, ItsCommand, UnknownCommand, Version, words};
use vgic_state::uapi::vgic_v3::its::{GITS_CMD_OFFSET, GITS_CTLR_ENABLE};

/// Decode the command queue of an ITS: what ran, what waits, and what KVM's ITS would answer.
///
/// The queue is in a dump of guest memory, where GITS_CBASER says; or in a file of its own, with its offsets. KVM's ITS skips a command
/// that it cannot execute, and does not tell the guest: the answer is the error that the architecture has for it. The answer depends on
/// what is mapped. That is taken from the image, if it has the mappings in it; otherwise from the commands that ran before, as far as they
/// are still in the queue; with --tables, from the tables in the dump. A question mark says that this does not decide the answer.
#[derive(Debug, ClapArgs)]
#[command(override_usage = "vgic-state commands --ram <DUMP> [--base <ADDRESS>] --image <FILE> [OPTIONS]
       vgic-state commands --ram <DUMP> [--base <ADDRESS>] --gits-cbaser <VALUE> [OPTIONS]
       vgic-state commands --queue <FILE> [--creadr <OFFSET>] [--cwriter <OFFSET>] [OPTIONS]")]
#[command(after_help = "Examples:
  vgic-state commands --ram ram.bin --base 0x40000000 --image guest.img
  vgic-state commands --ram ram.bin --base 0x40000000 --image guest.img --pending --tables
  vgic-state commands --ram ram.bin --base 0x40000000 --gits-cbaser 0x8000000048200000 \\
      --gits-creadr 0x400 --gits-cwriter 0x480
  vgic-state commands --queue queue.bin --creadr 0x400 --cwriter 0x480 --format tsv")]
pub(crate) struct Args {
    /// A raw command queue: a file of 32 bytes for each command.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ram", "image"], required_unless_present = "ram")]
    queue: Option<PathBuf>,
    /// GITS_CREADR of --queue. Default: the start.
    #[arg(long = "creadr", value_name = "OFFSET", value_parser = number, default_value = "0", requires = "queue")]
    queue_creadr: u64,
    /// GITS_CWRITER of --queue. Default: the start, so that nothing waits.
    #[arg(long = "cwriter", value_name = "OFFSET", value_parser = number, default_value = "0", requires = "queue")]
    queue_cwriter: u64,
    #[command(flatten)]
    ram: RamArgs,
    #[command(flatten)]
    units: UnitArgs,
    /// Take what is mapped from the tables in the dump. They must have been flushed.
    #[arg(long, requires = "ram", help_heading = "Options")]
    tables: bool,
    /// Show only commands that wait.
    #[arg(long, conflicts_with = "ran", help_heading = "Options")]
    pending: bool,
    /// Show at most this many of the commands that ran, the last ones.
    #[arg(long, value_name = "COUNT", help_heading = "Options")]
    ran: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

const COLUMNS: &[Column] = &[
    column("its"),
    column("offset"),
    for_programs("address"),
    column("state"),
    column("answer"),
    for_programs("name"),
    for_programs("words"),
    column("command"),
];

/// A place in the queue that has something in it.
struct Slot {
    offset: u64,
    waits: bool,
    words: [u64; 4],
    decoded: Result<Decoded, UnknownCommand>,
}

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<u8, Failure> {
    let mut document = Document::default();
    let mut section = Section::new("commands", COLUMNS).or_say("the queue is empty");
    let (mut ran, mut waiting, mut failing) = (0, 0, 0);
    let (state, memory) = match &args.queue {
        Some(path) => {
            let (unit, memory) = queue_file(args, path).map_err(|error| format!("{}: {error}", path.display()))?;
            let mut state = args.units.state()?;
            state.its = vec![unit];
            (state, memory)
        }
        None => (args.units.units()?.state, args.ram.open()?),
    };
    let walked = if args.tables { Some(walked::read(&state, &memory)?) } else { None };
    document.missing = walked.as_ref().map(Walked::missing).unwrap_or_default();
    let mapped = walked.as_ref().map(|walked| &walked.mapped).or(state.lpis.as_ref());
    for unit in &state.its {
        let registers = &unit.registers;
        let queue = CommandQueue::new(registers.cbaser, registers.creadr, registers.cwriter)
            .map_err(|error| format!("ITS {:#x}: {error}", unit.base))?;
        let version = Version::from_typer(unit.identity.typer);
        let slots = slots(&queue, registers.cwriter & GITS_CMD_OFFSET, &memory, version)?;
        memory.finish()?;
        let mut its = Its::new(&state, unit, mapped_of(mapped, unit), args.units.knows_vcpus());
        let behind = slots.iter().filter(|slot| !slot.waits).count();
        for (n, slot) in slots.iter().enumerate() {
            let answer = its.answer(slot.waits, slot.decoded.as_ref().map(|decoded| decoded.command).ok());
            let hidden = !slot.waits && (args.pending || args.ran.is_some_and(|ran| n + ran < behind));
            (ran, waiting) = (ran + usize::from(!slot.waits), waiting + usize::from(slot.waits));
            failing += usize::from(slot.waits && matches!(answer, Answer::Error(_) | Answer::Unknown));
            if !hidden {
                push(&mut section, unit, queue.range().start, slot, answer);
            }
        }
        if u64::from(registers.ctlr) & GITS_CTLR_ENABLE == 0 && !queue.is_empty() {
            document.notes.push(format!("ITS {:#x} is disabled: nothing runs until it is enabled.", unit.base));
        }
    }
    document.summary = format!(
        "{}, {}; of those that wait, {} fail",
        count(ran, "command that ran is still there", "commands that ran are still there"),
        count(waiting, "waits", "wait"),
        if failing == 0 { "none would".to_owned() } else { format!("{failing} would") }
    );
    document.sections.push(section);
    args.output.print(&document, out)?;
    Ok(0)
}

fn mapped_of<'a>(mapped: Option<&'a LpiState>, unit: &ItsUnit) -> Option<&'a vgic_state::its::ItsMappings> {
    mapped?.its.iter().find(|its| its.base == unit.base)
}

/// A queue that is a file: an ITS whose queue is at address 0.
fn queue_file(args: &Args, path: &std::path::Path) -> Result<(ItsUnit, Ram), Failure> {
    const PAGE: u64 = 4096;
    const MAX_PAGES: u64 = 256;
    let memory = ram::single(path, args.ram.raw)?;
    let bytes = memory.ranges().iter().map(|range| range.end - range.start).sum::<u64>();
    if !bytes.is_multiple_of(PAGE) || bytes > MAX_PAGES * PAGE {
        return Err(format!("{bytes} bytes: a command queue has 4 KiB to 1 MiB, in steps of 4 KiB").into());
    }
    let mut unit = *args.units.state()?.its.first().ok_or("no ITS")?;
    unit.registers.cbaser = 1 << 63 | (bytes / PAGE - 1);
    (unit.registers.creadr, unit.registers.cwriter) = (args.queue_creadr, args.queue_cwriter);
    Ok((unit, memory))
}

/// Every place that has something in it, the oldest first.
fn slots(queue: &CommandQueue, cwriter: u64, memory: &Ram, version: Version) -> Result<Vec<Slot>, Failure> {
    let range = queue.range();
    let bytes = range.end - range.start;
    let waiting: Vec<u64> = queue.offsets().collect();
    // Behind the last that waits comes the oldest that ran.
    let first = waiting.first().copied().unwrap_or(cwriter);
    let waits = waiting.len() as u64;
    let order = (waits..bytes / COMMAND_BYTES).map(|n| (n, false)).chain((0..waits).map(|n| (n, true)));
    let mut slots = Vec::new();
    for (n, waits) in order {
        let offset = (first + n * COMMAND_BYTES) % bytes;
        let mut command = [0; COMMAND_BYTES as usize];
        if memory.read(range.start + offset, &mut command).is_err() {
            memory.finish()?;
            return Err(format!("the command queue, {range}, is not all in the dump").into());
        }
        let words = words(&command);
        if waits || words != [0; 4] {
            slots.push(Slot { offset, waits, words, decoded: ItsCommand::decode(words, version) });
        }
    }
    Ok(slots)
}

fn push(section: &mut Section, unit: &ItsUnit, queue: u64, slot: &Slot, answer: Answer) {
    let words: Vec<String> = slot.words.iter().map(|word| format!("{word:#x}")).collect();
    let (name, text) = match &slot.decoded {
        Ok(decoded) => (decoded.command.name().to_owned(), decoded.to_string()),
        Err(error) => (String::new(), format!("{error}: {}", words.join(" "))),
    };
    let ink = match (&answer, slot.waits) {
        (Answer::Error(_) | Answer::Unknown, _) => Ink::Bad,
        (_, true) => Ink::Odd,
        _ => Ink::Dim,
    };
    let row = vec![
        Cell::hex(unit.base),
        Cell::Hex(slot.offset, 4),
        Cell::hex(queue + slot.offset),
        Cell::text(if slot.waits { "waits" } else { "ran" }),
        Cell::text(answer),
        Cell::Text(name),
        Cell::Text(words.join(" ")),
        Cell::Text(text),
    ];
    section.push(ink, row);
}
