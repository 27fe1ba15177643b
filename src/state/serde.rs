//! A state as a serde value: the bytes of its image, interrupt state tables sparse.
//!
//! Specification: `docs/image-format.md`.
//!
//! Rule: what is deserialised passes the same checks as an image from a file.

use super::gicv2::Gicv2State;
use super::gicv3::Gicv3State;
use super::gicv5::Gicv5State;
use crate::Error;
use crate::image::{ImageError, IstCoding, Kind};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A state that is read from its image.
trait Imaged: Sized {
    const KIND: Kind;

    fn from_image(image: &[u8]) -> Result<Self, ImageError>;
}

impl Imaged for Gicv2State {
    const KIND: Kind = Kind::Gicv2;

    fn from_image(image: &[u8]) -> Result<Self, ImageError> {
        Gicv2State::parse(image)
    }
}

impl Imaged for Gicv3State {
    const KIND: Kind = Kind::Gicv3;

    fn from_image(image: &[u8]) -> Result<Self, ImageError> {
        Gicv3State::parse(image)
    }
}

impl Imaged for Gicv5State<'static> {
    const KIND: Kind = Kind::Gicv5;

    fn from_image(image: &[u8]) -> Result<Self, ImageError> {
        Gicv5State::parse(image).map(Gicv5State::into_owned)
    }
}

fn serialize<S: Serializer>(image: Result<Vec<u8>, Error>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(&image.map_err(serde::ser::Error::custom)?)
}

impl Serialize for Gicv2State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.to_image(), serializer)
    }
}

impl Serialize for Gicv3State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.to_image(), serializer)
    }
}

impl Serialize for Gicv5State<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.to_image(IstCoding::Sparse), serializer)
    }
}

impl<'de> Deserialize<'de> for Gicv2State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ImageVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Gicv3State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ImageVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Gicv5State<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ImageVisitor(PhantomData))
    }
}

struct ImageVisitor<S>(PhantomData<S>);

impl<'de, S: Imaged> Visitor<'de> for ImageVisitor<S> {
    type Value = S;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes of an image of a {}", S::KIND)
    }

    fn visit_bytes<E: serde::de::Error>(self, image: &[u8]) -> Result<S, E> {
        S::from_image(image).map_err(E::custom)
    }

    fn visit_byte_buf<E: serde::de::Error>(self, image: Vec<u8>) -> Result<S, E> {
        self.visit_bytes(&image)
    }

    // Formats without bytes, JSON for one, write a sequence of numbers. Its length is believed only as it arrives.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<S, A::Error> {
        let mut image = Vec::new();
        while let Some(byte) = sequence.next_element()? {
            image.push(byte);
        }
        self.visit_bytes(&image)
    }
}
