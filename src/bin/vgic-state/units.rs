//! The registers of ITSes and redistributors that lead to tables: from an image, or from the command line.
//!
//! Source: Arm IHI 0069, `GITS_*`, `GICR_PROPBASER`, `GICR_PENDBASER`.
//!
//! Rule: registers that were given by hand make a state like one of an image, so that everything behind this knows one form. What is
//! judged is as KVM has it at reset where it was not given, and what would follow from that is not said.

use crate::failure::Failure;
use crate::input::{Image, State};
use crate::number::{number, number32};
use crate::vcpus::vcpus;
use clap::Args;
use std::path::PathBuf;
use vgic_state::gicv3::{Gicv3State, ItsUnit, VcpuState};
use vgic_state::report::Problem;
use vgic_state::uapi::vgic_v3::its::GITS_CTLR_ENABLE;
use vgic_state::uapi::vgic_v3::redist::GICR_TYPER_PLPIS;
use vgic_state::{NrIrqs, Vcpus};

/// A table of devices, not valid, of entries of 8 bytes in pages of 64 KiB.
const GITS_BASER0_RESET: u64 = 0x0107_0000_0000_0200;
/// A table of collections, likewise.
const GITS_BASER1_RESET: u64 = 0x0407_0000_0000_0200;
/// SRE, DFB and DIB.
const ICC_SRE_RESET: u64 = 7;
/// `GICR_ICFGR0`: SGIs are edge-triggered; `GICR_ICFGR1`: PPIs are level-triggered.
const ICFGR_RESET: [u32; 2] = [0xaaaa_aaaa, 0];
/// ARE and DS.
const GICD_CTLR_RESET: u32 = 0x50;
/// `GICD_IIDR.Revision` 3.
const GICD_IIDR_REVISION: u32 = 3 << 12;

/// Options that give registers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registers: of an image, or one by one")]
pub(crate) struct UnitArgs {
    /// An image of the guest: the registers of all its ITSes and vCPUs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cbaser", "creadr", "cwriter", "baser0", "baser1", "ctlr", "typer",
        "propbaser", "pendbaser", "its_base", "vcpus"])]
    pub(crate) image: Option<PathBuf>,
    /// GITS_TYPER. Default: 0x1ef71, 16 bits of DeviceID and EventID, as KVM's.
    #[arg(long = "gits-typer", value_name = "VALUE", value_parser = number, default_value = "0x1ef71", hide_default_value = true)]
    typer: u64,
    /// GITS_CTLR. Default: enabled.
    #[arg(long = "gits-ctlr", value_name = "VALUE", value_parser = number32, default_value = "1", hide_default_value = true)]
    ctlr: u32,
    /// GITS_CBASER: the command queue.
    #[arg(long = "gits-cbaser", value_name = "VALUE", value_parser = number)]
    cbaser: Option<u64>,
    /// GITS_CREADR.
    #[arg(long = "gits-creadr", value_name = "VALUE", value_parser = number, default_value = "0", hide_default_value = true)]
    creadr: u64,
    /// GITS_CWRITER.
    #[arg(long = "gits-cwriter", value_name = "VALUE", value_parser = number, default_value = "0", hide_default_value = true)]
    cwriter: u64,
    /// GITS_BASER0: the device table.
    #[arg(long = "gits-baser0", value_name = "VALUE", value_parser = number)]
    baser0: Option<u64>,
    /// GITS_BASER1: the collection table.
    #[arg(long = "gits-baser1", value_name = "VALUE", value_parser = number)]
    baser1: Option<u64>,
    /// Address of the registers of the ITS: what messages call it by.
    #[arg(long, value_name = "ADDRESS", value_parser = number, default_value = "0", hide_default_value = true)]
    its_base: u64,
    /// GICR_PROPBASER: the configuration of LPIs.
    #[arg(long = "gicr-propbaser", value_name = "VALUE", value_parser = number)]
    propbaser: Option<u64>,
    /// GICR_PENDBASER of each vCPU, in their order; may be repeated.
    #[arg(long = "gicr-pendbaser", value_name = "VALUE", value_parser = number)]
    pendbaser: Vec<u64>,
    /// The vCPUs: a count, or ids, such as 0=0.0.0.0,2=0.0.1.0.
    #[arg(long, value_name = "VCPUS", value_parser = vcpus)]
    vcpus: Option<Vcpus>,
}

/// Where registers are from.
#[derive(Debug)]
pub(crate) struct Units {
    pub(crate) state: Gicv3State,
    /// In a word or two.
    pub(crate) origin: String,
}

impl UnitArgs {
    /// Whether it is known which vCPUs there are.
    pub(crate) fn knows_vcpus(&self) -> bool {
        self.image.is_some() || self.vcpus.is_some() || !self.pendbaser.is_empty()
    }

