//! Trains a small GemsDiff on cubic perovskites and samples one that it has not seen.
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

/// Cubic perovskites ABX₃ with their edges (Å).
const PEROVSKITES: [([&str; 3], f64); 16] = [
    (["Ca", "Ti", "O"], 3.84),
    (["Ba", "Ti", "O"], 4.01),
    (["Pb", "Ti", "O"], 3.97),
    (["Eu", "Ti", "O"], 3.91),
    (["Sr", "Zr", "O"], 4.10),
    (["Ba", "Zr", "O"], 4.19),
    (["Sr", "Fe", "O"], 3.85),
    (["Sr", "V", "O"], 3.84),
    (["Sr", "Mo", "O"], 3.98),
    (["Ba", "Sn", "O"], 4.12),
    (["Ba", "Mo", "O"], 4.04),
    (["K", "Ta", "O"], 3.99),
    (["K", "Nb", "O"], 4.02),
    (["Na", "Ta", "O"], 3.93),
    (["K", "Mg", "F"], 3.99),
    (["K", "Mn", "F"], 4.19),
];

/// A perovskite: A at the corner, B in the middle, X on the faces.
fn perovskite(&([a, b, x], edge): &([&str; 3], f64)) -> Result<Structure, Box<dyn std::error::Error>> {
    let species = [a, b, x, x, x].map(Element::from_symbol).into_iter().collect::<Result<_, _>>()?;
    let sites = [[0.0; 3], [0.5; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    Ok(Structure::new(Lattice::cubic(edge)?, species, sites.into())?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::builtin();
    let folder = std::env::temp_dir().join(format!("druse-train-{}", std::process::id()));

    // A data set as a file; CSV, CIF folders and the other formats do as well.
    let structures = PEROVSKITES.iter().map(perovskite).collect::<Result<Vec<_>, _>>()?;
    let path = folder.join("perovskites.jsonl");
    let format = OutputFormat::from_path(&path).ok_or("no format")?;
    write_dataset(&Dataset::from_structures("perovskites", structures), &path, format, false)?;

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
        "optim.ema_decay=0.95".into(),
        "train.batch_size=4".into(),
        "train.epochs=100".into(),
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
            && epoch.epoch % 25 == 0
        {
            println!("epoch {:>3}  loss {:.4}", epoch.epoch, epoch.train_loss);
        }
    };
    // An interruption sets this flag; the run can be continued later.
    let stop = AtomicBool::new(false);
    train(model.trainable_mut(), &config, &data, &run, false, &device::cpu(), &mut watch, &stop)?;
    drop(run);

    let model = LoadedModel::open(&registry, &folder.join("run"), &device::cpu())?;
    for finished in model.sample(vec![Composition::parse("SrTiO3")?.into()], 3, 0)? {
        match finished.result {
            Ok(s) => {
                let [a, b, c] = s.lattice.lengths();
                println!("SrTiO3: {a:.2} × {b:.2} × {c:.2} Å (3.91 in the crystal)");
            }
            Err(reason) => println!("SrTiO3: {reason}"),
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
