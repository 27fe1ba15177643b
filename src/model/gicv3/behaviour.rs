//! What differs between releases of Linux, and which have what.
//!
//! Source: the history of `arch/arm64/kvm/vgic/`: the commit of each change; Debian's change logs of its kernels 6.1.192, 6.12.118,
//! 7.2.13 and 7.3.4 for the stable releases that took it over, the announcement of 7.0.7, CVE-2026-64106 and CVE-2026-72288 for those of
//! 7.0 and 7.1; and the scenarios of `tests/kvm`, which observed each behaviour on every kernel of `docs/kernels.md`.
//!
//! Rule: a release is never compared anywhere else. A difference is a row here, with the commit that made it, and with every release
//! that has it.

/// A release: major, minor, patch.
pub(super) type Release = (u16, u16, u16);

/// Releases from the first one on, and before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: Release,
    until: Release,
}

impl Span {
    /// From a release of a stable line on, to the end of that line.
    const fn stable(major: u16, minor: u16, patch: u16) -> Span {
        Span { from: (major, minor, patch), until: (major, minor + 1, 0) }
    }

    /// Every release from Linux `major.minor` on.
    const fn mainline(major: u16, minor: u16) -> Span {
        Span { from: (major, minor, 0), until: (u16::MAX, 0, 0) }
    }

    /// Every release before Linux `major.minor`.
    const fn before(major: u16, minor: u16) -> Span {
        Span { from: (0, 0, 0), until: (major, minor, 0) }
    }

    const fn contains(self, release: Release) -> bool {
        !less(release, self.from) && less(release, self.until)
    }
}

/// Comparison of tuples, for constants.
const fn less(one: Release, two: Release) -> bool {
    one.0 < two.0 || one.0 == two.0 && (one.1 < two.1 || one.1 == two.1 && one.2 < two.2)
}

/// A row of the table.
struct Row {
    behaviour: Behaviour,
    title: &'static str,
    commit: &'static str,
    matters: &'static str,
    has: &'static [Span],
}

/// What a release of Linux does and others do not: in the model, and on a host.
///
/// ```
/// use vgic_state::model::gicv3::{Behaviour, Kernel};
///
/// let kernel: Kernel = "6.12.117".parse()?;
/// assert!(kernel.has(Behaviour::SaveSkipsDevicesWithoutEntry));
/// assert!(Behaviour::SaveSkipsDevicesWithoutEntry.commit().starts_with("cc5d96036e01"));
/// assert!(!"7.1.13".parse::<Kernel>()?.has(Behaviour::SaveSkipsDevicesWithoutEntry));
/// # Ok::<(), vgic_state::model::gicv3::UnknownKernel>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Behaviour {
    /// ITS commands, collection table entries and `KVM_IRQ_LINE` name a vCPU by its `vcpu_id`. Without it, by its place in the order of
    /// creation, and `MAPC` wants one that exists even with V = 0.
    NamesVcpusById,
    /// An attribute of a GICv2 names a vCPU by its `vcpu_id`. Without it, by its place in the order of creation.
    NamesGicv2VcpusById,
    /// `MAPD` with V = 0 clears the device table entry and `DISCARD` the translation entry in guest memory. Without it, stale entries stay
    /// there, and a later restore believes those that it finds before the first valid one.
    ClearsUnmappedEntries,
    /// The GICv3 device has the group `MAINT_IRQ`.
    HasMaintenanceIrq,
    /// `MAINT_IRQ` can be read after `INIT`. Without it, it is `EBUSY` then.
    GivesMaintenanceIrqAfterInit,
    /// An ITS answers `ENXIO` to a `GRP_CTRL` attribute that it does not have. Without it, it does nothing and says success.
    RefusesUnknownItsCommands,
    /// `GICD_IIDR` and `GICD_TYPER2` can be accessed before `INIT`, and `GICD_TYPER2` loses nASSGIcap there; afterwards another value is
    /// `EBUSY`. Without it, they are compared after `INIT`, and another value is `EINVAL`.
    PresetsBeforeInit,
    /// A vCPU can have EL2, where the host was started for it (`kvm-arm.mode=nested`).
    RunsGuestsWithEl2,
    /// The group `CPU_SYSREGS` has the `ICH_*_EL2` registers of a vCPU with EL2.
    HasEl2Registers,
    /// A list register goes to an interrupt that is pending before it goes to one that is only active. Without it, active interrupts come
    /// first, and a vCPU that has as many of them as list registers is given no other interrupt.
    PendingBeforeActive,
    /// `GICD_ITARGETSR` of the SGIs and PPIs of a GICv2 has the id of their vCPU. Without it, its place in the order of creation, which is how a
    /// target of an SPI is named on every kernel.
    ShowsGicv2TargetsById,
    /// Interrupts of a group that the vCPU has not enabled get list registers after all others. Without it, by their priority: as many of them
    /// as list registers, and a guest is given no interrupt of the other group that comes after them.
    DisabledGroupsLast,
    /// `GICC_DIR` of a GICv2 is an attribute, which reads 0 and ignores a write: KVM traps the guest's.
    ShowsGiccDir,
    /// `KVM_IRQ_LINE` on a device that is not initialised is `EBUSY` whatever the interrupt. Without it, an impossible interrupt comes first.
    IrqLineNeedsInitFirst,
    /// The revision that user space writes to `GICD_IIDR` takes effect. Without it, a write says success and the kernel keeps its own.
    AppliesImplementationRevision,
    /// `RESTORE_TABLES` refuses a device table entry with more than 16 EventID bits. Without it, the kernel takes the device.
    RefusesWideEventIds,
    /// `MOVALL` moves the LPIs of the vCPU that it names. Without it, it moves those of every vCPU.
    MovallKeepsOthers,
    /// `SAVE_TABLES` clears the entry of an event whose collection the guest has unmapped, and goes on. Without it, the kernel follows a
    /// null pointer: the host crashes, and any guest can bring that about. The model's VM is dead then.
    SavesEventsWithoutCollection,
    /// An LPI that is pending when `GICR_CTLR.EnableLPIs` becomes 0 is so no more. Without it, it stays pending, and `SAVE_PENDING_TABLES`
    /// writes its bit.
    DisablingForgetsPendingLpis,
    /// A write that changes a `GITS_BASER` frees what the table maps even if the register stays valid. Without it, only a write that makes
    /// it invalid does.
    ChangedBaserFreesMappings,
    /// `SAVE_TABLES` leaves out a device whose entry has no place, because its level-1 entry is not valid or its page is not mapped, and
    /// reports success. Without it, it answers `EINVAL`.
    SaveSkipsDevicesWithoutEntry,
    /// An LPI belongs to one event: `MAPTI` of a second one fails, and `RESTORE_TABLES` leaves the second one out and says success. Without
    /// it, both share the LPI.
    OneEventForAnLpi,
    /// In the tables that `SAVE_TABLES` writes, the distance of a translation entry leads to the next event that has a collection. Without
    /// it, to the next event, whose entry may be cleared, from where a restore goes on one by one: to the same events.
    DistancesPassOverUnmapped,
}

