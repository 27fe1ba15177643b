//! `vgic-state ist`: an interrupt state table of a GICv5, as KVM transfers it or as it lies in memory.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`; Arm GICv5 specification, `IRS_IST_CFGR`, `L1_ISTE`, `L2_ISTE`.
//!
//! Rule: no more is read of a file than the table has.

mod audit;
mod entry;
mod memory;

use crate::failure::Failure;
use crate::findings::{self, ExitArgs};
use crate::input::{self, Image, State};
use crate::known;
use crate::number::{number, number32};
use crate::output::{Cell, Column, Document, Ink, OutputArgs, Section, column, commas};
use crate::ram::{ExtentArgs, RamArgs};
use crate::vcpus::vcpus;
use clap::{Args as ClapArgs, ValueEnum};
use entry::Entry;
use memory::{Shape, Walked};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use vgic_state::gicv5::{Ist, IstBaser, IstCfgr};
use vgic_state::{IstKind, LpiIdBits, Vcpus};

/// Of a table in memory: the bytes of an entry behind the first four.
const WITH_METADATA: &[Column] = &[
    column("intid"),
    column("word"),
    column("pending"),
    column("active"),
    column("hm"),
    column("enable"),
    column("irm"),
    column("hwu"),
    column("priority"),
    column("iaffid"),
    column("metadata"),
];
/// Without them.
const COLUMNS: &[Column] = match WITH_METADATA.split_last() {
    Some((_, columns)) => columns,
    None => WITH_METADATA,
};

/// Print the entries of a GICv5 interrupt state table that are not zero.
///
/// FILE holds one 32-bit little-endian entry per interrupt, in the order of IDs, as KVM_DEV_ARM_VGIC_GRP_IST transfers it. With --ram,
/// the table is looked for in a dump of guest or host memory, in any shape of the architecture: linear or two-level, with entries of 4,
/// 8 or 16 bytes. Its place and shape are those of registers (--ist-baser, --ist-cfgr, or --image for the guest's own), or of --table
/// and what goes with it.
#[derive(Debug, ClapArgs)]
#[command(override_usage = "vgic-state ist --kind <KIND> <FILE> [OPTIONS]
       vgic-state ist --ram <DUMP> [--base <ADDRESS>] --image <FILE> [OPTIONS]
       vgic-state ist --ram <DUMP> [--base <ADDRESS>] --ist-baser <VALUE> --ist-cfgr <VALUE> [OPTIONS]
       vgic-state ist --ram <DUMP> [--base <ADDRESS>] --table <ADDRESS> --id-bits <BITS> [OPTIONS]")]
#[command(after_help = "Examples:
  vgic-state ist --kind lpi guest.lpi.ist
  vgic-state ist --kind spi --format tsv guest.spi.ist
  vgic-state ist --kind lpi --audit --vcpus 4 guest.lpi.ist
  vgic-state ist --ram ram.bin --base 0x40000000 --image guest.img
  vgic-state ist --ram ram.bin --base 0x40000000 --ist-baser 0x48000001 --ist-cfgr 0x1000e
  vgic-state ist --ram host.core --table 0x881230000 --id-bits 16 --entry-bytes 16 --l2-bytes 64K")]
pub(crate) struct Args {
    /// A table as KVM transfers it.
    #[arg(conflicts_with = "ram", requires = "kind")]
    file: Option<PathBuf>,
    /// Which interrupts the table is of.
    #[arg(long, conflicts_with = "ram")]
    kind: Option<Kind>,
    /// Say what is wrong with the entries, instead of printing them.
    #[arg(long)]
    audit: bool,
    /// The vCPUs that entries may name: a count, or ids. Default: those of --image, or all that KVM can have.
    #[arg(long, value_name = "VCPUS", value_parser = vcpus)]
    vcpus: Option<Vcpus>,
    #[command(flatten)]
    ram: RamArgs,
    #[command(flatten)]
    extent: ExtentArgs,
    /// An image whose IRS_IST_BASER and IRS_IST_CFGR say where the table is.
    #[arg(long, value_name = "FILE", requires = "ram", conflicts_with_all = ["ist_baser", "ist_cfgr", "table"])]
    image: Option<PathBuf>,
    /// The value of IRS_IST_BASER.
    #[arg(long, value_name = "VALUE", value_parser = number, requires = "ist_cfgr", conflicts_with = "table")]
    ist_baser: Option<u64>,
    /// The value of IRS_IST_CFGR.
    #[arg(long, value_name = "VALUE", value_parser = number32, requires = "ist_baser")]
    ist_cfgr: Option<u32>,
    /// Physical address of the table.
    #[arg(long, value_name = "ADDRESS", value_parser = number, requires_all = ["ram", "id_bits"])]
    table: Option<u64>,
    /// Bits of interrupt ID, of --table.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(0..=24), requires = "table")]
    id_bits: Option<u32>,
    /// Bytes of an entry, of --table: 4, 8 or 16. Default: 4.
    #[arg(long, value_name = "BYTES", value_parser = entry_bytes, requires = "table")]
    entry_bytes: Option<u64>,
    /// Bytes of a level-2 table, 4K, 16K or 64K: the table has two levels.
    #[arg(long, value_name = "BYTES", value_parser = level2_bytes, requires = "table")]
    l2_bytes: Option<u64>,
    #[command(flatten)]
    exit: ExitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Spi,
    Lpi,
}

