//! Registers of a GICv5.
//!
//! Source: `include/linux/irqchip/arm-gic-v5.h`, `arch/arm64/tools/sysreg`, Linux 7.4.
//!
//! Rule: one row for each register that is state.

use super::{Field, Register, flag, hex, in_place, means, minus_one, number};

const CACHE: &[(u64, &str)] = &[(0, "Non-cacheable"), (1, "Write-Back"), (2, "Write-Through")];

pub(super) const REGISTERS: &[Register] = &[
    ("IRS_IDR0", IDR0),
    ("IRS_IDR1", IDR1),
    ("IRS_IDR2", IDR2),
    ("IRS_IDR5", &[number("SPI_RANGE", 24, 0)]),
    ("IRS_IDR6", &[number("SPI_IRS_RANGE", 24, 0)]),
    ("IRS_IDR7", &[number("SPI_BASE", 23, 0)]),
    ("IRS_CR0", &[flag("IRSEN", 0), flag("IDLE", 1)]),
    ("IRS_CR1", CR1),
    ("IRS_SPI_SELR", &[hex("ID", 23, 0)]),
    ("IRS_PE_SELR", &[hex("IAFFID", 15, 0)]),
    ("IRS_IST_BASER", &[flag("VALID", 0), in_place("ADDR", 55, 6)]),
    ("IRS_IST_CFGR", IST_CFGR),
    ("ICC_ICSR_EL1", ICSR),
    // The places of LINK and LINK_IDLE are inferred.
    ("ICC_CR0_EL1", &[flag("EN", 0), flag("LINK", 1), flag("LINK_IDLE", 2)]),
    ("ICC_PCR_EL1", &[number("PRIORITY", 4, 0)]),
];

const IDR0: &[Field] = &[
    means("INT_DOM", 1, 0, &[(0, "Secure"), (1, "Non-secure"), (2, "EL3"), (3, "Realm")]),
    means("PA_RANGE", 5, 2, PA_RANGE),
    flag("VIRT", 6),
    flag("ONE_N", 7),
    flag("VIRT_ONE_N", 8),
    flag("SETLPI", 9),
    flag("MEC", 10),
    flag("MPAM", 11),
    flag("SWE", 12),
    number("IRSID", 31, 16),
];

const PA_RANGE: &[(u64, &str)] = &[
    (0, "32 bits"),
    (1, "36 bits"),
    (2, "40 bits"),
    (3, "42 bits"),
    (4, "44 bits"),
    (5, "48 bits"),
    (6, "52 bits"),
    (7, "56 bits"),
];

const IDR1: &[Field] =
    &[number("PE_CNT", 15, 0), minus_one("IAFFID_BITS", 19, 16, "bits"), minus_one("PRIORITY_BITS", 22, 20, "bits")];

const IDR2: &[Field] = &[
    number("ID_BITS", 4, 0),
    flag("LPI", 5),
    number("MIN_LPI_ID_BITS", 9, 6),
    flag("IST_LEVELS", 10),
    hex("IST_L2SZ", 13, 11),
    flag("ISTMD", 14),
    number("ISTMD_SZ", 19, 15),
];

const CR1: &[Field] = &[
    means("SH", 1, 0, &[(0, "Non-shareable"), (2, "Outer Shareable"), (3, "Inner Shareable")]),
    means("OC", 3, 2, CACHE),
    means("IC", 5, 4, CACHE),
    flag("IST_RA", 6),
    flag("IST_WA", 7),
    flag("VMT_RA", 8),
    flag("VMT_WA", 9),
    flag("VPET_RA", 10),
    flag("VPET_WA", 11),
    flag("VMD_RA", 12),
    flag("VMD_WA", 13),
    flag("VPED_RA", 14),
    flag("VPED_WA", 15),
];

const IST_CFGR: &[Field] = &[
    number("LPI_ID_BITS", 4, 0),
    means("L2SZ", 6, 5, &[(0, "4K"), (1, "16K"), (2, "64K")]),
    means("ISTSZ", 8, 7, &[(0, "4 bytes"), (1, "8 bytes"), (2, "16 bytes")]),
    means("STRUCTURE", 16, 16, &[(0, "linear"), (1, "two-level")]),
];

const ICSR: &[Field] = &[
    flag("F", 0),
    flag("Enabled", 1),
    flag("Pending", 2),
    flag("IRM", 3),
    flag("Active", 4),
    flag("HM", 5),
    number("Priority", 15, 11),
    number("IAFFID", 47, 32),
];
