//! Judges a state before anything acts on it: what an image or a guest has put into registers, tables and mappings.
//!
//! KVM checks little of what is in the tables of an ITS: a crafted table makes it read and write wherever the guest has memory, two tables
//! in one place destroy each other, and a chain that ends early loses interrupts without an error. A judgement reads the tables as
//! `RESTORE_TABLES` does, accesses no device, and reports what KVM would make of them.
//!
//! - [`gicv3::problems`]: registers, and tables in guest memory or mappings in the state; [`gicv3::fit`]: whether the VM is one for it.
//! - [`gicv2::problems`], [`gicv2::fit`], [`gicv5::problems`], [`gicv5::fit`]: likewise.
//!
//! Every `check` and every restore of a backend does both.
//!
//! ```
//! use vgic_state::judge::{Limits, Ranges, gicv3};
//! use vgic_state::report::Severity;
//! # use vgic_state::{GuestMemoryRead, GuestRange, gicv3::Gicv3State};
//! # fn f(state: &Gicv3State, memory: &impl GuestMemoryRead, memory_of_the_guest: Vec<GuestRange>, firmware: GuestRange) -> bool {
//!
//! let ranges = Ranges::new(memory_of_the_guest, vec![firmware]);
//! let report = gicv3::problems(state, memory, &ranges, &Limits::default());
//! eprint!("{report}");
//! report.refuse(Some(Severity::DEFAULT_THRESHOLD)).is_ok()
//! # }
//! ```
//!
//! A judgement cannot find an entry that was changed to another valid one: to another vCPU, to another LPI that is free, to an empty table
//! elsewhere. Nor can it find a device or an event that was added before the first one of its chain, or in a gap too wide for a distance:
//! KVM does not record where a chain begins, and takes it.
//!
//! These findings need not be an attack: kernels before November 2024 leave the entries of devices and events that a guest has unmapped
//! ([`Problem::EntryBehindChain`](crate::report::Problem::EntryBehindChain),
//! [`Problem::EntryJumpedOver`](crate::report::Problem::EntryJumpedOver),
//! [`Problem::EntryOffChain`](crate::report::Problem::EntryOffChain)).
//!
//! # Work
//!
//! [`Limits::entries`] bounds the reads, counted in entries of 8 bytes: all entries of collection tables and device tables, once for each
//! place that leads to a table; as many as a device has EventIDs, for each device that KVM would take; four for each queued command; one
//! for 8 LPIs in the configuration table, one for 64 in a pending table. A piece that is not all memory is read once more, entry by entry.
//! The memory that a judgement takes grows with the number of tables, at most one for each DeviceID, and not with their contents.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`; Documentation/virt/kvm/devices/arm-vgic-its.rst.
//!
//! Rule: a judgement knows states, guest memory and the target, and no device. It reports, and a threshold of
//! [`Severity`](crate::report::Severity) decides.

pub mod gicv2;
pub mod gicv3;
pub mod gicv5;
mod identity;
mod ranges;
mod words;

pub use ranges::{Limits, Ranges};
