//! Models that predict a property.

use std::collections::BTreeSet;

use druse_crystal::{Element, Structure};
use druse_nn::Params;

use crate::{ModelError, Trainable};

/// A model that predicts a number for a structure.
pub trait Predictor: Trainable {
    /// Name of the property.
    fn property(&self) -> &str;

    /// Whether the model can read a structure.
    ///
    /// # Errors
    /// [`ModelError`] with the reason when it cannot.
    fn check(&self, structure: &Structure) -> Result<(), ModelError>;

    /// Elements of a structure that the model was not trained on, of which it knows nothing; none where it does not know what
    /// it was trained on.
    fn unseen(&self, _structure: &Structure) -> BTreeSet<Element> {
        BTreeSet::new()
    }

    /// The property of every structure, in the unit of the training data: on the CPU on all threads. A prediction does not
    /// depend on the other structures.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented, one alone does not fit into memory, the device fails, or the
    /// model knows no training data.
    fn predict(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<f64>, ModelError>;

    /// What [`Predictor::embed`] gives, in words: how many numbers, and where in the network they are.
    fn embedding(&self) -> String;

    /// A vector of every structure, all of one length: what the network makes its prediction of by a last, linear map. Computed
    /// and independent of each other as predictions are, and in no unit.
    ///
    /// # Errors
    /// As [`Predictor::predict`], but the model need not know training data.
    fn embed(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<Vec<f64>>, ModelError>;
}
