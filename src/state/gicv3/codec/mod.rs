//! A GICv3 state as sections of an image.
//!
//! Specification: `docs/image-format.md`, "GICv3 sections".
//!
//! Rule: one function writes and one reads each section, next to each other.

mod lpis;

use super::{Bank, CpuInterface, DistIdentity, DistState, Gicv3State, ItsIdentity, ItsState, ItsUnit};
use super::{RedistIdentity, RedistState, SpiBank, VcpuState};
use crate::Error;
use crate::buffer::BufferError;
use crate::image::records::{LISTED_BYTES, check_count, put_keys, put_listed, put_values, take_keys, take_listed, take_values};
use crate::image::{Cursor, ImageError, Kind, Put, SECTION_ALIGN, SECTION_ENTRY_BYTES, Sections, Writer};
use crate::its::LpiState;
use crate::registers::RegisterTable;
use crate::topology::{Mpidr, NrIrqs, Vcpu, VcpuId, Vcpus};
use alloc::vec;
use alloc::vec::Vec;

/// Number of interrupts, distributor registers, SPIs.
const SECTION_DISTRIBUTOR: u32 = 16;
/// Redistributor and CPU interface of every vCPU.
const SECTION_VCPUS: u32 = 17;
/// ITSes.
const SECTION_ITS: u32 = 18;
/// Mappings and LPIs, where the tables are in the image.
const SECTION_LPIS: u32 = 19;
/// Sections of every image.
const SECTIONS: u32 = 3;

/// More ITSes than any VM has; a bound for a reader.
pub(crate) const MAX_ITS: u32 = 64;

const DIST_ROWS: usize = DistIdentity::ROWS.len() + DistState::ROWS.len();
const DIST_HEAD_BYTES: usize = 8 + DIST_ROWS * LISTED_BYTES;
const SPI_BANK_BYTES: usize = 4 * (1 + Bank::WORDS + 32);

const VCPU_ROWS: usize = RedistIdentity::ROWS.len() + RedistState::ROWS.len() + CpuInterface::ROWS.len();
const VCPU_HEAD_BYTES: usize = 8 + VCPU_ROWS * 4;
const VCPU_BYTES: usize = 8 + VCPU_ROWS * 8 + (Bank::WORDS + 1) * 4;

const ITS_ROWS: usize = ItsIdentity::ROWS.len() + ItsState::ROWS.len();
const ITS_HEAD_BYTES: usize = 8 + ITS_ROWS * 4;
const ITS_BYTES: usize = 8 + ITS_ROWS * 8;

/// Length of the image of any state with these counts.
pub(crate) const fn image_bytes(nr_irqs: NrIrqs, vcpus: usize, its: usize) -> usize {
    let banks = nr_irqs.get() as usize / 32 - 1;
    Writer::preamble(SECTIONS)
        + padded(DIST_HEAD_BYTES + banks * SPI_BANK_BYTES)
        + padded(VCPU_HEAD_BYTES + vcpus * VCPU_BYTES)
        + padded(ITS_HEAD_BYTES + its * ITS_BYTES)
}

/// Bytes that mappings and LPIs add to an image: of these ones, or of any of so many vCPUs and ITSes.
pub(crate) fn lpis_bytes(lpis: Option<&LpiState>, vcpus: usize, its: usize) -> usize {
    SECTION_ENTRY_BYTES + padded(lpis.map_or_else(|| lpis::section_max(vcpus, its), lpis::section_bytes))
}

const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(SECTION_ALIGN)
}

