//! `metrics.jsonl`: a line a step and a line an epoch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use druse_crystal::files;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::folder::complete_lines;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Metric {
    /// An optimizer step.
    Step(StepMetric),
    /// A pass over the training data.
    Epoch(EpochMetric),
}

/// An optimizer step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetric {
    /// Number of the step, from 1.
    pub step: u64,
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Mean loss over the structures of the batch; with several training phases the sum of theirs.
    pub loss: f64,
    /// Named parts of the loss; with several training phases with the name of the phase before (`critic.real`), and the
    /// mean over its repetitions.
    pub parts: BTreeMap<String, f64>,
    /// Global norm of the gradient before clipping; with several training phases the root of the sum of their squares.
    pub grad_norm: f64,
    /// Learning rate; with several training phases that of the first.
    pub lr: f64,
    /// Each training phase by itself, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<String, PhaseMetric>,
    /// Training structures worked off a second, in this step.
    pub structures_per_s: f64,
}

/// The share of one training phase in an optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PhaseMetric {
    /// Mean loss over its repetitions.
    pub loss: f64,
    /// Global norm of its gradient before clipping: root of the mean square over its repetitions.
    pub grad_norm: f64,
    /// Learning rate.
    pub lr: f64,
}

/// A pass over the training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochMetric {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Last step of the epoch.
    pub step: u64,
    /// Mean training loss over its structures, each under the weights of its step.
    pub train_loss: f64,
    /// Mean loss of the averaged weights on the validation structures, with the same noise each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Named parts of the validation loss.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation_parts: BTreeMap<String, f64>,
    /// Whether this is the best model so far.
    pub best: bool,
    /// Training time so far in minutes, all resumed parts together.
    pub minutes: f64,
}

/// The log file, opened for appending.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    path: PathBuf,
}

impl MetricsLog {
    /// Opens the log and drops what was written after the given step and after the given number of finished
    /// epochs, so that a resumed run has every line once.
    ///
    /// # Errors
    /// [`RunError::Write`] and [`RunError::Read`].
    pub fn open(path: &Path, step: u64, epochs: u64) -> Result<Self, RunError> {
        let kept: String = complete_lines(path)?
            .into_iter()
            .filter(|line| match serde_json::from_str::<Metric>(line) {
                Ok(Metric::Step(m)) => m.step <= step,
                Ok(Metric::Epoch(m)) => m.epoch <= epochs,
                Err(_) => false,
            })
            .map(|line| line + "\n")
            .collect();
        files::write_atomic(path, kept.as_bytes())?;
        let file = files::append(path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends a line in a single write.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn write(&mut self, metric: &Metric) -> Result<(), RunError> {
        let mut line = serde_json::to_vec(metric).expect("metrics are plain numbers and names");
        line.push(b'\n');
        self.file.write_all(&line).map_err(RunError::write(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> Metric {
        let parts = BTreeMap::from([("lattice".to_owned(), 0.1)]);
        Metric::Step(StepMetric {
            step,
            epoch: 1,
            loss: 1.5,
            parts,
            grad_norm: 1.0,
            lr: 0.1,
            phases: BTreeMap::new(),
            structures_per_s: 9.0,
        })
    }

    fn epoch(epoch: u64, step: u64) -> Metric {
        Metric::Epoch(EpochMetric {
            epoch,
            step,
            train_loss: 1.0,
            validation_loss: None,
            validation_parts: BTreeMap::new(),
            best: true,
            minutes: 0.5,
        })
    }

    #[test]
    fn reopening_drops_what_the_checkpoint_does_not_cover() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0, 0).unwrap();
        let all = [step(1), step(2), epoch(1, 2), step(3), step(4), epoch(2, 4)];
        all.iter().for_each(|m| log.write(m).unwrap());
        drop(log);
        files::append(&path).unwrap().write_all(b"{\"kind\":\"st").unwrap();
        MetricsLog::open(&path, 3, 1).unwrap().write(&step(4)).unwrap();
        let read: Vec<Metric> =
            complete_lines(&path).unwrap().iter().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(read, [step(1), step(2), epoch(1, 2), step(3), step(4)]);
    }
}
