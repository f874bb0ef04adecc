//! Models that were trained: from a file, from memory, or the one that ships.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use druse_crystal::files;
use druse_models::{Arrays, Autoencoder, Generator, Model, ModelError, Predictor, Registry};
use druse_nn::{Params, Precision};
use serde_json::Value;

use crate::config::overlay::sampling_settings;
use crate::sample::{Finished, MemorySink, SamplePlan, Shard, Target, Workers, sample};
pub use crate::train::checkpoint_path;
use crate::{Checkpoint, RunConfig, RunError, Silent};

/// The checkpoint that ships with the program: crystals on Wyckoff orbits, trained on binary and ternary crystals of MP-20.
static SHIPPED: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/orbit-small.safetensors"));

/// A predictor that ships with the program.
#[derive(Debug, Clone, Copy)]
pub struct ShippedPredictor {
    /// What it is called in place of a path.
    pub name: &'static str,
    /// What it predicts and what it was trained on.
    pub about: &'static str,
    bytes: &'static [u8],
}

/// The predictors that ship with the program.
pub const SHIPPED_PREDICTORS: &[ShippedPredictor] = &[ShippedPredictor {
    name: "cgcnn",
    about: "formation energy per atom, the weights that CGCNN was published with (Materials Project; Xie and Grossman 2018)",
    bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/cgcnn-formation-energy.safetensors")),
}];

/// A model with its averaged weights, ready to use.
///
/// ```
/// use druse_models::Registry;
/// use druse_run::model::LoadedModel;
/// use druse_run::sample::Target;
///
/// let registry = Registry::builtin();
/// let model = LoadedModel::shipped(&registry, &druse_nn::device::cpu())?;
/// let target = Target::from(druse_crystal::Composition::parse("NaCl").unwrap());
/// for finished in model.sample(vec![target], 2, 0)? {
///     assert_eq!(finished.result?.len(), 2);
/// }
/// # Ok::<(), druse_run::RunError>(())
/// ```
pub struct LoadedModel {
    /// The model.
    pub model: Model,
    /// Its averaged weights.
    pub params: Params,
    /// The configuration that it was trained with; `sampling` is how it is sampled.
    pub config: RunConfig,
    /// Hash of the file.
    pub hash: String,
    /// What to call it in messages: `shipped model`, `model runs/mp20/…`.
    pub name: String,
    statistics: Value,
    arrays: Arrays,
}

impl LoadedModel {
    /// The model of a checkpoint, or of a run's folder.
    ///
    /// # Errors
    /// [`RunError::Read`], [`RunError::NoCheckpoint`], [`RunError::Checkpoint`].
    pub fn open(registry: &Registry, path: &Path, device: &Device) -> Result<Self, RunError> {
        let path = checkpoint_path(path)?;
        let bytes = files::read(&path)?;
        let name = path.display().to_string();
        Ok(Self { name: format!("model {name}"), ..Self::from_bytes(registry, &bytes, &name, device)? })
    }

    /// The model of a checkpoint in memory; `name` appears in messages.
    ///
    /// # Errors
    /// [`RunError::Checkpoint`].
    pub fn from_bytes(
        registry: &Registry,
        bytes: &[u8],
        name: &str,
        device: &Device,
    ) -> Result<Self, RunError> {
        let checkpoint = Checkpoint::from_bytes(bytes, name)?;
        let (model, params) = checkpoint.model(registry, device)?;
        Ok(Self {
            model,
            params,
            hash: blake3::hash(bytes).to_hex().to_string(),
            name: name.to_owned(),
            arrays: checkpoint.arrays(),
            statistics: checkpoint.statistics,
            config: checkpoint.config,
        })
    }

    /// The model that ships with the program.
    ///
    /// # Errors
    /// [`RunError::Checkpoint`] when the registry does not hold its kind.
    pub fn shipped(registry: &Registry, device: &Device) -> Result<Self, RunError> {
        Self::from_bytes(registry, SHIPPED, "shipped model", device)
    }

    /// The predictor that ships under a name, or the model of a checkpoint or of a run's folder where there is none of that name.
    ///
    /// # Errors
    /// As [`LoadedModel::open`].
    pub fn named(registry: &Registry, name_or_path: &Path, device: &Device) -> Result<Self, RunError> {
        let of_name = |p: &&ShippedPredictor| name_or_path.as_os_str() == p.name && !name_or_path.exists();
        match SHIPPED_PREDICTORS.iter().find(of_name) {
            Some(ShippedPredictor { name, about, bytes }) => {
                Self::from_bytes(registry, bytes, &format!("shipped model {name} ({about})"), device)
            }
            None => Self::open(registry, name_or_path, device),
        }
    }

    /// With products of another precision.
    ///
    /// # Errors
    /// [`RunError::Precision`] when the device cannot compute in it.
    pub fn with_precision(self, precision: Precision) -> Result<Self, RunError> {
        Ok(Self { params: self.params.with_precision(precision)?, ..self })
    }

    /// With other sampling settings: `steps_per_level=20`.
    ///
    /// # Errors
    /// [`RunError::Config`] naming the key and what was expected.
    pub fn with_sampling(mut self, registry: &Registry, settings: &[String]) -> Result<Self, RunError> {
        if settings.is_empty() {
            return Ok(self);
        }
        self.config.sampling = sampling_settings(registry, &self.config, settings)?;
        self.model = self.config.build(registry)?;
        self.model.trainable_mut().restore_statistics(&self.statistics)?;
        self.model.trainable_mut().restore_arrays(&self.arrays)?;
        Ok(self)
    }

    /// The model as the sampler sees it.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model that does not generate.
    pub fn generator(&self) -> Result<&dyn Generator, ModelError> {
        self.model.as_generator()
    }

    /// The model as a predictor.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model that predicts nothing.
    pub fn predictor(&self) -> Result<&dyn Predictor, ModelError> {
        self.model.as_predictor()
    }

    /// The model's latent space.
    ///
    /// # Errors
    /// [`ModelError::Lacks`] for a model without one.
    pub fn autoencoder(&self) -> Result<&dyn Autoencoder, ModelError> {
        self.model.as_autoencoder()
    }

    /// A plan to sample `count` structures of the targets, in turn, on this machine.
    pub fn plan(&self, targets: Vec<Target>, count: u64, seed: u64) -> SamplePlan {
        SamplePlan {
            targets,
            count,
            seed,
            model: self.hash.clone(),
            sampling: self.config.sampling.clone(),
            shard: Shard::default(),
            precision: self.params.precision(),
            workers: Workers::for_device(self.params.device(), 1024),
        }
    }

    /// Samples `count` structures of the targets, in turn, into memory.
    ///
    /// # Errors
    /// [`RunError`] for conditions the model cannot serve. What it failed at is in the list.
    pub fn sample(&self, targets: Vec<Target>, count: u64, seed: u64) -> Result<Vec<Finished>, RunError> {
        let mut sink = MemorySink::default();
        let plan = self.plan(targets, count, seed);
        sample(self.generator()?, &self.params, &plan, &mut sink, &mut Silent, &AtomicBool::new(false))?;
        Ok(sink.finished)
    }
}

/// The checkpoint that ships with the program.
///
/// # Errors
/// [`RunError::Checkpoint`] when it is of another version.
pub fn shipped_checkpoint() -> Result<Checkpoint, RunError> {
    Ok(Checkpoint::from_bytes(SHIPPED, "shipped model")?)
}
