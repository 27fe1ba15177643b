//! The formats that other VMMs write their state in, on the same state.
//!
//! Rule: each writes into a buffer that is there already, where it can, and what it reads is compared with what was written.

use crate::pair::{Name, Pairs, calls};
use crate::plain::{Plain3, Plain5};
use crate::states::{Named3, Named5};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::hint::black_box;
use vgic_state::gicv3::Gicv3State;
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::IstCoding;

/// What a format has to do.
struct Format<T> {
    name: &'static str,
    encode: fn(&T, &mut Vec<u8>),
    decode: fn(&[u8]) -> T,
}

fn formats<T: Serialize + DeserializeOwned + bitcode::Encode + bitcode::DecodeOwned>() -> [Format<T>; 5] {
    [
        Format {
            name: "serde_json",
            encode: |state, to| serde_json::to_writer(to, state).expect("serde_json"),
            decode: |bytes| serde_json::from_slice(bytes).expect("serde_json"),
        },
        Format {
            name: "bitcode, serde",
            encode: |state, to| to.extend_from_slice(&bitcode::serialize(state).expect("bitcode")),
            decode: |bytes| bitcode::deserialize(bytes).expect("bitcode"),
        },
        Format {
            name: "bitcode, derive",
            encode: |state, to| to.extend_from_slice(&bitcode::encode(state)),
            decode: |bytes| bitcode::decode(bytes).expect("bitcode"),
        },
        Format {
            name: "ciborium",
            encode: |state, to| ciborium::into_writer(state, to).expect("ciborium"),
            decode: |bytes| ciborium::from_reader(bytes).expect("ciborium"),
        },
        Format {
            name: "postcard",
            encode: |state, to| {
                postcard::to_io(state, to).expect("postcard");
            },
            decode: |bytes| postcard::from_bytes(bytes).expect("postcard"),
        },
    ]
}

/// Measures every format against this crate's own two functions.
fn all<T>(pairs: &mut Pairs, state: &str, plain: &T, encode: &mut dyn FnMut(), parse: &mut dyn FnMut(), against: &'static str)
where
    T: Serialize + DeserializeOwned + bitcode::Encode + bitcode::DecodeOwned + PartialEq,
{
    for format in formats::<T>() {
        let mut bytes = Vec::new();
        (format.encode)(plain, &mut bytes);
        assert!((format.decode)(&bytes) == *plain, "{} reads what it wrote", format.name);
        let name = |operation| Name { state: state.into(), operation, by: format.name.into(), bytes: Some(bytes.len()), against };
        let mut buffer = Vec::with_capacity(2 * bytes.len());
        let mut theirs = || {
            buffer.clear();
            (format.encode)(black_box(plain), &mut buffer);
        };
        pairs.measure(name("encode"), &mut calls(&mut *encode), &mut calls(&mut theirs));
        pairs.measure(name("parse"), &mut calls(&mut *parse), &mut calls(|| (format.decode)(black_box(&bytes))));
    }
}

pub(crate) fn gicv5(pairs: &mut Pairs, named: &Named5) {
    let state = &named.state;
    let image = state.to_image(IstCoding::Sparse).expect("image");
    let mut buffer = vec![0; state.image_max(IstCoding::Sparse)];
    let mut encode = || {
        black_box(state.encode(black_box(&mut buffer), IstCoding::Sparse).expect("encode"));
    };
    let mut parse = || {
        black_box(Gicv5State::parse(black_box(&image)).expect("parse"));
    };
    all(pairs, &named.name, &Plain5::from(state), &mut encode, &mut parse, "sparse image");
}

pub(crate) fn gicv3(pairs: &mut Pairs, named: &Named3) {
    let state = &named.state;
    let image = state.to_image().expect("image");
    let mut buffer = vec![0; image.len()];
    let mut encode = || {
        black_box(state.encode(black_box(&mut buffer)).expect("encode"));
    };
    let mut parse = || {
        black_box(Gicv3State::parse(black_box(&image)).expect("parse"));
    };
    all(pairs, &named.name, &Plain3::from(state), &mut encode, &mut parse, "image");
}
