//! IRS registers: which exist, what they hold, and which ID registers user space may write.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-irs-v5.c`, Linux 7.4; Documentation/virt/kvm/devices/arm-vgic-v5.rst, `GRP_IRS_REGS`.
//!
//! Rule: a register keeps the bits that KVM keeps; what depends on a table is not decided here.

use super::host::Host;
use crate::uapi::vgic_v5::irs::*;
use crate::uapi::vgic_v5::irs_fields::*;
use crate::{Errno, VcpuId};
use alloc::vec::Vec;

/// Fields of `IRS_CR1` that KVM keeps.
const CR1_KEPT: u32 = 0xffff & !(GICV5_IRS_CR1_VMT_WA | GICV5_IRS_CR1_VPET_WA);
const IST_CFGR_KEPT: u32 =
    GICV5_IRS_IST_CFGR_LPI_ID_BITS | GICV5_IRS_IST_CFGR_L2SZ | GICV5_IRS_IST_CFGR_ISTSZ | GICV5_IRS_IST_CFGR_STRUCTURE;
const IST_BASER_KEPT: u64 = GICV5_IRS_IST_BASER_VALID | GICV5_IRS_IST_BASER_ADDR;
/// Features of `IRS_IDR0` that KVM does not emulate.
const IDR0_ABSENT: u32 = GICV5_IRS_IDR0_VIRT
    | GICV5_IRS_IDR0_ONE_N
    | GICV5_IRS_IDR0_VIRT_ONE_N
    | GICV5_IRS_IDR0_SETLPI
    | GICV5_IRS_IDR0_MEC
    | GICV5_IRS_IDR0_MPAM
    | GICV5_IRS_IDR0_SWE;
/// Features of `IRS_IDR2` that KVM does not emulate.
const IDR2_ABSENT: u32 = GICV5_IRS_IDR2_IST_LEVELS | GICV5_IRS_IDR2_ISTMD | GICV5_IRS_IDR2_ISTMD_SZ;
const IDR2_KEPT: u32 = GICV5_IRS_IDR2_ID_BITS | GICV5_IRS_IDR2_LPI | GICV5_IRS_IDR2_MIN_LPI_ID_BITS | GICV5_IRS_IDR2_IST_L2SZ;

/// `IRS_IDR5.SPI_RANGE` and `IRS_IDR6.SPI_IRS_RANGE`.
const SPI_RANGE: u32 = 0x01ff_ffff;
/// `IRS_IDR7.SPI_BASE`.
const SPI_BASE: u32 = 0x00ff_ffff;

/// A field, shifted down.
pub(super) const fn field(register: u32, mask: u32) -> u32 {
    (register & mask) >> mask.trailing_zeros()
}

/// The register that an attribute of `GRP_IRS_REGS` names. KVM does not look at bits 63:32.
///
/// Any byte of a register is the register's; then the offset must be aligned to its width.
pub(super) fn register(attr: u64) -> Result<u32, Errno> {
    let offset = attr as u32;
    let register = at(offset).ok_or(Errno::ENXIO)?;
    if register == offset { Ok(register) } else { Err(Errno::EINVAL) }
}

/// The register that the byte at `offset` belongs to.
pub(super) fn at(offset: u32) -> Option<u32> {
    let starts = REGISTERS.iter().map(|(_, start)| *start as u32);
    starts.into_iter().find(|start| (*start..start + width(*start)).contains(&offset))
}

/// Bytes of a register.
pub(super) fn width(register: u32) -> u32 {
    if REGISTERS_64.contains(&register) { 8 } else { 4 }
}

/// The registers with a state of their own.
#[derive(Debug)]
pub(super) struct Irs {
    idr0: u32,
    /// `IRS_IDR1.PRIORITY_BITS`: bits less 1.
    priority_bits: u32,
    idr2: u32,
    nr_spis: u32,
    /// Width of a VPE id.
    iaffid_bits: u32,
    /// `vcpu_id` of every vCPU.
    pub(super) pes: Vec<u16>,
    pub(super) enabled: bool,
    cr1: u32,
    spi_selr: u32,
    pe_selr: u32,
    ist_cfgr: u32,
    ist_baser: u64,
}

