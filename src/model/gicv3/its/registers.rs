//! The registers of an ITS.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `its_registers` and the functions named there.
//!
//! Rule: a write that an enabled ITS has to ignore is ignored, and reports success.

use super::baser::{INDIRECT, INITIAL_COLLECTION_BASER, INITIAL_DEVICE_BASER, VALID};
use super::mappings::Its;
use crate::Errno;
use crate::model::gicv3::behaviour::Behaviour;
use crate::model::gicv3::ctx::Ctx;
use crate::model::gicv3::fields::{merge, sanitise};
use crate::uapi::vgic_v3::its::{
    GITS_BASER, GITS_BASER_ENTRY_SIZE, GITS_BASER_PAGE_SIZE, GITS_BASER_TYPE, GITS_CBASER, GITS_CBASER_SIZE, GITS_CBASER_VALID,
    GITS_CMD_OFFSET, GITS_CREADR, GITS_CTLR, GITS_CTLR_ENABLE, GITS_CTLR_QUIESCENT, GITS_CWRITER, GITS_IIDR, GITS_IIDR_REV,
    GITS_TYPER,
};

/// `GITS_PIDR4`: identification registers from here, up to the end of the control frame.
const IDS: u64 = 0xffd0;
const FRAME: u64 = 0x1_0000;
const PIDR2: u64 = 0xffe8;
const BASERS_END: u64 = GITS_BASER as u64 + 0x40;

/// Product K of implementer Arm; the revision, 0, is the version of the table ABI.
const IIDR: u64 = 0x4b00_043b;
/// Physical LPIs, entries of 8 bytes, 16 bits of EventID and of DeviceID.
const TYPER: u64 = 0x1_ef71;
/// A register by its place in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model::gicv3) enum Register {
    Ctlr,
    Iidr,
    Typer,
    Cbaser,
    Cwriter,
    Creadr,
    Baser(u32),
    Ids,
}

impl Register {
    /// What user space names by an offset; `EINVAL` where it is not aligned, which is looked at first.
    pub(in crate::model::gicv3) fn of_user(offset: u64) -> Result<Option<Self>, Errno> {
        // Only registers of 32 bits may be accessed in 32 bits.
        let align = if offset < GITS_TYPER.into() || offset >= IDS { 4 } else { 8 };
        if !offset.is_multiple_of(align) {
            return Err(Errno::EINVAL);
        }
        // Of the offset, 32 bits count.
        Ok(Self::at(offset & 0xffff_ffff))
    }

    /// The register that an offset is in.
    pub(in crate::model::gicv3) fn at(offset: u64) -> Option<Self> {
        const CTLR_END: u64 = GITS_CTLR as u64 + 3;
        const IIDR_START: u64 = GITS_IIDR as u64;
        Some(match offset {
            0..=CTLR_END => Register::Ctlr,
            IIDR_START..0x8 => Register::Iidr,
            0x8..0x10 => Register::Typer,
            _ if offset & !7 == u64::from(GITS_CBASER) => Register::Cbaser,
            _ if offset & !7 == u64::from(GITS_CWRITER) => Register::Cwriter,
            _ if offset & !7 == u64::from(GITS_CREADR) => Register::Creadr,
            _ if (u64::from(GITS_BASER)..BASERS_END).contains(&offset) => {
                Register::Baser(((offset - u64::from(GITS_BASER)) / 8) as u32)
            }
            IDS..FRAME => Register::Ids,
            _ => return None,
        })
    }

    /// Bytes that an access of user space has.
    pub(in crate::model::gicv3) fn width(self) -> u32 {
        if matches!(self, Register::Ctlr | Register::Iidr | Register::Ids) { 4 } else { 8 }
    }
}

