//! The state of an interrupt controller as data, and as sections of an image.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic.rst, arm-vgic-v3.rst, arm-vgic-its.rst and arm-vgic-v5.rst; `docs/image-format.md`.
//!
//! Rule: data knows neither a device nor a verdict on itself: what is wrong with a state, [`judge`](crate::judge) says.

pub(crate) mod gicv2;
pub(crate) mod gicv3;
pub(crate) mod gicv5;
#[cfg(feature = "serde")]
mod serde;
