//! Dumps of guest memory: raw files with the address of their first byte, and ELF core files.
//!
//! Source: QEMU `pmemsave` (raw) and `dump-guest-memory` (ELF, with physical addresses in its program headers); ELF-64.
//!
//! Rule: what is needed is read where it is, by `pread`; nothing is mapped, so that a file that somebody truncates is an error and no
//! signal, and a dump of 64 GiB costs what its tables cost. A file of another known format is no raw dump.

use crate::failure::Failure;
use crate::number::number;
use crate::{input, known};
use clap::Args;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use vgic_state::{Errno, GuestMemoryRead, GuestRange, MemoryError};

/// Options that name memory.
#[derive(Debug, Args)]
#[command(next_help_heading = "Memory")]
pub(crate) struct RamArgs {
    /// A dump of memory: raw bytes (QEMU: pmemsave), with a --base each, or an ELF core (QEMU: dump-guest-memory); may be repeated. What
    /// is compressed, or a migration stream, is refused by its name.
    #[arg(long, value_name = "DUMP")]
    pub(crate) ram: Vec<PathBuf>,
    /// Physical address of the first byte of a raw dump: one for each, in the same order.
    #[arg(long, value_name = "ADDRESS", value_parser = number)]
    base: Vec<u64>,
    /// Take every dump as a raw one, whatever it begins with: memory may begin by chance as a file of another format does.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// Whether dumps have all memory.
#[derive(Debug, Args)]
#[command(next_help_heading = "Memory")]
pub(crate) struct ExtentArgs {
    /// The dumps have all memory of the guest: a table that is not in them is outside of its memory. Otherwise it was not dumped, and is
    /// not judged.
    #[arg(long, requires = "ram")]
    pub(crate) all_memory: bool,
}

/// A range of memory, and where in which file it is.
#[derive(Debug)]
struct Part {
    range: GuestRange,
    file: Rc<Dump>,
    offset: u64,
}

#[derive(Debug)]
struct Dump {
    path: PathBuf,
    file: File,
}

/// Memory that was dumped.
#[derive(Debug, Default)]
pub(crate) struct Ram {
    /// In the order of addresses; none overlaps another.
    parts: Vec<Part>,
    /// The first error of reading a file.
    failed: RefCell<Option<String>>,
}

impl RamArgs {
    pub(crate) fn open(&self) -> Result<Ram, Failure> {
        let mut ram = Ram::default();
        let mut bases = self.base.iter();
        for path in &self.ram {
            let in_file = |error: Failure| -> Failure { format!("{}: {error}", path.display()).into() };
            let dump = Dump { path: path.clone(), file: input::open(path).map_err(in_file)? };
            let dump = Rc::new(dump);
            if !self.raw {
                start(&dump.file).and_then(|start| known::refuse(&start)).map_err(in_file)?;
            }
            let segments = if self.raw { None } else { segments(&dump).map_err(in_file)? };
            match segments {
                Some(parts) => ram.parts.extend(parts),
                None => {
                    let base = bases.next().ok_or("a raw dump needs a --base: the physical address of its first byte");
                    let base = base.map_err(|error| in_file(error.into()))?;
                    ram.parts.push(raw(&dump, *base).map_err(in_file)?);
                }
            }
        }
        if bases.next().is_some() {
            return Err("more --base than raw dumps in --ram".into());
        }
        ram.parts.sort_by_key(|part| part.range);
        for (one, next) in ram.parts.iter().zip(ram.parts.iter().skip(1)) {
            if next.range.start < one.range.end {
                return Err(format!("two dumps have the same memory: {} and {}", one.range, next.range).into());
            }
        }
        Ok(ram)
    }
}

fn raw(dump: &Rc<Dump>, base: u64) -> Result<Part, Failure> {
    let length = length(&dump.file)?;
    if base.checked_add(length).is_none() {
        return Err("the dump is longer than what lies behind its --base".into());
    }
    Ok(Part { range: GuestRange::new(base, length), file: Rc::clone(dump), offset: 0 })
}

/// The first bytes.
fn start(file: &File) -> Result<Vec<u8>, Failure> {
    let length = usize::try_from(length(file)?).unwrap_or(usize::MAX).min(known::START_BYTES);
    let mut bytes = vec![0; length];
    read_at(file, &mut bytes, 0)?;
    Ok(bytes)
}

fn length(file: &File) -> Result<u64, Failure> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err("a dump must be a file: it is not read from the start to the end".into());
    }
    match metadata.len() {
        0 => Err("empty file".into()),
        length => Ok(length),
    }
}