    /// What is judged: an ITS of which a table is not known is taken for one that is not enabled, since nobody can say whether it could be.
    pub(crate) fn judged(&self, units: &Units) -> Gicv3State {
        let mut state = units.state.clone();
        if self.image.is_none() && [self.cbaser, self.baser0, self.baser1].contains(&None) {
            state.its.iter_mut().for_each(|its| its.registers.ctlr &= !(GITS_CTLR_ENABLE as u32));
        }
        state
    }

    /// Whether the registers that were given are enough to say this.
    pub(crate) fn can_tell(&self, problem: Problem) -> bool {
        self.image.is_some()
            || match problem {
                Problem::PendingUnmapped => self.baser0.is_some(),
                Problem::CollectionUnknown => self.baser1.is_some(),
                Problem::LpiBeyondTable => self.propbaser.is_some(),
                Problem::TargetUnknown => self.knows_vcpus(),
                Problem::CommandRefused => self.knows_vcpus() && self.propbaser.is_some(),
                _ => true,
            }
    }

    /// What was not given, in a line.
    pub(crate) fn gaps(&self, state: &Gicv3State) -> Option<String> {
        if self.image.is_some() {
            return None;
        }
        let given = [
            (self.cbaser.is_some(), "--gits-cbaser"),
            (self.baser0.is_some(), "--gits-baser0"),
            (self.baser1.is_some(), "--gits-baser1"),
            (self.knows_vcpus(), "--vcpus"),
            (self.propbaser.is_some(), "--gicr-propbaser"),
            (self.pendbaser.len() == state.vcpus.len(), "--gicr-pendbaser"),
        ];
        let missing: Vec<&str> = given.into_iter().filter_map(|(given, option)| (!given).then_some(option)).collect();
        (!missing.is_empty()).then(|| format!("Not given, and what depends on it not judged: {}.", missing.join(", ")))
    }

    pub(crate) fn units(&self) -> Result<Units, Failure> {
        if let Some(path) = &self.image {
            let image = Image::open(path)?;
            let kind = image.kind();
            let State::Gicv3(state) = image.state else {
                return Err(format!("{}: the image of a {kind}, expected that of a GICv3", path.display()).into());
            };
            if state.its.is_empty() {
                return Err(format!("{}: the guest has no ITS", path.display()).into());
            }
            return Ok(Units { state, origin: path.display().to_string() });
        }
        if [self.cbaser, self.baser0, self.baser1].iter().all(|value| value.is_none_or(|value| value == 0)) {
            return Err("where are the tables? Give --image, or --gits-cbaser, --gits-baser0, --gits-baser1 as needed".into());
        }
        Ok(Units { state: self.state()?, origin: "registers of the command line".to_owned() })
    }

    /// A state with these registers and nothing else in it: one ITS.
    pub(crate) fn state(&self) -> Result<Gicv3State, Failure> {
        let vcpus = match &self.vcpus {
            Some(vcpus) => vcpus.clone(),
            None => Vcpus::with_default_mpidrs(u32::try_from(self.pendbaser.len())?.max(1))?,
        };
        if self.pendbaser.len() > vcpus.len() {
            return Err("more --gicr-pendbaser than vCPUs".into());
        }
        let mut pendbaser = self.pendbaser.iter();
        let mut vcpu = |vcpu| {
            let (propbaser, pendbaser) = (self.propbaser.unwrap_or_default(), pendbaser.next());
            let mut state = VcpuState::new(vcpu);
            // Who has an ITS has LPIs.
            state.identity.typer = GICR_TYPER_PLPIS;
            state.redist.propbaser = propbaser;
            state.redist.pendbaser = pendbaser.copied().unwrap_or_default();
            state.redist.ctlr = u32::from(pendbaser.is_some());
            state.icc.sre = ICC_SRE_RESET;
            state.private.config = ICFGR_RESET;
            state
        };
        let mut its = ItsUnit::new(self.its_base);
        its.identity.typer = self.typer;
        its.registers.cbaser = self.cbaser.unwrap_or_default();
        its.registers.creadr = self.creadr;
        its.registers.cwriter = self.cwriter;
        its.registers.baser0 = self.baser0.unwrap_or(GITS_BASER0_RESET);
        its.registers.baser1 = self.baser1.unwrap_or(GITS_BASER1_RESET);
        its.registers.ctlr = self.ctlr;
        let mut state = Gicv3State::new(NrIrqs::new(64)?);
        state.identity.iidr = GICD_IIDR_REVISION;
        state.dist.ctlr = GICD_CTLR_RESET;
        state.vcpus = vcpus.iter().map(&mut vcpu).collect();
        state.its = vec![its];
        Ok(state)
    }
}
