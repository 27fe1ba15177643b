//! Fields of the registers of a GICv3 and its ITSes.
//!
//! Source: Arm IHI 0069; `include/linux/irqchip/arm-gic-v3.h`.
//!
//! Rule: a field is defined here and nowhere else: whoever shows a register, compares two or judges one goes by these lists.

use crate::registers::{Field, Meaning};
use crate::uapi::bits;
use crate::uapi::vgic_v3::dist::*;
use crate::uapi::vgic_v3::icc::*;
use crate::uapi::vgic_v3::ich::*;
use crate::uapi::vgic_v3::its::*;
use crate::uapi::vgic_v3::redist::*;

const CACHE: Meaning = Meaning::Values(&[
    (0, "Device-nGnRnE"),
    (1, "Non-cacheable"),
    (2, "RaWt"),
    (3, "RaWb"),
    (4, "WaWt"),
    (5, "WaWb"),
    (6, "RaWaWt"),
    (7, "RaWaWb"),
]);
const SHAREABILITY: Meaning = Meaning::Values(&[(0, "Non-shareable"), (1, "Inner Shareable"), (2, "Outer Shareable")]);
const BITS: Meaning = Meaning::MinusOne("bits");
const BYTES: Meaning = Meaning::MinusOne("bytes");

const fn field(name: &'static str, mask: u64, meaning: Meaning) -> Field {
    Field::new(name, mask, meaning)
}

const fn number(name: &'static str, mask: u64) -> Field {
    Field::new(name, mask, Meaning::Number)
}

const fn flag(name: &'static str, bit: u32) -> Field {
    number(name, bits(bit, bit))
}

const fn pattern(name: &'static str, mask: u64) -> Field {
    Field::new(name, mask, Meaning::Bits)
}

pub(super) const IIDR: &[Field] = &[
    pattern("Implementer", bits(11, 0)),
    number("Revision", GICD_IIDR_REVISION as u64),
    number("Variant", bits(19, 16)),
    pattern("ProductID", bits(31, 24)),
];

pub(super) const DIST_CTLR: &[Field] = &[
    flag("EnableGrp0", 0),
    number("EnableGrp1", GICD_CTLR_ENABLE_GRP1 as u64),
    number("ARE", GICD_CTLR_ARE as u64),
    number("DS", GICD_CTLR_DS as u64),
    flag("E1NWF", 7),
    number("nASSGIreq", GICD_CTLR_NASSGIREQ as u64),
    flag("RWP", 31),
];

pub(super) const DIST_TYPER: &[Field] = &[
    number("ITLinesNumber", bits(4, 0)),
    number("CPUNumber", bits(7, 5)),
    flag("ESPI", 8),
    flag("NMI", 9),
    flag("SecurityExtn", 10),
    number("num_LPIs", bits(15, 11)),
    flag("MBIS", 16),
    number("LPIS", GICD_TYPER_LPIS as u64),
    flag("DVIS", 18),
    field("IDbits", bits(23, 19), BITS),
    flag("A3V", 24),
    flag("No1N", 25),
    flag("RSS", 26),
    number("ESPI_range", bits(31, 27)),
];

pub(super) const DIST_TYPER2: &[Field] =
    &[number("VID", bits(4, 0)), flag("VIL", 7), number("nASSGIcap", GICD_TYPER2_NASSGICAP as u64)];

pub(super) const REDIST_CTLR: &[Field] = &[
    number("EnableLPIs", GICR_CTLR_ENABLE_LPIS as u64),
    flag("CES", 1),
    flag("IR", 2),
    flag("RWP", 3),
    flag("DPG0", 24),
    flag("DPG1NS", 25),
    flag("DPG1S", 26),
    flag("UWP", 31),
];

