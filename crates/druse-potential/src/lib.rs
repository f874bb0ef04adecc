//! Universal potentials of crystals: networks that give energy, forces and stress of any crystal of the elements they
//! know.
//!
//! Each is a [`Potential`](druse_relax::Potential), written as operations by hand with their derivatives by hand, so that
//! forces and stress are the exact derivative of the energy that is computed.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod sevennet;

pub use sevennet::SevenNet;
