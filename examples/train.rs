//! Trains a small GemsDiff on rock salts and samples a salt that it has not seen.
//!
//! ```text
//! cargo run --release --example train
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::sync::atomic::AtomicBool;

use druse::crystal::{Composition, Element, Lattice, Structure};
use druse::data::{Dataset, OutputFormat, write_dataset};
use druse::models::Registry;
use druse::nn::device;
use druse::run::model::LoadedModel;
use druse::run::overlay::Layers;
use druse::run::train::train;
use druse::run::{Event, RunFolder};

/// Alkali halides with the structure of rock salt and the edges of their conventional cells (Å).
const SALTS: [(&str, &str, f64); 12] = [
    ("Li", "F", 4.03),
    ("Li", "Cl", 5.14),
    ("Li", "Br", 5.50),
    ("Li", "I", 6.00),
    ("Na", "F", 4.63),
    ("Na", "Br", 5.97),
    ("Na", "I", 6.47),
    ("K", "F", 5.34),
    ("K", "Cl", 6.29),
    ("K", "Br", 6.60),
    ("K", "I", 7.07),
    ("Rb", "Cl", 6.58),
];

/// Rock salt in its primitive cell.
fn rock_salt(&(cation, anion, edge): &(&str, &str, f64)) -> Result<Structure, Box<dyn std::error::Error>> {
    let h = 0.5 * edge;
    let lattice = Lattice::from_rows([[0.0, h, h], [h, 0.0, h], [h, h, 0.0]])?;
    let species = vec![Element::from_symbol(cation)?, Element::from_symbol(anion)?];
    Ok(Structure::new(lattice, species, vec![[0.0; 3], [0.5; 3]])?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::builtin();
    let folder = std::env::temp_dir().join(format!("druse-train-{}", std::process::id()));

    // A data set as a file; CSV, CIF folders and the other formats do as well.
    let salts = SALTS.iter().map(rock_salt).collect::<Result<Vec<_>, _>>()?;
    let path = folder.join("salts.jsonl");
    let format = OutputFormat::from_path(&path).ok_or("no format")?;
    write_dataset(&Dataset::from_structures("salts", salts), &path, format, false)?;

    // The preset for laptops, smaller still: the settings are those of `druse train --set`.
    let network =
        "{hidden=32, triplet=8, bilinear=16, lattice_head=16, num_radial=32, num_spherical=4, blocks=1}";
    let settings = [
        format!("model.decoder={network}"),
        format!("model.encoder={network}"),
        "model.latent=16".into(),
        "model.knn=8".into(),
        "model.steps=30".into(),
        "data.validation_share=0.0".into(),
        "optim.lr=0.003".into(),
        "optim.warmup_steps=10".into(),
        "train.batch_size=4".into(),
        "train.epochs=60".into(),
    ];
    let layers = Layers { preset: Some("gemsdiff-small"), settings: &settings, ..Layers::new(&registry) };
    let mut config = layers.resolve()?;
    config.data.path = path;
    config.validate_for(&registry)?;

    let mut model = config.build(&registry)?;
    let data = config.data.load()?;
    let run = RunFolder::open(&folder.join("run"))?;
    let mut watch = |event: Event<'_>| {
        if let Event::Epoch(epoch) = event
            && epoch.epoch % 20 == 0
        {
            println!("epoch {:>3}  loss {:.4}", epoch.epoch, epoch.train_loss);
        }
    };
    // An interruption sets this flag; the run can be continued later.
    let stop = AtomicBool::new(false);
    train(model.trainable_mut(), &config, &data, &run, false, &device::cpu(), &mut watch, &stop)?;
    drop(run);

    let model = LoadedModel::open(&registry, &folder.join("run"), &device::cpu())?;
    for finished in model.sample(vec![Composition::parse("NaCl")?.into()], 3, 0)? {
        match finished.result {
            Ok(s) => println!("NaCl: {:.1} Å³ (rock salt has 44.9), {}", s.lattice.volume(), describe(&s)),
            Err(reason) => println!("NaCl: {reason}"),
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The distance of the nearest ions.
fn describe(s: &Structure) -> String {
    s.min_distance().map_or_else(String::new, |d| format!("nearest ions {d:.2} Å apart"))
}
