//! Registers taken apart: what the fields of a value say.
//!
//! Source: the library's register tables, which define each field once.
//!
//! Rule: nothing is defined here. A register that is shown, or compared with another, has the fields of its row.

use vgic_state::{Field, Meaning, Row};

/// The value of a field, and what it means.
pub(crate) fn show(field: &Field, register: u64) -> String {
    let value = field.of(register);
    match field.meaning {
        Meaning::Bits => format!("{value:#x}"),
        Meaning::InPlace => format!("{:#x}", register & field.mask),
        Meaning::MinusOne(unit) if value == 0 => format!("0 (1 {})", unit.trim_end_matches('s')),
        Meaning::MinusOne(unit) => format!("{value} ({} {unit})", value + 1),
        Meaning::Values(meanings) => match meanings.iter().find(|(of, _)| *of == value) {
            Some((_, meaning)) => format!("{value} ({meaning})"),
            None => value.to_string(),
        },
        _ => value.to_string(),
    }
}

/// Up to this many fields, those that are zero are shown too.
const FEW: usize = 6;

/// The fields of a value: all if there are few or if `all`, otherwise those that are not zero. Bits of no field come last. Empty if the
/// register is one number.
pub(crate) fn decode(row: &Row, value: u64, all: bool) -> String {
    if row.fields.is_empty() {
        return String::new();
    }
    let all = all || row.fields.len() <= FEW;
    let shown = row.fields.iter().filter(|field| all || field.of(value) != 0);
    let mut words: Vec<String> = shown.map(|field| format!("{}={}", field.name, show(field, value))).collect();
    let rest = value & !row.known_bits();
    if rest != 0 {
        words.push(format!("reserved={rest:#x}"));
    }
    if words.is_empty() { "all 0".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {

    use super::Row;
    use vgic_state::{gicv2, gicv3, gicv5};

    /// Every register that is state.
    fn rows() -> Vec<&'static Row> {
        let tables = [
            gicv2::DistIdentity::REGISTERS,
            gicv2::DistState::REGISTERS,
            gicv2::CpuIdentity::REGISTERS,
            gicv2::CpuInterface::REGISTERS,
            gicv3::DistIdentity::REGISTERS,
            gicv3::DistState::REGISTERS,
            gicv3::RedistIdentity::REGISTERS,
            gicv3::RedistState::REGISTERS,
            gicv3::CpuInterface::REGISTERS,
            gicv3::El2Identity::REGISTERS,
            gicv3::El2State::REGISTERS,
            gicv3::ItsIdentity::REGISTERS,
            gicv3::ItsState::REGISTERS,
            gicv5::IrsIdentity::REGISTERS,
            gicv5::IrsState::REGISTERS,
            gicv5::CpuInterface::REGISTERS,
        ];
        tables.into_iter().flatten().collect()
    }

    #[test]
    fn no_two_fields_of_a_register_have_a_bit_in_common() {
        let rows = rows();
        assert!(rows.iter().filter(|row| !row.fields.is_empty()).count() > 20);
        for row in rows {
            let mut seen = 0;
            for field in row.fields {
                assert!(field.mask != 0 && field.mask <= row.max && seen & field.mask == 0, "{}.{}", row.id(), field.name);
                seen |= field.mask;
            }
        }
    }

    #[test]
    fn a_register_is_shown_with_its_fields_and_reserved_bits() {
        let decode = |register: &str, value, all| {
            let row = rows().into_iter().find(|row| row.id().to_string().split(" of vCPU").next() == Some(register));
            super::decode(row.expect("a register"), value, all)
        };
        assert_eq!(decode("IRS_CR0", 1, false), "IRSEN=1 IDLE=0");
        assert_eq!(decode("IRS_CR0", 5, false), "IRSEN=1 IDLE=0 reserved=0x4");
        assert!(decode("GITS_BASER0", 1 << 63 | 0x4004_0000 | 2 << 8, false).contains("Valid=1"));
        assert_eq!(decode("GITS_BASER0", 0x8000_0000_4004_0200, true), decode("GITS_BASER7", 0x8000_0000_4004_0200, true));
        assert_eq!(decode("ICC_AP1R0_EL1", 0x10, false), "");
        assert!(decode("ICH_LR3_EL2", 0x5000_0000_0000_001b, false).ends_with("State=1 (pending)"));
        assert!(decode("ICH_VTR_EL2", 0x9018_0003, false).starts_with("ListRegs=3 (4 list registers)"));
        assert!(decode("GITS_TYPER", 0x1_ef71, false).contains("Devbits=15 (16 bits)"));
    }
}
