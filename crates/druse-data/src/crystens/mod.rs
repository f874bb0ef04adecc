//! CrysTens: crystals as images of 64×64 pixels and 4 channels (M. Alverson, S. Baird, R. Murdock et al., *Generative
//! adversarial networks and diffusion models in material discovery*, Digital Discovery 3, 62, 2024).
//!
//! ```
//! use druse_crystal::{Element, Lattice, Structure};
//! use druse_data::crystens::{Codec, Normalization};
//!
//! let [na, cl] = [11, 17].map(|z| Element::from_z(z).expect("an element"));
//! let lattice = Lattice::from_parameters([3.99, 3.99, 3.99, 60.0, 60.0, 60.0])?;
//! let salt = Structure::new(lattice, vec![na, cl], vec![[0.0; 3], [0.5; 3]])?;
//!
//! let codec = Codec::new(Normalization::published());
//! let image = codec.encode(&salt)?;
//! // Rows and columns 12 and 13 hold the atoms; 225 is the number of Fm-3m.
//! assert!((codec.normalization.scales.attributes[10].unnormalize(image.at(10, 13, 0)) - 225.0).abs() < 1e-9);
//!
//! let shown = codec.decode(&image)?;
//! assert_eq!(shown.structure.species, salt.species);
//! assert!((shown.structure.frac_coords[1][2] - 0.5).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Image`]: the layout, and the transpose that networks take.
//! - [`Normalization`]: published constants, or those of a data set.
//! - [`Codec`]: structures to images and back. [`Decoding`] is how an image is read; [`Decoding::published`] has the quirks
//!   of the published script, [`Decoding::paper`] is what the paper describes.
//! - [`ImageFile`] and [`write_images`]: files of images; [`picture()`]: a picture for people.
//! - [`Consistency`]: how far an image contradicts itself, before anything is averaged.

mod cluster;
mod codec;
mod consistency;
mod content;
mod decode;
mod encode;
mod error;
mod file;
mod image;
mod normalization;
mod picture;
mod published;
mod scale;

pub use cluster::{Clusters, k_means};
pub use codec::{Codec, STATED_SPACE_GROUP};
pub use consistency::{Collected, Consistency, consistency};
pub use content::{Antisymmetry, Averaging, Content, Counting, Predictions, atoms_of};
pub use decode::{Decoded, Decoding, Species};
pub use encode::{SYMPREC, encode, space_group};
pub use error::{DecodeError, EncodeError};
pub use file::{
    IMAGE_BYTES, ImageFile, ImageFileError, ImageHeader, TENSOR, image_bytes, image_file_start,
    is_image_file, write_images,
};
pub use image::{ATTRIBUTES, CHANNELS, EDGE, FIRST_SLOT, IMAGE_LEN, Image, REPEATS, SLOTS, ShapeError};
pub use normalization::{ConstantsError, Method, Normalization};
pub use picture::picture;
pub use scale::{Scale, Scales};