impl Irs {
    /// The values after INIT.
    pub(super) fn new(host: &Host, nr_spis: u32, last: VcpuId, pes: Vec<u16>) -> Self {
        Irs {
            idr0: GICV5_IRS_IDR0_INT_DOM_NON_SECURE | host.pa_range << GICV5_IRS_IDR0_PA_RANGE.trailing_zeros(),
            priority_bits: host.priority_bits - 1,
            idr2: host.guest_id_bits()
                | GICV5_IRS_IDR2_LPI
                | host.min_lpi_id_bits << GICV5_IRS_IDR2_MIN_LPI_ID_BITS.trailing_zeros(),
            nr_spis,
            // The VM's table of VPEs has a power of two of entries, 2 at least.
            iaffid_bits: (last.get() + 1).next_power_of_two().max(2).trailing_zeros(),
            pes,
            enabled: false,
            cr1: 0,
            spi_selr: GICV5_IRS_SPI_SELR_ID,
            pe_selr: GICV5_IRS_PE_SELR_IAFFID,
            ist_cfgr: 0,
            ist_baser: 0,
        }
    }

    /// Whether the guest's LPI table is valid.
    pub(super) fn lpis_valid(&self) -> bool {
        self.ist_baser & GICV5_IRS_IST_BASER_VALID != 0
    }

    /// `IRS_IST_CFGR.LPI_ID_BITS`, if the register is legal for `IRS_IDR2` as it is now.
    pub(super) fn lpi_id_bits(&self) -> Option<u32> {
        let bits = field(self.ist_cfgr, GICV5_IRS_IST_CFGR_LPI_ID_BITS);
        let shape = self.ist_cfgr & (GICV5_IRS_IST_CFGR_ISTSZ | GICV5_IRS_IST_CFGR_STRUCTURE);
        (self.lpi_bits_allowed(bits) && shape == 0).then_some(bits)
    }

    /// Whether `IRS_IDR2` allows LPI IDs of this width. Never above [`Host::id_bits`].
    pub(super) fn lpi_bits_allowed(&self, bits: u32) -> bool {
        let least = field(self.idr2, GICV5_IRS_IDR2_MIN_LPI_ID_BITS);
        let most = field(self.idr2, GICV5_IRS_IDR2_ID_BITS);
        (least..=most).contains(&bits)
    }

    /// The value that `IRS_IST_CFGR` keeps of `value`, and the one that it has.
    pub(super) fn ist_cfgr(&self, value: u32) -> (u32, u32) {
        (value & IST_CFGR_KEPT, self.ist_cfgr)
    }

    /// The value that `IRS_IST_BASER` keeps of `value`, and the one that it has.
    pub(super) fn ist_baser(&self, value: u64) -> (u64, u64) {
        (value & IST_BASER_KEPT, self.ist_baser)
    }

    /// The SPI that `IRS_SPI_SELR` names, whether there is one or not.
    pub(super) fn selected_spi(&self) -> usize {
        self.spi_selr as usize
    }

    /// Bits that a priority of this IRS has, of 5.
    pub(super) fn priority_mask(&self) -> u32 {
        0x1f & !(0x1f >> (self.priority_bits + 1))
    }

    /// Whether `IRS_PE_SELR` names a vCPU.
    pub(super) fn pe_selected(&self) -> bool {
        self.pes.iter().any(|pe| u32::from(*pe) == self.pe_selr)
    }

    fn idr1(&self) -> u32 {
        self.pes.len() as u32
            | (self.iaffid_bits - 1) << GICV5_IRS_IDR1_IAFFID_BITS.trailing_zeros()
            | self.priority_bits << GICV5_IRS_IDR1_PRIORITY_BITS.trailing_zeros()
    }

