//! Normalization and decoding together.

use druse_crystal::Structure;

use super::decode::{Decoded, Decoding};
use super::encode::{encode, space_group};
use super::error::{DecodeError, EncodeError};
use super::image::Image;
use super::normalization::Normalization;

/// Property of a structure read from a file of images: the space-group number that its image states, the rounded mean of
/// all entries.
pub const STATED_SPACE_GROUP: &str = "image_space_group";

/// Turns structures into normalized images and back.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Codec {
    /// How images are normalized.
    pub normalization: Normalization,
    /// How they are decoded.
    pub decoding: Decoding,
}

impl Codec {
    /// A codec with this normalization that decodes by the defaults.
    pub fn new(normalization: Normalization) -> Self {
        Self { normalization, decoding: Decoding::default() }
    }

    /// The published normalization and the published script's way of decoding.
    pub fn published() -> Self {
        Self { normalization: Normalization::published(), decoding: Decoding::published() }
    }

    /// The normalized image of a structure, its space group found at [`SYMPREC`](super::SYMPREC), which takes most of the
    /// time.
    ///
    /// # Errors
    /// [`EncodeError`] for more than 52 atoms, and where no space group is found.
    pub fn encode(&self, structure: &Structure) -> Result<Image, EncodeError> {
        self.encode_as(structure, space_group(structure)?)
    }

    /// The normalized image of a structure whose space-group number is known.
    ///
    /// # Errors
    /// [`EncodeError::TooManyAtoms`].
    pub fn encode_as(&self, structure: &Structure, space_group: u16) -> Result<Image, EncodeError> {
        let mut image = encode(structure, space_group)?;
        self.normalization.normalize(&mut image, structure.len());
        Ok(image)
    }

    /// A normalized image without its contradictions: what it says, averaged as [`Codec::decoding`] does
    /// ([`Content`](super::Content)), and said again.
    ///
    /// # Errors
    /// [`DecodeError`] where it shows no atoms.
    pub fn reconciled(&self, image: &Image) -> Result<Image, DecodeError> {
        let content = self.decoding.content(image, &self.normalization)?;
        let mut image = content.image();
        self.normalization.normalize(&mut image, content.numbers.len());
        Ok(image)
    }

    /// The structure that a normalized image shows.
    ///
    /// # Errors
    /// [`DecodeError`] where it shows none.
    pub fn decode(&self, image: &Image) -> Result<Decoded, DecodeError> {
        self.decoding.decode(image, &self.normalization)
    }
}
