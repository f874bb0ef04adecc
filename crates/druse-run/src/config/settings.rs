//! The configuration of a training run.

use std::path::PathBuf;

use druse_models::Model;
use druse_models::registry::{ModelSettings, Registry, RegistryError};
use druse_nn::Precision;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::{ConfigError, Violation};

/// Everything that determines a training run, apart from the folder it writes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The preset the other values started from.
    pub preset: String,
    /// The model: its kind, and the settings of that kind.
    pub model: ModelSettings,
    /// How the model is sampled: the settings of its kind; empty where nothing can be set.
    #[serde(default)]
    pub sampling: Map<String, Value>,
    /// What it is trained on.
    pub data: DataConfig,
    /// Optimizer and learning rate.
    pub optim: OptimConfig,
    /// Batches, length and bookkeeping.
    pub train: TrainConfig,
}

/// The data set and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A folder with `train` and `val` splits, or one file or folder of structures (split by
    /// `validation_share`).
    pub path: PathBuf,
    /// Replaces each cell by its Niggli-reduced one.
    pub niggli: bool,
    /// Share of unreadable structures above which reading fails, 0 to 1.
    pub max_skipped_share: f64,
    /// Leaves out structures that may be others than their authors meant: guesses of the reader, contradictions within a
    /// file.
    pub strict: bool,
    /// Leaves out larger cells.
    pub max_atoms: Option<usize>,
    /// Leaves out structures with other elements than these; empty: all elements.
    pub elements: Vec<String>,
    /// Comparisons of properties such as `e_above_hull<0.1`; a structure has to pass all.
    pub filters: Vec<String>,
    /// Share of the structures held out for validation when the data has no `val` split, 0 to below 1.
    pub validation_share: f64,
    /// Uses only the first so many training structures.
    pub limit: Option<usize>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            niggli: false,
            max_skipped_share: 0.01,
            strict: false,
            max_atoms: None,
            elements: Vec::new(),
            filters: Vec::new(),
            validation_share: 0.05,
            limit: None,
        }
    }
}

/// How the learning rate changes over a run, after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Half a cosine from `lr` to `min_lr` at the last step of the last epoch.
    Cosine,
    /// Multiplied by `plateau_factor` when the validation loss has not improved for `plateau_patience` validations.
    Plateau,
}

/// Adam, gradient clipping, moving average and learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Largest magnitude of a component of the gradient, applied first; absent: no limit.
    pub clip_value: Option<f64>,
    /// Largest global norm of the gradient; absent: no limit.
    pub clip_norm: Option<f64>,
    /// Decay of the moving average of the weights; at update n it is at most (1 + n) / (10 + n).
    pub ema_decay: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises linearly from zero.
    pub warmup_steps: u64,
    /// Smallest learning rate of the schedules `cosine` and `plateau`.
    pub min_lr: f64,
    /// Factor of the schedule `plateau`.
    pub plateau_factor: f64,
    /// Patience of the schedule `plateau`, in validations.
    pub plateau_patience: u64,
}

impl Default for OptimConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            clip_value: None,
            clip_norm: None,
            ema_decay: 0.995,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            min_lr: 1e-5,
            plateau_factor: 0.6,
            plateau_patience: 30,
        }
    }
}