fn entry_bytes(text: &str) -> Result<u64, String> {
    number(text).ok().filter(|bytes| matches!(bytes, 4 | 8 | 16)).ok_or_else(|| "must be 4, 8 or 16".to_owned())
}

fn level2_bytes(text: &str) -> Result<u64, String> {
    number(text).ok().filter(|bytes| matches!(bytes, 4096 | 16384 | 65536)).ok_or_else(|| "must be 4K, 16K or 64K".to_owned())
}

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<u8, Failure> {
    let mut known = args.vcpus.clone();
    let (mut findings, walked, name) = match &args.file {
        Some(path) => {
            let table = read(path, args.kind, args.ram.raw).map_err(|error| format!("{}: {error}", path.display()))?;
            let findings = if args.audit { audit::table(&table, known.as_ref())? } else { Vec::new() };
            (findings, Walked::from(&table), table.kind().to_string())
        }
        None if args.ram.ram.is_empty() => return Err("give a FILE and its --kind, or --ram and where the table is".into()),
        None => {
            let (shape, image_vcpus) = shape(args)?;
            known = known.or(image_vcpus);
            let ram = args.ram.open()?;
            let walked = memory::walk(&shape, &ram)?;
            ram.finish()?;
            let mut findings = if args.audit { audit::memory(&shape, &walked, args.extent.all_memory) } else { Vec::new() };
            if args.audit {
                findings.extend(audit::table(&walked.ist(&shape)?, known.as_ref())?);
            }
            (findings, walked, shape.to_string())
        }
    };
    let mut document = Document::default();
    if args.audit {
        document.summary = format!("{name}: {}", findings::summary(&findings));
        document.sections.push(findings::section(&mut findings));
        args.output.print(&document, out)?;
        return Ok(args.exit.code(&findings, false));
    }
    document.sections.extend(walked.level1_section());
    document.sections.push(entries(&walked.entries));
    let (nonzero, all) = (walked.entries.len(), walked.capacity);
    document.notes.push(format!("{} of {} entries of the {name} are not zero", commas(nonzero as u64), commas(all)));
    document.missing.extend(walked.missing());
    document.notes.extend(walked.metadata());
    args.output.print(&document, out)?;
    Ok(0)
}

/// Where the table in memory is, and the vCPUs of the image that says so.
fn shape(args: &Args) -> Result<(Shape, Option<Vcpus>), Failure> {
    if let (Some(address), Some(id_bits)) = (args.table, args.id_bits) {
        return Ok((Shape::new(address, id_bits, args.entry_bytes.unwrap_or(4), args.l2_bytes)?, None));
    }
    if let (Some(baser), Some(cfgr)) = (args.ist_baser, args.ist_cfgr) {
        return Ok((Shape::from_registers(IstBaser::from_bits(baser), IstCfgr::from_bits(cfgr))?, None));
    }
    let Some(path) = &args.image else {
        return Err("where is the table? Give --image, or --ist-baser and --ist-cfgr, or --table and --id-bits".into());
    };
    let image = Image::open(path)?;
    let State::Gicv5(state) = &image.state else {
        return Err(format!("{}: the image of a {}, expected that of a GICv5", path.display(), image.kind()).into());
    };
    let shape = Shape::from_registers(IstBaser::from_bits(state.irs.ist_baser), IstCfgr::from_bits(state.irs.ist_cfgr))?;
    Ok((shape, Some(state.topology()?)))
}

fn read(path: &Path, kind: Option<Kind>, is_raw: bool) -> Result<Ist<'static>, Failure> {
    let largest = LpiIdBits::MAX.ist_bytes();
    let mut bytes = Vec::new();
    input::open(path)?.take(largest as u64 + 1).read_to_end(&mut bytes)?;
    if !is_raw {
        known::refuse(&bytes)?;
    }
    if bytes.len() > largest {
        return Err(format!("longer than the largest table, {largest} bytes").into());
    }
    let kind = match kind {
        Some(Kind::Spi) => IstKind::Spi,
        _ => IstKind::Lpi,
    };
    Ok(Ist::new(kind, bytes)?)
}

fn entries(entries: &[Entry]) -> Section {
    let has_metadata = entries.iter().any(|entry| entry.metadata != 0);
    let mut section = Section::new("entries", if has_metadata { WITH_METADATA } else { COLUMNS }).or_say("all are zero");
    for Entry { id, entry, metadata } in entries {
        let ink = match (entry.pending(), entry.active(), entry.enable()) {
            (true, ..) => Ink::Odd,
            (_, true, _) => Ink::Good,
            (_, _, false) => Ink::Dim,
            _ => Ink::Plain,
        };
        let bit = |bit: bool| Cell::number(u8::from(bit));
        let row = vec![
            Cell::number(*id),
            Cell::Hex(entry.into_bits().into(), 8),
            bit(entry.pending()),
            bit(entry.active()),
            bit(entry.hm()),
            bit(entry.enable()),
            bit(entry.irm()),
            Cell::number(entry.hwu()),
            Cell::number(entry.priority()),
            Cell::number(entry.iaffid()),
            if *metadata == 0 { Cell::None } else { Cell::Text(format!("{metadata:#x}")) },
        ];
        section.push(ink, row);
    }
    section
}
