//! What can be wrong with a state, and how bad it is.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, the restore of tables: what is checked there and what is believed;
//! `vgic-mmio-v2.c`, `vgic-mmio-v3.c`, `vgic-sys-reg-v3.c`, `vgic-irs-v5.c`, `vgic-v5-tables.c`: what a write refuses, and what it drops.
//!
//! Rule: a severity follows from the consequence, and a code never changes its meaning.

use core::fmt;

/// How bad the consequence of a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Unusual, without a known consequence.
    Low,
    /// A guest may have made it, and may miss or get an interrupt that it should not; nothing else is touched.
    Medium,
    /// Interrupts are lost without an error; or KVM refuses the tables halfway, when it has consumed pending LPIs already.
    High,
    /// KVM reads or writes outside of the guest's own tables, or one piece of memory or one LPI is used for two things.
    Critical,
}

impl Severity {
    /// The least severity that refuses a state unless the VMM decides otherwise ([`Options::refuse_at`](crate::Options::refuse_at)).
    pub const DEFAULT_THRESHOLD: Severity = Severity::High;
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        })
    }
}

macro_rules! problems {
    ($($severity:ident { $($name:ident $code:literal: $what:literal, $consequence:literal;)* })*) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Problem {
            $($(
                #[doc = concat!("`", $code, "`: ", $what, "; ", $consequence, ".")]
                $name,
            )*)*
        }

        impl Problem {
            /// All of them, the worst first.
            pub const ALL: &[Problem] = &[$($(Problem::$name),*),*];

            /// A name for programs that read reports. It never changes.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $($(Problem::$name => $code,)*)* }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $($(Problem::$name => Severity::$severity,)*)* }
            }

            /// What was found.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $($(Problem::$name => $what,)*)* }
            }

            /// What comes of it.
            #[must_use]
            pub const fn consequence(self) -> &'static str {
                match self { $($(Problem::$name => $consequence,)*)* }
            }

            /// Whether each register that has it is a finding of its own: another one that is missing is another loss.
            pub(super) const fn is_of_one_register(self) -> bool {
                matches!(self, Problem::AttributeMissing | Problem::IdentityMissing)
            }
        }
    };
}