/// Batches, length, validation and bookkeeping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Largest number of structures in a batch.
    pub batch_size: usize,
    /// Largest number of atoms in a batch (a single larger structure makes its own batch).
    pub batch_atoms: Option<usize>,
    /// Largest number of atoms that are computed at a time (or one structure); batches of more are worked off in
    /// micro-batches. Absent: 96 on the CPU, 8,192 on an accelerator, halved there whenever memory does not suffice.
    #[serde(alias = "piece_atoms")]
    pub micro_batch_atoms: Option<usize>,
    /// Passes over the training data.
    pub epochs: u64,
    /// Stops after so many minutes of training, all resumed parts together.
    pub max_minutes: Option<f64>,
    /// Model file or checkpoint of the same sizes whose averaged weights the run starts from, instead of random ones.
    pub init: Option<PathBuf>,
    /// Determines initial weights, order of the data and noise.
    pub seed: u64,
    /// Epochs between validations.
    pub validation_every: u64,
    /// Stops after so many validations without improvement.
    pub patience: Option<u64>,
    /// Steps between checkpoints inside an epoch; there is always one at its end.
    pub checkpoint_every: Option<u64>,
    /// Stops when the loss exceeds the median of the last losses by this factor at five steps in a row.
    pub divergence_factor: f64,
    /// Smallest and largest loss of a batch. Outside them, and whenever a loss is no number or diverges, the run goes back to
    /// its state before the epoch and repeats it with other noise. Absent: no bounds, and the run stops instead.
    pub loss_bounds: Option<[f64; 2]>,
    /// Number of the epoch, from 1, from which on `loss_bounds` are looked at. A loss that is no number always counts.
    pub loss_bounds_from: u64,
    /// Times that an epoch is repeated from the state before it; then as often from the state before the last one.
    pub epoch_retries: u64,
    /// Precision of the products with weights.
    pub precision: Precision,
    /// Where the model is trained: `cpu`, `cuda`, `cuda:1`, `vulkan`, `metal`, `rocm`; `cuda:0,cuda:1` by a process each.
    pub device: String,
    /// Worker threads; 0: one a core.
    pub threads: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch_size: 128,
            batch_atoms: None,
            micro_batch_atoms: None,
            epochs: 512,
            max_minutes: None,
            init: None,
            seed: 0,
            validation_every: 1,
            patience: None,
            checkpoint_every: None,
            divergence_factor: 1e3,
            loss_bounds: None,
            loss_bounds_from: 1,
            epoch_retries: 4,
            precision: Precision::F32,
            device: "cpu".into(),
            threads: 0,
        }
    }
}

