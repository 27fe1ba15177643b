//! The measurements.
//!
//! Rule: every VM that is compared has the same memory in the same kind of pages: a file without a name, in pages of 4 KiB.

use crate::fault::Operation;
use crate::faults::Mark;
use crate::kernel::{KernelRig, release};
use crate::program::{self, Devices, Table};
use crate::rig::{Config, Memory, Rig};
use crate::{layout, memory};
use comfy_table::{CellAlignment, presets};
use std::time::{Duration, Instant};
use vgic_state::TableStrategy;
use vgic_state::gicv3::Gicv3State;
use vgic_state::shadow::ShadowKind;
use vgic_state::{Command, DynInterruptState, InterruptState};
use vm_memory::{Bytes, GuestAddress};

/// How often everything is measured.
const TURNS: usize = 21;

/// Devices and events of each.
const SHAPES: [(u32, u32); 4] = [(64, 64), (1, 4096), (128, 32), (64, 1)];

const VCPUS: usize = 4;

const fn config(shadow: ShadowKind) -> Config {
    Config { vcpus: VCPUS, id_step: 1, nr_irqs: 128, its: 1, shadow, slots: 1, el2: false, maintenance_irq: 0 }
}

pub(crate) fn all() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    println!("Linux {}; {VCPUS} vCPUs; medians of {TURNS}, in ms", release());
    for (name, part) in [("saves", saves as fn()), ("restores", restores), ("guest-memory", guest_memory), ("stage-2", stage_2)] {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!();
            part();
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn print(header: impl IntoIterator<Item = &'static str>, rows: Vec<Vec<String>>) {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.lines() {
        println!("{}", line.trim_end());
    }
}

fn devices((devices, events): (u32, u32)) -> Devices {
    Devices { devices, events, first_id: 8, step: 16, table: Table::Flat }
}

/// A VM with devices, and four of five of their LPIs pending.
fn vm(config: Config, memory: Memory, shape: (u32, u32)) -> KernelRig {
    let mut rig = KernelRig::with_memory(config, memory);
    let devices = devices(shape);
    program::basics(&mut rig);
    program::enable_its(&mut rig, 0, Table::Flat);
    program::map(&mut rig, 0, &devices);
    for (_, event) in devices.events(0, config.vcpus).filter(|(_, event)| event.lpi % 5 != 0) {
        rig.msi(0, event.device, event.event).expect("KVM_SIGNAL_MSI");
    }
    rig
}

/// The steps of a save.
const STEPS: [&str; 9] =
    ["registers, map", "swap in", "prepare", "pending", "tables", "read", "swap out", "unmap, configuration", "save"];

/// One save: all of it, its steps, and how many registers it read.
struct Save {
    all: f64,
    steps: [f64; STEPS.len()],
    reads: usize,
}

fn save(rig: &mut KernelRig, tables: TableStrategy) -> (Save, Gicv3State) {
    rig.gicv3().options_mut().tables = tables;
    // KVM does not write a pending bit that is there from the last time.
    for vcpu in 0..VCPUS {
        rig.memory().write_slice(&[0; 8192], GuestAddress(layout::pending(vcpu))).expect("memory");
    }
    rig.faults().take();
    let began = Instant::now();
    let tables = rig.gicv3().flush_tables().expect("flush");
    let flushed = Instant::now();
    let state = rig.gicv3().save(tables).expect("save");
    let ended = Instant::now();
    let (marks, reads) = rig.faults().take();
    (Save { all: ms(ended - began), steps: steps(&marks, began, flushed, ended), reads }, state)
}

/// From one mark to the next. Where there is no shadow, its steps take no time. With copy on write, the commands are run twice: all of
/// that counts as tables.
fn steps(marks: &[Mark], began: Instant, flushed: Instant, ended: Instant) -> [f64; STEPS.len()] {
    let first = |operation| marks.iter().find(|mark| mark.operation == operation);
    let last = |operation| marks.iter().rfind(|mark| mark.operation == operation);
    let pending = first(Operation::Command(Command::SavePendingTables)).expect("SAVE_PENDING_TABLES");
    let tables = last(Operation::Command(Command::ItsSaveTables)).expect("SAVE_TABLES");
    let swap_in = first(Operation::DeleteSlot).map_or(pending.began, |mark| mark.began);
    let shadowed = last(Operation::OverShadow).map_or(pending.began, |mark| mark.ended);
    let swap_out = marks.iter().find(|mark| mark.operation == Operation::DeleteShadow && mark.began >= tables.ended);
    let swap_out = swap_out.map_or(tables.ended, |mark| mark.began);
    let back = last(Operation::OverGuest).map_or(tables.ended, |mark| mark.ended);
    let points = [began, swap_in, shadowed, pending.began, pending.ended, tables.ended, swap_out, back, flushed, ended];
    let mut steps = [0.0; STEPS.len()];
    for (step, points) in steps.iter_mut().zip(points.windows(2)) {
        *step = ms(points[1] - points[0]);
    }
    steps
}

