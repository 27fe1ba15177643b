//! `vgic-state show`: what is in an image.
//!
//! Source: `docs/image-format.md`.
//!
//! Rule: one line says the most; tables follow in the order in which a person asks.

use crate::failure::Failure;
use crate::input::{Image, State};
use crate::interrupts::{self, Counts, Filter, Interrupt, Target};
use crate::output::{Cell, Column, Document, Ink, OutputArgs, Section, column, commas, count};
use crate::{mappings, registers};
use clap::{Args as ClapArgs, ValueEnum};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use vgic_state::Vcpu;
use vgic_state::image::{self, VERSION};

/// Show what is in an image: header, vCPUs, registers with their fields, interrupts, mappings of ITSes.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  vgic-state show guest.img                             # a summary, and what is pending or active
  vgic-state show --all guest.img | less                # everything
  vgic-state show --only interrupts --vcpu 3 guest.img  # what is configured for vCPU 3
  vgic-state show --only interrupts --kind lpi --disabled --format tsv guest.img
  vgic-state show --format json guest.img | jq '.interrupts[] | select(.pending)'

FILE may be a pipe. In a table, a vCPU with a question mark is one that the image does not have.")]
pub(crate) struct Args {
    /// The image.
    file: PathBuf,
    /// Only this part; may be repeated.
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Kind, version and sections of the image.
    Header,
    /// vCPUs and their affinities.
    Vcpus,
    Registers,
    Interrupts,
    /// Devices, events and collections of ITSes.
    Its,
}

const HEADER: &[Column] = &[column("section"), column("contents"), column("offset"), column("bytes")];
const VCPUS: &[Column] = &[column("vcpu"), column("affinity"), column("pending"), column("active"), column("in use")];

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let image = Image::open(&args.file)?;
    let rows = interrupts::interrupts(&image.state, None);
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    let mut document = Document { summary: summary(&image, &rows), ..Document::default() };
    let vcpus = vcpus(&image.state);
    if wants(Part::Header) {
        document.sections.push(header(&image.bytes)?);
    }
    if wants(Part::Vcpus) {
        document.sections.push(topology(&vcpus, &rows));
    }
    if wants(Part::Registers) {
        document.sections.push(registers::section(&registers::registers(&image.state), vcpus.len(), args.filter.all));
    }
    if wants(Part::Interrupts) {
        let (section, hidden) = interrupts::section(&rows, &args.filter);
        document.sections.push(section);
        if hidden > 0 {
            document
                .notes
                .push(format!("{} in use and idle: --all shows them.", count(hidden, "more interrupt is", "more interrupts are")));
        }
    }
    if let State::Gicv3(state) = &image.state
        && wants(Part::Its)
    {
        match &state.lpis {
            Some(mapped) => document.sections.extend(mappings::sections(mapped, args.filter.all)),
            None if !state.its.is_empty() => {
                document.notes.push("The tables of the ITSes are in guest memory: vgic-state its --help.".to_owned());
            }
            None => {}
        }
    }
    args.output.print(&document, out)
}

/// The vCPUs of a state.
pub(crate) fn vcpus(state: &State) -> Vec<Vcpu> {
    match state {
        State::Gicv2(state) => state.vcpus.iter().map(|vcpu| vcpu.vcpu).collect(),
        State::Gicv3(state) => state.vcpus.iter().map(|vcpu| vcpu.vcpu).collect(),
        State::Gicv5(state) => state.vcpus.iter().map(|vcpu| vcpu.vcpu).collect(),
    }
}

/// An image in one line.
pub(crate) fn summary(image: &Image, rows: &[Interrupt]) -> String {
    let mut words = vec![count(vcpus(&image.state).len(), "vCPU", "vCPUs")];
    match &image.state {
        State::Gicv5(state) => {
            words.push(count(state.spi_ist.len(), "SPI", "SPIs"));
            words.push(state.lpi_ist.as_ref().map_or("no LPIs".to_owned(), |lpis| count(lpis.len(), "LPI", "LPIs")));
        }
        State::Gicv2(state) => words.push(count(state.nr_irqs.get() as usize - 32, "SPI", "SPIs")),
        State::Gicv3(state) => {
            words.push(count(state.nr_irqs.get() as usize - 32, "SPI", "SPIs"));
            words.push(if state.its.is_empty() { "no ITS".to_owned() } else { count(state.its.len(), "ITS", "ITSes") });
            match &state.lpis {
                Some(mapped) => {
                    words.push(count(mapped.its.iter().map(|its| its.devices.len()).sum(), "device", "devices"));
                    words.push(count(mapped.configuration.len(), "LPI", "LPIs"));
                }
                None if !state.its.is_empty() => words.push("tables in guest memory".to_owned()),
                None => {}
            }
        }
    }
    let bytes = commas(image.bytes.len() as u64);
    format!("{} image, version {VERSION}, {bytes} bytes: {}; {}", image.kind(), words.join(", "), states(rows))
}

/// Interrupts in a few words.
pub(crate) fn states(rows: &[Interrupt]) -> String {
    let counts = interrupts::counts(rows);
    let [used, pending, active, disabled] =
        [counts.used, counts.pending, counts.active, counts.disabled].map(|count| commas(count as u64));
    format!("interrupts: {used} in use, {pending} pending, {active} active, {disabled} disabled")
}

fn header(bytes: &[u8]) -> Result<Section, Failure> {
    let mut section = Section::new("image", HEADER);
    for place in image::sections(bytes)? {
        let contents = match place.id {
            1 => "IRS registers",
            2 => "CPU interfaces",
            3 => "interrupt state table of SPIs",
            4 => "interrupt state table of LPIs",
            16 => "distributor and SPIs",
            17 => "redistributors and CPU interfaces",
            18 => "ITS registers",
            19 => "mappings and LPIs",
            20 => "virtual CPU interfaces",
            32 => "distributor and SPIs",
            33 => "SGIs, PPIs and CPU interfaces",
            _ => "unknown",
        };
        let row = vec![Cell::number(place.id), Cell::text(contents), Cell::count(place.offset), Cell::count(place.length)];
        section.push(Ink::Plain, row);
    }
    Ok(section)
}

fn topology(vcpus: &[Vcpu], rows: &[Interrupt]) -> Section {
    let mut section = Section::new("vcpus", VCPUS);
    let mut by_target: BTreeMap<&Target, Counts> = BTreeMap::new();
    rows.iter().for_each(|row| by_target.entry(&row.target).or_default().add(row));
    for vcpu in vcpus {
        let counts = by_target.get(&Target::Vcpu(vcpu.id.get())).copied().unwrap_or_default();
        let row = vec![
            Cell::number(vcpu.id.get()),
            Cell::text(vcpu.mpidr),
            Cell::count(counts.pending),
            Cell::count(counts.active),
            Cell::count(counts.used),
        ];
        section.push(Ink::Plain, row);
    }
    section
}
