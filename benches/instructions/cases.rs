//! What is counted, by name; each makes what it needs and returns the operation.
//!
//! Rule: of each kind of work one case that is mostly the crate's own: images, judgement, backends over the model's functions.

use crate::rig2;
use crate::save::{Save as _, SaveImage as _};
use crate::states::{self, ALL, Named3, Named5, Use, rig3};
use std::hint::black_box;
use vgic_state::gicv3::{Gicv3, Gicv3State};
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::IstCoding;
use vgic_state::judge::{self, Limits, Ranges};
use vgic_state::model::gicv2;
use vgic_state::model::gicv3::{Device, Slots, Vm};
use vgic_state::shadow::{ShadowKind, Shadowed};
use vgic_state::{GuestRange, InterruptState as _, Options, TableStrategy};

type Act = Box<dyn FnMut()>;

/// One case.
pub(crate) type Case = (&'static str, fn() -> Act);

pub(crate) const ALL_CASES: &[Case] = &[
    ("GICv5, 65,536 LPIs: encode, raw", || encode5(lpis(ALL), IstCoding::Raw)),
    ("GICv5, 65,536 LPIs: parse, raw", || parse5(lpis(ALL), IstCoding::Raw)),
    ("GICv5, 65,536 LPIs: check", || check5(lpis(ALL))),
    ("GICv5, 1 % of 65,536 LPIs in one piece: encode, sparse", || encode5(lpis(Use::Together(100)), IstCoding::Sparse)),
    ("GICv5, 1 % of 65,536 LPIs in one piece: parse, sparse", || parse5(lpis(Use::Together(100)), IstCoding::Sparse)),
    ("GICv5, 1 % of 65,536 LPIs apart: encode, sparse", || encode5(lpis(Use::Apart(100)), IstCoding::Sparse)),
    ("GICv5, 1 % of 65,536 LPIs apart: parse, sparse", || parse5(lpis(Use::Apart(100)), IstCoding::Sparse)),
    ("GICv5, 64 vCPUs: save on the model", save5),
    ("GICv5, 64 vCPUs: restore on the model", restore5),
    ("GICv3, 4,096 LPIs, 64 vCPUs: encode", || encode3(states::gicv3(64, 4096))),
    ("GICv3, 4,096 LPIs, 64 vCPUs: parse", || parse3(states::gicv3(64, 4096))),
    ("GICv3, 4,096 LPIs, 64 vCPUs: check", || check3(states::gicv3(64, 4096))),
    ("GICv3, 2 ITSes: check of tables in guest memory", audit3),
    ("GICv3, 8 vCPUs: flush and save on the model", save3),
    ("GICv3, 8 vCPUs: restore on the model", restore3),
    ("GICv3, 8 vCPUs: flush and save on the model, tables in the image", save3_in_image),
    ("GICv3, 8 vCPUs: restore on the model, tables in the image", restore3_in_image),
    ("GICv2, 8 vCPUs: save on the model", save2),
    ("GICv2, 8 vCPUs: restore on the model", restore2),
];

fn lpis(which: Use) -> Named5 {
    states::gicv5("", 8, 1024, Some(16), which)
}

fn encode5(Named5 { state, .. }: Named5, coding: IstCoding) -> Act {
    let mut image = vec![0; state.image_max(coding)];
    Box::new(move || {
        black_box(state.encode(black_box(&mut image), coding).expect("encode"));
    })
}

fn parse5(Named5 { state, .. }: Named5, coding: IstCoding) -> Act {
    let image = state.to_image(coding).expect("image");
    Box::new(move || {
        black_box(Gicv5State::parse(black_box(&image)).expect("parse"));
    })
}

fn check5(Named5 { state, target, .. }: Named5) -> Act {
    Box::new(move || {
        judge::gicv5::fit(black_box(&state), &target).expect("fits");
        black_box(judge::gicv5::problems(&state));
    })
}

fn save5() -> Act {
    let mut gic = states::used(64, 1024, Some(12), ALL);
    Box::new(move || {
        black_box(gic.flush_and_save().expect("save"));
    })
}

fn restore5() -> Act {
    let state = states::used(64, 1024, Some(12), ALL).flush_and_save().expect("save");
    let mut gic = states::fresh(64, 1024);
    Box::new(move || {
        black_box(gic.restore(black_box(&state)).expect("restore"));
    })
}

fn encode3(Named3 { state, .. }: Named3) -> Act {
    let mut image = vec![0; state.image_bytes()];
    Box::new(move || {
        black_box(state.encode(black_box(&mut image)).expect("encode"));
    })
}

fn parse3(Named3 { state, .. }: Named3) -> Act {
    let image = state.to_image().expect("image");
    Box::new(move || {
        black_box(Gicv3State::parse(black_box(&image)).expect("parse"));
    })
}

fn everywhere() -> Ranges {
    Ranges::new([GuestRange::new(0, u64::MAX)].into(), [].into())
}

fn check3(Named3 { state, target, .. }: Named3) -> Act {
    let ranges = everywhere();
    Box::new(move || {
        judge::gicv3::fit(black_box(&state), &target).expect("fits");
        black_box(judge::gicv3::problems_without_memory(&state, &ranges));
    })
}

fn config() -> rig3::Config {
    rig3::Config { vcpus: 8, nr_irqs: 256, its: 2, ..rig3::Config::default() }
}

fn audit3() -> Act {
    let (vm, mut gic) = rig3::filled(config());
    let state = gic.flush_and_save().expect("save");
    let (ranges, memory) = (everywhere(), vm.memory());
    Box::new(move || {
        black_box(judge::gicv3::problems(black_box(&state), &memory, &ranges, &Limits::default()));
    })
}

fn save3() -> Act {
    let (vm, mut gic) = rig3::filled(config());
    let mut image = vec![0; 1 << 20];
    Box::new(move || {
        black_box(gic.flush_and_save_image(black_box(&mut image)).expect("save"));
        black_box(&vm);
    })
}

fn restore3() -> Act {
    let (vm, mut gic) = rig3::filled(config());
    let state = gic.flush_and_save().expect("save");
    let (vm, mut gic) = rig3::fresh(config(), rig3::copy(&vm.memory()));
    Box::new(move || {
        black_box(gic.restore(black_box(&state)).expect("restore"));
        black_box(&vm);
    })
}

type InImage = Gicv3<Device, Shadowed<rig3::Memory, Slots>>;

/// The same backend, with slots to divert.
fn in_image((vm, gic): (Vm, rig3::Gic)) -> (Vm, InImage) {
    let (gic, its, memory) = gic.into_parts();
    let memory = Shadowed::new(memory, Slots::new(&vm), ShadowKind::Zero);
    let gic = Gicv3::attach(gic, its, memory, rig3::vcpus(config().vcpus)).expect("attach");
    (vm, gic.with_options(Options::default().with_tables(TableStrategy::Image)))
}

fn save3_in_image() -> Act {
    let (vm, mut gic) = in_image(rig3::filled(config()));
    Box::new(move || {
        black_box(gic.flush_and_save().expect("save"));
        black_box(&vm);
    })
}

fn restore3_in_image() -> Act {
    let (_, mut gic) = in_image(rig3::filled(config()));
    let state = gic.flush_and_save().expect("save");
    let (vm, mut gic) = in_image(rig3::fresh(config(), rig3::memory()));
    Box::new(move || {
        black_box(gic.restore(black_box(&state)).expect("restore"));
        black_box(&vm);
    })
}

fn save2() -> Act {
    let (vm, mut gic) = rig2::attached(gicv2::Host::default(), 8, 256);
    gic.restore(&rig2::full_state(8, 256)).expect("restore");
    Box::new(move || {
        black_box(gic.flush_and_save().expect("save"));
        black_box(&vm);
    })
}

fn restore2() -> Act {
    let state = rig2::full_state(8, 256);
    let (vm, mut gic) = rig2::attached(gicv2::Host::default(), 8, 256);
    Box::new(move || {
        black_box(gic.restore(black_box(&state)).expect("restore"));
        black_box(&vm);
    })
}
