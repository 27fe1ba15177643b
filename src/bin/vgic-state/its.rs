//! `vgic-state its`: tables of ITSes and LPIs in a dump of guest memory.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0"; Arm IHI 0069.
//!
//! Rule: the tables are read as KVM reads them; what is not in the dump is said, and the rest is shown.

use crate::failure::Failure;
use crate::findings::{self, ExitArgs, Finding};
use crate::input::State;
use crate::interrupts::{self, Filter};
use crate::output::{Cell, Column, Document, Ink, OutputArgs, Section, column, count};
use crate::ram::{ExtentArgs, RamArgs};
use crate::units::UnitArgs;
use crate::walked::{self, Walked};
use crate::{foreign, judged, mappings, registers, show};
use clap::{Args as ClapArgs, ValueEnum};
use std::io::Write;
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::command::CommandQueue;

/// Walk the tables of ITSes in a dump of guest memory: devices, events, collections, LPIs; or judge them.
///
/// KVM writes its tables to guest memory when user space asks for it (KVM_DEV_ARM_ITS_SAVE_TABLES), and not while the guest runs: a dump
/// that was taken without that may show old tables. The command queue is always current: vgic-state commands.
#[derive(Debug, ClapArgs)]
#[command(override_usage = "vgic-state its --ram <DUMP> [--base <ADDRESS>] --image <FILE> [OPTIONS]
       vgic-state its --ram <DUMP> [--base <ADDRESS>] --gits-baser0 <VALUE> --gits-baser1 <VALUE> [OPTIONS]")]
#[command(after_help = "Examples:
  (qemu) pmemsave 0x40000000 0x10000000 ram.bin
  vgic-state its --ram ram.bin --base 0x40000000 --image guest.img
  vgic-state its --ram low.bin --base 0 --ram high.bin --base 4G --image guest.img --all
  vgic-state its --ram guest.core --image guest.img --audit
  vgic-state its --ram ram.bin --base 0x40000000 --gits-baser0 0x8107000048000207 \\
      --gits-baser1 0x8407000048100200 --gicr-propbaser 0x4820000f --gicr-pendbaser 0x48300000")]
pub(crate) struct Args {
    #[command(flatten)]
    ram: RamArgs,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    units: UnitArgs,
    /// Say what is wrong, instead of showing the tables.
    #[arg(long, help_heading = "Options")]
    audit: bool,
    /// Only this part; may be repeated.
    #[arg(long, value_name = "PART", conflicts_with = "audit", help_heading = "Options")]
    only: Vec<Part>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    exit: ExitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Where the tables are.
    Tables,
    /// Registers of the ITSes.
    Registers,
    /// Devices, events and collections.
    Mappings,
    /// LPIs.
    Interrupts,
}

const TABLES: &[Column] = &[column("from"), column("to"), column("in dump"), column("table")];

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<u8, Failure> {
    if args.ram.ram.is_empty() {
        return Err("its reads tables in a dump of guest memory: give --ram, and --base if the dump is raw".into());
    }
    let units = args.units.units()?;
    let ram = args.ram.open()?;
    if args.audit {
        foreign::refuse(&units.state)?;
        let report = judged::with_memory(&args.units.judged(&units), &ram, args.extent.all_memory);
        ram.finish()?;
        let known = report.findings.iter().filter(|finding| args.units.can_tell(finding.problem));
        let mut findings: Vec<Finding> = known.map(Finding::from).collect();
        let mut document =
            Document { summary: format!("{}: {}", units.origin, findings::summary(&findings)), ..Document::default() };
        document.sections.push(findings::section(&mut findings));
        // What is too much to be shown is judged all the same.
        document.missing = walked::read(&units.state, &ram).map(|walked| walked.missing()).unwrap_or_default();
        document.missing.extend(judged::not_in_dump(&report));
        document.notes.extend(args.units.gaps(&units.state));
        args.output.print(&document, out)?;
        return Ok(args.exit.code(&findings, false));
    }
    let walked = walked::read(&units.state, &ram)?;
    args.output.print(&document(args, units.state, &walked), out)?;
    Ok(0)
}

fn document(args: &Args, state: Gicv3State, walked: &Walked) -> Document {
    let rows = interrupts::lpis(&state, &walked.mapped);
    let its = &walked.mapped.its;
    let devices = its.iter().map(|its| its.devices.len()).sum();
    let events = its.iter().flat_map(|its| &its.devices).map(|device| device.events.len()).sum();
    let summary = format!(
        "{}: {}, {}; {}",
        count(its.len(), "ITS", "ITSes"),
        count(devices, "device", "devices"),
        count(events, "event", "events"),
        show::states(&rows)
    );
    let mut document = Document { summary, missing: walked.missing(), ..Document::default() };
    for its in &state.its {
        let (cbaser, creadr, cwriter) = (its.registers.cbaser, its.registers.creadr, its.registers.cwriter);
        match CommandQueue::new(cbaser, creadr, cwriter) {
            Ok(queue) if !queue.is_empty() => {
                let queued = count(queue.len() as usize, "command is", "commands are");
                document.notes.push(format!("ITS {:#x}: {queued} queued: vgic-state commands.", its.base));
            }
            Err(error) if cbaser != 0 => document.notes.push(format!("ITS {:#x}: {error}.", its.base)),
            _ => {}
        }
    }
    if walked.passed_by > 0 && walked.foreign().is_empty() {
        let entries = count(walked.passed_by, "entry is", "entries are");
        document.notes.push(format!("{entries} not zero, and KVM would not take them: --audit says why."));
    }
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    if wants(Part::Tables) {
        document.sections.push(tables(walked, args.filter.all));
    }
    if wants(Part::Registers) {
        let mut registers = registers::registers(&State::Gicv3(state));
        registers.retain(|register| register.name.starts_with("GITS_"));
        document.sections.push(registers::section(&registers, 0, args.filter.all));
    }
    if wants(Part::Mappings) {
        document.sections.extend(mappings::sections(&walked.mapped, args.filter.all));
    }
    if wants(Part::Interrupts) {
        let (section, hidden) = interrupts::section(&rows, &args.filter);
        document.sections.push(section);
        if hidden > 0 {
            let more = count(hidden, "more LPI is", "more LPIs are");
            document.notes.push(format!("{more} mapped and idle: --all shows them."));
        }
    }
    document
}

/// Where the tables are. ITTs are shown as devices; those that are not in the dump here too.
fn tables(walked: &Walked, all: bool) -> Section {
    let mut section = Section::new("tables", TABLES);
    let is_itt = |table| matches!(table, vgic_state::its::Table::Itt { .. });
    for (table, there) in walked.tables.iter().filter(|(table, there)| all || !*there || !is_itt(table.table)) {
        let row = vec![
            Cell::hex(table.range.start),
            Cell::hex(table.range.end),
            if *there { Cell::Flag(true) } else { Cell::Flag(false) },
            Cell::text(table.table),
        ];
        section.push(if *there { Ink::Plain } else { Ink::Bad }, row);
    }
    section
}
