//! One vocabulary: of every image and every memory, `check_image`, the report of a restore and the tool's `check` name the same problems.
//!
//! Source: `src/bin/vgic-state/judged.rs`, `tests/common/codes.rs`.
//!
//! Rule: an image that no VM of the model fits is passed over.

use crate::fit;
use crate::input::{Image, State};
use crate::judged;
use crate::ram::Ram;
use crate::rig::*;
use arbitrary::Arbitrary;
use std::fs;
use std::sync::LazyLock;
use vgic_state::DynInterruptState;

/// Bytes of a word that are changed.
#[derive(Arbitrary, Debug)]
struct Patch {
    at: u16,
    value: u64,
    /// A bit for each byte.
    bytes: u8,
}

#[derive(Arbitrary, Debug)]
struct Input {
    image: u8,
    registers: Vec<Patch>,
    memory: Vec<Patch>,
}

static IMAGES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| crate::seeds::images().into_iter().map(|(_, image)| image).filter(|image| image.len() < 1 << 16).collect());

/// Memory of the guest with two ITSes.
static MEMORY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = vec![0; RAM_BYTES];
    for (page, words) in saved_pages() {
        let at = (page * 4096 - RAM) as usize;
        bytes[at..at + 4096].copy_from_slice(words.as_flattened());
    }
    bytes
});

/// Where in memory something means something.
fn place(at: u16) -> usize {
    let n = usize::from(at >> 8 & 1);
    let tables = [queue(n), collections(n), devices(n), itts(n), itts(n) + 0x100, CONFIGURATION, pending(n as u64) + 0x400];
    let dtes = [3, 70].map(|id| devices(n) + id * 8);
    let start = *tables.iter().chain(&dtes).nth(usize::from(at >> 9) % 9).expect("one of nine");
    (start - RAM) as usize + usize::from(at % 32) * 8
}

fn apply(patches: &[Patch], bytes: &mut [u8], place: impl Fn(u16) -> usize) {
    for patch in patches {
        let word = &mut bytes[place(patch.at)..][..8];
        for (n, (to, from)) in word.iter_mut().zip(patch.value.to_le_bytes()).enumerate() {
            if patch.bytes >> n & 1 != 0 {
                *to = from;
            }
        }
    }
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(arbitrary::Unstructured::new(data)) else { return };
    let (mut image, mut memory) = (IMAGES[usize::from(input.image) % IMAGES.len()].clone(), MEMORY.clone());
    let words = image.len() / 8;
    apply(&input.registers, &mut image, |at| usize::from(at) % words * 8);
    apply(&input.memory, &mut memory, place);
    if crate::image::forge(&mut image) {
        compare(&image, &memory);
    }
}

/// Fails unless all say the same of an image in a VM with this memory.
fn compare(image: &[u8], memory: &[u8]) {
    let (file, dump) = (crate::tool::file("image"), crate::tool::file("memory"));
    fs::write(&file, image).expect("a file for the image");
    let Ok(Image { state, .. }) = Image::open(&file) else { return };
    let found = |ram: Option<&Ram>| fit::said(&judged::problems(&state, ram.map(|ram| (ram, true))));
    match &state {
        State::Gicv3(of) => {
            if fit::gicv3(of, memory_of(memory)).is_none() {
                return;
            }
            fs::write(&dump, memory).expect("a file for memory");
            let ram = crate::tool::options(&dump, Some(RAM)).open().expect("a dump");
            let fresh = || -> Box<dyn DynInterruptState> { Box::new(fit::gicv3(of, memory_of(memory)).expect("as before")) };
            fit::compare(&found(Some(&ram)), image, fresh);
            ram.finish().expect("the file is as long as it was");
        }
        State::Gicv2(of) => {
            if fit::gicv2(of).is_none() {
                return;
            }
            let fresh = || -> Box<dyn DynInterruptState> { Box::new(fit::gicv2(of).expect("as before")) };
            fit::compare(&found(None), image, fresh);
        }
        State::Gicv5(of) => {
            if fit::gicv5(of).is_none() {
                return;
            }
            let fresh = || -> Box<dyn DynInterruptState> { Box::new(fit::gicv5(of).expect("as before")) };
            fit::compare(&found(None), image, fresh);
        }
    }
}
