//! The image that a command is given.
//!
//! Source: `docs/image-format.md`.
//!
//! Rule: the first bytes are looked at before the rest is read; no more is read than the largest image has. A pipe is as good as a file.

use crate::failure::Failure;
use crate::known;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use vgic_state::gicv2::Gicv2State;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::{self, ImageError, Kind};

/// Longer than any image: 64 ITSes with 65,536 devices each have less.
const LARGEST: u64 = 256 << 20;

/// What an image holds.
#[derive(Debug, PartialEq)]
pub(crate) enum State {
    Gicv2(Gicv2State),
    Gicv3(Gicv3State),
    Gicv5(Gicv5State<'static>),
}

/// An image: its bytes, and what they mean.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) state: State,
}

impl Image {
    /// Reads and parses a file.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        read(path).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.state {
            State::Gicv2(_) => Kind::Gicv2,
            State::Gicv3(_) => Kind::Gicv3,
            State::Gicv5(_) => Kind::Gicv5,
        }
    }
}

fn read(path: &Path) -> Result<Image, Failure> {
    let file = open(path)?;
    let mut file = file.take(LARGEST + 1);
    let mut bytes = Vec::new();
    file.by_ref().take(known::START_BYTES as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err("empty file: not an image of an interrupt controller".into());
    }
    match image::length(&bytes) {
        // The header alone is shorter than any image.
        Ok(_) | Err(ImageError::Truncated { .. }) => {}
        Err(error @ ImageError::NotAnImage) => {
            let is = match known::name(&bytes) {
                Some(name) => format!(", but {name}"),
                None if bytes.starts_with(b"\x7fELF") => ", but an ELF file: a dump of memory is for --ram".to_owned(),
                None => "; a raw table is for vgic-state ist".to_owned(),
            };
            return Err(format!("{error}{is}").into());
        }
        Err(error) => return Err(error.into()),
    }
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("longer than any image, {} MiB", LARGEST >> 20).into());
    }
    let state = match image::kind(&bytes)? {
        Kind::Gicv2 => State::Gicv2(Gicv2State::parse(&bytes)?),
        Kind::Gicv3 => State::Gicv3(Gicv3State::parse(&bytes)?),
        Kind::Gicv5 => State::Gicv5(Gicv5State::parse(&bytes)?.into_owned()),
        kind => return Err(format!("an image of a {kind}, which this tool does not know").into()),
    };
    Ok(Image { bytes, state })
}

/// Opens what is a file or a pipe, and no directory.
pub(crate) fn open(path: &Path) -> Result<File, Failure> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err("is a directory".into());
    }
    Ok(file)
}
