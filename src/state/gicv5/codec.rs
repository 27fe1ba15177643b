//! A GICv5 state as sections of an image.
//!
//! Specification: `docs/image-format.md`, "GICv5 sections".
//!
//! Rule: one function writes, whether the values come from a device or from memory; one function reads. The kernel fills the tables
//! where they stay.

use super::{CpuInterface, Gicv5State, IrsIdentity, IrsState, Ist, VcpuState};
use crate::Error;
use crate::buffer::{BufferError, IstKind, IstSizes};
use crate::image::records::{self, Record, table_bytes};
use crate::image::{self, Cursor, ImageError, IstCoding, Kind, Put, Sections, Writer};
use crate::topology::{LpiIdBits, Mpidr, SpiCount, Vcpu, VcpuId, Vcpus};
use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

/// Number of SPIs and IRS registers.
const SECTION_IRS: u32 = 1;
/// CPU interface registers of every vCPU.
const SECTION_CPU_INTERFACES: u32 = 2;
/// Interrupt state table of SPIs.
const SECTION_SPI_IST: u32 = 3;
/// Interrupt state table of LPIs.
const SECTION_LPI_IST: u32 = 4;

/// Coding and number of entries, in front of a table.
const IST_HEADER_BYTES: usize = 8;

/// The registers of the IRS.
type Irs = (IrsIdentity, IrsState);

const IRS_BYTES: usize = table_bytes::<Irs>(1);

// An SPI table ends where the next section begins, so that in raw coding the LPI table follows behind one header.
const _: () = assert!(padded(IST_HEADER_BYTES + SpiCount::MIN.ist_bytes()) == IST_HEADER_BYTES + SpiCount::MIN.ist_bytes());

/// Bytes that a section takes up with the zeros behind it.
const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(image::SECTION_ALIGN)
}

/// Bytes in front of the first table.
const fn fixed_bytes(sections: u32, vcpus: usize) -> usize {
    Writer::preamble(sections) + padded(IRS_BYTES) + padded(table_bytes::<CpuInterface>(vcpus))
}

const fn section_count(sizes: &IstSizes) -> u32 {
    if sizes.lpi.is_some() { 4 } else { 3 }
}

/// Upper bound for one table in the given coding: header, entries, and what the coding may add.
const fn ist_bytes_max(table: usize, coding: IstCoding) -> usize {
    let extra = match coding {
        IstCoding::Raw => 0,
        IstCoding::Sparse => image::overhead(table / 4),
    };
    padded(IST_HEADER_BYTES + table + extra)
}

/// A buffer of this many bytes holds the image of any state with these sizes; in raw coding the image has exactly this length.
pub(crate) const fn image_bytes_max(sizes: &IstSizes, vcpus: usize, coding: IstCoding) -> usize {
    let lpi = match sizes.lpi {
        Some(lpi) => ist_bytes_max(lpi, coding),
        None => 0,
    };
    fixed_bytes(section_count(sizes), vcpus) + ist_bytes_max(sizes.spi, coding) + lpi
}

/// Where the values of an image come from.
pub(crate) trait Source {
    type Error: From<BufferError>;

    /// Fills both tables; called once, before the first vCPU, unless they are [`Tables::Stored`] and sparse.
    fn tables(&mut self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), Self::Error>;

    /// The registers of one vCPU.
    fn cpu_interface(&mut self, vcpu: Vcpu) -> Result<CpuInterface, Self::Error>;
}

/// Where tables are before they are written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tables<'a> {
    /// In the device, which writes them itself.
    InDevice,
    /// In memory: sparse tables are encoded from there.
    Stored(&'a [u8], Option<&'a [u8]>),
}

/// What is known of a state before its tables are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) spi_count: SpiCount,
    pub(crate) identity: IrsIdentity,
    pub(crate) irs: IrsState,
    pub(crate) sizes: IstSizes,
}

