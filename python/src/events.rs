//! What happens in long work.

use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::json::to_python;

/// What happened, in plain values.
pub struct Told {
    kind: &'static str,
    text: String,
    done: f64,
    total: f64,
    values: Value,
}

impl Told {
    /// How far a stage of the work is.
    pub fn progress(stage: &str, done: f64, total: usize) -> Self {
        Self { kind: "progress", text: stage.to_owned(), done, total: total as f64, values: Value::Null }
    }

    fn new(kind: &'static str, text: impl Into<String>, values: Value) -> Self {
        Self { kind, text: text.into(), done: 0.0, total: 0.0, values }
    }

    /// An event of a driver; `None` for what is counted otherwise.
    pub fn of(event: &druse_run::Event<'_>) -> Option<Self> {
        use druse_run::Event as E;
        let metric = |value: Result<Value, serde_json::Error>| value.unwrap_or(Value::Null);
        Some(match event {
            E::Warning { id, text } => Self::new("warning", *text, json!({ "id": id })),
            E::LeftOut { set, reason, structures } => {
                Self::new("left_out", *reason, json!({ "set": set, "structures": structures }))
            }
            E::Started(start) => Self {
                done: start.step as f64,
                total: (start.epochs * start.batches as u64) as f64,
                ..Self::new(
                    "started",
                    "training",
                    json!({
                        "parameters": start.parameters,
                        "training": start.training,
                        "validation": start.validation,
                        "batches": start.batches,
                        "epochs": start.epochs,
                        "step": start.step,
                        "epoch": start.epoch,
                    }),
                )
            },
            E::Step(step) => Self {
                done: step.step as f64,
                ..Self::new("step", "training", metric(serde_json::to_value(step)))
            },
            E::Epoch(epoch) => Self {
                done: epoch.epoch as f64,
                ..Self::new("epoch", "training", metric(serde_json::to_value(epoch)))
            },
            E::Saved(path) => Self::new("saved", path.display().to_string(), Value::Null),
            E::MemoryLimit { atoms } => Self::new("memory_limit", "", json!({ "atoms": atoms })),
            E::Restored { epoch, attempt, reason, .. } => {
                Self::new("restored", *reason, json!({ "epoch": epoch, "attempt": attempt }))
            }
            E::Sampled { index, failure } => Self::new(
                "sampled",
                failure.unwrap_or_default(),
                json!({ "index": index, "failed": failure.is_some() }),
            ),
            E::Relaxed { id, end, failure, .. } => Self::new(
                "relaxed",
                failure.unwrap_or_default(),
                json!({ "id": id, "end": end, "failed": failure.is_some() }),
            ),
            E::Evaluated { .. } | E::SamplingStep { .. } | E::Progress { .. } => return None,
        })
    }
}

/// Something that happened in a call: callbacks are given these.
#[pyclass(frozen, module = "druse")]
pub struct Event {
    /// What happened: progress, step, epoch, sampled, relaxed, saved, warning and others.
    #[pyo3(get)]
    kind: &'static str,
    /// The stage of the work, or what there is to say.
    #[pyo3(get)]
    text: String,
    /// How much of the stage is done.
    #[pyo3(get)]
    done: f64,
    /// How much there is in all; 0 when it cannot be told.
    #[pyo3(get)]
    total: f64,
    values: Py<PyAny>,
}

impl Event {
    pub fn new(py: Python<'_>, told: Told) -> PyResult<Self> {
        let Told { kind, text, done, total, values } = told;
        let values = match values {
            Value::Null => pyo3::types::PyDict::new(py).into_any().unbind(),
            values => to_python(py, &values)?.unbind(),
        };
        Ok(Self { kind, text, done, total, values })
    }
}

#[pymethods]
impl Event {
    /// What belongs to it: of a step or an epoch its losses, learning rate and speed.
    #[getter]
    fn values(&self, py: Python<'_>) -> Py<PyAny> {
        self.values.clone_ref(py)
    }

    fn __repr__(&self) -> String {
        format!("<Event {} {:?} {}/{}>", self.kind, self.text, self.done, self.total)
    }
}
