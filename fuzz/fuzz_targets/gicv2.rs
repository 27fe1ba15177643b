//! See `src/gicv2.rs`.
//!
//! Rule: nothing but the call.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vgic_state_fuzz::gicv2::run(data));