impl RunConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// A [`Violation`] with the key, its value and what was expected.
    pub fn validate(&self) -> Result<(), Violation> {
        let (o, t, d) = (&self.optim, &self.train, &self.data);
        let open = |x: f64| x > 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        let rules: [(&'static str, String, &'static str, bool); 22] = [
            ("optim.lr", o.lr.to_string(), "a positive number", open(o.lr)),
            ("optim.beta1", o.beta1.to_string(), "at least 0 and below 1", share(o.beta1)),
            ("optim.beta2", o.beta2.to_string(), "at least 0 and below 1", share(o.beta2)),
            ("optim.eps", o.eps.to_string(), "a positive number", open(o.eps)),
            ("optim.clip_norm", format!("{:?}", o.clip_norm), "a positive number", {
                o.clip_norm.is_none_or(open)
            }),
            ("optim.clip_value", format!("{:?}", o.clip_value), "a positive number", {
                o.clip_value.is_none_or(open)
            }),
            ("optim.ema_decay", o.ema_decay.to_string(), "at least 0 and below 1", share(o.ema_decay)),
            ("optim.min_lr", o.min_lr.to_string(), "from 0 to optim.lr", (0.0..=o.lr).contains(&o.min_lr)),
            ("optim.plateau_factor", o.plateau_factor.to_string(), "above 0 and below 1", {
                open(o.plateau_factor) && o.plateau_factor < 1.0
            }),
            ("optim.plateau_patience", o.plateau_patience.to_string(), "at least 1", o.plateau_patience > 0),
            ("train.batch_size", t.batch_size.to_string(), "at least 1", t.batch_size > 0),
            ("train.batch_atoms", format!("{:?}", t.batch_atoms), "at least 1", t.batch_atoms != Some(0)),
            (
                "train.micro_batch_atoms",
                format!("{:?}", t.micro_batch_atoms),
                "at least 1",
                t.micro_batch_atoms != Some(0),
            ),
            ("train.epochs", t.epochs.to_string(), "at least 1", t.epochs > 0),
            ("train.max_minutes", format!("{:?}", t.max_minutes), "a positive number", {
                t.max_minutes.is_none_or(open)
            }),
            ("train.validation_every", t.validation_every.to_string(), "at least 1", t.validation_every > 0),
            ("train.checkpoint_every", format!("{:?}", t.checkpoint_every), "at least 1", {
                t.checkpoint_every != Some(0)
            }),
            ("train.divergence_factor", t.divergence_factor.to_string(), "a number above 1", {
                t.divergence_factor > 1.0
            }),
            ("train.loss_bounds", format!("{:?}", t.loss_bounds), "two numbers, the smaller one first", {
                t.loss_bounds.is_none_or(|[low, high]| low < high)
            }),
            ("train.epoch_retries", t.epoch_retries.to_string(), "1 to 1000", {
                (1..=1000).contains(&t.epoch_retries)
            }),
            ("data.max_skipped_share", d.max_skipped_share.to_string(), "0 to 1", {
                (0.0..=1.0).contains(&d.max_skipped_share)
            }),
            ("data.validation_share", d.validation_share.to_string(), "at least 0 and below 1", {
                share(d.validation_share)
            }),
        ];
        for (key, value, expected, holds) in rules {
            if !holds {
                return Err(Violation { key: key.into(), value, expected: expected.into() });
            }
        }
        Ok(())
    }

    /// Checks every number, those of the model and of its sampling, too.
    ///
    /// # Errors
    /// [`ConfigError`] for a kind that the registry does not hold; a [`Violation`] with the key, its value and what was
    /// expected.
    pub fn validate_for(&self, registry: &Registry) -> Result<(), ConfigError> {
        self.validate()?;
        let kind = registry.kind(&self.model.kind)?;
        let violation = |e: druse_models::ModelError| Violation {
            key: "model".into(),
            value: e.to_string(),
            expected: "settings of a model that can be built".into(),
        };
        Ok(kind.validate(&self.model.settings, &self.sampling).map_err(violation)?)
    }

    /// The model that the configuration describes; it knows nothing of a data set yet.
    ///
    /// # Errors
    /// [`RegistryError`] for an unknown kind and impossible settings.
    pub fn build(&self, registry: &Registry) -> Result<Model, RegistryError> {
        registry.build(&self.model, &self.sampling)
    }

    /// The configuration as TOML with every key that has a value.
    pub fn to_toml(&self) -> String {
        let text = |value: Result<String, toml::ser::Error>| {
            value.expect("a configuration holds only what TOML can hold")
        };
        let table = |name: &str, settings: &Map<String, Value>| {
            text(toml::to_string_pretty(&json!({ name: without_nulls(settings) })))
        };
        let preset = text(toml::to_string(&json!({ "preset": self.preset })));
        // The kind comes first; the other keys follow in the order of the alphabet.
        let kind = text(toml::to_string(&json!({ "model": { "kind": self.model.kind } })));
        let model = table("model", &self.model.settings);
        let model = model.strip_prefix("[model]\n").unwrap_or(&model);
        let sampling = match self.sampling.is_empty() {
            true => String::new(),
            false => format!("{}\n", table("sampling", &self.sampling)),
        };
        let data = text(toml::to_string_pretty(&self.data));
        let optim = text(toml::to_string_pretty(&self.optim));
        let train = text(toml::to_string_pretty(&self.train));
        format!("{preset}\n{kind}{model}\n{sampling}[data]\n{data}\n[optim]\n{optim}\n[train]\n{train}")
    }

    /// JSON Schema of the configuration, with the settings of every kind of model.
    pub fn schema(registry: &Registry) -> Value {
        let mut generator = SchemaGenerator::default();
        let sections = [
            ("data", generator.subschema_for::<DataConfig>().to_value()),
            ("optim", generator.subschema_for::<OptimConfig>().to_value()),
            ("train", generator.subschema_for::<TrainConfig>().to_value()),
        ];
        let mut models = Vec::new();
        let mut samplings = Vec::new();
        for kind in registry.kinds() {
            let [mut model, sampling] = kind.schemas(&mut generator).map(Schema::to_value);
            // A kind without settings has no properties of its own.
            model["properties"]["kind"] = json!({ "const": kind.name() });
            model["description"] = format!("{}: {}", kind.name(), kind.summary()).into();
            model["required"] = json!(["kind"]);
            models.push(model);
            samplings.push(sampling);
        }
        samplings.dedup();
        let mut properties: Map<String, Value> =
            sections.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        let preset = json!({ "type": "string", "description": "The preset the other values started from." });
        properties.insert("preset".into(), preset);
        properties.insert("model".into(), json!({ "oneOf": models }));
        properties.insert("sampling".into(), json!({ "anyOf": samplings }));
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "RunConfig",
            "description": "Everything that determines a training run, apart from the folder it writes to.",
            "type": "object",
            "properties": properties,
            "required": ["preset", "model", "data", "optim", "train"],
            "additionalProperties": false,
            "$defs": generator.take_definitions(true),
        })
    }
}

