//! The command line.
//!
//! Rule: what the operator has decided, every VMM is told.

use super::Result;
use std::os::fd::RawFd;
use std::time::{SystemTime, UNIX_EPOCH};
use vgic_state::TableStrategy;

pub(super) const USAGE: &str =
    "usage: vmm [--moves N | --in-place N] [--tables guest|image|turns] [--seed N] [--fault lose|double]";

/// Something that the count must find, to show that it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A message without its interrupt.
    Lose,
    /// An interrupt without a message.
    Double,
}

/// Where tables go at each move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tables {
    Guest,
    Image,
    /// Into guest memory at every other move, into the image at the others.
    Turns,
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    /// As it was given.
    line: Vec<String>,
    pub(super) moves: u64,
    /// Guest memory stays where it is.
    pub(super) in_place: bool,
    pub(super) tables: Tables,
    /// What the moments of the moves follow from.
    pub(super) seed: u64,
    pub(super) fault: Option<Fault>,
    /// This process is the VMM of a generation, not the operator.
    pub(super) generation: Option<u64>,
    /// In place: descriptors of guest memory and of the image's area.
    pub(super) memory: Option<RawFd>,
    pub(super) area: Option<RawFd>,
}

impl Options {
    pub(super) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let line: Vec<String> = arguments.collect();
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::from(time.subsec_nanos()));
        let mut options = Options {
            line: line.clone(),
            moves: 20,
            in_place: false,
            tables: Tables::Turns,
            seed,
            fault: None,
            generation: None,
            memory: None,
            area: None,
        };
        let mut arguments = line.iter();
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            match (argument.as_str(), value.as_str()) {
                ("--moves", number) => (options.moves, options.in_place) = (number.parse()?, false),
                ("--in-place", number) => (options.moves, options.in_place) = (number.parse()?, true),
                ("--tables", "guest") => options.tables = Tables::Guest,
                ("--tables", "image") => options.tables = Tables::Image,
                ("--tables", "turns") => options.tables = Tables::Turns,
                ("--fault", "lose") => options.fault = Some(Fault::Lose),
                ("--fault", "double") => options.fault = Some(Fault::Double),
                ("--seed", number) => options.seed = number.parse()?,
                ("--generation", number) => options.generation = Some(number.parse()?),
                ("--memory", number) => options.memory = Some(number.parse()?),
                ("--area", number) => options.area = Some(number.parse()?),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }

    /// The command line of the VMM of a generation: what is said last counts.
    pub(super) fn arguments(&self, generation: u64) -> Vec<String> {
        let mut more = vec![("--seed", self.seed.to_string()), ("--generation", generation.to_string())];
        more.extend(self.memory.map(|fd| ("--memory", fd.to_string())));
        more.extend(self.area.map(|fd| ("--area", fd.to_string())));
        let more = more.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        self.line.iter().cloned().chain(more).collect()
    }

    /// Where the VMM of a generation saves tables.
    pub(super) fn strategy(&self, generation: u64) -> TableStrategy {
        match self.tables {
            Tables::Image => TableStrategy::Image,
            Tables::Turns if generation % 2 == 1 => TableStrategy::Image,
            Tables::Guest | Tables::Turns => TableStrategy::GuestMemory,
        }
    }

    /// A number below `limit` that follows from the seed and the generation.
    pub(super) fn random(&self, generation: u64, limit: u64) -> u64 {
        let x = (self.seed ^ generation.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 32)) % limit
    }
}