pub(super) const REDIST_TYPER: &[Field] = &[
    number("PLPIS", GICR_TYPER_PLPIS),
    flag("VLPIS", 1),
    flag("Dirty", 2),
    flag("DirectLPI", 3),
    number("Last", GICR_TYPER_LAST),
    flag("DPGS", 5),
    flag("MPAM", 6),
    flag("RVPEID", 7),
    number("Processor_Number", GICR_TYPER_PROCESSOR_NUMBER),
    number("CommonLPIAff", bits(25, 24)),
    flag("VSGI", 26),
    number("PPInum", bits(31, 27)),
    pattern("Affinity_Value", GICR_TYPER_AFFINITY_VALUE),
];

pub(super) const PROPBASER: &[Field] = &[
    field("IDbits", GICR_PROPBASER_IDBITS, BITS),
    field("InnerCache", bits(9, 7), CACHE),
    field("Shareability", bits(11, 10), SHAREABILITY),
    field("Physical_Address", GICR_PROPBASER_ADDRESS, Meaning::InPlace),
    number("OuterCache", bits(58, 56)),
];

pub(super) const PENDBASER: &[Field] = &[
    field("InnerCache", bits(9, 7), CACHE),
    field("Shareability", bits(11, 10), SHAREABILITY),
    field("Physical_Address", GICR_PENDBASER_ADDRESS, Meaning::InPlace),
    number("OuterCache", bits(58, 56)),
    number("PTZ", GICR_PENDBASER_PTZ),
];

pub(super) const ICC_SRE: &[Field] = &[number("SRE", ICC_SRE_EL1_SRE), flag("DFB", 1), flag("DIB", 2)];

pub(super) const ICC_CTLR: &[Field] = &[
    flag("CBPR", 0),
    flag("EOImode", 1),
    flag("PMHE", 6),
    field("PRIbits", ICC_CTLR_EL1_PRI_BITS, BITS),
    field("IDbits", bits(13, 11), Meaning::Values(&[(0, "16 bits"), (1, "24 bits")])),
    flag("SEIS", 14),
    flag("A3V", 15),
    flag("RSS", 18),
    flag("ExtRange", 19),
];

pub(super) const ICC_IGRPEN: &[Field] = &[flag("Enable", 0)];
pub(super) const ICC_PMR: &[Field] = &[pattern("Priority", bits(7, 0))];
pub(super) const ICC_BPR: &[Field] = &[number("BinaryPoint", bits(2, 0))];

pub(super) const ICC_SRE_EL2: &[Field] = &[flag("SRE", 0), flag("DFB", 1), flag("DIB", 2), flag("Enable", 3)];

pub(super) const ICH_VTR: &[Field] = &[
    field("ListRegs", ICH_VTR_EL2_LISTREGS, Meaning::MinusOne("list registers")),
    flag("DVIM", 18),
    number("TDS", ICH_VTR_EL2_TDS),
    flag("nV4", 20),
    flag("A3V", 21),
    flag("SEIS", 22),
    field("IDbits", bits(25, 23), Meaning::Values(&[(0, "16 bits"), (1, "24 bits")])),
    field("PREbits", bits(28, 26), BITS),
    field("PRIbits", bits(31, 29), BITS),
];

pub(super) const ICH_VMCR: &[Field] = &[
    flag("VENG0", 0),
    flag("VENG1", 1),
    flag("VAckCtl", 2),
    flag("VFIQEn", 3),
    flag("VCBPR", 4),
    flag("VEOIM", 9),
    number("VBPR1", bits(20, 18)),
    number("VBPR0", bits(23, 21)),
    pattern("VPMR", bits(31, 24)),
];

pub(super) const ICH_HCR: &[Field] = &[
    flag("En", 0),
    flag("UIE", 1),
    flag("LRENPIE", 2),
    flag("NPIE", 3),
    flag("VGrp0EIE", 4),
    flag("VGrp0DIE", 5),
    flag("VGrp1EIE", 6),
    flag("VGrp1DIE", 7),
    number("vSGIEOICount", ICH_HCR_EL2_VSGIEOICOUNT),
    flag("TC", 10),
    flag("TALL0", 11),
    flag("TALL1", 12),
    flag("TSEI", 13),
    number("TDIR", ICH_HCR_EL2_TDIR),
    number("DVIM", ICH_HCR_EL2_DVIM),
    number("EOIcount", bits(31, 27)),
];

