//! The modules of the crate in their layers.
//!
//! Rule: this is the order; `docs/architecture.md` shows it, and a use against it fails.

use crate::uses::Use;
use std::fmt::Write;

/// A file or a folder of the source, with all that is in it.
#[derive(Clone, Copy)]
pub(crate) struct Module {
    pub(crate) name: &'static str,
    /// A folder ends in `/`.
    pub(crate) place: &'static str,
    /// What it uses of the layers below it, if that is not all.
    pub(crate) only: Option<&'static [&'static str]>,
    pub(crate) what: &'static str,
}

const fn all_below(name: &'static str, place: &'static str, what: &'static str) -> Module {
    Module { name, place, only: None, what }
}

const fn only(name: &'static str, place: &'static str, only: &'static [&'static str], what: &'static str) -> Module {
    Module { name, place, only: Some(only), what }
}

/// The lowest layer first. A module uses those of lower layers, and none of its own.
pub(crate) const LAYERS: &[&[Module]] = &[
    &[
        only("uapi", "uapi/", &[], "the kernel's constants and structs under their C names; depends on `core` alone"),
        only("errno", "src/errno.rs", &[], "error numbers"),
        all_below(
            "topology",
            "src/topology/",
            "what is fixed before a device is initialised: `SpiCount`, `LpiIdBits`, `Mpidr`, `VcpuId`, `Vcpus`",
        ),
    ],
    &[
        all_below(
            "attr",
            "src/attr/",
            "`Attr<W>`: group, attribute and width in one type; `AttrId`, `Word`, `Command`; what an error number means where",
        ),
        all_below("buffer", "src/buffer.rs", "sizes of tables, and the check of the caller's buffers against them"),
        all_below("memory", "src/memory/", "reading guest memory; the contract of shadow memory"),
    ],
    &[
        all_below(
            "registers",
            "src/registers.rs",
            "register tables: the macro that makes a row read, restore, encode and name its register",
        ),
        all_below(
            "its",
            "src/its/",
            "an ITS as data: entries of its tables, what is mapped; tables read as KVM does, and made from what is mapped; commands, \
             error words, the view of a command queue",
        ),
    ],
    &[
        all_below(
            "image",
            "src/image/",
            "the container: header, section table, checksum, registers, sparse tables; the only code that slices untrusted bytes",
        ),
        all_below(
            "report",
            "src/report/",
            "what can be wrong with a state: problems, severities, places, findings, refusals; nothing judges here",
        ),
    ],
    &[
        all_below("error", "src/error.rs", "what fails, for which operation on which register"),
        all_below("flushed", "src/flushed.rs", "what a flush leaves for the save behind it"),
    ],
    &[all_below(
        "state",
        "src/state/",
        "the states of the controllers as data, as sections of an image, and of a GICv3 as values of attributes; where tables lie, by the registers",
    )],
    &[all_below(
        "judge",
        "src/judge/",
        "what is wrong with a state (`problems`), and whether a VM is one for it (`fit`); the walker of ITS tables; no device",
    )],
    &[
        all_below("options", "src/options.rs", "what a VMM decides"),
        only(
            "device",
            "src/device.rs",
            &["uapi", "errno", "attr"],
            "`AttrDevice`, `IstDevice`: above what is data and what judges it",
        ),
    ],
    &[all_below("interrupt_state", "src/interrupt_state.rs", "the contract, in prose and as two traits")],
    &[
        all_below("gicv2", "src/gicv2/", "the backend of a GICv2: attach, save, sequence"),
        all_below(
            "gicv3",
            "src/gicv3/",
            "the backend of a GICv3 with ITSes: attach, flush, save, sequence; tables in the image by way of shadow memory",
        ),
        all_below("gicv5", "src/gicv5/", "the backend of a GICv5: attach, transfer of tables, sequence"),
        only(
            "forward",
            "src/forward/",
            &["uapi", "errno", "topology", "memory", "its"],
            "the judgement of commands that are not trusted: policy, live memory, two queues; for EL2: allocates nothing",
        ),
        only(
            "shadow",
            "src/shadow/",
            &["uapi", "errno", "memory"],
            "shadow memory: for the time of a table command, KVM sees other memory in the slots of the VM",
        ),
    ],
    &[
        only(
            "kvm",
            "src/kvm/",
            &["uapi", "errno", "topology", "attr", "memory", "image", "state", "device", "shadow"],
            "`KvmDevice`, `probe`; memory slots of a VM; all by any descriptor",
        ),
        only(
            "model",
            "src/model/",
            &["uapi", "errno", "topology", "attr", "memory", "device", "shadow"],
            "the in-process models of KVM's devices: no state, no judgement and no backend, so that they cannot agree with a mistake",
        ),
    ],
    &[all_below("lib", "src/lib.rs", "what is public under which name")],
    &[all_below("tool", "src/bin/vgic-state/", "the tool")],
];

/// What is used against the order.
pub(crate) fn against(uses: &[Use], layers: &[&[Module]]) -> Vec<String> {
    let mut messages = Vec::new();
    for at in uses {
        let places = [&at.from, &at.to].map(|file| module_of(file, layers).ok_or(file));
        let [(from_layer, from), (to_layer, to)] = match places {
            [Ok(from), Ok(to)] => [from, to],
            [Err(file), _] | [_, Err(file)] => {
                messages.push(format!("{file} is in no layer: it needs one in tests/layers/order.rs\n"));
                continue;
            }
        };
        let why = if from.name == to.name {
            continue;
        } else if from_layer < to_layer {
            format!("module {} is below module {}", from.name, to.name)
        } else if from_layer == to_layer {
            format!("modules {} and {} are of one layer", from.name, to.name)
        } else if from.only.is_some_and(|only| !only.contains(&to.name)) {
            format!("module {} may not use module {}: it uses {}", from.name, to.name, allowed(from))
        } else {
            continue;
        };
        let Use { from, line, item, to } = at;
        let order: Vec<String> = layers.iter().map(|layer| names(layer)).collect();
        messages.push(format!(
            "{from}:{line}: `{item}` is of {to}\n  {why}\n  the order, from the lowest layer: {}\n",
            order.join(" < ")
        ));
    }
    messages.dedup();
    messages
}

fn module_of<'a>(file: &str, layers: &[&'a [Module]]) -> Option<(usize, &'a Module)> {
    let mut modules = layers.iter().enumerate().flat_map(|(n, layer)| layer.iter().map(move |module| (n, module)));
    modules.find(|(_, module)| is_in(file, module))
}

/// Whether a file is one of a module.
pub(crate) fn is_in(file: &str, module: &Module) -> bool {
    if module.place.ends_with('/') { file.starts_with(module.place) } else { file == module.place }
}

fn names(layer: &[Module]) -> String {
    layer.iter().map(|module| module.name).collect::<Vec<_>>().join(", ")
}

fn allowed(module: &Module) -> String {
    match module.only {
        None => "all below".into(),
        Some([]) => "nothing".into(),
        Some(only) => only.join(", "),
    }
}

/// The drawing and the table of `docs/architecture.md`.
pub(crate) fn document(layers: &[&[Module]]) -> String {
    let mut text = String::from("```text\n");
    for layer in layers.iter().rev() {
        let _ = writeln!(text, "  {}", layer.iter().map(|module| format!("{:16}", module.name)).collect::<String>().trim_end());
    }
    text.push_str("```\n\n| module | place | what is there | uses |\n|---|---|---|---|\n");
    for module in layers.iter().rev().copied().flatten() {
        let _ = writeln!(text, "| {} | `{}` | {} | {} |", module.name, module.place, module.what, allowed(module));
    }
    text
}