impl Gicv3State {
    /// Length of the image of this state in bytes.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        let lpis = self.lpis.as_ref().map_or(0, |lpis| SECTION_ENTRY_BYTES + padded(lpis::section_bytes(lpis)));
        image_bytes(self.nr_irqs, self.vcpus.len(), self.its.len()) + lpis
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
            return Err(ImageError::Count { what: "ITSes", found: self.its.len() as u64, max: MAX_ITS.into() }.into());
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
        let sections = SECTIONS + u32::from(self.lpis.is_some());
        let mut writer = Writer::new(buffer, Kind::Gicv3, sections)?;
        for (id, write) in [
            (SECTION_DISTRIBUTOR, Self::write_distributor as fn(&Self, &mut Put<'_>) -> Option<()>),
            (SECTION_VCPUS, Self::write_vcpus),
            (SECTION_ITS, Self::write_its),
            (SECTION_LPIS, Self::write_lpis),
        ]
        .into_iter()
        .take(sections as usize)
        {
            let room = writer.room();
            let before = room.len();
            let mut put = Put::new(room);
            write(self, &mut put)?;
            let length = before - put.remaining();
            writer.commit(id, length)?;
        }
        writer.finish()
    }

    fn write_distributor(&self, put: &mut Put<'_>) -> Option<()> {
        put.u32(self.nr_irqs.get())?;
        put.u32(DIST_ROWS as u32)?;
        put_listed(put, &self.identity)?;
        put_listed(put, &self.dist)?;
        self.spis.iter().try_for_each(|spis| {
            put.u32(spis.first)?;
            spis.bank.words().chain(spis.router).try_for_each(|word| put.u32(word))
        })
    }

    fn write_vcpus(&self, put: &mut Put<'_>) -> Option<()> {
        put.u32(self.vcpus.len() as u32)?;
        put.u32(VCPU_ROWS as u32)?;
        put_keys::<RedistIdentity>(put)?;
        put_keys::<RedistState>(put)?;
        put_keys::<CpuInterface>(put)?;
        self.vcpus.iter().try_for_each(|vcpu| {
            put.u32(vcpu.vcpu.id.get())?;
            put.u32(vcpu.vcpu.mpidr.packed())?;
            put_values(put, &vcpu.identity)?;
            put_values(put, &vcpu.redist)?;
            put_values(put, &vcpu.icc)?;
            vcpu.private.words().try_for_each(|word| put.u32(word))?;
            put.u32(0)
        })
    }

    fn write_its(&self, put: &mut Put<'_>) -> Option<()> {
        put.u32(self.its.len() as u32)?;
        put.u32(ITS_ROWS as u32)?;
        put_keys::<ItsIdentity>(put)?;
        put_keys::<ItsState>(put)?;
        self.its.iter().try_for_each(|its| {
            put.u64(its.base)?;
            put_values(put, &its.identity)?;
            put_values(put, &its.registers)
        })
    }

    fn write_lpis(&self, put: &mut Put<'_>) -> Option<()> {
        lpis::write(self.lpis.as_ref()?, put)
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
        let vcpus = read_vcpus(sections.require(SECTION_VCPUS)?)?;
        let its = read_its(sections.require(SECTION_ITS)?)?;
        let lpis = sections.take(SECTION_LPIS)?.map(|bytes| lpis::Reader::new(SECTION_LPIS, bytes).read()).transpose()?;
        sections.finish()?;
        Ok(Gicv3State { nr_irqs, identity, dist, spis, vcpus, its, lpis })
    }
}

type Distributor = (NrIrqs, DistIdentity, DistState, Vec<SpiBank>);

fn read_distributor(bytes: &[u8]) -> Result<Distributor, ImageError> {
    const ID: u32 = SECTION_DISTRIBUTOR;
    let length = ImageError::SectionLength { id: ID, found: bytes.len() as u64 };
    let mut cursor = Cursor::new(bytes);
    let nr_irqs = NrIrqs::new(cursor.u32().ok_or(length)?)?;
    check_count("registers", cursor.u32().ok_or(length)?, DIST_ROWS)?;
    let identity = take_listed(&mut cursor, ID, length)?;
    let dist = take_listed(&mut cursor, ID, length)?;
    let banks = nr_irqs.spi_banks();
    if cursor.remaining() != banks.len() * SPI_BANK_BYTES {
        return Err(length);
    }
    let mut spis = Vec::with_capacity(banks.len());
    for _ in banks {
        let first = cursor.u32().ok_or(length)?;
        let bank = Bank::from_words(|| cursor.u32()).ok_or(length)?;
        let mut router = [0; 32];
        for target in &mut router {
            *target = cursor.u32().ok_or(length)?;
        }
        spis.push(SpiBank { first, bank, router });
    }
    Ok((nr_irqs, identity, dist, spis))
}

fn read_vcpus(bytes: &[u8]) -> Result<Vec<VcpuState>, ImageError> {
    const ID: u32 = SECTION_VCPUS;
    let length = ImageError::SectionLength { id: ID, found: bytes.len() as u64 };
    let mut cursor = Cursor::new(bytes);
    let count = cursor.u32().ok_or(length)?;
    check_count("registers", cursor.u32().ok_or(length)?, VCPU_ROWS)?;
    take_keys::<RedistIdentity>(&mut cursor, ID, length)?;
    take_keys::<RedistState>(&mut cursor, ID, length)?;
    take_keys::<CpuInterface>(&mut cursor, ID, length)?;
    let count = check_records("vCPUs", count, VcpuId::LIMIT, cursor.remaining(), VCPU_BYTES, length)?;
    let mut vcpus = Vec::with_capacity(count);
    for _ in 0..count {
        let id = VcpuId::new(cursor.u32().ok_or(length)?)?;
        let mpidr = Mpidr::from_packed(cursor.u32().ok_or(length)?);
        let identity = take_values(&mut cursor, ID, length)?;
        let redist = take_values(&mut cursor, ID, length)?;
        let icc = take_values(&mut cursor, ID, length)?;
        let private = Bank::from_words(|| cursor.u32()).ok_or(length)?;
        if cursor.u32().ok_or(length)? != 0 {
            return Err(ImageError::Reserved { id: ID });
        }
        vcpus.push(VcpuState { vcpu: Vcpu { id, mpidr }, identity, redist, private, icc });
    }
    Vcpus::new(vcpus.iter().map(|state| state.vcpu))?;
    Ok(vcpus)
}

fn read_its(bytes: &[u8]) -> Result<Vec<ItsUnit>, ImageError> {
    const ID: u32 = SECTION_ITS;
    let length = ImageError::SectionLength { id: ID, found: bytes.len() as u64 };
    let mut cursor = Cursor::new(bytes);
    let count = cursor.u32().ok_or(length)?;
    check_count("registers", cursor.u32().ok_or(length)?, ITS_ROWS)?;
    take_keys::<ItsIdentity>(&mut cursor, ID, length)?;
    take_keys::<ItsState>(&mut cursor, ID, length)?;
    let count = check_records("ITSes", count, MAX_ITS, cursor.remaining(), ITS_BYTES, length)?;
    let mut its = Vec::with_capacity(count);
    for _ in 0..count {
        let base = cursor.u64().ok_or(length)?;
        let identity = take_values(&mut cursor, ID, length)?;
        let registers = take_values(&mut cursor, ID, length)?;
        its.push(ItsUnit { base, identity, registers });
    }
    Ok(its)
}

/// A count of records, compared with the bytes that are there before memory is reserved.
fn check_records(
    what: &'static str,
    count: u32,
    max: u32,
    remaining: usize,
    record: usize,
    length: ImageError,
) -> Result<usize, ImageError> {
    if count > max {
        return Err(ImageError::Count { what, found: count.into(), max: max.into() });
    }
    if remaining != count as usize * record {
        return Err(length);
    }
    Ok(count as usize)
}