/// Without HW, bit 41 is EOI, and there is no pINTID.
pub(super) const ICH_LR: &[Field] = &[
    number("vINTID", ICH_LR_EL2_VINTID),
    number("pINTID", ICH_LR_EL2_PINTID),
    pattern("Priority", bits(55, 48)),
    flag("NMI", 59),
    flag("Group", 60),
    number("HW", ICH_LR_EL2_HW),
    field("State", ICH_LR_EL2_STATE, Meaning::Values(&[(0, "inactive"), (1, "pending"), (2, "active"), (3, "pending and active")])),
];

pub(super) const ITS_CTLR: &[Field] =
    &[number("Enabled", GITS_CTLR_ENABLE), flag("ImDe", 1), flag("UMSIirq", 8), number("Quiescent", GITS_CTLR_QUIESCENT)];

pub(super) const ITS_TYPER: &[Field] = &[
    number("Physical", GITS_TYPER_PLPIS),
    number("Virtual", GITS_TYPER_VLPIS),
    flag("CCT", 2),
    field("ITT_entry_size", GITS_TYPER_ITT_ENTRY_SIZE, BYTES),
    field("ID_bits", GITS_TYPER_IDBITS, BITS),
    field("Devbits", GITS_TYPER_DEVBITS, BITS),
    flag("SEIS", 18),
    number("PTA", GITS_TYPER_PTA),
    number("HCC", GITS_TYPER_HCC),
    number("CIDbits", GITS_TYPER_CIDBITS),
    number("CIL", GITS_TYPER_CIL),
    number("VMOVP", GITS_TYPER_VMOVP),
    flag("MPAM", 38),
    flag("VSGI", 39),
    number("VMAPP", GITS_TYPER_VMAPP),
    number("SVPET", bits(42, 41)),
    flag("nID", 43),
    flag("UMSI", 44),
    flag("UMSIirq", 45),
    flag("INV", 46),
];

pub(super) const CBASER: &[Field] = &[
    field("Size", GITS_CBASER_SIZE, Meaning::MinusOne("4K pages")),
    field("Shareability", bits(11, 10), SHAREABILITY),
    field("Physical_Address", GITS_CBASER_ADDRESS, Meaning::InPlace),
    number("OuterCache", bits(55, 53)),
    field("InnerCache", bits(61, 59), CACHE),
    number("Valid", GITS_CBASER_VALID),
];

pub(super) const CREADR: &[Field] = &[flag("Stalled", 0), field("Offset", GITS_CMD_OFFSET, Meaning::InPlace)];
pub(super) const CWRITER: &[Field] = &[flag("Retry", 0), field("Offset", GITS_CMD_OFFSET, Meaning::InPlace)];

pub(super) const BASER: &[Field] = &[
    field("Size", GITS_BASER_SIZE, Meaning::MinusOne("pages")),
    field("Page_Size", GITS_BASER_PAGE_SIZE, Meaning::Values(&[(0, "4K"), (1, "16K"), (2, "64K")])),
    field("Shareability", bits(11, 10), SHAREABILITY),
    field("Physical_Address", GITS_BASER_ADDRESS, Meaning::InPlace),
    field("Entry_Size", GITS_BASER_ENTRY_SIZE, BYTES),
    number("OuterCache", bits(55, 53)),
    field("Type", GITS_BASER_TYPE, Meaning::Values(&[(0, "none"), (1, "devices"), (2, "vPEs"), (4, "collections")])),
    field("InnerCache", bits(61, 59), CACHE),
    field("Indirect", GITS_BASER_INDIRECT, Meaning::Values(&[(0, "flat"), (1, "two-level")])),
    number("Valid", GITS_BASER_VALID),
];
