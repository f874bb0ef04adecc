//! A model of one's own: trained, interrupted, resumed, checkpointed and sampled by the drivers that the built-in ones use.
//!
//! The model draws a cubic cell for a composition. Its edge is a learned multiple of that of a cube with room for the atoms,
//! by their covalent radii, and the atoms lie where a fixed low-discrepancy sequence puts them: a baseline, not a contribution.
//!
//! ```text
//! cargo run --release --example own_model
//! ```
#![allow(clippy::print_stdout, reason = "an example reports to the terminal")]

use std::sync::atomic::AtomicBool;

use druse::crystal::{Composition, Element, Lattice, Structure};
use druse::models::process::Noise;
use druse::models::registry::{Kind, ModelSettings, NoSettings, Registry, Settings};
use druse::models::{
    Capabilities, Condition, ConditionSet, Generator, InFlight, InFlightSampler, LossTerm, MicroBatchLimit,
    Model, ModelError, NoiseKey, Prepared, Reverse, SampleRequest, Sampler, Trainable,
};
use druse::nn::ops::matrix;
use druse::nn::{Init, ParamBuilder, ParamId, ParamSpec, Params, device};
use druse::run::model::LoadedModel;
use druse::run::train::{LAST, train};
use druse::run::{RunConfig, RunFolder, Silent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What configuration files can set under `[model]`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct EdgeSettings {
    /// Noise on the edge, as a part of it.
    spread: f64,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self { spread: 0.02 }
    }
}

impl Settings for EdgeSettings {
    fn validate(&self) -> Result<(), ModelError> {
        match (0.0..1.0).contains(&self.spread) {
            true => Ok(()),
            false => Err(ModelError::Config(format!("spread = {}, expected 0 to below 1", self.spread))),
        }
    }
}

const SERVED: &[ConditionSet] = &[ConditionSet::of(&[Condition::Composition])];

/// The line with which a program registers the kind.
pub fn kind() -> Kind {
    Kind::new("edge", "a cubic cell from the sizes of the atoms", |settings, _: NoSettings| {
        Ok(Model::generator(Edge::new(settings)))
    })
    .with_conditions(SERVED)
}

struct Edge {
    settings: EdgeSettings,
    specs: Vec<ParamSpec>,
    scale: ParamId,
}

impl Edge {
    fn new(settings: EdgeSettings) -> Self {
        let mut builder = ParamBuilder::default();
        let scale = builder.add("scale", &[1, 1], Init::Zeros);
        Self { settings, specs: builder.finish(), scale }
    }
}

/// The edge (Å) of a cube with the volume of the cubes around the atoms.
fn size(species: &[Element]) -> f64 {
    species.iter().map(|e| (2.0 * e.covalent_radius().unwrap_or(1.5)).powi(3)).sum::<f64>().cbrt()
}

impl Trainable for Edge {
    fn kind(&self) -> &'static str {
        "edge"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, _: &[&Structure]) -> Result<(), ModelError> {
        Ok(())
    }

    fn statistics(&self) -> Value {
        json!({})
    }

    fn restore_statistics(&mut self, _: &Value) -> Result<(), ModelError> {
        Ok(())
    }

    fn prepare<'a>(
        &'a self,
        batch: &[&Structure],
        _: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let sizes = batch.iter().map(|s| size(&s.species) as f32).collect();
        let edges = batch.iter().map(|s| s.lattice.volume().cbrt() as f32).collect();
        Ok(Box::new(Pairs { scale: self.scale, sizes, edges }))
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64]
    }
}

/// Sizes of atoms and the edges that belong to them, one a crystal.
struct Pairs {
    scale: ParamId,
    sizes: Vec<f32>,
    edges: Vec<f32>,
}

impl Prepared for Pairs {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let column = |values: &[f32]| matrix(values.to_vec(), 1, params.device());
        let scale = params.get(self.scale).reshape([1, 1]) + 1.0;
        let difference = column(&self.sizes) * scale - column(&self.edges);
        let sum = (difference.clone() * difference).sum();
        Ok(vec![LossTerm { name: "edge", sum, count: self.sizes.len() as f64, weight: 1.0 }])
    }
}

