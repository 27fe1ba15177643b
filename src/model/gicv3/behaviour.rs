//! Behaviours of KVM that differ between releases of Linux, and which releases have each.
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

/// A behaviour of KVM that some releases of Linux have and others do not. `Kernel::has` says whether a release has it.
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
    /// ITS commands, collection table entries and `KVM_IRQ_LINE` name a vCPU by its `vcpu_id`. Without it, by its index in the order of
    /// creation, and `MAPC` fails unless the vCPU exists, even with V = 0.
    NamesVcpusById,
    /// An attribute of a GICv2 names a vCPU by its `vcpu_id`. Without it, by its index in the order of creation.
    NamesGicv2VcpusById,
    /// `MAPD` with V = 0 clears the device table entry and `DISCARD` the translation entry in guest memory. Without it, stale entries stay
    /// there, and a later restore takes as valid those that it finds before the first entry that the save wrote.
    ClearsUnmappedEntries,
    /// The GICv3 device has the group `MAINT_IRQ`.
    HasMaintenanceIrq,
    /// `MAINT_IRQ` can be read after `INIT`. Without it, a read then fails with `EBUSY`.
    GivesMaintenanceIrqAfterInit,
    /// An ITS answers `ENXIO` to a `GRP_CTRL` attribute that it does not have. Without it, the ITS does nothing and reports success.
    RefusesUnknownItsCommands,
    /// `GICD_IIDR` and `GICD_TYPER2` can be accessed before `INIT`, where a write can clear `GICD_TYPER2.nASSGIcap`; after `INIT`, writing
    /// a different value fails with `EBUSY`. Without it, they are compared after `INIT`, and writing a different value fails with `EINVAL`.
    PresetsBeforeInit,
    /// A vCPU can have EL2, if the host was booted with `kvm-arm.mode=nested`.
    RunsGuestsWithEl2,
    /// The group `CPU_SYSREGS` has the `ICH_*_EL2` registers of a vCPU with EL2.
    HasEl2Registers,
    /// Interrupts that are pending get list registers before those that are only active. Without it, active interrupts come first, and a
    /// vCPU that has as many of them as list registers receives no other interrupt.
    PendingBeforeActive,
    /// `GICD_ITARGETSR` of the SGIs and PPIs of a GICv2 names their vCPU by its `vcpu_id`. Without it, by its index in the order of
    /// creation, which is how the targets of SPIs are named on every kernel.
    ShowsGicv2TargetsById,
    /// Interrupts of a group that the vCPU has not enabled get list registers after all others. Without it, they get them by priority: if
    /// they take all list registers, the guest receives no interrupt of the other group that comes after them.
    DisabledGroupsLast,
    /// `GICC_DIR` of a GICv2 is an attribute, which reads 0 and ignores writes: KVM traps the guest's accesses to it.
    ShowsGiccDir,
    /// `KVM_IRQ_LINE` on a device that is not initialised fails with `EBUSY`, whatever the interrupt. Without it, an interrupt that cannot
    /// exist is found first and fails with `EINVAL`.
    IrqLineNeedsInitFirst,
    /// The revision that user space writes to `GICD_IIDR` takes effect. Without it, the write reports success and the kernel keeps its own.
    AppliesImplementationRevision,
    /// `RESTORE_TABLES` refuses a device table entry with more than 16 EventID bits. Without it, the kernel accepts the device.
    RefusesWideEventIds,
    /// `MOVALL` moves the LPIs of the vCPU that it names. Without it, it moves those of every vCPU.
    MovallKeepsOthers,
    /// `SAVE_TABLES` clears the entry of an event whose collection the guest has unmapped, and goes on. Without it, the kernel
    /// dereferences a null pointer and the host crashes, which any guest can cause. In the model, the VM is dead then.
    SavesEventsWithoutCollection,
    /// An LPI that is pending when `GICR_CTLR.EnableLPIs` becomes 0 is no longer pending. Without it, it stays pending, and
    /// `SAVE_PENDING_TABLES` writes its bit.
    DisablingForgetsPendingLpis,
    /// A write that changes a `GITS_BASER` frees the mappings of its table (devices or collections), even if the register stays valid.
    /// Without it, only a write that makes the register invalid frees them.
    ChangedBaserFreesMappings,
    /// `SAVE_TABLES` leaves out a device whose entry has no place, because its level-1 entry is not valid or its page is in no memory slot,
    /// and reports success. Without it, it fails with `EINVAL`.
    SaveSkipsDevicesWithoutEntry,
    /// An LPI belongs to one event: `MAPTI` of a second one fails, and `RESTORE_TABLES` leaves the second one out and reports success.
    /// Without it, both share the LPI.
    OneEventForAnLpi,
    /// In the tables that `SAVE_TABLES` writes, the distance of a translation entry leads to the next event that has a collection. Without
    /// it, to the next event, whose entry may be cleared; a restore then scans the following entries one by one, and finds the same events.
    DistancesPassOverUnmapped,
}

