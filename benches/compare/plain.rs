//! The same states as other VMMs keep them: structs that derive `Serialize` and `Deserialize`.
//!
//! Rule: every value of a state is there once, in the least type that holds it.

use bitcode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use vgic_state::gicv3::{Gicv3State, InterruptBlock};
use vgic_state::gicv5::{Gicv5State, Ist};

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
pub(crate) struct Plain5 {
    spi_count: u32,
    identity: [u32; 6],
    cr1: u32,
    spi_selr: u32,
    pe_selr: u32,
    ist_cfgr: u32,
    ist_baser: u64,
    cr0: u32,
    vcpus: Vec<Vcpu5>,
    spi_ist: Vec<u32>,
    lpi_ist: Option<Vec<u32>>,
}

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
struct Vcpu5 {
    id: u16,
    mpidr: u32,
    registers: [u64; 26],
}

fn words(table: &Ist<'_>) -> Vec<u32> {
    table.entries().map(|(_, entry)| entry.into_bits()).collect()
}

impl From<&Gicv5State<'_>> for Plain5 {
    fn from(state: &Gicv5State<'_>) -> Self {
        let (identity, irs) = (&state.identity, &state.irs);
        let vcpu = |vcpu: &vgic_state::gicv5::VcpuState| {
            let r = &vcpu.registers;
            Vcpu5 {
                id: vcpu.vcpu.id.iaffid(),
                mpidr: vcpu.vcpu.mpidr.packed(),
                registers: [
                    r.icsr,
                    r.ppi_enabler0,
                    r.ppi_enabler1,
                    r.ppi_sactiver0,
                    r.ppi_sactiver1,
                    r.ppi_spendr0,
                    r.ppi_spendr1,
                    r.ppi_priorityr0,
                    r.ppi_priorityr1,
                    r.ppi_priorityr2,
                    r.ppi_priorityr3,
                    r.ppi_priorityr4,
                    r.ppi_priorityr5,
                    r.ppi_priorityr6,
                    r.ppi_priorityr7,
                    r.ppi_priorityr8,
                    r.ppi_priorityr9,
                    r.ppi_priorityr10,
                    r.ppi_priorityr11,
                    r.ppi_priorityr12,
                    r.ppi_priorityr13,
                    r.ppi_priorityr14,
                    r.ppi_priorityr15,
                    r.apr,
                    r.cr0,
                    r.pcr,
                ],
            }
        };
        Plain5 {
            spi_count: state.spi_count.get(),
            identity: [identity.idr0, identity.idr1, identity.idr2, identity.idr5, identity.idr6, identity.idr7],
            cr1: irs.cr1,
            spi_selr: irs.spi_selr,
            pe_selr: irs.pe_selr,
            ist_cfgr: irs.ist_cfgr,
            ist_baser: irs.ist_baser,
            cr0: irs.cr0,
            vcpus: state.vcpus.iter().map(vcpu).collect(),
            spi_ist: words(&state.spi_ist),
            lpi_ist: state.lpi_ist.as_ref().map(words),
        }
    }
}

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
pub(crate) struct Plain3 {
    nr_irqs: u32,
    dist: [u32; 4],
    spis: Vec<Spis>,
    vcpus: Vec<Vcpu3>,
    its: Vec<Its>,
    configuration: Vec<(u16, u8)>,
    pending: Vec<(u16, Vec<u16>)>,
}

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
struct PlainBank {
    group: u32,
    enable: u32,
    config: [u32; 2],
    level: u32,
    pending: u32,
    active: u32,
    priority: [u32; 8],
}

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
struct Spis {
    first: u16,
    bank: PlainBank,
    router: [u32; 32],
}

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
struct Vcpu3 {
    id: u16,
    mpidr: u32,
    iidr: u32,
    typer: u64,
    propbaser: u64,
    pendbaser: u64,
    ctlr: u32,
    private: PlainBank,
    icc: [u64; 15],
}

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
struct Its {
    base: u64,
    typer: u64,
    iidr: u32,
    cbaser: u64,
    creadr: u64,
    cwriter: u64,
    baser: [u64; 8],
    ctlr: u32,
    collections: Vec<(u16, Option<u32>)>,
    devices: Vec<Device>,
}

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
struct Device {
    id: u32,
    itt: u64,
    event_bits: u8,
    events: Vec<Event>,
}

#[derive(Serialize, Deserialize, Encode, Decode, PartialEq)]
struct Event {
    id: u16,
    intid: u16,
    icid: u16,
}

impl From<&InterruptBlock> for PlainBank {
    fn from(bank: &InterruptBlock) -> Self {
        let InterruptBlock { group, enable, config, level, pending, active, priority, .. } = *bank;
        PlainBank { group, enable, config, level, pending, active, priority }
    }
}

impl From<&Gicv3State> for Plain3 {
    fn from(state: &Gicv3State) -> Self {
        let lpis = state.lpis.clone().unwrap_or_default();
        let vcpu = |vcpu: &vgic_state::gicv3::VcpuState| {
            let i = &vcpu.icc;
            Vcpu3 {
                id: vcpu.vcpu.id.iaffid(),
                mpidr: vcpu.vcpu.mpidr.packed(),
                iidr: vcpu.identity.iidr,
                typer: vcpu.identity.typer,
                propbaser: vcpu.redist.propbaser,
                pendbaser: vcpu.redist.pendbaser,
                ctlr: vcpu.redist.ctlr,
                private: (&vcpu.private).into(),
                icc: [
                    i.sre, i.ctlr, i.igrpen0, i.igrpen1, i.pmr, i.bpr0, i.bpr1, i.ap0r0, i.ap0r1, i.ap0r2, i.ap0r3, i.ap1r0,
                    i.ap1r1, i.ap1r2, i.ap1r3,
                ],
            }
        };
        let its = state.its.iter().map(|its| {
            let r = &its.registers;
            let mappings = lpis.its.iter().find(|mappings| mappings.base == its.base).cloned().unwrap_or_default();
            let events = |device: &vgic_state::its::Device| {
                device
                    .events
                    .iter()
                    .map(|event| Event { id: event.id as u16, intid: event.intid as u16, icid: event.icid })
                    .collect()
            };
            let device = |device: &vgic_state::its::Device| Device {
                id: device.id,
                itt: device.itt,
                event_bits: device.event_bits as u8,
                events: events(device),
            };
            Its {
                base: its.base,
                typer: its.identity.typer,
                iidr: its.identity.iidr,
                cbaser: r.cbaser,
                creadr: r.creadr,
                cwriter: r.cwriter,
                baser: [r.baser0, r.baser1, r.baser2, r.baser3, r.baser4, r.baser5, r.baser6, r.baser7],
                ctlr: r.ctlr,
                collections: mappings.collections.iter().map(|collection| (collection.icid, collection.target)).collect(),
                devices: mappings.devices.iter().map(device).collect(),
            }
        });
        Plain3 {
            nr_irqs: state.nr_irqs.get(),
            dist: [state.identity.typer, state.identity.iidr, state.identity.typer2, state.dist.ctlr],
            spis: state
                .spis
                .iter()
                .map(|spis| Spis { first: spis.first as u16, bank: (&spis.interrupts).into(), router: spis.router })
                .collect(),
            vcpus: state.vcpus.iter().map(vcpu).collect(),
            its: its.collect(),
            configuration: lpis.configuration.iter().map(|lpi| (lpi.intid as u16, lpi.byte)).collect(),
            pending: lpis
                .pending
                .iter()
                .map(|pending| (pending.vcpu.id.iaffid(), pending.intids.iter().map(|intid| *intid as u16).collect()))
                .collect(),
        }
    }
}
