//! Structures of a training set that a model keeps, in a form for checkpoints.

use druse_crystal::{Composition, Lattice, Structure};
use druse_data::substitution::{Library, Parent};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ModelError;
use crate::traits::Arrays;

mod arrays;

/// The crystals of a training set, ready to have their elements exchanged.
///
/// Cells and coordinates are kept in single precision, in memory as in a checkpoint, so that both give the same structures.
#[derive(Debug, Clone)]
pub(crate) struct KnownCrystals {
    /// Identifiers that wait for their structures, while a checkpoint is read.
    ids: Vec<String>,
    library: Library,
}

impl Default for KnownCrystals {
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

impl KnownCrystals {
    /// Takes a training set, and looks for the templates of all its structures.
    pub fn fit(&mut self, training: &[(&str, &Structure)]) -> Result<(), ModelError> {
        let parent = |&(id, s): &(&str, &Structure)| Ok(Parent::new(id, rounded(s)?));
        self.library = Library::new(training.iter().map(parent).collect::<Result<Vec<_>, ModelError>>()?);
        self.library.find_templates();
        Ok(())
    }

    /// The training set.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Identifiers and crystals.
    pub fn structures(&self) -> impl Iterator<Item = (&str, &Structure)> {
        self.library.parents().iter().map(|parent| (parent.id(), parent.structure()))
    }

    /// Atoms of the largest cell.
    pub fn largest(&self) -> Option<usize> {
        self.library.parents().iter().map(|parent| parent.structure().len()).max()
    }

    /// The identifiers, for the statistics of a checkpoint.
    pub fn ids(&self) -> Value {
        json!({ "ids": self.library.parents().iter().map(Parent::id).collect::<Vec<_>>() })
    }

    /// Takes what [`Self::ids`] returned; the structures follow.
    pub fn restore_ids(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.ids = Vec::deserialize(statistics.get("ids").unwrap_or(&Value::Null))
            .map_err(|e| ModelError::Config(format!("statistics of the training set: ids: {e}")))?;
        self.library = Library::new([]);
        Ok(())
    }

    /// The structures, for the arrays of a checkpoint.
    pub fn arrays(&self) -> Arrays {
        arrays::pack(&self.library)
    }

    /// Takes what [`Self::arrays`] returned.
    pub fn restore_arrays(&mut self, arrays: &Arrays) -> Result<(), ModelError> {
        self.library = Library::new(arrays::unpack(std::mem::take(&mut self.ids), arrays)?);
        Ok(())
    }
}