const TABLE: &[Row] = &[
    Row {
        behaviour: Behaviour::NamesVcpusById,
        title: "names a vCPU by its `vcpu_id`",
        commit: "d455d366c451 \"KVM: arm64: vgic-its: Treat the collection target address as a vcpu_id\"",
        matters: "a state moves between kernels with and without it only if `vcpu_id`s have no gaps; without it, a guest whose ids have gaps does not run",
        has: &[Span::mainline(6, 7)],
    },
    Row {
        behaviour: Behaviour::NamesGicv2VcpusById,
        title: "names a vCPU of a GICv2 by its `vcpu_id`",
        commit: "4e7728c81a54 \"KVM: arm64: vgic-v2: Use cpuid from userspace as vcpu_id\"; 6.7, and 6.8 before 6.8.10, follow a null pointer for an id that no vCPU has, until 6ddb4f372fc6 (CVE-2024-36953)",
        matters: "GICv2 only: without it, the VMM creates vCPUs in the order of their ids, from 0 on",
        has: &[Span::stable(6, 1, 91), Span::mainline(6, 7)],
    },
    Row {
        behaviour: Behaviour::ClearsUnmappedEntries,
        title: "clears entries of what the guest unmaps",
        commit: "e9649129d33d \"KVM: arm64: vgic-its: Clear DTE when MAPD unmaps a device\", 7602ffd1d5e8 \"KVM: arm64: vgic-its: Clear ITE when DISCARD frees an ITE\"",
        matters: "without it, devices that the guest unmapped can be live again after a restore",
        has: &[Span::stable(6, 1, 120), Span::mainline(6, 12)],
    },
    Row {
        behaviour: Behaviour::HasMaintenanceIrq,
        title: "has the attribute group `MAINT_IRQ`",
        commit: "faf7714a47a2 \"KVM: arm64: nv: Allow userland to set VGIC maintenance IRQ\"",
        matters: "nested guests only",
        has: &[Span::mainline(6, 15)],
    },
    Row {
        behaviour: Behaviour::GivesMaintenanceIrqAfterInit,
        title: "tells the maintenance interrupt after `INIT`",
        commit: "\"KVM: arm64: vgic-v3: Consolidate MAINT_IRQ handling\"",
        matters: "without it, and with `MAINT_IRQ`, a GICv3 does not tell whether the vCPUs have EL2",
        has: &[Span::mainline(6, 17)],
    },
    Row {
        behaviour: Behaviour::RefusesUnknownItsCommands,
        title: "an ITS refuses commands that it does not have",
        commit: "4530256f3699 \"KVM: arm64: vgic-its: Return -ENXIO to invalid KVM_DEV_ARM_VGIC_GRP_CTRL attrs\"",
        matters: "without it, a command that is sent to the wrong device succeeds",
        has: &[Span::mainline(6, 17)],
    },
    Row {
        behaviour: Behaviour::PresetsBeforeInit,
        title: "`GICD_IIDR` and `GICD_TYPER2` can be written before `INIT`",
        commit: "f26e6af75782 \"KVM: arm64: vgic-v3: Allow access to GICD_IIDR prior to initialization\", c652887a9288 for GICD_TYPER2.nASSGIcap",
        matters: "only with it can a guest of a host without GICv4.1 be restored on a host with it",
        has: &[Span::mainline(6, 17)],
    },
    Row {
        behaviour: Behaviour::RunsGuestsWithEl2,
        title: "can give a guest EL2 (nested virtualization)",
        commit: "a7484c80e5ca \"KVM: arm64: Allow userspace to request KVM_ARM_VCPU_EL2*\"",
        matters: "a guest with EL2 goes to such kernels only",
        has: &[Span::mainline(6, 16)],
    },
    Row {
        behaviour: Behaviour::HasEl2Registers,
        title: "gives user space the `ICH_*_EL2` registers of a nested guest",
        commit: "9fe9663e47e2 \"KVM: arm64: Expose GICv3 EL2 registers via KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS\"",
        matters: "without it, a nested guest cannot be saved",
        has: &[Span::mainline(6, 17)],
    },
    Row {
        behaviour: Behaviour::PendingBeforeActive,
        title: "pending interrupts come before active ones",
        commit: "05984ba67eb6 \"KVM: arm64: Invert ap_list sorting to push active interrupts out\"",
        matters: "without it, a vCPU with as many active interrupts as list registers (4 on many CPUs) is given no other: before a restore as after it",
        has: &[Span::mainline(6, 19)],
    },
    Row {
        behaviour: Behaviour::ShowsGicv2TargetsById,
        title: "a vCPU of a GICv2 reads its `vcpu_id` as its own target",
        commit: "",
        matters: "GICv2 only: a VM whose vCPUs are not created in the order of their ids, from 0 on, cannot move between kernels with and without it; with it, its SPIs go to other vCPUs than the guest means",
        has: &[Span::mainline(6, 16)],
    },
    Row {
        behaviour: Behaviour::DisabledGroupsLast,
        title: "interrupts of disabled groups come last",
        commit: "33c1f60b3213 \"KVM: arm64: Move undeliverable interrupts to the end of ap_list\"",
        matters: "without it, as many pending interrupts of a disabled group as list registers can hide those of the other: before a restore as after it",
        has: &[Span::mainline(6, 19)],
    },
    Row {
        behaviour: Behaviour::ShowsGiccDir,
        title: "has an attribute for `GICC_DIR` of a GICv2",
        commit: "255de897e7fb \"KVM: arm64: GICv2: Handle deactivation via GICV_DIR traps\"",
        matters: "none: it is no state",
        has: &[Span::mainline(6, 19)],
    },
    Row {
        behaviour: Behaviour::IrqLineNeedsInitFirst,
        title: "`KVM_IRQ_LINE` wants `INIT` before it looks at the interrupt",
        commit: "",
        matters: "an `errno` only",
        has: &[Span::mainline(7, 2)],
    },
    Row {
        behaviour: Behaviour::AppliesImplementationRevision,
        title: "a written revision of `GICD_IIDR` takes effect",
        commit: "a0e6ae45af17 \"KVM: arm64: vgic: Fix IIDR revision field extracted from wrong value\"",
        matters: "without it, a state of another revision is refused by name (the crate reads back)",
        has: &[Span::stable(6, 1, 175), Span::stable(6, 12, 88), Span::stable(7, 0, 7), Span::mainline(7, 1)],
    },
    Row {
        behaviour: Behaviour::RefusesWideEventIds,
        title: "`RESTORE_TABLES` refuses more than 16 bits of EventID",
        commit: "9ce754ed8e7a \"KVM: arm64: vgic-its: Reject restored DTE with out-of-range num_eventid_bits\"",
        matters: "without it, crafted tables are taken (the crate refuses them before the kernel sees them)",
        has: &[Span::stable(6, 1, 175), Span::stable(6, 12, 92), Span::stable(7, 0, 11), Span::mainline(7, 1)],
    },
    Row {
        behaviour: Behaviour::MovallKeepsOthers,
        title: "`MOVALL` moves only the LPIs of the source",
        commit: "751f46415605 \"KVM: arm64: vgic-its: Fix MOVALL handling of source redistributor\"",
        matters: "without it, interrupts of a guest go to the wrong vCPU: before a restore as after it",
        has: &[Span::before(6, 10), Span::stable(6, 12, 113), Span::stable(7, 2, 10), Span::mainline(7, 3)],
    },
    Row {
        behaviour: Behaviour::SavesEventsWithoutCollection,
        title: "`SAVE_TABLES` survives an event whose collection is unmapped",
        commit: "c6c156d931c3 \"KVM: arm64: vgic-its: Don't dereference a NULL collection on ITT save\"",
        matters: "without it, a guest can crash the host at `SAVE_TABLES`, and nothing in user space prevents it",
        has: &[Span::stable(6, 1, 191), Span::stable(6, 12, 113), Span::mainline(7, 2)],
    },
    Row {
        behaviour: Behaviour::DisablingForgetsPendingLpis,
        title: "LPIs that are disabled are no more pending",
        commit: "7258770e5814 \"KVM: arm64: vgic: Handle race between interrupt affinity change and LPI disabling\"",
        matters: "with it, a guest that disables the LPIs of a vCPU has lost those that were pending: before a save as after it",
        has: &[Span::stable(6, 1, 191), Span::stable(6, 12, 114), Span::stable(7, 1, 5), Span::mainline(7, 2)],
    },
    Row {
        behaviour: Behaviour::ChangedBaserFreesMappings,
        title: "a changed `GITS_BASER` frees what it maps",
        commit: "8cd92f77ae4f \"KVM: arm64: vgic-its: Free the caches when GITS_BASER changes\"",
        matters: "none for a VMM that resets an ITS before a restore",
        has: &[Span::stable(6, 12, 112), Span::stable(7, 2, 9), Span::mainline(7, 3)],
    },
    Row {
        behaviour: Behaviour::SaveSkipsDevicesWithoutEntry,
        title: "`SAVE_TABLES` leaves devices out and says success",
        commit: "cc5d96036e01 \"KVM: arm64: vgic-its: Skip unreachable devices instead of failing the save\"",
        matters: "with it, devices are lost without a word (tables in the image find all; `verify_flush` names what is lost)",
        has: &[Span::stable(6, 12, 112), Span::stable(7, 2, 9), Span::mainline(7, 3)],
    },
    Row {
        behaviour: Behaviour::OneEventForAnLpi,
        title: "an LPI has one event, and a second is left out",
        commit: "\"KVM: arm64: vgic-its: Don't map an LPI from more than one event\"",
        matters: "with it, a second event for an LPI is lost without a word (the audit names it)",
        has: &[Span::stable(7, 3, 4)],
    },
    Row {
        behaviour: Behaviour::DistancesPassOverUnmapped,
        title: "distances between events pass over what is not saved",
        commit: "",
        matters: "none: a restore finds the same events",
        has: &[Span::mainline(7, 3)],
    },
];

