//! Blocks of 32 interrupts as values of a register table.
//!
//! Specification: `docs/image-format.md`, sections 16 and 17.
//!
//! Rule: the columns are the attributes of the rows of a block; those of SPIs as if the block began at INTID 0.

use crate::image::Put;
use crate::image::records::{Column, Record, Values};
use crate::state::gicv3::InterruptBlock;
use crate::state::gicv3::block::{BlockAt, router};
use crate::topology::Mpidr;

/// SGIs and PPIs.
pub(super) struct Private(pub(super) InterruptBlock);

/// SPIs and their targets.
pub(super) struct Spis(pub(super) InterruptBlock, pub(super) [u32; 32]);

const ANY: Mpidr = Mpidr::from_packed(0);

/// Words of a block.
const WORDS: usize = {
    let mut words = 0;
    let mut rows = InterruptBlock::ROWS;
    while let [row, rest @ ..] = rows {
        words += row.bits as usize;
        rows = rest;
    }
    words
};

fn columns(at: BlockAt) -> impl Iterator<Item = Column> {
    InterruptBlock::ROWS.iter().map(move |row| Column { id: at.attr(row, 0).id(), words: row.bits as u16, absent: None })
}

fn put(block: &InterruptBlock, put: &mut Put<'_>) -> Option<()> {
    block.rows().flat_map(|(_, words)| words).try_for_each(|word| put.u32(*word))
}

fn take(values: &mut Values<'_>) -> Option<InterruptBlock> {
    InterruptBlock::read(|row, n| values.word(n as usize, row.bits as usize).ok_or(())).ok()
}

impl Record for Private {
    const COLUMNS: usize = InterruptBlock::ROWS.len();
    const WORDS: usize = WORDS;

    fn columns() -> impl Iterator<Item = Column> {
        columns(BlockAt::Private(ANY))
    }

    fn put(&self, to: &mut Put<'_>) -> Option<()> {
        put(&self.0, to)
    }

    fn take(values: &mut Values<'_>) -> Option<Self> {
        take(values).map(Private)
    }
}

impl Record for Spis {
    const COLUMNS: usize = InterruptBlock::ROWS.len() + 1;
    const WORDS: usize = WORDS + 32;

    fn columns() -> impl Iterator<Item = Column> {
        let router = Column { id: router(0).id(), words: 32, absent: None };
        columns(BlockAt::Spis(0, ANY)).chain([router])
    }

    fn put(&self, to: &mut Put<'_>) -> Option<()> {
        put(&self.0, to)?;
        self.1.iter().try_for_each(|target| to.u32(*target))
    }

    fn take(values: &mut Values<'_>) -> Option<Self> {
        Some(Spis(take(values)?, values.words()?))
    }
}
