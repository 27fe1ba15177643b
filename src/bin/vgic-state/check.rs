//! `vgic-state check`: the audit of an image.
//!
//! Source: the library's audit and its check against a target.
//!
//! Rule: every finding of the audit, what no target would take, and what this target would not take.

use crate::findings::{self, ExitArgs, Finding};
use crate::input::{Image, State};
use crate::number::{number, number32};
use crate::output::{Document, OutputArgs, count};
use crate::ram::RamArgs;
use crate::vcpus::vcpus;
use crate::{Failure, show};
use clap::Args as ClapArgs;
use std::io::Write;
use std::path::PathBuf;
use vgic_state::audit::{self, Limits, Ranges, Severity};
use vgic_state::check::{Oddity, Refusal, Report};
use vgic_state::gicv3::{self, Gicv3State};
use vgic_state::gicv5::{self, Gicv5State, Idr1, Idr2};
use vgic_state::{GuestRange, NoGuestMemory, NrIrqs, SpiCount, Vcpus};

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

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<u8, Failure> {
    let image = Image::open(&args.file)?;
    let mut notes = Vec::new();
    let (mut findings, checked) = match &image.state {
        State::Gicv5(state) => (gicv5_audit(state), args.target.gicv5(state)?),
        State::Gicv3(state) => (gicv3_audit(args, state, &mut notes)?, args.target.gicv3(state)?),
    };
    match checked {
        Ok(report) => findings.extend(odd(&report)),
        Err(refusal) => findings.push(refused(&refusal)),
    }
    let vcpus = count(show::vcpus(&image.state).len(), "vCPU", "vCPUs");
    let summary = format!("{} image of {vcpus}: {}", image.kind(), findings::summary(&findings));
    let mut document = Document { summary, notes, ..Document::default() };
    document.sections.push(findings::section(&mut findings));
    args.output.print(&document, out)?;
    Ok(args.exit.code(&findings))
}

fn gicv5_audit(state: &Gicv5State<'_>) -> Vec<Finding> {
    audit::gicv5(state).findings.iter().map(Finding::from).collect()
}

fn gicv3_audit(args: &Args, state: &Gicv3State, notes: &mut Vec<String>) -> Result<Vec<Finding>, Failure> {
    let everywhere = || Ranges::new(vec![GuestRange::new(0, u64::MAX)], Vec::new());
    if !args.ram.ram.is_empty() {
        let ram = args.ram.open()?;
        let report = audit::gicv3(state, &ram, &Ranges::new(ram.ranges(), Vec::new()), &Limits::default());
        ram.finish()?;
        return Ok(report.findings.iter().map(Finding::from).collect());
    }
    let report = match &state.lpis {
        Some(mapped) => audit::lpi_state(state, mapped, &NoGuestMemory, &everywhere()),
        None => {
            if !state.its.is_empty() {
                notes.push("The tables of the ITSes are in guest memory, and were not judged: --ram.".to_owned());
            }
            audit::lpi_state(state, &Default::default(), &NoGuestMemory, &everywhere())
        }
    };
    Ok(report.findings.iter().map(Finding::from).collect())
}

impl TargetArgs {
    fn gicv5(&self, state: &Gicv5State<'_>) -> Result<Result<Report, Refusal>, Failure> {
        if !self.its.is_empty() {
            return Err("--its: a GICv5 of KVM has no ITS".into());
        }
        let mut target = gicv5::Target { spi_count: state.spi_count, identity: state.identity, vcpus: state.topology()? };
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
        Ok(gicv5::check(state, &target, false))
    }

    fn gicv3(&self, state: &Gicv3State) -> Result<Result<Report, Refusal>, Failure> {
        if self.id_bits.is_some() || self.priority_bits.is_some() {
            return Err("--id-bits and --priority-bits are of a GICv5".into());
        }
        let per_vcpu = state.vcpus.iter();
        let per_vcpu = per_vcpu.map(|vcpu| gicv3::TargetVcpu { vcpu: vcpu.vcpu, redist: vcpu.identity, icc_ctlr: vcpu.icc.ctlr });
        let mut target = gicv3::Target {
            nr_irqs: state.nr_irqs,
            identity: state.identity,
            vcpus: state.topology()?,
            per_vcpu: per_vcpu.collect(),
            its: state.its.iter().map(|its| (its.base, its.identity)).collect(),
        };
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
        Ok(gicv3::check(state, &target, false))
    }
}

fn refused(refusal: &Refusal) -> Finding {
    let place = "image".to_owned();
    let consequence = "it is refused, and nothing is written".to_owned();
    Finding { severity: Severity::High, code: "refused", place, count: 1, what: refusal.to_string(), consequence }
}

/// What a check found that no audit has a problem for.
fn odd(report: &Report) -> Vec<Finding> {
    let findings = report.findings.iter().filter_map(|finding| {
        let (code, consequence) = match finding.oddity {
            Oddity::PendingDisabled => ("pending-disabled", "it is delivered only if the guest enables it"),
            Oddity::NewerRevision => ("newer-revision", "the guest sees another than before"),
            Oddity::IgnoredBits => ("ignored-bits", "the guest may miss them"),
            _ => return None,
        };
        Some(Finding {
            severity: Severity::Low,
            code,
            place: finding.first.to_string(),
            count: finding.count.into(),
            what: finding.oddity.to_string(),
            consequence: consequence.to_owned(),
        })
    });
    findings.collect()
}
