//! What a run refuses: cuts that its model forbids, and to be continued as another one.

use std::path::Path;

use druse_models::{BatchStatistics, Trainable, TrainingPhase};
use druse_nn::Params;

use super::data::TrainingData;
use super::phase::names;
use crate::RunError;
use crate::checkpoint::{Checkpoint, CheckpointError, OptimizerState};
use crate::config::{RunConfig, Violation};
use crate::error::RankError;

/// Refuses several processes for a model whose batches are never cut.
///
/// # Errors
/// [`RankError::NotCut`].
pub fn check_shared(model: &dyn Trainable, world: usize) -> Result<(), RankError> {
    match model.batch_statistics() {
        BatchStatistics::Whole if world > 1 => Err(RankError::NotCut { model: model.kind() }),
        _ => Ok(()),
    }
}

/// Refuses a limit on micro-batches, and several processes, for a model whose batches are never cut.
pub(super) fn check_cut(model: &dyn Trainable, config: &RunConfig, world: usize) -> Result<(), RunError> {
    check_shared(model, world)?;
    match (model.batch_statistics(), config.train.micro_batch_atoms) {
        (BatchStatistics::Whole, Some(atoms)) => Err(RunError::Violation(Violation {
            key: "train.micro_batch_atoms".into(),
            value: atoms.to_string(),
            expected: format!(
                "no value: {} takes statistics of the whole batch, which is never cut",
                model.kind()
            ),
        })),
        _ => Ok(()),
    }
}

/// Refuses to continue a run in other phases than it was trained in.
pub(super) fn check_phases(
    checkpoint: &Checkpoint,
    saved: &[OptimizerState],
    phases: &[TrainingPhase],
    params: &Params,
) -> Result<(), RunError> {
    let describe = |name: &str, tensors: usize| format!("{name} ({tensors} tensors)");
    let expected: Vec<_> = phases.iter().map(|p| (p.phase.name, names(p, params))).collect();
    // The name of a single phase is not stored.
    let same = match (saved, expected.as_slice()) {
        ([saved], [(_, names)]) => saved.parameters == *names,
        _ => {
            saved.len() == expected.len()
                && saved
                    .iter()
                    .zip(&expected)
                    .all(|(s, (name, names))| s.phase == *name && s.parameters == *names)
        }
    };
    if same {
        return Ok(());
    }
    let found: Vec<String> = saved.iter().map(|s| describe(&s.phase, s.parameters.len())).collect();
    let expected: Vec<String> = expected.iter().map(|(name, names)| describe(name, names.len())).collect();
    let (name, found, expected) = (checkpoint.name().to_owned(), found.join(", "), expected.join(", "));
    Err(CheckpointError::Phases { name, found, expected }.into())
}

/// Refuses to continue a run with another model, other data or another seed: the numbers would no longer be those of
/// an unbroken run.
pub(super) fn check_unchanged(
    saved: &Checkpoint,
    kind: &'static str,
    config: &RunConfig,
    data: &TrainingData,
    folder: &Path,
) -> Result<(), RunError> {
    saved.expect_kind(kind)?;
    let changed = |key: &str, stored: String, given: String| RunError::Changed {
        path: folder.to_owned(),
        key: key.into(),
        stored,
        given,
    };
    if saved.data_hash != data.hash {
        return Err(changed("data hash", saved.data_hash.clone(), data.hash.clone()));
    }
    if saved.config.model != config.model {
        let text = |c: &RunConfig| serde_json::to_string(&c.model).unwrap_or_default();
        return Err(changed("model", text(&saved.config), text(config)));
    }
    if saved.config.train.seed != config.train.seed {
        let (stored, given) = (saved.config.train.seed, config.train.seed);
        return Err(changed("train.seed", stored.to_string(), given.to_string()));
    }
    Ok(())
}
