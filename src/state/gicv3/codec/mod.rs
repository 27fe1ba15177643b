//! A GICv3 state as sections of an image.
//!
//! Specification: `docs/image-format.md`, "GICv3 sections".
//!
//! Rule: one function writes and one reads each section, next to each other.

mod block;
mod bound;
mod lpis;

pub(crate) use bound::MAX_ITS;

use super::{CpuInterface, DistIdentity, DistState, El2, El2Identity, El2State, Gicv3State, ItsIdentity, ItsState, ItsUnit};
use super::{RedistIdentity, RedistState, SpiBlock, VcpuState};
use crate::Error;
use crate::buffer::BufferError;
use crate::image::records::{Record, put_head, table_bytes, take_table};
use crate::image::{Cursor, ImageError, Kind, Put, SECTION_ALIGN, SECTION_ENTRY_BYTES, Sections, Writer};
use crate::its::LpiState;
use crate::topology::{Mpidr, NrIrqs, Vcpu, VcpuId, Vcpus};
use alloc::vec;
use alloc::vec::Vec;
use block::{Private, Spis};

/// Number of interrupts, distributor registers, SPIs.
const SECTION_DISTRIBUTOR: u32 = 16;
/// Redistributor and CPU interface of every vCPU.
const SECTION_VCPUS: u32 = 17;
/// ITSes.
const SECTION_ITS: u32 = 18;
/// Mappings and LPIs, where the tables are in the image.
const SECTION_LPIS: u32 = 19;
/// Virtual CPU interfaces, where the vCPUs have EL2.
const SECTION_EL2: u32 = 20;
/// Sections of every image.
const ALWAYS: u32 = 3;

/// The registers of the distributor.
type Dist = (DistIdentity, DistState);
/// The registers of a vCPU.
type OfVcpu = ((RedistIdentity, RedistState), (CpuInterface, Private));
/// The registers of an ITS.
type OfIts = (ItsIdentity, ItsState);

/// The registers of a vCPU with EL2.
type OfEl2 = (El2Identity, El2State);

/// Bytes in front of the table of section 20: the maintenance interrupt, zero.
const EL2_HEAD_BYTES: usize = 8;

/// Length of the image of any state with these counts.
pub(crate) const fn image_bytes(nr_irqs: NrIrqs, vcpus: usize, its: usize) -> usize {
    let blocks = nr_irqs.get() as usize / 32 - 1;
    Writer::preamble(ALWAYS)
        + padded(table_bytes::<Dist>(1) + table_bytes::<Spis>(blocks))
        + padded(table_bytes::<OfVcpu>(vcpus))
        + padded(table_bytes::<OfIts>(its))
}

/// Bytes that mappings and LPIs add to an image: of these ones, or of any of so many vCPUs and ITSes.
pub(crate) fn lpis_bytes(lpis: Option<&LpiState>, vcpus: usize, its: usize) -> usize {
    SECTION_ENTRY_BYTES + padded(lpis.map_or_else(|| lpis::section_max(vcpus, its), lpis::section_bytes))
}

/// Bytes that virtual CPU interfaces of so many vCPUs add to an image.
pub(crate) const fn el2_bytes(vcpus: usize) -> usize {
    SECTION_ENTRY_BYTES + padded(EL2_HEAD_BYTES + table_bytes::<OfEl2>(vcpus))
}

const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(SECTION_ALIGN)
}