/// Writes an image into the buffer. Returns its length.
pub(crate) fn write<S: Source>(
    buffer: &mut [u8],
    head: &Head,
    vcpus: impl ExactSizeIterator<Item = Vcpu>,
    coding: IstCoding,
    tables: Tables<'_>,
    source: &mut S,
) -> Result<usize, S::Error> {
    let needed = image_bytes_max(&head.sizes, vcpus.len(), coding);
    let found = buffer.len();
    let too_small = || BufferError::ImageTooSmall { needed, found };
    let buffer = buffer.get_mut(..needed).ok_or_else(too_small)?;
    let mut writer = Writer::new(buffer, Kind::Gicv5, section_count(&head.sizes)).ok_or_else(too_small)?;

    write_irs(writer.room(), head).ok_or_else(too_small)?;
    writer.commit(SECTION_IRS, IRS_BYTES).ok_or_else(too_small)?;

    // The tables before the CPU interfaces: a VM that has not come to rest is found out by the tables.
    let registers = table_bytes::<CpuInterface>(vcpus.len());
    let room = writer.room();
    let (registers_room, tables_room) = room.split_at_mut_checked(padded(registers)).ok_or_else(too_small)?;
    // In raw coding each table lies behind the header of its section, where it stays. In sparse coding both go to the very end, from
    // where they are encoded to the front.
    let (spi_at, gap) = match coding {
        IstCoding::Raw => (IST_HEADER_BYTES, IST_HEADER_BYTES),
        IstCoding::Sparse => (tables_room.len().checked_sub(head.sizes.total()).ok_or_else(too_small)?, 0),
    };
    let stored = match (tables, coding) {
        (Tables::Stored(spi, lpi), IstCoding::Sparse) => Some((spi, lpi)),
        _ => None,
    };
    if stored.is_none() {
        let tables = tables_room.get_mut(spi_at..).ok_or_else(too_small)?;
        let (spi, behind) = tables.split_at_mut_checked(head.sizes.spi).ok_or_else(too_small)?;
        let lpi = match head.sizes.lpi {
            Some(bytes) => Some(behind.get_mut(gap..gap + bytes).ok_or_else(too_small)?),
            None => None,
        };
        source.tables(spi, lpi)?;
    }
    write_cpu_interfaces(registers_room, vcpus, source)?.ok_or_else(too_small)?;
    writer.commit(SECTION_CPU_INTERFACES, registers).ok_or_else(too_small)?;

    if let Some((spi, lpi)) = stored {
        for (id, table) in [(SECTION_SPI_IST, Some(spi)), (SECTION_LPI_IST, lpi)] {
            if let Some(table) = table {
                let bytes = write_stored(writer.room(), table).ok_or_else(too_small)?;
                writer.commit(id, bytes).ok_or_else(too_small)?;
            }
        }
        return writer.finish().ok_or_else(too_small).map_err(Into::into);
    }
    let spi_end = spi_at + head.sizes.spi;
    let spi_bytes = write_ist(writer.room(), spi_at, head.sizes.spi, coding).ok_or_else(too_small)?;
    writer.commit(SECTION_SPI_IST, spi_bytes).ok_or_else(too_small)?;
    if let Some(lpi) = head.sizes.lpi {
        let lpi_at = (spi_end + gap).checked_sub(padded(spi_bytes)).ok_or_else(too_small)?;
        let lpi_bytes = write_ist(writer.room(), lpi_at, lpi, coding).ok_or_else(too_small)?;
        writer.commit(SECTION_LPI_IST, lpi_bytes).ok_or_else(too_small)?;
    }
    writer.finish().ok_or_else(too_small).map_err(Into::into)
}

fn write_irs(room: &mut [u8], head: &Head) -> Option<()> {
    let mut put = Put::new(room);
    records::put_head::<Irs>(&mut put, 1)?;
    put.u32(head.spi_count.get())?;
    put.u32(0)?;
    (head.identity, head.irs).put(&mut put)
}

