//! `vgic-state check`: what is wrong with an image, and whether a VM can take it.
//!
//! Source: the library's judgement of a state, and of a target.
//!
//! Rule: the findings are the library's report, all of it and nothing else; that a VM cannot take the state is a refusal, and no finding.

use crate::failure::Failure;
use crate::findings::{self, ExitArgs, Finding};
use crate::input::{Image, State};
use crate::number::{number, number32};
use crate::output::{Cell, Column, Document, Ink, OutputArgs, Section, column, count};
use crate::ram::{ExtentArgs, RamArgs};
use crate::vcpus::vcpus;
use crate::{judged, show};
use clap::Args as ClapArgs;
use std::io::Write;
use std::path::PathBuf;
use vgic_state::gicv2::{self, Gicv2State};
use vgic_state::gicv3::{self, Gicv3State};
use vgic_state::gicv5::{self, Gicv5State, Idr1, Idr2};
use vgic_state::image::Kind;
use vgic_state::judge;
use vgic_state::report::Refusal;
use vgic_state::{NrIrqs, SpiCount, Vcpus};

/// Say what is wrong with an image before anything acts on it.
///
/// Every table and register is judged as KVM would take it. Options say what the VM is like that it is to be restored in; without them,
/// it is judged for the VM that it was saved from. With --ram, the tables of a GICv3 in guest memory are judged too.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  vgic-state check guest.img
  vgic-state check --vcpus 4 --spis 64 guest.img                    # does it fit a VM like this?
  vgic-state check --format json --fail-on high guest.img | jq -r '.findings[].code'
  vgic-state check --ram ram.bin --base 0x40000000 guest.img        # with the tables in guest memory
  vgic-state check guest.img >/dev/null || echo \"severity: $?\"")]
pub(crate) struct Args {
    /// The image.
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    ram: RamArgs,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    exit: ExitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "The VM to restore in")]
struct TargetArgs {
    /// Its vCPUs: a count, or ids, such as 0=0.0.0.0,2=0.0.1.0.
    #[arg(long, value_name = "VCPUS", value_parser = vcpus)]
    vcpus: Option<Vcpus>,
    /// How many SPIs it has.
    #[arg(long, value_name = "COUNT", value_parser = number32)]
    spis: Option<u32>,
    /// GICv3: the address of each ITS it has; may be repeated.
    #[arg(long = "its", value_name = "ADDRESS", value_parser = number)]
    its: Vec<u64>,
    /// GICv5: bits of LPI ID that its host has.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(1..=16))]
    id_bits: Option<u8>,
    /// GICv5: bits of priority that its host has.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(1..=5))]
    priority_bits: Option<u8>,
}

const REFUSAL: &[Column] = &[column("reason")];

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<u8, Failure> {
    let image = Image::open(&args.file)?;
    let refusal = match &image.state {
        State::Gicv2(state) => args.target.gicv2(state)?,
        State::Gicv5(state) => args.target.gicv5(state)?,
        State::Gicv3(state) => args.target.gicv3(state)?,
    };
    let ram = if args.ram.ram.is_empty() { None } else { Some(args.ram.open()?) };
    let report = judged::problems(&image.state, ram.as_ref().map(|ram| (ram, args.extent.all_memory)));
    if let Some(ram) = &ram {
        ram.finish()?;
    }
    let mut findings: Vec<Finding> = report.findings.iter().map(Finding::from).collect();
    let vcpus = count(show::vcpus(&image.state).len(), "vCPU", "vCPUs");
    let cannot = if refusal.is_some() { "; the VM cannot take it" } else { "" };
    let summary = format!("{} image of {vcpus}: {}{cannot}", image.kind(), findings::summary(&findings));
    let missing = ram.as_ref().and_then(|_| judged::not_in_dump(&report)).into_iter().collect();
    let mut document = Document { summary, missing, notes: notes(&image.state, args), ..Document::default() };
    let mut lines: Vec<String> = report.level_ppis.iter().map(ToString::to_string).collect();
    lines.extend((image.kind() == Kind::Gicv2 && !report.level_spis.is_empty()).then(|| report.level_spis.to_string()));
    if !lines.is_empty() {
        document.notes.push(format!("Lines to drive after a restore: {}.", lines.join(", ")));
    }
    document.sections.push(findings::section(&mut findings));
    if args.target.is_given() {
        let mut section = Section::new("refusal", REFUSAL);
        if let Some(refusal) = &refusal {
            section.push(Ink::Odd, vec![Cell::text(refusal)]);
        }
        document.sections.push(section);
    }
    args.output.print(&document, out)?;
    Ok(args.exit.code(&findings, refusal.is_some()))
}