impl Gicv3State {
    /// Length of the image of this state in bytes.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        let lpis = self.lpis.as_ref().map_or(0, |lpis| SECTION_ENTRY_BYTES + padded(lpis::section_bytes(lpis)));
        let el2 = if self.has_el2() { el2_bytes(self.with_el2().count()) } else { 0 };
        image_bytes(self.nr_irqs, self.vcpus.len(), self.its.len()) + lpis + el2
    }

    /// vCPUs with EL2.
    fn with_el2(&self) -> impl Iterator<Item = (Vcpu, El2)> {
        self.vcpus.iter().filter_map(|vcpu| Some((vcpu.vcpu, vcpu.el2?)))
    }

    /// Whether there is something for section 20.
    fn has_el2(&self) -> bool {
        self.maintenance_irq != 0 || self.with_el2().next().is_some()
    }

    /// Writes the state as an image into the buffer. Returns the length of the image in bytes.
    ///
    /// # Errors
    ///
    /// - [`Error::Buffer`]: the buffer is shorter than [`Gicv3State::image_bytes`].
    /// - [`Error::Topology`], [`Error::Image`], [`Error::Tables`]: the vCPUs are no possible set, the SPIs are not those of the
    ///   number of interrupts, there are more than 64 ITSes, or an ID of a mapping has more than 16 bits. Such an image could not be
    ///   read.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.topology()?;
        if !self.has_all_spis() {
            return Err(ImageError::Spis { nr_irqs: self.nr_irqs.get() }.into());
        }
        if self.its.len() > MAX_ITS as usize {
            return Err(
                ImageError::Count { id: SECTION_ITS, what: "ITSes", found: self.its.len() as u64, max: MAX_ITS.into() }.into()
            );
        }
        if let Some(lpis) = &self.lpis {
            lpis::check(lpis)?;
        }
        let (needed, found) = (self.image_bytes(), buffer.len());
        Ok(self.write(buffer).ok_or(BufferError::ImageTooSmall { needed, found })?)
    }

    /// The state as an image.
    ///
    /// # Errors
    ///
    /// [`Error::Topology`], [`Error::Image`], [`Error::Tables`]: as [`Gicv3State::encode`].
    pub fn to_image(&self) -> Result<Vec<u8>, Error> {
        let mut image = vec![0; self.image_bytes()];
        let length = self.encode(&mut image)?;
        image.truncate(length);
        Ok(image)
    }

    fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let lpis = self.lpis.as_ref();
        let mut writer = Writer::new(buffer, Kind::Gicv3, ALWAYS + u32::from(lpis.is_some()) + u32::from(self.has_el2()))?;
        writer.section(SECTION_DISTRIBUTOR, |put| self.write_distributor(put))?;
        writer.section(SECTION_VCPUS, |put| self.write_vcpus(put))?;
        writer.section(SECTION_ITS, |put| self.write_its(put))?;
        if let Some(lpis) = lpis {
            writer.section(SECTION_LPIS, |put| lpis::write(lpis, put))?;
        }
        if self.has_el2() {
            writer.section(SECTION_EL2, |put| self.write_el2(put))?;
        }
        writer.finish()
    }

    fn write_distributor(&self, put: &mut Put<'_>) -> Option<()> {
        put_head::<Dist>(put, 1)?;
        put.u32(self.nr_irqs.get())?;
        put.u32(0)?;
        (self.identity, self.dist).put(put)?;
        put_head::<Spis>(put, self.spis.len())?;
        self.spis.iter().try_for_each(|spis| {
            put.u32(spis.first)?;
            put.u32(0)?;
            Spis(spis.interrupts, spis.router).put(put)
        })
    }

    fn write_vcpus(&self, put: &mut Put<'_>) -> Option<()> {
        put_head::<OfVcpu>(put, self.vcpus.len())?;
        self.vcpus.iter().try_for_each(|vcpu| {
            put.u32(vcpu.vcpu.id.get())?;
            put.u32(vcpu.vcpu.mpidr.packed())?;
            ((vcpu.identity, vcpu.redist), (vcpu.icc, Private(vcpu.private))).put(put)
        })
    }

    fn write_its(&self, put: &mut Put<'_>) -> Option<()> {
        put_head::<OfIts>(put, self.its.len())?;
        self.its.iter().try_for_each(|its| {
            put.u64(its.base)?;
            (its.identity, its.registers).put(put)
        })
    }

    fn write_el2(&self, put: &mut Put<'_>) -> Option<()> {
        put.u32(self.maintenance_irq)?;
        put.u32(0)?;
        put_head::<OfEl2>(put, self.with_el2().count())?;
        self.with_el2().try_for_each(|(vcpu, el2)| {
            put.u32(vcpu.id.get())?;
            put.u32(vcpu.mpidr.packed())?;
            (el2.identity, el2.registers).put(put)
        })
    }

    /// Reads an image. Nothing is asked of a device: [`check`](crate::InterruptState::check) does.
    ///
    /// # Errors
    ///
    /// [`ImageError`]: not an image of a GICv3, not of this version, or damaged.
    pub fn parse(image: &[u8]) -> Result<Self, ImageError> {
        let mut sections = Sections::open(image)?;
        sections.expect_kind(Kind::Gicv3)?;
        let (nr_irqs, identity, dist, spis) = read_distributor(sections.require(SECTION_DISTRIBUTOR)?)?;
        let mut vcpus = read_vcpus(sections.require(SECTION_VCPUS)?)?;
        let its = read_its(sections.require(SECTION_ITS)?)?;
        let lpis = sections.take(SECTION_LPIS)?.map(|bytes| lpis::Reader::new(SECTION_LPIS, bytes).read()).transpose()?;
        let maintenance_irq = sections.take(SECTION_EL2)?.map_or(Ok(0), |bytes| read_el2(bytes, &mut vcpus))?;
        sections.finish()?;
        Ok(Gicv3State { nr_irqs, identity, dist, spis, vcpus, its, maintenance_irq, lpis })
    }
}

