//! Where things are in the guest physical address space, and where the guest counts.
//!
//! Rule: every number that the guest's program has in common with the VMM is here, and nowhere else.

pub(super) const RAM: u64 = 0x4000_0000;
pub(super) const RAM_BYTES: usize = 2 << 20;

pub(super) const DIST: u64 = 0x0800_0000;
pub(super) const ITS: u64 = 0x0808_0000;
pub(super) const REDIST: u64 = 0x080a_0000;
/// IRS frames, if the controller is a GICv5.
pub(super) const IRS: u64 = 0x0800_0000;
/// Registers of the device model. A 32-bit store: the INTID of a level-triggered SPI that has been served.
pub(super) const DEVICE: u64 = 0x0900_0000;
/// A 64-bit store: `ESR_EL1` of an exception that the guest did not expect.
pub(super) const DEVICE_PANIC: u64 = DEVICE + 8;

/// Code: 64 KiB.
pub(super) const CODE: u64 = RAM;
/// Counters and stacks: 64 KiB.
pub(super) const STATE: u64 = RAM + 0x1_0000;
/// LPI configuration table.
pub(super) const CONFIGURATION: u64 = RAM + 0x2_0000;
/// LPI pending tables, 64 KiB for each vCPU.
pub(super) const PENDING: u64 = RAM + 0x3_0000;
pub(super) const DEVICE_TABLE: u64 = RAM + 0x5_0000;
pub(super) const COLLECTION_TABLE: u64 = RAM + 0x6_0000;
/// Command queue: 64 KiB.
pub(super) const QUEUE: u64 = RAM + 0x7_0000;
/// Interrupt translation tables, 4 KiB for each device.
pub(super) const ITTS: u64 = RAM + 0x8_0000;

pub(super) const VCPUS: u32 = 2;
/// Private interrupts, and 32 SPIs.
pub(super) const NR_IRQS: u32 = 64;
/// SPIs in use, from 32: two that are level-triggered, two (from 48) that are not.
pub(super) const SPIS: u32 = 0x0003_0003;
pub(super) const FIRST_SPI: u32 = 32;
/// Each device has two to the power of this many events.
pub(super) const EVENT_BITS: u32 = 3;
pub(super) const LPIS_SHIFT: u32 = 6;
pub(super) const LPIS: u32 = 1 << LPIS_SHIFT;

/// Ticks per second: two to the power of this.
pub(super) const TICKS_SHIFT: u32 = 6;

// Behind `STATE`, 64 bits each.
/// The guest has mapped everything.
pub(super) const READY: u64 = 0;
pub(super) const SECONDARY_UP: u64 = 8;
/// The VMM asks whether the ticks are complete.
pub(super) const STOP: u64 = 16;
pub(super) const CWRITER: u64 = 24;
/// Counters of each vCPU; their distance is a power of two.
pub(super) const PER_VCPU: u64 = 0x100;
pub(super) const PER_VCPU_SHIFT: u32 = 7;
pub(super) const STACKS: u64 = 0x4000;
/// For each LPI, then each SPI: how many messages the VMM has sent, and how many the guest has counted.
pub(super) const CELLS: u64 = STATE + 0x1000;
pub(super) const CELLS_BYTES: u64 = 16 * (LPIS as u64 + 32);

// Behind the counters of a vCPU, 64 bits each.
pub(super) const TICKS: u64 = 0;
pub(super) const START: u64 = 8;
pub(super) const PERIOD: u64 = 16;
/// `CNTV_CVAL_EL0` as the guest wants it.
pub(super) const NEXT: u64 = 24;
/// Interrupts without a message, and ticks before their time.
pub(super) const DOUBLED: u64 = 32;
/// SGIs taken, and sent to the other vCPU.
pub(super) const SGIS: u64 = 40;
pub(super) const SGIS_SENT: u64 = 48;
/// INTIDs that nobody uses.
pub(super) const STRANGE: u64 = 56;
/// INTID 1023.
pub(super) const SPURIOUS: u64 = 64;
/// LPIs moved from one vCPU to the other.
pub(super) const MOVES: u64 = 72;
/// How many ticks there must be, once `DONE` is 1.
pub(super) const EXPECTED: u64 = 80;
pub(super) const DONE: u64 = 88;

/// A counter of a vCPU.
pub(super) const fn counter(vcpu: u32, offset: u64) -> u64 {
    STATE + PER_VCPU + ((vcpu as u64) << PER_VCPU_SHIFT) + offset
}

/// The message of an LPI or SPI; what the guest has counted is 8 bytes behind.
pub(super) const fn cell(index: u32) -> u64 {
    CELLS + 16 * index as u64
}
