//! What can go wrong between a structure and its image.

use druse_crystal::{ElementError, LatticeError, StructureError, SymmetryError};

use super::image::SLOTS;

/// Why a structure has no image.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// There are more atoms than slots.
    #[error("the cell has {0} atoms, and an image holds {SLOTS} at most")]
    TooManyAtoms(usize),
    /// The space group, one of the attributes, cannot be found.
    #[error(transparent)]
    Symmetry(#[from] SymmetryError),
}

/// Why an image shows no crystal. In the order of the stages of decoding.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// A number is not finite.
    #[error("row {row}, column {column}, channel {channel} of the image is not a finite number")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// Channel, from 0.
        channel: usize,
    },
    /// All numbers are the same.
    #[error("the image is blank: all its numbers are {0}")]
    Blank(f64),
    /// No slot holds an atom.
    #[error("the image shows no atoms")]
    NoAtoms,
    /// The averaged cell parameters make up no cell.
    #[error("the image shows no cell: {0}")]
    Cell(#[from] LatticeError),
    /// An averaged atomic number is that of no element.
    #[error("atom {} of the image is no element: {source}", .atom + 1)]
    Element {
        /// Index of the atom, from 0.
        atom: usize,
        /// Why.
        source: ElementError,
    },
    /// The coordinates make up no structure.
    #[error(transparent)]
    Structure(#[from] StructureError),
}
