//! The operations of a conversation, done on the model.
//!
//! Source: none; the operations are described in `data/README.md`.
//!
//! Rule: an answer is what the model did, put into the words of the format; nothing here knows what the kernel answered.

use crate::object::Object;
use crate::reader::{Fields, decimal, hex};
use crate::table::{entries, interrupts, spis};
use vgic_state::model::gicv5::{Guest, Host, Spi, Vm};
use vgic_state::model::{Fault, HostStep, Op, User};
use vgic_state::{Attr, AttrId, Errno, IntId, Mpidr, Vcpu, VcpuId};

/// The VM that the conversation is at.
#[derive(Debug)]
pub(crate) struct Replay {
    vm: Vm,
}

/// Begins a VM: the fields of a `host` line.
fn host(fields: &mut Fields<'_>) -> Host {
    let mut host = Host { hwu: false, ..Host::default() };
    while let Some(field) = fields.optional() {
        let (key, value) = field.split_once('=').unwrap_or_else(|| panic!("{field:?}: no value"));
        let number = || decimal::<u32>(value);
        match key {
            "id_bits" => host.id_bits = number(),
            "min_lpi_id_bits" => host.min_lpi_id_bits = number(),
            "priority_bits" => host.priority_bits = number(),
            "pa_range" => host.pa_range = number(),
            "ipa_bits" => host.ipa_bits = number(),
            "max_vcpus" => host.max_vcpus = number(),
            "ppis" => host.ppis = hex(value),
            // The shape of the host's tables: no answer depends on it. The vCPUs have lines of their own.
            "istmd" | "istmd_sz" | "ist_levels" | "l2sz" | "vmt_levels" | "vm_id_bits" | "page" | "vmd" | "vcpus" => {}
            _ => panic!("{field:?}: not known"),
        }
    }
    host
}

/// `spiN` or `lpiN`.
fn interrupt(name: &str) -> IntId {
    match name.split_at_checked(3) {
        Some(("spi", number)) => IntId::Spi(decimal(number)),
        Some(("lpi", number)) => IntId::Lpi(decimal(number)),
        _ => panic!("{name:?}: no interrupt"),
    }
}

fn result(result: Result<(), Errno>) -> String {
    result.map_or_else(|errno| errno.to_string(), |()| "ok".into())
}

impl Replay {
    /// Before the first VM: one that no operation is meant for.
    pub(crate) fn new() -> Self {
        Replay { vm: Vm::new(Host::default()) }
    }

    /// Does one operation; its answer, if it has one.
    pub(crate) fn perform(&mut self, operation: &str) -> Option<String> {
        let dead = self.vm.is_dead();
        let answer = self.operate(&mut Fields::new(operation))?;
        Some(if self.vm.is_dead() && !dead { format!("{answer} dead") } else { answer })
    }

    fn operate(&mut self, fields: &mut Fields<'_>) -> Option<String> {
        let vm = &mut self.vm;
        Some(match fields.text() {
            "host" => {
                *vm = Vm::new(host(fields));
                return None;
            }
            "vcpu" => {
                let (id, mpidr) = (id(fields), Mpidr::from_register(fields.hex()));
                let create = if fields.optional() == Some("el2") { Vm::create_el2_vcpu } else { Vm::create_vcpu };
                result(create(vm, Vcpu { id, mpidr }))
            }
            "device" => result(vm.create_device(fields.decimal())),
            "has" => attribute(vm, Op::Has, fields),
            "get" => attribute(vm, Op::Get, fields),
            "set" => attribute(vm, Op::Set, fields),
            "line" => match fields.text() {
                "spi" => result(vm.set_spi_level(fields.decimal(), fields.bit())),
                "ppi" => result(vm.set_ppi_level(id(fields), fields.decimal(), fields.bit())),
                other => panic!("{other:?}: no kind of line"),
            },
            "drive" => result(vm.drive_ppi(id(fields), fields.decimal(), fields.bit())),
            "run" => result(vm.run(id(fields), |_| ())),
            "hold" => return hold(vm, fields, true),
            "release" => return hold(vm, fields, false),
            "replayed" => replayed(vm),
            "r32" => guest(vm, fields, |guest, fields| format!("{:x}", guest.irs_read32(offset(fields)))),
            "r64" => guest(vm, fields, |guest, fields| format!("{:x}", guest.irs_read64(offset(fields)))),
            "w32" => {
                guest(vm, fields, |guest, fields| guest.irs_write32(offset(fields), u32::try_from(fields.hex()).unwrap()));
                return None;
            }
            "w64" => {
                guest(vm, fields, |guest, fields| guest.irs_write64(offset(fields), fields.hex()));
                return None;
            }
            "insn" => {
                let id = guest(vm, fields, instruction);
                vm.entry(id).map_or_else(|| "none".into(), |entry| format!("{entry:x}"))
            }
            "peek" => match fields.text() {
                "spi" => peek_spi(vm),
                "lpi" => peek_lpi(vm),
                other => panic!("{other:?}: no kind of table"),
            },
            "fault" => {
                fault(vm, fields);
                return None;
            }
            "nofault" => {
                vm.clear_faults();
                return None;
            }
            other => panic!("{other:?}: no operation"),
        })
    }
}

