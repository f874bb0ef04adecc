//! Where a command takes its model from.

use std::path::{Path, PathBuf};

use clap::Args;
use druse_crystal::files;
use druse_models::Generator;
use druse_models::property::dimenet::PropertyPredictor;
use druse_nn::device;
use druse_nn::{Params, Precision};
use druse_run::train::{BEST, LAST};
use druse_run::{Checkpoint, RunConfig};

use crate::failure::Failure;

/// Device and threads.
#[derive(Args, Debug, Clone)]
pub struct ComputeArgs {
    /// Where to compute: `cpu`, `cuda[:n]`, `vulkan[:n]`, `metal`, `rocm` (GPUs need a build with that feature).
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Precision of the products with weights: `f32`, or `bf16` (processors with AVX512-BF16; faster, less exact)
    /// [default: f32].
    #[arg(long, value_name = "NAME")]
    pub precision: Option<Precision>,
    /// Worker threads [default: one a core]. The results do not depend on it.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Sizes the pool of worker threads; 0: one a core.
pub fn set_threads(threads: usize) -> Result<(), Failure> {
    if threads == 0 {
        return Ok(());
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Failure::environment(format!("cannot start {threads} worker threads: {e}")))
}

/// A model ready to sample.
pub struct LoadedModel {
    /// The model.
    pub generator: Box<dyn Generator>,
    /// Its averaged weights.
    pub params: Params,
    /// The configuration that it was trained with.
    pub config: RunConfig,
    /// Hash of the file.
    pub hash: String,
    /// What to call it in messages.
    pub name: String,
}

/// The checkpoint that a path stands for: a file, or the best (else the last) checkpoint of a run's folder.
pub fn checkpoint_path(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    [BEST, LAST].iter().map(|name| path.join(name)).find(|p| p.exists()).ok_or_else(|| {
        Failure::mistake(format!("`{}` holds no checkpoint", path.display()))
            .hint("name a .safetensors file or the folder of a training run")
    })
}

/// Loads the model at `path`, or the one that is part of the program.
pub fn load(path: Option<&Path>, compute: &ComputeArgs) -> Result<LoadedModel, Failure> {
    let device = device::parse(&compute.device)?;
    let (bytes, name) = match path {
        Some(path) => {
            let path = checkpoint_path(path)?;
            let name = path.display().to_string();
            let bytes = files::read(&path)?;
            (std::borrow::Cow::Owned(bytes), name)
        }
        None => {
            let bytes = shipped().ok_or_else(|| {
                Failure::mistake("this build contains no model").hint("name one with --model")
            })?;
            (std::borrow::Cow::Borrowed(bytes), "shipped model".to_owned())
        }
    };
    let checkpoint = Checkpoint::from_bytes(&bytes, &name)?;
    let (model, params) = checkpoint.model(&device)?;
    let generator = model.into_generator()?;
    let params = params.with_precision(compute.precision.unwrap_or_default())?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    Ok(LoadedModel { generator, params, config: checkpoint.config, hash, name })
}

/// A property predictor and its averaged weights.
pub type LoadedPredictor = (PropertyPredictor, Params);

/// Loads a property predictor.
pub fn load_predictor(path: &Path, compute: &ComputeArgs) -> Result<LoadedPredictor, Failure> {
    let device = device::parse(&compute.device)?;
    let checkpoint = Checkpoint::load(&checkpoint_path(path)?)?;
    let (model, params) = checkpoint.model(&device)?;
    let params = params.with_precision(compute.precision.unwrap_or_default())?;
    Ok((model.into_predictor()?, params))
}

/// The checkpoint that ships in the repository.
#[cfg(druse_shipped_model)]
pub fn shipped() -> Option<&'static [u8]> {
    Some(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/gemsdiff-small.safetensors")))
}

/// No checkpoint was in the repository when this program was built.
#[cfg(not(druse_shipped_model))]
pub fn shipped() -> Option<&'static [u8]> {
    None
}
