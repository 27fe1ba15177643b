//! Registers of a GICv3 and its ITSes.
//!
//! Source: Arm IHI 0069; `include/linux/irqchip/arm-gic-v3.h`.
//!
//! Rule: one row for each register that is state; an array is named without its number.

use super::{Field, Register, flag, hex, in_place, means, minus_one, number};

const CACHE: &[(u64, &str)] =
    &[(0, "Device-nGnRnE"), (1, "Non-cacheable"), (2, "RaWt"), (3, "RaWb"), (4, "WaWt"), (5, "WaWb"), (6, "RaWaWt"), (7, "RaWaWb")];
const SHAREABILITY: &[(u64, &str)] = &[(0, "Non-shareable"), (1, "Inner Shareable"), (2, "Outer Shareable")];

pub(super) const REGISTERS: &[Register] = &[
    ("GICD_CTLR", DIST_CTLR),
    ("GICD_TYPER", DIST_TYPER),
    ("GICD_IIDR", IIDR),
    ("GICD_TYPER2", &[number("VID", 4, 0), flag("VIL", 7), flag("nASSGIcap", 8)]),
    ("GICR_CTLR", REDIST_CTLR),
    ("GICR_IIDR", IIDR),
    ("GICR_TYPER", REDIST_TYPER),
    ("GICR_PROPBASER", PROPBASER),
    ("GICR_PENDBASER", PENDBASER),
    ("ICC_SRE_EL1", &[flag("SRE", 0), flag("DFB", 1), flag("DIB", 2)]),
    ("ICC_CTLR_EL1", ICC_CTLR),
    ("ICC_IGRPEN0_EL1", &[flag("Enable", 0)]),
    ("ICC_IGRPEN1_EL1", &[flag("Enable", 0)]),
    ("ICC_PMR_EL1", &[hex("Priority", 7, 0)]),
    ("ICC_BPR0_EL1", &[number("BinaryPoint", 2, 0)]),
    ("ICC_BPR1_EL1", &[number("BinaryPoint", 2, 0)]),
    ("GITS_CTLR", &[flag("Enabled", 0), flag("ImDe", 1), flag("UMSIirq", 8), flag("Quiescent", 31)]),
    ("GITS_IIDR", IIDR),
    ("GITS_TYPER", ITS_TYPER),
    ("GITS_CBASER", CBASER),
    ("GITS_CREADR", &[flag("Stalled", 0), in_place("Offset", 19, 5)]),
    ("GITS_CWRITER", &[flag("Retry", 0), in_place("Offset", 19, 5)]),
    ("GITS_BASER", BASER),
];

const IIDR: &[Field] =
    &[hex("Implementer", 11, 0), number("Revision", 15, 12), number("Variant", 19, 16), hex("ProductID", 31, 24)];

const DIST_CTLR: &[Field] = &[
    flag("EnableGrp0", 0),
    flag("EnableGrp1", 1),
    flag("ARE", 4),
    flag("DS", 6),
    flag("E1NWF", 7),
    flag("nASSGIreq", 8),
    flag("RWP", 31),
];

const DIST_TYPER: &[Field] = &[
    number("ITLinesNumber", 4, 0),
    number("CPUNumber", 7, 5),
    flag("ESPI", 8),
    flag("NMI", 9),
    flag("SecurityExtn", 10),
    number("num_LPIs", 15, 11),
    flag("MBIS", 16),
    flag("LPIS", 17),
    flag("DVIS", 18),
    minus_one("IDbits", 23, 19, "bits"),
    flag("A3V", 24),
    flag("No1N", 25),
    flag("RSS", 26),
    number("ESPI_range", 31, 27),
];

const REDIST_CTLR: &[Field] = &[
    flag("EnableLPIs", 0),
    flag("CES", 1),
    flag("IR", 2),
    flag("RWP", 3),
    flag("DPG0", 24),
    flag("DPG1NS", 25),
    flag("DPG1S", 26),
    flag("UWP", 31),
];

const REDIST_TYPER: &[Field] = &[
    flag("PLPIS", 0),
    flag("VLPIS", 1),
    flag("Dirty", 2),
    flag("DirectLPI", 3),
    flag("Last", 4),
    flag("DPGS", 5),
    flag("MPAM", 6),
    flag("RVPEID", 7),
    number("Processor_Number", 23, 8),
    number("CommonLPIAff", 25, 24),
    flag("VSGI", 26),
    number("PPInum", 31, 27),
    hex("Affinity_Value", 63, 32),
];

const PROPBASER: &[Field] = &[
    minus_one("IDbits", 4, 0, "bits"),
    means("InnerCache", 9, 7, CACHE),
    means("Shareability", 11, 10, SHAREABILITY),
    in_place("Physical_Address", 51, 12),
    number("OuterCache", 58, 56),
];

const PENDBASER: &[Field] = &[
    means("InnerCache", 9, 7, CACHE),
    means("Shareability", 11, 10, SHAREABILITY),
    in_place("Physical_Address", 51, 16),
    number("OuterCache", 58, 56),
    flag("PTZ", 62),
];

const ICC_CTLR: &[Field] = &[
    flag("CBPR", 0),
    flag("EOImode", 1),
    flag("PMHE", 6),
    minus_one("PRIbits", 10, 8, "bits"),
    means("IDbits", 13, 11, &[(0, "16 bits"), (1, "24 bits")]),
    flag("SEIS", 14),
    flag("A3V", 15),
    flag("RSS", 18),
    flag("ExtRange", 19),
];

const ITS_TYPER: &[Field] = &[
    flag("Physical", 0),
    flag("Virtual", 1),
    flag("CCT", 2),
    minus_one("ITT_entry_size", 7, 4, "bytes"),
    minus_one("ID_bits", 12, 8, "bits"),
    minus_one("Devbits", 17, 13, "bits"),
    flag("SEIS", 18),
    flag("PTA", 19),
    number("HCC", 31, 24),
    number("CIDbits", 35, 32),
    flag("CIL", 36),
    flag("VMOVP", 37),
    flag("MPAM", 38),
    flag("VSGI", 39),
    flag("VMAPP", 40),
    number("SVPET", 42, 41),
    flag("nID", 43),
    flag("UMSI", 44),
    flag("UMSIirq", 45),
    flag("INV", 46),
];

const CBASER: &[Field] = &[
    minus_one("Size", 7, 0, "4K pages"),
    means("Shareability", 11, 10, SHAREABILITY),
    in_place("Physical_Address", 51, 12),
    number("OuterCache", 55, 53),
    means("InnerCache", 61, 59, CACHE),
    flag("Valid", 63),
];

const BASER: &[Field] = &[
    minus_one("Size", 7, 0, "pages"),
    means("Page_Size", 9, 8, &[(0, "4K"), (1, "16K"), (2, "64K")]),
    means("Shareability", 11, 10, SHAREABILITY),
    in_place("Physical_Address", 47, 12),
    minus_one("Entry_Size", 52, 48, "bytes"),
    number("OuterCache", 55, 53),
    means("Type", 58, 56, &[(0, "none"), (1, "devices"), (2, "vPEs"), (4, "collections")]),
    means("InnerCache", 61, 59, CACHE),
    means("Indirect", 62, 62, &[(0, "flat"), (1, "two-level")]),
    flag("Valid", 63),
];
