//! A GICv2 state as sections of an image.
//!
//! Specification: `docs/image-format.md`, "GICv2 sections".
//!
//! Rule: one function writes and one reads each section, next to each other.

use super::block::{BlockAt, InterruptBlock, SGI_WORDS, SpiBlock, sgi_sources};
use super::{CpuIdentity, CpuInterface, DistIdentity, DistState, Gicv2State, VcpuState};
use crate::Error;
use crate::buffer::BufferError;
use crate::image::records::{Column, Record, Values, put_head, table_bytes, take_table};
use crate::image::{Cursor, ImageError, Kind, Put, SECTION_ALIGN, Sections, Writer};
use crate::topology::{Mpidr, NrIrqs, Vcpu, VcpuId, Vcpus};
use crate::uapi::vgic_v2::VGIC_V2_MAX_CPUS;
use alloc::vec;
use alloc::vec::Vec;

/// Number of interrupts, distributor registers, SPIs.
const SECTION_DISTRIBUTOR: u32 = 32;
/// SGIs, PPIs and CPU interface of every vCPU.
const SECTION_VCPUS: u32 = 33;
const SECTIONS: u32 = 2;

/// Columns are named as a vCPU with number 0 has them.
const ANY: BlockAt = BlockAt::private(VcpuId::ZERO);

/// Words of a block.
const BLOCK_WORDS: usize = {
    let mut words = 0;
    let mut rows = InterruptBlock::ROWS;
    while let [row, rest @ ..] = rows {
        words += row.bits as usize;
        rows = rest;
    }
    words
};

/// The registers of the distributor.
type Dist = (DistIdentity, DistState);
/// The registers of a vCPU.
type OfVcpu = ((CpuIdentity, CpuInterface), (InterruptBlock, SgiSources));

/// `GICD_SPENDSGIR`.
struct SgiSources([u32; SGI_WORDS]);

impl Record for InterruptBlock {
    const COLUMNS: usize = InterruptBlock::ROWS.len();
    const WORDS: usize = BLOCK_WORDS;

    fn columns() -> impl Iterator<Item = Column> {
        InterruptBlock::ROWS.iter().map(|row| Column { id: ANY.attr(row, 0).id(), words: row.bits as u16, absent: None })
    }

    fn put(&self, put: &mut Put<'_>) -> Option<()> {
        self.rows().flat_map(|(_, words)| words).try_for_each(|word| put.u32(*word))
    }

    fn take(values: &mut Values<'_>) -> Option<Self> {
        InterruptBlock::read(|row, n| values.word(n as usize, row.bits as usize).ok_or(())).ok()
    }
}

impl Record for SgiSources {
    const COLUMNS: usize = 1;
    const WORDS: usize = SGI_WORDS;

    fn columns() -> impl Iterator<Item = Column> {
        [Column { id: sgi_sources(VcpuId::ZERO, 0).id(), words: SGI_WORDS as u16, absent: None }].into_iter()
    }

    fn put(&self, put: &mut Put<'_>) -> Option<()> {
        self.0.iter().try_for_each(|word| put.u32(*word))
    }

    fn take(values: &mut Values<'_>) -> Option<Self> {
        values.words().map(SgiSources)
    }
}

/// Length of the image of any state with these counts.
pub(crate) const fn image_bytes(nr_irqs: NrIrqs, vcpus: usize) -> usize {
    let blocks = nr_irqs.get() as usize / 32 - 1;
    Writer::preamble(SECTIONS)
        + padded(table_bytes::<Dist>(1) + table_bytes::<InterruptBlock>(blocks))
        + padded(table_bytes::<OfVcpu>(vcpus))
}

const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(SECTION_ALIGN)
}

