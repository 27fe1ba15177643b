//! LPIs: configuration and pending table in guest memory.
//!
//! Source: `arch/arm64/kvm/vgic/vgic-its.c`, `vgic_add_lpi`, `update_lpi_config`, `its_sync_lpi_pending_table`; `vgic-v3.c`,
//! `vgic_v3_lpi_sync_pending_status`, `vgic_v3_save_pending_tables`.
//!
//! Rule: one LPI per ID, whatever ITS and however many translations refer to it; its configuration is what was read last.

use super::behaviour::Behaviour;
use super::cpu::Cpu;
use super::fields::PENDBASER_PTZ;
use super::host::Host;
use super::irq::{FIRST_LPI, Irq, Irqs};
use super::ram::Ram;
use crate::Errno;

/// What an ITS works with: everything of the VM but the ITSes.
pub(super) struct Ctx<'a> {
    pub(super) host: Host,
    pub(super) ram: &'a mut Ram,
    pub(super) cpus: &'a mut [Cpu],
    pub(super) irqs: &'a mut Irqs,
    pub(super) propbaser: u64,
}

const PROPBASER_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const PENDBASER_ADDRESS: u64 = 0x000f_ffff_ffff_0000;
/// Priority in a configuration byte; an LPI has six bits of it.
const CONFIG_PRIORITY: u8 = 0xfc;
const CONFIG_ENABLE: u8 = 1;

impl Ctx<'_> {
    /// The vCPU that an ITS command or a collection names.
    pub(super) fn vcpu_named(&self, id: u32) -> Option<usize> {
        if !self.host.kernel.has(Behaviour::NamesVcpusById) {
            return (id as usize).lt(&self.cpus.len()).then_some(id as usize);
        }
        self.cpus.iter().position(|cpu| cpu.vcpu.id.get() == id)
    }

    /// LPI IDs are below this.
    pub(super) fn lpi_limit(&self) -> u32 {
        1 << ((self.propbaser & 0x1f) + 1).min(16)
    }

    fn config_address(&self, intid: u32) -> u64 {
        (self.propbaser & PROPBASER_ADDRESS) + u64::from(intid - FIRST_LPI)
    }

    /// Byte and bit of an LPI in the pending table of a vCPU.
    fn pending_bit(&self, vcpu: usize, intid: u32) -> Option<(u64, u8)> {
        let base = self.cpus.get(vcpu)?.pendbaser & PENDBASER_ADDRESS;
        Some((base + u64::from(intid / 8), 1 << (intid % 8)))
    }

    /// Reads priority and enable of an LPI. No effect for one that is not mapped.
    pub(super) fn read_configuration(&mut self, intid: u32) -> Result<(), Errno> {
        if intid < FIRST_LPI || !self.irqs.lpis.contains_key(&intid) {
            return Ok(());
        }
        let [config] = self.ram.read(self.config_address(intid))?;
        self.irqs.change(0, intid, |irq| {
            irq.priority = config & CONFIG_PRIORITY;
            irq.enabled = config & CONFIG_ENABLE != 0;
        });
        Ok(())
    }

    /// Reads priority and enable of every LPI for a vCPU; one that cannot be read keeps what it has.
    pub(super) fn read_all_configurations(&mut self, vcpu: usize) {
        for intid in self.irqs.lpis_of(vcpu) {
            let _ = self.read_configuration(intid);
        }
    }

    /// A translation to `intid` is made: an LPI that exists is shared as it is, or refused with `EEXIST`; a new one is read from guest
    /// memory. Its pending bit there is taken over and cleared.
    pub(super) fn add_lpi(&mut self, intid: u32, target: Option<usize>) -> Result<(), Errno> {
        if let Some(irq) = self.irqs.lpis.get_mut(&intid) {
            if self.host.kernel.has(Behaviour::OneEventForAnLpi) {
                if irq.references != 0 {
                    return Err(Errno::EEXIST);
                }
                // One that is still on a list of a vCPU.
                irq.target = target;
            }
            irq.references += 1;
            return Ok(());
        }
        self.irqs.lpis.insert(intid, Irq { group1: true, target, references: 1, ..Irq::default() });
        let read = self.read_configuration(intid).and_then(|()| self.take_pending_bit(intid, target));
        if read.is_err() {
            self.irqs.put(intid);
        }
        read
    }

    fn take_pending_bit(&mut self, intid: u32, target: Option<usize>) -> Result<(), Errno> {
        let Some((address, bit)) = target.and_then(|vcpu| self.pending_bit(vcpu, intid)) else { return Ok(()) };
        let [byte] = self.ram.read(address)?;
        self.irqs.change(0, intid, |irq| irq.latch = byte & bit != 0);
        if byte & bit != 0 { self.ram.write(address, &[byte & !bit]) } else { Ok(()) }
    }

    /// `GICR_CTLR.EnableLPIs` became 1: the pending table says which of the vCPU's LPIs are pending, unless it is said to be zero.
    pub(super) fn lpis_enabled(&mut self, vcpu: usize) {
        if self.cpus.get(vcpu).is_none_or(|cpu| cpu.pendbaser & PENDBASER_PTZ != 0) {
            return;
        }
        for intid in self.irqs.lpis_of(vcpu) {
            let Some((address, bit)) = self.pending_bit(vcpu, intid) else { return };
            // The first byte that cannot be read ends it.
            let Ok([byte]) = self.ram.read(address) else { return };
            self.irqs.change(0, intid, |irq| irq.latch = byte & bit != 0);
        }
    }

    /// `GICR_CTLR.EnableLPIs` became 0: LPIs leave the vCPU's list, and with the [behaviour](Behaviour::DisablingForgetsPendingLpis) are
    /// no more pending.
    pub(super) fn lpis_disabled(&mut self, vcpu: usize) {
        let forgets = self.host.kernel.has(Behaviour::DisablingForgetsPendingLpis);
        for irq in self.irqs.lpis.values_mut().filter(|irq| irq.queued == Some(vcpu)) {
            irq.queued = None;
            irq.latch &= !forgets;
        }
        self.irqs.lpis.retain(|_, irq| irq.references > 0 || irq.queued.is_some());
    }

    /// `SAVE_PENDING_TABLES`: brings the pending tables up to date, byte by byte, and writes what differs.
    pub(super) fn save_pending_tables(&mut self) -> Result<(), Errno> {
        let lpis: Vec<_> = self.irqs.lpis.iter().map(|(intid, irq)| (*intid, irq.target, irq.latch)).collect();
        for (intid, target, pending) in lpis {
            let Some((address, bit)) = target.and_then(|vcpu| self.pending_bit(vcpu, intid)) else { continue };
            let [byte] = self.ram.read(address)?;
            if (byte & bit != 0) != pending {
                self.ram.write(address, &[byte ^ bit])?;
            }
        }
        Ok(())
    }
}
