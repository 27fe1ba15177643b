//! VMs on the model whose registers and tables all hold different values.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashSet;
use vgic_state::gicv5::Gicv5;
use vgic_state::model::gicv5::{Host, Vm};
use vgic_state::uapi::vgic_v5::{icc, irs};
use vgic_state::{Attr, AttrDevice, IntId, Mpidr, SpiCount, Vcpu, VcpuId, Vcpus};

pub(crate) const IRS_BASE: u64 = 0x0800_0000;

/// vCPUs with ids and affinities that follow from each other in no simple way.
pub(crate) fn vcpus(count: u32) -> Vcpus {
    Vcpus::new(
        (0..count).map(|n| Vcpu {
            id: VcpuId::new(n * 2 + n % 2).expect("id"),
            mpidr: Mpidr::new(3, (7 * n) as u8, 1, (count - n) as u8),
        }),
    )
    .expect("vCPUs")
}

/// A fresh VM with an initialised GICv5.
pub(crate) fn fresh(vcpus: &Vcpus, spis: u32) -> Gicv5<Vm> {
    on_host(Host::default(), vcpus, spis)
}

pub(crate) fn on_host(host: Host, vcpus: &Vcpus, spis: u32) -> Gicv5<Vm> {
    let vm = Vm::with_device(host, vcpus).expect("VM");
    let mut gic = Gicv5::initialise(vm, IRS_BASE, SpiCount::new(spis).expect("SPIs"), vcpus.clone()).expect("initialised device");
    gic.device_mut().clear_trace();
    gic
}

