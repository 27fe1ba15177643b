//! Mappings and LPIs out of the tables in memory.
//!
//! Source: the library's walk of ITS tables; Arm IHI 0069, "LPI Configuration tables", "LPI Pending tables".
//!
//! Rule: what KVM would take is a mapping; what it would pass by is counted. The work is bounded as that of a judgement.

use crate::failure::Failure;
use crate::foreign;
use crate::output::count;
use crate::ram::Ram;
use vgic_state::gicv3::Gicv3State;
use vgic_state::its::{
    Collection, Cte, Device, Dte, Event, FIRST_LPI, Ite, ItsMappings, Level1, LpiConfiguration, LpiState, PendingLpis, Table,
    TableRange,
};
use vgic_state::judge::Limits;
use vgic_state::judge::gicv3::walk::{self, At, Broken, Budget, Reach, Visitor};
use vgic_state::uapi::vgic_v3::redist::{GICR_PENDBASER_ADDRESS, GICR_PROPBASER_ADDRESS, GICR_PROPBASER_IDBITS};
use vgic_state::{GuestMemoryRead, GuestRange, MemoryError};

/// LPIs of KVM are below.
const LPI_END: u32 = 1 << 16;

/// What the tables say.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) mapped: LpiState,
    /// In the order in which they were met, with whether the first entry that was asked for is in the dump.
    pub(crate) tables: Vec<(TableRange, bool)>,
    /// Entries that KVM would not take.
    pub(crate) passed_by: usize,
    /// ITSes whose tables have the form of QEMU's own emulation.
    qemu: Vec<u64>,
    /// What the dump has.
    dump: Vec<GuestRange>,
}

#[derive(Default)]
struct Collect {
    mappings: ItsMappings,
    tables: Vec<(TableRange, bool)>,
    passed_by: usize,
    /// Entries that are valid to KVM, and that are valid to QEMU's own emulation and not to KVM.
    valid: usize,
    qemu: usize,
}

impl Collect {
    fn takes(&mut self, valid: bool, reach: Reach) -> bool {
        let takes = valid && reach == Reach::Taken;
        self.valid += usize::from(valid);
        self.passed_by += usize::from(!takes);
        takes
    }
}

impl Visitor for Collect {
    fn table(&mut self, table: TableRange) -> bool {
        self.tables.push((table, true));
        true
    }

    fn collection(&mut self, _: At, reach: Reach, entry: Cte) {
        self.qemu += usize::from(foreign::is_qemu_collection(entry.into_bits()));
        if self.takes(entry.valid(), reach) {
            let target = (entry.target() != Cte::NOT_MAPPED).then_some(entry.target());
            self.mappings.collections.push(Collection { icid: entry.icid(), target });
        }
    }

    fn level1(&mut self, _: At, _: Level1) {}

    fn device(&mut self, at: At, reach: Reach, entry: Dte) {
        self.qemu += usize::from(foreign::is_qemu_device(entry.into_bits()));
        if self.takes(entry.valid(), reach) {
            let (itt, event_bits) = (entry.itt(), entry.event_bits());
            self.mappings.devices.push(Device { id: at.id, itt, event_bits, events: Vec::new() });
        }
    }

    fn event(&mut self, at: At, reach: Reach, entry: Ite) {
        if self.takes(entry.pintid() != 0, reach)
            && let Some(device) = self.mappings.devices.last_mut()
        {
            device.events.push(Event { id: at.id, intid: entry.pintid(), icid: entry.icid() });
        }
    }

    fn chain(&mut self, _: At, _: Broken) {}

    fn unreadable(&mut self, at: At, _: MemoryError) {
        if let Some((_, there)) = self.tables.iter_mut().rev().find(|(table, _)| table.table == at.table) {
            *there = false;
        }
    }
}

