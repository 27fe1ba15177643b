//! Fields of the registers of a GICv2.
//!
//! Source: Arm IHI 0048; `include/linux/irqchip/arm-gic.h`.
//!
//! Rule: a field is defined here and nowhere else: whoever shows a register, compares two or judges one goes by these lists.

use crate::registers::{Field, Meaning};
use crate::uapi::bits;

const fn number(name: &'static str, mask: u64) -> Field {
    Field::new(name, mask, Meaning::Number)
}

const fn flag(name: &'static str, bit: u32) -> Field {
    number(name, bits(bit, bit))
}

const fn pattern(name: &'static str, mask: u64) -> Field {
    Field::new(name, mask, Meaning::Bits)
}

pub(super) const DIST_CTLR: &[Field] = &[flag("EnableGrp0", 0), flag("EnableGrp1", 1)];

pub(super) const DIST_TYPER: &[Field] = &[
    number("ITLinesNumber", bits(4, 0)),
    Field::new("CPUNumber", bits(7, 5), Meaning::MinusOne("CPU interfaces")),
    flag("SecurityExtn", 10),
    number("LSPI", bits(15, 11)),
];

pub(super) const DIST_IIDR: &[Field] = &[
    pattern("Implementer", bits(11, 0)),
    number("Revision", bits(15, 12)),
    number("Variant", bits(19, 16)),
    pattern("ProductID", bits(31, 24)),
];

pub(super) const CPU_IIDR: &[Field] = &[
    pattern("Implementer", bits(11, 0)),
    number("Revision", bits(15, 12)),
    number("Architecture_version", bits(19, 16)),
    pattern("ProductID", bits(31, 20)),
];

pub(super) const CPU_CTLR: &[Field] =
    &[flag("EnableGrp0", 0), flag("EnableGrp1", 1), flag("AckCtl", 2), flag("FIQEn", 3), flag("CBPR", 4), flag("EOImodeNS", 9)];

/// `Priority[7:3]` of the register that a guest has.
pub(super) const CPU_PMR: &[Field] = &[pattern("Priority[7:3]", bits(4, 0))];
pub(super) const CPU_BPR: &[Field] = &[number("Binary_point", bits(2, 0))];
