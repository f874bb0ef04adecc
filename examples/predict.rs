//! Trains a small predictor of a property and predicts it for crystals that it has not seen.
//!
//! The property is the nearest-neighbor distance: simple enough to be learned in seconds.
//!
//! ```text
//! cargo run --release --example predict
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::sync::atomic::AtomicBool;

use druse::crystal::{Element, Lattice, Structure};
use druse::data::Dataset;
use druse::models::Registry;
use druse::nn::device;
use druse::run::data::TrainingData;
use druse::run::model::LoadedModel;
use druse::run::overlay::Layers;
use druse::run::predict::predict;
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
    let mut salts = SALTS.iter().map(crystal).collect::<Result<Vec<_>, _>>()?;
    for salt in &mut salts {
        // In a data set it would be a column of numbers.
        let distance = salt.min_distance().ok_or("one site")?;
        salt.properties.insert("distance".into(), distance.into());
    }
    // Sodium and potassium chloride are kept apart.
    let held_out = Dataset::from_structures("test", [salts.remove(9), salts.remove(5)]);
    let train_set = Dataset::from_structures("train", salts);
    let hash = train_set.content_hash.clone();
    let data = TrainingData { train: train_set, hash, ..TrainingData::default() };

    let settings = [
        "model.property=\"distance\"",
        "model.network={hidden=32, interaction=16, output_embedding=32, blocks=2, num_spherical=3, num_radial=6}",
        "optim.lr=0.003",
        "optim.warmup_steps=5",
        "optim.ema_decay=0.9",
        "train.batch_size=7",
        "train.epochs=100",
    ]
    .map(str::to_owned);
    let layers = Layers { preset: Some("property-small"), settings: &settings, ..Layers::new(&registry) };
    let config = layers.resolve()?;
    let mut model = config.build(&registry)?;
    let folder = std::env::temp_dir().join(format!("druse-predict-{}", std::process::id()));
    let run = RunFolder::open(&folder)?;
    let stop = AtomicBool::new(false);
    train(model.trainable_mut(), &config, &data, &run, false, &device::cpu(), &mut Silent, &stop)?;
    drop(run);

    let model = LoadedModel::open(&registry, &folder, &device::cpu())?;
    let predictions = predict(model.predictor()?, &model.params, &held_out)?;
    for (row, entry) in predictions.rows.iter().zip(&held_out.entries) {
        let symbols: String = entry.structure.species.iter().map(|e| e.symbol()).collect();
        let value = row.value.clone()?;
        println!(
            "{symbols}: {value:.3} Å predicted, {:.3} Å in the crystal",
            row.reference.unwrap_or(f64::NAN)
        );
    }
    if let Some(error) = predictions.error() {
        println!(
            "mean absolute error {:.3} Å; a guess of the mean is off by {:.3} Å",
            error.mean_absolute, error.mean_absolute_deviation
        );
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