impl Behaviour {
    /// Every behaviour, in the order of the table.
    pub const ALL: [Behaviour; TABLE.len()] = {
        let mut all = [Behaviour::NamesVcpusById; TABLE.len()];
        let (mut rows, mut places): (_, &mut [Behaviour]) = (TABLE, &mut all);
        while let ([row, rows_left @ ..], [place, places_left @ ..]) = (rows, places) {
            *place = row.behaviour;
            (rows, places) = (rows_left, places_left);
        }
        all
    };

    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// What a release does, a bit each.
    pub(super) const fn of(release: Release) -> u32 {
        let (mut rows, mut bits) = (TABLE, 0);
        while let [row, rest @ ..] = rows {
            if any_contains(row.has, release) {
                bits |= row.behaviour.bit();
            }
            rows = rest;
        }
        bits
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.behaviour == self)
    }

    /// What a kernel with this does, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().map_or("", |row| row.title)
    }

    /// The commit in mainline that brought it: its id, and its subject. Empty where it is not known.
    #[must_use]
    pub fn commit(self) -> &'static str {
        self.row().map_or("", |row| row.commit)
    }

    /// What it means for a VMM that saves and restores.
    #[must_use]
    pub fn matters(self) -> &'static str {
        self.row().map_or("", |row| row.matters)
    }
}

const fn any_contains(mut spans: &[Span], release: Release) -> bool {
    while let [span, rest @ ..] = spans {
        if span.contains(release) {
            return true;
        }
        spans = rest;
    }
    false
}