/// The memory in an ELF core; `None` if the file is no ELF file.
fn segments(dump: &Rc<Dump>) -> Result<Option<Vec<Part>>, Failure> {
    const LOAD: u64 = 1;
    let file_length = length(&dump.file)?;
    let mut header = [0; 64];
    if read_at(&dump.file, &mut header, 0).is_err() || !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(if header.starts_with(b"\x7fELF") { return Err("not a 64-bit little-endian ELF file".into()) } else { None });
    }
    let (table, size, count) = (field(&header, 32, 8), field(&header, 54, 2), field(&header, 56, 2));
    if size != 56 || count == 0xffff {
        return Err("an ELF file whose program headers are of another form".into());
    }
    let mut parts = Vec::new();
    for n in 0..count {
        let mut segment = [0; 56];
        read_at(&dump.file, &mut segment, table.saturating_add(n * size)).map_err(|_| "an ELF file that is cut short")?;
        let (kind, offset, address, bytes) =
            (field(&segment, 0, 4), field(&segment, 8, 8), field(&segment, 24, 8), field(&segment, 32, 8));
        if kind != LOAD || bytes == 0 {
            continue;
        }
        if offset.checked_add(bytes).is_none_or(|end| end > file_length) || address.checked_add(bytes).is_none() {
            return Err("an ELF file that is cut short".into());
        }
        parts.push(Part { range: GuestRange::new(address, bytes), file: Rc::clone(dump), offset });
    }
    if parts.iter().filter(|part| part.range.start == 0).count() > 1 {
        return Err("a core file without physical addresses, as that of a process: cut out its memory, and give it a --base".into());
    }
    if parts.is_empty() { Err("an ELF file without memory in it".into()) } else { Ok(Some(parts)) }
}

/// A little-endian number.
fn field(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}

impl Ram {
    /// What there is, in the order of addresses.
    pub(crate) fn ranges(&self) -> Vec<GuestRange> {
        self.parts.iter().map(|part| part.range).collect()
    }

    /// Whether every read so far found its file as long as it was.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match self.failed.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn part(&self, address: u64) -> Option<&Part> {
        let behind = self.parts.partition_point(|part| part.range.start <= address);
        self.parts.get(behind.checked_sub(1)?).filter(|part| address < part.range.end)
    }
}

impl GuestMemoryRead for Ram {
    fn read(&self, mut address: u64, mut bytes: &mut [u8]) -> Result<(), MemoryError> {
        while !bytes.is_empty() {
            let part = self.part(address).ok_or(MemoryError::NotMemory)?;
            let length = usize::try_from(part.range.end - address).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at_mut(length);
            if let Err(error) = read_at(&part.file.file, now, part.offset + (address - part.range.start)) {
                let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
                let error = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "became shorter while it was read".to_owned(),
                    _ => error.to_string(),
                };
                self.failed.borrow_mut().get_or_insert(format!("{}: {error}", part.file.path.display()));
                return Err(MemoryError::Failed(errno));
            }
            address += length as u64;
            bytes = rest;
        }
        Ok(())
    }
}

/// A file as memory that begins at address 0: a raw command queue. `is_raw`: whatever it begins with, it is no file of another kind.
pub(crate) fn single(path: &Path, is_raw: bool) -> Result<Ram, Failure> {
    let dump = Rc::new(Dump { path: path.to_owned(), file: input::open(path)? });
    if !is_raw {
        known::refuse(&start(&dump.file)?)?;
    }
    Ok(Ram { parts: vec![raw(&dump, 0)?], failed: RefCell::default() })
}
