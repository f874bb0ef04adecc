//! Pair potentials: energies that are sums over pairs of atoms.
//!
//! For textbook crystals, for models of solids and for tests: no pair potential knows chemistry.

mod forms;
mod potential;
mod table;

pub use forms::{Buckingham, LennardJones, Morse, PairForm};
pub use potential::PairPotential;
pub use table::{PairRow, PairTable, PairTableError};
