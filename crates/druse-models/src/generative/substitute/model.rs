//! What is kept of a training set, and the answer to a request.

use druse_crystal::{Composition, Lattice, SpaceGroup, Structure};
use druse_data::substitution::{Candidate, Library, Parent};
use serde_json::{Value, json};

use super::arrays;
use crate::traits::Arrays;
use crate::{Conditions, ModelError};

/// Space groups that a message lists.
const LISTED: usize = 8;

/// The crystals of a training set, ready to have their elements exchanged.
///
/// Cells and coordinates are kept in single precision, in memory as in a checkpoint, so that both give the same structures.
#[derive(Debug, Clone)]
pub struct Substitute {
    /// Identifiers that wait for their structures, while a checkpoint is read.
    ids: Vec<String>,
    library: Library,
}

impl Default for Substitute {
    /// Without structures.
    fn default() -> Self {
        Self { ids: Vec::new(), library: Library::new([]) }
    }
}

/// A structure in single precision.
fn rounded(s: &Structure) -> Result<Structure, ModelError> {
    let single = |x: f64| f64::from(x as f32);
    let unusable = |reason: String| ModelError::Unusable {
        what: Composition::from_species(&s.species).formula(),
        reason,
    };
    let lattice =
        Lattice::from_matrix(s.lattice.matrix().map(single)).map_err(|e| unusable(e.to_string()))?;
    let frac_coords = s.frac_coords.iter().map(|f| f.map(single)).collect();
    Structure::new(lattice, s.species.clone(), frac_coords).map_err(|e| unusable(e.to_string()))
}

impl Substitute {
    pub(super) fn fit(&mut self, training: &[(&str, &Structure)]) -> Result<(), ModelError> {
        let parent = |&(id, s): &(&str, &Structure)| Ok(Parent::new(id, rounded(s)?));
        self.library = Library::new(training.iter().map(parent).collect::<Result<Vec<_>, ModelError>>()?);
        self.library.find_templates();
        Ok(())
    }

    /// The training set.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Atoms of the largest cell.
    pub(super) fn largest(&self) -> Option<usize> {
        self.library.parents().iter().map(|parent| parent.structure().len()).max()
    }

    pub(super) fn ids(&self) -> Value {
        json!({ "ids": self.library.parents().iter().map(Parent::id).collect::<Vec<_>>() })
    }

    pub(super) fn restore_ids(&mut self, statistics: &Value) -> Result<(), ModelError> {
        let ids = statistics.get("ids").cloned().unwrap_or_default();
        self.ids = serde_json::from_value(ids)
            .map_err(|e| ModelError::Config(format!("statistics of the training set: ids: {e}")))?;
        self.library = Library::new([]);
        Ok(())
    }

    pub(super) fn restore_library(&mut self, arrays: &Arrays) -> Result<(), ModelError> {
        self.library = Library::new(arrays::unpack(std::mem::take(&mut self.ids), arrays)?);
        Ok(())
    }

    /// The candidate with this place, from 0.
    pub(super) fn candidate(&self, conditions: &Conditions, place: u64) -> Result<Structure, ModelError> {
        let cannot = ModelError::Condition;
        let composition =
            conditions.composition.as_ref().ok_or_else(|| cannot("no composition is given".into()))?;
        let group = conditions.space_group;
        let all = self.library.candidates(composition, group).map_err(|e| cannot(e.to_string()))?;
        let mut found = 0;
        for candidate in all {
            if found == place {
                return answer(&candidate);
            }
            found += 1;
        }
        Err(cannot(match (found, group) {
            (0, Some(number)) => self.no_such_group(composition, number),
            (0, None) => format!("no candidate for {}", composition.formula()),
            (found, _) => format!(
                "no further candidate for {}: the training set has {found} in all",
                composition.formula()
            ),
        }))
    }

    fn no_such_group(&self, composition: &Composition, number: u16) -> String {
        let mut groups: Vec<(usize, u16)> =
            self.library.space_groups(composition).into_iter().map(|(group, n)| (n, group)).collect();
        groups.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let name = |number: u16| SpaceGroup::new(number).map_or(number.to_string(), ToString::to_string);
        let there: Vec<String> = groups.iter().take(LISTED).map(|&(_, group)| name(group)).collect();
        format!(
            "no crystal of the training set with the numbers of atoms of {} has the space group {}; there are {}{}",
            composition.formula(),
            name(number),
            there.join(", "),
            if groups.len() > LISTED { " …" } else { "" }
        )
    }
}

/// A candidate with what it is made of.
fn answer(candidate: &Candidate<'_>) -> Result<Structure, ModelError> {
    let mut structure = candidate.structure().map_err(|e| ModelError::Output(e.to_string()))?;
    let parent = candidate.parent;
    structure.properties.extend([
        ("rank".to_owned(), candidate.rank.into()),
        ("distance".to_owned(), candidate.distance.into()),
        ("parent".to_owned(), parent.id().into()),
        ("parent_formula".to_owned(), parent.composition().to_string().into()),
        ("template".to_owned(), candidate.template().to_string().into()),
    ]);
    Ok(structure)
}
