//! Crystals as encoders read them: by their bonds.

use druse_crystal::Structure;

use crate::bonds::BondCache;
use crate::{ModelError, Warning};

/// Searches the bonds of all structures, and warns of atoms without any.
///
/// # Errors
/// [`ModelError::Bonds`] when the bonds of a structure cannot be told.
pub(crate) fn isolated_atoms(
    bonds: &BondCache,
    structures: &[&Structure],
) -> Result<Vec<Warning>, ModelError> {
    let mut warnings = Vec::new();
    for (index, atoms) in bonds.isolated(structures)? {
        let text = format!(
            "{} of {} atoms have no bond; the encoder reads them as atoms without neighbors",
            atoms.len(),
            structures[index].len()
        );
        warnings.push(Warning { index, text });
    }
    Ok(warnings)
}
