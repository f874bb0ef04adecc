//! Vectors of generated and reference sets, for Fréchet distances.

use std::sync::atomic::AtomicBool;

use druse_crystal::Structure;
use druse_data::Listing;
use druse_evaluate::{Embedding, Observer, Progress, Sets};

use crate::RunError;
use crate::model::LoadedModel;
use crate::predict::embed;

/// The vectors that a predictor makes of all rows of both sets, with words about the predictor: figures are those of its weights.
///
/// # Errors
/// [`RunError::Model`] when the model is no predictor or the device fails, [`RunError::Interrupted`] when `stop` was set.
pub fn embedding(
    model: &LoadedModel,
    sets: Sets<'_>,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Embedding, RunError> {
    let predictor = model.predictor()?;
    let kind = model.model.trainable().kind().to_owned();
    let (property, weights) = (predictor.property(), &model.hash[..12]);
    let about = format!(
        "{} of a {kind} model for {property}: {}, weights {weights}",
        predictor.embedding(),
        model.name
    );
    let mut rows = |set: &Listing, stage: &str| -> Result<Vec<Result<Vec<f64>, String>>, RunError> {
        let structures: Vec<&Structure> = set.items.iter().filter_map(|item| item.structure()).collect();
        let total = structures.len();
        let mut done = |done| watch.observe(Progress::new(stage, done, total));
        let vectors = embed(predictor, &model.params, &structures, &mut done, stop)?;
        let mut vectors = vectors.into_iter();
        let row = |reason: Option<&str>| match reason {
            Some(reason) => Err(reason.to_owned()),
            None => vectors.next().expect("a vector for each structure").map_err(|e| e.to_string()),
        };
        Ok(set.items.iter().map(|item| item.reason()).map(row).collect())
    };
    let generated = rows(sets.generated, "vectors of the generated set")?;
    let reference = rows(sets.reference, "vectors of the reference set")?;
    Ok(Embedding { kind, about, generated, reference })
}
