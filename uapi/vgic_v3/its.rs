//! Offsets of the ITS registers, their fields as masks, and the table entries of ABI revision 0.
//!
//! Source: `include/linux/irqchip/arm-gic-v3.h`; Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0".
//!
//! Rule: a mask is written as the bit range of the specification.

use super::super::bits;

constants! {
    /// All registers by name, in the order of their offsets.
    REGISTERS;

    /// Enable, quiescent.
    GITS_CTLR: u32 = 0x0000;
    /// Implementer and, as the revision, the version of the table ABI.
    GITS_IIDR: u32 = 0x0004;
    /// Features, 64 bits, read only.
    GITS_TYPER: u32 = 0x0008;
    /// Command queue.
    GITS_CBASER: u32 = 0x0080;
    /// Where the guest has written commands to.
    GITS_CWRITER: u32 = 0x0088;
    /// Where the ITS has read commands to.
    GITS_CREADR: u32 = 0x0090;
    /// Tables, 8 registers of 64 bits: devices, collections, and six that KVM does not implement.
    GITS_BASER: u32 = 0x0100;
}

/// Arrays: first offset, offset behind the last register, bytes from one register to the next.
pub const ARRAYS: &[(u32, u32, u32)] = &[(GITS_BASER, 0x0140, 8)];

/// Offset of `GITS_TRANSLATER`, the doorbell, from the base of the ITS: in the translation frame.
pub const GITS_TRANSLATER: u64 = 0x1_0040;

constants! {
    /// All masks and values by name.
    MASKS;

    /// `GITS_CTLR.Enabled`.
    GITS_CTLR_ENABLE: u64 = bits(0, 0);
    /// `GITS_CTLR.Quiescent`, read only.
    GITS_CTLR_QUIESCENT: u64 = bits(31, 31);
    /// `GITS_IIDR.Revision`: the version of the table ABI.
    GITS_IIDR_REV: u64 = bits(15, 12);
    /// `GITS_TYPER.Physical`: LPIs.
    GITS_TYPER_PLPIS: u64 = bits(0, 0);
    /// `GITS_TYPER.Virtual`: vLPIs.
    GITS_TYPER_VLPIS: u64 = bits(1, 1);
    /// `GITS_TYPER.ITT_entry_size` - 1, in bytes.
    GITS_TYPER_ITT_ENTRY_SIZE: u64 = bits(7, 4);
    /// `GITS_TYPER.ID_bits` - 1.
    GITS_TYPER_IDBITS: u64 = bits(12, 8);
    /// `GITS_TYPER.Devbits` - 1.
    GITS_TYPER_DEVBITS: u64 = bits(17, 13);
    /// `GITS_TYPER.PTA`: a target is an address, not a number.
    GITS_TYPER_PTA: u64 = bits(19, 19);
    /// `GITS_TYPER.HCC`: collections held in hardware.
    GITS_TYPER_HCC: u64 = bits(31, 24);
    /// `GITS_TYPER.CIDbits` - 1; means something with CIL.
    GITS_TYPER_CIDBITS: u64 = bits(35, 32);
    /// `GITS_TYPER.CIL`: collections are limited to CIDbits.
    GITS_TYPER_CIL: u64 = bits(36, 36);
    /// `GITS_TYPER.VMOVP`: the command needs no list of ITSes.
    GITS_TYPER_VMOVP: u64 = bits(37, 37);
    /// `GITS_TYPER.VMAPP`: the format of the command is that of GICv4.1.
    GITS_TYPER_VMAPP: u64 = bits(40, 40);
    /// `GITS_CBASER.Valid`.
    GITS_CBASER_VALID: u64 = bits(63, 63);
    /// `GITS_CBASER.Physical_Address`; KVM keeps it aligned to 64 KiB.
    GITS_CBASER_ADDRESS: u64 = bits(51, 12);
    /// `GITS_CBASER.Size`: pages of 4 KiB - 1.
    GITS_CBASER_SIZE: u64 = bits(7, 0);
    /// `GITS_CWRITER.Offset` and `GITS_CREADR.Offset`, in bytes from the start of the queue.
    GITS_CMD_OFFSET: u64 = bits(19, 5);
    /// `GITS_BASER.Valid`.
    GITS_BASER_VALID: u64 = bits(63, 63);
    /// `GITS_BASER.Indirect`: two levels.
    GITS_BASER_INDIRECT: u64 = bits(62, 62);
    /// `GITS_BASER.Type`: 1 devices, 4 collections; read only.
    GITS_BASER_TYPE: u64 = bits(58, 56);
    /// `GITS_BASER.Entry_Size` - 1, in bytes; read only.
    GITS_BASER_ENTRY_SIZE: u64 = bits(52, 48);
    /// `GITS_BASER.Physical_Address` `[47:16]`; bits `[15:12]` of the register hold `[51:48]` where pages have 64 KiB.
    GITS_BASER_ADDRESS: u64 = bits(47, 12);
    /// `GITS_BASER.Page_Size`; KVM: 2, 64 KiB.
    GITS_BASER_PAGE_SIZE: u64 = bits(9, 8);
    /// `GITS_BASER.Size`: pages - 1.
    GITS_BASER_SIZE: u64 = bits(7, 0);
    /// Device table entry: valid.
    KVM_ITS_DTE_VALID: u64 = bits(63, 63);
    /// Device table entry: distance to the next valid one, 0 for the last.
    KVM_ITS_DTE_NEXT: u64 = bits(62, 49);
    /// Device table entry: address `[51:8]` of the interrupt translation table.
    KVM_ITS_DTE_ITTADDR: u64 = bits(48, 5);
    /// Device table entry: EventID bits - 1.
    KVM_ITS_DTE_SIZE: u64 = bits(4, 0);
    /// Collection table entry: valid. The first that is not ends the table.
    KVM_ITS_CTE_VALID: u64 = bits(63, 63);
    /// Collection table entry: target, a `vcpu_id`.
    KVM_ITS_CTE_RDBASE: u64 = bits(51, 16);
    /// Collection table entry: collection.
    KVM_ITS_CTE_ICID: u64 = bits(15, 0);
    /// Interrupt translation entry: distance to the next valid one, 0 for the last.
    KVM_ITS_ITE_NEXT: u64 = bits(63, 48);
    /// Interrupt translation entry: physical INTID, 0 for no entry.
    KVM_ITS_ITE_PINTID: u64 = bits(47, 16);
    /// Interrupt translation entry: collection.
    KVM_ITS_ITE_ICID: u64 = bits(15, 0);
    /// Level-1 device table entry: valid.
    KVM_ITS_L1E_VALID: u64 = bits(63, 63);
    /// Level-1 device table entry: address of the level-2 page, 64 KiB.
    KVM_ITS_L1E_ADDR: u64 = bits(51, 16);
}
