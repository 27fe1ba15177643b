//! Registers that hold the address of a table: which bits KVM keeps of a value that is written.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-mmio-v3.c`, `vgic_sanitise_propbaser`, `vgic_sanitise_pendbaser`, `update_64bit_reg`.
//!
//! Rule: pure functions of values; nothing here knows a VM.

const PROPBASER_RES0: u64 = 0xf8f0_0000_0000_0060;
const PENDBASER_RES0: u64 = 0xb8f0_0000_0000_f07f;
/// `GICR_PENDBASER.PTZ`: the pending table is all zero. Reads as 0.
pub(super) const PENDBASER_PTZ: u64 = 1 << 62;
/// Inner write-back, inner shareable: `GICR_PENDBASER` of a new vCPU, and `GICR_PROPBASER` whenever an ITS is created.
pub(super) const INITIAL_BASER: u64 = 3 << 7 | 1 << 10;

/// Memory attributes that KVM has: shareability and cacheability fields at the given positions.
pub(super) fn sanitise(register: u64, share: u32, inner: u32, outer: u32) -> u64 {
    let field = |at: u32, mask: u64| register >> at & mask;
    let replace = |register: u64, at: u32, mask: u64, value: u64| register & !(mask << at) | value << at;
    // Outer shareable becomes inner shareable; not cached inside becomes write-back; anything cached outside becomes the same as
    // inside.
    let shareability = if field(share, 3) == 2 { 1 } else { field(share, 3) };
    let inner_cache = if field(inner, 7) <= 1 { 3 } else { field(inner, 7) };
    let outer_cache = if field(outer, 7) == 1 { 1 } else { 0 };
    replace(replace(replace(register, share, 3, shareability), inner, 7, inner_cache), outer, 7, outer_cache)
}

pub(super) fn sanitise_propbaser(register: u64) -> u64 {
    sanitise(register, 10, 7, 56) & !PROPBASER_RES0
}

pub(super) fn sanitise_pendbaser(register: u64) -> u64 {
    sanitise(register, 10, 7, 56) & !PENDBASER_RES0
}

/// A 64-bit register after a write of 4 or 8 bytes.
pub(super) fn merge(old: u64, offset: u32, width: u32, value: u64) -> u64 {
    match (width, offset & 4) {
        (8, _) => value,
        (_, 0) => old & !0xffff_ffff | value & 0xffff_ffff,
        _ => old & 0xffff_ffff | value << 32,
    }
}