/// What TOML can hold: keys without a value are left out.
fn without_nulls(settings: &Map<String, Value>) -> Map<String, Value> {
    let keep = |(key, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::Object(inner) => Some((key.clone(), Value::Object(without_nulls(inner)))),
        value => Some((key.clone(), value.clone())),
    };
    settings.iter().filter_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::overlay::Layers;
    use crate::config::presets::describe_presets;

    fn preset(name: &str) -> RunConfig {
        RunConfig::preset(&Registry::builtin(), name).unwrap()
    }

    #[test]
    fn every_preset_is_valid_and_survives_toml() {
        let registry = Registry::builtin();
        let presets = describe_presets(&registry);
        assert!(presets.len() >= 9);
        let dir = tempfile::tempdir().unwrap();
        for (name, description) in presets {
            assert!(!description.is_empty(), "{name} has a description");
            let config = preset(name);
            config.validate_for(&registry).unwrap();
            let file = dir.path().join(name);
            std::fs::write(&file, config.to_toml()).unwrap();
            let layers = Layers { file: Some(&file), ..Layers::new(&registry) };
            assert_eq!(layers.resolve().unwrap(), config, "{name}");
        }
    }

    #[test]
    fn paper_preset_is_table_1() {
        let c = preset("gemsdiff-paper");
        assert_eq!((c.train.batch_size, c.train.epochs, c.optim.lr), (128, 512, 1e-3));
        assert_eq!((c.optim.beta1, c.optim.beta2, c.optim.clip_norm), (0.9, 0.999, Some(1.0)));
        assert_eq!(c.optim.ema_decay, 0.995);
        let c = preset("gemsdiff-released");
        assert_eq!((c.train.batch_atoms, c.train.epochs), (Some(1024), 128));
    }

    #[test]
    fn violations_name_key_value_and_expectation() {
        let registry = Registry::builtin();
        let refused = |change: &dyn Fn(&mut RunConfig)| {
            let mut config = preset("gemsdiff-paper");
            change(&mut config);
            config.validate_for(&registry).unwrap_err().to_string()
        };
        assert_eq!(refused(&|c| c.optim.lr = -1.0), "optim.lr = -1: expected a positive number");
        assert!(refused(&|c| c.train.batch_size = 0).starts_with("train.batch_size"));
        assert!(refused(&|c| _ = c.model.settings.insert("knn".into(), 0.into())).contains("knn = 0"));
        assert!(refused(&|c| c.model.kind = "gemsdif".into()).contains("the nearest is `gemsdiff`"));
    }

    #[test]
    fn the_schema_describes_every_kind() {
        let registry = Registry::builtin();
        let schema = RunConfig::schema(&registry);
        let kinds = schema["properties"]["model"]["oneOf"].as_array().unwrap();
        let names: Vec<&Value> = kinds.iter().map(|k| &k["properties"]["kind"]["const"]).collect();
        let known: Vec<&str> = registry.kinds().iter().map(|kind| kind.name()).collect();
        assert_eq!(names, known);
        let cdvae = &kinds[known.iter().position(|&name| name == "cdvae").unwrap()];
        assert!(cdvae["properties"]["latent"]["description"].is_string());
    }
}