type Distributor = (NrIrqs, DistIdentity, DistState, Vec<SpiBlock>);

fn read_distributor(bytes: &[u8]) -> Result<Distributor, ImageError> {
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
    let table = take_table::<Spis>(&mut cursor, ID, "times 32 SPIs", 32)?;
    cursor.end_of(ID)?;
    if table.len() != blocks {
        return Err(ImageError::ExactCount { id: ID, what: "times 32 SPIs", expected: blocks as u64, found: table.len() as u64 });
    }
    let mut spis = Vec::with_capacity(table.len());
    for (first, zero, mut values) in table.records() {
        let Spis(interrupts, router) = Spis::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))?;
        if zero != 0 {
            return Err(reserved);
        }
        spis.push(SpiBlock { first, interrupts, router });
    }
    Ok((nr_irqs, identity, dist, spis))
}

fn read_vcpus(bytes: &[u8]) -> Result<Vec<VcpuState>, ImageError> {
    const ID: u32 = SECTION_VCPUS;
    let mut cursor = Cursor::new(bytes);
    let table = take_table::<OfVcpu>(&mut cursor, ID, "vCPUs", VcpuId::LIMIT)?;
    cursor.end_of(ID)?;
    let mut vcpus = Vec::with_capacity(table.len());
    for (id, mpidr, mut values) in table.records() {
        let vcpu = Vcpu { id: VcpuId::new(id)?, mpidr: Mpidr::from_packed(mpidr) };
        let ((identity, redist), (icc, Private(private))) = OfVcpu::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))?;
        vcpus.push(VcpuState { vcpu, identity, redist, private, icc, el2: None });
    }
    Vcpus::new(vcpus.iter().map(|state| state.vcpu))?;
    Ok(vcpus)
}

fn read_its(bytes: &[u8]) -> Result<Vec<ItsUnit>, ImageError> {
    const ID: u32 = SECTION_ITS;
    let mut cursor = Cursor::new(bytes);
    let table = take_table::<OfIts>(&mut cursor, ID, "ITSes", MAX_ITS)?;
    cursor.end_of(ID)?;
    let mut its = Vec::with_capacity(table.len());
    for (low, high, mut values) in table.records() {
        let (identity, registers) = OfIts::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))?;
        its.push(ItsUnit { base: u64::from(high) << 32 | u64::from(low), identity, registers });
    }
    Ok(its)
}

/// Gives vCPUs their virtual CPU interfaces. Returns the maintenance interrupt.
fn read_el2(bytes: &[u8], vcpus: &mut [VcpuState]) -> Result<u32, ImageError> {
    const ID: u32 = SECTION_EL2;
    let mut cursor = Cursor::new(bytes);
    let maintenance_irq = cursor.u32_of(ID)?;
    if cursor.u32_of(ID)? != 0 {
        return Err(ImageError::Reserved { id: ID });
    }
    let table = take_table::<OfEl2>(&mut cursor, ID, "vCPUs", VcpuId::LIMIT)?;
    cursor.end_of(ID)?;
    // In the order of the vCPUs, some of which may be left out.
    let mut rest = vcpus.iter_mut();
    for (id, mpidr, mut values) in table.records() {
        let unknown = ImageError::El2Vcpu { id, mpidr };
        let vcpu = rest.find(|vcpu| vcpu.vcpu.id.get() == id && vcpu.vcpu.mpidr.packed() == mpidr).ok_or(unknown)?;
        let (identity, registers) = OfEl2::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))?;
        vcpu.el2 = Some(El2 { identity, registers });
    }
    Ok(maintenance_irq)
}
