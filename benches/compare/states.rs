//! The states that are measured: of guests that use few, some or all of their interrupts.
//!
//! Rule: entries in use lie as far apart as they can, which is worst for a sparse table; and, since guests take the lowest free LPI,
//! once in one piece.

#[path = "../../tests/common/gicv3.rs"]
#[allow(dead_code, reason = "of what the tests share, a part")]
pub(crate) mod rig3;
#[path = "../../tests/common/gicv5.rs"]
mod rig5;

use crate::save::Save as _;
use vgic_state::gicv3::{self, Gicv3State};
use vgic_state::gicv5::{self, Gicv5, Gicv5State};
use vgic_state::its::{Collection, Device, Event, ItsMappings, LpiConfiguration, LpiState, PendingLpis};
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::{Attr, AttrDevice, Mpidr, Vcpu, VcpuId, Vcpus};

/// A state, what it can be restored on, and what the table calls it.
pub(crate) struct Named<S, T> {
    pub(crate) name: String,
    pub(crate) state: S,
    pub(crate) target: T,
}

pub(crate) type Named5 = Named<Gicv5State<'static>, gicv5::Target>;
pub(crate) type Named3 = Named<Gicv3State, gicv3::Target>;

/// Which interrupts a guest uses.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    /// One of so many: as far apart as they can be.
    Apart(usize),
    /// The same number, in one piece.
    Together(usize),
}

/// Every one.
pub(crate) const ALL: Use = Use::Apart(1);

impl Use {
    fn has(self, n: usize, of: usize) -> bool {
        match self {
            Use::Apart(every) => n.is_multiple_of(every),
            Use::Together(every) => n < of.div_ceil(every),
        }
    }
}

/// Entries as [`rig5::table`] makes them, of which some are in use.
fn table(seed: u64, entries: usize, which: Use, vcpus: &Vcpus) -> Vec<u8> {
    let mut table = rig5::table(seed, entries, vcpus);
    for (n, entry) in table.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        if !which.has(n, entries) {
            *entry = [0; 4];
        }
        entry[1] &= !0x06; // HWU, which a save clears
    }
    table
}

/// A VM with a fresh GICv5.
pub(crate) fn fresh(vcpus: u32, spis: u32) -> Gicv5<Vm> {
    // With LPI tables as small as 32 entries.
    let host = Host { min_lpi_id_bits: 5, ..Host::default() };
    rig5::on_host(host, &Vcpus::with_default_mpidrs(vcpus).expect("vCPUs"), spis)
}

/// A VM with a GICv5 that a guest uses.
pub(crate) fn used(vcpus: u32, spis: u32, lpi_bits: Option<u32>, which: Use) -> Gicv5<Vm> {
    let mut gic = fresh(vcpus, spis);
    let vcpus = gic.target().vcpus.clone();
    let vm = gic.device_mut();
    vm.plant_spi_ist(&table(1, spis as usize, which, &vcpus)).expect("SPIs");
    if let Some(bits) = lpi_bits {
        vm.plant_lpi_ist(bits, &table(2, 1 << bits, which, &vcpus)).expect("LPIs");
    }
    for (offset, value) in rig5::irs_values(lpi_bits) {
        vm.set(Attr::irs(offset), value).expect("IRS register");
    }
    for vcpu in vcpus.iter() {
        for (instr, value) in rig5::icc_values(vcpu) {
            vm.set(Attr::cpu_sysreg(vcpu.mpidr, instr), value).expect("CPU interface register");
        }
    }
    vm.clear_trace();
    gic
}

pub(crate) fn gicv5(name: &str, vcpus: u32, spis: u32, lpi_bits: Option<u32>, which: Use) -> Named5 {
    let mut gic = used(vcpus, spis, lpi_bits, which);
    Named { name: format!("GICv5: {name}"), state: gic.flush_and_save().expect("save"), target: gic.target().clone() }
}

pub(crate) fn gicv5_all() -> Vec<Named5> {
    let lpis = |name, which| gicv5(&format!("1,024 SPIs, 65,536 LPIs, {name}"), 8, 1024, Some(16), which);
    vec![
        gicv5("32 SPIs", 1, 32, None, ALL),
        lpis("1 % in one piece", Use::Together(100)),
        lpis("1 % apart", Use::Apart(100)),
        lpis("10 % apart", Use::Apart(10)),
        lpis("100 %", ALL),
    ]
}

/// Devices with 64 events each, which go to the vCPUs in turn; every eighth LPI is pending.
fn lpis(base: u64, vcpus: &[Vcpu], count: u32) -> LpiState {
    let targets = vcpus.len() as u32;
    let device = |n: u32| Device {
        id: 8 * n,
        itt: rig3::area(0) + 0x4_0000 + u64::from(n) * 0x200,
        event_bits: 6,
        events: (0..64)
            .map(|id| Event { id, intid: rig3::FIRST_LPI + 64 * n + id, icid: ((64 * n + id) % targets) as u16 })
            .collect(),
    };
    let intids = rig3::FIRST_LPI..rig3::FIRST_LPI + count;
    let pending = |(n, vcpu): (u32, &Vcpu)| PendingLpis {
        vcpu: *vcpu,
        intids: intids.clone().filter(|intid| (intid - rig3::FIRST_LPI) % targets == n && intid % 8 < 1 + n % 2).collect(),
    };
    LpiState {
        its: vec![ItsMappings {
            base,
            collections: (0..targets).map(|n| Collection { icid: n as u16, target: Some(n) }).collect(),
            devices: (0..count / 64).map(device).collect(),
        }],
        configuration: intids.clone().map(|intid| LpiConfiguration { intid, byte: 0xa3 }).collect(),
        pending: (0..).zip(vcpus).map(pending).filter(|pending| !pending.intids.is_empty()).collect(),
    }
}

/// A GICv3 with tables in the image. The vCPUs are copies of one of the model's, by other names.
pub(crate) fn gicv3(vcpus: u32, count: u32) -> Named3 {
    let (vm, mut gic) = rig3::filled(rig3::Config { vcpus: 1, ..rig3::Config::default() });
    drop(vm);
    let mut state = gic.flush_and_save().expect("save");
    let one = state.vcpus[0];
    let vcpus: Vec<Vcpu> = (0..vcpus)
        .map(|n| Vcpu { id: VcpuId::new(n).expect("id"), mpidr: Mpidr::new(0, 0, (n / 16) as u8, (n % 16) as u8) })
        .collect();
    state.vcpus = (0..)
        .zip(&vcpus)
        .map(|(n, vcpu)| {
            let mut copy = one;
            copy.vcpu = *vcpu;
            // Behind everything else that is in guest memory.
            copy.redist.pendbaser = 0x8000_0000 + n * 0x1_0000;
            copy
        })
        .collect();
    state.lpis = Some(lpis(state.its[0].base, &vcpus, count));
    let target = gicv3::Target::of(&state).expect("vCPUs");
    Named { name: format!("GICv3: {count} LPIs, {} vCPUs", vcpus.len()), state, target }
}

pub(crate) fn gicv3_all() -> Vec<Named3> {
    [1, 64, 512].map(|vcpus| gicv3(vcpus, 4096)).into()
}
