//! `druse import`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use druse_data::Benchmark;
use druse_models::published::{Ignored, PublishedError, Training};
use druse_nn::weights::WeightFile;
use druse_nn::weights::torch::{TorchError, TorchFile};
use druse_potential::chgnet;
use druse_potential::sevennet::published::import as import_sevennet;
use druse_run::import::{import, importable};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::models::registry;
use crate::output;

/// Arguments of `druse import`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse import epoch=839.ckpt --dataset mp_20 --out cdvae-mp20.safetensors
  druse import last.ckpt --lattice-scaler lattice_scaler.pt --out mine.safetensors
  druse import last.ckpt --lattice-scaler lattice_scaler.pt --property-scaler prop_scaler.pt \\
    --property heat_ref --out mine.safetensors
  druse import epoch=839.ckpt --kind property --dataset mp_20 --out energy.safetensors
  druse import model_299.pth --kind symat --dataset mp_20 --set encoder.torsion=zero --out symat.safetensors
  druse import checkpoint_l3i5.pth --kind sevennet --out sevennet-l3i5.safetensors
  druse import chgnet_0.3.0.safetensors --kind chgnet --out chgnet.safetensors

Sizes, noise levels and scale factors come from the checkpoint. Nothing in it is executed.")]
pub struct ImportArgs {
    /// Checkpoint of PyTorch (Lightning) that the published code wrote; for chgnet, a safetensors file of its tensors.
    checkpoint: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE", value_parser = output::path())]
    out: PathBuf,
    /// Kind of the model that the checkpoint holds; sevennet and chgnet are interatomic potentials; one of sevennet is
    /// called like the file that is written.
    #[arg(long, value_name = "KIND", default_value = "cdvae", value_parser = kind())]
    kind: String,
    /// Published data set that the model was trained on: mp_20, carbon_24 or perov_5. It tells how lattices and properties
    /// are standardized, where no scaler is given.
    #[arg(long, value_name = "NAME", value_parser = benchmark)]
    dataset: Option<Benchmark>,
    /// Scaler of the lattices, `lattice_scaler.pt` of the published run.
    #[arg(long, value_name = "FILE")]
    lattice_scaler: Option<PathBuf>,
    /// Scaler of the property, `prop_scaler.pt` of the published run.
    #[arg(long, value_name = "FILE")]
    property_scaler: Option<PathBuf>,
    /// Name of the property that the model predicts [default: that of the data set].
    #[arg(long, value_name = "NAME")]
    property: Option<String>,
    /// Setting of the model that tensors do not tell, such as encoder.torsion=zero; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// The kinds that are potentials and no models of the registry.
const SEVENNET: &str = "sevennet";
const CHGNET: &str = "chgnet";

fn kind() -> PossibleValuesParser {
    let mut kinds = importable(registry());
    kinds.extend([SEVENNET, CHGNET]);
    kinds.into()
}

fn benchmark(name: &str) -> Result<Benchmark, String> {
    name.parse().map_err(|_| format!("expected {}", Benchmark::ALL.map(Benchmark::folder).join(", ")))
}

fn failure(error: PublishedError) -> Failure {
    let hint = match &error {
        PublishedError::Mismatch { .. } => {
            "the checkpoint has to come from the published code, unchanged; --kind names its model"
        }
        PublishedError::Scaler { .. } => "the scalers lie beside the published checkpoint",
        PublishedError::Statistics(_) => {
            "--dataset, --lattice-scaler, --property and --property-scaler tell it"
        }
        PublishedError::File(_) | PublishedError::Model { .. } => return Failure::mistake(error),
    };
    Failure::mistake(error).hint(hint)
}

fn open(path: &Path) -> Result<TorchFile, Failure> {
    TorchFile::read(path).map_err(|e: TorchError| Failure::mistake(e))
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Imported {
    /// File of the model or potential.
    out: PathBuf,
    /// Its kind.
    kind: String,
    /// Its parameters.
    parameters: usize,
    /// The epoch that the checkpoint tells.
    epoch: Option<i64>,
    /// Tensors that were left out on purpose.
    ignored: Vec<LeftOut>,
    /// What its user should know.
    remarks: Vec<String>,
}

/// Tensors that were left out.
#[derive(Serialize, JsonSchema)]
pub struct LeftOut {
    /// Why.
    reason: String,
    /// Their names.
    names: Vec<String>,
}

/// Runs the command.
pub fn run(args: &ImportArgs) -> crate::Outcome {
    if args.kind == SEVENNET || args.kind == CHGNET {
        return potential(args);
    }
    let file = open(&args.checkpoint)?;
    let training = Training {
        data_set: args.dataset,
        lattice_scaler: args.lattice_scaler.as_deref().map(open).transpose()?,
        property_scaler: args.property_scaler.as_deref().map(open).transpose()?,
        property: args.property.clone(),
    };
    let imported = import(registry(), &args.kind, &file, &training, &args.settings).map_err(failure)?;
    let epoch = file.integer("epoch").map(|n| format!(", epoch {n}")).unwrap_or_default();
    console::note(&format!("read {}{epoch}", file.name()));
    for group in &imported.ignored {
        console::note(&format!("left out {} tensors: {}", group.names.len(), group.reason));
    }
    imported.warnings.iter().for_each(|warning| console::note(warning));
    imported.checkpoint.save(&args.out).map_err(Failure::environment)?;
    let parameters = imported.checkpoint.parameters();
    console::note(&format!("{parameters} parameters: {}", args.out.display()));
    let left_out = |group: &Ignored| LeftOut {
        reason: group.reason.to_string(),
        names: group.names.iter().map(ToString::to_string).collect(),
    };
    Ok(Done::with(Imported {
        out: args.out.clone(),
        kind: args.kind.clone(),
        parameters,
        epoch: file.integer("epoch"),
        ignored: imported.ignored.iter().map(left_out).collect(),
        remarks: imported.warnings.clone(),
    }))
}

/// Writes the weights of a potential, called like the file.
fn potential(args: &ImportArgs) -> crate::Outcome {
    let scalers = args.lattice_scaler.is_some() || args.property_scaler.is_some();
    if args.dataset.is_some() || scalers || args.property.is_some() || !args.settings.is_empty() {
        let text = "the checkpoint of a potential tells everything; --dataset, --lattice-scaler, --property-scaler, --property \
                    and --set do not apply";
        return Err(Failure::mistake(text));
    }
    let count = if args.kind == CHGNET {
        let weights = chgnet::Weights::from_tensors(tensors(&args.checkpoint)?).map_err(Failure::mistake)?;
        weights.write(&args.out).map_err(Failure::environment)?;
        weights.count()
    } else {
        let name = args.out.file_stem().unwrap_or_default().to_string_lossy();
        let weights = import_sevennet(&open(&args.checkpoint)?, &name).map_err(Failure::mistake)?;
        weights.write(&args.out).map_err(Failure::environment)?;
        weights.count()
    };
    console::note(&format!("read {}", args.checkpoint.display()));
    console::note(&format!("{count} parameters: {}", args.out.display()));
    Ok(Done::with(Imported {
        out: args.out.clone(),
        kind: args.kind.clone(),
        parameters: count,
        epoch: None,
        ignored: Vec::new(),
        remarks: Vec::new(),
    }))
}

/// The tensors of a published CHGNet: a safetensors file.
fn tensors(path: &Path) -> Result<WeightFile, Failure> {
    WeightFile::read(path).map_err(|e| {
        Failure::mistake(e)
            .hint("CHGNet is imported from the tensors of its state dict, with their names, as safetensors")
    })
}
