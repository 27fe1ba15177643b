//! `vgic-state ist`: a raw interrupt state table of a GICv5.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: no more is read of a file than the largest table has.

use crate::Failure;
use clap::{Args as ClapArgs, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use vgic_state::gicv5::{Ist, Iste};
use vgic_state::{IstKind, LpiIdBits};

const COLUMNS: [&str; 10] = ["intid", "word", "pending", "active", "hm", "enable", "irm", "hwu", "priority", "iaffid"];

/// Print the entries of a raw GICv5 interrupt state table that are not zero.
///
/// The file holds one 32-bit little-endian entry per interrupt, in the order of IDs, as KVM_DEV_ARM_VGIC_GRP_IST transfers it.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  vgic-state ist --kind lpi guest.lpi.ist\n  vgic-state ist --kind spi --format tsv guest.spi.ist"
)]
pub(crate) struct Args {
    /// Which interrupts the table is of.
    #[arg(long)]
    kind: Kind,
    /// How to print it.
    #[arg(long, default_value = "table")]
    format: Format,
    /// The table.
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Spi,
    Lpi,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Columns for a person.
    Table,
    /// Tab-separated values: the word in hexadecimal, the rest decimal.
    Tsv,
}

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let bytes = read(&args.file).map_err(|error| format!("{}: {error}", args.file.display()))?;
    let kind = match args.kind {
        Kind::Spi => IstKind::Spi,
        Kind::Lpi => IstKind::Lpi,
    };
    let table = Ist::new(kind, bytes).map_err(|error| format!("{}: {error}", args.file.display()))?;
    match args.format {
        Format::Tsv => {
            writeln!(out, "{}", COLUMNS.join("\t"))?;
            for (number, entry) in nonzero(&table) {
                writeln!(out, "{}", cells(number, entry).join("\t"))?;
            }
        }
        Format::Table => {
            let mut text = Table::new();
            text.load_style(presets::NOTHING).set_header(COLUMNS);
            for (number, entry) in nonzero(&table) {
                text.add_row(cells(number, entry));
            }
            for column in text.column_iter_mut() {
                column.set_cell_alignment(CellAlignment::Right);
            }
            for line in text.lines() {
                writeln!(out, "{}", line.trim_end())?;
            }
            writeln!(out, "{} of {} entries of the {} are not zero", table.nonzero().count(), table.len(), table.kind())?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let largest = LpiIdBits::MAX.ist_bytes();
    let mut bytes = Vec::new();
    File::open(path)?.take(largest as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > largest {
        return Err(format!("longer than the largest table, {largest} bytes").into());
    }
    Ok(bytes)
}

/// The entries that are not zero, each with the ID of its interrupt.
fn nonzero(table: &Ist<'_>) -> impl Iterator<Item = (usize, Iste)> {
    table.entries().map(|(_, entry)| entry).enumerate().filter(|(_, entry)| entry.into_bits() != 0)
}

fn cells(number: usize, entry: Iste) -> [String; 10] {
    [
        number.to_string(),
        format!("0x{:08x}", entry.into_bits()),
        u8::from(entry.pending()).to_string(),
        u8::from(entry.active()).to_string(),
        u8::from(entry.hm()).to_string(),
        u8::from(entry.enable()).to_string(),
        u8::from(entry.irm()).to_string(),
        entry.hwu().to_string(),
        entry.priority().to_string(),
        entry.iaffid().to_string(),
    ]
}
