//! Reads the registers of a state.
//!
//! Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst.
//!
//! Rule: which registers, and in which order, the state says; what a vCPU is, the attachment has read, where its tables are, the flush, and
//! what KVM has once for a VM is read once.

use super::access::{get, read_its};
use super::attach::Gicv3;
use super::once::Once;
use crate::flushed::Flushed;
use crate::judge::gicv3::TargetVcpu;
use crate::memory::GuestMemoryRead;
use crate::registers::{Absent, Row};
use crate::state::gicv3::Gicv3State;
use crate::state::gicv3::read::Registers;
use crate::uapi::vgic_v3::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;
use crate::uapi::vgic_v3::redist::{GICR_IIDR, GICR_TYPER};
use crate::{Attr, AttrDevice, AttrId, Error};

const GICR_TYPER_UPPER: u32 = GICR_TYPER + 4;

/// The devices of a VM.
struct Devices<'a, D> {
    gic: &'a D,
    its: &'a [D],
    /// What the attachment has read, in the order in which vCPUs are read.
    vcpus: core::slice::Iter<'a, TargetVcpu>,
    /// What the flush has read, likewise.
    flushed: &'a [(AttrId, u32)],
    once: Once,
}

impl<D> Devices<'_, D> {
    /// A register that says what a vCPU is.
    fn identity(&mut self, register: AttrId) -> Option<u32> {
        let mpidr = register.mpidr().filter(|_| register.group() == KVM_DEV_ARM_VGIC_GRP_REDIST_REGS)?;
        let vcpu = loop {
            match self.vcpus.as_slice().first()? {
                vcpu if vcpu.vcpu.mpidr == mpidr => break vcpu,
                _ => self.vcpus.next(),
            };
        };
        match register.attr() as u32 {
            GICR_IIDR => Some(vcpu.redist.iidr),
            GICR_TYPER => Some(vcpu.redist.typer as u32),
            GICR_TYPER_UPPER => Some((vcpu.redist.typer >> 32) as u32),
            _ => None,
        }
    }
}

impl<D> Devices<'_, D> {
    /// A register that the flush has read.
    fn flushed(&mut self, register: AttrId) -> Option<u32> {
        let mpidr = register.mpidr().filter(|_| register.group() == KVM_DEV_ARM_VGIC_GRP_REDIST_REGS)?;
        let is_own = |id: AttrId| id.mpidr() == Some(mpidr);
        let skipped = self.flushed.iter().take_while(|(id, _)| !is_own(*id)).count();
        // What is of no vCPU that was flushed leaves the rest where it is.
        let own = self.flushed.get(skipped..).filter(|own| !own.is_empty())?;
        self.flushed = own;
        own.iter().take_while(|(id, _)| is_own(*id)).find(|(id, _)| *id == register).map(|(_, value)| *value)
    }
}

impl<D: AttrDevice> Registers for Devices<'_, D> {
    type Error = Error;

    fn word(&mut self, attr: Attr<u32>, _: Absent) -> Result<u32, Error> {
        match self.identity(attr.id()).or_else(|| self.flushed(attr.id())) {
            Some(value) => Ok(value),
            None => self.once.read(attr, || get(self.gic, attr, None)),
        }
    }

    fn cpu_sysreg(&mut self, attr: Attr<u64>, _: Absent) -> Result<u64, Error> {
        self.once.read(attr, || get(self.gic, attr, None))
    }

    fn its(&mut self, n: usize, base: u64, row: &'static Row, _: Absent) -> Result<u64, Error> {
        // There are as many as their addresses.
        self.its.get(n).map_or(Ok(0), |its| read_its(its, base, row))
    }
}

impl<D: AttrDevice, M: GuestMemoryRead> Gicv3<D, M> {
    /// Reads everything but the tables.
    pub(super) fn read_state(&self, flushed: Flushed) -> Result<Gicv3State, Error> {
        let (lpis, flushed) = flushed.into_parts();
        let vcpus = self.target.per_vcpu.iter();
        let mut devices = Devices { gic: &self.gic, its: &self.its, vcpus, flushed: &flushed, once: Once::default() };
        Gicv3State::read(&mut devices, self.target.nr_irqs, &self.target.vcpus, &self.its_bases(), self.el2(), lpis)
    }
}
