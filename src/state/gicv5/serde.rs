//! A state as a serde value: the bytes of its image, sparse.
//!
//! Specification: `docs/image-format.md`.
//!
//! Rule: what is deserialised passes the same checks as an image from a file.

use super::Gicv5State;
use crate::image::IstCoding;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

impl Serialize for Gicv5State<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let image = self.to_image(IstCoding::Sparse).map_err(serde::ser::Error::custom)?;
        serializer.serialize_bytes(&image)
    }
}

impl<'de> Deserialize<'de> for Gicv5State<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ImageVisitor)
    }
}

struct ImageVisitor;

impl<'de> Visitor<'de> for ImageVisitor {
    type Value = Gicv5State<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of an image of a GICv5")
    }

    fn visit_bytes<E: Error>(self, image: &[u8]) -> Result<Self::Value, E> {
        Gicv5State::parse(image).map(Gicv5State::into_owned).map_err(E::custom)
    }

    fn visit_byte_buf<E: Error>(self, image: Vec<u8>) -> Result<Self::Value, E> {
        self.visit_bytes(&image)
    }

    // Formats without bytes, JSON for one, write a sequence of numbers. Its length is believed only as it arrives.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut image = Vec::new();
        while let Some(byte) = sequence.next_element()? {
            image.push(byte);
        }
        self.visit_bytes(&image)
    }
}