const TABLE: &[Row] = &[
    Row {
        behaviour: Behaviour::NamesVcpusById,
        title: "ITS commands, ITS tables and `KVM_IRQ_LINE` name a vCPU by its `vcpu_id`",
        commit: "d455d366c451 \"KVM: arm64: vgic-its: Treat the collection target address as a vcpu_id\"",
        matters: "state can move between a kernel with this behaviour and one without it only if the `vcpu_id`s have no gaps; on a kernel without it, a guest whose `vcpu_id`s have gaps does not run",
        has: &[Span::mainline(6, 7)],
    },
    Row {
        behaviour: Behaviour::NamesGicv2VcpusById,
        title: "attributes of a GICv2 name a vCPU by its `vcpu_id`",
        commit: "4e7728c81a54 \"KVM: arm64: vgic-v2: Use cpuid from userspace as vcpu_id\"; 6.7, and 6.8 before 6.8.10, follow a null pointer for an id that no vCPU has, until 6ddb4f372fc6 (CVE-2024-36953)",
        matters: "on a kernel without it, the VMM must create the vCPUs in ascending order of `vcpu_id`, from 0 on and without gaps",
        has: &[Span::stable(6, 1, 91), Span::mainline(6, 7)],
    },
    Row {
        behaviour: Behaviour::ClearsUnmappedEntries,
        title: "clears the table entries of devices and events that the guest unmaps",
        commit: "e9649129d33d \"KVM: arm64: vgic-its: Clear DTE when MAPD unmaps a device\", 7602ffd1d5e8 \"KVM: arm64: vgic-its: Clear ITE when DISCARD frees an ITE\"",
        matters: "on a kernel without it, devices that the guest has unmapped can be mapped again after a restore",
        has: &[Span::stable(6, 1, 120), Span::mainline(6, 12)],
    },
    Row {
        behaviour: Behaviour::HasMaintenanceIrq,
        title: "has the attribute group `MAINT_IRQ`",
        commit: "faf7714a47a2 \"KVM: arm64: nv: Allow userland to set VGIC maintenance IRQ\"",
        matters: "of consequence only for guests with EL2 (nested virtualization)",
        has: &[Span::mainline(6, 15)],
    },
    Row {
        behaviour: Behaviour::GivesMaintenanceIrqAfterInit,
        title: "`MAINT_IRQ` can be read after `INIT`",
        commit: "\"KVM: arm64: vgic-v3: Consolidate MAINT_IRQ handling\"",
        matters: "on a kernel that has `MAINT_IRQ` but not this behaviour, user space cannot learn from the GICv3 device whether the vCPUs have EL2",
        has: &[Span::mainline(6, 17)],
    },
    Row {
        behaviour: Behaviour::RefusesUnknownItsCommands,
        title: "an ITS refuses commands that it does not have",
        commit: "4530256f3699 \"KVM: arm64: vgic-its: Return -ENXIO to invalid KVM_DEV_ARM_VGIC_GRP_CTRL attrs\"",
        matters: "on a kernel without it, a command that is sent to an ITS by mistake does nothing and reports success",
        has: &[Span::mainline(6, 17)],
    },
    Row {
        behaviour: Behaviour::PresetsBeforeInit,
        title: "`GICD_IIDR` and `GICD_TYPER2` can be written before `INIT`",
        commit: "f26e6af75782 \"KVM: arm64: vgic-v3: Allow access to GICD_IIDR prior to initialization\", c652887a9288 for GICD_TYPER2.nASSGIcap",
        matters: "a guest that was saved on a host without GICv4.1 can be restored on a host with GICv4.1 only if the kernel of that host has this behaviour",
        has: &[Span::mainline(6, 17)],
    },
    Row {
        behaviour: Behaviour::RunsGuestsWithEl2,
        title: "can give a guest EL2 (nested virtualization)",
        commit: "a7484c80e5ca \"KVM: arm64: Allow userspace to request KVM_ARM_VCPU_EL2*\"",
        matters: "a guest with EL2 can be restored only on a kernel with this behaviour",
        has: &[Span::mainline(6, 16)],
    },
    Row {
        behaviour: Behaviour::HasEl2Registers,
        title: "gives user space the `ICH_*_EL2` registers of a nested guest",
        commit: "9fe9663e47e2 \"KVM: arm64: Expose GICv3 EL2 registers via KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS\"",
        matters: "on a kernel without it, a guest with EL2 cannot be saved",
        has: &[Span::mainline(6, 17)],
    },
    Row {
        behaviour: Behaviour::PendingBeforeActive,
        title: "pending interrupts get list registers before active ones",
        commit: "05984ba67eb6 \"KVM: arm64: Invert ap_list sorting to push active interrupts out\"",
        matters: "on a kernel without it, a vCPU with as many active interrupts as list registers (4 on many CPUs) receives no other interrupt; save and restore do not change that",
        has: &[Span::mainline(6, 19)],
    },
    Row {
        behaviour: Behaviour::ShowsGicv2TargetsById,
        title: "`GICD_ITARGETSR` of a GICv2 shows the `vcpu_id` for SGIs and PPIs",
        commit: "",
        matters: "a VM with a GICv2 whose vCPUs were not created in ascending order of `vcpu_id`, from 0 on and without gaps, cannot move between a kernel with this behaviour and one without it; on a kernel with it, the SPIs of such a VM go to other vCPUs than the guest intends",
        has: &[Span::mainline(6, 16)],
    },
    Row {
        behaviour: Behaviour::DisabledGroupsLast,
        title: "interrupts of disabled groups get list registers last",
        commit: "33c1f60b3213 \"KVM: arm64: Move undeliverable interrupts to the end of ap_list\"",
        matters: "on a kernel without it, if as many interrupts of a disabled group are pending as the CPU has list registers, the guest may not receive interrupts of the other group; save and restore do not change that",
        has: &[Span::mainline(6, 19)],
    },
    Row {
        behaviour: Behaviour::ShowsGiccDir,
        title: "has an attribute for `GICC_DIR` of a GICv2",
        commit: "255de897e7fb \"KVM: arm64: GICv2: Handle deactivation via GICV_DIR traps\"",
        matters: "no consequence for save and restore, since the register holds no state",
        has: &[Span::mainline(6, 19)],
    },
    Row {
        behaviour: Behaviour::IrqLineNeedsInitFirst,
        title: "`KVM_IRQ_LINE` checks for `INIT` before it checks the interrupt",
        commit: "",
        matters: "only the error number of a `KVM_IRQ_LINE` that fails differs",
        has: &[Span::mainline(7, 2)],
    },
    Row {
        behaviour: Behaviour::AppliesImplementationRevision,
        title: "a written revision of `GICD_IIDR` takes effect",
        commit: "a0e6ae45af17 \"KVM: arm64: vgic: Fix IIDR revision field extracted from wrong value\"",
        matters: "on a kernel without it, state with another revision cannot be restored; the crate reads the register back and returns an error that names it",
        has: &[Span::stable(6, 1, 175), Span::stable(6, 12, 88), Span::stable(7, 0, 7), Span::mainline(7, 1)],
    },
    Row {
        behaviour: Behaviour::RefusesWideEventIds,
        title: "`RESTORE_TABLES` refuses more than 16 bits of EventID",
        commit: "9ce754ed8e7a \"KVM: arm64: vgic-its: Reject restored DTE with out-of-range num_eventid_bits\"",
        matters: "a kernel without it accepts crafted tables with more bits; the crate refuses them before the kernel reads them",
        has: &[Span::stable(6, 1, 175), Span::stable(6, 12, 92), Span::stable(7, 0, 11), Span::mainline(7, 1)],
    },
    Row {
        behaviour: Behaviour::MovallKeepsOthers,
        title: "`MOVALL` moves only the LPIs of the source",
        commit: "751f46415605 \"KVM: arm64: vgic-its: Fix MOVALL handling of source redistributor\"",
        matters: "on a kernel without it, `MOVALL` can send interrupts to the wrong vCPU; save and restore do not change that",
        has: &[Span::before(6, 10), Span::stable(6, 12, 113), Span::stable(7, 2, 10), Span::mainline(7, 3)],
    },
    Row {
        behaviour: Behaviour::SavesEventsWithoutCollection,
        title: "`SAVE_TABLES` survives an event whose collection is unmapped",
        commit: "c6c156d931c3 \"KVM: arm64: vgic-its: Don't dereference a NULL collection on ITT save\"",
        matters: "on a kernel without it, a guest can crash the host during `SAVE_TABLES`, and nothing in user space prevents it",
        has: &[Span::stable(6, 1, 191), Span::stable(6, 12, 113), Span::mainline(7, 2)],
    },
    Row {
        behaviour: Behaviour::DisablingForgetsPendingLpis,
        title: "disabling the LPIs of a vCPU discards their pending state",
        commit: "7258770e5814 \"KVM: arm64: vgic: Handle race between interrupt affinity change and LPI disabling\"",
        matters: "on a kernel with it, a guest that disables the LPIs of a vCPU loses those that were pending; save and restore do not change that",
        has: &[Span::stable(6, 1, 191), Span::stable(6, 12, 114), Span::stable(7, 1, 5), Span::mainline(7, 2)],
    },
    Row {
        behaviour: Behaviour::ChangedBaserFreesMappings,
        title: "a write that changes a `GITS_BASER` frees the mappings of its table",
        commit: "8cd92f77ae4f \"KVM: arm64: vgic-its: Free the caches when GITS_BASER changes\"",
        matters: "no consequence for a VMM that resets the ITS before a restore",
        has: &[Span::stable(6, 12, 112), Span::stable(7, 2, 9), Span::mainline(7, 3)],
    },
    Row {
        behaviour: Behaviour::SaveSkipsDevicesWithoutEntry,
        title: "`SAVE_TABLES` skips devices whose entry has no place, and reports success",
        commit: "cc5d96036e01 \"KVM: arm64: vgic-its: Skip unreachable devices instead of failing the save\"",
        matters: "where the guest has overwritten its level-1 device table, a kernel with it loses devices without an error, and another fails with `EINVAL`; saving the tables in the image finds all of them, and `verify_flush` reports those that a save left out",
        has: &[Span::stable(6, 12, 112), Span::stable(7, 2, 9), Span::mainline(7, 3)],
    },
    Row {
        behaviour: Behaviour::OneEventForAnLpi,
        title: "an LPI belongs to one event; a second event is refused or left out",
        commit: "\"KVM: arm64: vgic-its: Don't map an LPI from more than one event\"",
        matters: "on a kernel with it, the second of two events of one LPI is lost at a restore without an error; the audit reports it",
        has: &[Span::stable(7, 3, 4)],
    },
    Row {
        behaviour: Behaviour::DistancesPassOverUnmapped,
        title: "in saved tables, the distance to the next event skips events that are not saved",
        commit: "",
        matters: "no consequence, since a restore finds the same events",
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

    /// The behaviours of a release, one bit each.
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

    /// What a kernel with this behaviour does, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().map_or("", |row| row.title)
    }

    /// The commit in mainline that brought the behaviour: its abbreviated hash and its subject, or the subject alone where the hash is not
    /// known; empty if the commit is not known.
    #[must_use]
    pub fn commit(self) -> &'static str {
        self.row().map_or("", |row| row.commit)
    }

    /// What the behaviour means for a VMM that saves and restores.
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