fn id(fields: &mut Fields<'_>) -> VcpuId {
    VcpuId::new(fields.decimal()).unwrap()
}

fn offset(fields: &mut Fields<'_>) -> u32 {
    u32::try_from(fields.hex()).unwrap()
}

fn attribute(vm: &mut Vm, op: Op, fields: &mut Fields<'_>) -> String {
    let id = AttrId::from_raw(fields.decimal(), fields.hex());
    let mut object = Object::parse(op, fields);
    let result = vm.ioctl(op, id, object.user());
    object.answer(op, result)
}

/// A 64-bit attribute, if the device answers.
fn get(vm: &mut Vm, id: AttrId) -> Option<u64> {
    let mut value = 0;
    vm.ioctl(Op::Get, id, User::U64(&mut value)).ok().map(|()| value)
}

fn hold(vm: &mut Vm, fields: &mut Fields<'_>, held: bool) -> Option<String> {
    vm.hold_vcpu(id(fields), held);
    None
}

/// Lets the vCPU do something; it has run before.
fn guest<'f, R>(vm: &mut Vm, fields: &mut Fields<'f>, code: impl FnOnce(&mut Guest<'_>, &mut Fields<'f>) -> R) -> R {
    let id = id(fields);
    vm.run(id, |guest| code(guest, fields)).unwrap_or_else(|errno| panic!("vCPU {id:?} does not run: {errno}"))
}

fn instruction(guest: &mut Guest<'_>, fields: &mut Fields<'_>) -> IntId {
    let (name, id) = (fields.text(), interrupt(fields.text()));
    match name {
        "cden" => guest.cden(id),
        "cddis" => guest.cddis(id),
        "cdpend" => guest.cdpend(id, fields.bit()),
        "cdhm" => guest.cdhm(id, fields.bit()),
        "cdaff" => guest.cdaff(id, u16::try_from(fields.hex()).unwrap()),
        "cdpri" => guest.cdpri(id, u32::try_from(fields.hex()).unwrap()),
        other => panic!("{other:?}: no instruction"),
    }
    id
}

fn replayed(vm: &Vm) -> String {
    let name = |id: &IntId| match id {
        IntId::Spi(number) => (format!("spi{number}"), 3 << 29 | number),
        IntId::Lpi(number) => (format!("lpi{number}"), 2 << 29 | number),
        other => panic!("{other:?}: in no table"),
    };
    let (names, words): (Vec<String>, Vec<u32>) = vm.replayed().iter().map(name).unzip();
    interrupts(&names, &words)
}

fn peek_spi(vm: &Vm) -> String {
    let all = (0..).map_while(|spi| vm.spi(spi));
    let soft = |spi: Spi| u32::from(spi.level) | u32::from(spi.line) << 1 | u32::from(spi.latch) << 2;
    let (words, soft): (Vec<u32>, Vec<u32>) = all.map(|spi| (spi.entry, soft(spi))).unzip();
    if words.is_empty() { "none soft none".into() } else { spis(&words, &soft) }
}

fn peek_lpi(vm: &Vm) -> String {
    let words: Vec<u32> = (0..).map_while(|lpi| vm.entry(IntId::Lpi(lpi))).collect();
    let bytes: Vec<u8> = words.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    if words.is_empty() { "none".into() } else { format!("{} {}", words.len(), entries(&bytes)) }
}

/// Arms what a `fault` line says: of the operations of a kind, SKIP succeed, then TIMES fail.
fn fault(vm: &mut Vm, fields: &mut Fields<'_>) {
    const LOOKS: [HostStep; 3] = [HostStep::Quiesce, HostStep::QuietAfterSpi, HostStep::QuietAfterLpi];
    let (kind, skip, times) = (fields.text(), fields.decimal::<u32>(), fields.decimal::<u32>());
    // Whether the next restore has an LPI table: the registers say it.
    let lpis = get(vm, Attr::irs(0x180).id()).is_some_and(|baser| baser & 1 != 0);
    let mut arm = |step, after, errno| (0..times).for_each(|_| vm.set_fault(Fault::host_after(after, step, errno)));
    match kind {
        "unmap-vm" => arm(HostStep::UnmapVm, skip, Errno::ETIMEDOUT),
        "map-vm" => arm(HostStep::MapVm, skip, Errno::ETIMEDOUT),
        "map-lpi" => arm(HostStep::MapLpi, skip, Errno::ETIMEDOUT),
        "map-spi" => arm(HostStep::MapSpi, skip, Errno::ETIMEDOUT),
        "save-busy" => arm(LOOKS[skip as usize], 0, Errno::ETIMEDOUT),
        "not-quiet" => arm(LOOKS[skip as usize], 0, Errno::EBUSY),
        "alloc" => {
            // All of INIT's allocations fail alike. A restore has one for each interrupt that is pending, and before them one for an
            // LPI table, if there is to be one.
            arm(HostStep::Init, 0, Errno::ENOMEM);
            let Some(pending) = skip.checked_sub(u32::from(lpis)) else { return arm(HostStep::AllocateLpi, 0, Errno::ENOMEM) };
            arm(HostStep::RememberPending, pending, Errno::ENOMEM);
        }
        other => panic!("{other:?}: no fault"),
    }
}
