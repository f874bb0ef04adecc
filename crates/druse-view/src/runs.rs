//! Training runs: the curves of their logs.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::lines::{Follower, News};
use crate::places::METRICS_FILE;

/// One line of a log.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Metric {
    Step(Step),
    Epoch(Epoch),
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Step {
    step: u64,
    epoch: u64,
    loss: f64,
    lr: f64,
    grad_norm: f64,
    structures_per_s: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Epoch {
    epoch: u64,
    step: u64,
    train_loss: f64,
    #[serde(default)]
    validation_loss: Option<f64>,
    minutes: f64,
}

#[derive(Debug)]
struct Run {
    folder: PathBuf,
    follower: Follower,
    steps: Vec<Step>,
    epochs: Vec<Epoch>,
}

/// All training runs.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    all: RwLock<Vec<Run>>,
}

impl Run {
    fn new(folder: PathBuf) -> Self {
        let follower = Follower::new(folder.join(METRICS_FILE));
        Self { folder, follower, steps: Vec::new(), epochs: Vec::new() }
    }

    fn follow(&mut self) -> bool {
        match self.follower.news() {
            Ok(News::Lines(lines)) => {
                for line in lines {
                    // Lines of a later version of the program may be others.
                    match serde_json::from_str(&line.text) {
                        Ok(Metric::Step(step)) => self.steps.push(step),
                        Ok(Metric::Epoch(epoch)) => self.epochs.push(epoch),
                        Err(_) => {}
                    }
                }
                true
            }
            // A resumed run rewrites its log.
            Ok(News::Replaced) => {
                *self = Self::new(self.folder.clone());
                true
            }
            Ok(News::None) | Err(_) => false,
        }
    }

    fn name(&self) -> String {
        let own = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        own.file_name().map_or_else(|| own.display().to_string(), |n| n.to_string_lossy().into())
    }
}

/// Means over stretches of a curve, at most `points` of them; numbers that are none are left out.
fn thinned(steps: &[Step], points: usize, of: impl Fn(&Step) -> f64) -> Vec<Value> {
    let each = steps.len().div_ceil(points.max(1)).max(1);
    steps
        .chunks(each)
        .map(|chunk| {
            let values: Vec<f64> = chunk.iter().map(&of).filter(|x| x.is_finite()).collect();
            if values.is_empty() {
                return Value::Null;
            }
            (values.iter().sum::<f64>() / values.len() as f64).into()
        })
        .collect()
}

impl Runs {
    /// The runs that there are now.
    pub fn set_folders(&self, folders: Vec<PathBuf>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|run| folders.contains(&run.folder));
        for folder in folders {
            if !all.iter().any(|run| run.folder == folder) {
                all.push(Run::new(folder));
            }
        }
    }

    /// Reads what is new in the logs; whether there was anything.
    pub fn follow(&self) -> bool {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        // All of them, not only the first with news.
        all.iter_mut().map(|run| run.follow()).filter(|news| *news).count() > 0
    }

    /// Folders of the runs.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).iter().map(|run| run.folder.clone()).collect()
    }

    /// The runs with their last figures.
    pub fn list(&self) -> Value {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let runs = all.iter().map(|run| {
            let last = run.steps.last();
            let best = run.epochs.iter().filter_map(|e| e.validation_loss).min_by(f64::total_cmp);
            json!({
                "name": run.name(),
                "folder": run.folder.display().to_string(),
                "steps": last.map(|s| s.step),
                "epoch": last.map(|s| s.epoch),
                "loss": last.map(|s| s.loss),
                "lr": last.map(|s| s.lr),
                "structures_per_s": last.map(|s| s.structures_per_s),
                "best_validation_loss": best,
                "minutes": run.epochs.last().map(|e| e.minutes),
                "lines": run.steps.len() + run.epochs.len(),
            })
        });
        Value::Array(runs.collect())
    }

    /// The curves of a run, with at most so many points each; `None` when there is no such run.
    pub fn curves(&self, run: usize, points: usize) -> Option<Value> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let run = all.get(run)?;
        let of = |value: fn(&Step) -> f64| thinned(&run.steps, points, value);
        let column = |value: fn(&Epoch) -> Value| run.epochs.iter().map(value).collect::<Vec<_>>();
        Some(json!({
            "name": run.name(),
            "steps": {
                "step": of(|s| s.step as f64),
                "loss": of(|s| s.loss),
                "lr": of(|s| s.lr),
                "grad_norm": of(|s| s.grad_norm),
                "structures_per_s": of(|s| s.structures_per_s),
            },
            "epochs": {
                "epoch": column(|e| e.epoch.into()),
                "step": column(|e| e.step.into()),
                "train_loss": column(|e| e.train_loss.into()),
                "validation_loss": column(|e| e.validation_loss.into()),
                "minutes": column(|e| e.minutes.into()),
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn curves_follow_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let step = |k: u64| {
            format!(
                r#"{{"kind":"step","step":{k},"epoch":1,"loss":{k}.0,"parts":{{}},"grad_norm":1.0,"lr":0.1,"structures_per_s":9.0}}"#
            )
        };
        let epoch = r#"{"kind":"epoch","epoch":1,"step":3,"train_loss":2.0,"validation_loss":1.5,"best":true,"minutes":0.5}"#;
        let log = dir.path().join(METRICS_FILE);
        fs::write(&log, format!("{}\n{}\n{}\n{epoch}\nnonsense\n{{\"kind\":\"st", step(1), step(2), step(3)))
            .unwrap();
        let runs = Runs::default();
        runs.set_folders(vec![dir.path().to_owned()]);
        assert!(runs.follow() && !runs.follow());
        let curves = runs.curves(0, 2).unwrap();
        assert_eq!(curves["steps"]["loss"], json!([1.5, 3.0]));
        assert_eq!(curves["epochs"]["validation_loss"], json!([1.5]));
        assert_eq!(runs.list()[0]["best_validation_loss"], 1.5);
        // A resumed run writes its log anew, shorter.
        fs::remove_file(&log).unwrap();
        fs::write(&log, format!("{}\n", step(1))).unwrap();
        while runs.follow() {}
        assert_eq!(runs.curves(0, 9).unwrap()["steps"]["loss"], json!([1.0]));
        assert!(runs.curves(1, 9).is_none());
    }
}