/// A number that depends on its input in no simple way.
pub(crate) fn scramble(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Registers of one vCPU, by the names of the kernel, each with a value that only it has and that KVM keeps.
pub(crate) fn icc_values(vcpu: Vcpu) -> Vec<(u16, u64)> {
    icc::REGISTERS
        .iter()
        .map(|(name, instr)| {
            let instr = *instr as u16;
            let random = scramble(u64::from(vcpu.mpidr.packed()) << 32 | u64::from(instr));
            let value = match *name {
                "SYS_ICC_ICSR_EL1" => random & 0x0000_ffff_0000_f83f,
                "SYS_ICC_APR_EL1" => random & 0xffff_ffff,
                "SYS_ICC_CR0_EL1" => u64::from(vcpu.id.get() % 2),
                "SYS_ICC_PCR_EL1" => (7 + 5 * u64::from(vcpu.id.get())) & 0x1f,
                "SYS_ICC_PPI_ENABLER0_EL1" | "SYS_ICC_PPI_SACTIVER0_EL1" | "SYS_ICC_PPI_SPENDR0_EL1" => random,
                _ if (icc::SYS_ICC_PPI_PRIORITYR0_EL1..=icc::SYS_ICC_PPI_PRIORITYR7_EL1).contains(&instr) => {
                    random & 0x1f1f_1f1f_1f1f_1f1f
                }
                _ => 0,
            };
            (instr, value)
        })
        .collect()
}

/// IRS registers that a guest writes, each with a value that only it has and that KVM keeps.
pub(crate) fn irs_values(lpi_bits: Option<u32>) -> Vec<(u32, u64)> {
    let mut values = vec![
        (irs::GICV5_IRS_CR0, 1),
        (irs::GICV5_IRS_CR1, 0x5475),
        (irs::GICV5_IRS_SPI_SELR, 0x11),
        (irs::GICV5_IRS_PE_SELR, 0x0203),
    ];
    if lpi_bits.is_none() {
        values.push((irs::GICV5_IRS_IST_CFGR, 0x2a));
        values.push((irs::GICV5_IRS_IST_BASER, 0x0000_0012_3456_7980));
    }
    values
}

/// Entries that a guest and its hardware could have made: reserved bits clear, enabled, targets that exist, HWU as it comes.
pub(crate) fn table(seed: u64, entries: usize, vcpus: &Vcpus) -> Vec<u8> {
    let ids: Vec<u16> = vcpus.iter().map(|vcpu| vcpu.id.iaffid()).collect();
    (0..entries)
        .flat_map(|n| {
            let random = scramble(seed << 32 | n as u64);
            let target = u32::from(ids[n % ids.len()]);
            (random as u32 & 0xfe07 | 1 << 3 | target << 16).to_le_bytes()
        })
        .collect()
}

/// The same table with the hardware's own bits clear.
pub(crate) fn without_hwu(table: &[u8]) -> Vec<u8> {
    table.chunks(4).flat_map(|word| [word[0], word[1] & !0x06, word[2], word[3]]).collect()
}

/// A table of SPIs as it is saved: without the hardware's own bits, and of a level-triggered SPI (HM) not pending.
pub(crate) fn saved_spis(table: &[u8]) -> Vec<u8> {
    let pending = |first: u8| if first & 1 << 2 != 0 { first & !1 } else { first };
    without_hwu(table).chunks(4).flat_map(|word| [pending(word[0]), word[1], word[2], word[3]]).collect()
}

/// Fails unless the values of [`irs_values`] and [`icc_values`] are all different, where the registers have the bits for it.
fn assert_distinct(lpi_bits: Option<u32>, vcpus: &Vcpus) {
    // The mask has 5 bits: enough for this many vCPUs.
    let few = vcpus.len() <= 16;
    let cpu = vcpus.iter().flat_map(icc_values).filter(|(instr, value)| match *instr {
        icc::SYS_ICC_CR0_EL1 => false, // 1 bit
        icc::SYS_ICC_PCR_EL1 => few,
        _ => *value != 0, // PPIs 64 to 127 are not emulated
    });
    let mut values: Vec<u64> = irs_values(lpi_bits).into_iter().map(|(_, value)| value).collect();
    let irs = values.len();
    values.extend(cpu.map(|(_, value)| value));
    // Of 26 registers all but CR0 and the 11 of PPIs 64 to 127.
    assert_eq!(values.len(), irs + vcpus.len() * if few { 14 } else { 13 }, "a register without a value");
    assert_eq!(values.iter().collect::<HashSet<_>>().len(), values.len(), "two registers with the same value");
}

/// Gives every register and every interrupt of a VM a value of its own, as a guest and its hardware would have.
pub(crate) fn fill(gic: &mut Gicv5<Vm>, lpi_bits: Option<u32>) {
    let vcpus = gic.target().vcpus.clone();
    let spis = gic.target().spi_count.get() as usize;
    assert_distinct(lpi_bits, &vcpus);
    let vm = gic.device_mut();
    vm.plant_spi_ist(&table(1, spis, &vcpus)).expect("SPI table");
    if let Some(bits) = lpi_bits {
        vm.plant_lpi_ist(bits, &table(2, 1 << bits, &vcpus)).expect("LPI table");
    }
    for (offset, value) in irs_values(lpi_bits) {
        vm.set(Attr::irs(offset), value).expect("IRS register");
    }
    for vcpu in vcpus.iter() {
        for (instr, value) in icc_values(vcpu) {
            vm.set(Attr::cpu_sysreg(vcpu.mpidr, instr), value).expect("CPU interface register");
        }
    }
    vm.clear_trace();
}

/// A VM with something in every register and every entry.
pub(crate) fn filled(vcpus: &Vcpus, spis: u32, lpi_bits: Option<u32>) -> Gicv5<Vm> {
    let mut gic = fresh(vcpus, spis);
    fill(&mut gic, lpi_bits);
    gic
}

/// The accesses so far, one a line.
pub(crate) fn trace(gic: &Gicv5<Vm>) -> String {
    gic.device().trace().iter().map(|access| format!("{access}\n")).collect()
}

/// Number of an interrupt within its kind.
pub(crate) fn number(id: IntId) -> u32 {
    match id {
        IntId::Ppi(n) | IntId::Spi(n) | IntId::Lpi(n) => n,
        _ => unreachable!("no other kinds"),
    }
}
