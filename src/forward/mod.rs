//! Commands for an ITS from somebody who is not trusted: judged, copied, and only then seen by the ITS.
//!
//! An ITS writes to the addresses that its commands name, past any stage 2 translation. Whoever writes them owns the machine, unless a
//! layer in between looks at each. This is that layer's decision: [`Forwarder`] has a queue of its own, which the ITS reads, and fills it
//! from the untrusted one. It is for code at EL2: no allocation, no panic, no loop without a bound.
//!
//! Source: Arm IHI 0069, "ITS commands", "ITS tables"; the list of what must be judged is that of pKVM's hardening of the ITS.
//!
//! Rule: what was judged is what the ITS sees; memory is the ITS's alone for as long as the ITS may use it.
//!
//! # What the caller does
//!
//! - Traps `GITS_CWRITER`, `GITS_CREADR`, `GITS_CBASER`, `GITS_BASER` and `GITS_CTLR` of the untrusted side. Base registers of the ITS
//!   name memory of the caller: the trusted queue, and tables that are listed as protected.
//! - Reads untrusted memory by way of [`Untrusted`], each byte once.
//! - Takes memory from its owner, zeroes it, and gives it back, in pages of [`TableMemory::granule`]: [`Owner`]. How many tables are in a page
//!   is counted here. With several ITSes, the caller counts how many use a table or a page: a forwarder knows of one ITS alone.
//! - Tells [`Forwarder::retire`] how far the ITS is, and sees to an ITS that stalls: which events and collections are mapped is not known
//!   here, so that a command that was passed on may still be an error.
//! - Makes the queue and the tables visible to the ITS (a barrier; cleaning caches) before it writes `GITS_CWRITER`.
//!
//! # Example
//!
//! ```
//! use vgic_state::GuestRange;
//! use vgic_state::its::command::ItsCommand;
//! use vgic_state::forward::*;
//!
//! /// An untrusted queue. It is read once for each command; what it says later does not matter.
//! struct Host(Vec<ItsCommand>);
//!
//! impl Untrusted for Host {
//!     fn fetch(&mut self, offset: u64) -> Option<[u8; 32]> {
//!         Some(self.0.get(offset as usize / 32)?.to_bytes())
//!     }
//! }
//!
//! struct Pages(Vec<String>);
//!
//! impl Owner for Pages {
//!     fn donate(&mut self, range: GuestRange, _: Holder) -> bool {
//!         self.0.push(format!("unmap {range}"));
//!         true
//!     }
//!
//!     fn clear(&mut self, range: GuestRange, _: Holder) {
//!         self.0.push(format!("zeros {range}"));
//!     }
//!
//!     fn release(&mut self, range: GuestRange, _: Holder) {
//!         self.0.push(format!("map {range}"));
//!     }
//! }
//!
//! let policy = Policy {
//!     limits: IdLimits { intid_bits: 16, ..IdLimits::from_typer(0x1_ef71) },
//!     targets: Targets::Processors(4),
//!     memory: TableMemory {
//!         itts: &[GuestRange::new(0x8000_0000, 0x1000_0000)],
//!         vpts: &[],
//!         vconfs: &[],
//!         level2: &[],
//!         protected: &[GuestRange::new(0x8800_0000, 0x10_0000)],
//!         granule: 0x1000,
//!     },
//!     on_refusal: OnRefusal::Skip,
//!     strict: false,
//!     batch: 64,
//! };
//! let (mut queue, mut live) = ([[0; 4]; 128], [LiveRange::EMPTY; 32]);
//! let storage = Storage { queue: &mut queue, live: &mut live, devices: TableLevels::Flat(1 << 16), vpes: TableLevels::Flat(0) };
//! let mut forwarder = Forwarder::new(policy, storage, 0x1000)?;
//!
//! // As Linux does it: the tables of two devices in one page.
//! let mut host = Host(vec![
//!     ItsCommand::Mapd { device: 8, size: 4, itt: 0x8000_1000, valid: true },
//!     ItsCommand::Mapd { device: 0x100, size: 4, itt: 0x8000_1e00, valid: true },
//!     // Memory of the trusted layer.
//!     ItsCommand::Mapd { device: 9, size: 4, itt: 0x8800_0000, valid: true },
//!     ItsCommand::Mapd { device: 8, size: 0, itt: 0, valid: false },
//!     ItsCommand::Mapd { device: 0x100, size: 0, itt: 0, valid: false },
//! ]);
//! let mut pages = Pages(Vec::new());
//! let progress = forwarder.forward(0xa0, &mut host, &mut pages);
//! assert_eq!((progress.stop, progress.passed, progress.refused), (Stop::Done, 4, 1));
//! // The ITS has executed nothing: the host sees that, and does not get its page back.
//! assert_eq!((forwarder.cwriter(), forwarder.creadr()), (0x80, 0));
//! assert_eq!(pages.0, ["unmap 0x80001000 to 0x80002000", "zeros 0x80001e00 to 0x80001f00"]);
//! // Device 8 has left the page, device 0x100 has not.
//! forwarder.retire(0x60, &mut pages)?;
//! assert_eq!(pages.0.len(), 2);
//! forwarder.retire(0x80, &mut pages)?;
//! assert_eq!(forwarder.creadr(), 0xa0);
//! assert_eq!(pages.0[2..], ["map 0x80001000 to 0x80002000"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod forwarder;
mod hooks;
mod judge;
mod level1;
mod live;
mod policy;
mod refusal;

pub use forwarder::{Forwarder, NotPassedOn, Progress, Stop, Storage};
pub use hooks::{Owner, Untrusted, UntrustedMemory};
pub use level1::{TableLevels, TrustedLevel1};
pub use live::{Holder, IdTable, LiveRange};
pub use policy::{IdLimits, ItsList, OnRefusal, Policy, SetupError, TableMemory, Targets};
pub use refusal::{CommandRefusal, Refused};
