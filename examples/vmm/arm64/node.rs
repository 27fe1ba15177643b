//! One VMM: gets a guest, lets it run, gives it away.
//!
//! Rule: the one before has ended when this one says that the guest runs again; a guest never runs in two VMMs.

use super::devices::Devices;
use super::machine::{Carrier, Machine};
use super::memory::{self, Memory};
use super::options::{Fault, Options};
use super::report::{self, Report, Totals};
use super::shared::SharedArea;
use super::vcpu::{self, Running};
use super::wire::Wire;
use super::{Result, layout};
use std::io::{stdin, stdout};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vm_memory::{Bytes, GuestAddress};

/// Nobody waits longer for a guest that does nothing: the machine may be emulated.
const PATIENCE: Duration = Duration::from_secs(30);

/// The VM is there, and waits for its guest.
const WAITS: u64 = 1;
/// The guest runs.
const RUNS: u64 = 2;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}

/// Waits for the guest, as long as it gets on with something: `progress` changes. Returns false if it does not any more.
fn wait(mut until: impl FnMut() -> Result<bool>, mut progress: impl FnMut() -> Result<u64>) -> Result<bool> {
    let (mut seen, mut deadline) = (progress()?, Instant::now() + PATIENCE);
    while !until()? {
        let now = progress()?;
        if now != seen {
            (seen, deadline) = (now, Instant::now() + PATIENCE);
        } else if Instant::now() > deadline {
            return Ok(false);
        }
        sleep(Duration::from_millis(1));
    }
    Ok(true)
}

fn flag(memory: &Memory, offset: u64) -> Result<bool> {
    Ok(memory.load::<u64>(GuestAddress(layout::STATE + offset), Ordering::Acquire)? != 0)
}

/// Waits until the guest has taken everything, or has had long enough for it. Nothing sends any more.
fn finish(devices: &Devices, memory: &Memory, running: &Running, fault: Option<Fault>) -> Result<()> {
    let taken = || devices.count_all().map(|count| running.failed() || count.sent == count.received);
    let counted = || devices.count_all().map(|count| count.received);
    wait(taken, counted)?;
    if let Some(fault) = fault {
        devices.inject(fault)?;
        wait(taken, counted)?;
    }
    memory.store(1_u64, GuestAddress(layout::STATE + layout::STOP), Ordering::Release)?;
    // Each vCPU for itself: one that gets its ticks does not speak for another that does not.
    for vcpu in 0..layout::VCPUS {
        wait(|| Ok(running.failed() || report::complete(memory, vcpu)?), || report::ticks(memory, vcpu))?;
    }
    Ok(())
}

/// The VMM of this generation. Standard input is the socket to the one before, standard output the one to the next, or to the operator.
pub(super) fn run(options: &Options, generation: u64) -> Result<()> {
    let mut next = Wire::inherited(stdout().as_fd())?;
    let mut area = options.area.map(SharedArea::map).transpose()?;
    let mut carrier = match &mut area {
        None => Carrier::Socket,
        // The one before writes it before it sends the length, the next one reads it after that.
        Some(area) => Carrier::Shared(area.bytes()),
    };
    let memory = memory::map(options.memory.map(super::shared::open).transpose()?)?;
    let mut machine = Machine::new(memory.clone(), options.strategy(generation))?;
    let mut totals = Totals::default();
    let mut before = None;
    if generation == 0 {
        machine.boot()?;
    } else {
        let mut wire = Wire::inherited(stdin().as_fd())?;
        wire.put(WAITS)?;
        wire.flush()?;
        if let Carrier::Socket = carrier {
            memory::get(&mut wire, &memory)?;
        }
        let gic = machine.get(&mut wire, &carrier)?;
        totals = Totals::get(&mut wire)?;
        totals.gic_sum += gic.as_micros() as u64;
        before = Some((wire.get()?, wire));
    }
    let (devices, slots) = (machine.devices.clone(), machine.slots());
    let running = Running::start(core::mem::take(&mut machine.vcpus), &devices)?;
    if let Some((stopped, mut wire)) = before {
        let pause = now().saturating_sub(stopped);
        totals.pause_max = totals.pause_max.max(pause);
        totals.pause_sum += pause;
        wire.put(RUNS)?;
        wire.flush()?;
    } else if !wait(|| Ok(running.failed() || flag(&memory, layout::READY)?), || Ok(0))? {
        return Err("the guest does not start".into());
    }
    let sender = devices.start();

    sleep(Duration::from_micros(options.random(generation, 50_000)));
    if generation == options.moves {
        devices.stop(sender)?;
        finish(&devices, &memory, &running, options.fault)?;
        let vcpus = running.stop()?;
        Report::of(&devices, &memory, &vcpus, totals)?.put(&mut next)?;
        return next.flush();
    }

    if next.get()? != WAITS {
        return Err("the next VMM does not wait for a guest".into());
    }
    if let Carrier::Socket = carrier {
        Machine::log_dirty_pages(&slots)?;
        memory::put_all(&mut next, &memory)?;
        next.flush()?;
    }
    sleep(Duration::from_micros(options.random(!generation, 20_000)));
    let stopped = now();
    machine.vcpus = running.stop()?;
    // Devices may send as long as they like: what comes after the vCPUs have stopped waits in the controller.
    devices.stop(sender)?;
    let count = devices.count_all()?;
    totals.in_flight += count.sent - count.received;
    for vcpu in &machine.vcpus {
        totals.in_handler += u64::from(vcpu::masked(vcpu)?);
    }
    totals.moves += 1;
    machine.put(&mut next, &mut carrier, &mut totals)?;
    totals.put(&mut next)?;
    next.put(stopped)?;
    next.flush()?;
    match next.get()? {
        RUNS => Ok(()),
        _ => Err("the next VMM does not say that the guest runs".into()),
    }
}
