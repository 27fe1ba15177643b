//! Versions of Linux, and what differs between them.
//!
//! Source: the history of `arch/arm64/kvm/vgic/`; where a sentence says so, the behaviour was observed on that kernel.
//!
//! Rule: a difference is one method with one sentence; nothing else in the model asks which kernel it is.

/// A version of Linux whose GICv3 and ITS the model can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// Linux 6.1 as it was released, December 2022.
    V6_1,
    /// Linux 6.1.170 to 6.1.192, the long-term kernel of 2026.
    V6_1Stable,
    /// Linux 6.12.117, the long-term kernel of 2026.
    V6_12,
    /// Linux 7.2.
    V7_2,
    /// Linux 7.3.
    V7_3,
}

impl Kernel {
    /// Every version, the oldest first.
    pub const ALL: [Kernel; 5] = [Kernel::V6_1, Kernel::V6_1Stable, Kernel::V6_12, Kernel::V7_2, Kernel::V7_3];

    /// The revision that user space writes to `GICD_IIDR` takes effect; older kernels say success and keep their own (fixed in
    /// 2026).
    #[must_use]
    pub const fn applies_implementation_revision(self) -> bool {
        matches!(self, Kernel::V7_2 | Kernel::V7_3)
    }

    /// `GICD_IIDR` and `GICD_TYPER2` can be accessed before `INIT`, and `GICD_TYPER2` loses nASSGIcap there; afterwards another
    /// value is `EBUSY` (Linux 6.17). Older kernels compare, and give `EINVAL`.
    #[must_use]
    pub const fn presets_before_init(self) -> bool {
        matches!(self, Kernel::V7_2 | Kernel::V7_3)
    }

    /// The device has the group `MAINT_IRQ` (Linux 6.15).
    #[must_use]
    pub const fn has_maintenance_irq(self) -> bool {
        matches!(self, Kernel::V7_2 | Kernel::V7_3)
    }

    /// `RESTORE_TABLES` refuses a device table entry with more than 16 EventID bits (May 2026); older kernels accept it.
    #[must_use]
    pub const fn refuses_wide_event_ids(self) -> bool {
        matches!(self, Kernel::V7_2 | Kernel::V7_3)
    }

    /// `SAVE_TABLES` leaves out a device whose entry has no place, because its level-1 entry is not valid or its page is not
    /// mapped, and reports success (observed on 6.12 and later); 6.1 answers `EINVAL`.
    #[must_use]
    pub const fn save_skips_devices_without_entry(self) -> bool {
        !matches!(self, Kernel::V6_1 | Kernel::V6_1Stable)
    }

    /// `SAVE_TABLES` clears the entry of an event whose collection is unmapped (observed on 7.3). On 6.1.170 the
    /// host crashes, and a guest can bring that about; the model's VM is dead then.
    #[must_use]
    pub const fn save_clears_events_without_collection(self) -> bool {
        !matches!(self, Kernel::V6_1 | Kernel::V6_1Stable)
    }

    /// ITS commands, collection table entries and `KVM_IRQ_LINE` name a vCPU by its place in the order of creation (until Linux
    /// 6.7; observed on 6.1.170), and `MAPC` wants one that exists even with V = 0; newer kernels know a vCPU by its `vcpu_id`.
    #[must_use]
    pub const fn takes_vcpu_id_for_index(self) -> bool {
        matches!(self, Kernel::V6_1 | Kernel::V6_1Stable)
    }

    /// An ITS answers `ENXIO` to a `GRP_CTRL` attribute that it does not have; 6.1 does nothing and says success (observed on
    /// 6.1.170).
    #[must_use]
    pub const fn its_refuses_unknown_commands(self) -> bool {
        !matches!(self, Kernel::V6_1 | Kernel::V6_1Stable)
    }

    /// `KVM_IRQ_LINE` on a device that is not initialised is `EBUSY` whatever the interrupt (observed on 7.3); on older kernels an
    /// impossible interrupt comes first.
    #[must_use]
    pub const fn irq_line_needs_init_first(self) -> bool {
        matches!(self, Kernel::V7_2 | Kernel::V7_3)
    }

    /// A write that changes a `GITS_BASER` frees what the table maps even if the register stays valid (observed on 6.12 and later).
    #[must_use]
    pub const fn changed_baser_frees_mappings(self) -> bool {
        !matches!(self, Kernel::V6_1 | Kernel::V6_1Stable)
    }

    /// `MAPD` with V = 0 clears the device table entry and `DISCARD` the translation entry in guest memory (November 2024, also in
    /// long-term kernels); older kernels leave a stale entry that a later restore believes.
    #[must_use]
    pub const fn clears_unmapped_entries(self) -> bool {
        !matches!(self, Kernel::V6_1)
    }
}