impl Generator for Edge {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, 118)
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }
}

/// One step is enough: the state is what was drawn at the start.
impl Reverse for Edge {
    type State = (Vec<Element>, f64);

    fn total_steps(&self) -> usize {
        1
    }

    fn start(&self, params: &Params, request: &SampleRequest) -> Result<Self::State, ModelError> {
        let species = request.conditions.species().unwrap_or_default();
        let noise = Noise::new(request.seed, request.index).normal();
        let scale = 1.0 + f64::from(params.to_host()[0][0]);
        let edge = scale * size(&species) * (1.0 + self.settings.spread * noise);
        Ok((species, edge))
    }

    fn species<'s>(&self, state: &'s Self::State) -> &'s [Element] {
        &state.0
    }

    fn step(&self, _: &Params, _: &mut [InFlight<Self::State>]) -> Result<(), ModelError> {
        Ok(())
    }

    fn finish(&self, _: &Params, (species, edge): Self::State) -> Result<Structure, ModelError> {
        // Powers of the root of x⁴ = x + 1, in three dimensions.
        let place = |i: usize| [0.819_172_513, 0.671_043_607, 0.549_700_478].map(|a| (i as f64 * a).fract());
        let frac = (0..species.len()).map(place).collect();
        let lattice = Lattice::cubic(edge).map_err(|e| ModelError::Output(e.to_string()))?;
        Structure::new(lattice, species, frac).map_err(|e| ModelError::Output(e.to_string()))
    }
}

/// Some cubic crystals: element, edge (Å), atoms of the conventional cell.
const CRYSTALS: [(&str, f64, usize); 6] =
    [("Po", 3.35, 1), ("Fe", 2.87, 2), ("Na", 4.29, 2), ("Cu", 3.61, 4), ("Al", 4.05, 4), ("Ag", 4.09, 4)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::builtin().with(kind())?;
    let folder = std::env::temp_dir().join(format!("druse-own-model-{}", std::process::id()));

    // A data set as files, as a user would have it.
    let cells = folder.join("cells");
    std::fs::create_dir_all(&cells)?;
    for (symbol, edge, atoms) in CRYSTALS {
        let element = Element::from_symbol(symbol)?;
        let frac =
            (0..atoms).map(|i| [[0.0; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]][i]).collect();
        let structure = Structure::new(Lattice::cubic(edge)?, vec![element; atoms], frac)?;
        let text = druse::crystal::formats::write(&structure, druse::crystal::formats::Format::Cif, symbol);
        std::fs::write(cells.join(format!("{symbol}.cif")), text)?;
    }

    // Any preset gives optimizer, batches and length; the model is ours.
    let mut config = RunConfig::preset(&registry, "gemsdiff-small")?;
    config.model = ModelSettings::new("edge", &EdgeSettings { spread: 0.01 });
    config.data.path = cells;
    config.data.validation_share = 0.0;
    (config.train.epochs, config.optim.lr, config.optim.warmup_steps) = (60, 0.02, 0);
    config.validate_for(&registry)?;
    let data = config.data.load()?;

    let run = RunFolder::open(&folder.join("run"))?;
    let mut model = config.build(&registry)?;
    let never = AtomicBool::new(false);
    train(model.trainable_mut(), &config, &data, &run, false, &device::cpu(), &mut Silent, &never)?;
    // Ten more epochs, as a program that comes back later would do it.
    config.train.epochs = 70;
    let mut model = config.build(&registry)?;
    let trained =
        train(model.trainable_mut(), &config, &data, &run, true, &device::cpu(), &mut Silent, &never)?;
    println!("{} epochs, loss {:.4} Å²", trained.epoch, trained.best.unwrap_or(f64::NAN));

    let loaded = LoadedModel::open(&registry, &run.join(LAST), &device::cpu())?;
    let target = Composition::parse("Ni4")?;
    for finished in loaded.sample(vec![target.into()], 3, 7)? {
        println!(
            "{}: edge {:.3} Å (nickel has 3.52)",
            finished.label,
            finished.result?.lattice.volume().cbrt()
        );
    }
    drop(run);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