fn write_cpu_interfaces<S: Source>(
    room: &mut [u8],
    vcpus: impl ExactSizeIterator<Item = Vcpu>,
    source: &mut S,
) -> Result<Option<()>, S::Error> {
    let mut put = Put::new(room);
    if records::put_head::<CpuInterface>(&mut put, vcpus.len()).is_none() {
        return Ok(None);
    }
    for vcpu in vcpus {
        let registers = source.cpu_interface(vcpu)?;
        let mut one = || {
            put.u32(vcpu.id.get())?;
            put.u32(vcpu.mpidr.packed())?;
            registers.put(&mut put)
        };
        if one().is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

/// Makes a section at the start of `room` of the table that lies at `at`. Returns its length.
fn write_ist(room: &mut [u8], at: usize, table: usize, coding: IstCoding) -> Option<usize> {
    let body_bytes = match coding {
        IstCoding::Raw => (at == IST_HEADER_BYTES).then_some(table)?,
        IstCoding::Sparse => image::compact(room, at, table / 4, IST_HEADER_BYTES)?,
    };
    put_ist_header(room, coding, table)?;
    Some(IST_HEADER_BYTES + body_bytes)
}

/// Makes a sparse section at the start of `room` of a table that lies elsewhere. Returns its length.
fn write_stored(room: &mut [u8], table: &[u8]) -> Option<usize> {
    put_ist_header(room, IstCoding::Sparse, table.len())?;
    Some(IST_HEADER_BYTES + image::encode(table, room.get_mut(IST_HEADER_BYTES..)?)?)
}

fn put_ist_header(room: &mut [u8], coding: IstCoding, table: usize) -> Option<()> {
    let mut put = Put::new(room);
    put.u32(coding.number())?;
    put.u32((table / 4) as u32)
}

/// Values that are in memory already; the CPU interfaces in the order in which [`write`] was given the vCPUs.
struct Stored<'a> {
    spi: &'a Ist<'a>,
    lpi: Option<&'a Ist<'a>>,
    vcpus: core::slice::Iter<'a, VcpuState>,
}

impl Source for Stored<'_> {
    type Error = BufferError;

    fn tables(&mut self, spi: &mut [u8], lpi: Option<&mut [u8]>) -> Result<(), BufferError> {
        spi.copy_from_slice(self.spi.as_bytes());
        if let (Some(to), Some(from)) = (lpi, self.lpi) {
            to.copy_from_slice(from.as_bytes());
        }
        Ok(())
    }

    fn cpu_interface(&mut self, _: Vcpu) -> Result<CpuInterface, BufferError> {
        Ok(self.vcpus.next().map(|state| state.registers).unwrap_or_default())
    }
}

impl<'a> Gicv5State<'a> {
    /// Bytes that the image of this state takes at most; in raw coding exactly.
    #[must_use]
    pub fn image_max(&self, coding: IstCoding) -> usize {
        image_bytes_max(&self.ist_sizes(), self.vcpus.len(), coding)
    }

    /// Writes the state as an image into the buffer. Returns the length of the image in bytes.
    ///
    /// # Errors
    ///
    /// - [`Error::Buffer`]: the buffer is shorter than [`Gicv5State::image_max`].
    /// - [`Error::Topology`], [`Error::Image`]: the vCPUs are no possible set, or a table is in the place of the other. Such an
    ///   image could not be read.
    pub fn encode(&self, buffer: &mut [u8], coding: IstCoding) -> Result<usize, Error> {
        self.topology()?;
        for (expected, table) in [(IstKind::Spi, Some(&self.spi_ist)), (IstKind::Lpi, self.lpi_ist.as_ref())] {
            if let Some(found) = table.map(Ist::kind).filter(|found| *found != expected) {
                return Err(ImageError::IstKind { expected, found }.into());
            }
        }
        let head = Head { spi_count: self.spi_count, identity: self.identity, irs: self.irs, sizes: self.ist_sizes() };
        let mut stored = Stored { spi: &self.spi_ist, lpi: self.lpi_ist.as_ref(), vcpus: self.vcpus.iter() };
        let tables = Tables::Stored(self.spi_ist.as_bytes(), self.lpi_ist.as_ref().map(Ist::as_bytes));
        Ok(write(buffer, &head, self.vcpus.iter().map(|state| state.vcpu), coding, tables, &mut stored)?)
    }

    /// The state as an image.
    ///
    /// # Errors
    ///
    /// [`Error::Topology`], [`Error::Image`]: as [`Gicv5State::encode`].
    pub fn to_image(&self, coding: IstCoding) -> Result<Vec<u8>, Error> {
        let mut image = vec![0; self.image_max(coding)];
        let length = self.encode(&mut image, coding)?;
        image.truncate(length);
        Ok(image)
    }