fn add_row(rows: &mut Vec<Vec<String>>, name: &str, what: &str, saves: &[Save], plain: &[Save], size: usize) {
    let mut row = vec![name.to_owned(), what.to_owned()];
    let all = |saves: &[Save]| median(saves.iter().map(|save| save.all).collect());
    row.extend([format!("{:.2}", all(saves)), format!("{:.2}", all(saves) / all(plain))]);
    let all = |saves: &[Save]| least(saves.iter().map(|save| save.all));
    row.extend([format!("{:.2}", all(saves)), format!("{:.2}", all(saves) / all(plain))]);
    row.extend((0..STEPS.len()).map(|step| format!("{:.2}", median(saves.iter().map(|save| save.steps[step]).collect()))));
    row.extend([saves.last().map_or(0, |save| save.reads).to_string(), size.to_string()]);
    rows.push(row);
}

/// Measures a plain save and both kinds of shadow in turns.
fn compare(rows: &mut Vec<Vec<String>>, name: &str, shape: (u32, u32), memory: impl Fn() -> Memory) {
    let mut zero = vm(config(ShadowKind::Zero), memory(), shape);
    let mut copy_on_write = vm(config(ShadowKind::CopyOnWrite), memory(), shape);
    let mut saves = [Vec::new(), Vec::new(), Vec::new()];
    let mut sizes = [0; 3];
    // The first turn finds cold caches.
    for turn in 0..=TURNS {
        let turns = [
            save(&mut zero, TableStrategy::GuestMemory),
            save(&mut zero, TableStrategy::Image),
            save(&mut copy_on_write, TableStrategy::Image),
        ];
        for ((saves, size), (one, state)) in saves.iter_mut().zip(&mut sizes).zip(turns) {
            if turn != 0 {
                saves.push(one);
            }
            *size = state.image_bytes();
        }
    }
    let plain = &saves[0];
    for ((what, saves), size) in ["plain", "zero shadow", "copy on write"].iter().zip(&saves).zip(sizes) {
        add_row(rows, name, what, saves, plain, size);
    }
}

fn header() -> impl Iterator<Item = &'static str> {
    ["devices x events", "save", "all", "of plain", "least", "of plain"]
        .into_iter()
        .chain(STEPS)
        .chain(["registers read", "image bytes"])
}

fn saves() {
    let mut rows = Vec::new();
    for shape in SHAPES {
        compare(&mut rows, &format!("{} x {}", shape.0, shape.1), shape, || memory::fresh(1, true));
    }
    print(header(), rows);
}

/// The same with a slot of 8 GiB in which nothing was ever touched.
fn guest_memory() {
    let mut rows = Vec::new();
    let regions = [(layout::RAM, layout::RAM_BYTES, true), (0x1_0000_0000, 8 << 30, true)];
    for (name, count) in [("6 MiB", 1), ("6 MiB + 8 GiB", 2)] {
        compare(&mut rows, name, (64, 64), || memory::of(regions.into_iter().take(count)));
    }
    println!("64 x 64, by guest memory");
    print(header(), rows);
}

fn restores() {
    let mut rows = Vec::new();
    for shape in SHAPES {
        let mut source = vm(config(ShadowKind::Zero), memory::fresh(1, true), shape);
        let (_, in_image) = save(&mut source, TableStrategy::Image);
        let (_, plain) = save(&mut source, TableStrategy::GuestMemory);
        let mut target = KernelRig::with_memory(config(ShadowKind::Zero), memory::copy(source.memory()));
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..=TURNS {
            for (state, times) in [&plain, &in_image].into_iter().zip(&mut times) {
                // A plain restore has cleared the pending bits.
                memory::overwrite(target.memory(), source.memory());
                let began = Instant::now();
                target.gicv3().restore(state).expect("restore");
                let time = ms(began.elapsed());
                if turn != 0 {
                    times.push(time);
                }
            }
        }
        let [plain, in_image] = times.map(median);
        let name = format!("{} x {}", shape.0, shape.1);
        rows.push(vec![name, format!("{plain:.2}"), format!("{in_image:.2}"), format!("{:.2}", in_image / plain)]);
    }
    print(["devices x events", "plain restore", "in the image", "of plain"], rows);
}

/// Guest memory of which 64 MiB are mapped in stage 2, in pages of 4 KiB.
fn stage_2() {
    const BYTES: u64 = 64 << 20;
    const TURNS: usize = 3;
    const START: u64 = layout::RAM + (8 << 20);
    let memory = memory::of([(layout::RAM, (START - layout::RAM + BYTES) as usize, true)].into_iter());
    // In the page cache, before the guest is there.
    for address in (START..START + BYTES).step_by(4096) {
        memory.write_obj(1_u64, GuestAddress(address)).expect("memory");
    }
    let mut rig = vm(config(ShadowKind::Zero), memory, (64, 64));
    let cold = ms(rig.touch(0, START, BYTES));
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..TURNS {
        let warm = ms(rig.touch(0, START, BYTES));
        let (saved, _) = save(&mut rig, TableStrategy::Image);
        let after = ms(rig.touch(0, START, BYTES));
        for (times, time) in times.iter_mut().zip([warm, saved.steps[1], saved.all, after]) {
            times.push(time);
        }
    }
    let [warm, swap_in, saved, after] = times.map(median);
    println!("64 MiB mapped in stage 2, 64 x 64, zero shadow; medians of {TURNS}, one cold pass");
    let row = [swap_in, saved, cold, warm, after].map(|time| format!("{time:.1}"));
    print(["swap in", "save", "guest's pass, cold", "warm", "after the save"], vec![row.into()]);
}