problems! {
    Critical {
        TablesAtOneAddress "tables-at-one-address":
            "two registers give their tables one address", "KVM writes one over the other, and what is read of either may be the other's";
        TableOutsideMemory "table-outside-memory":
            "what is used of the table is not the guest's memory, or cannot be read",
            "KVM reads and writes what is not the guest's, or refuses";
        TableProtected "table-in-protected-memory":
            "the table is in protected memory", "KVM reads and writes what it must not";
        TablesOverlap "tables-overlap":
            "it overlaps another table", "KVM writes one over the other";
        PendingTablesShared "pending-tables-shared":
            "two vCPUs have one pending table", "an LPI of one becomes pending on the other";
        Level2Shared "level-2-table-shared":
            "two level-1 entries lead to one level-2 table", "every device there has two DeviceIDs and one ITT";
        LpiBeyondTable "lpi-beyond-table":
            "the LPI is beyond GICR_PROPBASER.IDbits", "KVM reads its configuration and clears its pending bit outside of the tables";
        LpiTwice "lpi-mapped-twice":
            "the LPI is mapped already", "two events share one interrupt";
        EventWidth "event-id-width":
            "more EventID bits than GITS_TYPER.ID_bits", "KVM before 2026 reads on to the end of memory, or loses all events but one";
        EntryOffChain "entry-off-chain":
            "the entries before it lead past it, and KVM takes it nevertheless", "a stale device comes to life, and its ITT is written";
        EventBeyondTable "event-beyond-table":
            "the EventID is beyond the device's", "its entry is outside of the ITT";
        IttAddress "itt-address":
            "not a valid ITT address: not a multiple of 256, or above 52 bits", "KVM uses another";
        PropbaserDiffers "propbaser-differs":
            "the value differs between vCPUs", "KVM has one, and reads another LPI configuration table";
    }
    High {
        WorkExceeded "work-exceeded":
            "more entries than a check may read", "what follows was not looked at, and KVM reads it under its locks";
        TableNotRead "table-not-read":
            "some of the table could not be read", "what is there was not judged, and KVM may use it";
        EntryNotValid "entry-not-valid":
            "the entry is neither valid nor zero", "what it maps is lost";
        EntryJumpedOver "entry-jumped-over":
            "a valid entry within the distance of one before", "KVM passes it by: what it maps is lost";
        EntryBehindChain "entry-behind-chain":
            "a valid entry behind the last of the chain", "KVM stops before it: what it maps is lost";
        NextNamesNone "next-names-no-entry":
            "the distance leads to no valid entry", "what was there is lost";
        DeviceNextBeyondTable "device-next-beyond-table":
            "the distance leads beyond the last DeviceID", "KVM stops there: devices are lost";
        EventNextBeyondTable "event-next-beyond-table":
            "the distance leads beyond the last EventID", "KVM refuses the tables";
        DeviceBeyondTable "device-beyond-table":
            "the DeviceID is beyond the device table, or above GITS_TYPER.Devbits", "KVM refuses the tables";
        Level1BeyondTable "level-1-beyond-table":
            "the level-1 entry is of DeviceIDs above GITS_TYPER.Devbits", "KVM reads its table, and refuses what it finds";
        IntidNotLpi "intid-not-lpi":
            "the INTID is no LPI: below 8192, or beyond 16 bits", "KVM refuses the tables";
        CollectionUnknown "collection-unknown":
            "the collection table does not have the collection", "KVM refuses the tables";
        CollectionTwice "collection-twice":
            "the collection is there already", "KVM refuses the tables";
        CollectionBeyondTable "collection-beyond-table":
            "the ICID is beyond the collection table", "KVM refuses the tables";
        TargetUnknown "target-unknown":
            "no vCPU has this vcpu_id or, as kernels before Linux 6.7 take it, this place in the order of creation",
            "KVM refuses the tables";
        TableNotValid "table-not-valid":
            "not valid in an ITS that is enabled", "KVM does not enable the ITS: all its interrupts are lost";
        QueueOffset "queue-offset-outside":
            "not an offset inside of the command queue", "KVM refuses it, or drops it without an error";
        NotInOrder "not-in-order":
            "listed twice, not in the order of IDs, or empty", "one of two meanings is lost";
        ItsUnknown "its-unknown":
            "the registers of this ITS are missing", "its mappings are lost";
        ConfigurationMissing "lpi-configuration-missing":
            "a mapped LPI without priority and enable", "it is disabled: interrupts are lost";
        ItsMappingsMissing "its-mappings-missing":
            "the mappings of this ITS are missing", "its interrupts are lost";
        ItsTwice "its-twice":
            "two ITSes at one address", "one of two meanings is lost";
        PendingLpisDisabled "pending-lpis-disabled":
            "LPIs are pending of a vCPU whose LPIs are disabled (GICR_CTLR)", "they are lost";
        SpisIncomplete "spis-incomplete":
            "the SPIs are not those of the number of interrupts, 32 by 32, each once and in order", "interrupts are lost";
        RevisionUnknown "revision-unknown":
            "GICD_IIDR.Revision is below 2", "KVM has no such revision since Linux 4.20";
        LpisWithoutIts "lpis-without-its":
            "GICR_CTLR.EnableLPIs is set, and GICR_TYPER.PLPIS is not", "KVM drops it: a VM without an ITS has no LPIs";
        DistCtlr "distributor-control":
            "must have ARE and DS, and beside them at most EnableGrp1 and, with GICD_TYPER2.nASSGIcap, nASSGIreq",
            "KVM keeps another value";
        TriggerMode "trigger-mode":
            "SGIs must be edge-triggered, PPIs level-triggered, and bit 0 of each interrupt 0", "KVM keeps another value";
        SreClear "sre-clear":
            "SRE must be set", "KVM refuses the register";
        ActivePriority "active-priority-beyond-bits":
            "an active-priority register that ICC_CTLR_EL1.PRIbits does not give", "KVM refuses the register";
        QueueAlignment "queue-alignment":
            "the command queue is not aligned to 64 KiB", "KVM aligns it, and reads commands elsewhere";
        CollectionTableIndirect "collection-table-indirect":
            "a collection table of two levels", "KVM takes it for a flat one: its interrupts are lost";
        RegisterNotImplemented "register-not-implemented":
            "KVM does not implement the register", "the table that it describes is lost";
        El2OfSome "el2-of-some-vcpus":
            "some vCPUs have EL2, and others not", "KVM has no such VM";
        MaintenanceIrq "maintenance-irq":
            "the maintenance interrupt is no PPI, or is there without EL2", "KVM has no such VM";
        IstKind "ist-kind":
            "a table of one kind in the place of the other", "SPIs and LPIs would change places";
        IstMisfit "ist-misfit":
            "the table is not the one that its registers describe", "KVM refuses it, or loses its interrupts";
        IstCfgr "ist-cfgr-unsupported":
            "a linear table with 4-byte entries is the only one that KVM has", "KVM refuses IRS_IST_CFGR";
        LpiIdBits "lpi-id-bits":
            "LPI_ID_BITS is outside of what IRS_IDR2 allows", "KVM refuses IRS_IST_CFGR";
        LpiIdBounds "lpi-id-bounds":
            "IRS_IDR2.MIN_LPI_ID_BITS is greater than the ID_BITS beside it", "KVM refuses IRS_IDR2";
        IstReservedBits "ist-reserved-bits":
            "reserved bits 8 to 5 are set, which no kernel writes", "KVM hands them to the hardware unchecked";
    }
    Medium {
        CollectionBehindEnd "collection-behind-end":
            "a valid entry behind the first that is not", "KVM does not read it: stale, or a collection is lost";
        ConfigurationNotCredible "lpi-configuration-not-credible":
            "bit 1 of the configuration byte, which is RES1, is 0", "the guest may have put other data there: priority and enable are by chance";
        EventNotSaved "event-not-saved":
            "the distance leads to an event whose entry is zero, as KVM leaves it where the guest has unmapped the collection",
            "the event is not restored; if its collection was mapped, it was lost";
        PendingUnmapped "pending-lpi-unmapped":
            "an LPI is pending that nothing maps", "stale, and pending as soon as it is mapped; or its mapping is lost";
        CommandsQueued "commands-queued":
            "commands are queued in an ITS that is enabled", "they run as soon as it is restored";
        CommandUnknown "command-unknown":
            "a queued command that KVM does not have", "it is passed by";
        CommandRefused "command-refused":
            "a queued command with an ID or a target that the ITS does not have", "KVM refuses it: it has no effect";
        AttributeMissing "attribute-missing":
            "no value was given: KVM's reset value takes its place", "what the guest had set there is lost";
        SpiTargetUnknown "spi-target-unknown":
            "GICD_IROUTER names no vCPU", "the SPI cannot be delivered, without an error";
        SgiSenders "sgi-senders-differ":
            "the SGIs that are pending are not those that have a sender", "the senders are restored: an SGI is lost, or comes that was not sent";
        SgiSenderUnknown "sgi-sender-unknown":
            "GICD_SPENDSGIR names a vCPU that the VM does not have", "the guest takes it for the sender of an SGI";
        ActiveSgi "sgi-active":
            "an SGI is active, and its sender is not in the interface", "KVM takes vCPU 0 for it: a GIC that compares does not deactivate it";
        RegisterShape "register-shape":
            "the register has bits that KVM does not keep", "KVM takes the table for another than the guest meant";
        ListRegisterIntid "list-register-intid":
            "the vINTID of a list register is 1020 to 1023, or beyond 16 bits", "what the hardware makes of it is not defined";
        ListRegisterTwice "list-register-twice":
            "two list registers have one vINTID", "what the hardware makes of them is not defined";
        ListRegisterHardware "list-register-hardware-intid":
            "the pINTID of a list register is no PPI or SPI of the VM", "KVM drops the link: the interrupt stays active";
        IstTargetUnknown "ist-target-unknown":
            "IAFFID names no vCPU", "the interrupt cannot be delivered, without an error";
        SpiLevelLost "spi-level-lost":
            "HM is clear, and the VMM says that the SPI is level-triggered",
            "restored as level-triggered: as an edge it would be lost, or seen once where its line stays high";
        IstOneOfN "ist-one-of-n":
            "IRM is set", "KVM does not offer 1-of-N routing";
    }
    Low {
        TableBeyondMemory "table-beyond-memory":
            "the table is declared larger than the guest's memory, and nothing uses the rest", "KVM refuses what would be mapped there";
        ReservedBits "reserved-bits":
            "reserved bits are set", "KVM ignores them";
        IgnoredBits "ignored-bits":
            "bits that KVM does not keep are not as it has them", "the guest reads KVM's";
        ListRegisterBeyond "list-register-beyond":
            "a list register that ICH_VTR_EL2.ListRegs does not give", "KVM keeps it, and never uses it";
        NewerRevision "newer-revision":
            "the kernel keeps its newer revision", "the guest sees another GICD_IIDR than before";
        IdentityMissing "identity-missing":
            "no value was given of a register that says what the controller is: a new VM's takes its place",
            "if the source had another, the guest sees it change";
        PendingDisabled "pending-disabled":
            "pending and disabled", "it is delivered only if the guest enables it";
        ConfigurationUnmapped "lpi-configuration-unmapped":
            "priority and enable of an LPI that nothing maps", "nobody reads them";
        SpiLevelPending "spi-level-pending":
            "level-triggered (HM) and pending", "restored as not pending: the line decides, and KVM's latch would stay when it falls";
        IstPriority "ist-priority":
            "the priority has bits that the IRS does not implement", "they are lost";
        IstHardwareUse "ist-hardware-use":
            "HWU is set", "KVM clears it";
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.consequence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case_and_unique_and_the_worst_comes_first() {
        let mut codes: alloc::vec::Vec<&str> = Problem::ALL.iter().map(|problem| problem.code()).collect();
        assert!(
            codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'))
        );
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Problem::ALL.len());
        assert!(Problem::ALL.windows(2).all(|pair| pair[0].severity() >= pair[1].severity() && pair[0] < pair[1]));
    }
}
