//! What goes from one VMM to the next, over a socket.
//!
//! Rule: a length is compared with the most that can be meant before memory is reserved.

use super::Result;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// A connection with another VMM.
#[derive(Debug)]
pub(super) struct Wire {
    reader: BufReader<UnixStream>,
    writer: BufWriter<UnixStream>,
}

impl Wire {
    /// Takes over a socket that this process has inherited.
    pub(super) fn inherited(fd: BorrowedFd<'_>) -> Result<Self> {
        Self::new(UnixStream::from(fd.try_clone_to_owned()?))
    }

    pub(super) fn new(stream: UnixStream) -> Result<Self> {
        let reader = BufReader::new(UnixStream::from(stream.as_fd().try_clone_to_owned()?));
        Ok(Wire { reader, writer: BufWriter::with_capacity(64 << 10, stream) })
    }

    pub(super) fn put(&mut self, number: u64) -> Result<()> {
        Ok(self.writer.write_all(&number.to_le_bytes())?)
    }

    /// Bytes with their length.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.put(bytes.len() as u64)?;
        Ok(self.writer.write_all(bytes)?)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush()?)
    }

    pub(super) fn get(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A number that is at most `max`.
    pub(super) fn get_up_to(&mut self, max: u64) -> Result<u64> {
        match self.get()? {
            number if number <= max => Ok(number),
            number => Err(format!("the other VMM sent {number}, at most {max} can be").into()),
        }
    }

    /// Bytes with their length, of which there are at most `max`.
    pub(super) fn get_bytes(&mut self, max: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.get_up_to(max)?)?];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
