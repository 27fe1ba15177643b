//! See `src/gicv3.rs`.
//!
//! Rule: nothing but the call.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vgic_state_fuzz::gicv3::run(data));