/// What was not judged.
fn notes(state: &State, args: &Args) -> Vec<String> {
    match state {
        State::Gicv3(state) if args.ram.ram.is_empty() && !state.its.is_empty() && state.lpis.is_none() => {
            vec!["The tables of the ITSes are in guest memory, and were not judged: --ram.".to_owned()]
        }
        _ => Vec::new(),
    }
}

impl TargetArgs {
    /// Whether another VM is meant than the one that the image was saved from.
    fn is_given(&self) -> bool {
        let TargetArgs { vcpus, spis, its, id_bits, priority_bits } = self;
        vcpus.is_some() || spis.is_some() || !its.is_empty() || id_bits.is_some() || priority_bits.is_some()
    }

    /// Why the VM cannot take the state.
    fn gicv5(&self, state: &Gicv5State<'_>) -> Result<Option<Refusal>, Failure> {
        if !self.its.is_empty() {
            return Err("--its: a GICv5 of KVM has no ITS".into());
        }
        let mut target = gicv5::Target::of(state)?;
        if let Some(vcpus) = &self.vcpus {
            target.vcpus = vcpus.clone();
        }
        if let Some(spis) = self.spis {
            target.spi_count = SpiCount::new(spis)?;
        }
        if let Some(bits) = self.id_bits {
            target.identity.idr2 = Idr2::from_bits(target.identity.idr2).with_id_bits(bits).into_bits();
        }
        if let Some(bits) = self.priority_bits {
            target.identity.idr1 = Idr1::from_bits(target.identity.idr1).with_priority_bits(bits - 1).into_bits();
        }
        Ok(judge::gicv5::fit(state, &target).err())
    }

    /// The same of a GICv2.
    fn gicv2(&self, state: &Gicv2State) -> Result<Option<Refusal>, Failure> {
        if !self.its.is_empty() || self.id_bits.is_some() || self.priority_bits.is_some() {
            return Err("--its is of a GICv3, --id-bits and --priority-bits are of a GICv5".into());
        }
        let mut target = gicv2::Target::of(state)?;
        if let Some(vcpus) = &self.vcpus {
            target.vcpus = vcpus.clone();
        }
        if let Some(spis) = self.spis {
            target.nr_irqs = NrIrqs::new(spis.saturating_add(32))?;
        }
        Ok(judge::gicv2::fit(state, &target).err())
    }

    /// The same of a GICv3.
    fn gicv3(&self, state: &Gicv3State) -> Result<Option<Refusal>, Failure> {
        if self.id_bits.is_some() || self.priority_bits.is_some() {
            return Err("--id-bits and --priority-bits are of a GICv5".into());
        }
        let mut target = gicv3::Target::of(state)?;
        if let Some(vcpus) = &self.vcpus {
            target.vcpus = vcpus.clone();
        }
        if let Some(spis) = self.spis {
            target.nr_irqs = NrIrqs::new(spis.saturating_add(32))?;
        }
        if let (false, Some(first)) = (self.its.is_empty(), state.its.first()) {
            let identity = |base: &u64| state.its.iter().find(|its| its.base == *base).unwrap_or(first).identity;
            target.its = self.its.iter().map(|base| (*base, identity(base))).collect();
        }
        Ok(judge::gicv3::fit(state, &target).err())
    }
}
