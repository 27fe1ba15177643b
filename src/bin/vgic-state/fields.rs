//! Registers taken apart: which fields they have, and what the fields mean.
//!
//! Source: Arm IHI 0069 (GICv3, ITS); Arm GICv5 specification; `include/linux/irqchip/arm-gic-v3.h`, `arm-gic-v5.h`.
//!
//! Rule: a register is a list of fields, in data; the spelling is that of Arm. Whoever shows a register, or compares two, goes by these
//! lists.

mod gicv3;
mod gicv5;

/// A field: its name, its highest and its lowest bit, how its value is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    high: u32,
    low: u32,
    shows: Shows,
}

#[derive(Clone, Copy, Debug)]
enum Shows {
    Number,
    Hex,
    /// The bits are at their own places: an address, an offset.
    InPlace,
    /// One less than what is meant.
    MinusOne(&'static str),
    /// What some of the values mean.
    Means(&'static [(u64, &'static str)]),
}

/// A register, or an array of them, by name; its fields.
type Register = (&'static str, &'static [Field]);

const fn number(name: &'static str, high: u32, low: u32) -> Field {
    Field { name, high, low, shows: Shows::Number }
}

const fn flag(name: &'static str, bit: u32) -> Field {
    number(name, bit, bit)
}

const fn hex(name: &'static str, high: u32, low: u32) -> Field {
    Field { name, high, low, shows: Shows::Hex }
}

const fn in_place(name: &'static str, high: u32, low: u32) -> Field {
    Field { name, high, low, shows: Shows::InPlace }
}

const fn minus_one(name: &'static str, high: u32, low: u32, unit: &'static str) -> Field {
    Field { name, high, low, shows: Shows::MinusOne(unit) }
}

const fn means(name: &'static str, high: u32, low: u32, meanings: &'static [(u64, &'static str)]) -> Field {
    Field { name, high, low, shows: Shows::Means(meanings) }
}

impl Field {
    /// The value of the field in a value of its register.
    pub(crate) fn of(&self, register: u64) -> u64 {
        (register & self.mask()) >> self.low
    }

    fn mask(&self) -> u64 {
        (u64::MAX >> (63 - self.high)) & (u64::MAX << self.low)
    }

    /// The value, and what it means.
    pub(crate) fn show(&self, register: u64) -> String {
        let value = self.of(register);
        match self.shows {
            Shows::Number => value.to_string(),
            Shows::Hex => format!("{value:#x}"),
            Shows::InPlace => format!("{:#x}", register & self.mask()),
            Shows::MinusOne(unit) if value == 0 => format!("0 (1 {})", unit.trim_end_matches('s')),
            Shows::MinusOne(unit) => format!("{value} ({} {unit})", value + 1),
            Shows::Means(meanings) => match meanings.iter().find(|(of, _)| *of == value) {
                Some((_, meaning)) => format!("{value} ({meaning})"),
                None => value.to_string(),
            },
        }
    }
}

/// The fields of a register, by its name; none if it is one number.
pub(crate) fn fields(register: &str) -> &'static [Field] {
    let of = |name: &str| gicv5::REGISTERS.iter().chain(gicv3::REGISTERS).find(|(register, _)| *register == name);
    let exact = of(register).or_else(|| of(register.trim_end_matches(|digit: char| digit.is_ascii_digit())));
    exact.map_or(&[], |(_, fields)| fields)
}

/// Up to this many fields, those that are zero are shown too.
const FEW: usize = 6;

/// The fields of a value: all if there are few or if `all`, otherwise those that are not zero. Bits of no field come last.
pub(crate) fn decode(register: &str, value: u64, all: bool) -> String {
    let fields = fields(register);
    let all = all || fields.len() <= FEW;
    let shown = fields.iter().filter(|field| all || field.of(value) != 0);
    let mut words: Vec<String> = shown.map(|field| format!("{}={}", field.name, field.show(value))).collect();
    let rest = value & !known(register);
    if !fields.is_empty() && rest != 0 {
        words.push(format!("reserved={rest:#x}"));
    }
    if words.is_empty() && !fields.is_empty() { "all 0".to_owned() } else { words.join(" ") }
}

/// The bits of a register that are some field; all of them if it is one number.
pub(crate) fn known(register: &str) -> u64 {
    match fields(register) {
        [] => u64::MAX,
        fields => fields.iter().fold(0, |mask, field| mask | field.mask()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fields_of_a_register_have_a_bit_in_common() {
        for (name, fields) in gicv5::REGISTERS.iter().chain(gicv3::REGISTERS) {
            let mut seen = 0;
            for field in *fields {
                assert!(field.low <= field.high && seen & field.mask() == 0, "{name}.{}", field.name);
                seen |= field.mask();
            }
        }
    }

    #[test]
    fn values() {
        assert_eq!(decode("IRS_CR0", 1, false), "IRSEN=1 IDLE=0");
        assert_eq!(decode("IRS_CR0", 5, false), "IRSEN=1 IDLE=0 reserved=0x4");
        assert_eq!(
            decode("GITS_BASER0", 1 << 63 | 0x4004_0000 | 2 << 8, false),
            decode("GITS_BASER", 0x8000_0000_4004_0200, false)
        );
        assert_eq!(decode("ICC_AP1R0_EL1", 0x10, false), "");
        assert!(decode("GITS_TYPER", 0x1_ef71, false).contains("Devbits=15 (16 bits)"));
    }
}
