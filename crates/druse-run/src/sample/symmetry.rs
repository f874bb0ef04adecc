//! Whether a structure has the space group that it was asked for.

use druse_crystal::{SpaceGroup, Structure, SymmetryDataset, symmetry};
use druse_models::ModelError;
use serde_json::{Value, json};

/// Distance tolerances (Å) at which the space group is looked for. At the first the one that was asked for has to be there.
pub const SYMPRECS: [f64; 2] = [0.1, 0.01];

/// Property with the number of the space group that was asked for.
pub const ASKED: &str = "space_group";

/// Property with the numbers of the space groups that are found at each of [`SYMPRECS`]; null where none is.
pub const FOUND: &str = "space_group_found";

/// Whether a space group that was found is the one asked for or a supergroup of it. A supergroup is recognized in the primitive
/// and in the conventional cell of the group that was asked for.
fn holds(found: &SymmetryDataset, asked: &SpaceGroup) -> bool {
    found.number == asked.number()
        || asked.is_contained_in(&found.operations)
        || asked.is_contained_in_primitive(&found.operations)
}

/// The space groups of a structure that was asked to have one, as [`FOUND`] lists them.
///
/// # Errors
/// [`ModelError::Output`] when the group at the first tolerance is neither the one asked for nor a supergroup of it.
pub fn found_groups(structure: &Structure, asked: u16) -> Result<Value, ModelError> {
    let group = SpaceGroup::new(asked).map_err(|e| ModelError::Condition(e.to_string()))?;
    let found = SYMPRECS.map(|symprec| symmetry::analyze(structure, symprec));
    let failed = |what: String| {
        ModelError::Output(format!("the space group {group} was asked for, {what} within {} Å", SYMPRECS[0]))
    };
    match &found[0] {
        Ok(dataset) if holds(dataset, group) => {}
        Ok(dataset) => {
            return Err(failed(format!("{} ({}) is found", dataset.number, dataset.international)));
        }
        Err(e) => return Err(failed(format!("none is found ({e})"))),
    }
    Ok(json!(found.map(|dataset| dataset.ok().map(|d| d.number))))
}

#[cfg(test)]
mod tests {
    use druse_testkit::prototype;

    use super::*;

    #[test]
    fn groups_and_their_supergroups_are_found() {
        let perovskite = prototype("SrTiO3");
        assert_eq!(found_groups(&perovskite, 221).unwrap(), json!([221, 221]));
        // P4/mmm and P1 are subgroups of Pm-3m.
        for subgroup in [123, 1] {
            assert_eq!(found_groups(&perovskite, subgroup).unwrap(), json!([221, 221]));
        }
        let message = found_groups(&perovskite, 225).unwrap_err().to_string();
        assert!(message.contains("225") && message.contains("221 (Pm-3m) is found"), "{message}");
        // Moved by less than the larger tolerance.
        let mut moved = perovskite.clone();
        moved.frac_coords[1][2] += 0.01;
        let found = found_groups(&moved, 99).unwrap();
        assert_eq!(found, json!([221, 99]));
    }
}
