//! Memory of user space as a device sees it through `kvm_device_attr.addr`.
//!
//! Source: Documentation/virt/kvm/api.rst, `struct kvm_device_attr`; Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IST`.
//!
//! Rule: a copy that would leave the object fails with `EFAULT`, as if the object ended where its page ends.

use super::trace::Value;
use crate::Errno;
use crate::attr::Word;

/// What the address of an attribute (`kvm_device_attr.addr`) points to.
///
/// If the object is wider than the attribute, the access reads or writes its first bytes, as in memory. If it is narrower, the access
/// fails with `EFAULT`; a read has then written those 64-bit words that fit.
#[derive(Debug)]
pub enum User<'a> {
    /// Address 0: the access fails with `EFAULT`, if the attribute has a value.
    Null,
    /// An address at which nothing is mapped: as address 0.
    Fault,
    /// A 32-bit object.
    U32(&'a mut u32),
    /// A 64-bit object.
    U64(&'a mut u64),
    /// Two 64-bit objects in a row.
    U64x2(&'a mut [u64; 2]),
    /// A `kvm_vgic_v5_ist`.
    Ist(IstArg<'a>),
}

/// A [`kvm_vgic_v5_ist`](crate::uapi::vgic_v5::kvm_vgic_v5_ist) with the memory that its addresses point to.
#[derive(Debug)]
pub struct IstArg<'a> {
    /// `spi_ist_addr` and `spi_ist_size`.
    pub spi: Buffer<'a>,
    /// `lpi_ist_addr` and `lpi_ist_size`.
    pub lpi: Buffer<'a>,
}

/// An address and the size that the caller states for it, which may differ from the size of the memory there.
#[derive(Debug)]
pub struct Buffer<'a> {
    /// What is at the address.
    pub memory: Memory<'a>,
    /// The size that is stated, in bytes.
    pub size: u64,
}

/// What is at an address.
#[derive(Debug)]
pub enum Memory<'a> {
    /// The address is 0.
    Null,
    /// Nothing is mapped.
    Fault,
    /// Writable memory of the length of the slice; nothing is mapped behind it.
    Bytes(&'a mut [u8]),
    /// Read-only memory of the length of the slice; nothing is mapped behind it.
    ReadOnly(&'a [u8]),
}

impl<'a> Buffer<'a> {
    /// Address 0 and size 0: no table.
    pub const NONE: Buffer<'static> = Buffer { memory: Memory::Null, size: 0 };

    /// A writable buffer, with its own length as the stated size.
    #[must_use]
    pub fn bytes(bytes: &'a mut [u8]) -> Self {
        Buffer { size: bytes.len() as u64, memory: Memory::Bytes(bytes) }
    }

    /// A read-only buffer, with its own length as the stated size.
    #[must_use]
    pub fn read_only(bytes: &'a [u8]) -> Self {
        Buffer { size: bytes.len() as u64, memory: Memory::ReadOnly(bytes) }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.memory, Memory::Null)
    }

    /// The 4 bytes of entry `index`.
    pub(super) fn load(&self, index: usize) -> Result<[u8; 4], Errno> {
        let bytes: &[u8] = match &self.memory {
            Memory::Null | Memory::Fault => &[],
            Memory::Bytes(bytes) => bytes,
            Memory::ReadOnly(bytes) => bytes,
        };
        bytes.as_chunks::<4>().0.get(index).copied().ok_or(Errno::EFAULT)
    }

    /// Writes the 4 bytes of entry `index`.
    pub(super) fn store(&mut self, index: usize, entry: [u8; 4]) -> Result<(), Errno> {
        let bytes: &mut [u8] = match &mut self.memory {
            Memory::Null | Memory::Fault | Memory::ReadOnly(_) => &mut [],
            Memory::Bytes(bytes) => bytes,
        };
        *bytes.as_chunks_mut::<4>().0.get_mut(index).ok_or(Errno::EFAULT)? = entry;
        Ok(())
    }
}

impl User<'_> {
    /// Calls `access` with the address of a value.
    pub(super) fn at<W: Word, R>(value: &mut W, access: impl FnOnce(&mut User<'_>) -> R) -> R {
        fn through<O: Word, W: Word, R>(value: &mut W, access: impl FnOnce(&mut O) -> R) -> R {
            let mut object = O::from_ne_bytes(value.to_ne_bytes());
            let result = access(&mut object);
            *value = W::from_ne_bytes(object.to_ne_bytes());
            result
        }
        match W::BYTES {
            4 => through::<u32, W, R>(value, |object| access(&mut User::U32(object))),
            8 => through::<u64, W, R>(value, |object| access(&mut User::U64(object))),
            _ => through::<[u64; 2], W, R>(value, |object| access(&mut User::U64x2(object))),
        }
    }

    /// The first bytes of the object, and how many it has.
    fn bytes(&self) -> ([u8; 16], usize) {
        match self {
            User::Null | User::Fault | User::Ist(_) => ([0; 16], 0),
            User::U32(object) => (Word::to_ne_bytes(**object), 4),
            User::U64(object) => (Word::to_ne_bytes(**object), 8),
            User::U64x2(object) => (Word::to_ne_bytes(**object), 16),
        }
    }

    /// `get_user`.
    pub(super) fn read<W: Word>(&self) -> Result<W, Errno> {
        let (bytes, len) = self.bytes();
        if len < W::BYTES {
            return Err(Errno::EFAULT);
        }
        Ok(W::from_ne_bytes(bytes))
    }

    /// `put_user`, once per 64 bits: of a value that does not fit, the words that do are written.
    pub(super) fn write<W: Word>(&mut self, value: W) -> Result<(), Errno> {
        let (mut bytes, len) = self.bytes();
        let fits = if len < W::BYTES { len / 8 * 8 } else { W::BYTES };
        for (to, from) in bytes.iter_mut().zip(value.to_ne_bytes()).take(fits) {
            *to = from;
        }
        match self {
            User::Null | User::Fault | User::Ist(_) => {}
            User::U32(object) => **object = Word::from_ne_bytes(bytes),
            User::U64(object) => **object = Word::from_ne_bytes(bytes),
            User::U64x2(object) => **object = Word::from_ne_bytes(bytes),
        }
        if fits < W::BYTES { Err(Errno::EFAULT) } else { Ok(()) }
    }

    /// What the record says of the object.
    pub(super) fn value(&self) -> Option<Value> {
        match self {
            User::Null | User::Fault => None,
            User::U32(object) => Some(Value::U32(**object)),
            User::U64(object) => Some(Value::U64(**object)),
            User::U64x2(object) => Some(Value::U64x2(**object)),
            User::Ist(arg) => {
                let lpi = if arg.lpi.is_null() && arg.lpi.size == 0 { None } else { Some(arg.lpi.size) };
                Some(Value::Tables { spi: arg.spi.size, lpi })
            }
        }
    }
}