impl Its {
    /// The whole register; the low bits of `offset` tell the identification registers apart.
    pub(in crate::model::gicv3) fn read(&self, register: Register, offset: u64) -> u64 {
        match register {
            Register::Ctlr => {
                let quiescent = if self.creadr == self.cwriter { GITS_CTLR_QUIESCENT } else { 0 };
                quiescent | if self.enabled { GITS_CTLR_ENABLE } else { 0 }
            }
            Register::Iidr => IIDR,
            Register::Typer => TYPER,
            Register::Cbaser => self.cbaser,
            Register::Cwriter => self.cwriter,
            Register::Creadr => self.creadr,
            Register::Baser(0) => self.device_baser,
            Register::Baser(1) => self.collection_baser,
            Register::Baser(_) => 0,
            Register::Ids => match offset & 0xffff_ffff {
                PIDR2 => 0x3b,
                // Part number, 64 KiB frames, and what every GIC has.
                0xffe0 => 0x92,
                0xffe4 => 0xb4,
                0xffd0 => 0x40,
                0xfff0 => 0x0d,
                0xfff4 => 0xf0,
                0xfff8 => 0x05,
                0xfffc => 0xb1,
                _ => 0,
            },
        }
    }

    /// A write of user space: the registers that a guest cannot write are different.
    pub(in crate::model::gicv3) fn user_write(&mut self, register: Register, value: u64, ctx: &mut Ctx<'_>) -> Result<Run, Errno> {
        match register {
            Register::Iidr if value & GITS_IIDR_REV != 0 => return Err(Errno::EINVAL),
            Register::Creadr if self.enabled => return Err(Errno::EBUSY),
            Register::Creadr => {
                let offset = value & GITS_CMD_OFFSET;
                if offset >= self.queue_bytes() {
                    return Err(Errno::EINVAL);
                }
                self.creadr = offset;
            }
            _ => return Ok(self.write(register, 0, register.width(), value, ctx)),
        }
        Ok(Run::Nothing)
    }

    /// A write of a guest to `width` bytes at `offset`.
    pub(in crate::model::gicv3) fn write(
        &mut self,
        register: Register,
        offset: u32,
        width: u32,
        value: u64,
        ctx: &mut Ctx<'_>,
    ) -> Run {
        match register {
            Register::Ctlr => {
                let valid = (self.device_baser & self.collection_baser & VALID) != 0 && self.cbaser & GITS_CBASER_VALID != 0;
                let enable = value & GITS_CTLR_ENABLE != 0;
                if self.enabled || !enable || valid {
                    self.enabled = enable;
                    return Run::Queue;
                }
            }
            Register::Cwriter => {
                let cwriter = merge(self.cwriter, offset, width, value) & GITS_CMD_OFFSET;
                if cwriter < self.queue_bytes() {
                    self.cwriter = cwriter;
                    return Run::Queue;
                }
            }
            Register::Cbaser if !self.enabled => {
                // KVM forces 64 KiB alignment of the queue.
                self.cbaser = sanitise(merge(self.cbaser, offset, width, value), 10, 59, 53) & !0xf000;
                (self.creadr, self.cwriter) = (0, 0);
            }
            Register::Baser(index @ 0..=1) if !self.enabled => self.write_baser(index, offset, width, value, ctx),
            _ => {}
        }
        Run::Nothing
    }

    fn write_baser(&mut self, index: u32, offset: u32, width: u32, value: u64, ctx: &mut Ctx<'_>) {
        const READ_ONLY: u64 = GITS_BASER_TYPE | GITS_BASER_ENTRY_SIZE;
        let (register, initial, cleared) = match index {
            0 => (&mut self.device_baser, INITIAL_DEVICE_BASER, 0),
            _ => (&mut self.collection_baser, INITIAL_COLLECTION_BASER, INDIRECT),
        };
        let old = *register;
        let written = merge(old, offset, width, value) & !READ_ONLY & !cleared;
        let forced = GITS_BASER_PAGE_SIZE | READ_ONLY;
        *register = sanitise(written, 10, 59, 53) & !forced | initial & forced;
        let gone = *register & VALID == 0;
        let changed = ctx.host.kernel.has(Behaviour::ChangedBaserFreesMappings) && *register != old;
        match index {
            0 if gone || changed => self.free_devices(ctx),
            1 if gone || changed => self.free_collections(),
            _ => {}
        }
    }

    /// Bytes of the command queue.
    pub(super) fn queue_bytes(&self) -> u64 {
        ((self.cbaser & GITS_CBASER_SIZE) + 1) << 12
    }
}

/// What a write sets off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::model::gicv3) enum Run {
    Nothing,
    /// The ITS looks for commands.
    Queue,
}