/// Reads all tables that the registers of a state lead to.
pub(crate) fn read(state: &Gicv3State, ram: &Ram) -> Result<Walked, Failure> {
    foreign::refuse(state)?;
    let mut budget = Budget::new(Limits::default().entries);
    let mut walked = Walked { dump: ram.ranges(), ..Walked::default() };
    for its in &state.its {
        let mut collect = Collect { mappings: ItsMappings { base: its.base, ..ItsMappings::default() }, ..Collect::default() };
        if let Err(spent) = walk::walk(its, &ram, &mut budget, &mut collect) {
            let (table, address) = (spent.table, spent.address);
            return Err(format!("more entries than any guest has: stopped in the {table} at {address:#x}; try --audit").into());
        }
        collect.mappings.collections.sort_by_key(|collection| collection.icid);
        walked.mapped.its.push(collect.mappings);
        walked.tables.extend(collect.tables);
        walked.passed_by += collect.passed_by;
        if collect.valid == 0 && collect.qemu > 0 {
            walked.qemu.push(its.base);
        }
    }
    walked.mapped.its.sort_by_key(|its| its.base);
    if state.vcpus.iter().any(|vcpu| vcpu.redist.propbaser != 0) {
        walked.configuration(state, ram);
    }
    for vcpu in state.vcpus.iter().filter(|vcpu| vcpu.redist.pendbaser != 0 && vcpu.redist.lpis_enabled()) {
        let start = (vcpu.redist.pendbaser & GICR_PENDBASER_ADDRESS) + u64::from(FIRST_LPI / 8);
        let range = GuestRange::new(start, u64::from((lpi_end(state) - FIRST_LPI) / 8));
        let mut bits = vec![0; (range.end - range.start) as usize];
        let there = ram.read(start, &mut bits).is_ok();
        walked.tables.push((TableRange { range, table: Table::LpiPending { vcpu: vcpu.vcpu.id } }, there));
        let bytes = (FIRST_LPI..).step_by(8).zip(bits);
        let intids = bytes.flat_map(|(first, byte)| (0..8).filter(move |bit| byte >> bit & 1 != 0).map(move |bit| first + bit));
        let intids: Vec<u32> = intids.collect();
        if !intids.is_empty() && there {
            walked.mapped.pending.push(PendingLpis { vcpu: vcpu.vcpu, intids });
        }
    }
    ram.finish()?;
    Ok(walked)
}

/// LPIs are below, by `GICR_PROPBASER.IDbits`.
pub(crate) fn lpi_end(state: &Gicv3State) -> u32 {
    let propbaser = state.vcpus.first().map_or(0, |vcpu| vcpu.redist.propbaser);
    match (propbaser & GICR_PROPBASER_IDBITS) + 1 {
        bits @ 14..16 => 1 << bits,
        0..14 => FIRST_LPI,
        _ => LPI_END,
    }
}

impl Walked {
    /// Which tables are not in the dump, and whose tables are not KVM's, a line each.
    pub(crate) fn missing(&self) -> Vec<String> {
        const LISTED: usize = 8;
        let absent: Vec<&TableRange> = self.tables.iter().filter(|(_, there)| !there).map(|(table, _)| table).collect();
        let mut lines: Vec<String> =
            absent.iter().take(LISTED).map(|table| format!("Not all in the dump: {}, {}.", table.table, table.range)).collect();
        if absent.len() > LISTED {
            let more = count(absent.len() - LISTED, "more table is", "more tables are");
            lines.push(format!("{more} not all in the dump: vgic-state its --only tables."));
        }
        if !lines.is_empty() {
            let ranges: Vec<String> = self.dump.iter().take(LISTED).map(GuestRange::to_string).collect();
            let more = if self.dump.len() > LISTED { " and more" } else { "" };
            lines.push(format!("What is in them is not shown. The dump has {}{more}: is its --base right?", ranges.join(", ")));
        }
        lines.extend(self.foreign());
        lines
    }

    /// Whose tables are not KVM's, a line each.
    pub(crate) fn foreign(&self) -> Vec<String> {
        self.qemu.iter().map(|its| foreign::note(*its)).collect()
    }

    /// Priority and enable of every mapped LPI.
    fn configuration(&mut self, state: &Gicv3State, ram: &Ram) {
        let propbaser = state.vcpus.first().map_or(0, |vcpu| vcpu.redist.propbaser);
        let table = propbaser & GICR_PROPBASER_ADDRESS;
        let events = self.mapped.its.iter().flat_map(|its| &its.devices).flat_map(|device| &device.events);
        let mut intids: Vec<u32> = events.map(|event| event.intid).filter(|intid| *intid >= FIRST_LPI).collect();
        intids.sort_unstable();
        intids.dedup();
        // A table that no LPI uses is there if it begins there.
        let mut there = !intids.is_empty() || ram.read(table, &mut [0]).is_ok();
        for intid in intids {
            let mut byte = [0];
            there &= ram.read(table.saturating_add(u64::from(intid - FIRST_LPI)), &mut byte).is_ok();
            let [byte] = byte;
            self.mapped.configuration.push(LpiConfiguration { intid, byte });
        }
        let range = GuestRange::new(table, u64::from(lpi_end(state) - FIRST_LPI));
        self.tables.push((TableRange { range, table: Table::LpiConfiguration }, there));
    }
}
