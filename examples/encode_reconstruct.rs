//! Trains a tiny CDVAE for a moment, then goes through its latent space: encodes crystals, decodes them again, and walks from
//! one to another.
//!
//! ```text
//! cargo run --release --example encode_reconstruct
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::sync::atomic::AtomicBool;

use druse::crystal::{Composition, Element, Lattice, Structure};
use druse::data::Dataset;
use druse::models::Registry;
use druse::nn::device;
use druse::run::data::TrainingData;
use druse::run::latent::{Choice, Reconstruction, interpolate, reconstruct};
use druse::run::model::LoadedModel;
use druse::run::overlay::Layers;
use druse::run::sample::Target;
use druse::run::train::train;
use druse::run::{RunFolder, Silent};

/// Alkali halides: rock salt for all but those of caesium, with the edge of the conventional cell (Å).
const SALTS: [(&str, &str, f64); 16] = [
    ("Li", "F", 4.03),
    ("Li", "Cl", 5.14),
    ("Li", "Br", 5.50),
    ("Li", "I", 6.00),
    ("Na", "F", 4.63),
    ("Na", "Cl", 5.64),
    ("Na", "Br", 5.97),
    ("Na", "I", 6.47),
    ("K", "F", 5.34),
    ("K", "Cl", 6.29),
    ("K", "Br", 6.60),
    ("K", "I", 7.07),
    ("Rb", "Cl", 6.58),
    ("Cs", "Cl", 4.12),
    ("Cs", "Br", 4.29),
    ("Cs", "I", 4.57),
];

/// The crystal of a salt in its primitive cell.
fn crystal(&(cation, anion, edge): &(&str, &str, f64)) -> Result<Structure, Box<dyn std::error::Error>> {
    let h = 0.5 * edge;
    let lattice = match cation {
        "Cs" => Lattice::cubic(edge)?,
        _ => Lattice::from_rows([[0.0, h, h], [h, 0.0, h], [h, h, 0.0]])?,
    };
    let species = vec![Element::from_symbol(cation)?, Element::from_symbol(anion)?];
    Ok(Structure::new(lattice, species, vec![[0.0; 3], [0.5; 3]])?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::builtin();
    let salts = SALTS.iter().map(crystal).collect::<Result<Vec<_>, _>>()?;
    let (potassium_iodide, cesium_iodide) = (salts[11].clone(), salts[15].clone());
    let train_set = Dataset::from_structures("salts", salts);
    let hash = train_set.content_hash.clone();
    let data = TrainingData { train: train_set, hash, ..TrainingData::default() };

    let settings = [
        "model.latent=16",
        "model.head=32",
        "model.max_atoms=4",
        "model.encoder={hidden=32, interaction=16, output_embedding=32, blocks=1, num_spherical=3, num_radial=4}",
        "model.decoder.hidden=32",
        "model.decoder.triplet=16",
        "model.decoder.bilinear=16",
        "model.decoder.num_radial=32",
        "model.decoder.num_spherical=3",
        "model.decoder.blocks=1",
        "model.noise.levels=10",
        "optim.lr=0.003",
        "optim.warmup_steps=5",
        "optim.ema_decay=0.95",
        "train.batch_size=8",
        "train.epochs=120",
        // The published protocol takes 100.
        "sampling.steps_per_level=10",
    ]
    .map(str::to_owned);
    let layers = Layers { preset: Some("cdvae-small"), settings: &settings, ..Layers::new(&registry) };
    let config = layers.resolve()?;
    let mut model = config.build(&registry)?;
    let folder = std::env::temp_dir().join(format!("druse-latent-{}", std::process::id()));
    let run = RunFolder::open(&folder)?;
    let stop = AtomicBool::new(false);
    let outcome =
        train(model.trainable_mut(), &config, &data, &run, false, &device::cpu(), &mut Silent, &stop)?;
    println!("trained for {} steps", outcome.step);
    drop(run);

    let model = LoadedModel::open(&registry, &folder, &device::cpu())?;
    let latents = model.autoencoder()?;
    let posterior = &latents.encode(&model.params, &[&potassium_iodide])?[0];
    println!("KI: mean of the posterior begins with {:.2?}", &posterior.mean[..4]);

    let named = [("KI", &potassium_iodide), ("CsI", &cesium_iodide)];
    let how = Reconstruction { choice: Choice::Mean, ..Reconstruction::default() };
    show(&model, "reconstructed", reconstruct(latents, &model.params, &named, &how)?)?;
    let ends = [&potassium_iodide, &cesium_iodide];
    show(&model, "interpolated", interpolate(latents, &model.params, ends, 5, Choice::Mean)?)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Samples a crystal for each latent and prints what it is.
fn show(model: &LoadedModel, what: &str, targets: Vec<Target>) -> Result<(), Box<dyn std::error::Error>> {
    let count = targets.len() as u64;
    for finished in model.sample(targets, count, 0)? {
        let outcome = match &finished.result {
            Ok(s) => {
                let formula = Composition::from_species(&s.species).formula();
                format!("{formula}, {:.1} Å³ per atom", s.lattice.volume() / s.len() as f64)
            }
            Err(reason) => reason.to_string(),
        };
        println!("{what} {:<14} {outcome}", finished.label);
    }
    Ok(())
}
