//! Files that are neither memory as it is nor an image, known by their first bytes.
//!
//! Source: the magic numbers of makedumpfile (`diskdump_mod.h`, `makedumpfile.h`), QEMU (`migration/qemu-file-types.h`, `block/qcow2.h`),
//! libvirt (`qemu_saveimage.h`), LiME, AVML, Firecracker (`vmm/src/snapshot/mod.rs`), and of the compressors.
//!
//! Rule: a file of a known format is named, with what makes memory of it; nothing of it is decoded as if it were memory.

use crate::failure::Failure;
use vgic_state::image;

/// As many bytes of a file as are looked at.
pub(crate) const START_BYTES: usize = 512;

/// A format: its first bytes from an offset on, what it is called, what to do.
struct Format {
    offset: usize,
    magic: &'static [u8],
    name: &'static str,
    advice: &'static str,
}

const fn format(magic: &'static [u8], name: &'static str, advice: &'static str) -> Format {
    Format { offset: 0, magic, name, advice }
}

const AS_ELF: &str = "dump it as ELF (QEMU: dump-guest-memory without -z, -l or -s; makedumpfile: -E)";
const DECOMPRESS: &str = "decompress it first";
const DUMP_THE_GUEST: &str = "restore it, and dump the memory of the guest (QEMU: dump-guest-memory)";

const FORMATS: &[Format] = &[
    format(b"KDUMP   ", "a kdump-compressed dump", AS_ELF),
    format(b"DISKDUMP", "a diskdump", AS_ELF),
    format(b"makedumpfile\0\0\0\0", "a dump in makedumpfile's flattened format, which is mostly kdump-compressed", AS_ELF),
    format(b"PAGEDU64", "a Windows crash dump", AS_ELF),
    format(b"QEVM", "a QEMU migration stream", DUMP_THE_GUEST),
    format(b"LibvirtQemudSave", "a libvirt save", DUMP_THE_GUEST),
    format(b"LibvirtQemudPart", "a libvirt save that was not finished", DUMP_THE_GUEST),
    format(
        b"QFI\xfb",
        "a qcow2 disk image",
        "if it has a snapshot with the state of the VM, load that, and dump the memory of the guest",
    ),
    format(b"EMiL", "a LiME dump", "make a raw or a padded one (LiME: format=raw), or cut out its ranges"),
    format(b"AVML", "an AVML dump", "cut out its ranges (avml-convert makes a raw file or a LiME one)"),
    Format {
        offset: 2,
        magic: &[0xaa, 0xaa, 0x84, 0x19, 0x10, 0x07],
        name: "the state file of a Firecracker snapshot",
        advice: "the memory is in its memory file, which is raw",
    },
    format(&[0x1f, 0x8b, 0x08], "compressed with gzip", DECOMPRESS),
    format(&[0x28, 0xb5, 0x2f, 0xfd], "compressed with zstd", DECOMPRESS),
    format(b"\xfd7zXZ\0", "compressed with xz", DECOMPRESS),
    format(&[0x04, 0x22, 0x4d, 0x18], "compressed with lz4", DECOMPRESS),
    format(&[0x02, 0x21, 0x4c, 0x18], "compressed with lz4", DECOMPRESS),
    format(b"\x89LZO\0\r\n\x1a\n", "compressed with lzop", DECOMPRESS),
    format(b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    format(b"PK\x03\x04", "a zip archive", "unpack it first"),
    Format { offset: 257, magic: b"ustar", name: "a tar archive", advice: "unpack it first" },
    // A block of bzip2 begins with the digits of pi, behind a digit for its size.
    Format { offset: 4, magic: b"1AY&SY", name: "compressed with bzip2", advice: DECOMPRESS },
];

/// What a file is that begins like this, and what to do; nothing if it may be memory.
pub(crate) fn name(start: &[u8]) -> Option<String> {
    let found = FORMATS.iter().find(|format| start.get(format.offset..).is_some_and(|bytes| bytes.starts_with(format.magic)));
    match found {
        Some(format) => Some(format!("{}: {}", format.name, format.advice)),
        None if is_image(start) => Some("the image of an interrupt controller: that is not memory, give it as such".to_owned()),
        None if is_json(start) => Some(
            "a JSON file, such as the state of a Cloud Hypervisor snapshot: the memory is in memory-ranges, one range behind the other"
                .to_owned(),
        ),
        None => None,
    }
}

/// Refuses a file that begins like something else than memory.
pub(crate) fn refuse(start: &[u8]) -> Result<(), Failure> {
    match name(start) {
        Some(name) => Err(format!("not memory, but {name}; if it is memory that begins so by chance: --raw").into()),
        None => Ok(()),
    }
}

fn is_image(start: &[u8]) -> bool {
    start.len() >= image::HEADER_BYTES && image::length(start) != Err(image::ImageError::NotAnImage)
}

/// An object whose start is text.
fn is_json(start: &[u8]) -> bool {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let text = start.get(..START_BYTES.min(start.len())).unwrap_or_default();
    let mut marks = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    text.iter().all(is_text) && marks.next() == Some(&b'{') && marks.next() == Some(&b'"')
}