    /// Reads an image. Raw tables are borrowed from it. Nothing is asked of a device: [`check`](crate::InterruptState::check) does.
    ///
    /// # Errors
    ///
    /// [`ImageError`]: not an image of a GICv5, not of this version, or damaged.
    pub fn parse(image: &'a [u8]) -> Result<Self, ImageError> {
        let mut sections = Sections::open(image)?;
        sections.expect_kind(Kind::Gicv5)?;
        let (spi_count, identity, irs) = read_irs(sections.require(SECTION_IRS)?)?;
        let vcpus = read_cpu_interfaces(sections.require(SECTION_CPU_INTERFACES)?)?;
        let spi_ist = read_ist(sections.require(SECTION_SPI_IST)?, SECTION_SPI_IST, IstKind::Spi)?;
        let lpi_ist = match sections.take(SECTION_LPI_IST)? {
            Some(bytes) => Some(read_ist(bytes, SECTION_LPI_IST, IstKind::Lpi)?),
            None => None,
        };
        sections.finish()?;
        Ok(Gicv5State { spi_count, identity, irs, vcpus, spi_ist, lpi_ist })
    }

    fn ist_sizes(&self) -> IstSizes {
        IstSizes { spi: self.spi_ist.as_bytes().len(), lpi: self.lpi_ist.as_ref().map(|ist| ist.as_bytes().len()) }
    }
}

fn read_irs(bytes: &[u8]) -> Result<(SpiCount, IrsIdentity, IrsState), ImageError> {
    const ID: u32 = SECTION_IRS;
    let mut cursor = Cursor::new(bytes);
    let table = records::take_table::<Irs>(&mut cursor, ID, "IRSes", 1)?;
    let (spi_count, zero, mut values) = table.single(ID, "IRSes")?;
    let spi_count = SpiCount::new(spi_count)?;
    if zero != 0 {
        return Err(ImageError::Reserved { id: ID });
    }
    let (identity, irs) = Irs::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))?;
    cursor.end_of(ID)?;
    Ok((spi_count, identity, irs))
}

fn read_cpu_interfaces(bytes: &[u8]) -> Result<Vec<VcpuState>, ImageError> {
    const ID: u32 = SECTION_CPU_INTERFACES;
    let mut cursor = Cursor::new(bytes);
    let table = records::take_table::<CpuInterface>(&mut cursor, ID, "vCPUs", VcpuId::LIMIT)?;
    cursor.end_of(ID)?;
    let mut vcpus = Vec::with_capacity(table.len());
    for (id, mpidr, mut values) in table.records() {
        let vcpu = Vcpu { id: VcpuId::new(id)?, mpidr: Mpidr::from_packed(mpidr) };
        vcpus.push(VcpuState { vcpu, registers: CpuInterface::take(&mut values).ok_or_else(|| cursor.wrong_length(ID, 0))? });
    }
    Vcpus::new(vcpus.iter().map(|state| state.vcpu))?;
    Ok(vcpus)
}

fn read_ist(bytes: &[u8], id: u32, kind: IstKind) -> Result<Ist<'_>, ImageError> {
    let mut cursor = Cursor::new(bytes);
    let coding = cursor.u32_of(id)?;
    let entries = cursor.u32_of(id)?;
    let rule = match kind {
        IstKind::Spi => "a multiple of 32, from 32 to 1024",
        IstKind::Lpi => "a power of two, from 1 to 65536",
    };
    let wrong = ImageError::TableEntries { id, found: entries, rule };
    let is_legal = match kind {
        IstKind::Spi => SpiCount::new(entries).is_ok(),
        IstKind::Lpi => entries.is_power_of_two() && entries <= LpiIdBits::MAX.lpis(),
    };
    if !is_legal {
        return Err(wrong);
    }
    let entries = entries as usize;
    let table: Cow<'_, [u8]> = if coding == IstCoding::Raw.number() {
        let table = cursor.take_of(id, entries * 4)?;
        cursor.end_of(id)?;
        table.into()
    } else if coding == IstCoding::Sparse.number() {
        image::expand(cursor.rest(), entries).ok_or(ImageError::Sparse { id })?.into()
    } else {
        return Err(ImageError::Coding { id, found: coding });
    };
    Ist::new(kind, table).map_err(|_| wrong)
}
