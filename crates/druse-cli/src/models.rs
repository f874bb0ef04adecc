//! Where a command takes its model from, and where it computes.

use std::path::Path;
use std::sync::OnceLock;

use clap::Args;
use druse_models::{ConditionSet, ModelError, Registry};
use druse_nn::{Precision, device};
use druse_run::model::LoadedModel;

use crate::console;
use crate::failure::Failure;

/// The kinds of models that the program knows.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::builtin)
}

/// Device and threads.
#[derive(Args, Debug, Clone)]
pub struct ComputeArgs {
    /// Where to compute: `cpu`, or `cuda[:n]`, `vulkan[:n]`, `metal`, `rocm[:n]`, `webgpu[:n]` in a build with that feature.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Precision of the products with weights: `f32`, `f32-split` (as exact, three parts of each number multiplied by
    /// the matrix unit where there is one), or `bf16` (processors with AMX or AVX512-BF16; faster, less exact) [default:
    /// f32].
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

/// Loads the model at `path` or of the name of a predictor that ships, or the one that is part of the program.
pub fn load(path: Option<&Path>, compute: &ComputeArgs) -> Result<LoadedModel, Failure> {
    let device = device::parse(&compute.device)?;
    let model = match path {
        Some(path) => LoadedModel::named(registry(), path, &device)?,
        None => LoadedModel::shipped(registry(), &device)?,
    };
    let precision = compute.precision.unwrap_or_default();
    let model = model.with_precision(precision)?;
    if let Some(remark) = precision.remark(&device) {
        console::warn(&remark);
    }
    Ok(model)
}

/// The model at `path`, or the one that is part of the program, on a device: `cpu`, or those of builds for a GPU.
///
/// # Errors
/// [`Failure`] when it cannot be read, or there is no such device.
pub fn load_model(path: Option<&Path>, device: &str) -> Result<LoadedModel, Failure> {
    let compute = ComputeArgs { device: device.to_owned(), precision: None, threads: None };
    load(path, &compute)
}

/// What a model lacks, with the kinds of models that do not.
pub fn lacking(error: ModelError) -> Failure {
    let hint = match &error {
        ModelError::Unsupported { given, .. } => that_serve(*given),
        ModelError::Lacks { lacks, .. } => with_trait(lacks),
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Which kinds can be given conditions.
fn that_serve(given: ConditionSet) -> Option<String> {
    let kinds = registry().that_serve(given);
    match kinds.is_empty() {
        true => Some(format!("no kind of model can be given {given}")),
        false => Some(format!("models that can be given {given}: {}", kinds.join(", "))),
    }
}

/// Which kinds have the trait that another one lacks.
fn with_trait(lacks: &str) -> Option<String> {
    let wanted = lacks.split('`').nth(1)?;
    let able = |kind: &&druse_models::registry::Kind| {
        let model = kind.build(&kind.defaults().settings, &kind.sampling_defaults());
        model.is_ok_and(|model| model.traits().iter().any(|t| t.trim_matches('`') == wanted))
    };
    let kinds: Vec<&str> = registry().kinds().iter().filter(able).map(|kind| kind.name()).collect();
    Some(format!(
        "kinds of models with `{wanted}`: {}; `druse config presets` lists what can be trained",
        kinds.join(", ")
    ))
}