    /// What a register holds, for user space; of a selection only the selectors and `IRS_PE_CR0` are known here.
    pub(super) fn read(&self, register: u32) -> u64 {
        u64::from(match register {
            GICV5_IRS_IST_BASER => return self.ist_baser,
            GICV5_IRS_IDR0 => self.idr0,
            GICV5_IRS_IDR1 => self.idr1(),
            GICV5_IRS_IDR2 => self.idr2,
            GICV5_IRS_IDR5 | GICV5_IRS_IDR6 => self.nr_spis,
            GICV5_IRS_IIDR => 0x04b0_043b,
            GICV5_IRS_CR0 => GICV5_IRS_CR0_IDLE | u32::from(self.enabled),
            GICV5_IRS_CR1 => self.cr1,
            GICV5_IRS_SYNC_STATUSR => GICV5_IRS_SYNC_STATUSR_IDLE,
            GICV5_IRS_SPI_SELR => self.spi_selr,
            GICV5_IRS_SPI_DOMAINR => GICV5_IRS_IDR0_INT_DOM_NON_SECURE,
            // Whether the selection is valid, and whether the PE is online, is the guest's business only.
            GICV5_IRS_SPI_STATUSR => GICV5_IRS_SPI_STATUSR_IDLE,
            GICV5_IRS_PE_SELR => self.pe_selr,
            GICV5_IRS_PE_STATUSR => GICV5_IRS_PE_STATUSR_IDLE,
            GICV5_IRS_PE_CR0 => u32::from(self.pe_selected()),
            GICV5_IRS_IST_CFGR => self.ist_cfgr,
            GICV5_IRS_IST_STATUSR => GICV5_IRS_IST_STATUSR_IDLE,
            GICV5_IRS_DEVARCH => 0x4770_5a19,
            GICV5_IRS_PIDR4 => 0x04,
            GICV5_IRS_PIDR0 => 0x4b,
            GICV5_IRS_PIDR1 => 0xb0,
            GICV5_IRS_PIDR2 => 0x0b,
            GICV5_IRS_CIDR0 => 0x0d,
            GICV5_IRS_CIDR1 => 0xf0,
            GICV5_IRS_CIDR2 => 0x05,
            GICV5_IRS_CIDR3 => 0xb1,
            _ => 0,
        })
    }

    /// A write that KVM takes as it is, but for the bits that it does not keep; a register that cannot be written so ignores it.
    pub(super) fn store(&mut self, register: u32, value: u64) {
        let word = value as u32;
        match register {
            GICV5_IRS_CR0 => self.enabled = word & GICV5_IRS_CR0_IRSEN != 0,
            GICV5_IRS_CR1 => self.cr1 = word & CR1_KEPT,
            GICV5_IRS_SPI_SELR => self.spi_selr = word & GICV5_IRS_SPI_SELR_ID,
            GICV5_IRS_PE_SELR => self.pe_selr = word & GICV5_IRS_PE_SELR_IAFFID,
            GICV5_IRS_IST_CFGR => self.ist_cfgr = word & IST_CFGR_KEPT,
            GICV5_IRS_IST_BASER => self.ist_baser = value & IST_BASER_KEPT,
            _ => {}
        }
    }

    /// User space's write of an ID register.
    pub(super) fn set_idr(&mut self, register: u32, value: u32, host: &Host) -> Result<(), Errno> {
        let accept = |ok: bool| if ok { Ok(()) } else { Err(Errno::EINVAL) };
        match register {
            GICV5_IRS_IDR0 => {
                let domain = field(value, GICV5_IRS_IDR0_INT_DOM);
                accept(domain == GICV5_IRS_IDR0_INT_DOM_NON_SECURE && value & IDR0_ABSENT == 0)?;
                self.idr0 = value & (GICV5_IRS_IDR0_INT_DOM | GICV5_IRS_IDR0_PA_RANGE | GICV5_IRS_IDR0_IRSID);
            }
            GICV5_IRS_IDR1 => {
                let priority_bits = field(value, GICV5_IRS_IDR1_PRIORITY_BITS);
                accept(field(value, GICV5_IRS_IDR1_IAFFID_BITS) == self.iaffid_bits - 1)?;
                accept(priority_bits < host.priority_bits)?;
                self.priority_bits = priority_bits;
            }
            GICV5_IRS_IDR2 => {
                let most = field(value, GICV5_IRS_IDR2_ID_BITS);
                let least = field(value, GICV5_IRS_IDR2_MIN_LPI_ID_BITS);
                accept(value & GICV5_IRS_IDR2_LPI != 0 && value & IDR2_ABSENT == 0)?;
                // The bound is what the host has, not the 16 bits that a guest is shown after INIT.
                accept(most <= host.id_bits && least >= host.min_lpi_id_bits && least <= most)?;
                self.idr2 = value & IDR2_KEPT;
            }
            // The fields are compared, without what is above them.
            GICV5_IRS_IDR5 | GICV5_IRS_IDR6 => accept(value & SPI_RANGE == self.nr_spis)?,
            GICV5_IRS_IDR7 => accept(value & SPI_BASE == 0)?,
            _ => {}
        }
        Ok(())
    }
}