impl Gicv2State {
    /// Length of the image of this state in bytes.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        image_bytes(self.nr_irqs, self.vcpus.len())
    }

    /// Writes the state as an image into the buffer. Returns the length of the image in bytes.
    ///
    /// # Errors
    ///
    /// - [`Error::Buffer`]: the buffer is shorter than [`Gicv2State::image_bytes`].
    /// - [`Error::Topology`], [`Error::Image`]: the vCPUs are no possible set, there are more than 8, or the SPIs are not those of the
    ///   number of interrupts. Such an image could not be read.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.topology()?;
        if !self.has_all_spis() {
            return Err(ImageError::Spis { nr_irqs: self.nr_irqs.get() }.into());
        }
        if self.vcpus.len() > VGIC_V2_MAX_CPUS as usize {
            let found = self.vcpus.len() as u64;
            return Err(ImageError::Count { id: SECTION_VCPUS, what: "vCPUs", found, max: VGIC_V2_MAX_CPUS.into() }.into());
        }
        let (needed, found) = (self.image_bytes(), buffer.len());
        Ok(self.write(buffer).ok_or(BufferError::ImageTooSmall { needed, found })?)
    }

    /// The state as an image.
    ///
    /// # Errors
    ///
    /// [`Error::Topology`], [`Error::Image`]: as [`Gicv2State::encode`].
    pub fn to_image(&self) -> Result<Vec<u8>, Error> {
        let mut image = vec![0; self.image_bytes()];
        let length = self.encode(&mut image)?;
        image.truncate(length);
        Ok(image)
    }

    fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(buffer, Kind::Gicv2, SECTIONS)?;
        writer.section(SECTION_DISTRIBUTOR, |put| self.write_distributor(put))?;
        writer.section(SECTION_VCPUS, |put| self.write_vcpus(put))?;
        writer.finish()
    }

    fn write_distributor(&self, put: &mut Put<'_>) -> Option<()> {
        put_head::<Dist>(put, 1)?;
        put.u32(self.nr_irqs.get())?;
        put.u32(0)?;
        (self.identity, self.dist).put(put)?;
        put_head::<InterruptBlock>(put, self.spis.len())?;
        self.spis.iter().try_for_each(|spis| {
            put.u32(spis.first)?;
            put.u32(0)?;
            spis.interrupts.put(put)
        })
    }

    fn write_vcpus(&self, put: &mut Put<'_>) -> Option<()> {
        put_head::<OfVcpu>(put, self.vcpus.len())?;
        self.vcpus.iter().try_for_each(|vcpu| {
            put.u32(vcpu.vcpu.id.get())?;
            put.u32(vcpu.vcpu.mpidr.packed())?;
            ((vcpu.identity, vcpu.gicc), (vcpu.private, SgiSources(vcpu.sgi_sources))).put(put)
        })
    }

    /// Reads an image. Nothing is asked of a device: [`check`](crate::InterruptState::check) does.
    ///
    /// # Errors
    ///
    /// [`ImageError`]: not an image of a GICv2, not of this version, or damaged.
    pub fn parse(image: &[u8]) -> Result<Self, ImageError> {
        let mut sections = Sections::open(image)?;
        sections.expect_kind(Kind::Gicv2)?;
        let mut state = read_distributor(sections.require(SECTION_DISTRIBUTOR)?)?;
        state.vcpus = read_vcpus(sections.require(SECTION_VCPUS)?)?;
        sections.finish()?;
        Ok(state)
    }
}

fn read_distributor(bytes: &[u8]) -> Result<Gicv2State, ImageError> {
    const ID: u32 = SECTION_DISTRIBUTOR;
    let reserved = ImageError::Reserved { id: ID };
    let mut cursor = Cursor::new(bytes);
    let table = take_table::<Dist>(&mut cursor, ID, "distributors", 1)?;
    let (nr_irqs, zero, mut values) = table.single(ID, "distributors")?;
    let nr_irqs = NrIrqs::new(nr_irqs)?;
    if zero != 0 {
        return Err(reserved);
    }
    let (identity, dist) = Dist::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))?;
    let blocks = nr_irqs.spi_blocks().len();
    let table = take_table::<InterruptBlock>(&mut cursor, ID, "times 32 SPIs", 32)?;
    cursor.end_of(ID)?;
    if table.len() != blocks {
        return Err(ImageError::ExactCount { id: ID, what: "times 32 SPIs", expected: blocks as u64, found: table.len() as u64 });
    }
    let mut spis = Vec::with_capacity(table.len());
    for (first, zero, mut values) in table.records() {
        let interrupts = InterruptBlock::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))?;
        if zero != 0 {
            return Err(reserved);
        }
        spis.push(SpiBlock { first, interrupts });
    }
    Ok(Gicv2State { nr_irqs, identity, dist, spis, vcpus: Vec::new() })
}

fn read_vcpus(bytes: &[u8]) -> Result<Vec<VcpuState>, ImageError> {
    const ID: u32 = SECTION_VCPUS;
    let mut cursor = Cursor::new(bytes);
    let table = take_table::<OfVcpu>(&mut cursor, ID, "vCPUs", VGIC_V2_MAX_CPUS)?;
    cursor.end_of(ID)?;
    let mut vcpus = Vec::with_capacity(table.len());
    for (id, mpidr, mut values) in table.records() {
        let vcpu = Vcpu { id: VcpuId::new(id)?, mpidr: Mpidr::from_packed(mpidr) };
        let ((identity, gicc), (private, SgiSources(sgi_sources))) =
            OfVcpu::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))?;
        vcpus.push(VcpuState { vcpu, private, sgi_sources, identity, gicc });
    }
    Vcpus::new(vcpus.iter().map(|state| state.vcpu))?;
    Ok(vcpus)
}
