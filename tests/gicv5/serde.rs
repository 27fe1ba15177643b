//! Feature `serde`: a state is the bytes of its image.

use crate::common::{filled, vcpus};
use crate::save::Save as _;
use vgic_state::gicv5::Gicv5State;
use vgic_state::image::IstCoding;

#[test]
fn a_state_is_its_image() {
    let state = filled(&vcpus(2), 64, Some(8)).flush_and_save().expect("save");
    let json = serde_json::to_string(&state).expect("serialise");
    assert_eq!(json, serde_json::to_string(&state.to_image(IstCoding::Sparse).expect("image")).expect("bytes"));
    let back: Gicv5State<'static> = serde_json::from_str(&json).expect("deserialise");
    assert_eq!(back, state);
}

#[test]
fn what_is_no_image_is_refused_with_the_reason() {
    let mut image = filled(&vcpus(1), 32, None).flush_and_save().expect("save").to_image(IstCoding::Raw).expect("image");
    image[200] ^= 1;
    let json = serde_json::to_string(&image).expect("serialise");
    let error = serde_json::from_str::<Gicv5State<'static>>(&json).expect_err("damaged");
    assert!(error.to_string().starts_with("image is damaged"), "{error}");
    let error = serde_json::from_str::<Gicv5State<'static>>("{}").expect_err("no bytes");
    assert!(error.to_string().contains("the bytes of an image of a GICv5"), "{error}");
}
