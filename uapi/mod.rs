//! The kernel's user-space ABI for the virtual GIC devices, under its C names.
//!
//! Source: `include/uapi/linux/kvm.h` and `arch/arm64/include/uapi/asm/kvm.h`, Linux 7.4. kvm-bindings 0.14.2 has none of the GICv5
//! names, and the GICv3 names on arm64 only, so that a test on any other host needs them here; where both exist,
//! `src/kvm/bindings.rs` asserts that they are equal.
//!
//! Rule: depends on `core` alone, and holds values, never logic.

#![allow(non_camel_case_types)]

/// Declares constants and, beside them, the list of all their names and values.
macro_rules! constants {
    ($(#[$list_doc:meta])* $list:ident; $($(#[$doc:meta])* $name:ident: $ty:ty = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $ty = $value;)*

        $(#[$list_doc])*
        pub const $list: &[(&str, u64)] = &[$((stringify!($name), $name as u64)),*];
    };
}

pub mod device;
pub mod memory;
pub mod vgic_v2;
pub mod vgic_v3;
pub mod vgic_v5;

/// A mask of bits `high` to `low`, both included.
pub(crate) const fn bits(high: u32, low: u32) -> u64 {
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}
