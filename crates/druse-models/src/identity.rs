//! What tells one structure from another, for what is found once for each.

use druse_crystal::Structure;

/// Hash of cell, elements and positions.
pub(crate) type Key = [u8; 16];

/// What decides the bonds and the symmetry of a structure: cell, elements, positions, bit by bit.
pub(crate) fn key(s: &Structure) -> Key {
    let mut hash = blake3::Hasher::new();
    for x in s.lattice.rows().iter().chain(&s.frac_coords).flatten() {
        hash.update(&x.to_le_bytes());
    }
    for e in &s.species {
        hash.update(&[e.z()]);
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    key
}
